// SPDX-License-Identifier: Apache-2.0
// Snapshots of another region, page by page into the store; see join.h.
#include "replication/join.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/cursor.h"
#include "replication/join_state.h"
#include "replication/peer.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BUSY_LOOK_MS 100 // at a store that is busy

struct join {
    struct replicator *r;
    struct peer *p;
    const struct topology *t;
    const struct region *origin;
    // zero: not chosen yet
    struct feed_mark at;
    bool has_at;
    // a page was taken, now or in a run before
    bool begun;
    struct join_row row;
    // of the page that is being read
    struct page_rules rules;
    struct arena a;
    struct feed_entry *entries;
    size_t n;
    struct page_foot foot;
    struct buf body;
};

// --- one page ---

static int line_take(void *ctx, struct bytes text)
{
    struct join *j = ctx;
    struct page_line l;
    const char *why = NULL;
    int rc = snapshot_line_accept(&j->rules, text, &j->a, &l, &why);
    if (rc) {
        if (rc == ERR_AUTH)
            peer_forged(j->p, why ? why : err_text(rc), NULL);
        if (rc != ERR_NOMEM)
            peer_failed(j->p, "snapshot of %s: line refused: %s", j->row.registry, why);
        return rc;
    }
    switch (l.kind) {
    case SNAPSHOT_HEAD:
        break;
    case SNAPSHOT_ENTRY:
        assert(j->n < SNAPSHOT_ENTRIES_MAX);
        j->entries[j->n++] = l.entry;
        break;
    case SNAPSHOT_FOOT:
        j->foot = l.foot;
        break;
    }
    return 0;
}

// 1
static int page_judge(struct join *j)
{
    j->n = 0;
    j->rules = (struct page_rules){
        .registry = j->row.registry, .at = j->has_at ? &j->at : NULL, .first = !*j->row.next};
    j->rules.feed = (struct feed_rules){.topology = j->t,
                                        .self = topology_region(j->t, j->r->o.region),
                                        .origin = j->origin,
                                        .verify = j->r->o.verify,
                                        .limit = meta_stamp_limit(j->r->o.meta),
                                        .vouched = true};
    j->entries = arena_array(&j->a, SNAPSHOT_ENTRIES_MAX, sizeof *j->entries);
    if (!j->entries)
        return ERR_NOMEM;
    int rc = feed_lines_take(&j->body, line_take, j);
    if (rc)
        return rc;
    if (j->rules.ended && !j->body.n)
        return 0;
    peer_failed(j->p, "snapshot of %s: a page broke off", j->row.registry);
    return ERR_PROTO;
}

static int page_status(struct join *j, int status)
{
    if (status == 200)
        return 0;
    // an earlier release, or it does not know yet, by its topology, that the registry is shared
    if (status == 404 || status == 405 || status == 403 || status == 400)
        return ERR_UNSUPPORTED;
    peer_failed(j->p, "snapshot of %s: answered %d", j->row.registry, status);
    return status == 409 ? ERR_CONFLICT : ERR_PROTO;
}

static int page_get(struct join *j)
{
    char cursor[CURSOR_TEXT_SIZE], error[ERROR_TEXT_SIZE] = "";
    char target[CURSOR_TEXT_SIZE + SNAPSHOT_NEXT_SIZE + JOIN_REGISTRY_SIZE + 96];
    int status = 0;
    int n =
        snprintf(target, sizeof target, "/replication/v1/snapshot?registry=%s", j->row.registry);
    if (j->has_at)
        n += snprintf(target + n, sizeof target - (size_t)n, "&at=%s&after=%s",
                      cursor_format(&j->at, cursor), j->row.next);
    if (j->r->o.join_page_max)
        snprintf(target + n, sizeof target - (size_t)n, "&max=%u", j->r->o.join_page_max);
    buf_done(&j->body);
    buf_init(&j->body, 0);
    int rc = peer_get(&j->r->dialer, j->t, peer_name(j->p), target, NULL, NULL, SNAPSHOT_TEXT_MAX,
                      &status, &j->body, error);
    if (rc) {
        peer_failed(j->p, "%s", error);
        return rc;
    }
    peer_seen(j->p);
    return page_status(j, status);
}

// The store may take it later.
static bool store_waits(struct join *j, int rc)
{
    if ((rc != ERR_BUSY && rc != ERR_NOSPACE) || life_stopping(j->r->life))
        return false;
    life_sleep(j->r->life, BUSY_LOOK_MS);
    return true;
}

static int page_store(struct join *j)
{
    int rc;
    do {
        rc = meta_snapshot_take(j->r->o.meta, peer_name(j->p), j->entries, j->n);
    } while (store_waits(j, rc));
    if (!rc && j->n)
        job_queue_kick(j->r->jobs);
    return rc;
}

