// SPDX-License-Identifier: Apache-2.0
// Relays at work; see relays.h.
#include "replication/relays.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/mem.h"
#include "replication/peer.h"
#include "replication/peers.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATE_MAX 3 // blobs in a row
#define PASS_OVER_MS 60000

struct late_relay {
    // "": none
    char name[SOURCE_NAME_SIZE];
    unsigned n_late;
    int64_t until_mono;
};

struct relays {
    struct expected *expected;
    _Atomic uint64_t n_brought, n_waits, n_given_up;
    pthread_mutex_t lock;

    // Under the lock.

    struct late_relay late[TOPOLOGY_MAX_REGIONS];
};

int relays_new(struct relays **out)
{
    struct relays *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    int rc = expected_new(&s->expected);
    if (rc) {
        free(s);
        return rc;
    }
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return 0;
}

void relays_free(struct relays *s)
{
    if (!s)
        return;
    expected_free(s->expected);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

// --- relays that are late ---

// The relay's place, "": a free one; NULL: there is none. Under the lock.
static struct late_relay *late_find(struct relays *s, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(s->late); i++)
        if (strcmp(s->late[i].name, name) == 0)
            return &s->late[i];
    return NULL;
}

void relays_brought(struct relays *s, const char *name)
{
    pthread_mutex_lock(&s->lock);
    struct late_relay *l = late_find(s, name);
    if (l)
        *l = (struct late_relay){0};
    pthread_mutex_unlock(&s->lock);
}

void relays_late(struct relays *s, const char *name, int64_t now_mono)
{
    pthread_mutex_lock(&s->lock);
    struct late_relay *l = late_find(s, name);
    if (!l)
        l = late_find(s, "");
    if (l) {
        snprintf(l->name, sizeof l->name, "%s", name);
        l->n_late++;
        l->until_mono = now_mono + PASS_OVER_MS;
    }
    pthread_mutex_unlock(&s->lock);
}

bool relays_passed_over(struct relays *s, const char *name, int64_t now_mono)
{
    pthread_mutex_lock(&s->lock);
    const struct late_relay *l = late_find(s, name);
    bool passed = l && l->n_late >= LATE_MAX && now_mono < l->until_mono;
    pthread_mutex_unlock(&s->lock);
    return passed;
}

// --- at work ---

struct expected *relays_expected(struct relays *s)
{
    return s->expected;
}

static void member_add(struct replicator *r, const struct region *region, struct relays_view *v)
{
    size_t i = v->map.n++;
    struct peer *p = peers_find(r->peers, region->name);
    v->map.members[i] = (struct relay_member){
        .name = region->name, .placed = region->has_location, .longitude = region->longitude};
    v->peers[i] = p;
    v->heard[i] = strcmp(region->name, r->o.region) == 0;
    if (p)
        v->heard[i] = source_ready(peer_source(p), UINT_MAX);
}

void relays_look(struct replicator *r, const struct topology *t, const struct registry *reg,
                 const char *repository, const char *origin, struct relays_view *out)
{
    *out = (struct relays_view){0};
    for (size_t i = 0; i < reg->n_replicas && out->map.n < RELAY_MEMBERS_MAX; i++) {
        const struct region *region = &t->regions[reg->replicas[i].region];
        bool self = strcmp(region->name, r->o.region) == 0;
        if (self || r->o.fence(t, reg, repository, region->name))
            member_add(r, region, out);
    }
    relay_map_make(&out->map, t->replication.relays_from);
    out->self = relay_find(&out->map, r->o.region);
    out->origin = relay_find(&out->map, origin);
}

static size_t tries(struct replicator *r, const struct topology *t, const struct registry *reg,
                    const char *repository, const char *origin, struct peer *out[RELAY_TRIES])
{
    struct relays_view v;
    uint8_t at[RELAY_TRIES];
    if (!t->replication.relays_from || reg->n_replicas < t->replication.relays_from)
        return 0;
    relays_look(r, t, reg, repository, origin, &v);
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < v.map.n; i++)
        if (relays_passed_over(r->relays, v.map.members[i].name, now))
            v.heard[i] = false;
    size_t n = relay_tries(&v.map, v.origin, v.self, v.heard, at);
    for (size_t i = 0; i < n; i++)
        out[i] = v.peers[at[i]];
    return n;
}

size_t relays_sources(struct replicator *r, const struct topology *t, const struct registry *reg,
                      const char *repository, const char *origin, struct source *out[RELAY_TRIES])
{
    struct peer *peers[RELAY_TRIES];
    size_t n = tries(r, t, reg, repository, origin, peers);
    for (size_t i = 0; i < n; i++)
        out[i] = peer_source(peers[i]);
    return n;
}

void relays_count(struct relays *s, int rc, enum relay_next next)
{
    switch (next) {
    case RELAY_DONE:
        s->n_brought += rc == 0;
        break;
    case RELAY_LOOK_AGAIN:
        s->n_waits++;
        break;
    case RELAY_ASK_ORIGIN:
        s->n_given_up++;
        break;
    }
}

json_t *relays_json(struct replicator *r, const struct topology *t, const struct registry *reg,
                    const char *origin)
{
    struct peer *peers[RELAY_TRIES];
    size_t n = tries(r, t, reg, "", origin, peers);
    if (!n)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(peer_name(peers[i])));
    return list;
}

void relays_metrics(struct relays *s, struct buf *out)
{
    exposition_single(out, "meridian_replication_relay_blobs_total", "counter",
                      "Blobs that a relay gave, in place of their origin.", (double)s->n_brought);
    exposition_single(out, "meridian_replication_relay_waits_total", "counter",
                      "Times that a relay had not got a blob yet, and was left time.",
                      (double)s->n_waits);
    exposition_single(out, "meridian_replication_relay_given_up_total", "counter",
                      "Blobs for which the origin was asked, because no relay gave them.",
                      (double)s->n_given_up);
}
