// SPDX-License-Identifier: Apache-2.0
// Manifests by tag or digest (distribution-spec 1.1). What is stored is what is sent back, byte for
// byte and under its own media type, whatever Accept says: converting would change the digest, and
// refusing would tell a client that a manifest does not exist which does. Reads and the put run on
// the pool.
//
// A manifest with `subject` is taken whether or not the subject is here, and OCI-Subject says that
// the list of referrers has it now (referrers.c).
#include "registry/registry_priv.h"

#include "base/err.h"
#include "registry/gather.h"
#include "store/manifest.h"

#include <jansson.h>
#include <string.h>

static int stored_get(struct op *op, struct manifest_row *out)
{
    const struct route *r = &op->route;
    return meta_manifest_get(op->s->meta, op->registry, r->name, r->tag, r->tag ? NULL : &r->digest,
                             &op->req->arena, out);
}

static void manifest_read(struct op *op, struct http_response *resp)
{
    struct manifest_row row;
    int rc = stored_get(op, &row);
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_MANIFEST_UNKNOWN, NULL,
                  "no such manifest in this repository");
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "reading a manifest");
        return;
    }
    if (answer_validators(op, resp, &row.digest))
        return;
    http_response_bytes(resp, 200, NULL, row.content);
    answer_header(op, resp, "Content-Type", "%s", row.media_type);
}

void manifest_read_begin(struct op *op, struct http_plan *plan)
{
    op_manifests_fit(op);
    op_plan(op, plan, HTTP_PLAN_RUN, manifest_read);
}

static void refuse(struct op *op, struct http_response *resp, const char *why)
{
    oci_error(op->req, resp, 400, OCI_MANIFEST_INVALID, NULL, "%s", why);
}

// The header's media type without parameters; without a header, the content's own mediaType. NULL:
// neither.
static const char *content_type(struct op *op)
{
    const char *header = http_header_get(op->req, "Content-Type");
    if (header && *header) {
        size_t n = strcspn(header, ";");
        while (n && (header[n - 1] == ' ' || header[n - 1] == '\t'))
            n--;
        return arena_strndup(&op->req->arena, header, n);
    }
    json_t *root =
        json_loadb((const char *)op->req->body.p, op->req->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *own = json_string_value(json_object_get(root, "mediaType"));
    const char *copy = NULL;
    if (own)
        copy = arena_strdup(&op->req->arena, own);
    json_decref(root);
    return copy;
}

// 0 and the content understood; otherwise answered.
static bool understood(struct op *op, struct http_response *resp, struct manifest *out)
{
    const char *type = content_type(op);
    if (!type || !media_type_ok(type)) {
        refuse(op, resp, "a manifest needs a media type: a Content-Type header or mediaType in it");
        return false;
    }
    struct diag diag;
    diag_init(&diag);
    int rc = manifest_parse(op->req->body, type, &op->req->arena, &diag, out);
    if (rc == ERR_INVAL || rc == ERR_UNSUPPORTED)
        refuse(op, resp, diag.n ? diag.lines[0] : "this is not a manifest");
    else if (rc == ERR_TOOBIG)
        refuse(op, resp, "it refers to too many things");
    else if (rc)
        answer_error(op, resp, rc, "reading a manifest");
    diag_done(&diag);
    return !rc;
}

// If-Match: the present value must be named. The store compares again in its transaction, so two
// that race cannot both win. False: answered.
static bool condition_holds(struct op *op, struct http_response *resp, struct digest *present,
                            bool *out_conditional)
{
    const char *list = http_header_get(op->req, "If-Match");
    *out_conditional = list;
    if (!list)
        return true;
    struct manifest_row row;
    int rc = stored_get(op, &row);
    if (rc && rc != ERR_NOTFOUND) {
        answer_error(op, resp, rc, "reading a manifest");
        return false;
    }
    if (rc || !etag_matches(list, &row.digest, false)) {
        oci_error(op->req, resp, 412, OCI_DENIED, NULL,
                  "the present value is not the one that If-Match names");
        return false;
    }
    *present = row.digest;
    return true;
}

// Tells who pushes an artifact that he need not keep a list of referrers himself.
static void subject_answer(struct op *op, struct http_response *resp, const struct manifest_put *p)
{
    char text[DIGEST_TEXT_SIZE];
    for (size_t i = 0; i < p->n_refs; i++)
        if (p->refs[i].kind == REF_SUBJECT)
            answer_header(op, resp, "OCI-Subject", "%s", digest_format(&p->refs[i].digest, text));
}

static void put_answer(struct op *op, struct http_response *resp, int rc,
                       const struct manifest_put *p, const struct put_result *result)
{
    char text[DIGEST_TEXT_SIZE];
    if (rc == ERR_NOTFOUND) {
        digest_format(&result->missing, text);
        oci_error(op->req, resp, 404, OCI_MANIFEST_BLOB_UNKNOWN, text,
                  "it refers to %s, which is not in this repository", text);
    } else if (rc == ERR_CONFLICT) {
        oci_error(op->req, resp, 412, OCI_DENIED, NULL,
                  "the present value is not the one that If-Match names");
    } else if (rc == ERR_QUOTA) {
        quota_refused(op, resp, &result->over);
    } else if (rc == ERR_AHEAD) {
        if (writes_closed(op, resp))
            return;
        oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL,
                  "what is there now is stamped too far ahead of this region's clock to be "
                  "replaced: wait until the clock "
                  "has come near, or an operator runs meridian replication repair-clock");
        answer_header(op, resp, "Retry-After", "5");
    } else if (rc) {
        answer_error(op, resp, rc, "writing a manifest");
    } else {
        digest_format(&p->digest, text);
        answer_empty(resp, 201);
        answer_header(op, resp, "Location", "%s/v2/%s/manifests/%s", op->here, op->route.name,
                      text);
        answer_header(op, resp, "Docker-Content-Digest", "%s", text);
        answer_header(op, resp, "ETag", "\"%s\"", text);
        subject_answer(op, resp, p);
    }
}

