// SPDX-License-Identifier: Apache-2.0
// GET of what a repository's retention rules would take away now, and why: a dry run over what this
// region holds. The rules themselves run in one region (config/policy.h, policy_runner). On the
// pool, with the topology held.
#include "registry/extension.h"
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/meta_retention.h"

#define ROUNDS_MAX 64 // of a page of which rows are few and far between

struct plan {
    struct op *op;
    struct page_ask page;
    const struct repository_policy *policy;
    // arrays
    json_t *would, *kept;
    size_t n;
    // NULL: that was all
    const char *next;
};

static json_t *row_json(const struct retention_row *r)
{
    json_t *o = json_object();
    x_text(o, "kind", r->tag ? "tag" : "manifest");
    if (r->tag)
        x_text(o, "tag", r->tag);
    x_digest(o, "digest", &r->digest);
    x_text(o, "rule", r->rule);
    x_text(o, "why", r->why);
    x_number(o, "ageSeconds", (uint64_t)(r->age_ms > 0 ? r->age_ms / 1000 : 0));
    x_number(o, "size", r->size_bytes);
    return o;
}

static int round_add(struct plan *p, const char *after)
{
    struct op *op = p->op;
    struct retention_plan found;
    const struct retention_query q = {.registry = op->registry,
                                      .repository = op->route.name,
                                      .policy = p->policy,
                                      .now_ms = clock_wall_ms(),
                                      .max = p->page.n - p->n,
                                      .after = after};
    int rc = meta_retention_plan(op->s->meta, &q, &op->req->arena, &found);
    if (rc)
        return rc;
    for (size_t i = 0; i < found.n; i++) {
        json_t *to = found.rows[i].locked ? p->kept : p->would;
        if (json_array_append_new(to, row_json(&found.rows[i])))
            return ERR_NOMEM;
    }
    p->n += found.n;
    p->next = found.next;
    return 0;
}

static int rows_add(struct plan *p)
{
    const char *after = p->page.last;
    for (int i = 0; i < ROUNDS_MAX && p->n < p->page.n; i++) {
        int rc = round_add(p, after);
        if (rc || !p->next)
            return rc;
        after = p->next;
    }
    return 0;
}

static void plan_answer(struct plan *p, struct http_response *resp, const struct registry *reg)
{
    struct op *op = p->op;
    json_t *root = x_named(op, "region", op->s->region);
    uint8_t runner = policy_runner(op->held, reg, op->route.name);
    x_text(root, "runner", op->held->regions[runner].name);
    x_own(root, "would", json_incref(p->would));
    x_own(root, "kept", json_incref(p->kept));
    x_bool(root, "more", p->next);
    if (p->next)
        x_text(root, "next", p->next);
    x_answer(op, resp, 200, root, "looking at retention");
}

static void retention_read(struct op *op, struct http_response *resp)
{
    const struct registry *reg = topology_registry(op->held, op->registry_name);
    struct plan p = {.op = op, .policy = policy_of(reg, op->route.name)};
    if (!x_page_read(op, resp, &p.page))
        return;
    p.would = json_array();
    p.kept = json_array();
    int rc = p.would && p.kept ? rows_add(&p) : ERR_NOMEM;
    if (rc == ERR_NOTFOUND)
        oci_error(op->req, resp, 404, OCI_NAME_UNKNOWN, NULL, "no such repository");
    else if (rc == ERR_INVAL)
        oci_error(op->req, resp, 400, OCI_UNSUPPORTED, NULL,
                  "last is not what a page of this list ended with");
    else if (rc)
        answer_error(op, resp, rc, "looking at retention");
    else
        plan_answer(&p, resp, reg);
    json_decref(p.would);
    json_decref(p.kept);
}

void x_retention_begin(struct op *op, struct http_plan *plan)
{
    op_hold(op, plan, retention_read);
}
