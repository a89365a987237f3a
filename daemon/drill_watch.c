// SPDX-License-Identifier: Apache-2.0
// See drill_watch.h.
#include "daemon/drill_watch.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "daemon/drill_record.h"
#include "resolver/serve/resolver.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 250
#define SAVE_MS 10000
#define FILE_MAX_BYTES (256u << 10)

struct drill_watch {
    struct app *app;
    char *path;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // under the lock
    bool stopping;
    size_t n;
    struct drill_record list[DRILL_RECORDS_MAX]; // the latest first
    // the thread's own
    struct drill_counts before;
    char counted_region[HOSTNAME_REGION_SIZE]; // of before.routed
    int64_t saved_ms;
    bool dirty;
};

// ---- on disk ----

// With the lock.
static json_t *records_json(const struct drill_watch *w)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < w->n; i++)
        json_array_append_new(list, drill_record_json(&w->list[i]));
    return list;
}

static void save(struct drill_watch *w, int64_t mono_ms)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    pthread_mutex_lock(&w->lock);
    json_t *list = records_json(w);
    pthread_mutex_unlock(&w->lock);
    AUTO_FREE char *text = json_dumps(list, JSON_INDENT(1));
    json_decref(list);
    int rc = ERR_NOMEM;
    if (text)
        rc = file_write_atomic(w->path, text, strlen(text), 0600);
    if (rc)
        log_limited(&lim, LOG_WARN, "daemon: cannot write %s: %s", w->path, err_text(rc));
    w->saved_ms = mono_ms;
    w->dirty = rc != 0;
}

// A file that cannot be used is none: only reports of drills are lost with it.
static void load(struct drill_watch *w)
{
    AUTO_BUF struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    int rc = file_read(w->path, FILE_MAX_BYTES, &text);
    if (rc == ERR_NOTFOUND)
        return;
    json_t *list = NULL;
    if (!rc)
        list = json_loadb((const char *)text.p, text.n, 0, NULL);
    for (size_t i = 0; i < json_array_size(list) && w->n < DRILL_RECORDS_MAX; i++)
        if (!drill_record_parse(json_array_get(list, i), &w->list[w->n]))
            w->n++;
    if (!json_is_array(list))
        log_warn("daemon: %s is not usable: reports of earlier drills are gone here", w->path);
    json_decref(list);
}

// ---- looking ----

static void counts_of(struct drill_watch *w, const char *region, struct drill_counts *out)
{
    *out = (struct drill_counts){0};
    traffic_codes(out->codes);
    if (w->app->resolver && *region)
        out->routed = resolver_routed(w->app->resolver, region);
}

static int64_t ttl_of(struct app *app)
{
    struct topology *t = snapshot_get(app->topology);
    int64_t ms = 1000 * ((int64_t)t->ttl.global + t->ttl.private_ + t->ttl.frontend);
    snapshot_unref(t);
    return ms;
}

// How far the origin that is furthest behind here is.
static void lag_of(struct app *app, struct drill_record *r)
{
    json_t *doc = NULL, *one;
    size_t i;
    if (app->replicator)
        doc = replication_status_json(app->replicator, NULL);
    if (doc)
        r->lag_entries = r->lag_s = 0;
    json_array_foreach(json_object_get(doc, "replications"), i, one)
    {
        int64_t entries = json_integer_value(json_object_get(one, "lagEntries"));
        int64_t seconds = (int64_t)json_number_value(json_object_get(one, "lagSeconds"));
        if (entries > r->lag_entries)
            r->lag_entries = entries;
        if (seconds > r->lag_s)
            r->lag_s = seconds;
    }
    json_decref(doc);
}

static struct drill_record *record_of(struct drill_watch *w, const char *id)
{
    for (size_t i = 0; i < w->n; i++)
        if (!strcmp(w->list[i].id, id))
            return &w->list[i];
    return NULL;
}

