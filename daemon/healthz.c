// SPDX-License-Identifier: Apache-2.0
// /healthz: up, short or down for everybody, the deep document for peers (design section 5; its
// fields are in health/deep.h). On HTTP threads: what it says was found out before, by
// housekeeping, but for closed writes, which cost a look only.
#include "daemon/app.h"

#include "base/clock.h"
#include "base/mem.h"
#include "health/deep.h"
#include "net/refuse.h"

#include <jansson.h>
#include <string.h>

#define WHY_MAX_BYTES (META_N_GATES * (META_WHY_SIZE + 16u) + 1024)

static json_t *impaired_json(struct app *app)
{
    char labels[IMPAIRMENT_MAX][HOSTNAME_LABEL_SIZE];
    size_t n = impairment_list(&app->vitals->impairment, clock_mono_ms(), labels);
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (json_array_append_new(list, json_string(labels[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

// What the node has of all that, as it was said before there were conditions: older readers look at
// these members.
static void add_flags(struct app *app, struct http_request *req, json_t *doc)
{
    struct conditions *c = &app->vitals->conditions;
    const char *closed = NULL;
    if (app->meta)
        closed = meta_closed_why(app->meta, &req->arena);
    bool metadata = !condition_holds(c, CONDITION_METADATA);
    json_object_set_new(doc, "storeWritable",
                        json_boolean(metadata && !condition_holds(c, CONDITION_STORE)));
    json_object_set_new(doc, "metadataWritable", json_boolean(metadata));
    json_object_set_new(doc, "tokenSigning",
                        json_boolean(!condition_holds(c, CONDITION_TOKEN_SIGNING)));
    json_object_set_new(doc, "writesClosed", closed ? json_string(closed) : json_null());
}

void app_disk_get(const struct app *app, struct space_view *out)
{
    pthread_mutex_lock(&app->vitals->lock);
    *out = app->vitals->disk;
    pthread_mutex_unlock(&app->vitals->lock);
}

static void add_disk(struct app *app, json_t *doc)
{
    struct space_view v;
    app_disk_get(app, &v);
    json_object_set_new(doc, "diskFreeBytes", json_integer((json_int_t)v.disk.free_bytes));
    json_object_set_new(doc, "diskReserveBytes", json_integer((json_int_t)v.reserve_bytes));
}

static void add_deep(struct app *app, struct http_request *req, json_t *doc, bool up)
{
    struct vitals *v = app->vitals;
    json_object_set_new(doc, "region", json_string(app->node->region));
    json_object_set_new(doc, "stamp", json_string(app->node->stamp));
    json_object_set_new(doc, "conditions", conditions_json(&v->conditions));
    add_flags(app, req, doc);
    json_object_set_new(doc, "faults", replicator_faults_for(app->replicator, NULL));
    add_disk(app, doc);
    json_object_set_new(doc, "headroom",
                        json_integer(up ? (json_int_t)atomic_load(&v->headroom) : 0));
    json_object_set_new(doc, "impaired", impaired_json(app));
    json_object_set_new(doc, "checkedMs", json_integer((json_int_t)atomic_load(&v->checked_ms)));
}

// What readers take is bounded: of what is too much, the sentences go first. Up, headroom and who
// is impaired stay.
static void fit_deep(json_t *doc)
{
    static const char *const spare[] = {"faults", "conditions", "writesClosed"};
    for (size_t i = 0;
         i < ARRAY_LEN(spare) && json_dumpb(doc, NULL, 0, JSON_COMPACT) > HEALTH_DEEP_MAX_BYTES;
         i++)
        json_object_del(doc, spare[i]);
}

// Closed writes count as down: a push that the global name sends here would fail.
void app_judge_writes(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    struct arena a;
    arena_init(&a, WHY_MAX_BYTES);
    const char *why = NULL;
    if (app->meta)
        why = meta_closed_why(app->meta, &a);
    if (why)
        condition_set(c, CONDITION_WRITES, CONDITION_DOWN, "this region takes no writes now: %s",
                      why);
    else
        condition_clear(c, CONDITION_WRITES);
    arena_done(&a);
}

// In the order of their weight.
const char *app_state(struct app *app, const char **out_reason)
{
    struct conditions *c = &app->vitals->conditions;
    *out_reason = conditions_down(c);
    if (*out_reason)
        return "down";
    *out_reason = conditions_short(c);
    if (*out_reason)
        return "short";
    return "up";
}

void app_begin_healthz(struct app *app, struct http_request *req, struct http_plan *plan, bool deep)
{
    app_judge_writes(app); // the rest was found out by housekeeping
    const char *reason, *state = app_state(app, &reason);
    plan->kind = HTTP_PLAN_REPLY;
    if (req->method != HTTP_GET && req->method != HTTP_HEAD) {
        serve_method(req, &plan->response, "GET, HEAD", "/healthz takes GET and HEAD");
        return;
    }
    json_t *doc = json_pack("{s:s}", "status", state);
    if (doc && reason)
        json_object_set_new(doc, "reason", json_string(reason));
    if (doc && deep) {
        add_deep(app, req, doc, strcmp(state, "down") != 0);
        fit_deep(doc);
    }
    if (!doc || http_response_json(req, &plan->response, reason ? 503 : 200, doc))
        http_response_bytes(&plan->response, 503, "application/json",
                            bytes_str("{\"status\":\"down\"}"));
    http_response_header(req, &plan->response, "Cache-Control", "no-store");
    if (reason)
        http_request_refused(req, "UNAVAILABLE", reason);
}
