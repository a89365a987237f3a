// SPDX-License-Identifier: Apache-2.0
// Pages of a snapshot, made from the log; see meta_snapshot.h. Taking them is meta_ingest.c's.
//
// Invariants
//   1. What is left out of a register was outdone there by an entry of the same origin that is in
//      the snapshot: merging it would change nothing, whatever other origins wrote.
//      What is spent is left out, too (meta_spent.h): it says nothing beside what other origins wrote.
//   2. A page ends behind a register, or within one behind a place: the next page begins there.
#include "store/meta_snapshot.h"

#include "base/err.h"
#include "store/backend_chain.h"
#include "store/backend_survey.h"
#include "store/meta_group.h"
#include "store/meta_spent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 500       // rows that are read in one piece
#define LOOKS_MAX 10000 // rows behind which a page ends with its register
#define ENTRY_COST 512  // bytes of an entry's line beside body and content

// What ends something comes before what it ends, so that no content is fetched for it; a manifest
// before what leads to it.
static const enum entry_kind kinds[SNAPSHOT_KINDS] = {
    ENTRY_MANIFEST_GONE, ENTRY_TAG_GONE,      ENTRY_UNKNOWN,  ENTRY_MANIFEST,
    ENTRY_TAG,           ENTRY_MANIFEST_LOCK, ENTRY_TAG_LOCK, ENTRY_REPOSITORY_LOCK};

struct maker {
    struct tx *tx;
    const struct snapshot_ask *ask;
    struct arena *a;
    struct register_group *g;
    // in which repository, and which of its kinds
    const char *repository;
    unsigned nth;
    struct feed_entry *entries;
    size_t n, bytes;
    uint64_t looked;
    // the page ends at `next`
    bool full;
    struct snapshot_at next;
};

// --- into the page ---

// `place`: one that is spent is given all the same, for its place alone; else it is left out.
static int entry_give(struct maker *k, int64_t id, bool place)
{
    struct feed_entry *e = &k->entries[k->n];
    bool spent = false;
    int rc = log_get(k->tx, id, k->a, e);
    if (!rc && !e->ended)
        rc = entry_spent(k->tx, e, &spent);
    if (!rc && !spent)
        rc = entry_content_fill(k->tx, k->a, e);
    if (rc || (spent && !place))
        return rc;
    if (spent) {
        e->ended = true;
        e->content = (struct bytes){0};
    }
    k->n++;
    k->bytes += ENTRY_COST + e->body.n + e->content.n + e->content.n / 3;
    return 0;
}

static bool has_room(const struct maker *k)
{
    return k->n < k->ask->max && k->bytes < k->ask->max_bytes;
}

static int place_order(const void *a, const void *b)
{
    const struct group_entry *x = a, *y = b;
    return feed_mark_order(&x->place, &y->place);
}

// 2: the next page begins behind this register, or within it.
static int page_end(struct maker *k, const struct feed_mark *within)
{
    const struct register_group *g = k->g;
    k->full = true;
    k->next = (struct snapshot_at){.repository = k->repository,
                                   .nth = k->nth,
                                   .tag = arena_strdup(k->a, g->tag),
                                   .digest = g->digest};
    if (within) { // none given yet: behind a place that no entry has
        k->next.epoch = within->epoch ? within->epoch : 1;
        k->next.seq = within->seq;
    }
    return k->next.tag ? 0 : ERR_NOMEM;
}

// The register's rows were all looked at.
static int group_give(struct maker *k)
{
    struct register_group *g = k->g;
    struct feed_mark last = g->given;
    if (!g->open)
        return 0;
    g->open = false;
    group_close(g);
    qsort(g->list, g->n, sizeof g->list[0], place_order);
    for (size_t i = 0; i < g->n; i++) {
        if (feed_mark_order(&g->list[i].place, &g->given) <= 0)
            continue;
        if (!has_room(k))
            return page_end(k, &last);
        int rc = entry_give(k, g->list[i].id, false);
        if (rc)
            return rc;
        last = g->list[i].place;
    }
    if (g->overflows)
        return page_end(k, &last);
    k->looked += g->looked;
    if (!has_room(k) || k->looked >= LOOKS_MAX)
        return page_end(k, NULL);
    return 0;
}

// --- one kind of a repository, register by register ---

// Before the first row that is to be looked at.
static struct kind_at walk_from(enum entry_kind kind, const struct snapshot_at *after)
{
    struct kind_at at = {.tag = ""};
    if (!after->tag)
        return at;
    bool whole = after->epoch == 0;
    at.tag = after->tag;
    at.digest = after->digest;
    if (whole)
        at.id = INT64_MAX;
    if (whole && (group_by_tag(kind) || kind == ENTRY_UNKNOWN)) {
        at.digest = (struct digest){.alg = UINT8_MAX, .n = sizeof at.digest.b};
        memset(at.digest.b, 0xff, sizeof at.digest.b);
    }
    return at;
}