// Twice its size, since the database's log has it too, and what goes with it: references, a tag,
// feed entries.
#define ENTRY_BYTES(n) (2 * (uint64_t)(n) + (64 << 10))

int manifest_put_charged(struct op *op, const struct manifest_put *p, struct put_result *out)
{
    struct space_charge c = {0};
    int rc = space_take_entry(op->s->space, ENTRY_BYTES(p->content.n), &c);
    if (!rc)
        rc = meta_manifest_put(op->s->meta, p, out);
    space_return(&c);
    return rc;
}

// A manifest that is put by tag has a sha256 digest: what clients expect that name no digest.
static enum digest_alg algorithm_wanted(const struct op *op)
{
    if (op->route.tag)
        return DIGEST_SHA256;
    return (enum digest_alg)op->route.digest.alg;
}

static void put(struct op *op, struct http_response *resp)
{
    struct manifest m;
    struct manifest_put p = {.registry = op->registry,
                             .repository = op->route.name,
                             .content = op->req->body,
                             .tag = op->route.tag};
    struct put_result result = {0};
    struct digest present;
    bool conditional;
    if (writes_closed(op, resp))
        return;
    int rc = digest_of(algorithm_wanted(op), p.content.p, p.content.n, &p.digest);
    if (rc) {
        answer_error(op, resp, rc, "writing a manifest");
        return;
    }
    if (!p.tag && !digest_equal(&p.digest, &op->route.digest)) {
        oci_error(op->req, resp, 400, OCI_DIGEST_INVALID, NULL,
                  "the content does not have the digest it is put under");
        return;
    }
    if (!understood(op, resp, &m) || !condition_holds(op, resp, &present, &conditional))
        return;
    p.media_type = m.media_type;
    p.refs = m.refs;
    p.n_refs = m.n_refs;
    if (conditional)
        p.if_match = &present;
    else
        p.if_match = NULL;
    p.sole_replica = op->sole_replica;
    p.limits = &op->limits;
    for (;;) {
        rc = manifest_put_charged(op, &p, &result);
        if (rc != ERR_NOTFOUND)
            break;
        enum gathered how = gather(op, resp, m.refs, m.n_refs);
        if (how == GATHER_ANSWERED)
            return;
        if (how == GATHER_NOTHING)
            break;
    }
    put_answer(op, resp, rc, &p, &result);
}

void manifest_put_begin(struct op *op, struct http_plan *plan)
{
    op_manifests_fit(op);
    // ignoring a condition would be worse than refusing it
    if (http_header_get(op->req, "If-None-Match")) {
        oci_error(op->req, &plan->response, 400, OCI_UNSUPPORTED, NULL,
                  "If-None-Match is understood on reads only");
        return;
    }
    // content under its digest never changes
    if (op->route.tag == NULL && http_header_get(op->req, "If-Match")) {
        oci_error(op->req, &plan->response, 400, OCI_UNSUPPORTED, NULL,
                  "If-Match is understood on writes to a tag only");
        return;
    }
    if (op->req->content_length > (int64_t)op->s->manifest_max_bytes) {
        oci_error(op->req, &plan->response, 413, OCI_SIZE_INVALID, NULL,
                  "a manifest may have at most %llu bytes",
                  (unsigned long long)op->s->manifest_max_bytes);
        return;
    }
    op_plan(op, plan, HTTP_PLAN_COLLECT, put);
    plan->body_max = op->s->manifest_max_bytes;
}
