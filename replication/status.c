// SPDX-License-Identifier: Apache-2.0
// How far replication is: per registry and origin, the state, the lag in seconds and entries, bytes
// to go where they are known, the last error. A region that is silent counts as lagging from the
// second missed beat on. "retrying" is not "failed": an entry is never lost with its job (invariant
// 5). On the pool.
#include "replication/clock_report.h"
#include "replication/mender.h"
#include "replication/peer.h"
#include "replication/peer_source.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct seen { // what the reader of an origin knows; of this region itself nothing
    struct peer_view reader;
    struct source_view source;
    // the disk of this region
    bool full;
};

static void seen_get(struct replicator *r, const char *origin, struct seen *out)
{
    struct peer *p = peers_find(r->peers, origin);
    *out = (struct seen){.full = room_is_full(r->room)};
    if (!p)
        return;
    peer_look(p, &out->reader);
    source_look(peer_source(p), &out->source);
    struct peer_view *v = &out->reader;
    if (v->silent && !v->last_error[0])
        snprintf(v->last_error, sizeof v->last_error, "silent: nothing came for %.1f s",
                 (double)v->silence_ms / 1000);
}

static const char *state_name(const struct seen *s, const struct origin_status *o, bool self)
{
    bool no_space = s->reader.stuck == ERR_NOSPACE || (s->full && o->n_pending) || o->n_parked;
    if (self && !no_space) {
        // recovered entries: not to be read, only to be completed
        if (o->n_retrying)
            return "Retrying";
        return "Syncing";
    }
    if (s->reader.diverged)
        return "Diverged";
    if (s->reader.silent)
        return "Unreachable";
    if (s->reader.ahead) // it answers, but nothing more of it can be taken now
        return "ClockAhead";
    if (!s->reader.connected && s->reader.failing && !s->reader.stuck)
        return "Unreachable";
    if (no_space) // all that fits goes on; somebody must make room for the rest
        return "NoSpace";
    if (o->n_retrying || s->reader.stuck)
        return "Retrying";
    if (o->n_pending || !s->reader.connected || !s->reader.caught_up)
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
    if (!s->reader.connected && s->reader.last_contact_ms && s->reader.last_contact_ms < since)
        since = s->reader.last_contact_ms;
    if (s->reader.ahead && s->reader.ahead_since_ms < since)
        since = s->reader.ahead_since_ms;
    int64_t lag_ms = 0;
    if (since < now)
        lag_ms = now - since;
    if (s->reader.silent && s->reader.silence_ms > lag_ms)
        lag_ms = s->reader.silence_ms;
    return lag_ms / 1000;
}

// How bad the reader's own error is.
static enum grade seen_grade(const struct seen *s)
{
    if (s->reader.stuck) {
        if (s->reader.stuck == ERR_NOSPACE)
            return GRADE_NO_SPACE;
        return GRADE_OWN;
    }
    if (s->reader.diverged)
        return GRADE_WRONG_BYTES;
    if (s->reader.last_error[0])
        return GRADE_UNREACHED;
    return GRADE_NONE;
}

// Of the reader's error and those of jobs the worst comes first; none is left out.
static const char *errors_join(const struct seen *s, const struct origin_status *o,
                               char out[2 * ERROR_TEXT_SIZE + 4])
{
    static const char full[] = "the disk of this region is full";
    const char *job = o->n_retrying || o->n_parked ? o->last_error : NULL,
               *seen = s->reader.last_error;
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
    uint64_t n_running, bytes;
    job_queue_progress(r->jobs, registry, o->origin, &n_running, &bytes);
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
        s.reader.last_contact_ms ? json_string(clock_format(s.reader.last_contact_ms, when))
                                 : json_null(),
        "epoch", (json_int_t)o->read.epoch, "read", (json_int_t)o->read.seq, "applied",
        (json_int_t)o->applied.seq, "passedOver", (json_int_t)s.reader.n_malformed);
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
    if (item && clock_report_offset(r->clocks, o->origin, &offset_ms, &error_ms)) {
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
    for (size_t i = 0; i < peers_count(r->peers); i++) {
        const struct peer *p = peers_at(r->peers, i);
        if (mark_claim_fault(peer_claim(p), peer_name(p), r->o.region, text, sizeof text))
            json_array_append_new(list, json_string(text));
    }
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
                         clock_report_json(r->clocks), "faults", replicator_faults_json(r),
                         "replications", list);
    add_orders(r, registry ? topology_registry(t, registry) : NULL, root);
    json_decref(list);
    arena_done(&a);
    return root;
}

void *replication_status_json(struct replicator *r, const char *registry)
{
    if (!r || !life_enter(r->life))
        return NULL;
    struct topology *t = snapshot_get(r->o.topology);
    json_t *root = NULL;
    if (t)
        root = status_make(r, t, registry);
    snapshot_unref(t);
    life_leave(r->life);
    return root;
}

void replication_metrics(struct replicator *r, struct buf *out)
{
    if (!r || !life_enter(r->life))
        return;
    clock_report_metrics(r->clocks, out);
    room_metrics(r->room, out);
    mender_metrics(r->mender, out);
    peer_source_metrics(r, out);
    life_leave(r->life);
}

// --- the route ---

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
