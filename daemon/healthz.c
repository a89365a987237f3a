// SPDX-License-Identifier: Apache-2.0
// /healthz: up or down for everybody, the deep document for peers (design section 5; its fields are in
// resolver/health_deep.h). On HTTP threads: all it says was found out before, by housekeeping.
#include "daemon/app.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/oci_error.h"

#include <jansson.h>

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

static void add_deep(struct app *app, json_t *doc, bool up, const char *closed)
{
    struct vitals *v = app->vitals;
    json_object_set_new(doc, "region", json_string(app->node->region));
    json_object_set_new(doc, "stamp", json_string(app->node->stamp));
    json_object_set_new(doc, "storeWritable", json_boolean(atomic_load(&v->store_writable)));
    json_object_set_new(doc, "metadataWritable", json_boolean(atomic_load(&v->metadata_writable)));
    json_object_set_new(doc, "tokenSigning", json_boolean(atomic_load(&v->token_signing)));
    json_object_set_new(doc, "writesClosed", closed ? json_string(closed) : json_null());
    if (!atomic_load(&v->metadata_writable))
        json_object_set_new(doc, "metadataError", json_string(err_text(atomic_load(&v->metadata_rc))));
    json_object_set_new(doc, "faults", replicator_faults_json(app->replicator));
    json_object_set_new(doc, "diskFreeBytes", json_integer((json_int_t)atomic_load(&v->disk_free_bytes)));
    json_object_set_new(doc, "headroom", json_integer(up ? (json_int_t)atomic_load(&v->headroom) : 0));
    json_object_set_new(doc, "impaired", impaired_json(app));
    json_object_set_new(doc, "checkedMs", json_integer((json_int_t)atomic_load(&v->checked_ms)));
}

// One word or two for everybody; the sentence is for peers and operators.
static const char *down_reason(struct vitals *v, const char *closed)
{
    if (closed)
        return "writes are closed";
    if (!atomic_load(&v->metadata_writable))
        return "entries cannot be written";
    if (!atomic_load(&v->store_writable))
        return "blobs cannot be written";
    return "tokens cannot be signed";
}

void app_begin_healthz(struct app *app, struct http_request *req, struct http_plan *plan, bool deep)
{
    struct vitals *v = app->vitals;
    // Closed writes count as down: a push that the global name sends here would fail. So do tokens that cannot be
    // signed.
    const char *closed = app->meta ? meta_closed_why(app->meta, &req->arena) : NULL;
    bool up = atomic_load(&v->store_writable) && atomic_load(&v->token_signing) && !closed;
    plan->kind = HTTP_PLAN_REPLY;
    if (req->method != HTTP_GET && req->method != HTTP_HEAD) {
        oci_error(req, &plan->response, 405, "UNSUPPORTED", NULL, "/healthz takes GET and HEAD");
        http_response_header(req, &plan->response, "Allow", "GET, HEAD");
        return;
    }
    json_t *doc = json_pack("{s:s}", "status", up ? "up" : "down");
    if (doc && !up)
        json_object_set_new(doc, "reason", json_string(down_reason(v, closed)));
    if (doc && deep)
        add_deep(app, doc, up, closed);
    if (!doc || http_response_json(req, &plan->response, up ? 200 : 503, doc))
        http_response_bytes(&plan->response, 503, "application/json", bytes_str("{\"status\":\"down\"}"));
    http_response_header(req, &plan->response, "Cache-Control", "no-store");
}
