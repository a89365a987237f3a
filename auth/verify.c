// SPDX-License-Identifier: Apache-2.0
// Judging a token, and who a request is; see verify.h. Pure CPU, on HTTP threads.
//
// Order matters: form, then the key by the topology, then the signature, and only then a claim is
// looked at. ERR_EXPIRED is said of a token that is right in all else.
#include "auth/verify.h"

#include "auth/signature_cache.h"
#include "auth/token_cache.h"
#include "auth/token_priv.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>

#define ID_MAX_BYTES 128
#define READS (ACTION_PULL | ACTION_META_READ)
#define TIME_MAX_S ((int64_t)1 << 40) // so that no sum of dates overflows

// Strings hang off the JSON; NULL when absent, not a string, with a NUL inside, or longer than max.
static const char *claim_text(const json_t *root, const char *name, size_t max)
{
    const json_t *v = json_object_get(root, name);
    if (!json_is_string(v))
        return NULL;
    size_t n = json_string_length(v);
    if (n > max || strlen(json_string_value(v)) != n)
        return NULL;
    return json_string_value(v);
}

static bool claim_time(const json_t *root, const char *name, int64_t *out_s)
{
    const json_t *v = json_object_get(root, name);
    if (!json_is_integer(v))
        return false;
    json_int_t at = json_integer_value(v);
    if (at < 0 || at > TIME_MAX_S)
        return false;
    *out_s = at;
    return true;
}

static bool claim_is(const json_t *root, const char *name, const char *expected)
{
    const char *s = claim_text(root, name, HOSTNAME_TEXT_SIZE);
    return s && !strcmp(s, expected);
}

static int dates_parse(const json_t *root, unsigned lifetime_max_s, struct claims *out)
{
    int64_t exp, nbf, iat;
    if (!claim_time(root, "exp", &exp))
        return ERR_AUTH;
    if (!claim_time(root, "nbf", &nbf))
        return ERR_AUTH;
    if (!claim_time(root, "iat", &iat))
        return ERR_AUTH;
    if (exp <= iat || exp - iat > lifetime_max_s || nbf >= exp)
        return ERR_AUTH;
    out->issued_s = iat;
    out->from_s = nbf;
    out->until_s = exp;
    return 0;
}

static int dates_judge(const struct claims *c, int64_t now_ms)
{
    int64_t now = now_ms / 1000;
    if (c->issued_s > now + TOKEN_SKEW_S || c->from_s > now + TOKEN_SKEW_S)
        return ERR_AUTH;
    if (c->until_s + TOKEN_SKEW_S <= now)
        return ERR_EXPIRED;
    return 0;
}

// Words of a grant: those of every release in `actions`, the others in `more`. What one list may
// not have is an error in it, so that no word is believed from where an older release would not.
static int actions_parse(const json_t *list, unsigned allowed, unsigned *out)
{
    unsigned all = 0;
    size_t i;
    const json_t *v;
    if (!json_is_array(list) || json_array_size(list) > 8)
        return ERR_AUTH;
    json_array_foreach(list, i, v)
    {
        unsigned one;
        if (!json_is_string(v))
            return ERR_AUTH;
        if (action_parse(json_string_value(v), json_string_length(v), &one))
            return ERR_AUTH;
        if (one & ~allowed)
            return ERR_AUTH;
        all |= one;
    }
    *out = all;
    return 0;
}

static int grant_actions(const json_t *grant, unsigned *out)
{
    unsigned old, more;
    const json_t *beside = json_object_get(grant, "more");
    if (actions_parse(json_object_get(grant, "actions"), ACTION_PULL | ACTION_PUSH | ACTION_DELETE,
                      &old))
        return ERR_AUTH;
    *out = actions_of_old(old);
    if (!beside)
        return 0;
    if (actions_parse(beside, ACTION_META_READ | ACTION_META_WRITE | ACTION_ADD, &more))
        return ERR_AUTH;
    *out = old | more;
    return 0;
}

// ["*"]
static bool is_star(const json_t *list)
{
    const json_t *only = json_array_get(list, 0);
    return json_array_size(list) == 1 && json_is_string(only) &&
           !strcmp(json_string_value(only), "*");
}

