// SPDX-License-Identifier: Apache-2.0
// PUT of a manifest by tag or digest (distribution-spec 1.1, "Pushing Manifests"; of its development
// version the `tag` parameters with OCI-Tag). Its begin runs on an HTTP thread, the rest on the pool.
//
// By tag the digest is sha256, which clients expect that name none; `digest=` in the query names
// another. A push may name several tags (`tag=`, repeatedly): they take the value in one
// transaction, and OCI-Tag says each. A tag is created only where the client asks for that
// (If-None-Match: *, 412) or the repository's settings do (immutable, 409); the same digest is 201
// in both cases, and writes nothing.
//
// A manifest with `subject` is taken whether or not the subject is here, and OCI-Subject says that
// the list of referrers has it now (referrers.c).
#include "registry/registry_priv.h"

#include "base/err.h"
#include "registry/gather.h"
#include "store/manifest.h"

#include <assert.h>
#include <jansson.h>
#include <string.h>

#define TAG_PARAMETERS_MAX (4 * META_PUT_TAGS_MAX) // those that are named twice, too

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
// that race cannot both win. The repeat of a write that was not acknowledged (ack.h) finds its own
// value there: the first one met the condition. False: answered.
static bool condition_holds(struct op *op, struct http_response *resp, const struct manifest_put *p,
                            struct digest *present, bool *out_conditional)
{
    const char *list = http_header_get(op->req, "If-Match");
    *out_conditional = list;
    if (!list)
        return true;
    if (ack_repeats(op, p->tag, &p->digest, false)) {
        *present = p->digest;
        return true;
    }
    struct manifest_row row;
    int rc = op_manifest_get(op, &row);
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

// --- answers ---

// Tells who pushes an artifact that he need not keep a list of referrers himself.
static void subject_answer(struct op *op, struct http_response *resp, const struct manifest_put *p)
{
    char text[DIGEST_TEXT_SIZE];
    for (size_t i = 0; i < p->n_refs; i++)
        if (p->refs[i].kind == REF_SUBJECT)
            answer_header(op, resp, "OCI-Subject", "%s", digest_format(&p->refs[i].digest, text));
}

static void created_answer(struct op *op, struct http_response *resp, const struct manifest_put *p)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(&p->digest, text);
    answer_empty(resp, 201);
    answer_header(op, resp, "Location", "%s/v2/%s/manifests/%s", op->here, op->route.name, text);
    answer_header(op, resp, "Docker-Content-Digest", "%s", text);
    answer_header(op, resp, "ETag", "\"%s\"", text);
    for (size_t i = 0; i < p->n_tags; i++)
        answer_header(op, resp, "OCI-Tag", "%s", p->tags[i]);
    subject_answer(op, resp, p);
}

static void exists_answer(struct op *op, struct http_response *resp, const char *tag)
{
    if (op->adds_only)
        oci_error(op->req, resp, 409, OCI_DENIED, NULL,
                  "tag %s is there already, and this token may add, and not replace: push under a "
                  "new tag",
                  tag);
    else if (op_tag_immutable(op, tag))
        oci_error(op->req, resp, 409, OCI_DENIED, NULL,
                  "tag %s is immutable in this repository, and shows another digest: push under a "
                  "new tag",
                  tag);
    else
        oci_error(op->req, resp, 412, OCI_DENIED, NULL,
                  "tag %s is there already, with another digest", tag);
}

static void locked_answer(struct op *op, struct http_response *resp, const char *tag)
{
    if (*tag)
        oci_error(op->req, resp, 403, OCI_DENIED, NULL,
                  "tag %s is locked for writing: unlock it first", tag);
    else
        oci_error(op->req, resp, 403, OCI_DENIED, NULL,
                  "this manifest, or its repository, is locked for writing: unlock it first");
}

static void missing_answer(struct op *op, struct http_response *resp, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(d, text);
    oci_error(op->req, resp, 404, OCI_MANIFEST_BLOB_UNKNOWN, text,
              "it refers to %s, which is not in this repository", text);
}

