// SPDX-License-Identifier: Apache-2.0
// Calls to the regions' peer listeners over mutual TLS: the deep document of each region every
// interval, and observations against observations with each that has a resolver. Started by the
// checker's thread with its lock held; completed on the fetcher's thread, which takes it. One call
// of a kind runs per region; a peer that cannot be reached costs that.
#include "health/priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define PEER_TIMEOUT_MIN_MS 1000
#define DEEP_LIFE_MIN_MS 10000

static void link_unref(struct link *l)
{
    if (!l || --l->refs)
        return;
    free(l->bad);
    free(l);
}

void health_links_drop(struct link **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        // The analyser takes all of the list's members for one. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        link_unref(list[i]);
    free(list);
}

static struct link *link_find(const struct health *h, const char *region)
{
    for (size_t i = 0; i < h->n_links; i++)
        if (!strcmp(h->links[i]->region, region))
            return h->links[i];
    return NULL;
}

static struct link *link_new(const char *region, int64_t now)
{
    struct link *l = mem_zalloc(sizeof *l);
    if (l)
        snprintf(l->region, sizeof l->region, "%s", region);
    if (l)
        l->next_deep_ms = l->next_exchange_ms = now;
    return l;
}

// What it said of those targets that stay.
static uint32_t *carry_over(const struct health *h, const struct link *l,
                            struct target *const *targets, size_t n)
{
    uint32_t *bad = mem_zalloc_array(n, sizeof *bad);
    size_t old = 0;
    for (size_t i = 0; bad && i < n; i++) {
        size_t tries = 0;
        while (tries < h->n_targets && h->targets[old] != targets[i])
            // most stand where they stood, after the one before
            tries++, old = (old + 1) % h->n_targets;
        if (l->bad && tries < h->n_targets)
            bad[i] = l->bad[old];
        else
            bad[i] = SAID_NOTHING;
    }
    return bad;
}

static struct link *link_carried(struct health *h, const char *region,
                                 struct target *const *targets, size_t n, uint32_t **out_bad)
{
    struct link *l = link_find(h, region);
    if (!l)
        l = link_new(region, clock_mono_ms());
    if (l)
        *out_bad = carry_over(h, l, targets, n);
    else
        *out_bad = NULL;
    if (l)
        l->refs++;
    return l;
}

int health_links_adopt(struct health *h, const struct topology *t, struct target *const *targets,
                       size_t n)
{
    uint32_t *bad[TOPOLOGY_MAX_REGIONS];
    struct link **list = mem_zalloc_array(t->n_regions, sizeof(struct link *));
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->n_regions; i++) {
        list[i] = link_carried(h, t->regions[i].name, targets, n, &bad[i]);
        if (bad[i])
            continue;
        for (size_t k = 0; k < i; k++)
            free(bad[k]);
        health_links_drop(list, i + 1);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < t->n_regions; i++) {
        free(list[i]->bad);
        list[i]->bad = bad[i];
        list[i]->votes = false;
    }
    for (size_t i = 0; i < t->n_name_servers; i++)
        list[t->name_servers[i].region]->votes = true;
    health_links_drop(h->links, h->n_links);
    h->links = list;
    h->n_links = t->n_regions;
    for (size_t i = 0; i < h->orders.n; i++)
        h->orders.list[i].known = 0; // by index of the region, which may be another now
    for (size_t i = 0; i < h->drills.n; i++)
        h->drills.list[i].known = 0;
    return 0;
}

bool health_deep_fresh(const struct health *h, const struct link *l, int64_t now)
{
    int64_t life = health_vote_life_ms(h);
    if (life < DEEP_LIFE_MIN_MS)
        life = DEEP_LIFE_MIN_MS;
    return l->deep_heard_ms && now - l->deep_heard_ms <= life;
}

static bool *running_flag(struct link *l, enum call_kind kind)
{
    if (kind == CALL_DEEP)
        return &l->deep_running;
    return &l->exchange_running;
}

// --- completions, on the fetcher's thread ---

static void call_unlink(struct call *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->h->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
    *running_flag(c->link, c->kind) = false;
    link_unref(c->link);
    free(c);
}

static const char *failure_of(const struct fetch_result *r)
{
    if (r->message[0])
        return r->message;
    return err_text(r->err);
}