static int row_take(struct maker *k, enum entry_kind kind, const struct log_row *row,
                    const struct snapshot_at **within)
{
    if (!group_is_of(k->g, &row->entry)) {
        int rc = group_give(k);
        if (rc || k->full)
            return rc;
        group_begin(k->g, kind, &row->entry, *within);
        *within = NULL; // only the first register was given in part
    }
    group_take(k->g, row);
    return 0;
}

static int kind_walk(struct maker *k, const struct kind_query *q, const struct snapshot_at *after)
{
    const struct snapshot_at *within = after->epoch ? after : NULL;
    struct kind_at at = walk_from(q->kind, after);
    struct arena chunks[2];
    size_t n = CHUNK, turn = 0;
    int rc = 0;
    arena_init(&chunks[0], 0);
    arena_init(&chunks[1], 0);
    k->g->open = false;
    while (!rc && !k->full && n == CHUNK) {
        struct log_row *rows;
        turn = !turn; // `at` lies in the other one
        arena_done(&chunks[turn]);
        arena_init(&chunks[turn], 0);
        rc = survey_kind_next(k->tx, q, &at, CHUNK, &chunks[turn], &rows, &n, &at);
        for (size_t i = 0; !rc && !k->full && i < n; i++)
            rc = row_take(k, q->kind, &rows[i], &within);
    }
    if (!rc && !k->full)
        rc = group_give(k);
    arena_done(&chunks[0]);
    arena_done(&chunks[1]);
    return rc;
}

// --- a registry, repository by repository ---

static int repository_walk(struct maker *k, const struct snapshot_at *after)
{
    static const struct snapshot_at start = {0};
    int rc = 0;
    for (k->nth = after->nth; !rc && !k->full && k->nth < SNAPSHOT_KINDS; k->nth++) {
        const struct kind_query q = {.origin = k->ask->origin,
                                     .registry = k->ask->registry,
                                     .repository = k->repository,
                                     .kind = kinds[k->nth],
                                     .upto = k->ask->upto};
        // An unknown kind is one register: when it is done, so is the kind.
        if (k->nth == after->nth && q.kind == ENTRY_UNKNOWN && after->tag && !after->epoch)
            continue;
        rc = kind_walk(k, &q, k->nth == after->nth ? after : &start);
    }
    return rc;
}

// The last entry of the chain: what the feed brings goes on from it.
static int chain_give(struct maker *k)
{
    const struct chain_query q = {
        .origin = k->ask->origin, .registry = k->ask->registry, .upto = &k->ask->upto};
    struct chain_head head;
    struct log_row *rows;
    size_t n = 0;
    int rc = chain_last(k->tx, &q, &head);
    if (rc)
        return missing_ok(rc);
    rc = survey_read_from(k->tx, k->ask->origin, &head.at, 1, k->a, &rows, &n);
    if (!rc && n == 0)
        rc = ERR_CORRUPT;
    if (rc)
        return rc;
    return entry_give(k, rows[0].id, true);
}

static int page_make(struct maker *k)
{
    const struct snapshot_at *after = &k->ask->after;
    static const struct snapshot_at start = {0};
    int rc = 0;
    k->repository = after->repository;
    if (after->repository)
        rc = repository_walk(k, after);
    else
        rc = chain_give(k);
    while (!rc && !k->full) {
        rc = survey_repository_next(k->tx, k->ask->origin, k->ask->registry, k->repository, k->a,
                                    &k->repository);
        if (rc == ERR_NOTFOUND)
            return 0;
        if (!rc)
            rc = repository_walk(k, &start);
    }
    return rc;
}

int meta_snapshot_read(struct meta *m, const struct snapshot_ask *ask, struct arena *a,
                       struct snapshot_page *out)
{
    struct maker k = {.ask = ask, .a = a};
    if (ask->after.nth >= SNAPSHOT_KINDS || !ask->max)
        return ERR_INVAL;
    k.g = arena_alloc(a, sizeof *k.g);
    k.entries = arena_array(a, ask->max + 1, sizeof *k.entries);
    if (!k.g || !k.entries)
        return ERR_NOMEM;
    int rc = backend_read_moment(m->b, &k.tx);
    if (rc)
        return rc;
    rc = page_make(&k);
    tx_end(k.tx);
    if (rc)
        return rc;
    *out = (struct snapshot_page){
        .entries = k.entries, .n = k.n, .looked = k.looked, .at_end = !k.full, .next = k.next};
    return 0;
}

int meta_snapshot_count(struct meta *m, const char *origin, const char *registry,
                        const struct feed_mark *upto, uint64_t *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = survey_count(tx, origin, registry, upto, out);
    tx_end(tx);
    return rc;
}