static int grant_parse(const json_t *v, struct arena *a, struct access_grant *out)
{
    const char *name = claim_text(v, "name", REPOSITORY_NAME_MAX);
    if (!name)
        return ERR_AUTH;
    if (claim_is(v, "type", "registry")) {
        if (strcmp(name, "catalog") || !is_star(json_object_get(v, "actions")))
            return ERR_AUTH;
        *out = (struct access_grant){"*", ACTION_CATALOG};
        return 0;
    }
    struct access_grant g = {0};
    if (!claim_is(v, "type", "repository") || !repository_name_ok(name, strlen(name)))
        return ERR_AUTH;
    if (grant_actions(v, &g.actions))
        return ERR_AUTH;
    g.repository = arena_strdup(a, name);
    if (!g.repository)
        return ERR_NOMEM;
    *out = g;
    return 0;
}

// Room for one more: what stands beside the list.
static int grants_parse(const json_t *list, struct arena *a, struct access_grant **out,
                        size_t *out_n)
{
    size_t n = json_array_size(list), i;
    const json_t *v;
    if (!json_is_array(list) || n > SCOPE_MAX_COUNT)
        return ERR_AUTH;
    struct access_grant *grants = arena_array(a, n + 1, sizeof *grants);
    if (!grants)
        return ERR_NOMEM;
    json_array_foreach(list, i, v)
    {
        int rc = grant_parse(v, a, &grants[i]);
        if (rc)
            return rc;
    }
    *out = grants;
    *out_n = n;
    return 0;
}

static const char *const all_visible[] = {"*"};

// What the catalogue shows: patterns of the claim, or all where the grants have it.
static int visible_parse(const json_t *list, struct arena *a, struct claims *out)
{
    size_t n = json_array_size(list), i;
    const json_t *v;
    if (!json_is_array(list) || n > VISIBLE_MAX)
        return ERR_AUTH;
    const char **visible = arena_array(a, n + 1, sizeof *visible);
    if (!visible)
        return ERR_NOMEM;
    json_array_foreach(list, i, v)
    {
        const char *text = json_string_value(v);
        if (!text || strlen(text) != json_string_length(v) || !pattern_ok(text))
            return ERR_AUTH;
        visible[i] = arena_strdup(a, text);
        if (!visible[i])
            return ERR_NOMEM;
    }
    out->visible = visible;
    out->n_visible = n;
    return 0;
}

static int access_parse(const json_t *root, struct arena *a, struct claims *out)
{
    struct access_grant *grants;
    const json_t *catalog = json_object_get(root, "catalog");
    unsigned beside = 0;
    int rc = grants_parse(json_object_get(root, "access"), a, &grants, &out->n_grants);
    if (rc)
        return rc;
    out->visible = all_visible;
    out->n_visible = 1;
    if (catalog) {
        beside |= ACTION_CATALOG;
        rc = visible_parse(catalog, a, out);
    }
    if (json_is_true(json_object_get(root, "audit")))
        beside |= ACTION_AUDIT;
    if (beside)
        grants[out->n_grants++] = (struct access_grant){"*", beside};
    out->grants = grants;
    return rc;
}

// A token without the claim is for a registry that has no incarnation.
static bool incarnation_is(const json_t *root, uint64_t expected)
{
    const json_t *v = json_object_get(root, "inc");
    if (!v)
        return !expected;
    return json_is_integer(v) && json_integer_value(v) > 0 &&
           (uint64_t)json_integer_value(v) == expected;
}

struct audience { // whom a token is for
    const char *service;
    uint64_t incarnation;
};

