// SPDX-License-Identifier: Apache-2.0
// See meta_retention.h.
//
// Invariants
//   1. A row is judged by one value of its register; meta_rule_delete refuses when that value is no
//      longer the one that stands, so nothing goes that was not judged.
//   2. Work of one call is bounded: it looks at no more than LOOKS_MAX tags or manifests, except to
//      count the tags of a keep-last rule, whose stamps alone it reads.
#include "store/meta_retention.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/meta.h"
#include "store/meta_delete.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PAGE 500       // rows that are read at once
#define LOOKS_MAX 4000 // in one call

// Where a call goes on: 't' and a tag, or 'm' and a digest; nothing behind it: from the first.
enum part { PART_TAGS = 't', PART_MANIFESTS = 'm' };

struct scan {
    struct meta *m;
    const struct retention_query *q;
    struct arena *a;
    bool repository_locked;
    struct retention_row *rows;
    size_t n, n_looked;
};

static bool is_full(const struct scan *s)
{
    return s->n == s->q->max || s->n_looked >= LOOKS_MAX;
}

static int64_t age_of(const struct scan *s, int64_t since_ms)
{
    if (since_ms > s->q->now_ms)
        return 0;
    return s->q->now_ms - since_ms;
}

static const char *span_text(int64_t ms, char out[32])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (ms < 2 * units[i].ms)
            continue;
        snprintf(out, 32, "%lld %s", (long long)(ms / units[i].ms), units[i].unit);
        return out;
    }
    snprintf(out, 32, "%lld s", (long long)(ms / 1000));
    return out;
}

// --- the newest tags ---

// The lowest of the `max` highest stamps, as a heap with the lowest on top.
struct newest {
    uint64_t *heap;
    size_t n, max;
    // all that were counted
    size_t n_all;
};

static void heap_down(struct newest *w)
{
    size_t i = 0;
    for (;;) {
        size_t low = i, left = 2 * i + 1, right = left + 1;
        if (left < w->n && w->heap[left] < w->heap[low])
            low = left;
        if (right < w->n && w->heap[right] < w->heap[low])
            low = right;
        if (low == i)
            return;
        uint64_t t = w->heap[i];
        w->heap[i] = w->heap[low];
        w->heap[low] = t;
        i = low;
    }
}

static void heap_up(struct newest *w, size_t i)
{
    while (i && w->heap[i] < w->heap[(i - 1) / 2]) {
        uint64_t t = w->heap[i];
        w->heap[i] = w->heap[(i - 1) / 2];
        w->heap[(i - 1) / 2] = t;
        i = (i - 1) / 2;
    }
}

static void newest_add(struct newest *w, uint64_t stamp)
{
    w->n_all++;
    if (w->n < w->max) {
        w->heap[w->n] = stamp;
        heap_up(w, w->n++);
        return;
    }
    if (stamp <= w->heap[0])
        return;
    w->heap[0] = stamp;
    heap_down(w);
}

// Counts one page. *after: its last tag, in `last`; NULL: that was the end.
static int newest_page(const struct scan *s, struct newest *w, const char **after, char *last,
                       size_t cap)
{
    struct arena a;
    struct tag_detail *tags;
    size_t n = 0;
    arena_init(&a, 0);
    int rc = meta_tags_detail(s->m, s->q->registry, s->q->repository, *after, PAGE, &a, &tags, &n);
    for (size_t i = 0; !rc && i < n; i++)
        if (policy_tag_counted(s->q->policy, tags[i].tag))
            newest_add(w, tags[i].stamp);
    *after = NULL;
    if (!rc && n == PAGE) {
        snprintf(last, cap, "%s", tags[n - 1].tag);
        *after = last;
    }
    arena_done(&a);
    return rc;
}

// Tags below *out go; 0: none does.
static int newest_floor(const struct scan *s, uint64_t *out)
{
    struct newest w = {.max = s->q->policy->retention.keep_last};
    char last[RETENTION_CURSOR_SIZE];
    const char *after = NULL;
    w.heap = mem_zalloc_array(w.max, sizeof *w.heap);
    if (!w.heap)
        return ERR_NOMEM;
    int rc;
    do {
        rc = newest_page(s, &w, &after, last, sizeof last);
    } while (!rc && after);
    if (!rc)
        *out = w.n_all > w.max ? w.heap[0] : 0;
    free(w.heap);
    return rc;
}

// --- rows ---

