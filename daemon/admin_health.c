// SPDX-License-Identifier: Apache-2.0
// The admin calls of health: verdicts, orders of the operator (force, drain, impair), the other
// resolvers. See admin.c for the calls. On the pool.
#include "daemon/admin_drill.h"
#include "daemon/admin_fleet.h"

#include "auth/admin_login.h"
#include "base/err.h"
#include "net/refuse.h"

#include <jansson.h>
#include <string.h>

static bool refused(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (!app->health)
        http_response_text(req, resp, 404,
                           "this node has no resolver role: it keeps no verdicts\n");
    return !app->health;
}

void admin_get_health(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (!refused(app, req, resp))
        serve_json(req, resp, health_status_json(app->health));
}

void admin_get_health_peers(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (refused(app, req, resp))
        return;
    json_t *list = health_peers_json(app->health), *one;
    size_t i;
    json_array_foreach(list, i, one) admin_fleet_clock(app, one);
    admin_fleet_add(app, list);
    serve_json(req, resp, list);
}

void admin_get_health_orders(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (!refused(app, req, resp))
        serve_json(req, resp, health_orders_status_json(app->health));
}

// An order that was not taken.
static void reply_refusal(struct http_request *req, struct http_response *resp, const char *region,
                          int rc)
{
    if (rc == ERR_NOTFOUND)
        http_response_text(req, resp, 404, "%s: no such region in the topology\n", region);
    else
        http_response_text(req, resp, rc == ERR_NOSPACE ? 409 : 500, "%s\n",
                           rc == ERR_NOSPACE ? "too many orders are in force: take some back"
                                             : err_text(rc));
}

void admin_post_force(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *region = http_query_get(req, "region", 0), *state = http_query_get(req, "state", 0);
    enum health_force f = HEALTH_AUTO;
    bool known =
        state && (!strcmp(state, "up") || !strcmp(state, "down") || !strcmp(state, "auto"));
    if (!region || !known || !app->health) {
        http_response_text(req, resp, 400,
                           "give region= and state=up, down or auto, on a node with a resolver\n");
        return;
    }
    if (!strcmp(state, "up"))
        f = HEALTH_FORCE_UP;
    else if (!strcmp(state, "down"))
        f = HEALTH_FORCE_DOWN;
    else
        f = HEALTH_AUTO;
    char by[HEALTH_BY_SIZE];
    admin_by(app, req, by);
    int rc = health_force(app->health, region, f, by);
    if (rc)
        reply_refusal(req, resp, region, rc);
    else
        admin_get_health(app, req, resp);
}

// The login label of the registry that the call names; "" for all; NULL after a refusal.
static const char *label_of(struct app *app, struct http_request *req, struct http_response *resp,
                            bool needed)
{
    const char *name = http_query_get(req, "registry", 0);
    if (!name && !needed)
        return "";
    struct topology *t = snapshot_get(app->topology);
    const struct registry *r = NULL;
    if (name)
        r = topology_registry(t, name);
    const char *label = NULL;
    if (r)
        label = arena_strdup(&req->arena, r->label);
    snapshot_unref(t);
    if (!name)
        http_response_text(req, resp, 400, "give registry=\n");
    else if (!label)
        http_response_text(req, resp, 404, "%s: no such registry in the topology\n", name);
    return label;
}

void admin_post_order(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *order = http_query_get(req, "order", 0), *region = http_query_get(req, "region", 0),
               *on = http_query_get(req, "on", 0);
    bool drain = order && !strcmp(order, "drain"), impair = order && !strcmp(order, "impair");
    if ((!drain && !impair) || !region || !on || (strcmp(on, "true") && strcmp(on, "false"))) {
        http_response_text(req, resp, 400,
                           "give order=drain or impair, region=, on=true or false\n");
        return;
    }
    if (req->listener == LISTENER_OPERATOR && (impair || strcmp(region, app->node->region) != 0)) {
        admin_refuse(req, resp, 403, "Denied",
                     "from afar only region %s is drained here, and nothing is impaired: ask the "
                     "other region itself, or use the admin socket of a node",
                     app->node->region);
        return;
    }
    if (refused(app, req, resp))
        return;
    const char *label = label_of(app, req, resp, impair);
    if (!label)
        return;
    char by[HEALTH_BY_SIZE];
    admin_by(app, req, by);
    int rc = health_order(app->health, drain ? HEALTH_DRAINED : HEALTH_IMPAIRED, region, label,
                          !strcmp(on, "true"), by);
    if (rc)
        reply_refusal(req, resp, region, rc);
    else
        admin_get_health_orders(app, req, resp);
}
