// SPDX-License-Identifier: Apache-2.0
// Credentials of the Basic scheme (RFC 7617); see token_priv.h.
#include "auth/token_priv.h"

#include "base/digest.h"
#include "base/err.h"

#include <string.h>
#include <strings.h>

int basic_get(struct http_request *req, const char **out_user, const char **out_password)
{
    const char *value;
    *out_user = NULL;
    *out_password = NULL;
    if (authorization_get(req, &value))
        return ERR_AUTH;
    if (!value)
        return 0;
    if (strncasecmp(value, "Basic ", 6))
        return ERR_AUTH;
    value += 6;
    value += strspn(value, " ");
    size_t n = strlen(value), n_text;
    char *text = NULL;
    if (n <= 2 * TOKEN_MAX_BYTES)
        text = arena_alloc(&req->arena, n + 1);
    if (!text || b64_parse(value, n, (uint8_t *)text, n, &n_text) || memchr(text, 0, n_text))
        return ERR_AUTH;
    text[n_text] = 0;
    char *colon = strchr(text, ':');
    if (!colon)
        return ERR_AUTH;
    *colon = 0;
    *out_user = text;
    *out_password = colon + 1;
    return 0;
}