static int claims_parse(const json_t *root, const struct audience *aud, enum token_type type,
                        struct arena *a, struct claims *out)
{
    struct claims c = {0};
    if (!json_is_object(root))
        return ERR_AUTH;
    const char *subject = claim_text(root, "sub", PRINCIPAL_SUBJECT_MAX),
               *id = claim_text(root, "jti", ID_MAX_BYTES);
    if (!claim_is(root, "iss", TOKEN_ISSUER) || !claim_is(root, "aud", aud->service))
        return ERR_AUTH;
    if (!incarnation_is(root, aud->incarnation))
        return ERR_AUTH;
    if (!claim_is(root, "typ", type == TOKEN_ACCESS ? "access" : "refresh"))
        return ERR_AUTH;
    if (!subject || !id || !*id)
        return ERR_AUTH;
    if (*subject && !principal_subject_ok(subject)) // "" is nobody in particular
        return ERR_AUTH;
    const json_t *gen = json_object_get(root, "gen");
    if (type == TOKEN_REFRESH && (!json_is_integer(gen) || !*subject))
        return ERR_AUTH;
    unsigned lifetime_max_s = ACCESS_LIFETIME_MAX_S;
    if (type == TOKEN_REFRESH) {
        lifetime_max_s = REFRESH_LIFETIME_MAX_S;
        c.generation = (uint64_t)json_integer_value(gen);
        c.password = claim_text(root, "pw", REFRESH_PASSWORD_SIZE);
    } else {
        int rc = access_parse(root, a, &c);
        if (rc)
            return rc;
    }
    int rc = dates_parse(root, lifetime_max_s, &c);
    if (rc)
        return rc;
    c.subject = arena_strdup(a, subject);
    c.id = arena_strdup(a, id);
    if (!c.subject || !c.id)
        return ERR_NOMEM;
    if (c.password)
        c.password = arena_strdup(a, c.password);
    *out = c;
    return 0;
}

// A region signs for the registries it holds, for no others. NULL: there is no such key.
static const struct public_key *key_of(const struct topology *t, const struct registry *r,
                                       const char *kid)
{
    const struct public_key *key = topology_token_key(t, kid);
    if (key && registry_replica(r, key->region))
        return key;
    return NULL;
}

// All but the dates. k->service and k->incarnation say whom it is to be for.
static int token_read(const struct topology *t, const struct registry *r, const char *token,
                      enum token_type type, struct arena *a, struct token_known *k)
{
    struct jws j;
    int rc = jws_parse(token, a, &j);
    if (rc)
        return rc;
    const struct public_key *key = key_of(t, r, j.kid);
    if (!key || es256_verify_again(key->spki_b64, j.signed_at, j.n_signed, j.sig))
        return ERR_AUTH;
    json_t *root = json_loadb((const char *)j.payload.p, j.payload.n, JSON_REJECT_DUPLICATES, NULL);
    rc = claims_parse(root, &(struct audience){k->service, k->incarnation}, type, a, &k->claims);
    json_decref(root);
    k->kid = j.kid;
    k->spki = key->spki_b64;
    return rc;
}

// The same of an access token that was read before, if its key is what it was.
static bool token_known(const struct topology *t, const struct registry *r, const char *token,
                        struct arena *a, struct token_known *k)
{
    struct token_known found = *k;
    if (!token_cache_find(token, a, &found))
        return false;
    const struct public_key *key = key_of(t, r, found.kid);
    if (!key || strcmp(key->spki_b64, found.spki) != 0)
        return false;
    *k = found;
    return true;
}

int token_verify(const struct topology *t, const struct registry *r, const char *token,
                 enum token_type type, int64_t now_ms, struct arena *a, struct claims *out)
{
    struct token_known k = {.incarnation = r->incarnation};
    int rc = token_service(t, r, a, &k.service);
    if (rc)
        return rc == ERR_NOMEM ? rc : ERR_AUTH;
    bool known = type == TOKEN_ACCESS && token_known(t, r, token, a, &k);
    if (!known)
        rc = token_read(t, r, token, type, a, &k);
    if (!rc)
        rc = dates_judge(&k.claims, now_ms);
    if (rc)
        return rc;
    if (type == TOKEN_ACCESS && !known)
        token_cache_put(token, &k);
    *out = k.claims;
    return 0;
}

const char *token_fault(const struct topology *t, const struct registry *r, const char *token,
                        int rc, struct arena *a)
{
    struct jws j;
    if (rc == ERR_EXPIRED)
        return "expired";
    if (jws_parse(token, a, &j))
        return "not a token of ours";
    const struct public_key *key = topology_token_key(t, j.kid);
    if (!key)
        return "its signing key is not in the topology";
    if (!registry_replica(r, key->region))
        return "signed by a region without a replica of this registry";
    return "its signature, registry or incarnation, kind or dates are not right";
}

