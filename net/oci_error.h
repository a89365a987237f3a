// SPDX-License-Identifier: Apache-2.0
// OCI error JSON (distribution-spec, "Error Codes"), spoken by the registry, the token service and
// replication alike.
#ifndef MERIDIAN_NET_OCI_ERROR_H
#define MERIDIAN_NET_OCI_ERROR_H

#include "net/http.h"

// {"errors":[{"code":"BLOB_UNKNOWN","message":…,"detail":…}]}; detail may be NULL. Code
// and message are also what the log says of the request (net/refusals.h).
void oci_error(struct http_request *req, struct http_response *resp, int status, const char *code,
               const char *detail, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

#endif
