// SPDX-License-Identifier: Apache-2.0
// See admin_fleet.h. On the pool, and on the fleet's threads.
#include "daemon/admin_fleet.h"

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/admin_answer.h"
#include "daemon/drill_watch.h"
#include "daemon/members.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 2000
#define TIMEOUT_MAX_MS 10000

// ---- this node ----

static json_t *certificates_json(struct app *app)
{
    static const char *const members[] = {"kind", "notAfter", "renewAt", "problem"};
    json_t *all = certs_status_json(app->certs), *out = json_array(), *one;
    size_t i;
    json_array_foreach(all, i, one)
    {
        json_t *row = json_object();
        for (size_t j = 0; j < ARRAY_LEN(members); j++)
            json_object_set(row, members[j], json_object_get(one, members[j]));
        json_array_append_new(out, row);
    }
    json_decref(all);
    return out;
}

static json_t *writes_json(struct app *app)
{
    struct arena a;
    arena_init(&a, 0);
    const char *why = NULL;
    if (app->meta)
        why = meta_closed_why(app->meta, &a);
    json_t *out = json_null();
    if (why)
        out = json_string(why);
    arena_done(&a);
    return out;
}

void *admin_fleet_report(void *ctx)
{
    struct app *app = ctx;
    struct conditions *c = &app->vitals->conditions;
    char since[CLOCK_TEXT_SIZE];
    const char *reason, *status = app_state(app, &reason);
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s?}", "version", MERIDIAN_VERSION, "since",
                  clock_format(app->started_ms, since), "status", status, "reason", reason);
    if (!doc)
        return NULL;
    json_object_set_new(doc, "writesClosed", writes_json(app));
    if (app->certs)
        json_object_set_new(doc, "certificates", certificates_json(app));
    if (app->keys)
        json_object_set_new(doc, "keys",
                            json_pack("{s:s, s:s, s:s?}", "token", region_keys_token_id(app->keys),
                                      "feed", region_keys_feed_id(app->keys), "control",
                                      region_keys_control_id(app->keys)));
    json_object_set_new(doc, "conditions", conditions_json(c));
    json_t *members = members_report(app->members);
    if (members)
        json_object_set_new(doc, "members", members);
    if (app->drill_watch)
        json_object_set_new(doc, "drills", drill_watch_json(app->drill_watch));
    return doc;
}

// ---- all of them ----

void admin_fleet_clock(struct app *app, void *row)
{
    const char *region = json_string_value(json_object_get(row, "region"));
    int64_t offset_ms, error_ms;
    bool known = region && replication_clock_offset(app->replicator, region, &offset_ms, &error_ms);
    json_t *offset = json_null(), *error = json_null();
    if (known) {
        offset = json_integer((json_int_t)offset_ms);
        error = json_integer((json_int_t)error_ms);
    }
    json_object_set_new(row, "clockOffsetMs", offset);
    json_object_set_new(row, "clockErrorMs", error);
}

static const json_t *row_of(const json_t *all, const char *region)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)all, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "region"));
        if (name && region && strcmp(name, region) == 0)
            return one;
    }
    return NULL;
}

void admin_fleet_add(struct app *app, void *rows)
{
    static const char *const members[] = {"version", "source", "topologyVersion",
                                          "principalsVersion", "writesClosed"};
    json_t *all = fleet_heard_json(app->fleet), *one;
    size_t i;
    json_array_foreach((json_t *)rows, i, one)
    {
        const char *region = json_string_value(json_object_get(one, "region"));
        const json_t *said = row_of(all, region);
        for (size_t j = 0; said && j < ARRAY_LEN(members); j++)
            json_object_set(one, members[j], json_object_get(said, members[j]));
    }
    json_decref(all);
}

static unsigned timeout_of(struct http_request *req)
{
    const char *text = http_query_get(req, "timeout_ms", 0);
    char *end = NULL;
    if (!text)
        return TIMEOUT_MS;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || n < 1 || n > TIMEOUT_MAX_MS)
        return TIMEOUT_MS;
    return (unsigned)n;
}

void admin_get_fleet(struct app *app, struct http_request *req, struct http_response *resp)
{
    json_t *all = fleet_all_json(app->fleet, timeout_of(req)), *one;
    size_t i;
    json_array_foreach(all, i, one) admin_fleet_clock(app, one);
    admin_answer(req, resp, 200, all);
}
