// SPDX-License-Identifier: Apache-2.0
// The set of other regions; see peers.h.
#include "replication/peers.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/peer.h"
#include "replication/peer_reader.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct seat {
    struct peer *peer;
    pthread_t reader;
    bool started;
};

struct peers {
    struct replicator *r;
    // Only ever grows; what lies below it does not change.
    _Atomic size_t n;
    struct seat seats[TOPOLOGY_MAX_REGIONS];
    // of those who add
    struct lock lock;
};

int peers_new(struct replicator *r, struct peers **out)
{
    struct peers *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->r = r;
    lock_init(&s->lock, LOCK_PEERS);
    *out = s;
    return 0;
}

void peers_free(struct peers *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        peer_free(s->seats[i].peer);
    lock_done(&s->lock);
    free(s);
}

size_t peers_count(const struct peers *s)
{
    return s->n;
}

struct peer *peers_at(const struct peers *s, size_t i)
{
    assert(i < s->n);
    return s->seats[i].peer;
}

struct peer *peers_find(const struct peers *s, const char *region)
{
    size_t n = s->n;
    for (size_t i = 0; i < n; i++)
        if (strcmp(peer_name(s->seats[i].peer), region) == 0)
            return s->seats[i].peer;
    return NULL;
}

static void peer_add(struct peers *s, const char *region)
{
    struct seat *seat = &s->seats[s->n];
    int rc = ERR_TOOBIG;
    assert(!peers_find(s, region)); // invariant 2
    if (s->n < TOPOLOGY_MAX_REGIONS)
        rc = peer_new(s->r, region, &seat->peer);
    if (rc) {
        log_error("replication: no room to read region %s", region);
        return;
    }
    s->n++;
    seat->started = pthread_create(&seat->reader, NULL, peer_reader_main, seat->peer) == 0;
    if (!seat->started)
        log_error("replication: no thread to read region %s", region);
}

void peers_update(struct peers *s, const struct topology *t)
{
    lock_take(&s->lock);
    for (size_t i = 0; i < t->n_regions; i++) {
        const char *name = t->regions[i].name;
        if (strcmp(name, s->r->o.region) != 0 && !peers_find(s, name))
            peer_add(s, name);
    }
    lock_give(&s->lock);
}

void peers_hang_up(struct peers *s)
{
    for (size_t i = 0; i < s->n; i++)
        peer_hang_up(s->seats[i].peer);
}

void peers_reconfigured(struct peers *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct peer *p = s->seats[i].peer;
        mark_claim_look_again(peer_claim(p));
        peer_wake(p);
    }
}

void peers_stop(struct peers *s)
{
    assert(life_stopping(s->r->life));
    peers_hang_up(s);
    for (size_t i = 0; i < s->n; i++)
        peer_wake(s->seats[i].peer);
    for (size_t i = 0; i < s->n; i++) {
        if (s->seats[i].started)
            pthread_join(s->seats[i].reader, NULL);
        s->seats[i].started = false;
    }
}
