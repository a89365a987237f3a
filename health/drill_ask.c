// SPDX-License-Identifier: Apache-2.0
// Fault drills as the checker runs them: asked for here, heard of from other resolvers, in force and
// over. The values are in drill.c, who may start one in drill_judge.c. Admin threads ask; the rest is
// with the checker's lock.
#include "health/priv.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

// ---- in force and over ----

static const char *whose(const struct health_drill *x)
{
    if (*x->label)
        return x->label;
    return "all registries";
}

static void log_begin(const struct health_drill *x, int64_t now)
{
    log_warn("health: drill %s: region %s is taken out of the global names of %s for %lld s, as %s "
             "asked; it is no failure",
             x->id, x->region, whose(x), (long long)(health_drill_left_ms(x, now) + 999) / 1000,
             x->by);
}

static void log_end(const struct health_drill *x)
{
    static const char *const why[] = {[HEALTH_DRILL_RUNS] = "",
                                      [HEALTH_DRILL_ENDED] = "its time is up",
                                      [HEALTH_DRILL_STOPPED] = "it was stopped by ",
                                      [HEALTH_DRILL_YIELDED] =
                                          "another one was started before it elsewhere",
                                      [HEALTH_DRILL_LATE] = "its time was up before"};
    log_info("health: drill %s of region %s is over: %s%s", x->id, x->region, why[x->state],
             x->state == HEALTH_DRILL_STOPPED ? x->stopped_by : "");
}

void health_drills_settle(struct health *h, int64_t now)
{
    health_drills_turn(&h->drills, clock_wall_ms(), now);
    const struct health_drill *x = health_drills_running(&h->drills);
    const char *id = "";
    if (x)
        id = x->id;
    if (x && now - h->drill_saved_ms >= HEALTH_DRILL_SAVE_MS)
        h->dirty = true;
    if (!strcmp(h->drill_told, id))
        return;
    const struct health_drill *was = health_drills_find(&h->drills, h->drill_told);
    if (was)
        log_end(was);
    if (x)
        log_begin(x, now);
    snprintf(h->drill_told, sizeof h->drill_told, "%s", id);
    h->unpublished = h->dirty = true;
    h->save_at_ms = 0;
}

void health_drills_take(struct health *h, struct link *l, const struct health_drills *theirs)
{
    int64_t wall = clock_wall_ms(), now = clock_mono_ms();
    region_set bit = (region_set)1 << health_link_index(h, l);
    for (size_t i = 0; i < theirs->n; i++) {
        const struct health_drill *x = &theirs->list[i];
        int rc = health_drills_merge(&h->drills, x, wall, now);
        static struct log_limit lim = LOG_LIMIT(60000);
        if (rc < 0)
            log_limited(&lim, LOG_WARN, "health: drill %s on %s from %s is not taken: %s", x->id,
                        x->region, l->region, err_text(rc));
        h->dirty |= rc > 0;
        struct health_drill *mine = health_drills_find(&h->drills, x->id);
        if (mine)
            mine->known |= bit;
    }
}

// ---- asked for ----

static void give(struct health *h, const struct health_drill_wanted *w, struct health_drill *x)
{
    int64_t wall = clock_wall_ms();
    snprintf(x->region, sizeof x->region, "%s", w->region);
    snprintf(x->label, sizeof x->label, "%s", w->label);
    snprintf(x->by, sizeof x->by, "%s", w->by);
    x->for_ms = w->for_ms;
    x->left_ms = w->for_ms;
    x->at_ms = wall;
    // One that is over here may have been given by a clock that is ahead of ours: this one comes after it.
    for (size_t i = 0; i < h->drills.n; i++) {
        const struct health_drill *y = &h->drills.list[i];
        int64_t end = y->at_ms + y->for_ms;
        if (y->stopped_ms && y->stopped_ms < end)
            end = y->stopped_ms;
        if (x->at_ms <= end && end < wall + HEALTH_SKEW_MS)
            x->at_ms = end + 1;
    }
}