void put_refused(struct op *op, struct http_response *resp, int rc, const struct put_result *result)
{
    switch (rc) {
    case ERR_NOTFOUND:
        missing_answer(op, resp, &result->missing);
        return;
    case ERR_CONFLICT:
        oci_error(op->req, resp, 412, OCI_DENIED, NULL,
                  "the present value is not the one that If-Match names");
        return;
    case ERR_EXISTS:
        assert(result->exists);
        exists_answer(op, resp, result->exists);
        return;
    case ERR_LOCKED:
        assert(result->locked);
        locked_answer(op, resp, result->locked);
        return;
    case ERR_QUOTA:
        quota_refused(op, resp, &result->over);
        return;
    default:
        answer_error(op, resp, rc, "writing a manifest");
    }
}

// --- the put ---

// Twice its size, since the database's log has it too, and what goes with it: references, tags,
// feed entries.
#define ENTRY_BYTES(n, n_tags) (2 * (uint64_t)(n) + (64 << 10) + ((uint64_t)(n_tags) << 12))

int manifest_put_charged(struct op *op, const struct manifest_put *p, struct put_result *out)
{
    struct space_charge c = {0};
    int rc = space_take_entry(op->s->space, ENTRY_BYTES(p->content.n, p->n_tags), &c);
    if (!rc)
        rc = meta_manifest_put(op->s->meta, p, out);
    space_return(&c);
    return rc;
}

// Has the content the digest that the client names, if it names one? False: answered.
static bool digest_take(struct op *op, struct http_response *resp, struct manifest_put *p)
{
    const struct digest *named = NULL;
    enum digest_alg alg = DIGEST_SHA256;
    if (!op->route.tag)
        named = &op->route.digest;
    else if (op->digest.n)
        named = &op->digest;
    if (named)
        alg = (enum digest_alg)named->alg;
    int rc = digest_of(alg, p->content.p, p->content.n, &p->digest);
    if (rc) {
        answer_error(op, resp, rc, "writing a manifest");
        return false;
    }
    if (!named || digest_equal(&p->digest, named))
        return true;
    oci_error(op->req, resp, 400, OCI_DIGEST_INVALID, NULL,
              "the content does not have the digest it is put under");
    return false;
}

// What went to another region is fetched from there. Children that no region has may be absent
// where the repository's settings allow that. ERR_CANCELED: answered, or it runs again elsewhere.
static int put_gathered(struct op *op, struct http_response *resp, struct manifest_put *p,
                        struct put_result *result)
{
    for (;;) {
        int rc = manifest_put_charged(op, p, result);
        if (rc != ERR_NOTFOUND || p->allow_absent)
            return rc;
        switch (gather(op, resp, p->refs, p->n_refs)) {
        case GATHER_ANSWERED:
            return ERR_CANCELED;
        case GATHER_NOTHING:
            p->allow_absent = op->policy.sparse;
            if (!p->allow_absent)
                return rc;
            break;
        case GATHER_AGAIN:
            break;
        }
    }
}

static bool is_immutable(void *ctx, const char *tag)
{
    return op_tag_immutable(ctx, tag);
}

// Tags of a put, the path's first; NULL: no more.
static const char *tag_at(const struct manifest_put *p, size_t i)
{
    if (p->tag && !i--)
        return p->tag;
    return i < p->n_tags ? p->tags[i] : NULL;
}

static void note_written(struct op *op, const struct manifest_put *p)
{
    const char *tag;
    ack_note(op, NULL, &p->digest);
    for (size_t i = 0; (tag = tag_at(p, i)); i++)
        ack_note(op, tag, NULL);
}

static void put(struct op *op, struct http_response *resp)
{
    struct manifest m;
    struct manifest_put p = {.registry = op->registry,
                             .repository = op->route.name,
                             .content = op->req->body,
                             .tag = op->route.tag,
                             .tags = op->tags,
                             .n_tags = op->n_tags,
                             .create_only = http_header_get(op->req, "If-None-Match"),
                             .is_immutable = is_immutable,
                             .immutable_ctx = op,
                             .by = op->principal,
                             .limits = &op->limits,
                             .sole_replica = op->sole_replica};
    struct put_result result = {0};
    struct digest present;
    bool conditional;
    if (writes_closed(op, resp) || !digest_take(op, resp, &p))
        return;
    if (!understood(op, resp, &m))
        return;
    p.media_type = m.media_type;
    p.refs = m.refs;
    p.n_refs = m.n_refs;
    if (!condition_holds(op, resp, &p, &present, &conditional))
        return;
    if (conditional)
        p.if_match = &present;
    int rc = put_gathered(op, resp, &p, &result);
    if (rc == ERR_CANCELED)
        return;
    if (rc) {
        put_refused(op, resp, rc, &result);
        return;
    }
    note_written(op, &p);
    created_answer(op, resp, &p);
}