static int tag_row(struct scan *s, const struct tag_detail *t)
{
    struct retention_row *row = &s->rows[s->n];
    *row = (struct retention_row){.digest = t->digest,
                                  .rule = "keep-last",
                                  .age_ms = age_of(s, hlc_wall_ms(t->stamp)),
                                  .locked = s->repository_locked || t->lock_delete,
                                  .stamp = t->stamp,
                                  .epoch = t->epoch};
    row->tag = arena_strdup(s->a, t->tag);
    row->origin = arena_strdup(s->a, t->origin);
    row->why = arena_printf(s->a, "it is not among the %u newest tags that the rule names",
                            s->q->policy->retention.keep_last);
    if (!row->tag || !row->origin || !row->why)
        return ERR_NOMEM;
    s->n++;
    return 0;
}

static int manifest_row(struct scan *s, const struct manifest_detail *d, int64_t age_ms)
{
    char age[32], rule[32];
    struct retention_row *row = &s->rows[s->n];
    *row = (struct retention_row){.digest = d->digest,
                                  .rule = "untagged",
                                  .age_ms = age_ms,
                                  .size_bytes = d->size,
                                  .locked = s->repository_locked || d->lock_delete,
                                  .stamp = d->stamp,
                                  .epoch = d->epoch};
    row->origin = arena_strdup(s->a, d->origin);
    row->why = arena_printf(s->a, "%s for %s, and the rule keeps it for %s",
                            d->has_subject ? "its subject is gone and no tag names it"
                                           : "no tag names it and no index refers to it",
                            span_text(age_ms, age),
                            span_text((int64_t)s->q->policy->retention.untagged_ms, rule));
    if (!row->origin || !row->why)
        return ERR_NOMEM;
    s->n++;
    return 0;
}

// Nothing but its own entry keeps it.
static bool is_untagged(const struct manifest_detail *d)
{
    if (d->n_tags || d->held & (HELD_BY_TAG | HELD_BY_INDEX))
        return false;
    if (d->has_subject && d->subject_live)
        return false;
    return d->held & HELD_ASSERTED;
}

static int64_t untagged_since(const struct manifest_detail *d)
{
    int64_t made_ms = hlc_wall_ms(d->stamp);
    return d->untagged_ms > made_ms ? d->untagged_ms : made_ms;
}

// --- pages ---

// Goes on until the scan is full or the tags end. *after: as in newest_page.
static int tags_page(struct scan *s, uint64_t floor, const char **after, char *last, size_t cap)
{
    struct arena a;
    struct tag_detail *tags;
    size_t n = 0, i = 0;
    arena_init(&a, 0);
    int rc = meta_tags_detail(s->m, s->q->registry, s->q->repository, *after, PAGE, &a, &tags, &n);
    for (; !rc && i < n && !is_full(s); i++) {
        s->n_looked++;
        if (tags[i].stamp < floor && policy_tag_counted(s->q->policy, tags[i].tag))
            rc = tag_row(s, &tags[i]);
    }
    bool ends = i == n && n < PAGE;
    *after = NULL;
    if (!rc && !ends) {
        snprintf(last, cap, "%s", i ? tags[i - 1].tag : "");
        *after = last;
    }
    arena_done(&a);
    return rc;
}

static int manifests_page(struct scan *s, const struct digest **after, struct digest *last)
{
    struct arena a;
    struct manifest_detail *list;
    size_t n = 0, i = 0;
    int64_t keep_ms = (int64_t)s->q->policy->retention.untagged_ms;
    arena_init(&a, 0);
    int rc =
        meta_manifests_list(s->m, s->q->registry, s->q->repository, *after, PAGE, &a, &list, &n);
    for (; !rc && i < n && !is_full(s); i++) {
        s->n_looked++;
        int64_t age_ms = age_of(s, untagged_since(&list[i]));
        if (is_untagged(&list[i]) && age_ms >= keep_ms)
            rc = manifest_row(s, &list[i], age_ms);
    }
    bool ends = i == n && n < PAGE;
    *after = NULL;
    if (!rc && !ends) {
        assert(i); // a scan that is not full looks at one at least
        *last = list[i - 1].digest;
        *after = last;
    }
    arena_done(&a);
    return rc;
}

