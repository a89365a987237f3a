// SPDX-License-Identifier: Apache-2.0
// What clients of an upload are told: where it is, how far it is, and what is wrong with it. On the
// pool.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <inttypes.h>

static int location_sign(struct op *op, const char **out)
{
    const struct signed_url u = {.kind = "upload",
                                 .methods = SIGNED_URL_UPLOAD_METHODS,
                                 .host = op->upload_host,
                                 .registry = op->registry,
                                 .repository = op->route.name,
                                 .object = op->io.id,
                                 .principal = op->principal,
                                 .expires_s = clock_wall_ms() / 1000 + SIGNED_URL_LIFETIME_S};
    return signed_url_make(op->s->url_key, &u, &op->req->arena, out);
}

// "digest-algorithm=sha512", or "": the client sends it back with each piece, so that the bytes are
// digested as they come.
static const char *algorithm_text(const struct op *op)
{
    if (op->io.alg == DIGEST_SHA512)
        return DIGEST_ALGORITHM_PARAMETER "=sha512";
    return "";
}

void upload_location(struct op *op, struct http_response *resp)
{
    const char *value, *algorithm = algorithm_text(op);
    if (!op->sign) {
        answer_header(op, resp, "Location", "%s/v2/%s/blobs/uploads/%s%s%s", op->upload_here,
                      op->route.name, op->io.id, *algorithm ? "?" : "", algorithm);
        return;
    }
    int rc = location_sign(op, &value);
    if (rc) {
        op->failed = rc;
        return;
    }
    answer_header(op, resp, "Location", "%s/v2/%s/blobs/uploads/%s?%s%s" SIGNED_URL_PARAMETER "=%s",
                  op->upload_here, op->route.name, op->io.id, algorithm, *algorithm ? "&" : "",
                  value);
}

// Location, and how far it is. The range is inclusive, and "0-0" for nothing too: what clients know
// from the reference.
void upload_state(struct op *op, struct http_response *resp, uint64_t size)
{
    upload_location(op, resp);
    answer_header(op, resp, "Range", "0-%" PRIu64, size ? size - 1 : 0);
    answer_header(op, resp, "Docker-Upload-UUID", "%s", op->io.id);
}

void upload_unknown(struct op *op, struct http_response *resp)
{
    oci_error(op->req, resp, 404, OCI_BLOB_UPLOAD_UNKNOWN, NULL,
              "no such upload in this repository");
}

void upload_in_use(struct op *op, struct http_response *resp)
{
    oci_error(op->req, resp, 409, OCI_BLOB_UPLOAD_INVALID, NULL,
              "another request is writing to this upload");
    answer_header(op, resp, "Retry-After", "1");
}

void upload_error(struct op *op, struct http_response *resp)
{
    struct upload_io *io = &op->io;
    if (io->in_use) {
        upload_in_use(op, resp);
        return;
    }
    switch (io->err) {
    case ERR_NOTFOUND:
        upload_unknown(op, resp);
        return;
    case ERR_QUOTA:
        quota_refused(op, resp, &io->over);
        return;
    case ERR_RANGE:
        oci_error(op->req, resp, 416, OCI_BLOB_UPLOAD_INVALID, NULL,
                  "the piece does not begin where the upload stands (at %" PRIu64 " bytes)",
                  io->acked);
        upload_state(op, resp, io->acked);
        return;
    case ERR_TOOBIG:
        oci_error(op->req, resp, 400, OCI_SIZE_INVALID, NULL,
                  "the body is not as long as its Content-Range says");
        return;
    default:
        answer_error(op, resp, io->err, "taking an upload");
    }
}

void upload_created(struct op *op, struct http_response *resp, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(d, text);
    answer_empty(resp, 201);
    answer_header(op, resp, "Location", "%s/v2/%s/blobs/%s", op->here, op->route.name, text);
    answer_header(op, resp, "Docker-Content-Digest", "%s", text);
}

void upload_digest_refused(struct op *op, struct http_response *resp, const char *why)
{
    oci_error(op->req, resp, 400, OCI_DIGEST_INVALID, NULL, "%s", why);
}
