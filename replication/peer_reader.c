// SPDX-License-Identifier: Apache-2.0
// The thread that reads one other region's feed; see peer_reader.h.
#include "replication/peer_reader.h"

#include "base/clock.h"
#include "base/err.h"
#include "replication/feed_session.h"
#include "replication/marks.h"
#include "replication/peer.h"
#include "replication/replication_priv.h"
#include "replication/sealed_reader.h"

#define REST_MIN_MS 200
#define UNREACHED_MAX_MS 2000 // between tries; a connection that is refused costs little
#define REFUSED_MAX_MS 10000
#define CONTACT_MS 200          // after an inbound contact of one that could not be reached
#define CONTACT_REFUSED_MS 1000 // of one that answers, and refuses
#define AGAIN_MS 50             // nothing was wrong
#define AHEAD_MIN_MS 10

// When the wall clock has come near the entry that reading stopped before; it is looked at before
// that, too, because its origin may have mended it.
static int64_t ahead_rest_ms(const struct replicator *r, uint64_t stamp)
{
    int64_t due = hlc_wall_ms(stamp) - r->skew_ms - clock_wall_ms() + 1;
    if (due > REFUSED_MAX_MS)
        return REFUSED_MAX_MS;
    if (due < AHEAD_MIN_MS)
        return AHEAD_MIN_MS;
    return due;
}

// From the beginning of the try: one that took its whole time waited enough.
static int64_t failed_rest_ms(int64_t began, const struct peer_outcome *o)
{
    int64_t most = REFUSED_MAX_MS, least = REST_MIN_MS;
    unsigned n_failures = 0;
    if (o->unreached)
        most = UNREACHED_MAX_MS;
    if (o->stuck)
        least = FEED_FULL_LOOK_MS;
    if (o->n_failures)
        n_failures = o->n_failures - 1;
    int64_t left = began + wait_backoff_ms(n_failures, REST_MIN_MS, most) - clock_mono_ms();
    if (left < least)
        return least;
    return left;
}

// Not while a repair moves the marks.
static int session(struct peer *p, const struct topology *t)
{
    struct reading_hold *hold = peer_replicator(p)->hold;
    if (!reading_hold_begin(hold))
        return ERR_CANCELED;
    int rc = feed_session_run(p, t);
    reading_hold_end(hold);
    return rc;
}

// And not ended by what the peer said, or by us.
static bool connection_broke(int rc)
{
    return rc == ERR_TIMEOUT || rc == ERR_UNREACHABLE || rc == ERR_IO || rc == ERR_CLOSED ||
           rc == ERR_CRYPTO;
}

static void turn(struct peer *p, const struct topology *t)
{
    struct replicator *r = peer_replicator(p);
    struct peer_try try;
    struct peer_outcome o;
    int64_t began = clock_mono_ms();
    int rc = 0;
    peer_turn_begin(p, &try);
    if (mark_claim_unknown(peer_claim(p)))
        rc = mark_ask(r, p, t);
    if (!rc)
        rc = session(p, t);
    peer_turn_end(p, &try, connection_broke(rc), &o);
    int64_t contact_ms = CONTACT_REFUSED_MS;
    if (o.unreached && rc != ERR_AHEAD)
        contact_ms = CONTACT_MS;
    int64_t rest_ms = AGAIN_MS;
    if (rc == ERR_AHEAD)
        rest_ms = ahead_rest_ms(r, o.ahead);
    else if (rc != FEED_READ_AGAIN)
        rest_ms = failed_rest_ms(began, &o);
    peer_rest(p, &try, rest_ms, contact_ms);
}

// What a sealed region wrote is read from others.
static void sealed_turn(struct sealed_reader *s, struct peer *p, const struct topology *t,
                        unsigned n_wakes)
{
    peer_wait_wake(p, n_wakes, sealed_reader_turn(s, p, t));
}

static bool is_sealed(const struct topology *t, const char *name)
{
    const struct region *r = topology_region(t, name);
    return r && r->sealed;
}

static bool shares_registry(const struct topology *t, const char *self, const char *name)
{
    const struct region *me = topology_region(t, self), *they = topology_region(t, name);
    return me && they && shared_registries(t, me->index, they->index, NULL, 0) > 0;
}

void *peer_reader_main(void *arg)
{
    struct peer *p = arg;
    struct replicator *r = peer_replicator(p);
    struct sealed_reader sealed = {0};
    while (!life_stopping(r->life)) {
        unsigned n_wakes = peer_wakes(p);
        struct topology *t = snapshot_get(r->o.topology);
        bool shares = t && shares_registry(t, r->o.region, peer_name(p));
        bool gone = t && is_sealed(t, peer_name(p));
        peer_shares(p, shares && !gone);
        if (!gone)
            peer_sealed(p, false, false, false);
        if (shares && gone)
            sealed_turn(&sealed, p, t, n_wakes);
        else if (shares)
            turn(p, t);
        snapshot_unref(t);
        if (!shares)
            peer_wait_wake(p, n_wakes, 1000);
    }
    return NULL;
}
