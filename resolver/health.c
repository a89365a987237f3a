// SPDX-License-Identifier: Apache-2.0
// The health checker: one thread that schedules probes on the monotonic clock, applies their outcomes and publishes
// verdicts. Probes run on the fetcher's thread; only their completion touches us there, under the lock. The state file
// is written by the checker's thread, outside the lock.
//
// Invariants
// 1. Probes start an interval (with jitter) after the previous start, whatever became of that one, so that a region
// that
//    times out is found down after fall * interval * (1 + jitter) + timeout. At most IN_FLIGHT_MAX run per target.
// 2. Outcomes count in the order of their starts: a late one is not applied over a newer one.
// 3. A target belongs to the list while the topology has it; a probe holds its own reference.
#include "resolver/health.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/health_priv.h"
#include "resolver/health_state.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define IN_FLIGHT_MAX 4
#define TOPOLOGY_LOOK_MS 500 // how soon a new topology is seen
#define RETRY_MS 1000        // after a probe that could not even start, or a state file that could not be written
#define PUBLISH_RETRY_MS 100 // without memory for it
#define BODY_MAX 4096

struct target {
    struct health_target pub;
    uint32_t refs; // the list's and one per probe
    uint32_t in_flight;
    uint64_t n_started, n_applied; // numbers of probes
    int64_t next_ms;               // monotonic
};

struct probe {
    struct health *h;
    struct target *target;
    uint64_t number;
    struct fetch *fetch;
    struct probe *prev, *next;
};

struct health {
    struct health_options o;
    char *ca_file, *state_path;
    pthread_t thread;
    pthread_mutex_t lock; // all below
    pthread_cond_t wake;
    bool stopping, dirty, unpublished;
    struct topology *topology; // what the targets are of
    uint64_t topology_generation;
    struct target **targets;
    size_t n_targets;
    struct probe *probes; // running
    uint64_t serial;
    int64_t save_at_ms; // monotonic: not before
};

static void target_unref(struct target *t)
{
    if (t && --t->refs == 0)
        free(t);
}

static void targets_drop(struct target **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        target_unref(list[i]);
    free(list);
}

static struct target *target_find(const struct health *h, const char *region, const char *stamp)
{
    for (size_t i = 0; i < h->n_targets; i++)
        if (!strcmp(h->targets[i]->pub.region, region) && !strcmp(h->targets[i]->pub.stamp, stamp))
            return h->targets[i];
    return NULL;
}

static struct target *target_new(const char *region, const char *stamp, int64_t now_ms)
{
    struct target *t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    snprintf(t->pub.region, sizeof t->pub.region, "%s", region);
    snprintf(t->pub.stamp, sizeof t->pub.stamp, "%s", stamp);
    snprintf(t->pub.reason, sizeof t->pub.reason, "not probed yet");
    t->pub.up = true; // unknown
    t->next_ms = now_ms;
    return t;
}

// Targets of a new topology; those that stay keep their state. Takes over `t` on success.
static int adopt_topology(struct health *h, struct topology *t)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < t->n_regions; i++)
        n += t->regions[i].n_stamps;
    struct target **list = mem_zalloc_array(n ? n : 1, sizeof(struct target *));
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_stamps; k++) {
            const char *region = t->regions[i].name, *stamp = t->regions[i].stamps[k].name;
            struct target *old = target_find(h, region, stamp);
            struct target *x = old ? old : target_new(region, stamp, clock_mono_ms());
            if (!x) {
                targets_drop(list, at);
                return ERR_NOMEM;
            }
            x->refs++;
            list[at++] = x;
        }
    targets_drop(h->targets, h->n_targets);
    h->targets = list;
    h->n_targets = n;
    snapshot_unref(h->topology);
    h->topology = t;
    h->unpublished = h->dirty = true;
    return 0;
}

