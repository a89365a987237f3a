// SPDX-License-Identifier: Apache-2.0
// Probes of the stamps: when one is due, what is asked, and what becomes of its outcome. A node
// that is short of space answers 503 with {"status":"short"}: it is up all the same, and is marked.
// Started by the checker's thread with its lock held; completed on the fetcher's thread, which
// takes it. See health_priv.h for the invariants.
#include "health/priv.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define SAID_SIZE 100
#define IN_FLIGHT_MAX 4
#define BODY_MAX 4096

void health_target_unref(struct target *t)
{
    if (t && --t->refs == 0)
        free(t);
}

static void probe_unlink(struct probe *p)
{
    if (p->prev)
        p->prev->next = p->next;
    else
        p->h->probes = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->target->in_flight--;
    health_target_unref(p->target);
    free(p);
}

static bool says_short(const struct fetch_result *r)
{
    if (r->err || r->status != 503)
        return false;
    json_t *root = json_loadb((const char *)r->body.p, r->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *status = json_string_value(json_object_get(root, "status"));
    bool is_short = status && !strcmp(status, "short");
    json_decref(root);
    return is_short;
}

// Why it says down, in the few words of its public document (daemon/conditions.h); "" when it gives
// none.
static void why_down(const struct fetch_result *r, char out[SAID_SIZE])
{
    json_t *root = NULL;
    if (r->status == 503)
        root = json_loadb((const char *)r->body.p, r->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *said = json_string_value(json_object_get(root, "reason"));
    snprintf(out, SAID_SIZE, "%s%s", said ? ": " : "", said ? said : "");
    for (char *p = out; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    json_decref(root);
}

void health_short_set(struct health *h, struct target *t, bool is_short)
{
    if (t->pub.is_short == is_short)
        return;
    t->pub.is_short = is_short;
    h->unpublished = h->dirty = true;
    log_write(is_short ? LOG_WARN : LOG_INFO, "health: %s of %s %s", t->pub.stamp, t->pub.region,
              is_short ? "is short of space: passed over while another region has room"
                       : "has room again");
}

static void apply(struct health *h, struct probe *p, const struct fetch_result *r)
{
    struct target *t = p->target;
    char reason[sizeof t->pub.reason], said[SAID_SIZE];
    if (h->stopping || r->err == ERR_CANCELED || p->number <= t->n_applied)
        return;
    t->n_applied = p->number;
    t->settled = false;
    bool is_short = !p->tcp && says_short(r), good = false;
    if (!r->err)
        good = p->tcp || r->status == 200 || is_short;
    if (good && !p->tcp)
        health_short_set(h, t, is_short);
    if (r->err) {
        snprintf(reason, sizeof reason, "%.150s", r->message[0] ? r->message : err_text(r->err));
    } else if (p->tcp) {
        snprintf(reason, sizeof reason, "connected in %lld ms", (long long)r->elapsed_ms);
    } else {
        why_down(r, said);
        snprintf(reason, sizeof reason, "%d in %lld ms%s", r->status, (long long)r->elapsed_ms,
                 is_short ? ": short of space" : said);
    }
    if (health_observe(&h->topology->health, &t->pub, good, reason, clock_wall_ms()))
        health_links_push(h);
    else if (!t->pub.seen_up && t->pub.n_bad == 2 * h->topology->health.fall)
        health_links_push(h); // enough for one voter alone
}

// On the fetcher's thread.
static void probe_done(void *ctx, struct fetch_result *r)
{
    struct probe *p = ctx;
    struct health *h = p->h;
    pthread_mutex_lock(&h->lock);
    apply(h, p, r);
    probe_unlink(p);
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

struct probe_how {
    bool tcp;
    struct endpoint to;
    char url[HOSTNAME_TEXT_SIZE + 32];
};

static int probe_plan(const struct topology *t, const struct health_target *x,
                      struct probe_how *out)
{
    const struct region *r = topology_region(t, x->region);
    const struct stamp *s = NULL;
    if (r)
        s = region_stamp(r, x->stamp);
    char name[HOSTNAME_TEXT_SIZE], port_text[8] = "";
    if (!s || (!s->n_ipv4 && !s->n_ipv6))
        return ERR_NOTFOUND;
    int rc = hostname_format(NAME_FRONTEND, t->domain, NULL, x->region, x->stamp, name);
    if (rc)
        return rc;
    uint16_t port;
    if (r->probe_port)
        port = r->probe_port;
    else if (t->health.port)
        port = (uint16_t)t->health.port;
    else
        port = t->https_port;
    out->tcp = (r->probe != PROBE_AS_HEALTH ? r->probe : t->health.probe) == PROBE_TCP;
    out->to = (struct endpoint){s->n_ipv4 ? s->ipv4[0] : s->ipv6[0], port};
    if (out->tcp || port != 443)
        snprintf(port_text, sizeof port_text, ":%u", port);
    snprintf(out->url, sizeof out->url, "%s://%s%s%s", out->tcp ? "http" : "https", name, port_text,
             out->tcp ? "" : "/healthz");
    return 0;
}

// Called with the lock, so that probe_done waits until the handle is stored.
static int probe_start(struct health *h, struct target *t)
{
    struct probe_how how;
    int rc = probe_plan(h->topology, &t->pub, &how);
    struct probe *p = NULL;
    if (!rc)
        p = mem_zalloc(sizeof *p);
    if (!p) {
        if (rc)
            return rc;
        return ERR_NOMEM;
    }
    uint32_t timeout = h->topology->health.timeout_ms;
    struct fetch_request q = {.url = how.url,
                              .connect_to = &how.to,
                              .connect_only = how.tcp,
                              .ca_file = h->ca_file,
                              .connect_timeout_ms = timeout,
                              .timeout_ms = timeout,
                              .max_bytes = BODY_MAX};
    q.ctx = p;
    *p = (struct probe){
        .h = h, .target = t, .tcp = how.tcp, .number = ++t->n_started, .next = h->probes};
    if (p->next)
        p->next->prev = p;
    h->probes = p;
    t->tcp = how.tcp;
    t->refs++;
    t->in_flight++;
    rc = fetch_start(h->o.fetcher, &q, probe_done, &p->fetch);
    if (rc)
        probe_unlink(p);
    return rc;
}

int64_t health_jittered(const struct health_settings *s)
{
    uint32_t r = 0;
    int64_t span = (int64_t)s->interval_ms * s->jitter_percent / 100;
    if (random_bytes(&r, sizeof r))
        return s->interval_ms;
    int64_t ms = s->interval_ms - span + (int64_t)(r % (uint64_t)(2 * span + 1));
    if (ms > 0)
        return ms;
    return 1;
}

// Starts what is due; returns when to look again, on the monotonic clock.
int64_t health_start_due(struct health *h, int64_t now)
{
    int64_t next = now + TOPOLOGY_LOOK_MS;
    for (size_t i = 0; i < h->n_targets; i++) {
        struct target *t = h->targets[i];
        if (t->next_ms <= now) {
            int rc = 0;
            if (t->in_flight < IN_FLIGHT_MAX)
                rc = probe_start(h, t);
            static struct log_limit lim = LOG_LIMIT(60000);
            if (rc)
                log_limited(&lim, LOG_WARN, "health: cannot probe %s of %s: %s", t->pub.stamp,
                            t->pub.region, err_text(rc));
            t->next_ms = now + (rc ? RETRY_MS : health_jittered(&h->topology->health));
        }
        if (t->next_ms < next)
            next = t->next_ms;
    }
    return next;
}
