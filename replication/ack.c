// SPDX-License-Identifier: Apache-2.0
// The origin's side of `ack: peers:N` (content/elsewhere.h): asks every other member of the registry
// whether it has what was written (replication/stored.c answers when it has), all at the same time,
// and again who could not say. No thread waits: answers come on the fetcher's.
//
// Invariants
//   1. A member counts only by its own word about this very write.
//   2. `wake` is called under the lock, so that it is over when ack_wake or ack_end returns.
#include "replication/peer.h"
#include "replication/peer_answer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"
#include "replication/written.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/endpoints.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

// Who could not say is asked again after so long.
#define AGAIN_MS 500
// An answer has so long beyond the time that the other one was given.
#define MARGIN_MS 2000
#define WHY_SIZE 96

enum member_state {
    MEMBER_IDLE, // to be asked
    MEMBER_ASKED,
    MEMBER_STORED,
};

struct member {
    struct elsewhere_ack *of;
    char region[HOSTNAME_REGION_SIZE];
    enum member_state state;
    // of an idle one: when it is asked next, and why it has not said so; "" it was not asked yet
    int64_t again_mono;
    char why[WHY_SIZE];
    // of one that is asked
    struct fetch *handle;
};

struct elsewhere_ack {
    // it outlives its caller while a request runs
    struct replicator *r;
    char *target;
    struct buf body;
    unsigned n_peers;
    int64_t until_mono;
    pthread_mutex_t lock;

    // Under the lock.

    // the caller, and each request
    unsigned refs;
    bool ended;
    // something changed since the last look
    bool due;
    void (*wake)(void *ctx);
    void *wake_ctx;
    size_t n;
    struct member members[TOPOLOGY_MAX_REGIONS];
};

// ---- life ----

// Enters with the lock and leaves without.
static void leave(struct elsewhere_ack *a)
{
    assert(a->refs > 0);
    bool last = --a->refs == 0;
    pthread_mutex_unlock(&a->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&a->lock);
    replicator_unref(a->r);
    buf_done(&a->body);
    free(a->target);
    free(a);
}

static void changed_locked(struct elsewhere_ack *a)
{
    void (*wake)(void *ctx) = a->wake;
    a->due = true;
    a->wake = NULL;
    if (wake)
        wake(a->wake_ctx);
}

// ---- one member ----

static void idle_locked(struct member *m, const char *why)
{
    m->state = MEMBER_IDLE;
    m->again_mono = clock_mono_ms() + AGAIN_MS;
    snprintf(m->why, sizeof m->why, "%s", why);
}

// NULL: it has it.
static const char *word_of(const struct fetch_result *res)
{
    if (res->err)
        return res->err == ERR_TIMEOUT ? "it does not answer" : "it cannot be reached";
    if (res->status == 404)
        return "its release cannot say";
    if (res->status != 200)
        return "it cannot say now";
    bool stored;
    if (answer_stored(bytes_of(res->body.p, res->body.n), &stored))
        return "it cannot say now";
    return stored ? NULL : "it has not got it yet";
}

static bool enough_locked(const struct elsewhere_ack *a)
{
    unsigned n = 0;
    for (size_t i = 0; i < a->n; i++)
        n += a->members[i].state == MEMBER_STORED;
    return n >= a->n_peers;
}

static void answered(void *ctx, struct fetch_result *res)
{
    struct member *m = ctx;
    struct elsewhere_ack *a = m->of;
    const char *why = word_of(res);
    pthread_mutex_lock(&a->lock);
    m->handle = NULL;
    if (why)
        idle_locked(m, why);
    else
        m->state = MEMBER_STORED;
    if (!a->ended && (why || enough_locked(a)))
        changed_locked(a);
    leave(a);
}

// The member is MEMBER_ASKED already, so nobody else asks it. Without the lock.
static void member_ask(struct member *m, const struct topology *t, int64_t left_ms)
{
    struct elsewhere_ack *a = m->of;
    char target[1024];
    struct dial dial;
    struct peer *p = peers_find(a->r->peers, m->region);
    const char *why = "it is not heard";
    int rc = ERR_UNREACHABLE;
    snprintf(target, sizeof target, "%s&wait_ms=%lld", a->target, (long long)left_ms);
    if (p && !peer_is_away(p)) {
        why = "it cannot be reached";
        rc = peer_dial(&a->r->dialer, t, m->region, target, NULL, &dial);
    }
    pthread_mutex_lock(&a->lock);
    a->refs++;
    pthread_mutex_unlock(&a->lock);
    if (!rc) {
        dial.q.method = "POST";
        dial.q.body = bytes_of(a->body.p, a->body.n);
        dial.q.timeout_ms = (uint32_t)(left_ms + MARGIN_MS);
        dial.q.max_bytes = 16384;
        dial.q.ctx = m;
        rc = fetch_start(a->r->o.fetcher, &dial.q, answered, &m->handle);
    }
    if (!rc)
        return;
    pthread_mutex_lock(&a->lock);
    m->handle = NULL;
    idle_locked(m, why);
    leave(a);
}