int token_verify_access(const struct topology *t, const struct registry *r, const char *token,
                        int64_t now_ms, struct arena *arena, struct access *out)
{
    struct claims c;
    int rc = token_verify(t, r, token, TOKEN_ACCESS, now_ms, arena, &c);
    if (rc)
        return rc;
    *out = (struct access){.principal = c.subject,
                           .anonymous = !*c.subject,
                           .grants = c.grants,
                           .n_grants = c.n_grants,
                           .visible = c.visible,
                           .n_visible = c.n_visible,
                           .token_id = c.id};
    return 0;
}

int authorization_get(const struct http_request *req, const char **out)
{
    const char *found = NULL;
    for (const struct http_header *h = req->headers; h; h = h->next) {
        if (strcasecmp(h->name, "Authorization"))
            continue;
        if (found)
            return ERR_AUTH;
        found = h->value;
    }
    *out = found;
    return 0;
}

static int check_peer(const struct topology *t, const struct registry *r, struct http_request *req,
                      struct access *out)
{
    const struct region *peer = NULL;
    if (req->peer_cert_fingerprint)
        peer = topology_region_by_fingerprint(t, req->peer_cert_fingerprint);
    if (!peer || !registry_replica(r, peer->index))
        return ERR_DENIED;
    const char *principal = arena_printf(&req->arena, "peer:%s", peer->name);
    if (!principal)
        return ERR_NOMEM;
    *out = (struct access){.principal = principal, .peer = true, .everywhere = READS};
    req->principal = principal;
    return 0;
}

// Costs a look at the list only where something stands there.
static bool is_revoked(struct snapshot *principals, const char *id)
{
    struct principals *p = NULL;
    if (principals)
        p = snapshot_get(principals);
    bool is = p && principals_revoked(p, id);
    snapshot_unref(p);
    return is;
}

static int check_bearer(const struct topology *t, const struct registry *r, const char *header,
                        struct http_request *req, int64_t now_ms, struct snapshot *principals,
                        struct access *out)
{
    if (strncasecmp(header, "Bearer ", 7))
        return ERR_AUTH;
    const char *token = header + 7;
    token += strspn(token, " ");
    int rc = token_verify_access(t, r, token, now_ms, &req->arena, out);
    if (!rc && is_revoked(principals, out->token_id)) {
        http_request_detail(req, "the token %s of %s, which was revoked", out->token_id,
                            out->principal);
        return ERR_AUTH;
    }
    if (!rc)
        req->principal = out->principal;
    else if (rc != ERR_NOMEM)
        http_request_detail(req, "the token: %s", token_fault(t, r, token, rc, &req->arena));
    return rc;
}

int auth_check(const struct topology *t, const struct registry *r, struct http_request *req,
               int64_t now_ms, struct snapshot *principals, struct access *out)
{
    const char *header;
    int rc = authorization_get(req, &header);
    if (rc)
        return rc;
    if (header)
        return check_bearer(t, r, header, req, now_ms, principals, out);
    if (req->listener == LISTENER_PEER)
        return check_peer(t, r, req, out);
    *out = (struct access){.principal = "", .anonymous = true};
    if (r->anonymous_pull)
        out->everywhere = READS;
    return 0;
}

unsigned access_actions(const struct access *a, const char *repository)
{
    unsigned all = a->everywhere;
    for (size_t i = 0; i < a->n_grants; i++)
        if (!strcmp(a->grants[i].repository, repository))
            all |= a->grants[i].actions;
    return all;
}

unsigned access_registry_actions(const struct access *a)
{
    unsigned all = a->everywhere;
    for (size_t i = 0; i < a->n_grants; i++)
        if (!strcmp(a->grants[i].repository, "*"))
            all |= a->grants[i].actions;
    return all & ACTIONS_OF_REGISTRY;
}

bool access_sees_all(const struct access *a)
{
    for (size_t i = 0; i < a->n_visible; i++)
        if (!strcmp(a->visible[i], "*"))
            return true;
    return false;
}

bool access_sees(const struct access *a, const char *repository)
{
    if (access_actions(a, repository) & ACTION_META_READ)
        return true;
    if (!(access_registry_actions(a) & ACTION_CATALOG))
        return false;
    for (size_t i = 0; i < a->n_visible; i++)
        if (pattern_matches(a->visible[i], repository))
            return true;
    return false;
}