static int tags_scan(struct scan *s, const char *after, const char **out_next)
{
    char last[RETENTION_CURSOR_SIZE];
    uint64_t floor = 0;
    int rc = newest_floor(s, &floor);
    if (rc || !floor)
        return rc;
    do {
        rc = tags_page(s, floor, &after, last, sizeof last);
    } while (!rc && after && !is_full(s));
    if (rc || !after)
        return rc;
    *out_next = arena_printf(s->a, "%c%s", PART_TAGS, after);
    return *out_next ? 0 : ERR_NOMEM;
}

static int manifests_scan(struct scan *s, const struct digest *after, const char **out_next)
{
    struct digest last;
    char text[DIGEST_TEXT_SIZE];
    int rc = 0;
    do {
        rc = manifests_page(s, &after, &last);
    } while (!rc && after && !is_full(s));
    if (rc || !after)
        return rc;
    *out_next = arena_printf(s->a, "%c%s", PART_MANIFESTS, digest_format(after, text));
    return *out_next ? 0 : ERR_NOMEM;
}

// --- the plan ---

struct place {
    enum part part;
    // NULL: from the first
    const char *tag;
    const struct digest *digest;
    struct digest held;
};

static int place_parse(const char *after, struct place *out)
{
    *out = (struct place){.part = PART_TAGS};
    if (!after || !*after)
        return 0;
    if (*after == PART_TAGS) {
        if (after[1])
            out->tag = after + 1;
        return 0;
    }
    if (*after != PART_MANIFESTS)
        return ERR_INVAL;
    out->part = PART_MANIFESTS;
    if (!after[1])
        return 0;
    if (digest_parse(after + 1, strlen(after + 1), &out->held))
        return ERR_INVAL;
    out->digest = &out->held;
    return 0;
}

static int scan_run(struct scan *s, struct place *p, const char **out_next)
{
    const struct retention_policy *rules = &s->q->policy->retention;
    if (p->part == PART_TAGS && rules->keep_last) {
        int rc = tags_scan(s, p->tag, out_next);
        if (rc || *out_next)
            return rc;
    }
    if (!rules->untagged_ms)
        return 0;
    if (is_full(s)) {
        *out_next = "m"; // PART_MANIFESTS, from the first
        return 0;
    }
    return manifests_scan(s, p->digest, out_next);
}

int meta_retention_plan(struct meta *m, const struct retention_query *q, struct arena *a,
                        struct retention_plan *out)
{
    struct scan s = {.m = m, .q = q, .a = a};
    struct place p;
    struct lock_state lock;
    const char *next = NULL;
    assert(q->max > 0);
    int rc = place_parse(q->after, &p);
    if (rc)
        return rc;
    rc = meta_lock_get(m, q->registry, q->repository, NULL, NULL, a, &lock);
    if (rc)
        return rc;
    s.repository_locked = lock.del;
    s.rows = arena_array(a, q->max, sizeof *s.rows);
    if (!s.rows)
        return ERR_NOMEM;
    rc = scan_run(&s, &p, &next);
    if (rc)
        return rc;
    *out = (struct retention_plan){.rows = s.rows, .n = s.n, .next = next};
    return 0;
}

// --- making it go ---

static int row_delete(struct meta *m, const struct retention_query *q,
                      const struct retention_row *row)
{
    const struct rule_delete r = {.registry = q->registry,
                                  .repository = q->repository,
                                  .tag = row->tag,
                                  .digest = row->tag ? NULL : &row->digest,
                                  .stamp = row->stamp,
                                  .epoch = row->epoch,
                                  .origin = row->origin,
                                  .rule = row->rule};
    uint64_t stamp;
    return meta_rule_delete(m, &r, &stamp);
}

// It changed since it was judged: another look decides.
static bool is_overtaken(int rc)
{
    return rc == ERR_CONFLICT || rc == ERR_NOTFOUND || rc == ERR_LOCKED;
}

int meta_retention_run(struct meta *m, const struct retention_query *q, struct arena *a,
                       struct retention_done *out)
{
    struct retention_plan plan;
    struct retention_done done = {0};
    int rc = meta_retention_plan(m, q, a, &plan);
    for (size_t i = 0; !rc && i < plan.n; i++) {
        const struct retention_row *row = &plan.rows[i];
        if (row->locked) {
            done.n_kept++;
            continue;
        }
        rc = row_delete(m, q, row);
        if (is_overtaken(rc)) {
            done.n_kept++;
            rc = 0;
        } else if (!rc && row->tag) {
            done.n_tags++;
        } else if (!rc) {
            done.n_manifests++;
        }
    }
    if (rc)
        return rc;
    done.next = plan.next;
    *out = done;
    return 0;
}
