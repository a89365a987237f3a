// SPDX-License-Identifier: Apache-2.0
// What failures mean on the wire: the one file of the room that maps error codes to HTTP status and
// OCI code (distribution-spec 1.1, "Error Codes"). Also validators and conditions (RFC 9110
// sections 8.8, 13). Any thread.
#include "registry/registry_priv.h"

#include "base/err.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void answer_header(struct op *op, struct http_response *resp, const char *name, const char *fmt,
                   ...)
{
    va_list ap;
    va_start(ap, fmt);
    AUTO_BUF struct buf b;
    buf_init(&b, 16384);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    int rc = b.err;
    if (!rc)
        rc = http_response_header_text(op->req, resp, name, buf_cstr(&b));
    if (rc && !op->failed)
        op->failed = rc;
}

void answer_header_text(struct op *op, struct http_response *resp, const char *name,
                        const char *value)
{
    int rc = http_response_header_text(op->req, resp, name, value);
    if (rc && !op->failed)
        op->failed = rc;
}

void answer_empty(struct http_response *resp, int status)
{
    http_response_bytes(resp, status, NULL, (struct bytes){0});
}

static void unavailable(struct op *op, struct http_response *resp, const char *why)
{
    oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL, "%s", why);
    answer_header(op, resp, "Retry-After", "5");
}

bool region_closed(struct op *op, struct http_response *resp)
{
    const char *why = meta_closed_why(op->s->meta, &op->req->arena);
    if (!why && op->leaves) {
        unavailable(
            op, resp,
            "the registry leaves this region, and takes no writes here any more: write to it "
            "by its global name");
        return true;
    }
    if (!why)
        return false;
    oci_error(op->req, resp, 503, OCI_UNAVAILABLE, why, "this region takes no writes now: %s", why);
    answer_header(op, resp, "Retry-After", "5");
    return true;
}

bool writes_closed(struct op *op, struct http_response *resp)
{
    return region_closed(op, resp) || ack_refused(op, resp);
}

// What a client reads says nothing of how large the disk is; the log and the status do.
static void no_space(struct op *op, struct http_response *resp, const char *what)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    struct space_view v = {0};
    if (op->s->space)
        space_look(op->s->space, &v);
    if (v.is_short) {
        log_limited(&limit, LOG_ERROR, "registry: %s: %s", what, v.text);
        oci_error(op->req, resp, 507, OCI_UNKNOWN, NULL,
                  "the disk of region %s is full up to its reserve (no space left for content): "
                  "push to another region, "
                  "or again once there is room",
                  op->s->region);
        return;
    }
    log_limited(&limit, LOG_ERROR, "registry: %s: %s", what, err_text(ERR_NOSPACE));
    oci_error(
        op->req, resp, 507, OCI_UNKNOWN, NULL,
        "region %s has no space left for this: push to another region, or again once there is room",
        op->s->region);
}

void quota_refused(struct op *op, struct http_response *resp, const struct usage_over *over)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    const char *of = op->route.name, *what = "repository";
    if (over->of_registry) {
        of = op->registry_name;
        what = "registry";
    }
    log_limited(&limit, LOG_WARN,
                "registry: %s %s uses %" PRIu64 " of its quota of %" PRIu64
                " bytes here: a push of %" PRIu64 " more was refused",
                what, of, over->use_bytes, over->limit_bytes, over->more_bytes);
    oci_error(op->req, resp, 403, OCI_DENIED, NULL,
              "the quota of %s %s is used up in region %s: it uses %" PRIu64 " of %" PRIu64
              " bytes, and this needs %" PRIu64 " more; delete what is not needed (its bytes count "
              "for a grace), or ask for a larger quota",
              what, of, op->s->region, over->use_bytes, over->limit_bytes, over->more_bytes);
}

bool disk_short(struct op *op, struct http_response *resp)
{
    struct space_charge c = {0};
    int rc = space_take(op->s->space, 0, &c);
    space_return(&c);
    if (rc)
        no_space(op, resp, "starting an upload");
    return rc;
}

static void clock_ahead(struct op *op, struct http_response *resp)
{
    if (!region_closed(op, resp))
        unavailable(op, resp,
                    "what is there now is stamped too far ahead of this region's clock to be "
                    "replaced: wait until the clock has come near, or an operator runs meridian "
                    "replication repair-clock");
}

// Another region that holds the registry could not read what this write makes.
static void behind(struct op *op, struct http_response *resp)
{
    char region[HOSTNAME_REGION_SIZE] = "";
    bool is = meta_behind(op->s->meta, op->registry, region);
    oci_error(op->req, resp, 503, OCI_UNAVAILABLE, is ? region : NULL,
              "region %s runs a version that does not know this yet: upgrade it first",
              is ? region : "of another replica");
}

