// SPDX-License-Identifier: Apache-2.0
// auth/jwks, auth/discovery, auth/jwt, auth/oidc_claims: what of another issuer is believed.
#include "auth/oidc_priv.h"

#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/unit/auth/oidc_fixture.h"

#include <stdio.h>

#define NOW_S 1800000000
#define NOW_MS ((int64_t)NOW_S * 1000)
#define SERVICE "contoso.meridian.test"
#define ISSUER "https://token.example"

static const char document[] =
    "users: []\nissuers:\n  - name: ci\n    issuer: " ISSUER "\n    registry: contoso\n    rules:\n"
    "      - {name: main, match: {repository_id: \"123\", ref: [refs/heads/main, "
    "refs/heads/next]}, "
    "scope_map: _push, repositories: [\"web/*\"]}\n"
    "      - {name: pod, match: {kubernetes.io/serviceaccount/uid: u-1, \"x/y\": z}, scope_map: "
    "_pull, repositories: [\"*\"]}\n"
    "      - {name: any, match: {sub: \"repo:contoso/*\", protected: \"true\"}, scope_map: _pull, "
    "repositories: [\"*\"]}\n";

static struct principals *all;
static const struct issuer *issuer;
static struct foreign_key rsa, ec;
static struct jwks *keys;
static struct arena arena;

static void setup(void)
{
    const char *why;
    ck_assert_int_eq(principals_parse(document, strlen(document), "p.yaml", NULL, &all), 0);
    issuer = issuer_by_name(all, "contoso", "ci");
    ec = foreign_ec("ec-1", "P-256");
    AUTO_FREE char *text = foreign_jwks((struct foreign_key[]){ec, rsa}, rsa.key ? 2 : 1);
    ck_assert_int_eq(jwks_parse(text, strlen(text), &keys, &why), 0);
    arena_init(&arena, 0);
}

// RSA keys take long to make.
static void setup_with_rsa(void)
{
    rsa = foreign_rsa("rsa-1", 2048);
    setup();
}

static void teardown(void)
{
    arena_done(&arena);
    jwks_unref(keys);
    EVP_PKEY_free(rsa.key);
    EVP_PKEY_free(ec.key);
    snapshot_unref(all);
}

// A good payload with one claim replaced (NULL: left out) and more at its end.
static char *payload(const char *claim, const char *json, const char *more)
{
    static const char *const claims[][2] = {
        {"iss", "\"" ISSUER "\""},     {"sub", "\"repo:contoso/web:ref:refs/heads/main\""},
        {"aud", "\"" SERVICE "\""},    {"jti", "\"id-1\""},
        {"iat", "1799999990"},         {"nbf", "1799999690"},
        {"exp", "1800000890"},         {"repository_id", "\"123\""},
        {"ref", "\"refs/heads/main\""}};
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        const char *value = claim && !strcmp(claim, claims[i][0]) ? json : claims[i][1];
        if (value)
            buf_printf(&b, "%s\"%s\":%s", b.n ? "," : "{", claims[i][0], value);
    }
    buf_printf(&b, "%s}", more ? more : "");
    return buf_take(&b);
}

// --- keys ---

static int parse(const char *text, size_t *out_n)
{
    struct jwks *k = NULL;
    const char *why = NULL;
    int rc = jwks_parse(text, strlen(text), &k, &why);
    *out_n = k ? k->n : 0;
    ck_assert(!rc == !!k && (!rc || why));
    jwks_unref(k);
    return rc;
}

