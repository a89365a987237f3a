// SPDX-License-Identifier: Apache-2.0
// OCI's words for errors; see oci_error.h.
#include "registry/oci_error.h"

#include "base/err.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON_TYPE "application/json"
#define BARE "{\"errors\":[{\"code\":\"UNKNOWN\"}]}"

const char *oci_code_text(enum oci_code code)
{
#define OCI_CODE_TEXT(name) [OCI_##name] = #name,
    static const char *const texts[OCI_N_CODES] = {OCI_CODES(OCI_CODE_TEXT)};
#undef OCI_CODE_TEXT
    return texts[code];
}

static enum oci_code code_of(enum refusal kind)
{
    switch (kind) {
    case REFUSED_UNSUPPORTED:
        return OCI_UNSUPPORTED;
    case REFUSED_INVALID:
        return OCI_INVALID;
    case REFUSED_NAME:
        return OCI_NAME_INVALID;
    case REFUSED_UNAUTHORIZED:
        return OCI_UNAUTHORIZED;
    case REFUSED_DENIED:
        return OCI_DENIED;
    case REFUSED_HOST:
        return OCI_NAME_UNKNOWN;
    case REFUSED_NOT_FOUND:
        return OCI_NOT_FOUND;
    case REFUSED_FILE_GONE:
        return OCI_BLOB_UNKNOWN;
    case REFUSED_TOO_LARGE:
        return OCI_SIZE_INVALID;
    case REFUSED_BUSY:
        return OCI_TOOMANYREQUESTS;
    case REFUSED_UNAVAILABLE:
        return OCI_UNAVAILABLE;
    case REFUSED_FAILED:
    case N_REFUSALS:
        break;
    }
    return OCI_UNKNOWN;
}

static const char *words_code(enum refusal kind)
{
    return oci_code_text(code_of(kind));
}

// NULL: no memory, or not UTF-8.
static json_t *errors_json(const char *code, const char *sentence, const char *detail)
{
    json_t *one = json_pack("{s:s, s:s}", "code", code, "message", sentence);
    if (!one)
        return NULL;
    if (detail)
        json_object_set_new(one, "detail", json_string(detail));
    return json_pack("{s:[o]}", "errors", one);
}

static int words_form(struct buf *out, const char *code, const char *sentence)
{
    json_t *root = errors_json(code, sentence, NULL);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text)
        return ERR_NOMEM;
    buf_str(out, text);
    free(text);
    return out->err;
}

const struct http_words oci_words = {
    .content_type = JSON_TYPE, .code = words_code, .form = words_form, .bare = BARE};

void oci_error(struct http_request *req, struct http_response *resp, int status, enum oci_code code,
               const char *detail, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    http_request_refused(req, oci_code_text(code), message);
    json_t *root = errors_json(oci_code_text(code), message, detail);
    if (!root || http_response_json(req, resp, status, root))
        http_response_bytes(resp, status, JSON_TYPE, bytes_str(BARE));
}
