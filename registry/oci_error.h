// SPDX-License-Identifier: Apache-2.0
// OCI's words for errors (distribution-spec 1.1, "Error Codes"): the codes, the JSON, and which
// code stands for each kind of refusal that rooms below this one make (net/refuse.h). The daemon
// gives `oci_words` to its servers and its edge, so that all of a region's answers are of one form:
//
//   {"errors":[{"code":"BLOB_UNKNOWN","message":"no such blob in this repository"}]}
//
//   oci_error(req, resp, 404, OCI_BLOB_UNKNOWN, NULL, "no such blob in this repository");
//
// Pure; whatever thread owns the request. What is made hangs off the request's arena; without
// memory the answer is a bare UNKNOWN.
#ifndef MERIDIAN_REGISTRY_OCI_ERROR_H
#define MERIDIAN_REGISTRY_OCI_ERROR_H

#include "net/refuse.h"

// The specification's codes, then ours: what it has no code for.
#define OCI_CODES(X)             \
    X(BLOB_UNKNOWN)              \
    X(BLOB_UPLOAD_INVALID)       \
    X(BLOB_UPLOAD_UNKNOWN)       \
    X(DIGEST_INVALID)            \
    X(MANIFEST_BLOB_UNKNOWN)     \
    X(MANIFEST_INVALID)          \
    X(MANIFEST_UNKNOWN)          \
    X(NAME_INVALID)              \
    X(NAME_UNKNOWN)              \
    X(SIZE_INVALID)              \
    X(UNAUTHORIZED)              \
    X(DENIED)                    \
    X(UNSUPPORTED)               \
    X(TOOMANYREQUESTS)           \
    X(INVALID)                   \
    X(NOT_FOUND)                 \
    X(PAGINATION_NUMBER_INVALID) \
    X(UNAVAILABLE)               \
    X(UNKNOWN)

#define OCI_CODE_ENUM(name) OCI_##name,
enum oci_code { OCI_CODES(OCI_CODE_ENUM) OCI_N_CODES };
#undef OCI_CODE_ENUM

const char *oci_code_text(enum oci_code code);
extern const struct http_words oci_words;

// `detail` may be NULL; text that is not UTF-8 is left out. Code and sentence are also what the log
// says of the request.
void oci_error(struct http_request *req, struct http_response *resp, int status, enum oci_code code,
               const char *detail, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

#endif