START_TEST(keys_of_use_are_taken_and_others_passed_over)
{
    setup_with_rsa();
    static const char *const unusable[] = {
        ",\"use\":\"enc\"",  ",\"alg\":\"PS256\"", ",\"key_ops\":[\"encrypt\"]",
        ",\"alg\":\"none\"", ",\"alg\":5",         ",\"use\":null"};
    static const char *const fine[] = {"", ",\"alg\":\"RS256\",\"use\":\"sig\"",
                                       ",\"key_ops\":[\"verify\"],\"x5c\":[\"junk\"]"};
    size_t n;
    for (size_t i = 0; i < ARRAY_LEN(unusable) + ARRAY_LEN(fine); i++) {
        bool good = i >= ARRAY_LEN(unusable);
        AUTO_FREE char *one = foreign_jwk(&rsa, good ? fine[i - ARRAY_LEN(unusable)] : unusable[i]);
        AUTO_FREE char *set =
            mem_printf("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"AAAA\"},"
                       "5,%s]}",
                       one);
        ck_assert_msg(!parse(set, &n) == good, "%s", set);
        ck_assert_uint_eq(n, good);
    }
    struct foreign_key weak = foreign_rsa("weak", 1024), p384 = foreign_ec("p384", "P-384"),
                       nameless = {"", true, rsa.key}, twice[] = {rsa, rsa, ec, weak};
    const struct foreign_key alone[] = {weak, nameless};
    for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
        AUTO_FREE char *set = foreign_jwks(&alone[i], 1);
        ck_assert_int_eq(parse(set, &n), ERR_INVAL);
    }
    AUTO_FREE char *set = foreign_jwks(twice, 4);
    ck_assert_int_eq(parse(set, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_ptr_nonnull(jwks_find(keys, "rsa-1", JWT_RS256));
    ck_assert_ptr_null(jwks_find(keys, "rsa-1", JWT_ES256)); // a key is of one algorithm
    ck_assert_ptr_null(jwks_find(keys, "ec-1", JWT_RS256));
    ck_assert_ptr_null(jwks_find(keys, "", JWT_RS256));
    EVP_PKEY_free(weak.key);
    EVP_PKEY_free(p384.key);
    static const char *const bad[] = {
        "", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":\"AA\",\"y\":\"AA\"}]}",
        // a point that is not on the curve
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\","
        "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(parse(bad[i], &n) == ERR_INVAL, "%s", bad[i]);
    teardown();
}
END_TEST

START_TEST(discovery_documents)
{
    setup();
    static const struct {
        const char *text;
        int rc;
    } rows[] = {
        {"{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://k.example/jwks\",\"x\":[1]}", 0},
        {"{\"issuer\":\"" ISSUER "/\",\"jwks_uri\":\"https://k.example/jwks\"}", ERR_INVAL},
        {"{\"issuer\":\"https://evil.example\",\"jwks_uri\":\"https://k.example/\"}", ERR_INVAL},
        {"{\"issuer\":\"" ISSUER "\"}", ERR_INVAL},
        {"{\"jwks_uri\":\"https://k.example/jwks\"}", ERR_INVAL},
        {"{\"issuer\":\"" ISSUER "\",\"jwks_uri\":[]}", ERR_INVAL},
        {"{\"issuer\":\"" ISSUER "\\u0000x\",\"jwks_uri\":\"https://k.example/jwks\"}", ERR_INVAL},
        {"{\"issuer\":\"" ISSUER "\",\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://k/\"}",
         ERR_INVAL},
        {"<html>", ERR_INVAL},
        {"", ERR_INVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *uri = NULL, *why = NULL;
        ck_assert_msg(discovery_parse(rows[i].text, strlen(rows[i].text), ISSUER, &arena, &uri,
                                      &why) == rows[i].rc,
                      "%s", rows[i].text);
        ck_assert(rows[i].rc ? why != NULL : !strcmp(uri, "https://k.example/jwks"));
    }
    ck_assert_str_eq(discovery_url("https://a.example/x/", &arena),
                     "https://a.example/x/.well-known/openid-configuration");
    teardown();
}
END_TEST

// --- tokens ---

// 0, or what jwt_parse and jwt_verify say.
static int judged(const char *token)
{
    struct jwt t;
    const char *why;
    int rc = jwt_parse(token, &arena, &t, &why);
    const struct jwk *key = NULL;
    if (!rc)
        key = jwks_find(keys, t.kid, t.alg);
    if (!rc)
        rc = key ? jwt_verify(&t, key) : ERR_NOTFOUND;
    jwt_done(&t);
    return rc;
}

START_TEST(signatures)
{
    setup_with_rsa();
    AUTO_FREE char *body = payload(NULL, NULL, NULL);
    const struct foreign_key *both[] = {&rsa, &ec};
    for (size_t i = 0; i < 2; i++) {
        AUTO_FREE char *token = foreign_token(both[i], NULL, body);
        ck_assert_int_eq(judged(token), 0);
        char *dot = strrchr(token, '.');
        char was = dot[10];
        dot[10] = was == 'A' ? 'B' : 'A';
        ck_assert_int_eq(judged(token), ERR_AUTH);
        dot[10] = was;
        token[strlen(token) / 3] ^= 1; // in the payload
        ck_assert_int_ne(judged(token), 0);
    }
    // what a token's header may not say, though it is signed well
    static const char *const headers[] = {
        "{\"alg\":\"none\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"HS256\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"RS384\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"PS256\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"rs256\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"RS256\",\"kid\":\"\"}",
        "{\"alg\":\"RS256\",\"kid\":5}",
        "{\"alg\":\"RS256\",\"kid\":\"rsa-1\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"RS256\",\"kid\":\"rsa-1\",\"b64\":false}",
        "{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"rsa-1\"}",
        "{\"alg\":[\"RS256\"],\"kid\":\"rsa-1\"}",
        "[]",
        "x"};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        AUTO_FREE char *token = foreign_token(&rsa, headers[i], body);
        ck_assert_msg(judged(token) == ERR_AUTH, "%s", headers[i]);
    }
    // names of keys that are not there, and of a key of the other kind
    static const char *const kids[] = {
        "{\"alg\":\"RS256\",\"kid\":\"ec-1\"}", "{\"alg\":\"ES256\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"RS256\",\"kid\":\"../../etc/passwd\"}",
        "{\"alg\":\"RS256\",\"kid\":\"rsa-1\\u0000\"}", "{\"alg\":\"RS256\",\"kid\":\"RSA-1\"}"};
    for (size_t i = 0; i < ARRAY_LEN(kids); i++) {
        AUTO_FREE char *token = foreign_token(&rsa, kids[i], body);
        ck_assert_msg(judged(token) != 0, "%s", kids[i]);
    }
    // keys that the token itself brings mean nothing
    struct foreign_key mine = foreign_rsa("rsa-1", 2048);
    AUTO_FREE char *jwk = foreign_jwk(&mine, "");
    AUTO_FREE char *header = mem_printf(
        "{\"alg\":\"RS256\",\"kid\":\"rsa-1\",\"jwk\":%s,\"jku\":\"https://e.example\"}", jwk);
    AUTO_FREE char *forged = foreign_token(&mine, header, body);
    ck_assert_int_eq(judged(forged), ERR_AUTH);
    EVP_PKEY_free(mine.key);
    teardown();
}
END_TEST

// The public key as an HMAC's secret: the oldest trick there is.
START_TEST(hs256_with_the_public_key)
{
    setup_with_rsa();
    AUTO_FREE char *body = payload(NULL, NULL, NULL);
    AUTO_FREE char *jwk = foreign_jwk(&rsa, "");
    static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"rsa-1\"}";
    AUTO_FREE char *h = foreign_b64(header, strlen(header)), *p = foreign_b64(body, strlen(body));
    AUTO_FREE char *text = mem_printf("%s.%s", h, p);
    uint8_t mac[SHA256_BYTES];
    ck_assert_int_eq(hmac_sha256(jwk, strlen(jwk), text, strlen(text), mac), 0);
    AUTO_FREE char *sig = foreign_b64(mac, sizeof mac);
    AUTO_FREE char *token = mem_printf("%s.%s", text, sig);
    ck_assert_int_eq(judged(token), ERR_AUTH);
    AUTO_FREE char *unsigned_token = mem_printf("%s.", text);
    ck_assert_int_eq(judged(unsigned_token), ERR_AUTH);
    static const char *const forms[] = {
        "", ".", "..", "a.b", "a.b.c", "a.b.c.d", "{}.{}.{}", "e30.e30.AAAA", "e30=.e30=.AAAA"};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        ck_assert_msg(judged(forms[i]) == ERR_AUTH, "%s", forms[i]);
    teardown();
}
END_TEST

// --- claims ---

static int claims_judged(const char *body, struct oidc_caller *out)
{
    struct jwt t;
    const char *why = NULL;
    AUTO_FREE char *token = foreign_token(&ec, NULL, body);
    int rc = jwt_parse(token, &arena, &t, &why);
    if (!rc) {
        why = NULL;
        rc = oidc_judge(&t, issuer, SERVICE, NOW_MS, out, &why);
    }
    ck_assert(!rc || why);
    if (!rc)
        out->subject = arena_strdup(&arena, out->subject);
    jwt_done(&t);
    return rc;
}

START_TEST(claims_that_must_hold)
{
    setup();
    static const struct {
        const char *claim, *json;
        int rc;
    } rows[] = {
        {NULL, NULL, 0},
        {"iss", "\"https://token.example/\"", ERR_AUTH},
        {"iss", "\"meridian\"", ERR_AUTH},
        {"iss", NULL, ERR_AUTH},
        {"aud", "[\"" SERVICE "\"]", 0},
        {"aud", "\"fabrikam.meridian.test\"", ERR_AUTH},
        {"aud", "\"CONTOSO.meridian.test\"", ERR_AUTH},
        {"aud", "[\"" SERVICE "\",\"other\"]", ERR_AUTH},
        {"aud", "[]", ERR_AUTH},
        {"aud", "[[\"" SERVICE "\"]]", ERR_AUTH},
        {"aud", NULL, ERR_AUTH},
        {"aud", "\"https://" SERVICE "\"", ERR_AUTH},
        {"exp", NULL, ERR_AUTH},
        {"exp", "\"1800000890\"", ERR_AUTH},
        {"exp", "1799999930", ERR_AUTH}, // before iat
        {"exp", "1800000890.5", 0},
        {"exp", "1800086391", ERR_AUTH}, // more than a day
        {"exp", "1e300", ERR_AUTH},
        {"exp", "-1", ERR_AUTH},
        {"iat", NULL, ERR_AUTH},
        {"iat", "1800000061", ERR_AUTH}, // to come
        {"iat", "1800000059", 0},
        {"iat", "1799996339", ERR_EXPIRED}, // older than an hour
        {"iat", "1799996400", 0},
        {"nbf", NULL, 0},
        {"nbf", "1800000061", ERR_AUTH},
        {"nbf", "\"x\"", ERR_AUTH},
        {"sub", NULL, ERR_AUTH},
        {"sub", "\"\"", ERR_AUTH},
        {"sub", "\"a b\"", ERR_AUTH},
        {"sub", "\"a\\u0000b\"", ERR_AUTH},
        {"sub", "\"\\u00e9\"", ERR_AUTH},
        {"sub", "7", ERR_AUTH},
        {"repository_id", "\"124\"", ERR_DENIED},
        {"repository_id", "123", 0}, // a number is what it is written as
        {"repository_id", "[\"123\"]", ERR_DENIED},
        {"repository_id", NULL, ERR_DENIED},
        {"ref", "\"refs/heads/next\"", 0},
        {"ref", "\"refs/heads/main2\"", ERR_DENIED},
        {"ref", "true", ERR_DENIED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct oidc_caller c;
        AUTO_FREE char *body = payload(rows[i].claim, rows[i].json, NULL);
        ck_assert_msg(claims_judged(body, &c) == rows[i].rc, "%s", body);
        if (!rows[i].rc)
            ck_assert_str_eq(c.rule->name, "main");
    }
    teardown();
}
END_TEST

START_TEST(rules_in_order_and_nested_claims)
{
    setup();
    static const struct {
        const char *more, *rule;
    } rows[] = {
        {",\"kubernetes.io\":{\"serviceaccount\":{\"uid\":\"u-1\"}},\"x\":{\"y\":\"z\"}", "pod"},
        {",\"kubernetes.io/serviceaccount/uid\":\"u-1\",\"x/y\":\"z\"", "pod"},
        {",\"kubernetes.io\":{\"serviceaccount\":{\"uid\":\"u-2\"}},\"x\":{\"y\":\"z\"}", NULL},
        {",\"kubernetes.io\":{\"serviceaccount\":[\"u-1\"]},\"x\":{\"y\":\"z\"}", NULL},
        {",\"kubernetes.io\":{\"serviceaccount\":{\"uid\":\"u-1\"}}", NULL},
        {",\"protected\":true", "any"},
        {",\"protected\":\"true\"", "any"},
        {",\"protected\":false", NULL},
        {",\"protected\":true,\"kubernetes.io\":{\"serviceaccount\":{\"uid\":\"u-1\"}},\"x\":{"
         "\"y\":"
         "\"z\"}",
         "pod"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct oidc_caller c;
        AUTO_FREE char *body = payload("repository_id", NULL, rows[i].more);
        ck_assert_msg(claims_judged(body, &c) == (rows[i].rule ? 0 : ERR_DENIED), "%s", body);
        if (rows[i].rule)
            ck_assert_str_eq(c.rule->name, rows[i].rule);
    }
    teardown();
}
END_TEST

START_TEST(a_token_is_known_by_its_id_or_by_all_of_it)
{
    setup();
    struct oidc_caller a, b;
    AUTO_FREE char *one = payload(NULL, NULL, NULL), *same = payload(NULL, NULL, ",\"x\":1"),
                   *other = payload("jti", "\"id-2\"", NULL), *none = payload("jti", NULL, NULL),
                   *none2 = payload("jti", NULL, ",\"x\":1");
    ck_assert_int_eq(claims_judged(one, &a), 0);
    ck_assert_int_eq(a.remember_s, 1800000890 + JWT_SKEW_S);
    ck_assert_int_eq(claims_judged(same, &b), 0);
    ck_assert_mem_eq(a.id, b.id, sizeof a.id);
    ck_assert_int_eq(claims_judged(other, &b), 0);
    ck_assert_mem_ne(a.id, b.id, sizeof a.id);
    // without an id: the same text signed anew (ES256 never gives the same signature) is the same
    ck_assert_int_eq(claims_judged(none, &a), 0);
    ck_assert_int_eq(claims_judged(none, &b), 0);
    ck_assert_mem_eq(a.id, b.id, sizeof a.id);
    ck_assert_int_eq(claims_judged(none2, &b), 0);
    ck_assert_mem_ne(a.id, b.id, sizeof a.id);
    teardown();
}
END_TEST

START_TEST(whom_a_refresh_token_stands_for)
{
    setup();
    uint64_t f = issuer->rules[0].fingerprint;
    const struct principal *p =
        oidc_principal(all, "contoso", "oidc:ci:repo:contoso/web:x", f, &arena);
    ck_assert_ptr_nonnull(p);
    ck_assert(principal_subject_ok(p->name));
    ck_assert(p->enabled && p->generation == f);
    ck_assert_uint_eq(principal_actions(p, "contoso", "web/a"),
                      ACTION_PULL | ACTION_PUSH | ACTION_META_READ);
    ck_assert_uint_eq(principal_actions(p, "contoso", "other"), 0);
    ck_assert_ptr_null(oidc_principal(all, "fabrikam", "oidc:ci:x", f, &arena));
    ck_assert_ptr_null(oidc_principal(all, "contoso", "oidc:other:x", f, &arena));
    ck_assert_ptr_null(oidc_principal(all, "contoso", "oidc:ci:x", f ^ 1, &arena));
    ck_assert_ptr_null(oidc_principal(all, "contoso", "oidc:ci", f, &arena));
    ck_assert_ptr_null(oidc_principal(all, "contoso", "ci:x", f, &arena));
    teardown();
}
END_TEST

CHECK_MAIN("auth/oidc", keys_of_use_are_taken_and_others_passed_over, discovery_documents,
           signatures, hs256_with_the_public_key, claims_that_must_hold,
           rules_in_order_and_nested_claims, a_token_is_known_by_its_id_or_by_all_of_it,
           whom_a_refresh_token_stands_for)
