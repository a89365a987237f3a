// SPDX-License-Identifier: Apache-2.0
// See admin_private.h. On pools.
#include "daemon/admin_private.h"

#include "auth/admin_login.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "control/feed.h"
#include "fleet/fleet.h"
#include "lifecycle/private_list.h"
#include "net/refuse.h"
#include "resolver/answer/private_names.h"

#include <jansson.h>

static int record(void *ctx, const char *key, struct buf *out)
{
    return control_feed_record(ctx, key, out);
}

static void records(void *ctx, const char *prefix, control_ledger_visitor *visit, void *v)
{
    control_feed_records(ctx, prefix, visit, v);
}

// Takes the document.
static void answer(struct http_request *req, struct http_response *resp, json_t *doc)
{
    AUTO_FREE char *text = NULL;
    struct buf b;
    if (doc)
        text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    buf_init(&b, 0);
    if (text)
        buf_str(&b, text);
    if (!text || fleet_answer_text(resp, "application/json", &b))
        serve_refuse(req, resp, 500, "out of memory");
    buf_done(&b);
}

void admin_get_private_endpoints(struct app *app, struct http_request *req,
                                 struct http_response *resp)
{
    const struct ledger_look ledger = {app->feed, record, records};
    const struct private_filter f = {.registry = http_query_get(req, "registry", 0),
                                     .view = http_query_get(req, "view", 0),
                                     .name = http_query_get(req, "name", 0)};
    struct topology *t = snapshot_get(app->topology);
    json_t *doc = private_endpoints_json(t, app->feed ? &ledger : NULL, &f, clock_wall_ms());
    snapshot_unref(t);
    answer(req, resp, doc);
}

void admin_get_private_zone(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *name = http_query_get(req, "view", 0),
               *registry = http_query_get(req, "registry", 0);
    struct topology *t = snapshot_get(app->topology);
    const struct view *view = NULL;
    if (name)
        view = topology_view(t, name);
    void *doc = NULL;
    int rc = 0;
    if (view)
        rc = dns_private_names_json(t, view, registry, &doc);
    snapshot_unref(t);
    if (!name)
        admin_refuse(req, resp, 400, "Invalid", "give view=, the name of a view of the topology");
    else if (!view)
        admin_refuse(req, resp, 404, "NotFound",
                     "there is no view %.80s: the topology's views are private networks", name);
    else if (rc == ERR_DENIED)
        serve_refuse(
            req, resp, 503,
            "the resolver does not answer in that view: see its sources and its access list");
    else if (rc)
        serve_refuse(req, resp, 500, err_text(rc));
    else
        answer(req, resp, doc);
}