// All that are to be asked now.
static void members_ask(struct elsewhere_ack *a)
{
    int64_t now = clock_mono_ms(), left_ms = a->until_mono - now;
    struct topology *t = NULL;
    if (left_ms <= 0 || !life_enter(a->r->life))
        return;
    if (left_ms > STORED_WAIT_MAX_MS)
        left_ms = STORED_WAIT_MAX_MS;
    t = snapshot_get(a->r->o.topology);
    for (size_t i = 0; t && i < a->n; i++) {
        struct member *m = &a->members[i];
        pthread_mutex_lock(&a->lock);
        bool due = m->state == MEMBER_IDLE && m->again_mono <= now;
        if (due)
            m->state = MEMBER_ASKED;
        pthread_mutex_unlock(&a->lock);
        if (due)
            member_ask(m, t, left_ms);
    }
    snapshot_unref(t);
    life_leave(a->r->life);
}

// ---- all of them ----

static struct elsewhere_ack *ack_new(struct replicator *r, const struct elsewhere_ack_want *w)
{
    struct elsewhere_ack *a = mem_zalloc(sizeof *a);
    if (!a)
        return NULL;
    a->r = replicator_ref(r);
    a->refs = 1;
    a->n_peers = w->n_peers;
    a->until_mono = w->until_mono;
    pthread_mutex_init(&a->lock, NULL);
    buf_init(&a->body, WRITTEN_TEXT_MAX);
    a->target =
        mem_printf("/replication/v1/stored?registry=%s&repository=%s", w->registry, w->repository);
    if (a->target && !written_format(w->list, w->n, &a->body))
        return a;
    pthread_mutex_lock(&a->lock);
    leave(a);
    return NULL;
}

static void members_add(struct elsewhere_ack *a, const struct topology *t,
                        const struct registry *reg)
{
    for (size_t i = 0; reg && i < reg->n_replicas; i++) {
        const char *region = t->regions[reg->replicas[i].region].name;
        if (!strcmp(region, a->r->o.region) || replica_is_leaving(&reg->replicas[i]))
            continue;
        struct member *m = &a->members[a->n++];
        m->of = a;
        snprintf(m->region, sizeof m->region, "%s", region);
    }
}

int replicator_ack_begin(struct replicator *r, const struct elsewhere_ack_want *w,
                         struct elsewhere_ack **out)
{
    if (w->n > WRITTEN_MAX)
        return ERR_TOOBIG;
    if (!life_enter(r->life))
        return ERR_CANCELED;
    struct topology *t = snapshot_get(r->o.topology);
    struct elsewhere_ack *a = ack_new(r, w);
    if (a && t)
        members_add(a, t, topology_registry_by_key(t, w->registry));
    snapshot_unref(t);
    life_leave(r->life);
    if (!a)
        return ERR_NOMEM;
    members_ask(a);
    *out = a;
    return 0;
}

static void name_add(char out[CONTENT_TEXT_SIZE], const char *name, const char *why)
{
    size_t n = strlen(out);
    const char *comma = n ? ", " : "";
    if (why && *why)
        snprintf(out + n, CONTENT_TEXT_SIZE - n, "%s%s (%s)", comma, name, why);
    else
        snprintf(out + n, CONTENT_TEXT_SIZE - n, "%s%s", comma, name);
}

void replicator_ack_look(struct elsewhere_ack *a, struct elsewhere_ack_view *out)
{
    members_ask(a);
    *out = (struct elsewhere_ack_view){.again_mono = a->until_mono};
    pthread_mutex_lock(&a->lock);
    a->due = false;
    for (size_t i = 0; i < a->n; i++) {
        const struct member *m = &a->members[i];
        if (m->state == MEMBER_STORED) {
            out->n_stored++;
            name_add(out->stored, m->region, NULL);
            continue;
        }
        name_add(out->lacking, m->region, *m->why ? m->why : "it has not said so yet");
        if (m->state == MEMBER_IDLE && m->again_mono < out->again_mono)
            out->again_mono = m->again_mono;
    }
    pthread_mutex_unlock(&a->lock);
}

void replicator_ack_wake(struct elsewhere_ack *a, void (*wake)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&a->lock);
    a->wake = wake;
    a->wake_ctx = ctx;
    if (wake && a->due)
        changed_locked(a);
    pthread_mutex_unlock(&a->lock);
}

void replicator_ack_end(struct elsewhere_ack *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->ended = true;
    a->wake = NULL;
    for (size_t i = 0; i < a->n; i++)
        if (a->members[i].handle) // good until `answered` has had the lock
            fetch_cancel(a->r->o.fetcher, a->members[i].handle);
    leave(a);
}

unsigned replicator_reachable(struct replicator *r, const char *registry,
                              char away[CONTENT_TEXT_SIZE])
{
    unsigned n = 0;
    *away = 0;
    if (!life_enter(r->life))
        return 0;
    struct topology *t = snapshot_get(r->o.topology);
    const struct registry *reg = NULL;
    if (t)
        reg = topology_registry_by_key(t, registry);
    for (size_t i = 0; reg && i < reg->n_replicas; i++) {
        const char *region = t->regions[reg->replicas[i].region].name;
        if (!strcmp(region, r->o.region) || replica_is_leaving(&reg->replicas[i]))
            continue;
        struct peer *p = peers_find(r->peers, region);
        if (p && !peer_is_away(p))
            n++;
        else
            name_add(away, region, NULL);
    }
    snapshot_unref(t);
    life_leave(r->life);
    return n;
}