static void deep_apply(struct health *h, struct link *l, const struct fetch_result *r)
{
    struct health_deep before = l->deep;
    bool had = l->deep_heard_ms != 0;
    l->deep_error[0] = 0;
    if (r->err)
        snprintf(l->deep_error, sizeof l->deep_error, "%.120s", failure_of(r));
    else if (r->status != 200 && r->status != 503) // 503: down, and says why
        snprintf(l->deep_error, sizeof l->deep_error, "status %d", r->status);
    else if (health_deep_parse((struct bytes){(const uint8_t *)r->body.p, r->body.n}, l->region,
                               &l->deep))
        snprintf(l->deep_error, sizeof l->deep_error, "what it says is not a deep document");
    else
        l->deep_heard_ms = clock_mono_ms();
    health_plain(l->deep_error);
    if (l->deep_error[0])
        return; // what it said before holds until it is stale
    for (size_t i = 0; i < h->n_targets; i++) {
        struct health_target *x = &h->targets[i]->pub;
        if (h->targets[i]->tcp && !strcmp(x->region, l->region) && !strcmp(x->stamp, l->deep.stamp))
            health_short_set(h, h->targets[i], l->deep.is_short);
        uint8_t step = health_headroom_step(x->headroom, l->deep.headroom_percent);
        if (strcmp(x->region, l->region) != 0 || strcmp(x->stamp, l->deep.stamp) != 0 ||
            step == x->headroom)
            continue;
        x->headroom = step;
        h->unpublished = true;
    }
    if (!had || before.n_impaired != l->deep.n_impaired ||
        memcmp(before.impaired, l->deep.impaired, sizeof before.impaired))
        h->unpublished = true;
}

