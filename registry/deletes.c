// SPDX-License-Identifier: Apache-2.0
// DELETE of tags and manifests (distribution-spec 1.1, "Content Management"), of all of a
// repository's, and the restore of a tag to a digest that it had. Runs on the pool.
//
// Deleting a manifest removes the tags that lead to it; a tag alone leaves the manifest, which stays
// pullable by its digest. What a live index refers to is 409 with the indexes: they go first. A
// blob is never deleted by a client (route table: 405): its bytes go by collection, and a deletion
// of one here would break another image in another region.
#include "registry/extension.h"
#include "registry/registry_priv.h"

#include "base/err.h"
#include "store/meta_delete.h"

#include <string.h>

#define REPOSITORY_STEP 100 // deletions of one call
#define KEPT_MAX 100

static struct delete_request request_of(const struct op *op)
{
    struct delete_request r = {
        .registry = op->registry, .repository = op->route.name, .by = op->principal};
    if (op->route.tag)
        r.tag = op->route.tag;
    else
        r.digest = &op->route.digest;
    return r;
}

// "sha256:…, sha256:…": NULL when there is no memory for it.
static const char *digests_text(struct arena *a, const struct digest *list, size_t n)
{
    char one[DIGEST_TEXT_SIZE];
    const char *text = "";
    for (size_t i = 0; text && i < n; i++)
        text = arena_printf(a, "%s%s%s", text, i ? ", " : "", digest_format(&list[i], one));
    return text;
}

static void parents_answer(struct op *op, struct http_response *resp,
                           const struct delete_result *out)
{
    const char *list = digests_text(&op->req->arena, out->parents, out->n_parents);
    if (!list) {
        op->failed = ERR_NOMEM;
        return;
    }
    oci_error(op->req, resp, 409, OCI_DENIED, list,
              "an index in this repository refers to it: delete first %.300s", list);
}

static void delete_refused(struct op *op, struct http_response *resp, int rc,
                           const struct delete_result *out)
{
    if (rc == ERR_NOTFOUND)
        oci_error(op->req, resp, 404, OCI_MANIFEST_UNKNOWN, NULL,
                  "no such manifest in this repository");
    else if (rc == ERR_CONFLICT && out->n_parents)
        parents_answer(op, resp, out);
    else if (rc == ERR_CONFLICT)
        oci_error(op->req, resp, 412, OCI_DENIED, NULL,
                  "the present value is not the one that If-Match names");
    else if (rc == ERR_LOCKED)
        oci_error(op->req, resp, 403, OCI_DENIED, NULL,
                  "it is locked against deletion, or a tag that leads to it or the repository is");
    else
        answer_error(op, resp, rc, "deleting a manifest");
}

// If-Match of a tag: its present digest must be named. The store compares again in its transaction.
// False: answered.
static bool condition_read(struct op *op, struct http_response *resp, struct delete_request *r,
                           struct digest *present)
{
    const char *list = http_header_get(op->req, "If-Match");
    struct manifest_row row;
    if (!list)
        return true;
    int rc = meta_manifest_get(op->s->meta, op->registry, op->route.name, op->route.tag, NULL,
                               &op->req->arena, &row);
    if (rc && rc != ERR_NOTFOUND) {
        answer_error(op, resp, rc, "reading a manifest");
        return false;
    }
    if (rc || !etag_matches(list, &row.digest, false)) {
        delete_refused(op, resp, ERR_CONFLICT, &(struct delete_result){0});
        return false;
    }
    *present = row.digest;
    r->if_match = present;
    return true;
}

