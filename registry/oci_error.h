// SPDX-License-Identifier: Apache-2.0
// OCI error JSON (distribution-spec, "Error Codes"): the one place where err.h codes become HTTP status and OCI code.
#ifndef MERIDIAN_REGISTRY_OCI_ERROR_H
#define MERIDIAN_REGISTRY_OCI_ERROR_H

#include "net/http.h"

// {"errors":[{"code":"BLOB_UNKNOWN","message":…,"detail":…}]}; detail may be NULL.
void oci_error(struct http_request *req, struct http_response *resp, int status, const char *code, const char *detail,
               const char *fmt, ...) __attribute__((format(printf, 6, 7)));

#endif
