// SPDX-License-Identifier: Apache-2.0
// How far replication is: per registry and origin, the state, the lag in seconds and entries, bytes
// to go where they are known, the last error. A region that is silent counts as lagging from the
// second missed beat on. "retrying" is not "failed": an entry is never lost with its job (invariant
// 5). On the pool.
#include "replication/clock_watch.h"
#include "replication/mender.h"
#include "replication/peer_source.h"
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct seen { // what the reader of an origin knows
    bool known, connected, caught_up, diverged, failing, ahead, silent, full;
    // the error of our own store
    int stuck;
    int64_t ahead_since_ms;
    uint64_t n_malformed;
    int64_t last_contact_ms, silence_ms;
    char last_error[ERROR_TEXT_SIZE];
    // as a source of content
    struct source_view source;
};

static void seen_get(struct replicator *r, const char *origin, struct seen *out)
{
    struct peer *p = replicator_peer(r, origin);
    memset(out, 0, sizeof *out);
    out->full = room_is_full(r->room);
    if (!p)
        return;
    pthread_mutex_lock(&r->lock);
    *out = (struct seen){.known = true,
                         .full = room_is_full(r->room),
                         .connected = p->connected,
                         .caught_up = p->caught_up,
                         .diverged = p->diverged,
                         .failing = p->failures > 0,
                         .ahead = p->ahead != 0,
                         .ahead_since_ms = p->ahead_since_ms,
                         .n_malformed = p->n_malformed,
                         .stuck = p->stuck,
                         .silent = peer_silent(p),
                         .silence_ms = peer_silence_ms(p),
                         .last_contact_ms = p->last_contact_ms};
    memcpy(out->last_error, p->last_error, sizeof out->last_error);
    if (out->silent && !out->last_error[0])
        snprintf(out->last_error, sizeof out->last_error, "silent: nothing came for %.1f s",
                 (double)out->silence_ms / 1000);
    pthread_mutex_unlock(&r->lock);
    source_look(p->source, &out->source);
}

static const char *state_name(const struct seen *s, const struct origin_status *o, bool self)
{
    bool no_space = s->stuck == ERR_NOSPACE || (s->full && o->n_pending) || o->n_parked;
    if (self && !no_space) {
        // recovered entries: not to be read, only to be completed
        if (o->n_retrying)
            return "Retrying";
        return "Syncing";
    }
    if (s->diverged)
        return "Diverged";
    if (s->silent)
        return "Unreachable";
    if (s->ahead) // it answers, but nothing more of it can be taken now
        return "ClockAhead";
    if (!s->connected && s->failing && !s->stuck)
        return "Unreachable";
    if (no_space) // all that fits goes on; somebody must make room for the rest
        return "NoSpace";
    if (o->n_retrying || s->stuck)
        return "Retrying";
    if (o->n_pending || !s->connected || !s->caught_up)
        return "Syncing";
    return "Ready";
}

// While an origin cannot be read, nobody knows what it wrote: the lag is at least the time since it
// was heard.
static int64_t lag_seconds(const struct seen *s, const struct origin_status *o, int64_t now)
{
    int64_t since = now;
    if (o->oldest_pending_stamp)
        since = hlc_wall_ms(o->oldest_pending_stamp);
    if (!s->connected && s->last_contact_ms && s->last_contact_ms < since)
        since = s->last_contact_ms;
    if (s->ahead && s->ahead_since_ms < since)
        since = s->ahead_since_ms;
    int64_t lag_ms = 0;
    if (since < now)
        lag_ms = now - since;
    if (s->silent && s->silence_ms > lag_ms)
        lag_ms = s->silence_ms;
    return lag_ms / 1000;
}

// How bad the reader's own error is.
static enum grade seen_grade(const struct seen *s)
{
    if (s->stuck) {
        if (s->stuck == ERR_NOSPACE)
            return GRADE_NO_SPACE;
        return GRADE_OWN;
    }
    if (s->diverged)
        return GRADE_WRONG_BYTES;
    if (s->last_error[0])
        return GRADE_UNREACHED;
    return GRADE_NONE;
}