static int start(struct health *h, const struct health_drill_wanted *w,
                 const struct health_drill_scan *scan, struct health_drill *x, struct diag *diag)
{
    if (!topology_region(h->topology, w->region)) {
        diag_add(diag, NULL, 0, "%s: no such region in the topology", w->region);
        return ERR_NOTFOUND;
    }
    int rc = health_drill_judge(h, w, scan, diag);
    if (rc)
        return rc;
    give(h, w, x);
    rc = health_drills_merge(&h->drills, x, clock_wall_ms(), clock_mono_ms());
    if (rc < 0)
        return rc;
    health_drills_settle(h, clock_mono_ms());
    health_links_push(h);
    pthread_cond_broadcast(&h->wake);
    return 0;
}

int health_drill_start(struct health *h, const struct health_drill_wanted *w, struct diag *diag,
                       char out_id[HEALTH_DRILL_ID_SIZE])
{
    struct health_drill x = {0};
    struct health_drill_scan scan = {0};
    int rc = random_hex(x.id, (HEALTH_DRILL_ID_SIZE - 1) / 2);
    if (rc)
        return rc;
    struct topology *t = snapshot_get(h->o.topology);
    struct health_verdicts *v = snapshot_get(h->o.verdicts);
    const struct region *region = topology_region(t, w->region);
    if (region)
        health_drill_scan(t, v, region, w->label, &scan);
    snapshot_unref(v);
    snapshot_unref(t);
    pthread_mutex_lock(&h->lock);
    rc = start(h, w, &scan, &x, diag);
    pthread_mutex_unlock(&h->lock);
    if (!rc)
        memcpy(out_id, x.id, sizeof x.id);
    return rc;
}

static int stop(struct health *h, const char *id, const char *only_region, const char *by,
                struct diag *diag)
{
    const struct health_drill *runs = health_drills_running(&h->drills), *x = runs;
    if (*id)
        x = health_drills_find(&h->drills, id);
    if (!x) {
        diag_add(diag, NULL, 0, "%s%s (`meridian drill list`)",
                 *id ? "this node knows no drill " : "no drill runs", id);
        return ERR_NOTFOUND;
    }
    if (only_region && strcmp(x->region, only_region) != 0) {
        diag_add(diag, NULL, 0,
                 "drill %s is of region %s, and only one of region %s is stopped here", x->id,
                 x->region, only_region);
        return ERR_DENIED;
    }
    if (x->state != HEALTH_DRILL_RUNS) {
        diag_add(diag, NULL, 0, "drill %s does not run any more: %s", x->id,
                 health_drill_state_name(x->state));
        return ERR_EXISTS;
    }
    struct health_drill word = *x;
    word.stopped_ms = clock_wall_ms();
    snprintf(word.stopped_by, sizeof word.stopped_by, "%s", by);
    health_drills_merge(&h->drills, &word, clock_wall_ms(), clock_mono_ms());
    health_drills_settle(h, clock_mono_ms());
    health_links_push(h);
    pthread_cond_broadcast(&h->wake);
    return 0;
}

