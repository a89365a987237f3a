// SPDX-License-Identifier: Apache-2.0
// Held answers of writes; see ack.h. On the pool.
#include "registry/ack.h"

#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/traffic.h"

#include <assert.h>
#include <string.h>

#define RETRY_AFTER_S "5"

struct op_ack {
    size_t n;
    struct written list[WRITTEN_MAX];
    // the answer that is held
    struct http_response answer;
    // and was not given
    bool unacked;
    int64_t until_mono;
    // NULL: nobody is asked
    struct elsewhere_ack *waits;
    // a reference; NULL: it is not parked
    struct http_parked *parked;
};

// ---- writes that were not acknowledged ----

void unacked_init(struct unacked *u)
{
    pthread_mutex_init(&u->lock, NULL);
}

void unacked_done(struct unacked *u)
{
    pthread_mutex_destroy(&u->lock);
}

// FNV-1a: a stamp and epoch name the write; this only tells users apart.
static uint64_t who_of(const struct op *op)
{
    uint64_t h = 14695981039346656037ull;
    for (const char *p = op->principal; *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211ull;
    return h;
}

static struct unacked_write *find_locked(struct unacked *u, const struct unacked_write *w)
{
    for (size_t i = 0; u->n && i < UNACKED_MAX; i++)
        if (u->list[i].stamp == w->stamp && u->list[i].epoch == w->epoch &&
            u->list[i].who == w->who)
            return &u->list[i];
    return NULL;
}

static struct unacked_write write_of(const struct op *op, const struct register_value *v)
{
    return (struct unacked_write){.stamp = v->stamp, .epoch = v->epoch, .who = who_of(op)};
}

static bool is_unacked(struct op *op, const struct register_value *v)
{
    struct unacked *u = &op->s->unacked;
    const struct unacked_write w = write_of(op, v);
    pthread_mutex_lock(&u->lock);
    bool is = find_locked(u, &w);
    pthread_mutex_unlock(&u->lock);
    return is;
}

// Own values only: another region's came from elsewhere, and one that could not be read has no origin.
static void unacked_set(struct op *op, bool unacked)
{
    struct unacked *u = &op->s->unacked;
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < op->ack->n; i++) {
        const struct register_value *v = &op->ack->list[i].value;
        if (!v->origin || strcmp(v->origin, op->s->region) != 0)
            continue;
        const struct unacked_write w = write_of(op, v);
        struct unacked_write *at = find_locked(u, &w);
        if (at && !unacked) {
            *at = (struct unacked_write){0};
            u->n--;
        }
        if (!at && unacked) {
            struct unacked_write *to = &u->list[u->next++ % UNACKED_MAX];
            u->n += !to->stamp;
            *to = w;
        }
    }
    pthread_mutex_unlock(&u->lock);
}

// ---- registers ----

static int register_read(struct op *op, const char *tag, const struct digest *manifest,
                         struct meta_register *out)
{
    struct arena *a = &op->req->arena;
    struct meta *m = op->s->meta;
    if (tag)
        return meta_tag_register(m, op->registry, op->route.name, tag, a, out);
    return meta_manifest_register(m, op->registry, op->route.name, manifest, a, out);
}

bool ack_repeats(struct op *op, const char *tag, const struct digest *manifest, bool gone)
{
    struct meta_register here;
    if (!op->ack_peers || register_read(op, tag, manifest, &here))
        return false;
    const struct register_value *v = &here.top;
    bool stands = here.live != gone && v->gone == gone;
    if (stands && tag && !gone)
        stands = digest_equal(&v->digest, manifest);
    return stands && !strcmp(v->origin, op->s->region) && is_unacked(op, v);
}

bool ack_deleted_here(struct op *op, const char *tag, const struct digest *manifest)
{
    struct meta_register here;
    if (!op->ack_peers || register_read(op, tag, manifest, &here))
        return false;
    return here.top.gone && !here.live && !strcmp(here.top.origin, op->s->region);
}

void ack_note(struct op *op, const char *tag, const struct digest *manifest)
{
    if (!op->ack_peers)
        return;
    if (!op->ack)
        op->ack = arena_alloc(&op->req->arena, sizeof *op->ack);
    if (!op->ack || op->ack->n == WRITTEN_MAX) {
        op->failed = ERR_NOMEM;
        return;
    }
    struct written *w = &op->ack->list[op->ack->n++];
    w->tag = tag;
    if (!tag)
        w->manifest = *manifest;
}

// What the registers hold now: what was written, or what has won over it since.
static int values_read(struct op *op)
{
    struct op_ack *k = op->ack;
    for (size_t i = 0; i < k->n; i++) {
        struct meta_register here;
        int rc = register_read(op, k->list[i].tag, &k->list[i].manifest, &here);
        if (rc)
            return rc;
        k->list[i].value = here.top;
    }
    return 0;
}