// Called with the lock.
static void look_at_topology(struct health *h)
{
    uint64_t generation = snapshot_generation(h->o.topology);
    if (generation == h->topology_generation && h->topology)
        return;
    struct topology *t = snapshot_get(h->o.topology);
    if (!t)
        return;
    if (t == h->topology || adopt_topology(h, t))
        snapshot_unref(t); // without memory: again at the next look
    else
        h->topology_generation = generation;
}

static void verdicts_free(void *self)
{
    struct health_verdicts *v = self;
    free((void *)v->targets);
    free(v);
}

static struct health_target *copy_targets(const struct health *h)
{
    struct health_target *list = mem_zalloc_array(h->n_targets ? h->n_targets : 1, sizeof *list);
    for (size_t i = 0; list && i < h->n_targets; i++)
        list[i] = h->targets[i]->pub;
    return list;
}

// Called with the lock. On failure the next turn tries again.
static int publish(struct health *h)
{
    struct health_verdicts *v = mem_zalloc(sizeof *v);
    struct health_target *list = v ? copy_targets(h) : NULL;
    if (!list) {
        free(v);
        return ERR_NOMEM;
    }
    snapshot_head_init(&v->head, verdicts_free);
    v->serial = ++h->serial;
    v->targets = list;
    v->n_targets = h->n_targets;
    snapshot_publish(h->o.verdicts, v);
    h->unpublished = false;
    return 0;
}

// Called with the lock; writes without it.
static void save(struct health *h)
{
    struct health_target *list = copy_targets(h);
    size_t n = h->n_targets;
    h->dirty = false;
    pthread_mutex_unlock(&h->lock);
    int rc = list ? health_state_save(h->state_path, list, n) : ERR_NOMEM;
    free(list);
    static struct log_limit lim = LOG_LIMIT(60000);
    if (rc)
        log_limited(&lim, LOG_WARN, "health: cannot write %s: %s", h->state_path, err_text(rc));
    pthread_mutex_lock(&h->lock);
    if (rc) {
        h->dirty = true;
        h->save_at_ms = clock_mono_ms() + RETRY_MS;
    }
}

static void log_change(const struct health_target *t)
{
    log_write(t->up ? LOG_INFO : LOG_WARN, "health: %s of %s is %s: %s", t->stamp, t->region, t->up ? "up" : "down",
              t->reason);
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
    target_unref(p->target);
    free(p);
}

