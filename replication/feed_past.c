// SPDX-License-Identifier: Apache-2.0
// The past of registries that a session finds new, in turns with the feed of those that are read:
// pages of snapshots for a while, then the feed until it has nothing more, without the registries
// whose snapshots are not complete; see feed_session_priv.h and join.h. On the reader's thread.
#include "replication/feed_session_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "replication/backfill_state.h"
#include "replication/join.h"
#include "replication/join_state.h"

#include <stdio.h>

#define TURN_MS 5000 // of pages, while there are registries to be read; and of the feed, at most

// --- what is to be done ---

struct fresh { // a registry whose past was not read
    const char *name;
    struct join_row row;
    bool holds;
};

static void fresh_get(const struct session *s, const char *name, struct fresh *out)
{
    *out = (struct fresh){.name = name};
    if (join_state_get(s->r->o.state_dir, peer_name(s->p), name, &out->row) == 0)
        out->holds = join_row_holds(&out->row, &s->stored, false);
}

static bool is_complete(const struct fresh *f)
{
    return f->holds && f->row.phase == JOIN_COMPLETE;
}

// In how many ms its snapshot has its turn.
static int64_t due_ms(const struct session *s, const struct fresh *f)
{
    int64_t rest = join_row_rests_ms(&f->row, clock_wall_ms()), joined = peer_joined_mono(s->p);
    if (rest || !joined)
        return rest;
    if (!s->n_covered)
        return 0; // nothing else waits
    rest = joined + TURN_MS - clock_mono_ms();
    return rest > 0 ? rest : 0;
}

static void leave(struct session *s, const struct fresh *f, int64_t in_ms)
{
    int64_t at = clock_mono_ms() + in_ms;
    s->left[s->n_left++] = f->name;
    if (!s->join_mono || at < s->join_mono)
        s->join_mono = at;
}

// Of a registry whose snapshot is complete: it is read on if the mark is where that ends.
static void complete_judge(struct session *s, const struct fresh *f)
{
    if (s->from_start || mark_equal(&f->row.at, &s->stored))
        return;
    if (s->want != PAST_FEED || mark_order(&f->row.at, &s->from) < 0)
        s->from = f->row.at;
    s->want = PAST_FEED;
}

static bool reads_all(const struct session *s)
{
    return s->from_start && mark_is_zero(&s->from);
}

static int target_without_left(struct session *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_target; i++)
        if (!name_in(s->target[i], s->left, s->n_left))
            s->target[n++] = s->target[i];
    s->n_target = n;
    s->rules.left = s->left;
    s->rules.n_left = s->n_left;
    if (s->from_start) // when it has passed the mark
        return 0;
    s->covered = s->target;
    s->n_covered = n;
    return backfill_state_set(s->r, peer_name(s->p), s->covered, n);
}

int past_judge(struct session *s)
{
    bool due = false;
    s->n_left = 0;
    s->join_mono = 0;
    s->want = PAST_NONE;
    if (reads_all(s))
        return 0;
    s->left = arena_array(&s->names, s->n_target + 1, sizeof *s->left);
    if (!s->left)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n_target; i++) {
        struct fresh f;
        if (name_in(s->target[i], s->covered, s->n_covered))
            continue;
        fresh_get(s, s->target[i], &f);
        if (is_complete(&f)) {
            complete_judge(s, &f);
            continue;
        }
        int64_t in_ms = s->via ? 0 : due_ms(s, &f);
        due = due || in_ms == 0;
        leave(s, &f, in_ms);
    }
    if (due && !s->from_start)
        s->want = PAST_SNAPSHOTS;
    if (s->want != PAST_NONE)
        return FEED_READ_AGAIN;
    return target_without_left(s);
}

bool past_is_due(const struct session *s)
{
    if (!s->join_mono || s->from_start)
        return false;
    return clock_mono_ms() >= s->join_mono;
}

