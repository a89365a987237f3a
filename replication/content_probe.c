// SPDX-License-Identifier: Apache-2.0
// GET /replication/v1/have: what this region holds of a tag or a manifest, for `meridian
// replication wait`, which fixes the register's value in one region and asks the others. "Here, or
// newer" is the register's own order (base/register.h): of regions that wrote at the same moment
// one wins, and the stamps alone do not tell which. What was deleted is newer than what it ended. A long poll is a stream that ends with its only
// line: no thread waits; commits wake it.
#include "replication/replication_priv.h"
#include "replication/response_producer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/register.h"
#include "store/meta_floor.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define HAVE_WAIT_MAX_MS 25000

struct content_probe {
    struct replicator *r;
    struct arena arena;
    // the registry's key, and its name for people
    const char *registry, *name;
    const char *repository, *tag;
    // by_value: all of `wanted` was given
    bool by_digest, by_stamp, by_value;
    struct register_value wanted;
    int64_t until_mono;
};

static void content_probe_free(void *ctx)
{
    struct content_probe *h = ctx;
    arena_done(&h->arena);
    free(h);
}

// What was asked for is not here, or not any more: something newer is.
static bool tag_fits(const struct content_probe *h, const struct meta_register *here)
{
    if (h->by_value)
        return register_order(&here->top, &h->wanted) >= 0;
    if (h->by_digest && here->live && digest_equal(&h->wanted.digest, &here->top.digest))
        return true;
    if (h->by_stamp) // who gives a stamp alone is told by stamps
        return here->top.stamp >= h->wanted.stamp;
    return here->live && !h->by_digest;
}

// Is what is here what was asked for, or newer?
static bool content_probe_fits(const struct content_probe *h, const struct meta_register *here)
{
    if (h->tag)
        return tag_fits(h, here);
    if (h->wanted.gone)
        return here->top.gone && here->top.stamp >= h->wanted.stamp;
    return here->live || (h->by_stamp && here->top.gone && here->top.stamp > h->wanted.stamp);
}

// What was asked for was read and has no room here, or nothing that is read can be noted. It may
// come yet: whoever waits goes on, and can tell why if it did not.
static void no_space_add(struct content_probe *h, json_t *o)
{
    struct replicator *r = h->r;
    uint64_t room = 0;
    bool parked = h->by_digest && meta_parked_for(r->o.meta, h->registry, h->repository,
                                                  &h->wanted.digest, &room) == 0;
    if (parked)
        json_object_set_new(o, "noSpace", json_pack("{s:I}", "neededBytes", (json_int_t)room));
    else if (room_is_full(r->room))
        json_object_set_new(o, "noSpace", json_object());
}

static void number_add(json_t *o, const char *name, uint64_t v)
{
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, v);
    json_object_set_new(o, name, json_string(number));
}

// What the register says, as JSON members.
static void register_add(json_t *o, const struct meta_register *here)
{
    const struct register_value *v = &here->top;
    char text[DIGEST_TEXT_SIZE];
    if (v->digest.n)
        json_object_set_new(o, "digest", json_string(digest_format(&v->digest, text)));
    json_object_set_new(o, "origin", json_string(v->origin));
    number_add(o, "stamp", v->stamp);
    number_add(o, "epoch", v->epoch);
    if (v->create_only) {
        json_object_set_new(o, "createOnly", json_true());
        number_add(o, "generation", v->generation);
    }
    if (v->gone)
        json_object_set_new(o, "gone", json_true());
    else if (!here->live)
        json_object_set_new(o, "dead", json_true());
}

// What was written in the future does not come, however long the caller waits, until this region's
// clock has come near.
static bool is_of_the_future(const struct content_probe *h)
{
    return h->by_stamp && h->wanted.stamp > meta_stamp_limit(h->r->o.meta);
}

struct look { // at what is here
    // as JSON; NULL: it failed, with rc
    json_t *json;
    int rc;
    // nothing more is worth waiting for
    bool fits;
};

static int register_read(struct content_probe *h, struct arena *a, struct meta_register *out)
{
    struct meta *m = h->r->o.meta;
    if (h->tag)
        return meta_tag_register(m, h->registry, h->repository, h->tag, a, out);
    return meta_manifest_register(m, h->registry, h->repository, &h->wanted.digest, a, out);
}

// `here` NULL: nothing is.
static struct look look_make(struct content_probe *h, const struct meta_register *here)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:b}", "registry", h->name, "repository", h->repository,
                          "region", h->r->o.region, "found", here && here->live);
    struct look look = {.json = o};
    if (!o) {
        look.rc = ERR_NOMEM;
        return look;
    }
    if (h->tag)
        json_object_set_new(o, "tag", json_string(h->tag));
    if (here) {
        register_add(o, here);
        look.fits = content_probe_fits(h, here);
    }
    if (!look.fits && is_of_the_future(h)) {
        json_object_set_new(o, "clockAhead", json_true());
        look.fits = true;
    }
    if (!look.fits)
        no_space_add(h, o);
    return look;
}

// Nothing is here, and what is waited for lies below the floor: it was applied everywhere, and deleted.
static bool was_dropped(const struct content_probe *h)
{
    struct meta_floor floor;
    if (!h->by_stamp || meta_floor_get(h->r->o.meta, h->registry, &floor))
        return false;
    return h->wanted.stamp <= floor.floor;
}

