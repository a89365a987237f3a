// SPDX-License-Identifier: Apache-2.0
// Telling the other members of a registry that a blob is here, or comes here by an upload, so that they copy it ahead of its
// manifest (content/elsewhere.h; replication/holds.c is the other end): all, or where there are
// relays these, who tell the others (relay.h). The requests run on by
// themselves; who told waits for the answers, or does not.
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/relays.h"
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TELL_MS 3000
#define TARGET_MAX 1024

struct elsewhere_told {
    // it outlives its caller while a request runs
    struct replicator *r;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // Under the lock.

    // the caller, and each request
    unsigned refs;
    unsigned n_running;
};

static struct elsewhere_told *told_new(struct replicator *r)
{
    struct elsewhere_told *t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    t->r = replicator_ref(r);
    t->refs = 1;
    pthread_mutex_init(&t->lock, NULL);
    wait_cond_init(&t->changed);
    return t;
}

// Enters with the lock and leaves without.
static void told_leave(struct elsewhere_told *t)
{
    assert(t->refs > 0);
    bool last = --t->refs == 0;
    pthread_mutex_unlock(&t->lock);
    if (!last)
        return;
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    replicator_unref(t->r);
    free(t);
}

// What the member makes of it is its own affair.
static void answered(void *ctx, struct fetch_result *res)
{
    struct elsewhere_told *t = ctx;
    (void)res;
    pthread_mutex_lock(&t->lock);
    t->n_running--;
    pthread_cond_broadcast(&t->changed);
    told_leave(t);
}

static void member_tell(struct elsewhere_told *t, const struct topology *top, const char *region,
                        const char *target)
{
    struct dial dial;
    struct peer *p = peers_find(t->r->peers, region);
    if (!p || peer_is_away(p) || peer_dial(&t->r->dialer, top, region, target, NULL, &dial))
        return;
    dial.q.method = "POST";
    dial.q.timeout_ms = TELL_MS;
    dial.q.ctx = t;
    pthread_mutex_lock(&t->lock);
    t->refs++;
    t->n_running++;
    pthread_mutex_unlock(&t->lock);
    if (!fetch_start(t->r->o.fetcher, &dial.q, answered, NULL))
        return;
    pthread_mutex_lock(&t->lock);
    t->n_running--;
    t->refs--;
    assert(t->refs > 0); // the caller's
    pthread_mutex_unlock(&t->lock);
}

static void target_make(const struct elsewhere_want *w, const char *more, const char *region,
                        struct buf *out)
{
    char digest[DIGEST_TEXT_SIZE];
    buf_init(out, TARGET_MAX);
    buf_printf(out, "/replication/v1/ahead?registry=%s&repository=%s", w->registry, w->repository);
    if (w->n_items)
        buf_printf(out, "&digest=%s&size=%" PRIu64, digest_format(&w->items[0].digest, digest),
                   w->items[0].size);
    if (w->upload)
        buf_printf(out, "&upload=%s", w->upload);
    if (w->later)
        buf_str(out, "&later=1");
    buf_printf(out, "%s%s", more, region);
}

static void target_tell(struct elsewhere_told *t, const struct topology *top, const char *to,
                        const struct elsewhere_want *w, const char *more, const char *region)
{
    AUTO_BUF struct buf target;
    target_make(w, more, region, &target);
    if (!target.err)
        member_tell(t, top, to, buf_cstr(&target));
}

// Each member hears it from whom it is to get the blob from (relay.h): this region is the blob's
// origin, or a relay. Of an upload nobody expects anything: its blob is not known yet.
static void members_tell(struct elsewhere_told *t, const struct topology *top,
                         const struct registry *reg, const struct elsewhere_want *w,
                         const char *origin)
{
    struct relays_view v;
    relays_look(t->r, top, reg, w->repository, origin, &v);
    bool later = w->later || !w->n_items;
    for (size_t i = 0; i < v.map.n; i++) {
        const char *to = v.map.members[i].name;
        switch (relay_word(&v.map, v.origin, v.self, i, later, v.heard)) {
        case RELAY_SAY_NOTHING:
            break;
        case RELAY_SAY_HERE:
            if (v.origin == v.self)
                target_tell(t, top, to, w, "", "");
            else
                target_tell(t, top, to, w, "&origin=", origin);
            break;
        case RELAY_SAY_EXPECT:
            target_tell(t, top, to, w,
                        "&by=", v.map.members[relay_of(&v.map, v.origin, i, v.heard)].name);
            break;
        }
    }
}

static struct elsewhere_told *tell(struct replicator *r, const struct elsewhere_want *w,
                                   const char *origin)
{
    if (!life_enter(r->life))
        return NULL;
    struct topology *top = snapshot_get(r->o.topology);
    const struct registry *reg = NULL;
    if (top)
        reg = topology_registry_by_key(top, w->registry);
    struct elsewhere_told *t = NULL;
    if (reg)
        t = told_new(r);
    if (t)
        members_tell(t, top, reg, w, origin);
    snapshot_unref(top);
    life_leave(r->life);
    return t;
}

struct elsewhere_told *replicator_tell(struct replicator *r, const struct elsewhere_want *w)
{
    return tell(r, w, r->o.region);
}

void relays_hand_on(struct replicator *r, const struct ahead_key *key, uint64_t size, bool later)
{
    struct elsewhere_item item = {.kind = CONTENT_BLOB, .digest = key->digest, .size = size};
    const struct elsewhere_want w = {.registry = key->registry,
                                     .repository = key->repository,
                                     .items = &item,
                                     .n_items = 1,
                                     .later = later};
    replicator_told(tell(r, &w, key->origin), 0);
}

void replicator_told(struct elsewhere_told *t, int64_t until_mono)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    while (t->n_running) {
        int64_t left = until_mono - clock_mono_ms();
        if (left <= 0)
            break;
        wait_cond(&t->changed, &t->lock, left);
    }
    told_leave(t);
}