void past_idle(struct session *s)
{
    for (size_t i = 0; i < s->n_left; i++) {
        struct fresh f;
        fresh_get(s, s->left[i], &f);
        if (!join_row_rests_ms(&f.row, clock_wall_ms()))
            s->join_mono = clock_mono_ms();
    }
}

// --- taking it ---

static int names_fresh(struct session *s, const char ***out, size_t *out_n)
{
    const char **list = arena_array(&s->names, s->n_target + 1, sizeof *list);
    size_t n = 0;
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n_target; i++)
        if (!name_in(s->target[i], s->covered, s->n_covered))
            list[n++] = s->target[i];
    *out = list;
    *out_n = n;
    return 0;
}

static int fresh_take(struct session *s, const char *const *names, size_t n, bool trimmed)
{
    const struct join_ask ask = {
        .registries = names, .n = n, .mark = &s->stored, .trimmed = trimmed, .slice_ms = TURN_MS};
    struct join_result done = {0};
    int rc = join_snapshots(s->r, s->p, s->t, &ask, &done);
    int arrived = 0;
    if (!mark_is_zero(&done.at))
        arrived = join_arrive(s->r, s->p, &done.at);
    if (arrived)
        return arrived;
    if (rc == ERR_CANCELED || (!rc && done.n_complete))
        return FEED_READ_AGAIN;
    if (!rc && !mark_is_zero(&s->stored))
        return FEED_READ_AGAIN; // to the feed, without those that failed
    return rc;
}

int past_join(struct session *s)
{
    const char **names;
    size_t n;
    int rc = names_fresh(s, &names, &n);
    return rc ? rc : fresh_take(s, names, n, false);
}

// What is not complete beyond the mark is not covered there: said before the mark moves.
static int covered_keep(struct session *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_covered; i++) {
        struct join_row row;
        if (join_state_get(s->r->o.state_dir, peer_name(s->p), s->covered[i], &row))
            continue;
        if (row.anew && row.phase == JOIN_COMPLETE)
            s->covered[n++] = s->covered[i];
    }
    s->n_covered = n;
    return backfill_state_set(s->r, peer_name(s->p), s->covered, n);
}

// All that both hold, by the topology: no greeting has named them.
static int names_shared(struct session *s)
{
    uint8_t self = s->rules.self->index, origin = s->rules.origin->index;
    s->n_target = shared_registries(s->t, self, origin, NULL, 0);
    s->target = arena_array(&s->names, s->n_target + 1, sizeof *s->target);
    if (!s->target)
        return ERR_NOMEM;
    shared_registries(s->t, self, origin, s->target, s->n_target);
    return 0;
}

static void anew_failed(struct session *s)
{
    struct join_row row;
    for (size_t i = 0; i < s->n_target; i++) {
        if (join_state_get(s->r->o.state_dir, peer_name(s->p), s->target[i], &row))
            continue;
        if (row.phase == JOIN_FAILED)
            peer_failed(s->p, "snapshot of %.100s: %s", row.registry, row.error);
    }
}

int past_join_anew(struct session *s, bool trimmed)
{
    struct join_ask ask = {
        .mark = &s->stored, .anew = !mark_is_zero(&s->stored), .trimmed = trimmed};
    struct join_result done = {0};
    int rc = names_shared(s);
    if (rc)
        return rc;
    ask.registries = s->target;
    ask.n = s->n_target;
    rc = join_snapshots(s->r, s->p, s->t, &ask, &done);
    if (rc == ERR_CANCELED)
        return FEED_READ_AGAIN;
    if (mark_is_zero(&done.at)) {
        anew_failed(s);
        return rc ? rc : ERR_PROTO;
    }
    int arrived = covered_keep(s);
    if (!arrived)
        arrived = join_arrive(s->r, s->p, &done.at);
    return arrived ? arrived : FEED_READ_AGAIN;
}

int past_join_trimmed(struct session *s)
{
    const char **names;
    size_t n;
    int rc = names_shared(s);
    if (!rc)
        rc = names_fresh(s, &names, &n);
    if (rc)
        return rc;
    return n ? fresh_take(s, names, n, true) : past_join_anew(s, true);
}