// Of the reader's error and those of jobs the worst comes first; none is left out.
static const char *errors_join(const struct seen *s, const struct origin_status *o,
                               char out[2 * ERROR_TEXT_SIZE + 4])
{
    static const char full[] = "the disk of this region is full";
    const char *job = o->n_retrying || o->n_parked ? o->last_error : NULL, *seen = s->last_error;
    if (!*seen && s->full && o->n_pending)
        seen = full;
    if (!*seen && (!job || !*job))
        return NULL;
    if (!job || !*job) {
        snprintf(out, 2 * ERROR_TEXT_SIZE + 4, "%.*s", ERROR_TEXT_SIZE, seen);
        return out;
    }
    bool job_first = o->last_grade >= (int)seen_grade(s);
    if (!*seen)
        snprintf(out, 2 * ERROR_TEXT_SIZE + 4, "%.*s", ERROR_TEXT_SIZE, job);
    else
        snprintf(out, 2 * ERROR_TEXT_SIZE + 4, "%.*s; %.*s", ERROR_TEXT_SIZE,
                 job_first ? job : seen, ERROR_TEXT_SIZE, job_first ? seen : job);
    return out;
}

// Known while every entry that needs bytes is being fetched, or parked; what waits for another one
// needs none.
static bool bytes_to_go(struct replicator *r, const char *registry, const struct origin_status *o,
                        uint64_t *out)
{
    uint64_t n_running = 0, bytes = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_workers; i++) {
        const struct worker *w = &r->workers[i];
        if (w->busy && strcmp(w->job.entry.registry, registry) == 0 &&
            strcmp(w->job.entry.origin, o->origin) == 0) {
            n_running++;
            bytes += w->bytes_left;
        }
    }
    pthread_mutex_unlock(&r->lock);
    *out = bytes + o->parked_bytes;
    return o->n_pending <= n_running + o->n_parked + o->n_waiting;
}

static json_t *text_or_null(const char *s)
{
    if (s && *s)
        return json_string(s);
    return json_null();
}

static json_t *item_json(struct replicator *r, const char *registry, const struct origin_status *o,
                         int64_t now)
{
    struct seen s;
    seen_get(r, o->origin, &s);
    char when[CLOCK_TEXT_SIZE];
    uint64_t bytes;
    char errors[2 * ERROR_TEXT_SIZE + 4];
    const char *error = errors_join(&s, o, errors);
    json_t *item = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I}", "registry", registry,
        "region", r->o.region, "origin", o->origin, "state",
        state_name(&s, o, strcmp(o->origin, r->o.region) == 0), "lagSeconds",
        (json_int_t)lag_seconds(&s, o, now), "lagEntries", (json_int_t)o->n_pending, "lastError",
        text_or_null(error), "lastContact",
        s.last_contact_ms ? json_string(clock_format(s.last_contact_ms, when)) : json_null(),
        "epoch", (json_int_t)o->read.epoch, "read", (json_int_t)o->read.seq, "applied",
        (json_int_t)o->applied.seq, "passedOver", (json_int_t)s.n_malformed);
    if (item && bytes_to_go(r, registry, o, &bytes))
        json_object_set_new(item, "bytesToGo", json_integer((json_int_t)bytes));
    if (item && o->n_parked)
        json_object_set_new(
            item, "noSpace",
            json_pack("{s:I, s:I}", "entries", (json_int_t)o->n_parked, "bytes",
                      (json_int_t)(o->parked_bytes < INT64_MAX ? o->parked_bytes : INT64_MAX)));
    if (item && s.source.n_wrong)
        json_object_set_new(
            item, "wrongBytes",
            json_pack("{s:I, s:s}", "times", (json_int_t)s.source.n_wrong, "last", s.source.wrong));
    int64_t offset_ms, error_ms;
    if (item && clock_watch_offset(r->clock, o->origin, &offset_ms, &error_ms)) {
        json_object_set_new(item, "clockOffsetMs", json_integer(offset_ms));
        json_object_set_new(item, "clockErrorMs", json_integer(error_ms));
    }
    return item;
}

static int registry_add(struct replicator *r, const struct topology *t, const struct registry *reg,
                        int64_t now, json_t *list)
{
    struct arena a;
    arena_init(&a, 0);
    struct origin_status *origins = NULL;
    size_t n = 0;
    int rc = meta_origins_of(r->o.meta, reg->name, &a, &origins, &n);
    for (size_t i = 0; !rc && i < reg->n_replicas; i++) {
        const char *name = t->regions[reg->replicas[i].region].name;
        struct origin_status o = {.origin = name}; // nothing read of it yet
        for (size_t k = 0; k < n; k++)
            if (strcmp(origins[k].origin, name) == 0)
                o = origins[k];
        if (strcmp(name, r->o.region) == 0 && !o.n_pending)
            continue;
        if (json_array_append_new(list, item_json(r, reg->name, &o, now)))
            rc = ERR_NOMEM;
    }
    arena_done(&a);
    return rc;
}