static int row_save(struct join *j)
{
    j->row.wrote_ms = clock_wall_ms();
    return join_state_set(j->r->o.state_dir, peer_name(j->p), &j->row);
}

static int page_note(struct join *j, size_t n_bytes)
{
    struct join_row *row = &j->row;
    if (j->rules.first)
        row->of = j->rules.chain_seq;
    row->at = j->at;
    row->n_entries += j->n;
    row->n_bytes += n_bytes;
    row->looked += j->foot.looked;
    snprintf(row->next, sizeof row->next, "%s", j->foot.next);
    row->phase = *row->next ? JOIN_IN_PROGRESS : JOIN_COMPLETE;
    return row_save(j);
}

// Sequences begin anew with an epoch; the chain of the registry goes on.
static bool is_short(const struct join *j)
{
    uint64_t min = j->r->o.join_feed_min;
    return j->rules.upto.seq < min && j->rules.chain_seq < min;
}

static int page_take(struct join *j)
{
    arena_init(&j->a, 0);
    int rc = page_get(j);
    size_t n_bytes = j->body.n;
    if (!rc)
        rc = page_judge(j);
    if (!rc && !j->begun && is_short(j))
        rc = ERR_UNSUPPORTED;
    if (!rc) {
        j->begun = true;
        j->at = j->rules.upto;
        j->has_at = true;
        rc = page_store(j);
    }
    if (!rc)
        rc = page_note(j, n_bytes);
    arena_done(&j->a);
    return rc;
}

// --- one registry ---

// Where it stands: at the same place as before it goes on, else it begins.
static void row_begin(struct join *j, const char *registry)
{
    struct join_row *row = &j->row;
    int rc = join_state_get(j->r->o.state_dir, peer_name(j->p), registry, row);
    if (!rc && j->has_at && mark_equal(&row->at, &j->at)) {
        row->error[0] = '\0';
        j->begun = true;
        return;
    }
    *row = (struct join_row){.phase = JOIN_PREPARING, .began_ms = clock_wall_ms()};
    snprintf(row->registry, sizeof row->registry, "%s", registry);
}

static void row_failed(struct join *j, int rc)
{
    struct peer_view v;
    peer_look(j->p, &v);
    j->row.phase = JOIN_FAILED;
    snprintf(j->row.error, sizeof j->row.error, "%s", *v.last_error ? v.last_error : err_text(rc));
    (void)row_save(j); // if it cannot be said, the next try says it
}

static int registry_take(struct join *j, const char *registry)
{
    row_begin(j, registry);
    if (j->row.phase == JOIN_COMPLETE)
        return 0;
    uint64_t generation = snapshot_generation(j->r->o.topology);
    int rc = 0;
    do {
        rc = page_take(j);
        if (!rc && (life_stopping(j->r->life) || reading_hold_is_paused(j->r->hold) ||
                    snapshot_generation(j->r->o.topology) != generation))
            rc = ERR_CANCELED; // it goes on from here
    } while (!rc && j->row.phase != JOIN_COMPLETE);
    if (rc == ERR_CANCELED && j->row.phase == JOIN_COMPLETE)
        rc = 0;
    if (rc && rc != ERR_CANCELED && rc != ERR_UNSUPPORTED)
        row_failed(j, rc);
    return rc;
}

// --- all ---

int join_snapshots(struct replicator *r, struct peer *p, const struct topology *t,
                   const char *const *registries, size_t n, const struct feed_mark *mark)
{
    struct join j = {.r = r, .p = p, .t = t, .origin = topology_region(t, peer_name(p))};
    int rc = 0;
    if (!j.origin || j.origin->n_revoked)
        return ERR_UNSUPPORTED;
    j.has_at = !mark_is_zero(mark);
    j.at = *mark;
    // a snapshot that was begun when nothing was read goes on at its place
    if (!j.has_at && !join_state_place(r->o.state_dir, peer_name(p), &j.at))
        j.has_at = true;
    buf_init(&j.body, 0);
    for (size_t i = 0; !rc && i < n; i++)
        rc = registry_take(&j, registries[i]);
    buf_done(&j.body);
    size_t n_forgot;
    if (rc == ERR_CONFLICT &&
        mark_is_zero(mark)) // the origin lost that place: anew, at another one
        (void)join_state_forget_behind(r->o.state_dir, peer_name(p), mark, &n_forgot);
    if (rc || !j.has_at)
        return rc;
    log_info(
        "replication: snapshots of %zu registries of %s are taken: reading its feed from there", n,
        peer_name(p));
    return meta_ingest(r->o.meta, peer_name(p), NULL, 0, &j.at); // 2
}
