// SPDX-License-Identifier: Apache-2.0
// GET /replication/v1/revoked: what became void here because its key was revoked, or because it was
// mended or withdrawn, and what was refused below a floor, in the repositories that the caller sees. On
// the pool.
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/meta_floor.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 500 // rows of one answer

struct revoked_ask {
    struct replicator *r;
    // by its key, and its name
    const char *registry, *name;
    int64_t after;
    // other repositories are left out
    struct access whose;
};

static json_t *row_json(const struct voided_row *v)
{
    char at[CLOCK_TEXT_SIZE], now[DIGEST_TEXT_SIZE];
    json_t *o = entry_json(&v->entry);
    if (!o)
        return NULL;
    json_object_set_new(o, "reason", json_string(v->reason));
    json_object_set_new(o, "was", json_string(v->was));
    json_object_set_new(o, "voidedAt", json_string(clock_format(v->at_ms, at)));
    json_object_set_new(o, "now",
                        v->there ? json_string(digest_format(&v->now, now)) : json_null());
    return o;
}

// What came at or below the registry's floor (store/meta_floor.h): the latest ones.
static void refused_add(const struct revoked_ask *q, struct arena *a, json_t *root)
{
    struct feed_entry *rows;
    size_t n;
    if (meta_floor_refused(q->r->o.meta, q->registry, LIST_MAX, a, &rows, &n))
        return;
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (access_sees(&q->whose, rows[i].repository))
            json_array_append_new(list, entry_json(&rows[i]));
    json_object_set_new(root, "belowFloor", list);
}

static void *list_json(void *ask, struct arena *a)
{
    const struct revoked_ask *q = ask;
    struct voided_row *rows = NULL;
    size_t n = 0;
    if (meta_voided(q->r->o.meta, q->registry, q->after, LIST_MAX, a, &rows, &n))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (access_sees(&q->whose, rows[i].entry.repository))
            json_array_append_new(list, row_json(&rows[i]));
    json_t *root =
        json_pack("{s:s, s:s, s:o}", "region", q->r->o.region, "registry", q->name, "voided", list);
    if (root && !q->after)
        refused_add(q, a, root);
    if (root && n == LIST_MAX)
        json_object_set_new(root, "next", json_integer((json_int_t)rows[n - 1].id));
    return root;
}

static void revoked_run(struct http_request *req, struct http_response *resp)
{
    struct revoked_ask *q = req->ctx;
    serve_list(q->r, req, resp, list_json, "the list cannot be read now");
}

static bool number_ok(const char *s, int64_t *out)
{
    char *end;
    if (*s < '0' || *s > '9' || strlen(s) > 18)
        return false;
    *out = strtoll(s, &end, 10);
    return !*end;
}

void revoked_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                   const struct access *whose, struct http_plan *plan)
{
    struct revoked_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *key = arena_strdup(&req->arena, reg->key),
               *name = arena_strdup(&req->arena, reg->name),
               *after = http_query_get(req, "after", 0);
    if (!q || !key || !name) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct revoked_ask){.r = r, .registry = key, .name = name, .whose = *whose};
    if (after && !number_ok(after, &q->after)) {
        serve_refuse(req, &plan->response, 400, "after: not a number");
        return;
    }
    plan->kind = HTTP_PLAN_RUN;
    plan->run = revoked_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
