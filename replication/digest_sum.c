// SPDX-License-Identifier: Apache-2.0
// Sums over what this region shows; see digest_sum.h.
#include "replication/digest_sum.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>

#define PAGE 200

struct summing {
    struct meta *m;
    const char *registry, *repository;
    const struct digest_range *range;
    struct shown_item *page;
    struct digest_summed s;
    bool any;
};

// Adds a page. *out_end: the range is done.
static int page_add(struct summing *w, bool *out_end)
{
    size_t n = 0, max = w->range->max - w->s.sum.n;
    const struct shown_subject *after = w->any ? &w->s.last : w->range->after;
    int rc = meta_shown_walk(w->m, w->registry, w->repository, after, max < PAGE ? max : PAGE,
                             w->page, &n, out_end);
    for (size_t i = 0; !rc && i < n; i++) {
        const struct shown_subject *s = &w->page[i].subject;
        if (w->range->upto && shown_subject_order(s, w->range->upto) > 0) {
            *out_end = true;
            return 0;
        }
        shown_sum_add(&w->s.sum, &w->page[i]);
        w->s.last = *s;
        w->any = true;
    }
    return rc;
}

int digest_sum(struct meta *m, const char *registry, const char *repository,
               const struct digest_range *range, struct digest_summed *out)
{
    struct summing w = {.m = m, .registry = registry, .repository = repository, .range = range};
    bool is_end = false;
    int rc = 0;
    assert(range->max > 0);
    AUTO_FREE struct shown_item *page = mem_zalloc_array(PAGE, sizeof *page);
    if (!page)
        return ERR_NOMEM;
    w.page = page;
    while (!rc && !is_end && w.s.sum.n < range->max)
        rc = page_add(&w, &is_end);
    if (rc)
        return rc;
    w.s.whole = is_end;
    *out = w.s;
    return 0;
}