// With the lock.
static struct drill_record *record_new(struct drill_watch *w, const struct health_drill *d,
                                       int64_t ttl_ms)
{
    size_t kept = w->n;
    if (kept == DRILL_RECORDS_MAX)
        kept--;
    memmove(w->list + 1, w->list, kept * sizeof w->list[0]);
    w->n = kept + 1;
    drill_record_begin(&w->list[0], d, ttl_ms);
    return &w->list[0];
}

// The one that there is something to see of: that runs, or has ended and is still looked at.
static const struct health_drill *drill_of(const struct drill_watch *w,
                                           const struct health_drills *all, int64_t wall_ms)
{
    const struct health_drill *runs = health_drills_running(all);
    if (runs || !w->n)
        return runs;
    const struct health_drill *last =
        health_drills_find((struct health_drills *)all, w->list[0].id);
    if (last && drill_record_open(&w->list[0], last, wall_ms))
        return last;
    return NULL;
}

static void look(struct drill_watch *w, const struct health_drill *d, int64_t wall, int64_t mono)
{
    struct drill_counts now;
    int64_t ttl_ms = ttl_of(w->app);
    counts_of(w, d->region, &now);
    if (strcmp(w->counted_region, d->region) != 0) // counted from now on
        w->before.routed = now.routed;
    memcpy(w->counted_region, d->region, sizeof w->counted_region);
    struct drill_record lag = {.lag_entries = -1, .lag_s = -1};
    struct drill_record *r = record_of(w, d->id);
    bool ends = d->state != HEALTH_DRILL_RUNS && r && !r->ended_ms;
    if (ends)
        lag_of(w->app, &lag);
    pthread_mutex_lock(&w->lock);
    bool news = !r;
    if (!r)
        r = record_new(w, d, ttl_ms);
    if (ends) {
        r->lag_entries = lag.lag_entries;
        r->lag_s = lag.lag_s;
    }
    news |= drill_record_sample(r, d, &w->before, &now, wall, mono);
    pthread_mutex_unlock(&w->lock);
    w->before = now;
    // a write that failed is not tried again at every look
    if (news || mono - w->saved_ms >= SAVE_MS)
        save(w, mono);
}

static void turn(struct drill_watch *w, struct health_drills *all)
{
    int64_t wall = clock_wall_ms(), mono = clock_mono_ms();
    health_drills_copy(w->app->health, all);
    const struct health_drill *d = drill_of(w, all, wall);
    if (d)
        look(w, d, wall, mono);
    else
        counts_of(w, w->counted_region, &w->before);
}

static void *watch_main(void *ctx)
{
    struct drill_watch *w = ctx;
    struct health_drills *all = mem_zalloc(sizeof *all);
    pthread_mutex_lock(&w->lock);
    while (!w->stopping && all) {
        pthread_mutex_unlock(&w->lock);
        turn(w, all);
        pthread_mutex_lock(&w->lock);
        if (!w->stopping)
            wait_cond(&w->wake, &w->lock, LOOK_MS);
    }
    pthread_mutex_unlock(&w->lock);
    free(all);
    return NULL;
}

// ---- the object ----

void *drill_watch_json(struct drill_watch *w)
{
    if (!w)
        return json_array();
    pthread_mutex_lock(&w->lock);
    json_t *list = records_json(w);
    pthread_mutex_unlock(&w->lock);
    return list;
}

static void watch_free(struct drill_watch *w)
{
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w->path);
    free(w);
}

int drill_watch_start(struct app *app, const char *path, struct drill_watch **out)
{
    struct drill_watch *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->app = app;
    w->path = mem_strdup(path);
    wait_cond_init(&w->wake);
    pthread_mutex_init(&w->lock, NULL);
    if (!w->path) {
        watch_free(w);
        return ERR_NOMEM;
    }
    load(w);
    counts_of(w, "", &w->before);
    if (pthread_create(&w->thread, NULL, watch_main, w)) {
        watch_free(w);
        return ERR_NOMEM;
    }
    *out = w;
    return 0;
}

void drill_watch_stop(struct drill_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    if (w->dirty || (w->n && !w->list[0].ended_ms))
        save(w, clock_mono_ms());
    watch_free(w);
}