int health_drill_stop(struct health *h, const char *id, const char *only_region, const char *by,
                      struct diag *diag)
{
    pthread_mutex_lock(&h->lock);
    int rc = stop(h, id, only_region, by, diag);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

// ---- told ----

void health_drills_copy(struct health *h, struct health_drills *out)
{
    pthread_mutex_lock(&h->lock);
    *out = h->drills;
    pthread_mutex_unlock(&h->lock);
}

void health_drills_say(const struct health *h, const char *region, const char *label, int64_t now,
                       struct buf *out)
{
    char since[CLOCK_TEXT_SIZE];
    const struct health_drill *x = health_drills_running(&h->drills);
    if (!x || strcmp(x->region, region) != 0)
        return;
    if (label && *x->label && strcmp(x->label, label) != 0)
        return;
    bool named = !label && *x->label;
    buf_printf(out, "%s%s%staken out by drill %s of %s since %s, for another %lld s",
               out->n ? "; " : "", named ? x->label : "", named ? " " : "", x->id, x->by,
               clock_format(x->begun_ms, since),
               (long long)((health_drill_left_ms(x, now) + 999) / 1000));
}

void health_drill_text(struct health *h, char *out, size_t cap)
{
    char since[CLOCK_TEXT_SIZE];
    *out = 0;
    pthread_mutex_lock(&h->lock);
    const struct health_drill *x = health_drills_running(&h->drills);
    if (x)
        snprintf(out, cap,
                 "region %s is taken out of the global names of %s by drill %s, which %s asked for "
                 "at %s; it ends by itself in %lld s, or with `meridian drill stop`",
                 x->region, whose(x), x->id, x->by, clock_format(x->at_ms, since),
                 (long long)((health_drill_left_ms(x, clock_mono_ms()) + 999) / 1000));
    pthread_mutex_unlock(&h->lock);
}

static void time_put(json_t *j, const char *name, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    if (wall_ms)
        json_object_set_new(j, name, json_string(clock_format(wall_ms, text)));
    else
        json_object_set_new(j, name, json_null());
}

// Resolvers that have not said yet that they hold it.
static json_t *waiting_json(const struct health *h, const struct health_drill *x)
{
    json_t *names = json_array();
    for (size_t i = 0; names && i < h->n_links; i++) {
        const struct link *l = h->links[i];
        bool holds = !l->votes || health_is_here(h, l->region) || x->known >> i & 1;
        if (x->state == HEALTH_DRILL_RUNS && !holds)
            json_array_append_new(names, json_string(l->region));
    }
    return names;
}

static json_t *drill_json(const struct health *h, const struct health_drill *x, int64_t now)
{
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s?, s:o}", "id", x->id, "region", x->region,
        "registry", *x->label ? x->label : "*", "state", health_drill_state_name(x->state), "by",
        x->by, "forMs", (json_int_t)x->for_ms, "leftMs", (json_int_t)health_drill_left_ms(x, now),
        "stoppedBy", x->stopped_ms ? x->stopped_by : NULL, "waitingFor", waiting_json(h, x));
    if (!j)
        return NULL;
    time_put(j, "at", x->at_ms);
    time_put(j, "begun", x->begun_ms);
    time_put(j, "ended", x->ended_ms);
    return j;
}

void *health_drill_order_json(const struct health *h, int64_t now)
{
    const struct health_drill *x = health_drills_running(&h->drills);
    AUTO_BUF struct buf b;
    buf_init(&b, 1024);
    if (!x)
        return NULL;
    health_drills_say(h, x->region, x->label, now, &b);
    return json_pack("{s:s, s:s, s:s, s:b, s:I, s:s, s:o, s:s}", "order", "drill", "region",
                     x->region, "registry", *x->label ? x->label : "*", "on", 1, "atMs",
                     (json_int_t)x->at_ms, "by", x->by, "waitingFor", waiting_json(h, x), "text",
                     buf_cstr(&b));
}

// Of two that were given at the same time the greater id counts as the later (invariant 5).
static bool is_later(const struct health_drill *a, const struct health_drill *b)
{
    if (a->at_ms != b->at_ms)
        return a->at_ms > b->at_ms;
    return strcmp(a->id, b->id) > 0;
}

// The latest of those before `last`; of all for NULL. NULL: there is none.
static const struct health_drill *next_before(const struct health_drills *d,
                                              const struct health_drill *last)
{
    const struct health_drill *next = NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct health_drill *x = &d->list[i];
        if (last && !is_later(last, x))
            continue;
        if (!next || is_later(x, next))
            next = x;
    }
    return next;
}

void *health_drills_json(struct health *h)
{
    json_t *list = json_array();
    pthread_mutex_lock(&h->lock);
    int64_t now = clock_mono_ms();
    const struct health_drill *x = next_before(&h->drills, NULL);
    for (; list && x; x = next_before(&h->drills, x))
        if (json_array_append_new(list, drill_json(h, x, now))) {
            json_decref(list);
            list = NULL;
        }
    pthread_mutex_unlock(&h->lock);
    return list;
}
