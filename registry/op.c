// SPDX-License-Identifier: Apache-2.0
// One request on its way (`struct op`): how it is made from path, host and topology, and how it
// goes to the pool. Handlers and the front door stand above this file.
#include "registry/registry_priv.h"

#include "base/err.h"
#include "config/endpoints.h"
#include "config/policy.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

// Of those that wait for a thread on which to wait: a moment's worth, no queue.
#define QUEUE_MAX 8

// Can clients find this region's own name of that kind? One that only the edge knows, as it comes or
// goes, is no place to send them to.
static bool is_public_here(const struct region *here, const struct registry *reg,
                           enum name_kind kind)
{
    return here && registry_name_is_public(reg, kind, here->index);
}

// Where the bytes of the blob come from: a registry with data endpoints sends clients there, and
// those that called a private name to the private one. Other regions get them here. So does a HEAD:
// the specification wants 200 of it, with the size, and a client that reaches the registry's names
// only learns what is here.
static int blob_host_set(struct op *op, const struct topology *t, const struct region *here,
                         const struct registry *reg, const struct hostname *host, const char *port)
{
    char name[HOSTNAME_TEXT_SIZE];
    enum name_kind kind = NAME_DATA;
    if (op->route.kind != ROUTE_BLOB || op->req->method != HTTP_GET)
        return 0;
    if (op->req->listener == LISTENER_PEER || !is_public_here(here, reg, NAME_DATA))
        return 0;
    if (hostname_public_of(host->kind) == NAME_DATA)
        return 0;
    if (hostname_public_of(host->kind) != host->kind)
        kind = NAME_DATA_PRIVATE;
    if (hostname_format(kind, t->domain, host->label, op->s->region, NULL, name))
        return ERR_INVAL;
    op->port = arena_strdup(&op->req->arena, port);
    op->blob_host = arena_strdup(&op->req->arena, name);
    if (!op->blob_host || !op->port)
        return ERR_NOMEM;
    return 0;
}

// An upload that began on the global name stays there: enabling regional endpoints changes nothing
// for a client that reaches the global name only. A registry may say otherwise.
static bool upload_moves(const struct region *here, const struct registry *reg,
                         const struct hostname *host)
{
    if (hostname_public_of(host->kind) != NAME_GLOBAL)
        return false;
    return policy_push_move(reg) == PUSH_MOVE_REGIONAL && is_public_here(here, reg, NAME_REGIONAL);
}

// Where this request was sent to, and where uploads go on: on the host called, or at this region's
// own name.
static int hosts_set(struct op *op, const struct topology *t, const struct region *here,
                     const struct registry *reg, const struct hostname *host)
{
    char called[HOSTNAME_TEXT_SIZE], upload[HOSTNAME_TEXT_SIZE], port[8] = "";
    struct arena *a = &op->req->arena;
    enum name_kind upload_kind = host->kind;
    const char *upload_region = host->region;
    op->sign = upload_moves(here, reg, host);
    if (op->sign) {
        upload_region = op->s->region;
        upload_kind = NAME_REGIONAL_PRIVATE;
        if (host->kind == NAME_GLOBAL)
            upload_kind = NAME_REGIONAL;
    }
    op->may_go_anywhere = hostname_public_of(host->kind) == NAME_GLOBAL;
    if (hostname_format(host->kind, t->domain, host->label, host->region, host->stamp, called))
        return ERR_INVAL;
    if (hostname_format(upload_kind, t->domain, host->label, upload_region, NULL, upload))
        return ERR_INVAL;
    if (t->https_port != 443)
        snprintf(port, sizeof port, ":%u", t->https_port);
    op->here = arena_printf(a, "https://%s%s", called, port);
    op->upload_host = arena_strdup(a, upload);
    op->upload_here = arena_printf(a, "https://%s%s", upload, port);
    op->registry = arena_strdup(a, reg->key);
    if (reg->incarnation)
        op->registry_name = arena_strdup(a, reg->name);
    else
        op->registry_name = op->registry; // the key is the name
    op->label = arena_strdup(a, reg->label);
    if (!op->here || !op->upload_host || !op->upload_here || !op->registry || !op->label ||
        !op->registry_name)
        return ERR_NOMEM;
    return blob_host_set(op, t, here, reg, host, port);
}

static bool leaves(const struct region *here, const struct registry *reg)
{
    const struct replica *rep = NULL;
    if (here)
        rep = registry_replica(reg, here->index);
    return rep && replica_is_leaving(rep);
}

