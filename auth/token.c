// SPDX-License-Identifier: Apache-2.0
// Issuing access and refresh tokens with this region's key; see token_priv.h and design section 6.
// Pure but for the random token id; any thread.
#include "auth/token_priv.h"

#include "base/digest.h"
#include "base/err.h"

#include <string.h>

static const struct {
    unsigned bit;
    const char *word;
} words[] = {{ACTION_PULL, "pull"}, {ACTION_PUSH, "push"}, {ACTION_DELETE, "delete"}};

int token_service(const struct topology *t, const struct registry *r, struct arena *a,
                  const char **out)
{
    char name[HOSTNAME_TEXT_SIZE];
    int rc = hostname_format(NAME_GLOBAL, t->domain, r->label, NULL, NULL, name);
    if (rc)
        return rc;
    const char *copy = arena_strdup(a, name);
    if (!copy)
        return ERR_NOMEM;
    *out = copy;
    return 0;
}

static json_t *grant_json(const struct access_grant *g)
{
    if (g->actions & ACTION_CATALOG)
        return json_pack("{s:s, s:s, s:[s]}", "type", "registry", "name", "catalog", "actions",
                         "*");
    json_t *actions = json_array();
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (g->actions & words[i].bit)
            json_array_append_new(actions, json_string(words[i].word));
    return json_pack("{s:s, s:s, s:o}", "type", "repository", "name", g->repository, "actions",
                     actions);
}

// NULL: no memory.
static json_t *grants_json(const struct access_grant *grants, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) {
        if (!json_array_append_new(list, grant_json(&grants[i])))
            continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

// The claims that both kinds have. The incarnation only where there is one: tokens of registries
// without are what they always were.
static json_t *claims_begin(const char *type, const char *service, uint64_t incarnation,
                            const char *subject, int64_t now_ms, unsigned lifetime_s)
{
    char id[JTI_BYTES * 2 + 1];
    json_int_t now = now_ms / 1000;
    if (random_hex(id, JTI_BYTES))
        return NULL;
    json_t *claims = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "iss", TOKEN_ISSUER,
                               "sub", subject, "aud", service, "typ", type, "jti", id, "iat", now,
                               "nbf", now, "exp", now + lifetime_s);
    if (!claims || !incarnation)
        return claims;
    if (!json_object_set_new(claims, "inc", json_integer((json_int_t)incarnation)))
        return claims;
    json_decref(claims);
    return NULL;
}

int token_issue_access(const struct region_keys *keys, const char *service, uint64_t incarnation,
                       const char *subject, const struct access_grant *grants, size_t n_grants,
                       int64_t now_ms, struct arena *a, const char **out)
{
    json_t *claims =
        claims_begin("access", service, incarnation, subject, now_ms, ACCESS_LIFETIME_S);
    // json_object_set_new takes its value over also when it fails, and takes NULL
    if (claims && json_object_set_new(claims, "access", grants_json(grants, n_grants))) {
        json_decref(claims);
        return ERR_NOMEM;
    }
    return jws_issue(keys, claims, a, out);
}

int token_issue_refresh(const struct region_keys *keys, const char *service, uint64_t incarnation,
                        const struct principal *who, int64_t now_ms, struct arena *a,
                        const char **out)
{
    json_t *claims =
        claims_begin("refresh", service, incarnation, who->name, now_ms, REFRESH_LIFETIME_S);
    if (claims && json_object_set_new(claims, "gen", json_integer((json_int_t)who->generation))) {
        json_decref(claims);
        return ERR_NOMEM;
    }
    return jws_issue(keys, claims, a, out);
}