// ---- answers ----

bool ack_refused(struct op *op, struct http_response *resp)
{
    const struct elsewhere *e = op->s->elsewhere;
    char away[CONTENT_TEXT_SIZE] = "";
    unsigned n = 0;
    if (!op->ack_peers)
        return false;
    if (e)
        n = e->ops->reachable(e->ctx, op->registry, away);
    if (n >= op->ack_peers)
        return false;
    traffic_add(TRAFFIC_ACK_REFUSED, 1);
    oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL,
              "this registry's writes are acknowledged once %u other regions have them, and %u are "
              "heard (not %s): nothing was stored",
              op->ack_peers, n, *away ? away : "any");
    answer_header(op, resp, "Retry-After", RETRY_AFTER_S);
    return true;
}

static void not_yet(struct op *op, struct http_response *resp, const struct elsewhere_ack_view *v)
{
    const char *region = op->s->region;
    *resp = (struct http_response){0};
    op->ack->unacked = true;
    unacked_set(op, true);
    traffic_add(TRAFFIC_ACK_LATE, 1);
    oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL,
              "stored in %s, not yet in %u other regions as this registry asks (ack): %s has it; "
              "not %s. It stays, and goes on being copied: send the same request again",
              region, op->ack_peers, *v->stored ? v->stored : "none", v->lacking);
    answer_header(op, resp, "Retry-After", RETRY_AFTER_S);
}

// ---- waiting ----

static void wake(void *ctx)
{
    http_parked_wake(ctx);
}

// The handle of the run before is of no use any more.
static void unpark(struct op *op)
{
    const struct elsewhere *e = op->s->elsewhere;
    struct op_ack *k = op->ack;
    if (!k->parked)
        return;
    e->ops->ack_wake(k->waits, NULL, NULL);
    http_parked_unref(k->parked);
    k->parked = NULL;
}

static int park(struct op *op, struct http_response *resp, int64_t until_mono)
{
    const struct elsewhere *e = op->s->elsewhere;
    struct op_ack *k = op->ack;
    int rc = http_response_park(resp, until_mono, &k->parked);
    if (!rc)
        e->ops->ack_wake(k->waits, wake, k->parked);
    return rc;
}

static void look(struct op *op, struct http_response *resp)
{
    const struct elsewhere *e = op->s->elsewhere;
    struct op_ack *k = op->ack;
    struct elsewhere_ack_view v;
    unpark(op);
    e->ops->ack_look(k->waits, &v);
    if (v.n_stored >= op->ack_peers) {
        unacked_set(op, false);
        traffic_add(TRAFFIC_ACK_DONE, 1);
        *resp = k->answer;
        return;
    }
    bool over = clock_mono_ms() >= k->until_mono || op->req->ending;
    if (over || park(op, resp, v.again_mono))
        not_yet(op, resp, &v);
}

static int begin(struct op *op)
{
    const struct elsewhere *e = op->s->elsewhere;
    struct op_ack *k = op->ack;
    int rc = values_read(op);
    if (rc)
        return rc;
    if (!e)
        return ERR_CANCELED;
    const struct elsewhere_ack_want want = {.registry = op->registry,
                                            .repository = op->route.name,
                                            .list = k->list,
                                            .n = k->n,
                                            .n_peers = op->ack_peers,
                                            .until_mono = k->until_mono};
    return e->ops->ack_begin(e->ctx, &want, &k->waits);
}

// Does it say that what was noted is so?
static bool claims(int status)
{
    return (status >= 200 && status <= 299) || status == 404;
}

bool ack_hold(struct op *op, struct http_response *resp)
{
    struct op_ack *k = op->ack;
    if (!k || !k->n || k->waits || op->failed || !claims(resp->status))
        return false;
    k->answer = *resp;
    k->until_mono = clock_mono_ms() + op->ack_timeout_ms;
    traffic_add(TRAFFIC_ACK_WAITS, 1);
    if (begin(op)) {
        const struct elsewhere_ack_view none = {.lacking = "any, which cannot be asked now"};
        not_yet(op, resp, &none);
        return false;
    }
    op->act = look;
    look(op, resp);
    return resp->parked;
}

const struct http_response *ack_stands(const struct op *op)
{
    if (!op->ack || !op->ack->unacked)
        return NULL;
    return &op->ack->answer;
}

void ack_done(struct op *op)
{
    const struct elsewhere *e = op->s->elsewhere;
    if (!op->ack || !op->ack->waits)
        return;
    unpark(op);
    e->ops->ack_end(op->ack->waits);
    op->ack->waits = NULL;
}