int op_new(struct registry_service *s, struct http_request *req, const struct topology *t,
           const struct registry *reg, const struct hostname *host, struct op **out)
{
    const struct region *here = topology_region(t, s->region); // NULL: it is named no more
    struct op *op = arena_alloc(&req->arena, sizeof *op);
    if (!op)
        return ERR_NOMEM;
    op->s = s;
    op->req = req;
    op->principal = "";
    op->topology = t;
    op->sole_replica = reg->n_replicas == 1;
    op->copies_ahead = policy_copy_ahead(reg) == COPY_AHEAD_ENABLED;
    bool reads = METHOD_BIT(req->method) & METHODS_READ;
    op->leaves = !reads && leaves(here, reg);
    if (!reads)
        op->ack_peers = policy_ack_peers(reg);
    op->ack_timeout_ms = t->replication.ack_timeout_ms;
    int rc = route_parse(&req->arena, req->path, &op->route);
    if (rc)
        return rc;
    rc = hosts_set(op, t, here, reg, host);
    if (rc)
        return rc;
    op->limits.registry_bytes = policy_quota(reg);
    if (op->route.name)
        op->limits.repository_bytes = policy_of(reg, op->route.name)->quota_bytes;
    *out = op;
    return 0;
}

static void op_run(struct http_request *req, struct http_response *resp)
{
    struct op *op = req->ctx;
    op->act(op, resp);
    int rc = op->failed; // an answer without one of its headers would say something else
    if (rc) {
        *resp = (struct http_response){0};
        answer_error(op, resp, rc, "answering");
    }
    if (!resp->again && !ack_hold(op, resp) && !resp->parked)
        op_ended(op, resp);
}

static void op_done(struct http_request *req)
{
    ack_done(req->ctx);
}

void op_plan(struct op *op, struct http_plan *plan, enum http_plan_kind kind,
             void (*act)(struct op *op, struct http_response *resp))
{
    assert(act && kind != HTTP_PLAN_REPLY); // what is answered already has no handler
    op->act = act;
    plan->kind = kind;
    plan->run = op_run;
    plan->ctx = op;
    plan->pool = op->s->pool;
    plan->name = op->principal;
    if (op->ack_peers)
        plan->done = op_done;
}

struct hot_key op_hot_key(const struct op *op)
{
    const struct route *r = &op->route;
    struct hot_key key = {.registry = op->registry, .repository = r->name, .tag = r->tag};
    if (!r->tag)
        key.digest = &r->digest;
    return key;
}

void op_manifests_fit(struct op *op)
{
    if (op->req->arena.max_bytes)
        op->req->arena.max_bytes += 2 * op->s->manifest_max_bytes + (4u << 20);
}

bool op_may_wait(const struct op *op)
{
    const struct registry_service *s = op->s;
    return s->waiting && !op->req->hurried && pool_waiting(s->waiting) < QUEUE_MAX;
}

static int immutable_copy(struct op *op, const struct policy_globs *of)
{
    struct arena *a = &op->req->arena;
    const char **list = arena_array(a, of->n, sizeof *list);
    for (size_t i = 0; list && i < of->n; i++) {
        list[i] = arena_strdup(a, of->list[i]);
        if (!list[i])
            return ERR_NOMEM;
    }
    if (!list)
        return ERR_NOMEM;
    op->policy.immutable = (struct policy_globs){list, of->n};
    return 0;
}

int op_policy_set(struct op *op, const struct registry *reg)
{
    bool reads = METHOD_BIT(op->req->method) & METHODS_READ;
    if (reads || !op->route.name)
        return 0;
    const struct repository_policy *p = policy_of(reg, op->route.name);
    op->policy.sparse = p->sparse;
    if (!p->immutable.n)
        return 0;
    return immutable_copy(op, &p->immutable);
}

bool op_tag_immutable(const struct op *op, const char *tag)
{
    const struct policy_globs *g = &op->policy.immutable;
    if (op->adds_only)
        return true;
    for (size_t i = 0; i < g->n; i++)
        if (policy_glob_matches(g->list[i], tag))
            return true;
    return false;
}

bool op_query_digest(struct op *op, const char *key)
{
    const char *text = http_query_get(op->req, key, 0);
    return text && !digest_parse(text, strlen(text), &op->digest);
}

bool op_query_algorithm(struct op *op)
{
    const char *text = http_query_get(op->req, DIGEST_ALGORITHM_PARAMETER, 0);
    return !text || digest_alg_parse(text, strlen(text), &op->io.alg);
}
