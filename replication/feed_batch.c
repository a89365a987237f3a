// SPDX-License-Identifier: Apache-2.0
// What a session has read on its way into the store, and which registries were read without a gap;
// see feed_session_priv.h.
//
// Invariants of feed_session.h: 2 and 3 live here.
//
// Entries may be stored that lie past the mark: nothing says yet that none is missing before them.
// They are read again then.
#include "replication/feed_session_priv.h"

#include "base/err.h"
#include "replication/backfill_state.h"
#include "replication/join_state.h"
#include "store/meta_snapshot.h"

#include <assert.h>

// The store may take it later: the flow pauses by itself meanwhile, and the peer is not to blame.
static bool batch_waits(struct session *s, int rc)
{
    if (rc != ERR_BUSY && rc != ERR_NOSPACE)
        return false;
    if (life_stopping(s->r->life) || reading_hold_is_paused(s->r->hold) || session_outdated(s))
        return false;
    if (rc == ERR_NOSPACE)
        peer_stuck(s->p, rc);
    life_sleep(s->r->life, rc == ERR_BUSY ? BUSY_LOOK_MS : FEED_FULL_LOOK_MS);
    return true;
}

// What a relay holds of a sealed region has holes where it joined by snapshots itself, and where
// entries were dropped. The mark does not move over them.
static int holes_take(struct session *s, struct feed_mark *upto)
{
    *upto = s->stored;
    return meta_snapshot_take(s->r->o.meta, peer_name(s->p), s->entries, s->n_entries);
}

static int batch_store(struct session *s)
{
    struct feed_mark upto = s->rules.proven;
    if (mark_order(&upto, &s->stored) < 0)
        upto = s->stored; // invariant 3
    int rc;
    do {
        rc = meta_ingest(s->r->o.meta, peer_name(s->p), s->entries, s->n_entries, &upto);
        if (rc == ERR_GAP && s->via)
            rc = holes_take(s, &upto);
    } while (batch_waits(s, rc));
    // the origin says something else than it said before, under the same sequence
    if (rc == ERR_CONFLICT)
        peer_diverged(s->p);
    if (rc == ERR_GAP)
        peer_gap(s->p, "it leaves out entries: one of those that it sent does not go on from the "
                       "last one that is held of its registry");
    if (rc)
        return rc;
    peer_stuck(s->p, 0);
    assert(mark_order(&s->stored, &upto) <= 0); // invariant 2
    s->stored = upto;
    if (s->n_entries)
        job_queue_kick(s->r->jobs);
    return 0;
}

static int covered_add(struct session *s)
{
    const char **all = arena_array(&s->names, s->n_covered + s->n_target + 1, sizeof *all);
    size_t n = 0;
    if (!all)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n_covered; i++)
        if (!name_in(s->covered[i], s->target, s->n_target))
            all[n++] = s->covered[i];
    for (size_t i = 0; i < s->n_target; i++)
        all[n++] = s->target[i];
    s->covered = all;
    s->n_covered = n;
    return 0;
}

int session_covers(struct session *s)
{
    int rc = 0;
    if (s->via) {
        rc = covered_add(s);
    } else {
        s->covered = s->target;
        s->n_covered = s->n_target;
    }
    if (!rc)
        rc = backfill_state_set(s->r, peer_name(s->p), s->covered, s->n_covered);
    if (rc)
        return rc;
    return join_state_settle(s->r->o.state_dir, peer_name(s->p), s->target, s->n_target);
}

void batch_reset(struct session *s)
{
    arena_done(&s->batch);
    arena_init(&s->batch, BATCH_BYTES);
}

// The feed was read up to its end without a gap: a snapshot that was begun because its past was gone,
// and that failed or is not complete, is not needed for what was read without a gap before, too.
static int snapshots_settle(struct session *s)
{
    if (s->settled || !s->progressed || !s->caught_up || s->from_start)
        return 0;
    if (!mark_equal(&s->rules.proven, &s->stored))
        return 0;
    s->settled = true;
    return join_state_settle(s->r->o.state_dir, peer_name(s->p), s->covered, s->n_covered);
}

int batch_flush(struct session *s)
{
    assert(s->n_entries <= BATCH_ENTRIES);
    if (!s->n_entries && !s->progressed)
        return 0;
    int rc = 0;
    if (s->n_entries || mark_order(&s->rules.proven, &s->stored) > 0)
        rc = batch_store(s);
    if (!rc && s->from_start && mark_order(&s->rules.proven, &s->stored) >= 0) {
        rc = session_covers(s);
        s->from_start = false;
    }
    if (!rc)
        rc = snapshots_settle(s);
    s->n_entries = 0;
    s->progressed = false;
    batch_reset(s);
    return rc;
}

// --- the greeting ---

bool session_has_new(const struct session *s)
{
    for (size_t i = 0; i < s->n_target; i++)
        if (!name_in(s->target[i], s->covered, s->n_covered))
            return true;
    return false;
}

// What both regions share and the sender says that it sends.
static int target_make(struct session *s, const struct feed_line *l)
{
    uint8_t self = s->rules.self->index, origin = s->rules.origin->index;
    size_t n = shared_registries(s->t, self, origin, NULL, 0);
    const char **want = arena_array(&s->names, n + 1, sizeof *want);
    s->target = arena_array(&s->names, n + 1, sizeof *s->target);
    if (!want || !s->target)
        return ERR_NOMEM;
    shared_registries(s->t, self, origin, want, n);
    for (size_t i = 0; i < n; i++) {
        if (!name_in(want[i], l->registries, l->n_registries))
            continue;
        const char *name = arena_strdup(&s->names, want[i]);
        if (!name)
            return ERR_NOMEM;
        s->target[s->n_target++] = name;
    }
    return 0;
}

// What is no longer sent has a gap from here on: it is not covered any more.
static int covered_shrink(struct session *s)
{
    const char **kept = arena_array(&s->names, s->n_covered + 1, sizeof *kept);
    size_t n_kept = 0;
    if (!kept)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n_covered; i++)
        if (name_in(s->covered[i], s->target, s->n_target))
            kept[n_kept++] = s->covered[i];
    if (n_kept == s->n_covered)
        return 0;
    int rc = backfill_state_set(s->r, peer_name(s->p), kept, n_kept);
    if (rc)
        return rc;
    s->covered = kept;
    s->n_covered = n_kept;
    return 0;
}

static bool covers_target(const struct session *s)
{
    return s->n_covered == s->n_target && !session_has_new(s);
}

// Nothing of it was read yet. A snapshot may be shorter than its feed.
static int first_greet(struct session *s)
{
    if (covers_target(s))
        return 0;
    if (s->n_target && !s->via && !peer_is_short(s->p)) {
        int rc = past_join(s);
        if (!rc)
            rc = past_judge(s);
        if (rc != ERR_UNSUPPORTED)
            return rc;
        peer_found_short(s->p);
    }
    return session_covers(s);
}

int session_greet(struct session *s, const struct feed_line *l)
{
    int rc = target_make(s, l);
    if (rc)
        return rc;
    if (mark_is_zero(&s->stored))
        return first_greet(s);
    if (!s->via)
        rc = covered_shrink(s);
    if (rc)
        return rc;
    if (session_has_new(s))
        return past_judge(s);
    return 0;
}