void *replicator_faults_json(struct replicator *r)
{
    json_t *list = json_array();
    char text[512];
    if (!r || !list)
        return list;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_peers; i++)
        if (recover_fault(r->peers[i], text, sizeof text))
            json_array_append_new(list, json_string(text));
    pthread_mutex_unlock(&r->lock);
    mender_faults(r->mender, list);
    return list;
}

// What operators have ordered for this region: of the registry that is asked about, or of all.
static void add_orders(struct replicator *r, const struct registry *reg, json_t *root)
{
    char text[1024] = "";
    if (!root || !r->o.orders)
        return;
    r->o.orders(r->o.orders_ctx, r->o.region, reg ? reg->label : NULL, text, sizeof text);
    if (*text)
        json_object_set_new(root, "orders", json_string(text));
}

static json_t *status_make(struct replicator *r, const struct topology *t, const char *registry)
{
    struct arena a;
    arena_init(&a, 64 << 10);
    char when[CLOCK_TEXT_SIZE];
    int64_t now = clock_wall_ms();
    const char *why = meta_closed_why(r->o.meta, &a);
    json_t *list = json_array();
    const struct region *self = topology_region(t, r->o.region);
    AUTO_FREE const struct registry **all = topology_sorted(t);
    int rc = ERR_NOMEM;
    if (list && all)
        rc = 0;
    for (size_t i = 0; !rc && self && i < t->n_registries; i++) {
        const struct registry *reg = all[i];
        if ((!registry || strcmp(reg->name, registry) == 0) && registry_replica(reg, self->index))
            rc = registry_add(r, t, reg, now, list);
    }
    json_t *root = NULL;
    if (!rc)
        root = json_pack("{s:s, s:s, s:s, s:o, s:o, s:O}", "region", r->o.region, "time",
                         clock_format(now, when), "writes", why ? why : "open", "clock",
                         clock_watch_json(r->clock), "faults", replicator_faults_json(r),
                         "replications", list);
    add_orders(r, registry ? topology_registry(t, registry) : NULL, root);
    json_decref(list);
    arena_done(&a);
    return root;
}

void *replication_status_json(struct replicator *r, const char *registry)
{
    if (!r || !replicator_enter(r))
        return NULL;
    struct topology *t = snapshot_get(r->o.topology);
    json_t *root = NULL;
    if (t)
        root = status_make(r, t, registry);
    snapshot_unref(t);
    replicator_leave(r);
    return root;
}

void *replication_clock_json(struct replicator *r)
{
    if (!r || !replicator_enter(r))
        return NULL;
    json_t *doc = clock_watch_json(r->clock);
    replicator_leave(r);
    return doc;
}

bool replication_clock_offset(struct replicator *r, const char *region, int64_t *out_offset_ms,
                              int64_t *out_error_ms)
{
    if (!r || !replicator_enter(r))
        return false;
    bool known = clock_watch_offset(r->clock, region, out_offset_ms, out_error_ms);
    replicator_leave(r);
    return known;
}

bool replication_clock_opinion(struct replicator *r, struct clock_opinion *out)
{
    if (!r || !replicator_enter(r))
        return false;
    clock_watch_opinion(r->clock, out);
    replicator_leave(r);
    return true;
}

void replication_clock_suspect(struct replicator *r, const char *region,
                               char out[CLOCK_SENTENCE_SIZE])
{
    if (!r || !replicator_enter(r)) {
        clock_suspect(&(struct clock_case){.n_members = 1}, CLOCK_FINE, region, out);
        return;
    }
    clock_watch_suspect(r->clock, region, out);
    replicator_leave(r);
}

bool replication_clock_vouched(struct replicator *r)
{
    if (!r || !replicator_enter(r))
        return false;
    bool vouched = clock_watch_vouched(r->clock);
    replicator_leave(r);
    return vouched;
}

void replication_metrics(struct replicator *r, struct buf *out)
{
    if (!r || !replicator_enter(r))
        return;
    clock_watch_metrics(r->clock, out);
    room_metrics(r->room, out);
    mender_metrics(r->mender, out);
    peer_source_metrics(r, out);
    replicator_leave(r);
}

struct status_ask {
    struct replicator *r;
    const char *registry;
};

static void status_run(struct http_request *req, struct http_response *resp)
{
    struct status_ask *q = req->ctx;
    json_t *root = replication_status_json(q->r, q->registry);
    if (root)
        http_response_json(req, resp, 200, root);
    else
        serve_refuse(req, resp, 503, "status cannot be read now");
}

void status_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                  struct http_plan *plan)
{
    struct status_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *name = arena_strdup(&req->arena, reg->name);
    if (!q || !name) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct status_ask){.r = r, .registry = name};
    plan->kind = HTTP_PLAN_RUN;
    plan->run = status_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
