// SPDX-License-Identifier: Apache-2.0
// Issuing access and refresh tokens with this region's key; see token_priv.h and design section 6.
// Pure but for the random token id; any thread.
#include "auth/token_priv.h"

#include "base/digest.h"
#include "base/err.h"

#include <string.h>

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

// NULL: no memory.
static json_t *words_json(unsigned actions)
{
    json_t *list = json_array();
    for (unsigned bit = 1; list && bit <= ACTION_ADD; bit <<= 1) {
        const char *word = NULL;
        if (actions & bit)
            word = action_word(bit);
        if (!word || !json_array_append_new(list, json_string(word)))
            continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

// The words that every release knows; beside them, where they would say too much or too little, the
// others: an older release passes over "more", and this one then adds nothing of its own.
static json_t *grant_json(const struct access_grant *g)
{
    unsigned old = g->actions & (ACTION_PULL | ACTION_PUSH | ACTION_DELETE);
    json_t *o = json_pack("{s:s, s:s, s:o}", "type", "repository", "name", g->repository, "actions",
                          words_json(old));
    if (g->actions == actions_of_old(old))
        return o;
    if (!o || !json_object_set_new(o, "more", words_json(g->actions & ~old)))
        return o;
    json_decref(o);
    return NULL;
}

static bool sees_all(const struct token_ask *ask)
{
    for (size_t i = 0; i < ask->n_visible; i++)
        if (!strcmp(ask->visible[i], "*"))
            return true;
    return false;
}

// NULL: no memory.
static json_t *grants_json(const struct token_ask *ask)
{
    json_t *list = json_array(), *one;
    for (size_t i = 0; list && i < ask->n_grants; i++) {
        if (!(ask->grants[i].actions & ACTIONS_OF_REGISTRY))
            one = grant_json(&ask->grants[i]);
        else if ((ask->grants[i].actions & ACTION_CATALOG) && sees_all(ask))
            one = json_pack("{s:s, s:s, s:[s]}", "type", "registry", "name", "catalog", "actions",
                            "*");
        else
            continue; // beside them: see registry_set
        if (!json_array_append_new(list, one))
            continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

// NULL: no memory.
static json_t *visible_json(const struct token_ask *ask)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < ask->n_visible; i++) {
        if (!json_array_append_new(list, json_string(ask->visible[i])))
            continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

// What is of the registry and was not always there: a part of the catalogue, the audit log. An older
// release does not look here, and refuses both.
static int registry_set(json_t *claims, const struct token_ask *ask)
{
    unsigned held = 0;
    int failed = 0;
    for (size_t i = 0; i < ask->n_grants; i++)
        held |= ask->grants[i].actions;
    if ((held & ACTION_CATALOG) && !sees_all(ask))
        failed = json_object_set_new(claims, "catalog", visible_json(ask));
    if (!failed && (held & ACTION_AUDIT))
        failed = json_object_set_new(claims, "audit", json_true());
    return failed;
}

// The claims that both kinds have. The incarnation only where there is one: tokens of registries
// without are what they always were.
static json_t *claims_begin(const char *type, const struct token_ask *ask, uint32_t lifetime_s)
{
    char any[JTI_BYTES * 2 + 1];
    const char *id = ask->id;
    json_int_t now = ask->now_ms / 1000;
    if (!id && random_hex(any, JTI_BYTES))
        return NULL;
    if (!id)
        id = any;
    if (ask->lifetime_s)
        lifetime_s = ask->lifetime_s;
    json_t *claims = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "iss", TOKEN_ISSUER,
                               "sub", ask->subject, "aud", ask->service, "typ", type, "jti", id,
                               "iat", now, "nbf", now, "exp", now + (json_int_t)lifetime_s);
    if (!claims || !ask->incarnation)
        return claims;
    if (!json_object_set_new(claims, "inc", json_integer((json_int_t)ask->incarnation)))
        return claims;
    json_decref(claims);
    return NULL;
}

int token_issue_access(const struct region_keys *keys, const struct token_ask *ask, struct arena *a,
                       const char **out)
{
    json_t *claims = claims_begin("access", ask, ACCESS_LIFETIME_S);
    // json_object_set_new takes its value over also when it fails, and takes NULL
    if (claims &&
        (json_object_set_new(claims, "access", grants_json(ask)) || registry_set(claims, ask))) {
        json_decref(claims);
        return ERR_NOMEM;
    }
    return jws_issue(keys, claims, a, out);
}

int token_issue_refresh(const struct region_keys *keys, const struct token_ask *ask,
                        struct arena *a, const char **out)
{
    json_t *claims = claims_begin("refresh", ask, REFRESH_LIFETIME_S);
    int failed = 0;
    if (claims)
        failed = json_object_set_new(claims, "gen", json_integer((json_int_t)ask->generation));
    if (claims && !failed && ask->password)
        failed = json_object_set_new(claims, "pw", json_string(ask->password));
    if (failed) {
        json_decref(claims);
        return ERR_NOMEM;
    }
    return jws_issue(keys, claims, a, out);
}

int refresh_password_text(const char *hash, char out[REFRESH_PASSWORD_SIZE])
{
    struct digest d;
    int rc = digest_of(DIGEST_SHA256, hash, strlen(hash), &d);
    if (!rc)
        hex_format(d.b, (REFRESH_PASSWORD_SIZE - 1) / 2, out);
    return rc;
}

bool refresh_password_holds(const struct principal *who, const char *text, int64_t now_s)
{
    char own[REFRESH_PASSWORD_SIZE];
    if (!who->token)
        return !text; // else it was got when the name was a named token's
    for (size_t i = 0; text && i < who->token->n_passwords; i++) {
        const struct token_password *w = &who->token->passwords[i];
        bool ended = w->expires_s && w->expires_s <= now_s;
        if (!ended && !refresh_password_text(w->hash, own) && !strcmp(own, text))
            return true;
    }
    return false;
}
