// SPDX-License-Identifier: Apache-2.0
// Observations exchanged with the resolvers of other regions: ours are made here, theirs taken. Who
// POSTs one gets one back, so that each exchange tells both. Called with the checker's lock by its
// thread and by the fetcher's; the route of the peer listener runs on the pool.
#include "health/priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http.h"
#include "net/refuse.h"

#include <stdio.h>
#include <string.h>

// Ours, as it is now. `votes` is of n_targets.
static void observe_all(const struct health *h, struct observation *o)
{
    for (size_t i = 0; i < h->n_targets && o->n_votes < OBSERVATION_VOTES_MAX; i++) {
        const struct health_target *x = &h->targets[i]->pub;
        if (!x->seen)
            continue;
        struct observation_vote *v = &o->votes[o->n_votes++];
        memcpy(v->region, x->region, sizeof v->region);
        memcpy(v->stamp, x->stamp, sizeof v->stamp);
        if (x->seen_up)
            v->n_bad = 0;
        else if (x->n_bad)
            v->n_bad = x->n_bad;
        else
            v->n_bad = 1;
    }
}

int health_observation_text(struct health *h, struct buf *out)
{
    AUTO_FREE struct observation *o = mem_zalloc(sizeof *o);
    AUTO_FREE struct observation_vote *votes = mem_zalloc_array(h->n_targets, sizeof *votes);
    if (!o || !votes)
        return ERR_NOMEM;
    const struct observation_signer s = {h->o.sign, h->o.sign_ctx, h->o.key_id};
    snprintf(o->region, sizeof o->region, "%s", h->o.region);
    snprintf(o->stamp, sizeof o->stamp, "%s", h->o.stamp);
    o->boot = h->boot;
    o->sequence = ++h->sequence;
    o->expires_ms = clock_wall_ms() + health_vote_life_ms(h);
    o->abstains = health_we_abstain(h);
    o->votes = votes;
    o->orders = h->orders;
    o->drills = h->drills;
    observe_all(h, o);
    return observation_format(o, h->topology->domain, &s, out);
}

size_t health_link_index(const struct health *h, const struct link *l)
{
    size_t i = 0;
    while (i < h->n_links && h->links[i] != l)
        i++;
    return i;
}

static void take_orders(struct health *h, struct link *l, const struct health_orders *theirs)
{
    int64_t wall = clock_wall_ms();
    bool news = false;
    for (size_t i = 0; i < theirs->n; i++) {
        int rc = health_orders_merge(&h->orders, &theirs->list[i], wall);
        static struct log_limit lim = LOG_LIMIT(60000);
        if (rc < 0)
            log_limited(&lim, LOG_WARN, "health: an order on %s from %s is not taken: %s",
                        theirs->list[i].region, l->region, err_text(rc));
        news |= rc > 0;
    }
    if (news) {
        health_forces_apply(h);
        h->unpublished = h->dirty = true;
    }
    region_set bit = (region_set)1 << health_link_index(h, l);
    for (size_t i = 0; i < theirs->n; i++) {
        const struct health_order *x = &theirs->list[i];
        struct health_order *mine = health_orders_find(&h->orders, x->kind, x->region, x->label);
        if (mine && health_order_same(mine, x))
            mine->known |= bit;
    }
}

// What they say of each target; votes come in the order of a topology, ours most likely.
static void take_votes(struct health *h, struct link *l, const struct observation *o)
{
    size_t at = 0;
    for (size_t k = 0; k < h->n_targets; k++)
        h->targets[k]->heard = SAID_NOTHING;
    for (size_t i = 0; i < o->n_votes; i++) {
        const struct observation_vote *v = &o->votes[i];
        for (size_t tries = 0; tries < h->n_targets; tries++, at = (at + 1) % h->n_targets) {
            struct target *x = h->targets[at];
            if (strcmp(x->pub.stamp, v->stamp) != 0 || strcmp(x->pub.region, v->region) != 0)
                continue;
            x->heard = v->n_bad;
            break;
        }
    }
    for (size_t k = 0; k < h->n_targets; k++) {
        struct target *x = h->targets[k];
        if (l->bad[k] != x->heard)
            x->settled = false;
        l->bad[k] = x->heard;
    }
}