static void manifest_delete(struct op *op, struct http_response *resp)
{
    struct delete_request r = request_of(op);
    struct delete_result out = {0};
    struct digest present;
    int rc;
    if (writes_closed(op, resp))
        return;
    bool repeats = ack_repeats(op, r.tag, r.digest, true);
    if (!repeats && !condition_read(op, resp, &r, &present))
        return;
    // what it deleted has gone: what is put there from now on is not its own
    if (repeats)
        rc = 0;
    else if (r.tag)
        rc = meta_tag_delete(op->s->meta, &r, &op->req->arena, &out);
    else
        rc = meta_manifest_delete(op->s->meta, &r, &op->req->arena, &out);
    // a process before this one may have deleted it: 404 says that it has gone, so that waits too
    if (rc == ERR_NOTFOUND && ack_deleted_here(op, r.tag, r.digest))
        ack_note(op, r.tag, r.digest);
    if (rc) {
        delete_refused(op, resp, rc, &out);
        return;
    }
    ack_note(op, r.tag, r.digest);
    answer_empty(resp, 202);
}

void manifest_delete_begin(struct op *op, struct http_plan *plan)
{
    // content under its digest never changes, so there is no value to guard
    if (!op->route.tag && http_header_get(op->req, "If-Match")) {
        oci_error(op->req, &plan->response, 400, OCI_UNSUPPORTED, NULL,
                  "If-Match is understood on tags only");
        return;
    }
    op_manifests_fit(op);
    op_plan(op, plan, HTTP_PLAN_RUN, manifest_delete);
}

// --- all of a repository ---

struct sweep {
    struct op *op;
    size_t n_tags, n_manifests;
    // array
    json_t *kept;
    bool more;
};

static void kept_add(struct sweep *s, const char *key, const char *name, const char *why)
{
    json_t *o = json_object();
    if (json_array_size(s->kept) >= KEPT_MAX) {
        json_decref(o);
        return;
    }
    x_text(o, key, name);
    x_text(o, "why", why);
    json_array_append_new(s->kept, o);
}

#define ROUNDS_MAX 4

static bool is_full(const struct sweep *s)
{
    return s->n_tags + s->n_manifests >= REPOSITORY_STEP;
}

// 0 also when this one stays.
static int tag_sweep(struct sweep *s, const char *tag)
{
    struct op *op = s->op;
    struct delete_result out = {0};
    struct delete_request r = {
        .registry = op->registry, .repository = op->route.name, .tag = tag, .by = op->principal};
    struct arena a; // what a deletion tells is not read here
    arena_init(&a, 0);
    int rc = meta_tag_delete(op->s->meta, &r, &a, &out);
    arena_done(&a);
    if (!rc)
        ack_note(op, tag, NULL);
    if (!rc)
        s->n_tags++;
    else if (rc == ERR_LOCKED)
        kept_add(s, "tag", tag, "locked");
    else if (rc != ERR_NOTFOUND)
        return rc;
    return 0;
}

static int tags_sweep(struct sweep *s)
{
    struct op *op = s->op;
    const char *after = NULL, **tags;
    size_t n;
    for (;;) {
        int rc = meta_tags_list(op->s->meta, op->registry, op->route.name, after, REPOSITORY_STEP,
                                &op->req->arena, &tags, &n);
        for (size_t i = 0; !rc && i < n; i++) {
            if (is_full(s)) {
                s->more = true;
                return 0;
            }
            rc = tag_sweep(s, tags[i]);
        }
        if (rc || n < REPOSITORY_STEP)
            return rc;
        after = tags[n - 1];
    }
}

// One that an index still refers to goes in a later round, when the index has gone.
static int manifest_sweep(struct sweep *s, const struct manifest_detail *m, bool *out_held)
{
    struct op *op = s->op;
    char text[DIGEST_TEXT_SIZE];
    struct delete_result out = {0};
    struct delete_request r = {.registry = op->registry,
                               .repository = op->route.name,
                               .digest = &m->digest,
                               .by = op->principal};
    struct arena a;
    arena_init(&a, 0);
    int rc = meta_manifest_delete(op->s->meta, &r, &a, &out);
    arena_done(&a);
    if (!rc)
        ack_note(op, NULL, &m->digest);
    if (!rc)
        s->n_manifests++;
    else if (rc == ERR_LOCKED)
        kept_add(s, "digest", digest_format(&m->digest, text), "locked");
    else if (rc == ERR_CONFLICT)
        *out_held = true;
    else if (rc != ERR_NOTFOUND)
        return rc;
    return 0;
}

