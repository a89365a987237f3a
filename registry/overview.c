// SPDX-License-Identifier: Apache-2.0
// GET of what a registry and its repositories use here, with the limits of their settings. Runs on
// the pool, and holds the topology for as long: the settings of each repository are asked for.
#include "registry/extension.h"
#include "registry/registry_priv.h"
#include "registry/visible.h"

#include "base/err.h"
#include "base/snapshot.h"
#include "store/meta_delete.h"

#define COUNT_STEP 1000

// The registry may have gone from a newer topology, but not from the one that is held.
static const struct registry *held_registry(const struct op *op)
{
    return topology_registry(op->held, op->registry_name);
}

static void quota_set(json_t *o, uint64_t quota, uint64_t use)
{
    if (quota)
        x_number(o, "quota", quota);
    else
        x_own(o, "quota", json_null());
    x_bool(o, "over", quota && use > quota);
}

static void usage_set(json_t *o, const struct usage *u)
{
    x_number(o, "bytes", u->bytes);
    x_number(o, "blobs", u->blobs);
    x_number(o, "manifests", u->manifests);
    x_number(o, "tags", u->tags);
}

// --- the registry ---

static int repositories_count(struct op *op, struct arena *a, uint64_t *out)
{
    struct usage_row *rows;
    size_t n = COUNT_STEP;
    const char *after = NULL;
    uint64_t total = 0;
    while (n == COUNT_STEP) {
        int rc = meta_usage_list(op->s->meta, op->registry, after, COUNT_STEP, a, &rows, &n);
        if (rc)
            return rc;
        total += n;
        if (n)
            after = rows[n - 1].repository;
    }
    *out = total;
    return 0;
}

static int registry_find(struct op *op, struct usage *u, uint64_t *out_repositories)
{
    struct arena a;
    arena_init(&a, 0);
    int rc = repositories_count(op, &a, out_repositories);
    arena_done(&a);
    if (rc)
        return rc;
    return meta_usage_get(op->s->meta, op->registry, NULL, u);
}

static void usage_read(struct op *op, struct http_response *resp)
{
    struct usage u;
    uint64_t repositories;
    int rc = registry_find(op, &u, &repositories);
    if (rc) {
        answer_error(op, resp, rc, "reading what is used");
        return;
    }
    json_t *root = x_named(op, "region", op->s->region);
    usage_set(root, &u);
    x_number(root, "repositories", repositories);
    quota_set(root, policy_quota(held_registry(op)), u.bytes);
    x_answer(op, resp, 200, root, "reading what is used");
}

// --- its repositories ---

static json_t *row_json(const struct registry *reg, const struct usage_row *r)
{
    json_t *o = json_object();
    x_text(o, "repository", r->repository);
    usage_set(o, &r->usage);
    quota_set(o, policy_of(reg, r->repository)->quota_bytes, r->usage.bytes);
    return o;
}

struct rows { // those of a page that the caller may see
    struct op *op;
    struct usage_row *list;
    size_t n;
    // what was read last
    struct usage_row *read;
};

static int rows_more(void *ctx, const char *after, size_t n, size_t *out_n)
{
    struct rows *r = ctx;
    return meta_usage_list(r->op->s->meta, r->op->registry, after, n, &r->op->req->arena, &r->read,
                           out_n);
}

static const char *rows_name(void *ctx, size_t i)
{
    return ((struct rows *)ctx)->read[i].repository;
}

static void rows_take(void *ctx, size_t i)
{
    struct rows *r = ctx;
    r->list[r->n++] = r->read[i];
}

static int rows_find(struct op *op, const struct page_ask *page, struct usage_row **out,
                     size_t *out_n)
{
    struct rows r = {.op = op};
    const struct visible_list list = {rows_more, rows_name, rows_take, &r};
    r.list = arena_array(&op->req->arena, page->n + 1, sizeof *r.list);
    if (!r.list)
        return ERR_NOMEM;
    int rc = visible_page(&op->access, page->last, page->n + 1, &op->req->arena, &list);
    *out = r.list;
    *out_n = r.n;
    return rc;
}

static void repositories_read(struct op *op, struct http_response *resp)
{
    struct page_ask page;
    struct usage_row *rows;
    size_t n;
    if (!x_page_read(op, resp, &page))
        return;
    int rc = rows_find(op, &page, &rows, &n);
    if (rc) {
        answer_error(op, resp, rc, "listing repositories");
        return;
    }
    json_t *root = x_named(op, "region", op->s->region), *list = json_array();
    for (size_t i = 0; list && i < n && i < page.n; i++)
        json_array_append_new(list, row_json(held_registry(op), &rows[i]));
    x_own(root, "repositories", list);
    if (page.n && n > page.n)
        x_page_next(op, resp, root, "/registry/v1/repositories", &page,
                    rows[page.n - 1].repository);
    x_answer(op, resp, 200, root, "listing repositories");
}

// --- one of them ---

static json_t *globs_json(const struct policy_globs *g)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < g->n; i++)
        json_array_append_new(list, json_string(g->list[i]));
    return list;
}

static json_t *policy_json(const struct op *op, const struct registry *reg)
{
    const struct repository_policy *p = policy_of(reg, op->route.name);
    json_t *o = json_object();
    x_text(o, "match", p->match);
    x_own(o, "immutable", globs_json(&p->immutable));
    x_text(o, "sparse", p->sparse ? "allowed" : "refused");
    x_bool(o, "retention", policy_retains(p));
    uint8_t runner = policy_runner(op->held, reg, op->route.name);
    x_text(o, "runner", op->held->regions[runner].name);
    return o;
}

static int repository_find(struct op *op, struct usage *u, struct lock_state *lock)
{
    int rc =
        meta_lock_get(op->s->meta, op->registry, op->route.name, NULL, NULL, &op->req->arena, lock);
    if (rc)
        return rc;
    return meta_usage_get(op->s->meta, op->registry, op->route.name, u);
}

static void repository_read(struct op *op, struct http_response *resp)
{
    const struct registry *reg = held_registry(op);
    struct usage u;
    struct lock_state lock;
    int rc = repository_find(op, &u, &lock);
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_NAME_UNKNOWN, NULL, "no such repository");
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "reading a repository");
        return;
    }
    json_t *root = x_named(op, "region", op->s->region);
    usage_set(root, &u);
    quota_set(root, policy_of(reg, op->route.name)->quota_bytes, u.bytes);
    x_lock(root, "lock", lock.write, lock.del);
    x_own(root, "policy", policy_json(op, reg));
    x_answer(op, resp, 200, root, "reading a repository");
}

// --- holding the topology ---

static void held_done(struct http_request *req)
{
    struct op *op = req->ctx;
    snapshot_unref(op->held);
}

void op_hold(struct op *op, struct http_plan *plan,
             void (*act)(struct op *op, struct http_response *resp))
{
    op_plan(op, plan, HTTP_PLAN_RUN, act);
    op->held = snapshot_ref((struct topology *)op->topology);
    plan->done = held_done;
}

// Of the whole registry, which is not for whoever sees a part of it.
void x_usage_begin(struct op *op, struct http_plan *plan)
{
    if (access_sees_all(&op->access))
        op_hold(op, plan, usage_read);
    else
        oci_error(op->req, &plan->response, 403, OCI_DENIED, NULL,
                  "what the registry uses is shown to who may see all of its catalogue");
}

void x_repositories_begin(struct op *op, struct http_plan *plan)
{
    op_hold(op, plan, repositories_read);
}

void x_repository_begin(struct op *op, struct http_plan *plan)
{
    op_hold(op, plan, repository_read);
}
