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
#include "replication/words.h"
#include "store/meta_floor.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUSY_LOOK_MS 100 // at a store that is busy

struct join {
    struct replicator *r;
    struct peer *p;
    const struct topology *t;
    const struct region *origin;
    const struct join_ask *ask;
    struct join_result *result;
    // the place that is chosen once for all registries whose own is not known; zero: not yet
    struct feed_mark common;
    uint64_t generation;
    int64_t slice_end_mono;
    struct join_row row;
    // What failed is of this registry alone, and row.error says it.
    bool of_registry;
    // of the page that is being read
    struct page_rules rules;
    struct arena a;
    struct feed_entry *entries;
    size_t n;
    struct page_foot foot;
    struct buf body;
};

static const char *state_dir(const struct join *j)
{
    return j->r->o.state_dir;
}

// A failure of this registry alone: a sentence, and what is to be done about it.
static void __attribute__((format(printf, 2, 3))) fault(struct join *j, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(j->row.error, sizeof j->row.error, fmt, ap);
    va_end(ap);
    j->of_registry = true;
}

// --- one page ---

static void line_fault(struct join *j, int rc, const char *why)
{
    const char *origin = peer_name(j->p);
    if (rc == ERR_AUTH) {
        peer_forged(j->p, why, NULL);
        fault(j,
              "a line was refused: %s. If %s has new keys, name them in the topology (meridian "
              "identities add); if not, somebody else signs in its name",
              why, origin);
    } else if (rc == ERR_AHEAD) {
        fault(j,
              "a line was refused: %s. It is taken when the clocks agree: see meridian replication "
              "status for whose is off, and meridian replication repair-clock",
              why);
    } else {
        fault(j, "a line was refused: %s. Look whether %s runs a release that this one can read",
              why, origin);
    }
}

