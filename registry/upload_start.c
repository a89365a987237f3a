// SPDX-License-Identifier: Apache-2.0
// POST: starts an upload, mounts a blob, or takes a whole one. `*_begin` on an HTTP thread, the
// rest on the pool.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/publish.h"

#include <inttypes.h>
#include <string.h>

static void uploads_full(struct op *op, struct http_response *resp, enum upload_full which)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    const char *who = "the registry", *setting = "uploads.per_registry", *idle = "your own";
    uint64_t bound = op->s->uploads.of_registry;
    if (which == UPLOAD_FULL_PRINCIPAL) {
        who = op->principal;
        setting = "uploads.per_principal";
        idle = "them";
        bound = op->s->uploads.of_principal;
    }
    log_limited(&limit, LOG_WARN,
                "registry: %s has %" PRIu64 " uploads open in %s, as many as are allowed (%s)", who,
                bound, op->registry_name, setting);
    oci_error(op->req, resp, 429, OCI_TOOMANYREQUESTS, NULL,
              "%s has %" PRIu64
              " uploads open here, as many as are allowed at once, and none of %s is idle: end or "
              "cancel some (one that is left alone for %u minutes is discarded)",
              *who ? who : "nobody in particular", bound, idle, op->s->upload_idle_s / 60);
    answer_header(op, resp, "Retry-After", "30");
}

// Before a client sends bytes for nothing; the end of the upload is judged again. True: answered.
static bool quota_short(struct op *op, struct http_response *resp)
{
    struct usage_over over;
    int rc = meta_quota_look(op->s->meta, op->registry, op->route.name, &op->limits, 1, &over);
    if (rc == ERR_QUOTA)
        quota_refused(op, resp, &over);
    return rc == ERR_QUOTA;
}

static void start(struct op *op, struct http_response *resp)
{
    struct upload_row row = {.id = op->io.id,
                             .registry = op->registry,
                             .repository = op->route.name,
                             .principal = op->principal,
                             .started_ms = clock_wall_ms(),
                             .touched_ms = clock_mono_ms()};
    if (writes_closed(op, resp) || disk_short(op, resp) || quota_short(op, resp))
        return;
    enum upload_full full;
    struct room room;
    room_init(&room, op->s);
    int rc = meta_upload_create(op->s->meta, &row, &room.bounds, &full);
    room_done(&room);
    if (rc == ERR_FULL) {
        uploads_full(op, resp, full);
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "starting an upload");
        return;
    }
    answer_empty(resp, 202);
    upload_state(op, resp, 0);
}

static bool may_pull(void *ctx, const char *repository)
{
    const struct op *op = ctx;
    return access_actions(&op->access, repository) & ACTION_PULL;
}

// Finds the blob in another repository that the caller may pull; with no `from`, in any such.
static int mount_source(struct op *op)
{
    struct blob_here here;
    int rc = ERR_NOTFOUND;
    if (!op->mount_from)
        rc = meta_blob_look_any(op->s->meta, op->registry, &op->digest, may_pull, op, &here);
    else if (may_pull(op, op->mount_from))
        rc = meta_blob_look(op->s->meta, op->registry, op->mount_from, &op->digest, &here);
    if (rc)
        return rc;
    // damaged: the push that follows replaces it
    return blob_is_here(op->s->blobs, &here.name, here.size);
}

// A lease of a blob of another repository.
// When that is not possible it is an ordinary start, so that a mount does not reveal what other
// repositories hold.
static void mount(struct op *op, struct http_response *resp)
{
    const struct lease_add add = {.registry = op->registry,
                                  .repository = op->route.name,
                                  .digest = op->digest,
                                  .limits = &op->limits};
    struct lease_result result;
    if (writes_closed(op, resp))
        return;
    int rc = mount_source(op);
    if (!rc)
        rc = meta_lease_add(op->s->meta, &add, &result);
    if (rc == ERR_NOTFOUND) {
        start(op, resp);
        return;
    }
    op->event = "mount";
    if (rc == ERR_QUOTA)
        quota_refused(op, resp, &result.over);
    else if (rc)
        answer_error(op, resp, rc, "mounting a blob");
    else
        upload_created(op, resp, &op->digest);
}

static int id_new(struct op *op)
{
    char hex[UPLOAD_ID_HEX + 1];
    int rc = random_hex(hex, UPLOAD_ID_HEX / 2);
    if (rc)
        return rc;
    op->io.id = arena_printf(&op->req->arena, "%s.%s", op->s->region, hex);
    if (op->io.id)
        return 0;
    return ERR_NOMEM;
}

// POST ?digest-algorithm=: what the digest at the end will be of. False: answered.
static bool algorithm_read(struct op *op, struct http_plan *plan)
{
    if (op_query_algorithm(op))
        return true;
    upload_digest_refused(op, &plan->response,
                          "not a digest-algorithm that is spoken here (sha256, sha512)");
    return false;
}

void upload_mount_read(struct op *op)
{
    const char *from = http_query_get(op->req, "from", 0);
    op->mount = http_query_get(op->req, "mount", 0) != NULL;
    if (op->mount && from && repository_name_ok(from, strlen(from)))
        op->mount_from = from;
    else if (from && *from)
        op->mount = false; // from nowhere: an ordinary start
}

void upload_post_begin(struct op *op, struct http_plan *plan)
{
    int rc = id_new(op);
    if (rc) {
        answer_error(op, &plan->response, rc, "starting an upload");
        return;
    }
    if (op->adds_only)
        op->mount = false; // it would tell what is there
    if (op->mount) {       // a malformed mount is an ordinary start, as the specification wants
        op_plan(op, plan, HTTP_PLAN_RUN, op_query_digest(op, "mount") ? mount : start);
        return;
    }
    if (!algorithm_read(op, plan))
        return;
    if (!http_query_get(op->req, "digest", 0)) {
        op_plan(op, plan, HTTP_PLAN_RUN, start);
        return;
    }
    if (!op_query_digest(op, "digest")) {
        upload_digest_refused(op, &plan->response,
                              "not a digest that is spoken here (" DIGEST_FORMS ")");
        return;
    }
    op->io.fresh = true;
    op->io.alg = (enum digest_alg)op->digest.alg;
    op_plan(op, plan, HTTP_PLAN_STREAM, upload_finish);
    plan->sink = &upload_sink;
    plan->done = upload_done;
    plan->goes_on = true;
}
