// SPDX-License-Identifier: Apache-2.0
// Operators' orders in force: given here, told to the other resolvers, and when it is safe to act
// on a drain. A client may hold an answer that leads to the region for as long as its records live:
// the global name's CNAME, through a private name's, to the frontend's addresses. The count begins
// when the last of the resolvers holds the order, for until then answers are given without it.
#include "health/priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define MARGIN_MS 10000 // clients' rounding, answers on their way

void health_ttl_note(struct health *h, int64_t now)
{
    const struct ttls *t = &h->topology->ttl;
    int64_t ttl_ms = 1000 * ((int64_t)t->global + t->private_ + t->frontend);
    // what was given out before lives on
    if (ttl_ms < h->ttl_ms && now + h->ttl_ms > h->old_until_ms)
        h->old_until_ms = now + h->ttl_ms;
    h->ttl_ms = ttl_ms;
}

// Resolvers, by index, that have not yet said that they hold the order.
static region_set missing(const struct health *h, const struct health_order *x)
{
    region_set out = 0;
    for (size_t i = 0; i < h->n_links && !health_alone(h); i++)
        if (h->links[i]->votes && strcmp(h->links[i]->region, h->o.region) != 0)
            out |= (region_set)1 << i;
    return out & ~x->known;
}

void health_orders_settle(struct health *h, int64_t now)
{
    for (size_t i = 0; i < h->orders.n; i++) {
        struct health_order *x = &h->orders.list[i];
        int64_t until = now + h->ttl_ms;
        // from here on no answer leads there, whatever the TTLs become
        if (!x->safe_ms && !missing(h, x))
            x->safe_ms = (until > h->old_until_ms ? until : h->old_until_ms) + MARGIN_MS;
    }
    health_orders_forget(&h->orders, clock_wall_ms());
}

void health_forces_apply(struct health *h)
{
    for (size_t i = 0; i < h->n_targets; i++) {
        struct health_target *t = &h->targets[i]->pub;
        const struct health_order *x = health_orders_find(&h->orders, HEALTH_FORCED, t->region, "");
        if (x)
            t->force = x->force;
        else
            t->force = HEALTH_AUTO;
    }
}

// `x`: all but region, label and time.
static int give(struct health *h, const char *region, const char *label, struct health_order x)
{
    if (strlen(region) >= sizeof x.region || strlen(label) >= sizeof x.label)
        return ERR_NOTFOUND;
    memcpy(x.region, region, strlen(region));
    memcpy(x.label, label, strlen(label));
    pthread_mutex_lock(&h->lock);
    int64_t wall = clock_wall_ms();
    const struct health_order *old = health_orders_find(&h->orders, x.kind, region, label);
    if (old && old->at_ms >= wall)
        x.at_ms = old->at_ms + 1;
    else
        x.at_ms = wall;
    int rc = ERR_NOTFOUND;
    if (topology_region(h->topology, region))
        rc = 0;
    if (!rc && !(old && old->on == x.on && old->force == x.force) && (old || x.on))
        // the time is ours: never from the future
        rc = health_orders_merge(&h->orders, &x, x.at_ms);
    if (rc > 0) {
        health_forces_apply(h);
        h->unpublished = h->dirty = true;
        h->save_at_ms = 0;
        health_links_push(h);
    }
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
    if (rc < 0)
        return rc;
    return 0;
}

int health_order(struct health *h, enum health_exception_kind kind, const char *region,
                 const char *label, bool on, const char *by)
{
    struct health_order x = {.kind = kind, .on = on};
    snprintf(x.by, sizeof x.by, "%s", by);
    return give(h, region, label, x);
}

int health_force(struct health *h, const char *region, enum health_force force, const char *by)
{
    struct health_order x = {.kind = HEALTH_FORCED, .on = force != HEALTH_AUTO, .force = force};
    snprintf(x.by, sizeof x.by, "%s", by);
    return give(h, region, "", x);
}

void health_orders_text(struct health *h, const char *region, const char *label, char *out,
                        size_t cap)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 32 << 10);
    pthread_mutex_lock(&h->lock);
    health_orders_say(&h->orders, region, label, clock_mono_ms(), &b);
    health_drills_say(h, region, label, clock_mono_ms(), &b);
    pthread_mutex_unlock(&h->lock);
    snprintf(out, cap, "%s", b.err ? "" : buf_cstr(&b));
}

void health_drains_text(struct health *h, const char *region, char *out, size_t cap)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 32 << 10);
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->orders.n; i++) {
        const struct health_order *x = &h->orders.list[i];
        if (x->on && x->kind == HEALTH_DRAINED && !strcmp(x->region, region))
            health_order_say(x, NULL, clock_mono_ms(), &b);
    }
    pthread_mutex_unlock(&h->lock);
    snprintf(out, cap, "%s", b.err ? "" : buf_cstr(&b));
}

// "text"
static void order_text(const struct health_order *x, int64_t now, json_t *j)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1024);
    health_order_say(x, x->label, now, &b);
    json_object_set_new(j, "text", json_string(buf_cstr(&b)));
}

static json_t *order_json(const struct health *h, const struct health_order *x, int64_t now)
{
    static const char *const kinds[] = {
        [HEALTH_DRAINED] = "drain", [HEALTH_IMPAIRED] = "impair", [HEALTH_FORCED] = "force"};
    region_set wait = missing(h, x);
    int64_t left = 0;
    if (now < x->safe_ms)
        left = x->safe_ms - now;
    json_t *names = json_array();
    for (size_t i = 0; names && i < h->n_links; i++)
        if (wait >> i & 1 && !x->safe_ms &&
            json_array_append_new(names, json_string(h->links[i]->region))) {
            json_decref(names);
            return NULL;
        }
    json_t *j = json_pack("{s:s, s:s, s:s, s:b, s:I, s:o}", "order", kinds[x->kind], "region",
                          x->region, "registry", x->label[0] ? x->label : "*", "on", (int)x->on,
                          "atMs", (json_int_t)x->at_ms, "waitingFor", names);
    if (j && *x->by)
        json_object_set_new(j, "by", json_string(x->by));
    if (j && x->kind == HEALTH_FORCED)
        json_object_set_new(j, "state", json_string(health_force_names[x->force]));
    if (j && x->on)
        order_text(x, now, j);
    if (!j || x->kind != HEALTH_DRAINED || !x->on)
        return j;
    json_object_set_new(j, "safe", json_boolean(x->safe_ms && !left));
    json_object_set_new(j, "safeInMs", x->safe_ms ? json_integer(left) : json_null());
    return j;
}

void *health_orders_status_json(struct health *h)
{
    json_t *list = json_array();
    pthread_mutex_lock(&h->lock);
    int64_t now = clock_mono_ms();
    for (size_t i = 0; list && i < h->orders.n; i++)
        if (json_array_append_new(list, order_json(h, &h->orders.list[i], now))) {
            json_decref(list);
            list = NULL;
        }
    json_t *drill = health_drill_order_json(h, now);
    if (list && drill)
        json_array_append(list, drill);
    json_decref(drill);
    pthread_mutex_unlock(&h->lock);
    return list;
}
