// SPDX-License-Identifier: Apache-2.0
// The health checker: one thread that schedules probes on the monotonic clock, applies their
// outcomes and publishes verdicts. Probes (health_probe.c) run on the fetcher's thread; only their
// completion touches us there, under the lock. The state file is written by the checker's thread,
// outside the lock. Invariants are in health_priv.h.
#include "health/health.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "health/priv.h"
#include "health/state.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PUBLISH_RETRY_MS 100 // without memory for it

static void targets_drop(struct target **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        health_target_unref(list[i]);
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
    t->pub.up = t->pub.seen_up = true; // unknown
    t->pub.headroom = HEALTH_HEADROOM_FULL;
    t->next_ms = now_ms;
    return t;
}

// Targets of a new topology; those that stay keep their state. Takes over `t` on success.
static int adopt_topology(struct health *h, struct topology *t)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < t->n_regions; i++)
        n += t->regions[i].n_stamps;
    struct target **list = mem_zalloc_array(n, sizeof(struct target *));
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_stamps; k++) {
            const char *region = t->regions[i].name, *stamp = t->regions[i].stamps[k].name;
            struct target *old = target_find(h, region, stamp);
            struct target *x = old;
            if (!x)
                x = target_new(region, stamp, clock_mono_ms());
            if (!x) {
                targets_drop(list, at);
                return ERR_NOMEM;
            }
            x->refs++;
            list[at++] = x;
        }
    if (health_links_adopt(h, t, list, n)) {
        targets_drop(list, at);
        return ERR_NOMEM;
    }
    targets_drop(h->targets, h->n_targets);
    h->targets = list;
    h->n_targets = n;
    h->unsettled = true;
    snapshot_unref(h->topology);
    h->topology = t;
    health_forces_apply(h);
    health_ttl_note(h, clock_mono_ms());
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
    // registries changed: the stamps are the same
    if (t != h->topology && topology_same_frame(t, h->topology)) {
        snapshot_unref(h->topology);
        h->topology = t;
        h->topology_generation = generation;
        return;
    }
    if (t == h->topology || adopt_topology(h, t))
        snapshot_unref(t); // without memory: again at the next look
    else
        h->topology_generation = generation;
}

static void verdicts_free(void *self)
{
    struct health_verdicts *v = self;
    free((void *)v->targets);
    free((void *)v->exceptions);
    free(v);
}

static struct health_target *copy_targets(const struct health *h)
{
    struct health_target *list = mem_zalloc_array(h->n_targets, sizeof *list);
    for (size_t i = 0; list && i < h->n_targets; i++)
        list[i] = h->targets[i]->pub;
    return list;
}

// Called with the lock. On failure the next turn tries again.
static int publish(struct health *h, int64_t now)
{
    struct health_verdicts *v = mem_zalloc(sizeof *v);
    struct health_exception *exceptions = NULL;
    if (v)
        exceptions = mem_zalloc_array(HEALTH_EXCEPTIONS_MAX, sizeof *exceptions);
    struct health_target *list = NULL;
    if (exceptions)
        list = copy_targets(h);
    if (!list) {
        free(exceptions);
        free(v);
        return ERR_NOMEM;
    }
    snapshot_head_init(&v->head, verdicts_free);
    v->serial = ++h->serial;
    v->targets = list;
    v->n_targets = h->n_targets;
    v->n_exceptions = health_exceptions(h, now, exceptions);
    v->exceptions = exceptions;
    snapshot_publish(h->o.verdicts, v);
    h->unpublished = false;
    return 0;
}

// Called with the lock; writes without it.
static void save(struct health *h)
{
    struct health_target *list = copy_targets(h);
    struct health_saved *saved = mem_zalloc(sizeof *saved);
    size_t n = h->n_targets;
    h->dirty = false;
    if (saved)
        *saved = (struct health_saved){h->boot, h->orders, h->drills};
    h->drill_saved_ms = clock_mono_ms();
    pthread_mutex_unlock(&h->lock);
    int rc = ERR_NOMEM;
    if (list && saved)
        rc = health_state_save(h->state_path, list, n, saved);
    free(list);
    free(saved);
    static struct log_limit lim = LOG_LIMIT(60000);
    if (rc)
        log_limited(&lim, LOG_WARN, "health: cannot write %s: %s", h->state_path, err_text(rc));
    pthread_mutex_lock(&h->lock);
    if (rc) {
        h->dirty = true;
        h->save_at_ms = clock_mono_ms() + RETRY_MS;
    }
}

