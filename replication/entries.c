// SPDX-License-Identifier: Apache-2.0
// GET /replication/v1/entries: the latest entries of a region's feed in one registry, newest first,
// as this region holds them, of the repositories that the caller sees: who wrote what and when, by which key, and the place and running hash
// that a revocation of that key would name. Entries that this program does not know stand among
// them ("known": false). On the pool.
#include "replication/replication_priv.h"
#include "store/entry_kind.h"

#include "base/clock.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#define ENTRIES_MAX 200 // of one answer

static const char *subject_name(enum entry_subject subject)
{
    switch (subject) {
    case SUBJECT_MANIFEST:
        return "manifest";
    case SUBJECT_TAG:
        return "tag";
    case SUBJECT_REPOSITORY:
        return "repository";
    case SUBJECT_OTHER:
        break;
    }
    return "other";
}

static bool given(const char *s)
{
    return s && *s;
}

// What it changes, beside its subject.
static void change_add(const struct feed_entry *e, json_t *o)
{
    json_object_set_new(o, "subject", json_string(subject_name(e->subject)));
    if (given(e->attribute))
        json_object_set_new(o, "attribute", json_string(e->attribute));
    if (given(e->tag))
        json_object_set_new(o, "tag", json_string(e->tag));
    if (entry_gone(e))
        json_object_set_new(o, "gone", json_true());
    if (e->create_only)
        json_object_set_new(o, "createOnly", json_true());
    if (entry_has(e, ENTRY_IS_LOCK))
        json_object_set_new(
            o, "lock", json_pack("{s:b, s:b}", "write", e->lock_write, "delete", e->lock_delete));
    if (given(e->rule))
        json_object_set_new(o, "rule", json_string(e->rule));
    if (given(e->by))
        json_object_set_new(o, "by", json_string(e->by));
    if (e->kind == ENTRY_UNKNOWN)
        json_object_set_new(o, "known", json_false());
    if (e->must)
        json_object_set_new(o, "must", json_true());
}

json_t *entry_json(const struct feed_entry *e)
{
    char at[CLOCK_TEXT_SIZE], digest[DIGEST_TEXT_SIZE], hash[2 * ENTRY_HASH_BYTES + 1];
    hex_format(e->hash, ENTRY_HASH_BYTES, hash);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "repository", e->repository,
                          "writtenAt", clock_format(hlc_wall_ms(entry_register_stamp(e)), at),
                          "origin", e->origin, "key", e->key, "epoch", (json_int_t)e->epoch, "seq",
                          (json_int_t)e->seq, "hash", hash);
    if (!o)
        return NULL;
    if (e->digest.n)
        json_object_set_new(o, "digest", json_string(digest_format(&e->digest, digest)));
    change_add(e, o);
    return o;
}

struct entries_ask {
    struct replicator *r;
    // by its key, and its name
    const char *registry, *name, *origin;
    // epoch 0: from the end
    struct feed_mark before;
    // other repositories are left out
    struct access whose;
};

static void *list_json(void *ask, struct arena *a)
{
    const struct entries_ask *q = ask;
    struct feed_entry *e = NULL;
    struct feed_mark next;
    size_t n = 0;
    if (meta_feed_tail(q->r->o.meta, q->origin, q->registry, &q->before, ENTRIES_MAX, a, &e, &n,
                       &next))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (access_sees(&q->whose, e[i].repository))
            json_array_append_new(list, entry_json(&e[i]));
    json_t *root = json_pack("{s:s, s:s, s:s, s:o}", "region", q->r->o.region, "registry", q->name,
                             "origin", q->origin, "entries", list);
    if (root && next.epoch)
        json_object_set_new(
            root, "next",
            json_pack("{s:I, s:I}", "epoch", (json_int_t)next.epoch, "seq", (json_int_t)next.seq));
    return root;
}

static void entries_run(struct http_request *req, struct http_response *resp)
{
    struct entries_ask *q = req->ctx;
    serve_list(q->r, req, resp, list_json, "the feed cannot be read now");
}

static bool number_ok(const char *s, uint64_t *out)
{
    if (!s)
        return true;
    size_t n = strspn(s, "0123456789");
    if (!n || s[n] || n > 18)
        return false;
    *out = strtoull(s, NULL, 10);
    return true;
}

void entries_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                   const struct registry *reg, const struct access *whose, struct http_plan *plan)
{
    struct entries_ask *q = arena_alloc(&req->arena, sizeof *q);
    const char *origin = http_query_get(req, "origin", 0),
               *key = arena_strdup(&req->arena, reg->key),
               *name = arena_strdup(&req->arena, reg->name);
    const struct region *of = NULL;
    if (origin)
        of = topology_region(t, origin);
    if (!q || !key || !name) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    *q = (struct entries_ask){.r = r, .registry = key, .name = name, .whose = *whose};
    if (!of || !registry_replica(reg, of->index)) {
        serve_refuse(req, &plan->response, 404, "origin: no region that holds this registry");
        return;
    }
    q->origin = arena_strdup(&req->arena, of->name);
    if (!q->origin || !number_ok(http_query_get(req, "epoch", 0), &q->before.epoch) ||
        !number_ok(http_query_get(req, "seq", 0), &q->before.seq)) {
        serve_refuse(req, &plan->response, 400, "epoch, seq: the place before which to begin");
        return;
    }
    plan->kind = HTTP_PLAN_RUN;
    plan->run = entries_run;
    plan->ctx = q;
    plan->pool = r->o.pool;
}