static void apply(struct health *h, struct probe *p, const struct fetch_result *r)
{
    struct target *t = p->target;
    char reason[sizeof t->pub.reason];
    if (h->stopping || r->err == ERR_CANCELED || p->number <= t->n_applied)
        return;
    t->n_applied = p->number;
    if (r->err)
        snprintf(reason, sizeof reason, "%.150s", r->message[0] ? r->message : err_text(r->err));
    else
        snprintf(reason, sizeof reason, "%d in %lld ms", r->status, (long long)r->elapsed_ms);
    if (health_observe(&h->topology->health, &t->pub, !r->err && r->status == 200, reason, clock_wall_ms())) {
        log_change(&t->pub);
        h->unpublished = h->dirty = true;
    }
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

static int format_url(const struct topology *t, const struct health_target *x, char *out, size_t cap)
{
    char name[HOSTNAME_TEXT_SIZE], port[8] = "";
    int rc = hostname_format(NAME_FRONTEND, t->domain, NULL, x->region, x->stamp, name);
    if (rc)
        return rc;
    if (t->https_port != 443)
        snprintf(port, sizeof port, ":%u", t->https_port);
    snprintf(out, cap, "https://%s%s/healthz", name, port);
    return 0;
}

static int first_address(const struct topology *t, const struct health_target *x, struct endpoint *out)
{
    const struct region *r = topology_region(t, x->region);
    const struct stamp *s = r ? region_stamp(r, x->stamp) : NULL;
    if (!s || (!s->n_ipv4 && !s->n_ipv6))
        return ERR_NOTFOUND;
    *out = (struct endpoint){s->n_ipv4 ? s->ipv4[0] : s->ipv6[0], t->https_port};
    return 0;
}

// Called with the lock, so that probe_done waits until the handle is stored.
static int probe_start(struct health *h, struct target *t)
{
    char url[HOSTNAME_TEXT_SIZE + 32];
    struct endpoint to;
    int rc = format_url(h->topology, &t->pub, url, sizeof url);
    if (!rc)
        rc = first_address(h->topology, &t->pub, &to);
    struct probe *p = rc ? NULL : mem_zalloc(sizeof *p);
    if (!p)
        return rc ? rc : ERR_NOMEM;
    uint32_t timeout = h->topology->health.timeout_ms;
    struct fetch_request q = {.url = url,
                              .connect_to = &to,
                              .ca_file = h->ca_file,
                              .connect_timeout_ms = timeout,
                              .timeout_ms = timeout,
                              .max_bytes = BODY_MAX};
    q.ctx = p;
    *p = (struct probe){.h = h, .target = t, .number = ++t->n_started, .next = h->probes};
    if (p->next)
        p->next->prev = p;
    h->probes = p;
    t->refs++;
    t->in_flight++;
    rc = fetch_start(h->o.fetcher, &q, probe_done, &p->fetch);
    if (rc)
        probe_unlink(p);
    return rc;
}

static int64_t jittered(const struct health_settings *s)
{
    uint32_t r = 0;
    int64_t span = (int64_t)s->interval_ms * s->jitter_percent / 100;
    if (random_bytes(&r, sizeof r))
        return s->interval_ms;
    int64_t ms = s->interval_ms - span + (int64_t)(r % (uint64_t)(2 * span + 1));
    return ms > 0 ? ms : 1;
}

// Starts what is due; returns when to look again, on the monotonic clock.
static int64_t start_due(struct health *h, int64_t now)
{
    int64_t next = now + TOPOLOGY_LOOK_MS;
    for (size_t i = 0; i < h->n_targets; i++) {
        struct target *t = h->targets[i];
        if (t->next_ms <= now) {
            int rc = t->in_flight < IN_FLIGHT_MAX ? probe_start(h, t) : 0;
            static struct log_limit lim = LOG_LIMIT(60000);
            if (rc)
                log_limited(&lim, LOG_WARN, "health: cannot probe %s of %s: %s", t->pub.stamp, t->pub.region,
                            err_text(rc));
            t->next_ms = now + (rc ? RETRY_MS : jittered(&h->topology->health));
        }
        if (t->next_ms < next)
            next = t->next_ms;
    }
    return next;
}

static void wait_until(struct health *h, int64_t mono_ms)
{
    struct timespec ts = {mono_ms / 1000, mono_ms % 1000 * 1000000};
    pthread_cond_timedwait(&h->wake, &h->lock, &ts);
}

// Called with the lock, and may let it go for a while.
static int64_t turn(struct health *h)
{
    look_at_topology(h);
    int64_t now = clock_mono_ms(), next = start_due(h, now);
    if (h->unpublished && publish(h) && next > now + PUBLISH_RETRY_MS)
        next = now + PUBLISH_RETRY_MS;
    if (h->dirty && now >= h->save_at_ms) {
        save(h);
        next = now; // it let the lock go: look again before waiting
    }
    return next;
}

int64_t health_turn(struct health *h)
{
    pthread_mutex_lock(&h->lock);
    int64_t next = turn(h);
    pthread_mutex_unlock(&h->lock);
    return next;
}

// Called with the lock.
static void halt(struct health *h)
{
    h->stopping = true;
    if (h->dirty)
        save(h);
    for (struct probe *p = h->probes; p; p = p->next)
        fetch_cancel(h->o.fetcher, p->fetch); // the handle is valid: its completion waits for our lock
}

void health_halt(struct health *h)
{
    pthread_mutex_lock(&h->lock);
    halt(h);
    pthread_mutex_unlock(&h->lock);
}

static void *health_main(void *arg)
{
    struct health *h = arg;
    pthread_mutex_lock(&h->lock);
    while (!h->stopping) {
        int64_t next = turn(h);
        if (!h->stopping)
            wait_until(h, next);
    }
    halt(h);
    while (h->probes)
        pthread_cond_wait(&h->wake, &h->lock);
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

// Restores the verdicts of before into the targets at hand. Fails only for want of memory: then the file stays as it
// is.
static int restore(struct health *h)
{
    AUTO_FREE struct health_target *list = copy_targets(h);
    int rc =
        list ? health_state_load(h->state_path, &h->topology->health, clock_wall_ms(), list, h->n_targets) : ERR_NOMEM;
    for (size_t i = 0; !rc && i < h->n_targets; i++)
        h->targets[i]->pub = list[i];
    if (rc == ERR_NOMEM)
        return rc;
    if (rc && rc != ERR_NOTFOUND)
        log_warn("health: %s is not usable (%s): all regions start as up", h->state_path, err_text(rc));
    return 0;
}

void health_free(struct health *h)
{
    if (!h)
        return;
    targets_drop(h->targets, h->n_targets);
    snapshot_unref(h->topology);
    free(h->ca_file);
    free(h->state_path);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int health_prepare(struct health *h)
{
    h->ca_file = h->o.ca_file ? mem_strdup(h->o.ca_file) : NULL;
    h->state_path = mem_strdup(h->o.state_path);
    if (!h->state_path || (h->o.ca_file && !h->ca_file))
        return ERR_NOMEM;
    look_at_topology(h);
    if (!h->topology)
        return ERR_INVAL; // there is none to check
    int rc = restore(h);
    return rc ? rc : publish(h); // before the first query is answered
}

int health_new(const struct health_options *o, struct health **out)
{
    struct health *h = mem_zalloc(sizeof *h);
    pthread_condattr_t attr;
    if (!h)
        return ERR_NOMEM;
    h->o = *o;
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &attr);
    pthread_condattr_destroy(&attr);
    int rc = health_prepare(h);
    if (rc) {
        health_free(h);
        return rc;
    }
    *out = h;
    return 0;
}

int health_start(const struct health_options *o, struct health **out)
{
    struct health *h;
    int rc = health_new(o, &h);
    if (rc)
        return rc;
    if (pthread_create(&h->thread, NULL, health_main, h)) {
        health_free(h);
        return ERR_NOMEM;
    }
    *out = h;
    return 0;
}

void health_stop(struct health *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    health_free(h);
}

int health_set_force(struct health *h, const char *region, enum health_force force)
{
    int rc = ERR_NOTFOUND;
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n_targets; i++) {
        if (strcmp(h->targets[i]->pub.region, region))
            continue;
        h->targets[i]->pub.force = force;
        h->unpublished = h->dirty = true;
        rc = 0;
    }
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

static json_t *target_json(const struct health_target *t)
{
    static const char *const forces[] = {"auto", "up", "down"};
    bool up = t->force == HEALTH_FORCE_UP || (t->force == HEALTH_AUTO && t->up);
    return json_pack("{s:s, s:s, s:b, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "region", t->region, "stamp", t->stamp,
                     "up", (int)up, "probed_up", (int)t->up, "force", forces[t->force], "good_in_a_row",
                     (json_int_t)t->n_good, "bad_in_a_row", (json_int_t)t->n_bad, "changed_ms",
                     (json_int_t)t->changed_ms, "probed_ms", (json_int_t)t->probed_ms, "held_until_ms",
                     (json_int_t)t->held_until_ms, "reason", t->reason);
}

void *health_status_json(struct health *h)
{
    pthread_mutex_lock(&h->lock);
    struct health_target *list = copy_targets(h);
    size_t n = h->n_targets;
    pthread_mutex_unlock(&h->lock);
    json_t *out = list ? json_array() : NULL;
    for (size_t i = 0; out && i < n; i++)
        if (json_array_append_new(out, target_json(&list[i]))) {
            json_decref(out);
            out = NULL;
        }
    free(list);
    return out;
}
