// SPDX-License-Identifier: Apache-2.0
// See admin_drill.h.
#include "daemon/admin_drill.h"

#include "auth/admin_login.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refused(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (!app->health)
        admin_refuse(req, resp, 404, "NotFound",
                     "this node has no resolver role: it leads no clients, and knows of no drills");
    return !app->health;
}

static void reply_bad(struct http_request *req, struct http_response *resp, int rc,
                      const struct diag *diag)
{
    AUTO_FREE char *text = diag_text(diag);
    const char *why = text;
    if (!why || !*why)
        why = err_text(rc);
    if (rc == ERR_NOTFOUND)
        admin_refuse(req, resp, 404, "NotFound", "%s", why);
    else if (rc == ERR_RANGE)
        admin_refuse(req, resp, 400, "Invalid", "%s", why);
    else if (rc == ERR_CONFLICT || rc == ERR_EXISTS || rc == ERR_NOSPACE)
        admin_refuse(req, resp, 409, "Refused", "%s", why);
    else
        admin_refuse(req, resp, 503, "Unavailable", "%s", why);
}

void admin_by(const struct app *app, const struct http_request *req, char out[HEALTH_BY_SIZE])
{
    const char *who = "root";
    if (req->listener == LISTENER_OPERATOR)
        who = req->principal ? req->principal : "somebody";
    snprintf(out, HEALTH_BY_SIZE, "%.*s@%s", HEALTH_BY_SIZE - HOSTNAME_REGION_SIZE - 2, who,
             app->node->region);
    for (char *p = out; *p; p++)
        if (*p <= ' ' || *p > '~')
            *p = '?';
}

// From afar a caller has rights in the region that is asked alone.
static void reply_others(const struct app *app, struct http_request *req,
                         struct http_response *resp)
{
    admin_refuse(req, resp, 403, "Denied",
                 "from afar only region %s is taken out here: ask the other region itself, or use "
                 "the admin socket of a node",
                 app->node->region);
}

static bool is_others(const struct app *app, struct http_request *req, struct http_response *resp,
                      const char *region)
{
    if (req->listener != LISTENER_OPERATOR || !strcmp(region, app->node->region))
        return false;
    reply_others(app, req, resp);
    return true;
}

void admin_get_drills(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (!refused(app, req, resp))
        serve_json(req, resp, health_drills_json(app->health));
}

// The login label of the registry that is named; "": none is. NULL after a refusal.
static const char *label_of(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *name = http_query_get(req, "registry", 0), *label = NULL;
    if (!name)
        return "";
    struct topology *t = snapshot_get(app->topology);
    const struct registry *r = topology_registry(t, name);
    if (r)
        label = arena_strdup(&req->arena, r->label);
    snapshot_unref(t);
    if (!label)
        admin_refuse(req, resp, 404, "NotFound", "%s: no such registry in the topology", name);
    return label;
}

static int64_t duration_of(struct http_request *req)
{
    const char *text = http_query_get(req, "for_ms", 0);
    char *end = NULL;
    if (!text || strlen(text) > 12)
        return -1;
    long long ms = strtoll(text, &end, 10);
    if (*end)
        return -1;
    return ms;
}

void admin_post_drill(struct app *app, struct http_request *req, struct http_response *resp)
{
    char by[HEALTH_BY_SIZE], id[HEALTH_DRILL_ID_SIZE];
    const char *region = http_query_get(req, "region", 0);
    int64_t for_ms = duration_of(req);
    if (!region || for_ms < 0) {
        admin_refuse(req, resp, 400, "Invalid",
                     "give region=, for_ms=, and registry= for one alone");
        return;
    }
    if (refused(app, req, resp) || is_others(app, req, resp, region))
        return;
    const char *label = label_of(app, req, resp);
    if (!label)
        return;
    admin_by(app, req, by);
    struct diag diag;
    diag_init(&diag);
    const struct health_drill_wanted w = {region, label, for_ms, by};
    int rc = health_drill_start(app->health, &w, &diag, id);
    if (rc)
        reply_bad(req, resp, rc, &diag);
    else
        admin_get_drills(app, req, resp);
    diag_done(&diag);
}

void admin_post_drill_stop(struct app *app, struct http_request *req, struct http_response *resp)
{
    char by[HEALTH_BY_SIZE];
    const char *id = http_query_get(req, "id", 0), *only_region = NULL;
    if (!id)
        id = "";
    if (refused(app, req, resp))
        return;
    if (req->listener == LISTENER_OPERATOR)
        only_region = app->node->region;
    admin_by(app, req, by);
    struct diag diag;
    diag_init(&diag);
    int rc = health_drill_stop(app->health, id, only_region, by, &diag);
    if (rc == ERR_DENIED)
        reply_others(app, req, resp);
    else if (rc)
        reply_bad(req, resp, rc, &diag);
    else
        admin_get_drills(app, req, resp);
    diag_done(&diag);
}