// --- what is asked for ---

static void bad_request(struct op *op, struct http_plan *plan, enum oci_code code, const char *why)
{
    oci_error(op->req, &plan->response, 400, code, NULL, "%s", why);
}

// A condition that is ignored would be worse than one that is refused. False: answered.
static bool conditions_ok(struct op *op, struct http_plan *plan)
{
    const char *none = http_header_get(op->req, "If-None-Match");
    bool match = http_header_get(op->req, "If-Match");
    if (none && strcmp(none, "*") != 0) {
        bad_request(op, plan, OCI_UNSUPPORTED,
                    "of If-None-Match a write understands \"*\" only: create, do not replace");
        return false;
    }
    // content under its digest never changes
    if (none && !op->route.tag && !op->n_tags) {
        bad_request(op, plan, OCI_UNSUPPORTED,
                    "If-None-Match is understood on writes to a tag only");
        return false;
    }
    if (match && (!op->route.tag || op->n_tags)) {
        bad_request(op, plan, OCI_UNSUPPORTED, "If-Match is understood on writes to one tag only");
        return false;
    }
    return true;
}

static void too_many_tags(struct op *op, struct http_plan *plan)
{
    oci_error(op->req, &plan->response, 414, OCI_UNSUPPORTED, NULL, "a push names at most %d tags",
              META_PUT_TAGS_MAX);
}

static bool tag_is_named(const struct op *op, const char *tag)
{
    if (op->route.tag && !strcmp(op->route.tag, tag))
        return true;
    for (size_t i = 0; i < op->n_tags; i++)
        if (!strcmp(op->tags[i], tag))
            return true;
    return false;
}

// The `tag` parameters, each once. False: answered.
static bool tag_parameters_read(struct op *op, struct http_plan *plan)
{
    const char *tag;
    for (size_t i = 0; (tag = http_query_get(op->req, "tag", i)); i++) {
        if (i == TAG_PARAMETERS_MAX) {
            too_many_tags(op, plan);
            return false;
        }
        if (!tag_ok(tag)) {
            bad_request(op, plan, OCI_MANIFEST_INVALID, "a tag parameter is not a tag");
            return false;
        }
        if (tag_is_named(op, tag))
            continue;
        if (op->n_tags == META_PUT_TAGS_MAX) {
            too_many_tags(op, plan);
            return false;
        }
        op->tags[op->n_tags++] = tag;
    }
    return true;
}

// False: answered.
static bool query_read(struct op *op, struct http_plan *plan)
{
    op->tags = arena_array(&op->req->arena, META_PUT_TAGS_MAX, sizeof *op->tags);
    if (!op->tags) {
        answer_error(op, &plan->response, ERR_NOMEM, "writing a manifest");
        return false;
    }
    if (op->route.tag && http_query_get(op->req, "digest", 0) && !op_query_digest(op, "digest")) {
        bad_request(op, plan, OCI_DIGEST_INVALID,
                    "not a digest that is spoken here (" DIGEST_FORMS ")");
        return false;
    }
    return tag_parameters_read(op, plan);
}

void manifest_put_begin(struct op *op, struct http_plan *plan)
{
    op_manifests_fit(op);
    if (!query_read(op, plan) || !conditions_ok(op, plan))
        return;
    if (op->req->content_length > (int64_t)op->s->manifest_max_bytes) {
        oci_error(op->req, &plan->response, 413, OCI_SIZE_INVALID, NULL,
                  "a manifest may have at most %llu bytes",
                  (unsigned long long)op->s->manifest_max_bytes);
        return;
    }
    op_plan(op, plan, HTTP_PLAN_COLLECT, put);
    plan->body_max = op->s->manifest_max_bytes;
}
