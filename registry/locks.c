// SPDX-License-Identifier: Apache-2.0
// Locks of repositories, tags and manifests: GET and PUT of /registry/v1/lock. Who may delete may
// lock, and unlock: a lock guards against mistakes, not against people. Runs on the pool.
#include "registry/extension.h"
#include "registry/registry_priv.h"

#include "base/err.h"
#include "store/meta_delete.h"

#define LOCK_BODY_MAX 4096

static const struct digest *digest_named(const struct op *op)
{
    return op->route.digest.n ? &op->route.digest : NULL;
}

// What was to be locked is not there, or the store could not.
static void lock_refused(struct op *op, struct http_response *resp, int rc, const char *what)
{
    const char *kind = "repository";
    if (op->route.tag)
        kind = "tag in this repository";
    else if (op->route.digest.n)
        kind = "manifest in this repository";
    if (rc != ERR_NOTFOUND) {
        answer_error(op, resp, rc, what);
        return;
    }
    enum oci_code code = OCI_MANIFEST_UNKNOWN;
    if (!op->route.tag && !op->route.digest.n)
        code = OCI_NAME_UNKNOWN;
    oci_error(op->req, resp, 404, code, NULL, "no such %s", kind);
}

static void lock_answer(struct op *op, struct http_response *resp)
{
    struct lock_state now;
    int rc = meta_lock_get(op->s->meta, op->registry, op->route.name, op->route.tag,
                           digest_named(op), &op->req->arena, &now);
    if (rc) {
        lock_refused(op, resp, rc, "reading a lock");
        return;
    }
    json_t *root = x_named(op, op->route.tag ? "tag" : NULL, op->route.tag);
    if (op->route.digest.n)
        x_digest(root, "digest", &op->route.digest);
    x_lock(root, "locked", now.write, now.del);
    x_value(op, root, now.stamp, now.origin, now.by);
    x_answer(op, resp, 200, root, "reading a lock");
}

static bool both_named(struct op *op, struct http_response *resp)
{
    if (!op->route.tag || !op->route.digest.n)
        return false;
    oci_error(op->req, resp, 400, OCI_UNSUPPORTED, NULL,
              "a lock is of a tag or of a digest, or of the repository when neither is given");
    return true;
}

void x_lock_read(struct op *op, struct http_response *resp)
{
    if (!both_named(op, resp))
        lock_answer(op, resp);
}

// {"write":…,"delete":…}, both given, nothing else. False: answered.
static bool body_read(struct op *op, struct http_response *resp, struct lock_request *out)
{
    json_t *top =
        json_loadb((const char *)op->req->body.p, op->req->body.n, JSON_REJECT_DUPLICATES, NULL);
    json_t *write = json_object_get(top, "write"), *del = json_object_get(top, "delete");
    bool good = json_is_boolean(write) && json_is_boolean(del) && json_object_size(top) == 2;
    out->write = json_is_true(write);
    out->del = json_is_true(del);
    json_decref(top);
    if (!good)
        oci_error(op->req, resp, 400, OCI_UNSUPPORTED, NULL,
                  "the body is {\"write\":true or false,\"delete\":true or false}");
    return good;
}

static void lock_put(struct op *op, struct http_response *resp)
{
    struct lock_request want = {.registry = op->registry,
                                .repository = op->route.name,
                                .tag = op->route.tag,
                                .digest = digest_named(op),
                                .by = op->principal};
    uint64_t stamp;
    if (both_named(op, resp) || !body_read(op, resp, &want) || region_closed(op, resp))
        return;
    if (!want.write && !want.del)
        op->event = "unlock";
    int rc = meta_lock_set(op->s->meta, &want, &stamp);
    if (rc)
        lock_refused(op, resp, rc, "setting a lock");
    else
        lock_answer(op, resp);
}

void x_lock_put_begin(struct op *op, struct http_plan *plan)
{
    op_plan(op, plan, HTTP_PLAN_COLLECT, lock_put);
    plan->body_max = LOCK_BODY_MAX;
}
