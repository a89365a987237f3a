// SPDX-License-Identifier: Apache-2.0
// POST /v1/replication/repair-clock?apply=true|false on the admin socket: mends a store that holds
// stamps of the future (store/meta.h, meta_repair_clock). Without apply it only says what it would
// do. What is done is in the log, register by register, with who asked for it. On the pool: it
// blocks.
#include "daemon/app.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/refuse.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static json_t *digest_json(const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    if (d->n)
        return json_string(digest_format(d, text));
    return json_null();
}

static json_t *stamp_json(uint64_t stamp)
{
    char text[CLOCK_TEXT_SIZE];
    if (stamp)
        return json_string(clock_format(hlc_wall_ms(stamp), text));
    return json_null();
}

static json_t *registers_json(const struct void_report *v)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < v->n_list; i++) {
        const struct void_register *x = &v->list[i];
        json_t *o =
            json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?, s:o}", "registry", x->registry, "repository",
                      x->repository, "tag", x->tag, "was", digest_json(&x->was), "is",
                      digest_json(&x->is), "origin", x->origin, "stamped", stamp_json(x->stamp));
        if (!o || json_array_append_new(list, o)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *repair_json(const struct app *app, bool applied, const struct clock_repair *c)
{
    char now[CLOCK_TEXT_SIZE];
    const struct void_report *v = &c->voided;
    json_t *list = registers_json(v);
    if (!list)
        return NULL;
    return json_pack(
        "{s:s, s:s, s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I}", "region",
        app->node->region, "time", clock_format(clock_wall_ms(), now), "applied", applied,
        "clockWas", stamp_json(c->clock_was), "clockIs", stamp_json(c->clock_is), "epoch",
        (json_int_t)c->epoch, "ownEntries", (json_int_t)c->n_own, "announcedAgain",
        (json_int_t)c->n_again, "entries", (json_int_t)v->n_entries, "jobs", (json_int_t)v->n_jobs,
        "tags", (json_int_t)v->n_tags, "manifestsGone", (json_int_t)v->n_manifests, "registers",
        list, "registersLeftOut", (json_int_t)(v->n_tags + v->n_manifests - v->n_list));
}

static void repair_log(const struct http_request *req, const struct clock_repair *c)
{
    char was[CLOCK_TEXT_SIZE], is[CLOCK_TEXT_SIZE];
    log_warn("daemon: repair-clock, by uid %u: %zu entries are void, %zu of them our own, of which "
             "%zu are announced again "
             "in epoch %" PRIu64
             "; %zu tags changed, %zu manifests are gone; the clock was %s and is %s",
             req->peer_uid, c->voided.n_entries, c->n_own, c->n_again, c->epoch, c->voided.n_tags,
             c->voided.n_manifests, clock_format(hlc_wall_ms(c->clock_was), was),
             clock_format(hlc_wall_ms(c->clock_is), is));
}

static int repair(struct app *app, bool apply, struct arena *a, struct clock_repair *out)
{
    if (app->replicator)
        return replicator_repair_clock(app->replicator, apply, a, out);
    return meta_repair_clock(app->meta, apply, a, out);
}

void admin_post_repair_clock(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *text = http_query_get(req, "apply", 0);
    bool apply = text && strcmp(text, "true") == 0;
    if (!app->meta) {
        http_response_text(req, resp, 404, "this node has no store\n");
        return;
    }
    if (app->replicator && !replication_clock_vouched(app->replicator)) {
        http_response_text(req, resp, 409,
                           "nobody vouches for this region's clock, by which it would judge: no "
                           "region that is reached "
                           "agrees with it (meridian status), or none is reached and its kernel "
                           "says that it is not "
                           "synchronised. Set it right first, or let the others be reached\n");
        return;
    }
    struct clock_repair done;
    int rc = repair(app, apply, &req->arena, &done);
    if (rc == ERR_AHEAD) {
        http_response_text(
            req, resp, 409,
            "a good stamp is just ahead of this region's clock: try again in a second\n");
        return;
    }
    if (rc) {
        http_response_text(req, resp, 503,
                           "the store could not be mended: %s; nothing was changed\n",
                           err_text(rc));
        return;
    }
    if (apply)
        repair_log(req, &done);
    serve_json(req, resp, repair_json(app, apply, &done));
}

// POST /v1/replication/alone: an empty store takes writes, though nobody could be asked what it had.
void admin_post_alone(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (!app->replicator) {
        http_response_text(req, resp, 404, "this node has no replicator role\n");
        return;
    }
    int rc = replicator_alone(app->replicator);
    if (rc == ERR_NOTFOUND) {
        http_response_text(req, resp, 409,
                           "writes do not wait for another region's word on an empty store\n");
        return;
    }
    if (rc) {
        http_response_text(req, resp, 503, "%s\n", err_text(rc));
        return;
    }
    log_warn("daemon: the empty store takes writes without another region's word, by uid %u",
             req->peer_uid);
    serve_json(req, resp, json_pack("{s:s, s:b}", "region", app->node->region, "alone", true));
}
