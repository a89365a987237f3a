// SPDX-License-Identifier: Apache-2.0
// Sums over what this region shows (store/meta_shown.h), for the region that asks and for the one
// that answers. Read page by page, never by the store's writer. Any thread; blocks on the database.
//
//   rc = digest_sum(meta, registry, "app", &(struct digest_range){.max = 2000}, &sum);
#ifndef MERIDIAN_REPLICATION_DIGEST_SUM_H
#define MERIDIAN_REPLICATION_DIGEST_SUM_H

#include "store/meta_shown.h"

struct meta;

// A range of subjects of a repository.
struct digest_range {
    // exclusive; NULL: from the first
    const struct shown_subject *after;
    // inclusive; NULL: to the last
    const struct shown_subject *upto;
    // subjects that are looked at, above 0
    size_t max;
};

struct digest_summed {
    struct shown_sum sum;
    // the range is done; else it was left behind `last`
    bool whole;
    struct shown_subject last;
};

int digest_sum(struct meta *m, const char *registry, const char *repository,
               const struct digest_range *range, struct digest_summed *out);

#endif
