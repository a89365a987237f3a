// SPDX-License-Identifier: Apache-2.0
// What comparisons of state have found: for each registry and other region when they were compared
// last and how that ended, the differences that are not made good, and the last ones that were. In
// memory: after a start the next comparison finds what is still there.
//
//   differences_note(d, &(struct difference){.registry = key, .peer = "eastus", …});
//   …
//   if (differences_open(d, key, "eastus"))
//       … Diverged …
//
// Any thread; a lock of its own.
#ifndef MERIDIAN_REPLICATION_DIFFERENCES_H
#define MERIDIAN_REPLICATION_DIFFERENCES_H

#include "base/bytes.h"
#include "replication/dial.h"
#include "store/meta_differ.h"

#include <jansson.h>

#define DIFFERENCES_MAX 1000     // that are kept; more are only counted
#define DIFFERENCES_MENDED 100   // the last ones that were made good
#define DIFFERENCE_TEXT_SIZE 512 // of a value; longer ones are cut off

struct differences;

struct difference {
    // the registry by its key; borrowed when it is noted
    const char *registry, *peer, *repository;
    struct shown_subject subject;
    // what is shown here and there, as store/meta_shown.h has it; "": nothing
    const char *here, *there;
    enum differ_verdict verdict;
    // a sentence: what is done about it, or what stands in the way
    const char *what;
};

// How the comparison of a pair ended.
enum compared_state {
    COMPARED_NEVER,
    // all was looked at
    COMPARED_WHOLE,
    // the rest was left for the next time: so much differed that might be lag, something of it did not
    // answer, or another version of the topology came
    COMPARED_PART,
    // an earlier release is there, which tells no digests
    COMPARED_UNSUPPORTED,
    // it did not answer, or nothing that could be read
    COMPARED_FAILED,
};

struct differences *differences_new(void); // NULL: out of memory
void differences_free(struct differences *d);

// It was seen now: it is added, or its values are those. A difference that lags is none.
void differences_note(struct differences *d, const struct difference *x);
// It may lag now: if it is listed it stays so.
void differences_lags(struct differences *d, const char *registry, const char *peer,
                      const char *repository, const struct shown_subject *subject);
// The subject differs no more; it was made good if it was listed.
void differences_settle(struct differences *d, const char *registry, const char *peer,
                        const char *repository, const struct shown_subject *subject);
// A pair is compared from now on, and was compared. After COMPARED_WHOLE whatever of it was not seen
// again since differences_pair_begin is settled. `error`: of COMPARED_FAILED; may be NULL.
void differences_pair_begin(struct differences *d, const char *registry, const char *peer);
void differences_pair_end(struct differences *d, const char *registry, const char *peer,
                          enum compared_state state, uint64_t n_subjects, const char *error);
// An entry that somebody told, and that no valid key of its origin signed.
void differences_forged(struct differences *d);
// Lost entries that were taken, registers that were made anew.
void differences_took(struct differences *d, uint64_t n_entries, uint64_t n_registers);

// How many are not made good. `peer` NULL: of all.
size_t differences_open(struct differences *d, const char *registry, const char *peer);
// Copies the first one, at or after the n-th, that is not made good; strings hang off the arena.
// ERR_NOTFOUND.
int differences_at(struct differences *d, size_t n, struct arena *a, struct difference *out);

// {"state","at"?,"subjects"?,"differences": how many are not made good,"mended": how many of the last
// ones that were,"lastError"?} of a pair, for status. NULL: out of memory.
json_t *differences_json(struct differences *d, const char *registry, const char *peer);
// [{"peer","repository","subject","here","there","verdict","since","what","until"?}]: all of a
// registry, those that are not made good first, of the repositories for which `sees` says true.
json_t *differences_list(struct differences *d, const char *registry,
                         bool (*sees)(const void *ctx, const char *repository), const void *ctx);
void differences_metrics(struct differences *d, struct buf *out);

#endif
