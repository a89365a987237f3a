// SPDX-License-Identifier: Apache-2.0
// OCI error JSON; see oci_error.h.
#include "net/oci_error.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

void oci_error(struct http_request *req, struct http_response *resp, int status, const char *code,
               const char *detail, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    http_request_refused(req, code, message);
    json_t *one = json_pack("{s:s, s:s}", "code", code, "message", message);
    if (one && detail)
        // text that is not UTF-8 is left out
        json_object_set_new(one, "detail", json_string(detail));
    json_t *root = NULL;
    if (one)
        root = json_pack("{s:[o]}", "errors", one);
    if (!root || http_response_json(req, resp, status, root))
        http_response_bytes(resp, status, "application/json",
                            bytes_str("{\"errors\":[{\"code\":\"UNKNOWN\"}]}"));
}
