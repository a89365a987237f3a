// SPDX-License-Identifier: Apache-2.0
// One reading of another region's feed; see feed_session.h. Where it begins, how often it connects
// (feed_stream.c), and how a past comes that the feed does not give.
#include "replication/feed_session.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/backfill_state.h"
#include "replication/feed_session_priv.h"
#include "replication/join_state.h"
#include "replication/marks.h"
#include "replication/revoker.h"

#include <assert.h>
#include <stdlib.h>

#define GAPS_FROM_START 64

// Where a key of the origin is revoked past our mark, its feed is followed up to there before
// anything is taken.
static int session_prove(struct session *s)
{
    session_place_set(s);
    int rc = feed_proof_new(s->rules.origin, &s->rules.last, &s->proof);
    if (rc || !s->proof)
        return rc;
    if (s->r->o.proof_max)
        feed_proof_bound(s->proof, s->r->o.proof_max);
    assert(!s->n_entries);
    s->proving = true;
    s->rules.held = NULL; // nothing is stored
    rc = session_connect(s);
    s->proving = s->greeted = false;
    s->rules.held = s->held;
    s->rules.proof = s->proof;
    if (rc == PROVED)
        return 0;
    return rc;
}

// Of a feed that is longer than what a proof keeps, a stretch was proven and taken.
static void stretch_end(struct session *s)
{
    log_info("replication: the feed of %s is followed to the place at which its key was revoked, "
             "in stretches: one ends at entry %llu of epoch %llu",
             peer_name(s->p), (unsigned long long)s->rules.last.seq,
             (unsigned long long)s->rules.last.epoch);
    s->goes_on = true;
    s->on = s->rules.last;
    s->on_stamp = s->rules.last_stamp;
    s->on_proven = s->rules.proven;
    s->rules.proof = NULL;
    feed_proof_free(s->proof);
    s->proof = NULL;
    s->greeted = false;
    s->want = PAST_NONE;
    s->n_target = s->n_left = 0;
}

static int session_follow(struct session *s)
{
    int rc = session_connect(s);
    while (rc == STRETCH_ENDED) {
        stretch_end(s);
        rc = session_prove(s);
        if (!rc)
            rc = session_connect(s);
    }
    s->goes_on = false;
    return rc;
}

// What the origin gives before the place of a revocation does not go on from what we hold: what we
// hold is not its own.
static void chain_broke(struct session *s)
{
    struct feed_proof *before = NULL;
    if (!s->rules.chain_broken || feed_proof_new(s->rules.origin, &s->rules.last, &before))
        return;
    if (before) {
        log_warn("replication: the feed of %s does not go on from what was read of it, and its key "
                 "was revoked: reading "
                 "all of it again",
                 peer_name(s->p));
        (void)meta_revoke_reread(s->r->o.meta, peer_name(s->p)); // if it fails: at the next try
    }
    feed_proof_free(before);
}

// The stamp of the last entry before the mark; 0, which is below all, when entries past it are held.
static int stamp_of_mark(struct session *s)
{
    struct feed_mark head;
    int rc = meta_head(s->r->o.meta, peer_name(s->p), &head);
    if (rc || mark_order(&head, &s->stored) > 0)
        return rc;
    return meta_last_stamp(s->r->o.meta, peer_name(s->p), s->stored.epoch, &s->stored_stamp);
}

// A mark that went back before the place of a snapshot (entries there became void) makes that
// snapshot worth nothing: what was outdone by them was left out.
static int snapshots_judge(struct session *s)
{
    const char *origin = peer_name(s->p), *dir = s->r->o.state_dir;
    size_t n = 0, n_forgot;
    int rc = join_state_arrived(dir, origin, &s->stored);
    if (rc)
        return rc;
    for (size_t i = 0; i < s->n_covered; i++) {
        struct join_row row;
        rc = join_state_get(dir, origin, s->covered[i], &row);
        if (rc == ERR_NOTFOUND || row.anew || mark_order(&row.at, &s->stored) <= 0)
            s->covered[n++] = s->covered[i];
    }
    if (n == s->n_covered)
        return 0;
    s->n_covered = n;
    rc = backfill_state_set(s->r, origin, s->covered, n);
    if (rc)
        return rc;
    return join_state_forget_behind(dir, origin, &s->stored, &n_forgot);
}

