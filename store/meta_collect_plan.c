// SPDX-License-Identifier: Apache-2.0
// What the collection would take, and what takes the room; see meta_collect.h. Reads only.
#include "store/meta_collect.h"

#include "base/err.h"
#include "store/meta_priv.h"
#include "store/meta_unknown.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct plan {
    struct meta *m;
    struct arena *a;
    int64_t now_ms;
    struct collect_item *items;
    size_t n, max;
};

static int64_t left_of(const struct plan *p, int64_t since_ms, int64_t lasts_ms)
{
    int64_t left_ms = since_ms + lasts_ms - p->now_ms;
    return left_ms > 0 ? left_ms : 0;
}

// --- leases ---

static const char *lease_why(struct tx *tx, const struct plan *p, const struct hold_row *row)
{
    if (repository_frozen(tx, row->registry, row->repository) == ERR_FROZEN)
        return "it stays: an entry that this version does not know freezes the repository";
    if (*row->hold.peer)
        return arena_printf(p->a, "it came from %s for a push, and no manifest links it",
                            row->hold.peer);
    return "no live manifest of the repository refers to it, and its lease ends";
}

static int lease_item(struct tx *tx, struct plan *p, const struct hold_row *row)
{
    struct collect_item *item = &p->items[p->n];
    *item = (struct collect_item){
        .kind = COLLECT_LEASE,
        .registry = row->registry,
        .repository = row->repository,
        .digest = row->digest,
        .size = row->hold.size,
        .why = lease_why(tx, p, row),
        .left_ms = left_of(p, row->hold.since_ms, meta_lease_grace(p->m)),
    };
    if (!item->why)
        return ERR_NOMEM;
    p->n++;
    return 0;
}

// "<era>.<since>.<repository>.<digest>"
static const char *place_format(struct arena *a, const struct lease_place *at)
{
    char digest[DIGEST_TEXT_SIZE];
    return arena_printf(a, "%" PRIu64 ".%" PRId64 ".%" PRId64 ".%s", at->era, at->since_ms,
                        at->repo, digest_format(&at->digest, digest));
}

// Digits and a dot. Numbers in a row are below 2^63.
static bool number_take(const char **text, uint64_t *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *out = strtoull(*text, &end, 10);
    if (*end != '.' || *out > INT64_MAX)
        return false;
    *text = end + 1;
    return true;
}

static int place_parse(const char *text, struct lease_place *out)
{
    uint64_t since, repo;
    if (!number_take(&text, &out->era) || !number_take(&text, &since) || !number_take(&text, &repo))
        return ERR_INVAL;
    out->since_ms = (int64_t)since;
    out->repo = (int64_t)repo;
    return digest_parse(text, strlen(text), &out->digest) ? ERR_INVAL : 0;
}

static int leases_plan(struct tx *tx, struct plan *p, const char *registry, const char *after,
                       const char **out_after)
{
    struct lease_place place, *at = NULL;
    struct hold_row *rows;
    size_t n;
    int rc = 0;
    if (*after) {
        at = &place;
        rc = place_parse(after, at);
    }
    if (!rc)
        rc = leases_after(tx, registry, at, p->max, p->a, &rows, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = lease_item(tx, p, &rows[i]);
    if (rc)
        return rc;
    *out_after = "";
    if (n == p->max)
        *out_after = place_format(p->a, &rows[n - 1].place);
    return *out_after ? 0 : ERR_NOMEM;
}

// --- contents of dead manifests ---

static int manifests_plan(struct tx *tx, struct plan *p, const char *registry)
{
    struct died_row *rows;
    size_t n;
    int64_t now_wall_ms = clock_wall_ms(), grace_ms = meta_lease_grace(p->m);
    int rc = manifests_died(tx, INT64_MAX, META_PLAN_BLOBS, p->a, &rows, &n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (registry && strcmp(rows[i].registry, registry) != 0)
            continue;
        int64_t left_ms = rows[i].died_ms + grace_ms - now_wall_ms;
        p->items[p->n++] = (struct collect_item){
            .kind = COLLECT_MANIFEST,
            .registry = rows[i].registry,
            .repository = rows[i].repository,
            .digest = rows[i].digest,
            .size = rows[i].size,
            .why = "it was deleted, and neither a tag, nor an index, nor a lock keeps it",
            .left_ms = left_ms > 0 ? left_ms : 0,
        };
    }
    return 0;
}

// --- blobs that nobody holds ---

static int blobs_plan(struct tx *tx, struct plan *p, enum blob_state state, const char *why,
                      int64_t lasts_ms)
{
    struct blob_row *rows;
    size_t n;
    int rc = blobs_in(tx, state, INT64_MAX, META_PLAN_BLOBS, p->a, &rows, &n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        p->items[p->n++] = (struct collect_item){
            .kind = COLLECT_BLOB,
            .registry = "",
            .repository = "",
            .digest = rows[i].name.digest,
            .size = rows[i].size,
            .why = why,
            .left_ms = left_of(p, rows[i].since_ms, lasts_ms),
        };
    return 0;
}

static int plan_read(struct tx *tx, struct plan *p, const char *registry, const char *after,
                     const char **out_after)
{
    int rc = leases_plan(tx, p, registry, after, out_after);
    bool more = !rc && **out_after;
    if (rc || more)
        return rc;
    rc = manifests_plan(tx, p, registry);
    if (rc || registry)
        return rc;
    rc = blobs_plan(tx, p, BLOB_CONDEMNED, "no repository has it any more",
                    meta_lease_grace(p->m) / META_CONDEMNED_PART);
    if (rc)
        return rc;
    return blobs_plan(tx, p, BLOB_DELETED, "its file is being removed", 0);
}

int meta_collect_plan(struct meta *m, const char *registry, const char *after, size_t max,
                      struct arena *a, struct collect_item **out, size_t *out_n,
                      const char **out_after)
{
    struct plan p = {.m = m, .a = a, .now_ms = clock_mono_ms(), .max = max};
    struct tx *tx;
    p.items = arena_array(a, max + 3 * META_PLAN_BLOBS, sizeof *p.items);
    if (!p.items)
        return ERR_NOMEM;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = plan_read(tx, &p, registry, after, out_after);
    tx_end(tx);
    if (rc)
        return rc;
    *out = p.items;
    *out_n = p.n;
    return 0;
}

// --- room ---

static int report_make(struct arena *a, const struct space_sums *sums, const struct space_row *rows,
                       size_t n, struct space_report *out)
{
    struct space_registry *list = arena_array(a, n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        list[i] = (struct space_registry){rows[i].registry, rows[i].bytes, rows[i].own_bytes};
    *out = (struct space_report){.bytes = sums->bytes,
                                 .blobs = sums->blobs,
                                 .shared_bytes = sums->shared_bytes,
                                 .condemned_bytes = sums->free_bytes,
                                 .registries = list,
                                 .n = n};
    return 0;
}

int meta_space_report(struct meta *m, struct arena *a, struct space_report *out)
{
    struct tx *tx;
    struct space_sums sums;
    struct space_row *rows;
    size_t n;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = space_read(tx, a, &sums, &rows, &n);
    tx_end(tx);
    if (rc)
        return rc;
    return report_make(a, &sums, rows, n, out);
}
