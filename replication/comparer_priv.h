// SPDX-License-Identifier: Apache-2.0
// What comparer.c, comparer_walk.c and comparer_subject.c share: one comparison of a registry with another region.
#ifndef MERIDIAN_REPLICATION_COMPARER_PRIV_H
#define MERIDIAN_REPLICATION_COMPARER_PRIV_H

#include "replication/differences.h"
#include "replication/digest_page.h"
#include "replication/replication_priv.h"

struct comparer;

struct compare {
    struct comparer *c;
    // this one is in force, as of this generation, or the comparison ends
    const struct topology *t;
    uint64_t generation;
    const struct registry *reg;
    const struct region *peer;
    // looked at
    uint64_t n_subjects;
    // differed, and may lag
    size_t n_lags;
    // of the rest, or of something between, nothing was looked at
    bool part;
    // it answered something; it is not there: nobody asks it again in this round
    bool answered, unreached;
    // failures in a row, and pages in a row that listed nothing
    unsigned n_failed, n_empty;
    // how long it has still to wait for what it looked at
    int64_t owed_ms;
    // what the region answered that was no answer; "" nothing
    char error[ERROR_TEXT_SIZE];
};

struct replicator *compare_replicator(const struct compare *k);
struct differences *compare_found(const struct compare *k);
// ERR_UNSUPPORTED: an earlier release is there. ERR_DENIED: it does not share the registry.
// ERR_CANCELED: another version of the topology is in force, or this region stops.
int compare_ask(struct compare *k, const struct digest_ask *ask, struct buf *out);
// Is another version of the topology in force than this comparison's?
bool compare_is_outdated(struct compare *k);
// Says of ERR_PROTO why an answer is none. Returns rc.
int compare_refused(struct compare *k, int rc, const char *why);
// So many subjects were looked at: waits as long as the rate says.
void compare_pace(struct compare *k, uint64_t n_subjects);

// --- comparer_walk.c ---
// Compares all of the registry. ERR_CANCELED: as of compare_ask.
int compare_registry(struct compare *k);

// --- comparer_subject.c ---
// Asks for the subject, judges what differs, and puts right what is wrong here.
int compare_subject(struct compare *k, const char *repository, const struct shown_subject *s);

#endif
