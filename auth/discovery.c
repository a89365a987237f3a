// SPDX-License-Identifier: Apache-2.0
// Where an issuer's keys are: its discovery document. See oidc_priv.h.
#include "auth/oidc_priv.h"

#include "base/err.h"

#include <string.h>

const char *discovery_url(const char *issuer, struct arena *a)
{
    size_t n = strlen(issuer);
    if (n && issuer[n - 1] == '/') // section 4.1: a final slash is removed
        n--;
    return arena_printf(a, "%.*s/.well-known/openid-configuration", (int)n, issuer);
}

static const char *text_of(const json_t *root, const char *name, size_t max)
{
    const json_t *v = json_object_get(root, name);
    if (!json_is_string(v) || json_string_length(v) > max ||
        strlen(json_string_value(v)) != json_string_length(v))
        return NULL;
    return json_string_value(v);
}

static int document_judge(const json_t *root, const char *issuer, struct arena *a,
                          const char **out_jwks_uri, const char **why)
{
    const char *says = text_of(root, "issuer", ISSUER_URL_MAX),
               *uri = text_of(root, "jwks_uri", ISSUER_VALUE_MAX);
    if (!says || !uri) {
        *why = "its discovery document is not one: it has no issuer or no jwks_uri";
        return ERR_INVAL;
    }
    if (strcmp(says, issuer)) {
        *why = "its discovery document is another issuer's";
        return ERR_INVAL;
    }
    const char *copy = arena_strdup(a, uri);
    if (!copy)
        return ERR_NOMEM;
    *out_jwks_uri = copy;
    return 0;
}

int discovery_parse(const char *text, size_t n, const char *issuer, struct arena *a,
                    const char **out_jwks_uri, const char **why)
{
    json_t *root = NULL;
    if (n <= DISCOVERY_MAX_BYTES)
        root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    int rc = document_judge(root, issuer, a, out_jwks_uri, why);
    json_decref(root);
    return rc;
}
