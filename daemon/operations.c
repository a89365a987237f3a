// SPDX-License-Identifier: Apache-2.0
// See operations.h. Whoever advances the feed wakes the thread; so does time.
#include "daemon/operations.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"
#include "config/principals.h"
#include "control/feed.h"
#include "daemon/members_heard.h"
#include "daemon/reaches.h"
#include "fleet/fleet.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/registry_goal.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// At most so long after other regions have stored something: nobody tells of that.
#define STEP_MS 200
// What regions said of private addresses is good for so long, for many of them
#define REPORTS_MS 300

struct operations {
    struct app *app;
    struct lifecycle *engine;
    struct reaches *reaches;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // under the lock
    bool stopping, woken;
    // of all regions, as of reports_ms (mono); the engine's lock guards them
    json_t *reports;
    int64_t reports_ms;
};

// ---- what the engine stands on ----

static struct app *app_of(void *ctx)
{
    return ((struct operations *)ctx)->app;
}

static int64_t now_ms(void *ctx)
{
    (void)ctx;
    return clock_wall_ms();
}

static int64_t sure_ms(void *ctx)
{
    return control_feed_now(app_of(ctx)->feed);
}

static int writer(void *ctx, uint64_t *out_epoch, struct diag *diag)
{
    struct control_view v;
    int rc = 0;
    control_feed_view(app_of(ctx)->feed, &v);
    *out_epoch = v.place.epoch;
    if (!v.we_write) {
        rc = ERR_DENIED;
        if (diag)
            diag_add(diag, NULL, 0, "region %s is the fleet's writer, not this one", v.writer);
    } else if (!v.confirmed || !v.owned) {
        rc = ERR_UNREACHABLE;
        if (diag)
            diag_add(
                diag, NULL, 0,
                "a majority of the regions cannot be reached: nothing can be changed until the "
                "writer hears them (meridian control status)");
    }
    control_view_done(&v);
    return rc;
}

static struct topology *topology(void *ctx)
{
    struct control_state *s = control_feed_state(app_of(ctx)->feed);
    struct topology *t = snapshot_ref(s->topology);
    snapshot_unref(s);
    return t;
}

static int principals(void *ctx, struct buf *out, uint64_t *out_version)
{
    struct buf text = {0};
    struct control_state *s = control_feed_state(app_of(ctx)->feed);
    int rc = 0;
    *out_version = control_state_principals_version(s);
    if (s->principals)
        rc = principals_format(s->principals, &text);
    if (!rc)
        buf_add(out, text.p, text.n);
    snapshot_unref(s);
    buf_done(&text);
    if (rc)
        return rc;
    return out->err;
}

static int append(void *ctx, const struct control_draft *d, struct diag *diag,
                  struct control_place *out)
{
    struct diag unheard;
    diag_init(&unheard);
    int rc = control_feed_append(app_of(ctx)->feed, d, diag ? diag : &unheard, out);
    diag_done(&unheard);
    return rc;
}

static int judge(void *ctx, const struct control_draft *d, struct diag *diag, struct topology **out)
{
    struct control_state *s = NULL;
    int rc = control_feed_judge(app_of(ctx)->feed, d, diag, &s);
    if (rc)
        return rc;
    *out = snapshot_ref(s->topology);
    snapshot_unref(s);
    return 0;
}

static int topology_at(void *ctx, uint64_t version, struct diag *diag, struct topology **out)
{
    return control_feed_topology_at(app_of(ctx)->feed, version, diag, out);
}

static int record(void *ctx, const char *key, struct buf *out)
{
    return control_feed_record(app_of(ctx)->feed, key, out);
}

static void records(void *ctx, const char *prefix,
                    bool (*visit)(void *v, const char *key, const char *value), void *v)
{
    control_feed_records(app_of(ctx)->feed, prefix, visit, v);
}

static void place(void *ctx, struct control_place *out)
{
    struct control_view v;
    control_feed_view(app_of(ctx)->feed, &v);
    *out = v.place;
    control_view_done(&v);
}

static int stored(void *ctx, const struct control_place *p, struct lifecycle_stored *out)
{
    struct fleet_stored s;
    int rc = fleet_stored(app_of(ctx)->fleet, p, &s);
    if (rc)
        return rc;
    *out = (struct lifecycle_stored){
        .majority = s.majority, .behind = s.behind, .away = s.away, .unheard = s.unheard};
    return 0;
}

// Has that kind of certificate come, going by what the region said last?
static bool has_certificate(const json_t *list, const char *kind)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)list, i, one)
    {
        const char *is = json_string_value(json_object_get(one, "kind"));
        if (is && !strcmp(is, kind))
            return json_string_value(json_object_get(one, "notAfter")) != NULL;
    }
    return false;
}

// A region whose report has not come yet lacks nothing that is known.
static region_set certificates_missing(void *ctx, const struct topology *t, region_set of)
{
    json_t *all = fleet_heard_json(app_of(ctx)->fleet), *one;
    region_set missing = 0;
    size_t i;
    json_array_foreach(all, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "region"));
        const json_t *list = json_object_get(one, "certificates");
        const struct region *r = NULL;
        if (name)
            r = topology_region(t, name);
        if (!r || !json_is_array(list) || !(of >> r->index & 1))
            continue;
        if (!has_certificate(list, "region") || !has_certificate(list, "shared"))
            missing |= (region_set)1 << r->index;
    }
    json_decref(all);
    return missing;
}