static void wait_until(struct health *h, int64_t mono_ms)
{
    struct timespec ts = {mono_ms / 1000, mono_ms % 1000 * 1000000};
    pthread_cond_timedwait(&h->wake, &h->lock, &ts);
}

// A region that says nothing of itself any more counts as before it said anything.
static void expire_deep(struct health *h, int64_t now)
{
    for (size_t i = 0; i < h->n_links; i++) {
        struct link *l = h->links[i];
        if (!l->deep_heard_ms || health_deep_fresh(h, l, now))
            continue;
        l->deep_heard_ms = 0;
        l->deep = (struct health_deep){0};
        for (size_t k = 0; k < h->n_targets; k++)
            if (!strcmp(h->targets[k]->pub.region, l->region)) {
                h->targets[k]->pub.headroom = HEALTH_HEADROOM_FULL;
                if (h->targets[k]->tcp)
                    health_short_set(h, h->targets[k], false);
            }
        h->unpublished = true;
    }
}

// Called with the lock, and may let it go for a while.
static int64_t turn(struct health *h)
{
    look_at_topology(h);
    int64_t now = clock_mono_ms();
    health_verdicts_decide(h, now);
    health_orders_settle(h, now);
    health_drills_settle(h, now);
    expire_deep(h, now);
    int64_t next = health_start_due(h, now), links = health_links_due(h, now);
    int64_t drill = health_drills_next_ms(&h->drills);
    if (links < next)
        next = links;
    if (drill < next)
        next = drill;
    if (h->unpublished && publish(h, now) && next > now + PUBLISH_RETRY_MS)
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
    if (h->dirty || health_drills_running(&h->drills)) // what is left of it
        save(h);
    for (struct probe *p = h->probes; p; p = p->next)
        // the handle is valid: its completion waits for our lock
        fetch_cancel(h->o.fetcher, p->fetch);
    for (struct call *c = h->calls; c; c = c->next)
        fetch_cancel(h->o.fetcher, c->fetch);
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
    while (h->probes || h->calls)
        pthread_cond_wait(&h->wake, &h->lock);
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

// Restores the verdicts of before into the targets at hand. Fails only for want of memory: then the
// file stays as it is.
static int restore(struct health *h)
{
    AUTO_FREE struct health_target *list = copy_targets(h);
    AUTO_FREE struct health_saved *saved = mem_zalloc(sizeof *saved);
    int64_t wall = clock_wall_ms();
    int rc = ERR_NOMEM;
    if (list && saved)
        rc =
            health_state_load(h->state_path, &h->topology->health, wall, list, h->n_targets, saved);
    for (size_t i = 0; !rc && i < h->n_targets; i++)
        h->targets[i]->pub = list[i];
    if (rc == ERR_NOMEM)
        return rc;
    if (!rc) {
        h->orders = saved->orders;
        h->drills = saved->drills;
    }
    health_forces_apply(h);
    if (rc || saved->boot < (uint64_t)wall)
        h->boot = (uint64_t)wall;
    else
        h->boot = saved->boot + 1;
    h->dirty = true; // the boot: no later one may be less
    if (rc && rc != ERR_NOTFOUND)
        log_warn("health: %s is not usable (%s): all regions start as up", h->state_path,
                 err_text(rc));
    return 0;
}

void health_free(struct health *h)
{
    if (!h)
        return;
    targets_drop(h->targets, h->n_targets);
    health_links_drop(h->links, h->n_links);
    snapshot_unref(h->topology);
    free(h->peer_pem);
    free(h->ca_file);
    free(h->state_path);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int health_prepare(struct health *h)
{
    if (h->o.ca_file)
        h->ca_file = mem_strdup(h->o.ca_file);
    else
        h->ca_file = NULL;
    h->state_path = mem_strdup(h->o.state_path);
    bool peers =
        h->o.region && h->o.stamp && h->o.peer_pem && h->o.sign && h->o.key_id && h->o.verify;
    if (peers)
        h->peer_pem = mem_strdup(h->o.peer_pem);
    else
        h->peer_pem = NULL;
    if (!h->state_path || (h->o.ca_file && !h->ca_file) || (peers && !h->peer_pem))
        return ERR_NOMEM;
    h->o.peer_pem = h->peer_pem;
    look_at_topology(h);
    if (!h->topology)
        return ERR_INVAL; // there is none to check
    int rc = restore(h);
    if (rc) // before the first query is answered
        return rc;
    return publish(h, clock_mono_ms());
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