static int line_take(void *ctx, struct bytes text)
{
    struct join *j = ctx;
    struct page_line l;
    const char *why = NULL;
    int rc = snapshot_line_accept(&j->rules, text, &j->a, &l, &why);
    if (rc == ERR_PROTO || rc == ERR_AUTH || rc == ERR_AHEAD)
        line_fault(j, rc, why);
    if (rc)
        return rc;
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

static bool is_first(const struct join *j)
{
    return !*j->row.next;
}

// 1
static int page_judge(struct join *j)
{
    j->n = 0;
    j->rules = (struct page_rules){.registry = j->row.registry,
                                   .at = mark_is_zero(&j->row.at) ? NULL : &j->row.at,
                                   .first = is_first(j)};
    j->rules.feed = (struct feed_rules){.topology = j->t,
                                        .self = topology_region(j->t, j->r->o.region),
                                        .origin = j->origin,
                                        .verify = j->r->o.verify,
                                        .limit = meta_stamp_limit(j->r->o.meta),
                                        .vouched = j->ask->trimmed};
    j->entries = arena_array(&j->a, SNAPSHOT_ENTRIES_MAX, sizeof *j->entries);
    if (!j->entries)
        return ERR_NOMEM;
    int rc = feed_lines_take(&j->body, line_take, j);
    if (rc)
        return rc;
    if (j->rules.ended && !j->body.n)
        return 0;
    fault(j, "a page broke off: it is asked for again");
    return ERR_PROTO;
}

// The origin has no such place: entries of it became void, or were lost and are being recovered.
// What was begun there is worth nothing.
static int place_lost(struct join *j)
{
    struct feed_mark at = j->row.at;
    (void)voided_take_text(j->p, j->t, &at, bytes_of(j->body.p, j->body.n));
    int rc = join_state_forget_place(state_dir(j), peer_name(j->p), &at);
    if (mark_equal(&j->common, &at))
        j->common = (struct feed_mark){0};
    j->row.at = (struct feed_mark){0};
    j->row.next[0] = '\0';
    j->row.n_entries = j->row.n_bytes = j->row.looked = j->row.of = 0;
    fault(j,
          "it has lost the place that the snapshot goes up to (its entries there became void, or "
          "it was restored): the snapshot is begun anew");
    return rc ? rc : ERR_CONFLICT;
}

static int page_status(struct join *j, int status)
{
    const char *origin = peer_name(j->p);
    if (status == 200)
        return 0;
    if (status == 409 && !mark_is_zero(&j->row.at))
        return place_lost(j);
    // an earlier release
    if ((status == 404 || status == 405 || status == 400) && !j->ask->trimmed)
        return ERR_UNSUPPORTED;
    if (status == 403)
        fault(j,
              "answered 403: %s does not know yet that both regions hold the registry; it is taken "
              "when the topology has come there",
              origin);
    else if (status == 404)
        fault(j,
              "its feed does not have any more what is lacking here, and its release serves no "
              "snapshots: upgrade %s",
              origin);
    else
        fault(j, "answered %d: look into the log of %s", status, origin);
    return ERR_PROTO;
}

static int page_get(struct join *j)
{
    char cursor[CURSOR_TEXT_SIZE], error[ERROR_TEXT_SIZE] = "";
    char target[CURSOR_TEXT_SIZE + SNAPSHOT_NEXT_SIZE + JOIN_REGISTRY_SIZE + 96];
    int status = 0;
    int n =
        snprintf(target, sizeof target, "/replication/v1/snapshot?registry=%s", j->row.registry);
    if (!mark_is_zero(&j->row.at))
        n += snprintf(target + n, sizeof target - (size_t)n, "&at=%s&after=%s",
                      cursor_format(&j->row.at, cursor), j->row.next);
    if (j->r->o.join_page_max)
        snprintf(target + n, sizeof target - (size_t)n, "&max=%u", j->r->o.join_page_max);
    buf_done(&j->body);
    buf_init(&j->body, 0);
    int rc = peer_get_page(&j->r->dialer, j->t, peer_name(j->p), target, SNAPSHOT_TEXT_MAX, &status,
                           &j->body, error);
    if (rc == ERR_TIMEOUT) { // others may have less to look through
        fault(
            j,
            "no page came in time: %.100s. Look whether %s is overloaded, or its disk is slow; it "
            "is asked for again",
            error, peer_name(j->p));
        return rc;
    }
    if (rc) {
        peer_failed(j->p, "%s", error);
        return rc;
    }
    peer_seen(j->p);
    return page_status(j, status);
}

// The store may take it later, and the peer is not to blame.
static bool store_waits(struct join *j, int rc)
{
    if ((rc != ERR_BUSY && rc != ERR_NOSPACE) || life_stopping(j->r->life))
        return false;
    if (rc == ERR_NOSPACE)
        peer_stuck(j->p, rc);
    life_sleep(j->r->life, rc == ERR_BUSY ? BUSY_LOOK_MS : JOIN_RETRY_MIN_MS);
    return true;
}

static int page_store(struct join *j)
{
    int rc;
    do {
        rc = meta_snapshot_take(j->r->o.meta, peer_name(j->p), j->entries, j->n);
    } while (store_waits(j, rc));
    if (rc == ERR_CONFLICT) {
        peer_diverged(j->p);
        fault(j,
              "it says something else than it said before, under the same sequence: see Conflict "
              "in docs/failures.md");
    }
    if (rc)
        return rc;
    peer_stuck(j->p, 0);
    if (j->n)
        job_queue_kick(j->r->jobs);
    return 0;
}

static int row_save(struct join *j)
{
    j->row.wrote_ms = clock_wall_ms();
    return join_state_set(state_dir(j), peer_name(j->p), &j->row);
}

// 3
static int place_note(struct join *j)
{
    if (!mark_is_zero(&j->row.at))
        return 0;
    j->row.at = j->rules.upto;
    j->row.anew = j->ask->anew;
    if (j->ask->anew || mark_is_zero(j->ask->mark))
        j->common = j->row.at;
    return row_save(j);
}

// A floor is what all have applied, so none lies above what this region has; nor, as long as it has
// not read all origins yet, above the clock.
static uint64_t floor_limit(const struct join *j)
{
    uint64_t applied = words_applied_here(j->r->words, j->row.registry);
    return applied ? applied : hlc_from_wall(clock_wall_ms());
}

// What is announced again below it was applied by all; and who creates a tag here comes after it.
static int floor_note(struct join *j)
{
    if (!j->rules.floor || j->rules.floor > floor_limit(j))
        return 0;
    return meta_floor_hear(j->r->o.meta, j->row.registry, j->rules.floor);
}

static int page_note(struct join *j, size_t n_bytes)
{
    struct join_row *row = &j->row;
    if (j->rules.first && j->rules.of)
        row->of = j->rules.of;
    else if (j->rules.first)
        row->of = j->rules.chain_seq; // of an origin that says no more
    row->n_entries += j->n;
    row->n_bytes += n_bytes;
    row->looked += j->foot.looked;
    row->n_failures = 0;
    row->error[0] = '\0';
    snprintf(row->next, sizeof row->next, "%s", j->foot.next);
    row->phase = *row->next ? JOIN_IN_PROGRESS : JOIN_COMPLETE;
    return row_save(j);
}

// Sequences begin anew with an epoch; the chain of the registry goes on. A feed with holes is not to
// be read from its beginning: its origin was recovered from a region that had joined by snapshots.
static bool is_short(const struct join *j)
{
    uint64_t min = j->r->o.join_feed_min;
    bool has_holes = j->rules.of && j->rules.of < j->rules.chain_seq;
    if (j->ask->trimmed || j->ask->anew || has_holes || !mark_is_zero(&j->common))
        return false;
    return j->rules.upto.seq < min && j->rules.chain_seq < min;
}

static int page_take(struct join *j)
{
    arena_init(&j->a, 0);
    int rc = page_get(j);
    size_t n_bytes = j->body.n;
    if (!rc)
        rc = page_judge(j);
    if (!rc && is_first(j) && !j->row.n_entries && is_short(j))
        rc = ERR_UNSUPPORTED;
    if (!rc && j->ask->anew && mark_order(&j->rules.upto, j->ask->mark) <= 0) {
        fault(j, "its feed ends before the place up to which it was read here: it must recover");
        rc = ERR_CONFLICT;
    }
    if (!rc)
        rc = place_note(j);
    if (!rc)
        rc = floor_note(j);
    if (!rc)
        rc = page_store(j);
    if (!rc)
        rc = page_note(j, n_bytes);
    arena_done(&j->a);
    return rc;
}

// --- one registry ---

bool join_row_holds(const struct join_row *row, const struct feed_mark *mark, bool anew)
{
    if (mark_is_zero(&row->at))
        return false;
    if (anew)
        return row->anew && mark_order(&row->at, mark) > 0;
    return mark_is_zero(mark) || mark_order(&row->at, mark) <= 0;
}

// Where a snapshot that begins now goes up to; zero: the first page says.
static struct feed_mark place_of_new(const struct join *j)
{
    if (j->ask->anew || mark_is_zero(j->ask->mark))
        return j->common;
    return *j->ask->mark;
}

static int row_begin(struct join *j, const char *registry)
{
    struct join_row *row = &j->row;
    int rc = join_state_get(state_dir(j), peer_name(j->p), registry, row);
    bool was = !rc;
    j->of_registry = false;
    if (!was || !join_row_holds(row, j->ask->mark, j->ask->anew)) {
        unsigned n_failures = was ? row->n_failures : 0;
        *row = (struct join_row){.at = place_of_new(j),
                                 .anew = j->ask->anew,
                                 .n_failures = n_failures,
                                 .began_ms = clock_wall_ms()};
        snprintf(row->registry, sizeof row->registry, "%s", registry);
    }
    if (row->phase == JOIN_COMPLETE)
        return 0;
    row->phase = row->n_entries ? JOIN_IN_PROGRESS : JOIN_PREPARING;
    row->error[0] = '\0';
    row->run_ms = clock_wall_ms();
    row->run_looked = row->looked;
    row->run_bytes = row->n_bytes;
    return row_save(j);
}

// Of the connection: the reader's own backoff is enough.
static void row_failed(struct join *j, int rc)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    struct peer_view v;
    peer_look(j->p, &v);
    j->row.phase = JOIN_FAILED;
    if (j->of_registry)
        j->row.n_failures++;
    else
        snprintf(j->row.error, sizeof j->row.error, "%s",
                 *v.last_error ? v.last_error : err_text(rc));
    log_limited(&limit, LOG_WARN, "replication: snapshot of %s from %s: %s", j->row.registry,
                peer_name(j->p), j->row.error);
    (void)row_save(j); // if it cannot be said, the next try says it
}