void answer_error(struct op *op, struct http_response *resp, int rc, const char *what)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    switch (rc) {
    case ERR_NOSPACE:
        no_space(op, resp, what);
        return;
    case ERR_READONLY:
        log_limited(&limit, LOG_ERROR, "registry: %s: %s", what, err_text(rc));
        oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL, "this region takes no writes now: %s",
                  err_text(rc));
        return;
    case ERR_BEHIND:
        behind(op, resp);
        return;
    case ERR_FROZEN:
        oci_error(op->req, resp, 503, OCI_UNAVAILABLE, "NeedsUpgrade",
                  "NeedsUpgrade: region %s holds a change of this repository that its version does "
                  "not know: upgrade it, or push to another region",
                  op->s->region);
        return;
    case ERR_AHEAD:
        clock_ahead(op, resp);
        return;
    case ERR_LOCKED:
        oci_error(op->req, resp, 403, OCI_DENIED, NULL, "it is locked: unlock it first");
        return;
    case ERR_NOFILES:
    case ERR_BUSY:
    case ERR_CLOSED:
    case ERR_VERSION: // a successor of another schema has the store
    case ERR_TIMEOUT:
    case ERR_NOMEM:
        if (!region_closed(op, resp))
            unavailable(op, resp, "too much work is waiting here; try again");
        return;
    default:
        if (op->s->on_fault && (rc == ERR_IO || rc == ERR_CORRUPT))
            op->s->on_fault(op->s->on_fault_ctx, op->label);
        log_limited(&limit, LOG_ERROR, "registry: %s: %s (request %s)", what, err_text(rc),
                    op->req->request_id);
        oci_error(op->req, resp, 500, OCI_UNKNOWN, NULL,
                  "%s failed here; the log of this region says more", what);
    }
}

void answer_fault(struct op *op, struct http_response *resp)
{
    struct http_request *req = op->req;
    switch (op->route.fault) {
    case ROUTE_BAD_NAME:
        oci_error(req, resp, 400, OCI_NAME_INVALID, NULL, "not a repository name");
        break;
    case ROUTE_BAD_DIGEST:
        oci_error(req, resp, 400, OCI_DIGEST_INVALID, NULL,
                  "not a digest that is spoken here (" DIGEST_FORMS ")");
        break;
    case ROUTE_BAD_TAG:
        if (req->method == HTTP_PUT)
            oci_error(req, resp, 400, OCI_MANIFEST_INVALID, NULL, "not a tag");
        else // no manifest can have such a tag
            oci_error(req, resp, 404, OCI_MANIFEST_UNKNOWN, NULL,
                      "no such manifest in this repository");
        break;
    default:
        oci_error(req, resp, 404, OCI_BLOB_UPLOAD_UNKNOWN, NULL,
                  "no such upload in this repository");
    }
}

void answer_query(struct op *op, struct http_response *resp)
{
    bool list = op->route.kind == ROUTE_TAGS || op->route.kind == ROUTE_CATALOG;
    oci_error(op->req, resp, 400, list ? OCI_PAGINATION_NUMBER_INVALID : OCI_UNSUPPORTED, NULL,
              "the query has a percent escape that is none");
}

bool etag_matches(const char *list, const struct digest *d, bool weak)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(d, text);
    size_t n = strlen(text);
    for (const char *p = list; *p;) {
        p += strspn(p, " \t,");
        bool is_weak = p[0] == 'W' && p[1] == '/';
        if (is_weak)
            p += 2;
        if (*p == '*')
            return true;
        if (*p != '"')
            return false; // malformed: no match
        const char *end = strchr(p + 1, '"');
        if (!end)
            return false;
        if ((!is_weak || weak) && (size_t)(end - p - 1) == n && !memcmp(p + 1, text, n))
            return true;
        p = end + 1;
    }
    return false;
}

bool answer_validators(struct op *op, struct http_response *resp, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE + 2] = "\""; // an ETag has quotes around it
    digest_format(d, text + 1);
    const char *none = http_header_get(op->req, "If-None-Match");
    bool same = none && etag_matches(none, d, true);
    if (same)
        answer_empty(resp, 304);
    answer_header_text(op, resp, "Docker-Content-Digest", text + 1);
    size_t n = strlen(text);
    text[n] = '"';
    text[n + 1] = 0;
    answer_header_text(op, resp, "ETag", text);
    return same;
}

void answer_no_path(struct op *op, struct http_response *resp, const char *why)
{
    oci_error(op->req, resp, 404, OCI_UNSUPPORTED, NULL, "%s", why);
}