int health_observation_take(struct health *h, struct link *l, struct observation *o,
                            const char **out_why)
{
    if (o->boot < l->boot || (o->boot == l->boot && o->sequence <= l->sequence)) {
        *out_why = "it is not later than the last one";
        return ERR_INVAL;
    }
    if (health_link_index(h, l) ==
        h->n_links) { // while it was on its way; l->bad is of other targets
        *out_why = "its region has left the topology";
        return ERR_INVAL;
    }
    memcpy(l->stamp, o->stamp, sizeof l->stamp);
    l->boot = o->boot;
    l->sequence = o->sequence;
    l->heard_ms = clock_mono_ms();
    h->unsettled |= l->abstains != o->abstains;
    l->abstains = o->abstains;
    take_votes(h, l, o);
    take_orders(h, l, &o->orders);
    health_drills_take(h, l, &o->drills);
    observation_free(o);
    return 0;
}

// --- the route ---

struct posting { // one request; hangs off its arena
    struct health *h;
    const char *region;
};

static int take_posted(struct posting *p, struct bytes body, const char **out_why)
{
    struct health *h = p->h;
    struct observation *o = NULL;
    pthread_mutex_lock(&h->lock);
    struct topology *t = snapshot_ref(h->topology);
    pthread_mutex_unlock(&h->lock);
    int rc = observation_parse(t, p->region, body, clock_wall_ms(), h->o.verify, &o, out_why);
    snapshot_unref(t);
    pthread_mutex_lock(&h->lock);
    struct link *l = NULL;
    for (size_t i = 0; i < h->n_links; i++)
        if (!strcmp(h->links[i]->region, p->region))
            l = h->links[i];
    int taken = rc;
    if (!rc && l)
        taken = health_observation_take(h, l, o, out_why);
    if (!rc && l && !taken) {
        l->voter_error[0] = 0;
        o = NULL;
        pthread_cond_broadcast(&h->wake);
    }
    health_tally_taken(&h->tally, taken);
    pthread_mutex_unlock(&h->lock);
    observation_free(o); // older than what we have: still answered with ours
    return rc;
}

static void posting_run(struct http_request *req, struct http_response *resp)
{
    struct posting *p = req->ctx;
    const char *why = "";
    AUTO_BUF struct buf ours;
    buf_init(&ours, OBSERVATION_MAX_BYTES);
    int rc = take_posted(p, req->body, &why);
    static struct log_limit lim = LOG_LIMIT(60000);
    if (rc) {
        log_limited(&lim, LOG_WARN, "health: the observation of %s is refused: %s", p->region, why);
        int status = 403;
        if (rc == ERR_NOMEM)
            status = 503;
        else if (rc == ERR_CORRUPT)
            status = 400;
        http_refuse(req, resp, status, REFUSED_DENIED, "%s", why);
        return;
    }
    pthread_mutex_lock(&p->h->lock);
    rc = health_observation_text(p->h, &ours);
    pthread_mutex_unlock(&p->h->lock);
    uint8_t *copy = NULL;
    if (!rc)
        copy = arena_copy(&req->arena, ours.p, ours.n);
    if (!copy)
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "%s", err_text(rc ? rc : ERR_NOMEM));
    else
        http_response_bytes(resp, 200, "application/json", (struct bytes){copy, ours.n});
}

void health_begin(struct health *h, struct http_request *req, const struct region *peer,
                  struct http_plan *plan)
{
    struct http_response *resp = &plan->response;
    plan->kind = HTTP_PLAN_REPLY;
    if (strcmp(req->path, HEALTH_OBSERVATION_PATH) != 0 || !h || !h->o.peer_pem) {
        http_refuse(req, resp, 404, REFUSED_UNSUPPORTED, "no resolver runs on this node");
        return;
    }
    if (req->method != HTTP_POST) {
        serve_method(req, resp, "POST", "observations are exchanged by POST");
        return;
    }
    struct posting *p = arena_alloc(&req->arena, sizeof *p);
    // the peer's topology may be gone when this runs
    const char *region = arena_strdup(&req->arena, peer->name);
    if (!p || !region) {
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "out of memory");
        return;
    }
    *p = (struct posting){h, region};
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = OBSERVATION_MAX_BYTES;
    plan->run = posting_run;
    plan->ctx = p;
}