static bool is_over(struct join *j)
{
    if (life_stopping(j->r->life) || reading_hold_is_paused(j->r->hold) ||
        topology_outdated(j->r, j->t, &j->generation))
        return true;
    // there is something that wants its turn
    bool others = !mark_is_zero(j->ask->mark) || j->result->n_complete;
    return others && j->slice_end_mono && clock_mono_ms() >= j->slice_end_mono;
}

static int pages_take(struct join *j)
{
    int rc = 0;
    while (!rc && j->row.phase != JOIN_COMPLETE) {
        if (is_over(j))
            return ERR_CANCELED; // it goes on from here
        rc = page_take(j);
    }
    return rc;
}

static int registry_take(struct join *j, const char *registry)
{
    int rc = row_begin(j, registry);
    if (!rc)
        rc = pages_take(j);
    if (!rc) {
        j->result->n_complete++;
        return 0;
    }
    if (rc == ERR_CANCELED)
        return rc;
    if (rc == ERR_UNSUPPORTED) {
        (void)join_state_forget(state_dir(j), peer_name(j->p), registry);
        return rc;
    }
    row_failed(j, rc);
    if (!j->of_registry)
        return rc;
    j->result->n_failed++;
    return 0;
}

static bool rests(const struct join *j, const char *registry)
{
    struct join_row row;
    if (join_state_get(state_dir(j), peer_name(j->p), registry, &row))
        return false;
    return join_row_rests_ms(&row, clock_wall_ms()) > 0;
}