static void deep_done(void *ctx, struct fetch_result *r)
{
    struct call *c = ctx;
    struct health *h = c->h;
    pthread_mutex_lock(&h->lock);
    if (!h->stopping && r->err != ERR_CANCELED)
        deep_apply(h, c->link, r);
    call_unlink(c);
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

// What it answered with is read without the lock: a signature takes a while. ERR_UNREACHABLE: no
// answer.
static int read_answer(struct health *h, struct topology *t, const char *region,
                       const struct fetch_result *r, char error[128], struct observation **out)
{
    const char *why;
    int rc = ERR_UNREACHABLE;
    if (r->err)
        snprintf(error, 128, "%.120s", failure_of(r));
    else if (r->status != 200)
        snprintf(error, 128, "status %d", r->status);
    else if ((rc = observation_parse(t, region,
                                     (struct bytes){(const uint8_t *)r->body.p, r->body.n},
                                     clock_wall_ms(), h->o.verify, out, &why)))
        snprintf(error, 128, "%s", why);
    health_plain(error);
    return rc;
}

static void exchange_done(void *ctx, struct fetch_result *r)
{
    struct call *c = ctx;
    struct health *h = c->h;
    char error[128] = "";
    const char *why = "";
    pthread_mutex_lock(&h->lock);
    bool over = h->stopping || r->err == ERR_CANCELED;
    struct topology *t = NULL;
    if (!over)
        t = snapshot_ref(h->topology);
    pthread_mutex_unlock(&h->lock);
    struct observation *o = NULL;
    int rc = ERR_CANCELED;
    if (!over)
        rc = read_answer(h, t, c->link->region, r, error, &o);
    snapshot_unref(t);
    pthread_mutex_lock(&h->lock);
    h->tally.exchanges += !over;
    h->tally.exchange_failures += rc == ERR_UNREACHABLE;
    if (o && (rc = health_observation_take(h, c->link, o, &why)))
        observation_free(o);
    if (!over && rc != ERR_UNREACHABLE)
        health_tally_taken(&h->tally, rc);
    if (*why) // one that came by the other way was newer: no fault
        error[0] = 0;
    if (!over)
        memcpy(c->link->voter_error, error, sizeof error);
    if (c->link->exchange_again)
        c->link->next_exchange_ms = clock_mono_ms();
    c->link->exchange_again = false;
    call_unlink(c);
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

// --- starting, with the lock ---

static int call_start(struct health *h, struct link *l, const struct region *to,
                      enum call_kind kind, const struct buf *body)
{
    char url[HOSTNAME_TEXT_SIZE + 64];
    const struct health_settings *s = &h->topology->health;
    snprintf(url, sizeof url, "https://%s.peer.%s:%u%s", l->region, h->topology->domain,
             to->peer.port, kind == CALL_DEEP ? "/healthz" : HEALTH_OBSERVATION_PATH);
    struct call *c = mem_zalloc(sizeof *c);
    if (!c)
        return ERR_NOMEM;
    uint32_t timeout = PEER_TIMEOUT_MIN_MS;
    if (s->timeout_ms > PEER_TIMEOUT_MIN_MS)
        timeout = s->timeout_ms;
    const char *headers[] = {"Content-Type: application/json"};
    struct fetch_request q = {.url = url,
                              .connect_to = &to->peer,
                              .peer = l->region,
                              .looks_for_peer = true,
                              .ca_file = h->ca_file,
                              .client_pem = h->peer_pem,
                              .pinned = true,
                              .pins = to->peer_fingerprints,
                              .n_pins = to->n_peer_fingerprints,
                              .connect_timeout_ms = timeout,
                              .timeout_ms = timeout,
                              .max_bytes = OBSERVATION_MAX_BYTES,
                              .ctx = c};
    if (kind == CALL_DEEP)
        q.max_bytes = HEALTH_DEEP_MAX_BYTES;
    if (body) {
        q.method = "POST";
        q.body = (struct bytes){(const uint8_t *)body->p, body->n};
        q.headers = headers;
        q.n_headers = 1;
    }
    *c = (struct call){.h = h, .link = l, .kind = kind, .next = h->calls};
    if (c->next)
        c->next->prev = c;
    h->calls = c;
    l->refs++;
    *running_flag(l, kind) = true;
    int rc;
    if (kind == CALL_DEEP)
        rc = fetch_start(h->o.fetcher, &q, deep_done, &c->fetch);
    else
        rc = fetch_start(h->o.fetcher, &q, exchange_done, &c->fetch);
    if (rc)
        call_unlink(c);
    return rc;
}

static bool exchanges_with(const struct health *h, const struct link *l)
{
    return l->votes && strcmp(l->region, h->o.region) != 0;
}

static void deep_due(struct health *h, struct link *l, const struct region *to, int64_t now)
{
    if (l->next_deep_ms > now || l->deep_running)
        return;
    int rc = call_start(h, l, to, CALL_DEEP, NULL);
    if (rc)
        snprintf(l->deep_error, sizeof l->deep_error, "%s", err_text(rc));
    l->next_deep_ms = now + (rc ? RETRY_MS : health_jittered(&h->topology->health));
}

// `body` is made for the first that is due, and serves all of this turn.
static void exchange_due(struct health *h, struct link *l, const struct region *to,
                         struct buf *body, int64_t now)
{
    if (!exchanges_with(h, l) || l->next_exchange_ms > now || l->exchange_running)
        return;
    int rc = 0;
    if (!body->n)
        rc = health_observation_text(h, body);
    if (!rc)
        rc = call_start(h, l, to, CALL_EXCHANGE, body);
    if (rc)
        snprintf(l->voter_error, sizeof l->voter_error, "%s", err_text(rc));
    l->next_exchange_ms = now + (rc ? RETRY_MS : (int64_t)h->topology->health.interval_ms);
}

int64_t health_links_due(struct health *h, int64_t now)
{
    int64_t next = now + TOPOLOGY_LOOK_MS;
    if (!h->o.peer_pem)
        return next;
    AUTO_BUF struct buf body;
    buf_init(&body, OBSERVATION_MAX_BYTES);
    for (size_t i = 0; i < h->n_links; i++) {
        struct link *l = h->links[i];
        const struct region *to = &h->topology->regions[i];
        if (!to->peer.port)
            continue; // one region alone needs no peer listener
        deep_due(h, l, to, now);
        exchange_due(h, l, to, &body, now);
        if (!l->deep_running && l->next_deep_ms < next)
            next = l->next_deep_ms;
        if (exchanges_with(h, l) && !l->exchange_running && l->next_exchange_ms < next)
            next = l->next_exchange_ms;
    }
    return next;
}

void health_links_push(struct health *h)
{
    for (size_t i = 0; i < h->n_links; i++) {
        h->links[i]->exchange_again = h->links[i]->exchange_running;
        h->links[i]->next_exchange_ms = 0;
    }
}
