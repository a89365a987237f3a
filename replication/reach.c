// SPDX-License-Identifier: Apache-2.0
// How far a region is with a registry; see reach.h.
#include "replication/reach.h"

#include "base/err.h"
#include "config/topology_control.h"
#include "replication/backfill_state.h"
#include "replication/replication_priv.h"

#include <string.h>

// ---- its own word ----

static bool is_whole(struct replicator *r, const char *origin, const char *key, struct arena *a)
{
    const char **covered = NULL;
    size_t n = 0;
    return !backfill_state_get(r, origin, a, &covered, &n) && name_in(key, covered, n);
}

struct origins { // as they are at one moment: a mark moves in the transaction that makes the jobs
    struct origin_status *list;
    size_t n;
};

static json_t *origin_json(struct replicator *r, const char *origin, const char *key,
                           const struct origins *all, struct arena *a)
{
    struct feed_mark read = {0};
    uint64_t to_go = 0;
    char cursor[CURSOR_TEXT_SIZE];
    for (size_t i = 0; i < all->n; i++)
        if (!strcmp(all->list[i].origin, origin)) {
            read = all->list[i].read;
            to_go = all->list[i].n_pending;
        }
    return json_pack("{s:s, s:b, s:I}", "read", cursor_format(&read, cursor), "whole",
                     (int)is_whole(r, origin, key, a), "toGo", (json_int_t)to_go);
}

static int origins_add(struct replicator *r, const struct topology *t, const struct registry *reg,
                       const struct origins *all, struct arena *a, json_t *out)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < reg->n_replicas; i++) {
        const char *origin = t->regions[reg->replicas[i].region].name;
        if (!strcmp(origin, r->o.region))
            continue;
        if (json_object_set_new(out, origin, origin_json(r, origin, reg->key, all, a)))
            rc = ERR_NOMEM;
    }
    return rc;
}

static uint64_t lacks_of(const struct origins *all)
{
    uint64_t n = 0;
    for (size_t i = 0; i < all->n; i++)
        n += all->list[i].n_pending;
    return n;
}

static json_t *lacking_json(const struct feed_entry *e)
{
    char digest[DIGEST_TEXT_SIZE];
    json_t *o = json_pack("{s:s, s:s}", "origin", e->origin, "repository", e->repository);
    if (o && e->tag && *e->tag)
        json_object_set_new(o, "tag", json_string(e->tag));
    else if (o)
        json_object_set_new(o, "digest", json_string(digest_format(&e->digest, digest)));
    return o;
}

static int lacking_add(struct replicator *r, const char *key, struct arena *a, json_t *doc)
{
    struct job *list = NULL;
    size_t n = 0;
    json_t *all = json_array();
    int rc = meta_pending(r->o.meta, key, REACH_LACKING_MAX, a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        if (json_array_append_new(all, lacking_json(&list[i].entry)))
            rc = ERR_NOMEM;
    if (rc) {
        json_decref(all);
        return rc;
    }
    if (json_object_set_new(doc, "lacking", all))
        return ERR_NOMEM;
    return 0;
}

static json_t *reach_make(struct replicator *r, const struct topology *t,
                          const struct registry *reg, struct arena *a)
{
    struct feed_mark head = {0};
    struct origins all = {0};
    char cursor[CURSOR_TEXT_SIZE];
    json_t *origins = json_object();
    int rc = meta_head(r->o.meta, r->o.region, &head);
    if (!rc)
        rc = meta_origins_of(r->o.meta, reg->key, a, &all.list, &all.n);
    if (!rc)
        rc = origins_add(r, t, reg, &all, a, origins);
    if (!rc)
        return json_pack("{s:s, s:s, s:I, s:o}", "region", r->o.region, "head",
                         cursor_format(&head, cursor), "lacks", (json_int_t)lacks_of(&all),
                         "origins", origins);
    json_decref(origins);
    return NULL;
}

static json_t *word_make(struct replicator *r, const char *key, bool names)
{
    json_t *doc = NULL;
    struct arena a;
    if (!r || !life_enter(r->life))
        return NULL;
    arena_init(&a, 0);
    struct topology *t = snapshot_get(r->o.topology);
    const struct registry *reg = topology_registry_by_key(t, key);
    const struct region *self = topology_region(t, r->o.region);
    if (reg && self && registry_replica(reg, self->index))
        doc = reach_make(r, t, reg, &a);
    if (doc && names && lacking_add(r, key, &a, doc)) {
        json_decref(doc);
        doc = NULL;
    }
    snapshot_unref(t);
    arena_done(&a);
    life_leave(r->life);
    return doc;
}

void *replication_reach_json(struct replicator *r, const char *key)
{
    return word_make(r, key, true);
}

// ---- two words ----

static bool mark_of(const json_t *o, const char *key, struct feed_mark *out)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text && !cursor_parse(text, out);
}

bool reach_covers(const json_t *reader, const json_t *origin, uint64_t *out_to_go)
{
    const char *name = json_string_value(json_object_get(origin, "region"));
    const json_t *of = NULL;
    struct feed_mark head, read;
    *out_to_go = 0;
    if (name)
        of = json_object_get(json_object_get(reader, "origins"), name);
    if (!of || !mark_of(origin, "head", &head) || !mark_of(of, "read", &read))
        return false;
    json_int_t to_go = json_integer_value(json_object_get(of, "toGo"));
    if (to_go > 0)
        *out_to_go = (uint64_t)to_go;
    return !to_go && json_is_true(json_object_get(of, "whole")) && mark_order(&read, &head) >= 0;
}

uint64_t reach_orphaned(const json_t *reader, const json_t *words)
{
    json_int_t n = json_integer_value(json_object_get(reader, "lacks"));
    const char *origin;
    json_t *of;
    json_object_foreach(json_object_get(reader, "origins"), origin, of)
    {
        json_int_t to_go = json_integer_value(json_object_get(of, "toGo"));
        if (json_object_get(words, origin) && to_go > 0)
            n -= to_go;
    }
    if (n > 0)
        return (uint64_t)n;
    return 0;
}

// ---- the route ----

struct reach_ask {
    struct replicator *r;
    const char *key;
    // the writer asks
    bool names;
};

static void reach_run(struct http_request *req, struct http_response *resp)
{
    const struct reach_ask *q = req->ctx;
    json_t *doc = word_make(q->r, q->key, q->names);
    if (doc)
        http_response_json(req, resp, 200, doc);
    else
        serve_refuse(req, resp, 404, "registry: this region does not hold it");
}

// The writer's operations wait for the content of every registry.
static bool may_ask(const struct topology *t, const struct region *peer, const char *key)
{
    const struct registry *reg = topology_registry_by_key(t, key);
    if (topology_writer(t) == peer)
        return true;
    return reg && registry_replica(reg, peer->index);
}

void reach_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                 const struct region *peer, struct http_plan *plan)
{
    const char *key = http_query_get(req, "registry", 0);
    plan->kind = HTTP_PLAN_REPLY;
    if (!key || !*key) {
        serve_refuse(req, &plan->response, 400, "registry: which one?");
        return;
    }
    if (!may_ask(t, peer, key)) {
        serve_refuse(req, &plan->response, 403, "registry: not one that the asking region holds");
        return;
    }
    struct reach_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *copy = arena_strdup(&req->arena, key);
    if (!q || !copy) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct reach_ask){.r = r, .key = copy, .names = topology_writer(t) == peer};
    plan->kind = HTTP_PLAN_RUN;
    plan->run = reach_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