// --- all ---

// What was begun goes on at its place.
static void common_find(struct join *j)
{
    struct feed_mark at;
    if (!j->ask->anew && !mark_is_zero(j->ask->mark))
        return;
    if (join_state_place(state_dir(j), peer_name(j->p), &at))
        return;
    if (mark_order(&at, j->ask->mark) > 0)
        j->common = at;
}

static int all_take(struct join *j)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < j->ask->n; i++) {
        const char *registry = j->ask->registries[i];
        if (rests(j, registry))
            j->result->n_failed++;
        else
            rc = registry_take(j, registry);
    }
    return rc;
}

int join_snapshots(struct replicator *r, struct peer *p, const struct topology *t,
                   const struct join_ask *ask, struct join_result *out)
{
    struct join j = {.r = r,
                     .p = p,
                     .t = t,
                     .origin = topology_region(t, peer_name(p)),
                     .ask = ask,
                     .result = out};
    *out = (struct join_result){0};
    if (!j.origin || (j.origin->n_revoked && !ask->trimmed))
        return ERR_UNSUPPORTED;
    if (ask->slice_ms)
        j.slice_end_mono = clock_mono_ms() + ask->slice_ms;
    common_find(&j);
    buf_init(&j.body, 0);
    int rc = all_take(&j);
    buf_done(&j.body);
    peer_joined(p, clock_mono_ms());
    // Where nothing was read yet, the feed begins behind the first that is complete.
    bool arrives = ask->anew ? !rc : mark_is_zero(ask->mark);
    if (arrives && out->n_complete)
        out->at = j.common;
    return rc;
}

int join_arrive(struct replicator *r, struct peer *p, const struct feed_mark *at)
{
    log_info("replication: snapshots of %s are taken: its feed is read from there", peer_name(p));
    int rc = meta_ingest(r->o.meta, peer_name(p), NULL, 0, at); // 2
    return rc ? rc : join_state_arrived(r->o.state_dir, peer_name(p), at);
}