// Where the last session ended.
static int session_begin(struct session *s)
{
    struct meta *m = s->r->o.meta;
    const char *origin = peer_name(s->p);
    int rc = revoker_tell(s->r->revoker, s->t);
    if (rc)
        return rc;
    rc = meta_revoke_rewind(m, origin);
    if (rc)
        return rc;
    rc = read_mark(s->r, origin, &s->stored);
    if (rc)
        return rc;
    rc = stamp_of_mark(s);
    if (rc)
        return rc;
    rc = backfill_state_get(s->r, origin, &s->names, &s->covered, &s->n_covered);
    if (rc)
        return rc;
    return snapshots_judge(s);
}

// Reads the feed again, when the first connection showed that the past of a registry has to be read.
static int session_again(struct session *s)
{
    log_info("replication: a registry of %s is new here: reading its feed again from %s",
             peer_name(s->p), mark_is_zero(&s->from) ? "its start" : "the place of its snapshot");
    s->from_start = true;
    s->greeted = false;
    s->want = PAST_NONE;
    s->n_target = s->n_left = 0;
    s->n_entries = 0;
    return session_follow(s);
}

// Entries were left out, so often in a row: first it is read again from the mark, then by snapshots
// or once from its start, and so again now and then.
static bool gap_from_start(unsigned n_gaps)
{
    return n_gaps == 2 || (n_gaps && n_gaps % GAPS_FROM_START == 0);
}

// The feed has holes behind the mark, as that of a region has which was recovered from one that had
// joined by snapshots: it is read by snapshots too. ERR_UNSUPPORTED: it is not.
static int session_mend(struct session *s)
{
    if (mark_is_zero(&s->stored) || !gap_from_start(peer_gaps_news(s->p)))
        return ERR_UNSUPPORTED;
    int rc = ERR_UNSUPPORTED;
    if (!s->via)
        rc = past_join_anew(s, false);
    if (rc == ERR_UNSUPPORTED)
        s->from_start = true;
    return rc;
}

static int session_past(struct session *s)
{
    int rc = FEED_READ_AGAIN;
    if (s->want == PAST_SNAPSHOTS) {
        rc = ERR_UNSUPPORTED;
        if (!s->via)
            rc = past_join(s);
        if (rc != ERR_UNSUPPORTED)
            return rc;
        s->from = (struct feed_mark){0};
        s->want = PAST_FEED;
    }
    if (s->want == PAST_FEED)
        rc = session_again(s);
    if (rc == FEED_READ_AGAIN && s->want == PAST_TRIMMED)
        rc = past_join_trimmed(s);
    else if (rc == FEED_READ_AGAIN && s->want == PAST_ANEW)
        rc = past_join_anew(s, true);
    return rc;
}

static int session_read(struct session *s)
{
    int rc = session_mend(s);
    if (rc != ERR_UNSUPPORTED)
        return rc;
    // All is read again: so are the hashes up to a revocation.
    if (s->n_covered == 0 && s->rules.origin->n_revoked)
        s->from_start = !mark_is_zero(&s->stored);
    rc = session_prove(s);
    if (!rc)
        rc = session_follow(s);
    if (rc != FEED_READ_AGAIN || life_stopping(s->r->life))
        return rc;
    return session_past(s);
}

static int heads_new(struct session *s)
{
    int rc = feed_heads_new(&s->said);
    if (!rc)
        rc = feed_heads_new(&s->held);
    s->rules.said = s->said;
    s->rules.held = s->held;
    return rc;
}

static int run(struct peer *p, const struct topology *t, const char *via,
               struct feed_relayed *out_told)
{
    struct replicator *r = peer_replicator(p);
    struct session *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    *s = (struct session){.r = r, .p = p, .t = t, .via = via};
    s->rules = (struct feed_rules){.topology = t,
                                   .self = topology_region(t, r->o.region),
                                   .origin = topology_region(t, peer_name(p)),
                                   .verify = r->o.verify,
                                   .vouched = true};
    if (via)
        s->rules.seal = s->rules.origin->sealed;
    arena_init(&s->names, 4 << 20);
    arena_init(&s->batch, BATCH_BYTES);
    int rc = heads_new(s);
    if (!rc)
        rc = session_begin(s);
    if (rc)
        peer_stuck(p, rc);
    else
        rc = session_read(s);
    if (out_told)
        *out_told = (struct feed_relayed){.all = s->told_all, .seal = s->told_seal};
    chain_broke(s);
    feed_proof_free(s->proof);
    feed_heads_free(s->said);
    feed_heads_free(s->held);
    arena_done(&s->names);
    arena_done(&s->batch);
    free(s);
    return rc;
}

int feed_session_run(struct peer *p, const struct topology *t)
{
    return run(p, t, NULL, NULL);
}

int feed_session_relayed(struct peer *p, const struct topology *t, const char *via,
                         struct feed_relayed *out_told)
{
    return run(p, t, via, out_told);
}
