// SPDX-License-Identifier: Apache-2.0
// GET /replication/v1/differences: what comparisons of state found in a registry, of the repositories
// that the caller sees (replication/differences.h). On the pool.
#include "replication/comparer.h"
#include "replication/differences.h"
#include "replication/replication_priv.h"

#include "base/err.h"

struct differences_ask {
    struct replicator *r;
    // by its key, and its name
    const char *registry, *name;
    // other repositories are left out
    struct access whose;
};

static bool may_see(const void *ctx, const char *repository)
{
    return access_sees(ctx, repository);
}

static void *list_json(void *ask, struct arena *a)
{
    const struct differences_ask *q = ask;
    (void)a;
    return json_pack(
        "{s:s, s:s, s:o}", "region", q->r->o.region, "registry", q->name, "differences",
        differences_list(comparer_differences(q->r->comparer), q->registry, may_see, &q->whose));
}

static void differences_run(struct http_request *req, struct http_response *resp)
{
    struct differences_ask *q = req->ctx;
    serve_list(q->r, req, resp, list_json, "the differences cannot be read now");
}

void differences_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                       const struct access *whose, struct http_plan *plan)
{
    struct differences_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *key = arena_strdup(&req->arena, reg->key);
    const char *name = arena_strdup(&req->arena, reg->name);
    if (!q || !key || !name) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct differences_ask){.r = r, .registry = key, .name = name, .whose = *whose};
    plan->kind = HTTP_PLAN_RUN;
    plan->run = differences_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