static struct look content_probe_look(struct content_probe *h)
{
    struct arena a;
    struct meta_register here;
    struct look look = {0};
    arena_init(&a, 0);
    int rc = register_read(h, &a, &here);
    if (rc && rc != ERR_NOTFOUND)
        look.rc = rc;
    else
        look = look_make(h, rc ? NULL : &here);
    if (rc == ERR_NOTFOUND && look.json && was_dropped(h)) {
        json_object_set_new(look.json, "gone", json_true());
        look.fits = true;
    }
    arena_done(&a);
    return look;
}

static bool is_over(const struct content_probe *h, const struct look *look)
{
    return look->fits || clock_mono_ms() >= h->until_mono;
}

static bool content_probe_produce(void *ctx, struct buf *out, bool *out_end)
{
    struct content_probe *h = ctx;
    struct look look = content_probe_look(h);
    *out_end = look.rc || is_over(h, &look);
    if (!look.rc && *out_end) {
        char *text = json_dumps(look.json, JSON_COMPACT);
        if (text)
            buf_str(out, text);
        free(text);
    }
    json_decref(look.json);
    return false;
}

static const struct response_producer_ops content_probe_ops = {.produce = content_probe_produce,
                                                               .free_ctx = content_probe_free,
                                                               .buffer_bytes = 8192,
                                                               .tick_ms = 1000};

static void content_probe_run(struct http_request *req, struct http_response *resp)
{
    struct content_probe *h = req->ctx;
    struct replicator *r = h->r;
    if (!life_enter(r->life)) {
        serve_refuse(req, resp, 503, "stopping");
        return;
    }
    struct look look = content_probe_look(h);
    if (look.rc) {
        serve_refuse(req, resp, 503, err_text(look.rc));
    } else if (is_over(h, &look)) {
        http_response_json(req, resp, 200, look.json);
    } else {
        json_decref(look.json);
        int rc = response_producer_start(r, &content_probe_ops, h, NULL, "application/json", resp);
        if (rc)
            serve_refuse(req, resp, 503, err_text(rc));
        else
            req->ctx = NULL; // the stream owns it
    }
    life_leave(r->life);
}

static void content_probe_done(struct http_request *req)
{
    if (req->ctx)
        content_probe_free(req->ctx);
}

static int number_parse(const char *s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; s[n] >= '0' && s[n] <= '9'; n++) {
        uint64_t d = (uint64_t)(s[n] - '0');
        if (v > (max - d) / 10)
            return ERR_RANGE;
        v = v * 10 + d;
    }
    if (!n || s[n])
        return ERR_INVAL;
    *out = v;
    return 0;
}

// What was asked for. NULL, or what is wrong with the question.
static const char *wanted_parse(struct content_probe *h, struct http_request *req)
{
    const char *tag = http_query_get(req, "tag", 0), *digest = http_query_get(req, "digest", 0);
    const char *stamp = http_query_get(req, "stamp", 0), *epoch = http_query_get(req, "epoch", 0);
    const char *origin = http_query_get(req, "origin", 0);
    const char *generation = http_query_get(req, "generation", 0);
    if (!tag && !digest)
        return "tag or digest: one is needed";
    if (tag && !entry_tag_ok(tag))
        return "tag: not a tag";
    if (digest && digest_parse(digest, strlen(digest), &h->wanted.digest))
        return "digest: not a digest";
    if (stamp && number_parse(stamp, UINT64_MAX, &h->wanted.stamp))
        return "stamp: not a number";
    if (epoch && number_parse(epoch, UINT64_MAX, &h->wanted.epoch))
        return "epoch: not a number";
    if (generation && number_parse(generation, UINT64_MAX, &h->wanted.generation))
        return "generation: not a number";
    if (origin && !hostname_region_ok(origin))
        return "origin: not a region's name";
    h->by_digest = digest != NULL;
    h->by_stamp = stamp != NULL;
    h->wanted.gone = http_query_get(req, "gone", 0) != NULL;
    h->wanted.create_only = generation != NULL;
    h->by_value = (digest || h->wanted.gone) && stamp && origin && epoch;
    if (tag)
        h->tag = arena_strdup(&h->arena, tag);
    if (origin)
        h->wanted.origin = arena_strdup(&h->arena, origin);
    bool copied = (h->tag || !tag) && (h->wanted.origin || !origin);
    if (!copied)
        return "out of memory";
    return NULL;
}

static const char *content_probe_parse(struct content_probe *h, struct http_request *req)
{
    const char *wrong = wanted_parse(h, req);
    if (wrong)
        return wrong;
    const char *wait = http_query_get(req, "wait_ms", 0);
    uint64_t wait_ms = 0;
    if (wait && number_parse(wait, HAVE_WAIT_MAX_MS, &wait_ms))
        return "wait_ms: a number up to 25000";
    h->until_mono = clock_mono_ms() + (int64_t)wait_ms;
    return NULL;
}

void content_probe_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                         const char *repository, struct http_plan *plan)
{
    struct content_probe *h = mem_zalloc(sizeof *h);
    if (!h) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    h->r = r;
    arena_init(&h->arena, 16 << 10);
    h->registry = arena_strdup(&h->arena, reg->key);
    h->name = arena_strdup(&h->arena, reg->name);
    h->repository = arena_strdup(&h->arena, repository);
    const char *wrong = "out of memory";
    if (h->registry && h->name && h->repository)
        wrong = content_probe_parse(h, req);
    if (wrong) {
        serve_refuse(req, &plan->response, 400, wrong);
        content_probe_free(h);
        return;
    }
    plan->kind = HTTP_PLAN_RUN;
    plan->run = content_probe_run;
    plan->done = content_probe_done;
    plan->ctx = h;
    plan->pool = r->o.pool;
}