static int manifests_round(struct sweep *s, bool *out_held)
{
    struct op *op = s->op;
    struct digest after;
    bool begun = false;
    struct manifest_detail *rows;
    size_t n;
    for (;;) {
        int rc =
            meta_manifests_list(op->s->meta, op->registry, op->route.name, begun ? &after : NULL,
                                REPOSITORY_STEP, &op->req->arena, &rows, &n);
        for (size_t i = 0; !rc && i < n; i++) {
            if (is_full(s)) {
                s->more = true;
                return 0;
            }
            rc = manifest_sweep(s, &rows[i], out_held);
        }
        if (rc || n < REPOSITORY_STEP)
            return rc;
        after = rows[n - 1].digest;
        begun = true;
    }
}

// Rounds until one deletes nothing: what is still held then, by an index that is locked, stays.
// Each tries what is held anew, so one request makes few of them.
static int manifests_sweep(struct sweep *s)
{
    for (int i = 0; i < ROUNDS_MAX; i++) {
        size_t before = s->n_manifests;
        bool held = false;
        int rc = manifests_round(s, &held);
        if (rc || s->more || !held || s->n_manifests == before)
            return rc;
    }
    s->more = true;
    return 0;
}

static int all_sweep(struct sweep *s)
{
    int rc = tags_sweep(s);
    if (rc || s->more)
        return rc;
    return manifests_sweep(s);
}

static void sweep_answer(struct sweep *s, struct http_response *resp)
{
    json_t *root = x_named(s->op, NULL, NULL);
    x_number(root, "deletedTags", s->n_tags);
    x_number(root, "deletedManifests", s->n_manifests);
    x_own(root, "kept", json_incref(s->kept));
    x_bool(root, "more", s->more);
    x_answer(s->op, resp, 200, root, "deleting a repository");
}

void x_repository_delete(struct op *op, struct http_response *resp)
{
    struct sweep s = {.op = op};
    if (writes_closed(op, resp))
        return;
    s.kept = json_array();
    int rc = all_sweep(&s);
    if (rc == ERR_NOTFOUND)
        oci_error(op->req, resp, 404, OCI_NAME_UNKNOWN, NULL, "no such repository");
    else if (rc)
        answer_error(op, resp, rc, "deleting a repository");
    else
        sweep_answer(&s, resp);
    json_decref(s.kept);
}

// --- a tag goes back to a digest that it had ---

static int was_version(struct op *op)
{
    struct tag_version *list;
    size_t n;
    int rc = meta_tag_history(op->s->meta, op->registry, op->route.name, op->route.tag,
                              META_HISTORY_MAX, &op->req->arena, &list, &n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (digest_equal(&list[i].digest, &op->route.digest))
            return 0;
    return ERR_NOTFOUND;
}

void x_restore(struct op *op, struct http_response *resp)
{
    struct put_result out = {0};
    const struct tag_put put = {.registry = op->registry,
                                .repository = op->route.name,
                                .tag = op->route.tag,
                                .digest = op->route.digest,
                                .create_only = op_tag_immutable(op, op->route.tag),
                                .by = op->principal};
    if (writes_closed(op, resp))
        return;
    int rc = was_version(op);
    if (!rc)
        rc = meta_tag_put(op->s->meta, &put, &out);
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_MANIFEST_UNKNOWN, NULL,
                  "this digest is not one that the tag had and that is still here");
        return;
    }
    if (rc) {
        put_refused(op, resp, rc, &out);
        return;
    }
    ack_note(op, op->route.tag, NULL);
    json_t *root = x_named(op, "tag", op->route.tag);
    x_digest(root, "digest", &op->route.digest);
    x_value(op, root, out.stamp, op->s->region, op->principal);
    x_answer(op, resp, 201, root, "restoring a tag");
}