static int content(void *ctx, const char *registry, region_set readers, region_set origins,
                   struct lifecycle_content *out)
{
    return reaches_ask(((struct operations *)ctx)->reaches, registry, readers, origins, out);
}

static int origin(void *ctx, const struct topology *t, const char *of, struct lifecycle_origin *out)
{
    return reaches_origin(((struct operations *)ctx)->reaches, t, of, out);
}

// Reports are asked for more often meanwhile. The engine asks for one private endpoint after the
// other: the same reports do for all of them.
static void unheard(void *ctx, const struct topology *t, const char *endpoint,
                    struct lifecycle_unheard *out)
{
    struct operations *o = ctx;
    int64_t now_ms = clock_mono_ms();
    fleet_hurry(o->app->fleet);
    if (!o->reports || now_ms - o->reports_ms > REPORTS_MS) {
        json_decref(o->reports);
        o->reports = fleet_heard_json(o->app->fleet);
        o->reports_ms = now_ms;
    }
    members_unheard(o->reports, t, endpoint, out);
}

int64_t operations_content_due(void *ctx, const char *key)
{
    const struct app *app = ctx;
    int64_t due_ms = -1;
    AUTO_BUF struct buf text;
    AUTO_FREE char *name = mem_printf(GONE_PREFIX "%s", key);
    buf_init(&text, 0);
    if (!app->feed || !name || control_feed_record(app->feed, name, &text))
        return -1;
    json_t *record = json_loads(buf_cstr(&text), 0, NULL);
    const json_t *due = json_object_get(record, "due");
    if (json_is_integer(due))
        due_ms = json_integer_value(due);
    json_decref(record);
    if (control_feed_now(app->feed) < due_ms) // nor is it due while that is not sure
        return -1;
    return due_ms;
}

// ---- the thread ----

static void wake(void *ctx)
{
    struct operations *o = ctx;
    pthread_mutex_lock(&o->lock);
    o->woken = true;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
}

// Until it is woken, or so long.
static void rest(struct operations *o, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms, left = ms;
    while (!o->stopping && !o->woken && left > 0) {
        wait_cond(&o->wake, &o->lock, left);
        left = until - clock_mono_ms();
    }
}

static void *operations_main(void *ctx)
{
    struct operations *o = ctx;
    pthread_mutex_lock(&o->lock);
    while (!o->stopping) {
        o->woken = false;
        pthread_mutex_unlock(&o->lock);
        int64_t next_ms = lifecycle_run(o->engine);
        pthread_mutex_lock(&o->lock);
        if (next_ms > STEP_MS)
            next_ms = STEP_MS;
        rest(o, next_ms);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

static int start_thread(struct operations *o)
{
    wait_cond_init(&o->wake);
    pthread_mutex_init(&o->lock, NULL);
    int rc = control_feed_tell(o->app->feed, wake, o);
    if (rc)
        return rc;
    if (pthread_create(&o->thread, NULL, operations_main, o))
        return ERR_NOMEM;
    o->runs = true;
    return 0;
}

int operations_start(struct app *app, struct operations **out)
{
    *out = NULL;
    if (!app->feed)
        return 0;
    struct operations *o = mem_zalloc(sizeof *o);
    if (!o)
        return ERR_NOMEM;
    o->app = app;
    const struct lifecycle_deps deps = {.ctx = o,
                                        .by = app->node->region,
                                        .now_ms = now_ms,
                                        .sure_ms = sure_ms,
                                        .writer = writer,
                                        .topology = topology,
                                        .topology_at = topology_at,
                                        .principals = principals,
                                        .append = append,
                                        .judge = judge,
                                        .record = record,
                                        .records = records,
                                        .place = place,
                                        .stored = stored,
                                        .certificates_missing = certificates_missing,
                                        .content = content,
                                        .origin = origin,
                                        .members_unheard = unheard};
    o->engine = lifecycle_new(&deps);
    if (!o->engine) {
        free(o);
        return ERR_NOMEM;
    }
    int rc = reaches_start(app, &o->reaches);
    if (rc) {
        reaches_free(o->reaches);
        lifecycle_free(o->engine);
        free(o);
        return rc;
    }
    *out = o;
    return start_thread(o);
}

struct lifecycle *operations_engine(struct operations *o)
{
    if (!o)
        return NULL;
    return o->engine;
}

void operations_end(struct operations *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    bool was = o->stopping;
    o->stopping = true;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
    if (was)
        return;
    control_feed_untell(o->app->feed, wake, o);
    if (o->runs)
        pthread_join(o->thread, NULL);
    reaches_end(o->reaches);
}

bool operations_ended(struct operations *o)
{
    pthread_mutex_lock(&o->lock);
    bool ended = o->stopping;
    pthread_mutex_unlock(&o->lock);
    return ended;
}

void operations_free(struct operations *o)
{
    if (!o)
        return;
    lifecycle_free(o->engine);
    reaches_free(o->reaches);
    json_decref(o->reports);
    pthread_cond_destroy(&o->wake);
    pthread_mutex_destroy(&o->lock);
    free(o);
}
