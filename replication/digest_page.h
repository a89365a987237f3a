// SPDX-License-Identifier: Apache-2.0
// What GET /replication/v1/digests answers (store/meta_shown.h says what is digested), on both ends.
// A region asks for one of three things, from the coarse to the fine:
//
//   ?registry=KEY[&after=NAME]                      repositories after a name
//     {"digests":1,"registry":KEY,"repositories":[["app",12,SUM],["large",2001,""]],"next":"large"}
//   ?registry=KEY&repository=NAME[&after=SUBJECT]   subjects of one after a subject
//     {"digests":1,"registry":KEY,"repository":NAME,"subjects":[["tag:v1",HASH]],"next":""}
//     with &sums=1 in place of the list: "count":12,"digest":SUM
//   ?registry=KEY&repository=NAME&subject=SUBJECT   one subject
//     {"digests":1,"registry":KEY,"repository":NAME,"subject":"tag:v1","text":TEXT,"open":false,
//      "agrees":true,"floor":"0","places":[["eastus",CURSOR]],"entries":2}
//     and as many lines of entries (store/entry.h)
//
// "next": what the answer goes up to, and what to ask for the next one with; "": it goes to the end.
// Repositories and subjects come in their order, none twice; only what is shown is there. A
// repository that has more subjects than one answer looks at has "" for its sum. SUM and HASH are 64
// lower-case hexadecimal digits. "places": how far the region had applied each origin before it
// looked; members of a subject are those of struct differ_told (store/meta_differ.h). Members that
// are not known are passed over.
//
// A parser believes nothing but the form: names are names, in order, after what was asked for, and
// not more than are allowed. Entries are only read here; whoever takes one verifies its signature.
// Pure; any thread.
#ifndef MERIDIAN_REPLICATION_DIGEST_PAGE_H
#define MERIDIAN_REPLICATION_DIGEST_PAGE_H

#include "base/arena.h"
#include "store/meta_differ.h"

#define DIGEST_LOOKS_MAX 2000      // subjects that one answer looks at
#define DIGEST_LIST_MAX 1000       // rows of one answer
#define DIGEST_PLACES_MAX 64       // origins
#define DIGEST_TEXT_MAX (4u << 20) // an answer

// What was asked for.
struct digest_ask {
    const char *registry;
    // NULL: repositories
    const char *repository;
    // of repositories; NULL: from the first
    const char *after_name;
    // of subjects; NULL: from the first
    const struct shown_subject *after;
    bool sums;
    // one subject; NULL: a list
    const struct shown_subject *subject;
};

struct digest_repository {
    const char *name;
    // it was summed whole; else sum.n is how many subjects were seen of it
    bool whole;
    struct shown_sum sum;
};

struct digest_repositories {
    struct digest_repository *list;
    size_t n;
    // "": the end
    const char *next;
};

struct digest_subjects {
    // with `sums` none
    struct shown_item *list;
    size_t n;
    // of `sums`
    struct shown_sum sum;
    bool at_end;
    // unless at_end
    struct shown_subject next;
};

// Path and query of the request.
int digest_ask_format(const struct digest_ask *ask, struct buf *out);

// ERR_TOOBIG: over DIGEST_TEXT_MAX; ERR_NOMEM; ERR_INVAL: an entry that cannot be said.
int digest_repositories_format(const struct digest_ask *ask, const struct digest_repositories *r,
                               struct buf *out);
int digest_subjects_format(const struct digest_ask *ask, const struct digest_subjects *s,
                           struct buf *out);
int digest_subject_format(const struct digest_ask *ask, const struct differ_told *told,
                          struct buf *out);

// ERR_PROTO with a sentence, static; ERR_NOMEM. Results hang off the arena.
int digest_repositories_parse(const struct digest_ask *ask, struct bytes text, struct arena *a,
                              struct digest_repositories *out, const char **out_why);
int digest_subjects_parse(const struct digest_ask *ask, struct bytes text, struct arena *a,
                          struct digest_subjects *out, const char **out_why);
int digest_subject_parse(const struct digest_ask *ask, struct bytes text, struct arena *a,
                         struct differ_told *out, const char **out_why);

#endif
