// SPDX-License-Identifier: Apache-2.0
// auth/verify and auth/challenge: a good token is believed for what it says, every other one is
// refused with the right code, and the challenge names hosts from the parsed name only.
#include "auth/service.h"
#include "auth/verify.h"

#include "auth/signature_cache_test.h"
#include "auth/token_cache.h"
#include "net/http_test.h"
#include "tests/support/check_main.h"
#include "tests/unit/auth/auth_fixture.h"

static int verify_for(const char *registry, const char *token, struct arena *a, struct access *out)
{
    return token_verify_access(fixture_t, topology_registry(fixture_t, registry), token, NOW_MS, a,
                               out);
}

START_TEST(what_a_region_issues_every_region_believes)
{
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    const struct access_grant grants[] = {
        {"team/app", ACTION_PULL | ACTION_PUSH | ACTION_META_READ}, {"*", ACTION_CATALOG}};
    for (int i = 0; i < 3; i++) {
        struct access acc;
        const char *token = fixture_access(i, "contoso.meridian.test", 0, grants, 2, NOW_MS, &a);
        ck_assert_int_eq(verify_for("contoso", token, &a, &acc), 0);
        ck_assert_str_eq(acc.principal, "ada");
        ck_assert(!acc.anonymous && !acc.peer);
        ck_assert_uint_eq(strlen(acc.token_id), 32);
        ck_assert_uint_eq(access_actions(&acc, "team/app"), grants[0].actions);
        ck_assert_uint_eq(access_actions(&acc, "team/ap"), 0);
        ck_assert_uint_eq(access_actions(&acc, "team/app2"), 0);
        ck_assert(access_sees(&acc, "team/app"));
        ck_assert_uint_eq(access_actions(&acc, "*"), ACTION_CATALOG);
        ck_assert_int_eq(verify_for("fabrikam", token, &a, &acc), ERR_AUTH); // another registry's
    }
    arena_done(&a);
    fixture_teardown();
}
END_TEST

// What is remembered follows from the token's text, its key and whom it is for: all else is judged
// anew.
START_TEST(a_token_is_read_once_and_judged_each_time)
{
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    AUTO_FREE char *h = fixture_header(0), *p = fixture_payload(NULL, NULL, NULL),
                   *token = fixture_sign(h, p, 0);
    const struct registry *r = topology_registry(fixture_t, "contoso");
    struct access acc;
    unsigned first = 0;
    uint64_t before = token_cache_hits();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(verify_for("contoso", token, &a, &acc), 0);
        ck_assert_str_eq(acc.principal, "ada");
        unsigned is = access_actions(&acc, "team/app");
        ck_assert(is && (i == 0 || is == first));
        first = is;
    }
    ck_assert_uint_eq(token_cache_hits() - before, 2);
    // its key was taken out of the topology; the registry was created anew; its region left it
    struct topology *without = fixture_topology(2, false);
    ck_assert_int_eq(token_verify_access(without, topology_registry(without, "contoso"), token,
                                         NOW_MS, &a, &acc),
                     ERR_AUTH);
    snapshot_unref(without);
    struct registry anew = *r, left = *r;
    anew.incarnation = 7;
    ck_assert_int_eq(token_verify_access(fixture_t, &anew, token, NOW_MS, &a, &acc), ERR_AUTH);
    left.n_replicas = 0;
    ck_assert_int_eq(token_verify_access(fixture_t, &left, token, NOW_MS, &a, &acc), ERR_AUTH);
    // another key has its id
    fixture_other_half = region_keys_token_spki(fixture_keys[1]);
    struct topology *other_key = fixture_topology(3, true);
    ck_assert_int_eq(token_verify_access(other_key, topology_registry(other_key, "contoso"), token,
                                         NOW_MS, &a, &acc),
                     ERR_AUTH);
    snapshot_unref(other_key);
    fixture_other_half = NULL;
    ck_assert_int_eq(verify_for("contoso", token, &a, &acc), 0);
    ck_assert_int_eq(verify_for("fabrikam", token, &a, &acc), ERR_AUTH);
    ck_assert_int_eq(token_verify_access(fixture_t, r, token, NOW_MS + 2 * 3600 * 1000, &a, &acc),
                     ERR_EXPIRED);
    ck_assert_int_eq(token_verify_access(fixture_t, r, token, NOW_MS - 2 * 3600 * 1000, &a, &acc),
                     ERR_AUTH);
    uint64_t known = signature_cache_hits(), hits = token_cache_hits();
    // of the signature, then of the payload
    for (size_t i = strlen(token) - 80; i > strlen(token) - 86; i--) {
        AUTO_FREE char *other = mem_strdup(token);
        other[i] = other[i] == 'A' ? 'B' : 'A';
        ck_assert_int_eq(verify_for("contoso", other, &a, &acc), ERR_AUTH);
    }
    // another region's key
    AUTO_FREE char *h2 = fixture_header(1), *swapped = fixture_sign(h2, p, 0);
    ck_assert_int_eq(verify_for("contoso", swapped, &a, &acc), ERR_AUTH);
    ck_assert_uint_eq(signature_cache_hits(), known);
    ck_assert_uint_eq(token_cache_hits(), hits);
    arena_done(&a);
    fixture_teardown();
}
END_TEST

START_TEST(the_hand_made_good_token_is_good)
{ // or else the table below would prove nothing
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    AUTO_FREE char *h = fixture_header(0), *p = fixture_payload(NULL, NULL, NULL),
                   *token = fixture_sign(h, p, 0);
    AUTO_FREE char *h2 =
        mem_printf("{\"kid\":\"%s\",\"alg\":\"ES256\"}", region_keys_token_id(fixture_keys[0]));
    AUTO_FREE char *p2 = fixture_payload("sub", "\"\"", ",\"more\":[1]"),
                   *token2 = fixture_sign(h2, p2, 0);
    struct access acc;
    ck_assert_int_eq(verify_for("contoso", token, &a, &acc), 0);
    // typ is optional, claims may be added, anonymous
    ck_assert_int_eq(verify_for("contoso", token2, &a, &acc), 0);
    ck_assert(acc.anonymous);
    arena_done(&a);
    fixture_teardown();
}
END_TEST

struct bad_token {
    const char *what;
    // NULL: a good one; "%s" is the key id
    const char *header;
    const char *claim, *json, *extra;
    // region that signs; the header says eastus unless header_by
    int by;
    int header_by;
    int expect;
};

#define LETTERS_16 "aaaaaaaaaaaaaaaa"
#define LETTERS_128 \
    LETTERS_16 LETTERS_16 LETTERS_16 LETTERS_16 LETTERS_16 LETTERS_16 LETTERS_16 LETTERS_16
#define KID "\"kid\":\"%s\""
static const struct bad_token bad_tokens[] = {
    {.what = "alg none", .header = "{\"alg\":\"none\"," KID "}"},
    {.what = "alg None", .header = "{\"alg\":\"None\"," KID "}"},
    {.what = "alg HS256", .header = "{\"alg\":\"HS256\"," KID "}"},
    {.what = "alg RS256", .header = "{\"alg\":\"RS256\"," KID "}"},
    {.what = "alg ES384", .header = "{\"alg\":\"ES384\"," KID "}"},
    {.what = "alg es256", .header = "{\"alg\":\"es256\"," KID "}"},
    {.what = "alg missing", .header = "{" KID "}"},
    {.what = "alg twice", .header = "{\"alg\":\"none\",\"alg\":\"ES256\"," KID "}"},
    {.what = "alg a list", .header = "{\"alg\":[\"ES256\"]," KID "}"},
    {.what = "kid missing", .header = "{\"alg\":\"ES256\"}"},
    {.what = "kid empty", .header = "{\"alg\":\"ES256\",\"kid\":\"\"}"},
    {.what = "kid unknown", .header = "{\"alg\":\"ES256\",\"kid\":\"eastus-token-00000000\"}"},
    {.what = "kid a path", .header = "{\"alg\":\"ES256\",\"kid\":\"../../dev/null\"}"},
    {.what = "kid a number", .header = "{\"alg\":\"ES256\",\"kid\":1}"},
    {.what = "kid of another region", .header_by = 1},
    {.what = "crit", .header = "{\"alg\":\"ES256\",\"crit\":[\"exp\"]," KID "}"},
    {.what = "jwk", .header = "{\"alg\":\"ES256\",\"jwk\":{}," KID "}"},
    {.what = "jku", .header = "{\"alg\":\"ES256\",\"jku\":\"https://evil.example/\"," KID "}"},
    {.what = "typ JOSE", .header = "{\"alg\":\"ES256\",\"typ\":\"JOSE\"," KID "}"},
    {.what = "header a list", .header = "[\"ES256\"]"},
    {.what = "header not JSON", .header = "alg=ES256"},
    {.what = "header empty", .header = ""},
    {.what = "iss missing", .claim = "iss"},
    {.what = "iss other", .claim = "iss", .json = "\"Azure Container Registry\""},
    {.what = "iss twice", .extra = ",\"iss\":\"meridian\""},
    {.what = "sub missing", .claim = "sub"},
    {.what = "sub a number", .claim = "sub", .json = "7"},
    {.what = "sub with a NUL", .claim = "sub", .json = "\"ada\\u0000x\""},
    {.what = "sub that would be a region", .claim = "sub", .json = "\"peer:eastus\""},
    {.what = "sub with a blank", .claim = "sub", .json = "\"ada lovelace\""},
    {.what = "sub with a line's end", .claim = "sub", .json = "\"ada\\nbob\""},
    {.what = "sub beyond ASCII", .claim = "sub", .json = "\"\xc3\xa5sa\""},
    {.what = "sub of 129 bytes", .claim = "sub", .json = "\"" LETTERS_128 "a\""},
    {.what = "aud missing", .claim = "aud"},
    {.what = "aud another registry", .claim = "aud", .json = "\"fabrikam.meridian.test\""},
    {.what = "aud a regional name", .claim = "aud", .json = "\"contoso.eastus.geo.meridian.test\""},
    {.what = "aud a list", .claim = "aud", .json = "[\"contoso.meridian.test\"]"},
    {.what = "aud with a port", .claim = "aud", .json = "\"contoso.meridian.test:443\""},
    {.what = "typ refresh", .claim = "typ", .json = "\"refresh\""},
    {.what = "typ missing", .claim = "typ"},
    {.what = "jti missing", .claim = "jti"},
    {.what = "jti empty", .claim = "jti", .json = "\"\""},
    {.what = "exp missing", .claim = "exp"},
    {.what = "exp a string", .claim = "exp", .json = "\"1800000890\""},
    {.what = "exp a real", .claim = "exp", .json = "1800000890.0"},
    {.what = "exp negative", .claim = "exp", .json = "-1"},
    {.what = "exp enormous", .claim = "exp", .json = "9223372036854775807"},
    {.what = "exp past any integer", .claim = "exp", .json = "99999999999999999999999"},
    {.what = "lifetime above the cap", .claim = "exp", .json = "1800003591"},
    {.what = "exp before iat", .claim = "exp", .json = "1799999980"},
    {.what = "iat missing", .claim = "iat"},
    {.what = "iat in the future", .claim = "iat", .json = "1800000061"},
    {.what = "iat old, so that the lifetime is above the cap",
     .claim = "iat",
     .json = "1799996000"},
    {.what = "nbf missing", .claim = "nbf"},
    {.what = "nbf in the future", .claim = "nbf", .json = "1800000061"},
    {.what = "access missing", .claim = "access"},
    {.what = "access an object", .claim = "access", .json = "{}"},
    {.what = "access of strings", .claim = "access", .json = "[\"team/app\"]"},
    {.what = "grant of an unknown type",
     .claim = "access",
     .json = "[{\"type\":\"host\",\"name\":\"a\",\"actions\":[\"pull\"]}]"},
    {.what = "grant on a pattern",
     .claim = "access",
     .json = "[{\"type\":\"repository\",\"name\":\"*\",\"actions\":[\"pull\"]}]"},
    {.what = "grant of an unknown action",
     .claim = "access",
     .json = "[{\"type\":\"repository\",\"name\":\"a\",\"actions\":[\"*\"]}]"},
    {.what = "grant on a name that climbs",
     .claim = "access",
     .json = "[{\"type\":\"repository\",\"name\":\"a/../b\",\"actions\":[\"pull\"]}]"},
#define GRANT_OF(words) "[{\"type\":\"repository\",\"name\":\"a\"," words "}]"
    {.what = "new word where an older release reads",
     .claim = "access",
     .json = GRANT_OF("\"actions\":[\"add\"]")},
    {.what = "old word where an older release does not look",
     .claim = "access",
     .json = GRANT_OF("\"actions\":[],\"more\":[\"push\"]")},
    {.what = "catalogue of a repository",
     .claim = "access",
     .json = GRANT_OF("\"actions\":[\"catalog\"]")},
    {.what = "more no list", .claim = "access", .json = GRANT_OF("\"actions\":[],\"more\":{}")},
    {.what = "more of numbers", .claim = "access", .json = GRANT_OF("\"actions\":[],\"more\":[1]")},
    {.what = "more and no actions", .claim = "access", .json = GRANT_OF("\"more\":[\"add\"]")},
    {.what = "catalogue no list", .extra = ",\"catalog\":\"*\""},
    {.what = "catalogue of what is no pattern", .extra = ",\"catalog\":[\"a*\"]"},
    {.what = "catalogue of numbers", .extra = ",\"catalog\":[1]"},
    {.what = "sub of an issuer without a subject", .claim = "sub", .json = "\"oidc:gh:\""},
    {.what = "payload with a claim twice", .extra = ",\"aud\":\"contoso.meridian.test\""},
    {.what = "signed by another region's key", .by = 1},
};

static char *bad_token_make(const struct bad_token *b)
{
    AUTO_FREE char *good = fixture_header(b->header_by);
    AUTO_FREE char *own =
        b->header ? mem_printf(b->header, region_keys_token_id(fixture_keys[0])) : NULL;
    AUTO_FREE char *payload = fixture_payload(b->claim, b->json, b->extra);
    return fixture_sign(own ? own : good, payload, b->by);
}

START_TEST(bad_tokens_are_refused)
{
    fixture_setup();
    for (size_t i = 0; i < ARRAY_LEN(bad_tokens); i++) {
        struct arena a;
        arena_init(&a, 0);
        AUTO_FREE char *token = bad_token_make(&bad_tokens[i]);
        struct access acc = {.principal = "untouched"};
        int rc = verify_for("contoso", token, &a, &acc);
        ck_assert_msg(rc == ERR_AUTH, "%s: got %s", bad_tokens[i].what, err_name(rc));
        ck_assert_str_eq(acc.principal, "untouched");
        arena_done(&a);
    }
    fixture_teardown();
}
END_TEST

// Each set of actions comes back as it was given; and what an older release reads of it, which knows
// the words pull, push and delete alone, is never more than what they meant there.
START_TEST(every_set_of_actions_survives_a_token)
{
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    for (unsigned set = 0; set < 2 * ACTION_AUDIT; set++) {
        const struct access_grant grants[] = {{"team/app", set & ~ACTIONS_OF_REGISTRY},
                                              {"*", set & ACTIONS_OF_REGISTRY}};
        size_t n = grants[1].actions ? 2 : 1;
        struct access acc;
        const char *token = fixture_access(0, "contoso.meridian.test", 0, grants, n, NOW_MS, &a);
        ck_assert_int_eq(verify_for("contoso", token, &a, &acc), 0);
        ck_assert_uint_eq(access_actions(&acc, "team/app"), grants[0].actions);
        ck_assert_uint_eq(access_registry_actions(&acc), grants[1].actions);
        ck_assert_uint_eq(access_actions(&acc, "team/app2"), 0);
    }
    arena_done(&a);
    fixture_teardown();
}
END_TEST

START_TEST(tokens_of_the_release_before_mean_what_they_meant)
{
    static const struct {
        const char *words;
        unsigned actions;
    } rows[] = {
        {"\"pull\"", ACTION_PULL | ACTION_META_READ},
        {"\"push\"", ACTION_PUSH},
        {"\"delete\"", ACTION_DELETE | ACTION_META_WRITE},
        {"", 0},
    };
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct access acc;
        AUTO_FREE char *access = mem_printf(
            "[{\"type\":\"repository\",\"name\":\"a\",\"actions\":[%s]}]", rows[i].words);
        AUTO_FREE char *h = fixture_header(0), *p = fixture_payload("access", access, NULL),
                       *token = fixture_sign(h, p, 0);
        ck_assert_int_eq(verify_for("contoso", token, &a, &acc), 0);
        ck_assert_uint_eq(access_actions(&acc, "a"), rows[i].actions);
    }
    arena_done(&a);
    fixture_teardown();
}
END_TEST

// The catalogue of a part is said where an older release does not look: it refuses the catalogue
// then, and shows no more of it.
START_TEST(a_part_of_the_catalogue_is_carried)
{
    static const char *const visible[] = {"team/*", "app"};
    static const struct access_grant grants[] = {{"*", ACTION_CATALOG}};
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    struct token_ask ask = {.service = "contoso.meridian.test",
                            .subject = "ada",
                            .now_ms = NOW_MS,
                            .grants = grants,
                            .n_grants = 1,
                            .visible = visible};
    for (ask.n_visible = 0; ask.n_visible <= 2; ask.n_visible++) {
        struct access acc;
        struct jws j;
        const char *token;
        ck_assert_int_eq(token_issue_access(fixture_keys[0], &ask, &a, &token), 0);
        ck_assert_int_eq(verify_for("contoso", token, &a, &acc), 0);
        ck_assert_uint_eq(access_registry_actions(&acc), ACTION_CATALOG);
        ck_assert(!access_sees_all(&acc));
        ck_assert_uint_eq(acc.n_visible, ask.n_visible);
        for (size_t i = 0; i < acc.n_visible; i++)
            ck_assert_str_eq(acc.visible[i], visible[i]);
        ck_assert_int_eq(access_sees(&acc, "team/web"), ask.n_visible > 0);
        ck_assert_int_eq(access_sees(&acc, "app"), ask.n_visible > 1);
        ck_assert(!access_sees(&acc, "team") && !access_sees(&acc, "apps"));
        ck_assert_int_eq(jws_parse(token, &a, &j), 0);
        ck_assert_ptr_nonnull(memmem(j.payload.p, j.payload.n, "\"access\":[]", 11));
    }
    arena_done(&a);
    fixture_teardown();
}
END_TEST

static struct snapshot revoking;

static void revoke_id(const char *id)
{
    struct principals *p = NULL;
    AUTO_FREE char *y =
        mem_printf("users: []\nrevoked:\n  - {id: '%s', expires: 2027-01-15T08:15:00Z}\n", id);
    ck_assert_int_eq(principals_parse(y, strlen(y), "p.yaml", NULL, &p), 0);
    snapshot_publish(&revoking, p);
}

START_TEST(a_revoked_token_is_none_in_any_region)
{
    fixture_setup();
    snapshot_init(&revoking);
    struct access acc;
    AUTO_FREE char *h = fixture_header(1), *p = fixture_payload(NULL, NULL, NULL),
                   *token = fixture_sign(h, p, 1), *bearer = mem_printf("Bearer %s", token);
    const struct registry *r = topology_registry(fixture_t, "contoso");
    struct http_request *req = http_request_test_new("GET", "/v2/", "contoso.meridian.test");
    http_request_test_header(req, "Authorization", bearer);
    ck_assert_int_eq(auth_check(fixture_t, r, req, NOW_MS, &revoking, &acc), 0); // no list yet
    revoke_id("0123456789abcdef0123456789abcdee");
    ck_assert_int_eq(auth_check(fixture_t, r, req, NOW_MS, &revoking, &acc), 0);
    revoke_id("0123456789abcdef0123456789abcdef");
    ck_assert_int_eq(auth_check(fixture_t, r, req, NOW_MS, &revoking, &acc), ERR_AUTH);
    ck_assert_int_eq(auth_check(fixture_t, r, req, NOW_MS, &revoking, &acc), ERR_AUTH); // again
    http_request_test_free(req);
    snapshot_done(&revoking);
    fixture_teardown();
}
END_TEST

START_TEST(malformed_texts_are_refused)
{
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    struct access acc;
    AUTO_FREE char *h = fixture_header(0), *p = fixture_payload(NULL, NULL, NULL),
                   *good = fixture_sign(h, p, 0);
    size_t n = strlen(good);
    AUTO_FREE char *t = mem_alloc(n + 16);
    static const char *const junk[] = {"",    ".",        "..",           "...",  "a.b.c",
                                       "a.b", "e30.e30.", "e30.e30.AAAA", "....."};
    for (size_t i = 0; i < ARRAY_LEN(junk); i++)
        ck_assert_msg(verify_for("contoso", junk[i], &a, &acc) == ERR_AUTH, "%s", junk[i]);
    for (size_t cut = 1; cut < n; cut += 7) {
        snprintf(t, n + 16, "%.*s", (int)(n - cut), good);
        ck_assert_int_eq(verify_for("contoso", t, &a, &acc), ERR_AUTH);
    }
    // any single letter changed; the last one has two unused bits, strictly zero
    for (size_t at = 0; at < n; at++) {
        memcpy(t, good, n + 1);
        t[at] = t[at] == 'A' ? 'B' : 'A';
        ck_assert_msg(verify_for("contoso", t, &a, &acc) == ERR_AUTH, "letter %zu", at);
    }
    static const char *const tails[] = {"=", "==", ".", ".e30", " ", "\n", "A"};
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        snprintf(t, n + 16, "%s%s", good, tails[i]);
        ck_assert_int_eq(verify_for("contoso", t, &a, &acc), ERR_AUTH);
    }
    AUTO_BUF struct buf big;
    buf_init(&big, 0);
    for (int i = 0; i < TOKEN_MAX_BYTES + 1; i++)
        buf_u8(&big, i == 100 || i == 5000 ? '.' : 'A');
    ck_assert_int_eq(verify_for("contoso", big.p, &a, &acc), ERR_AUTH);
    ck_assert_int_eq(verify_for("contoso", good, &a, &acc), 0);
    arena_done(&a);
    fixture_teardown();
}
END_TEST

START_TEST(expiry_allows_for_skew_and_is_told_apart)
{
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    struct access acc;
    AUTO_FREE char *h = fixture_header(0), *p = fixture_payload(NULL, NULL, NULL),
                   *good = fixture_sign(h, p, 0);
    AUTO_FREE char *wrong_aud = fixture_payload("aud", "\"x\"", NULL),
                   *wrong = fixture_sign(h, wrong_aud, 0);
    const struct registry *r = topology_registry(fixture_t, "contoso");
    const int64_t exp_ms = 1800000890000;
    ck_assert_int_eq(token_verify_access(fixture_t, r, good, exp_ms + 59000, &a, &acc), 0);
    ck_assert_int_eq(token_verify_access(fixture_t, r, good, exp_ms + 60000, &a, &acc),
                     ERR_EXPIRED);
    ck_assert_int_eq(token_verify_access(fixture_t, r, wrong, exp_ms + 60000, &a, &acc), ERR_AUTH);
    ck_assert_int_eq(token_verify_access(fixture_t, r, good, 1799999990000 - 60000, &a, &acc), 0);
    ck_assert_int_eq(token_verify_access(fixture_t, r, good, 1799999990000 - 61000, &a, &acc),
                     ERR_AUTH);
    arena_done(&a);
    fixture_teardown();
}
END_TEST

static struct registry of_incarnation(uint64_t incarnation)
{
    struct registry r = *topology_registry(fixture_t, "contoso");
    r.incarnation = incarnation;
    return r;
}

// A name may have gone to another owner: what was given for the registry before is good for
// nothing.
START_TEST(a_token_is_for_one_incarnation)
{
    static const uint64_t all[] = {0, 1, 7, 8, INT64_MAX};
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const char *refresh,
            *access = fixture_access(0, "contoso.meridian.test", all[i], NULL, 0, NOW_MS, &a);
        const struct token_ask ask = {.service = "contoso.meridian.test",
                                      .incarnation = all[i],
                                      .subject = "ada",
                                      .now_ms = NOW_MS,
                                      .generation = 3};
        ck_assert_int_eq(token_issue_refresh(fixture_keys[0], &ask, &a, &refresh), 0);
        for (size_t k = 0; k < ARRAY_LEN(all); k++) {
            struct registry r = of_incarnation(all[k]);
            struct claims c;
            int wanted = i == k ? 0 : ERR_AUTH;
            ck_assert_int_eq(token_verify(fixture_t, &r, access, TOKEN_ACCESS, NOW_MS, &a, &c),
                             wanted);
            ck_assert_int_eq(token_verify(fixture_t, &r, refresh, TOKEN_REFRESH, NOW_MS, &a, &c),
                             wanted);
        }
    }
    arena_done(&a);
    fixture_teardown();
}
END_TEST

START_TEST(an_incarnation_is_a_whole_number)
{
    static const struct {
        const char *claim;
        uint64_t incarnation;
        int rc;
    } cases[] = {
        {",\"inc\":7", 7, 0},
        {",\"inc\":7.0", 7, ERR_AUTH},
        {",\"inc\":\"7\"", 7, ERR_AUTH},
        {",\"inc\":[7]", 7, ERR_AUTH},
        {",\"inc\":null", 7, ERR_AUTH},
        {",\"inc\":null", 0, ERR_AUTH},
        {",\"inc\":0", 0, ERR_AUTH},
        {",\"inc\":-7", 0, ERR_AUTH},
        {",\"inc\":18446744073709551623", 7, ERR_AUTH},
    };
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *h = fixture_header(0), *p = fixture_payload(NULL, NULL, cases[i].claim),
                       *token = fixture_sign(h, p, 0);
        struct registry r = of_incarnation(cases[i].incarnation);
        struct access acc;
        int rc = token_verify_access(fixture_t, &r, token, NOW_MS, &a, &acc);
        ck_assert_msg(rc == cases[i].rc, "%s: %d", cases[i].claim, rc);
    }
    arena_done(&a);
    fixture_teardown();
}
END_TEST

START_TEST(a_key_counts_only_where_its_region_holds_the_registry_and_while_it_is_pinned)
{
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    struct access acc;
    const char *token;
    token = fixture_access(2, "fabrikam.meridian.test", 0, NULL, 0, NOW_MS, &a);
    // southeastasia holds no fabrikam
    ck_assert_int_eq(verify_for("fabrikam", token, &a, &acc), ERR_AUTH);
    token = fixture_access(1, "fabrikam.meridian.test", 0, NULL, 0, NOW_MS, &a);
    ck_assert_int_eq(verify_for("fabrikam", token, &a, &acc), 0);
    token = fixture_access(0, "contoso.meridian.test", 0, NULL, 0, NOW_MS, &a);
    ck_assert_int_eq(verify_for("contoso", token, &a, &acc), 0);
    struct topology *without = fixture_topology(2, false);
    ck_assert_int_eq(token_verify_access(without, topology_registry(without, "contoso"), token,
                                         NOW_MS, &a, &acc),
                     ERR_AUTH);
    snapshot_unref(without);
    arena_done(&a);
    fixture_teardown();
}
END_TEST

static int check(struct http_request *req, const char *registry, struct access *out)
{
    return auth_check(fixture_t, topology_registry(fixture_t, registry), req, NOW_MS, NULL, out);
}

static struct http_request *request_with(const char *authorization)
{
    struct http_request *req = http_request_test_new("GET", "/v2/", "contoso.meridian.test");
    if (authorization)
        http_request_test_header(req, "Authorization", authorization);
    return req;
}

START_TEST(requests_are_judged_by_bearer_then_peer_then_as_anonymous)
{
    fixture_setup();
    struct access acc;
    struct http_request *req = request_with(NULL);
    ck_assert_int_eq(check(req, "contoso", &acc), 0);
    ck_assert(acc.anonymous && !acc.everywhere);
    ck_assert_int_eq(check(req, "openlib", &acc), 0);
    ck_assert_uint_eq(access_actions(&acc, "any"), ACTION_PULL | ACTION_META_READ);
    req->listener = LISTENER_PEER;
    ck_assert_int_eq(check(req, "contoso", &acc), ERR_DENIED);
    req->peer_cert_fingerprint = "3333333333333333333333333333333333333333333333333333333333333333";
    ck_assert_int_eq(check(req, "contoso", &acc), 0);
    ck_assert(acc.peer);
    ck_assert_str_eq(acc.principal, "peer:southeastasia");
    ck_assert_uint_eq(access_actions(&acc, "any"), ACTION_PULL | ACTION_META_READ);
    ck_assert_int_eq(check(req, "fabrikam", &acc), ERR_DENIED); // no replica there
    req->peer_cert_fingerprint = "4444444444444444444444444444444444444444444444444444444444444444";
    ck_assert_int_eq(check(req, "contoso", &acc), ERR_DENIED);
    http_request_test_free(req);

    static const char *const bad[] = {"Bearer",         "Bearer ",     "Bearer x",
                                      "Basic YWRhOng=", "Negotiate x", ""};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        req = request_with(bad[i]);
        // never taken for anonymous
        ck_assert_msg(check(req, "openlib", &acc) == ERR_AUTH, "%s", bad[i]);
        req->listener = LISTENER_PEER;
        req->peer_cert_fingerprint =
            "3333333333333333333333333333333333333333333333333333333333333333";
        ck_assert_msg(check(req, "contoso", &acc) == ERR_AUTH, "%s", bad[i]); // nor for the peer
        http_request_test_free(req);
    }
    AUTO_FREE char *h = fixture_header(0), *p = fixture_payload(NULL, NULL, NULL),
                   *good = fixture_sign(h, p, 0);
    AUTO_FREE char *bearer = mem_printf("bearer %s", good);
    req = request_with(bearer);
    ck_assert_int_eq(check(req, "contoso", &acc), 0);
    http_request_test_header(req, "Authorization", bearer);
    ck_assert_int_eq(check(req, "contoso", &acc), ERR_AUTH); // two of them
    http_request_test_free(req);
    fixture_teardown();
}
END_TEST

static int self_check(const struct topology *t, const char *region, int keys, char *why, size_t cap)
{
    struct diag d;
    diag_init(&d);
    int rc = auth_self_check(t, region, fixture_keys[keys], NOW_MS, &d);
    ck_assert_uint_eq(d.n, rc != 0);
    snprintf(why, cap, "%s", d.n ? d.lines[0] : "");
    diag_done(&d);
    return rc;
}

START_TEST(a_region_judges_its_own_token_key)
{
    char why[1024];
    fixture_setup();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(self_check(fixture_t, fixture_regions[i], i, why, sizeof why), 0);
    struct topology *without = fixture_topology(2, false); // eastus signs with what nobody knows
    ck_assert_int_eq(self_check(without, "eastus", 0, why, sizeof why), ERR_AUTH);
    ck_assert_msg(strstr(why, "(version 2) does not name the token key eastus-token-") &&
                      strstr(why, "identities.eastus.token_keys"),
                  "%s", why);
    ck_assert_int_eq(self_check(without, "westeurope", 1, why, sizeof why), 0);
    ck_assert_int_eq(self_check(without, "nowhere", 1, why, sizeof why), ERR_AUTH);
    // another region's key
    ck_assert_int_eq(self_check(without, "westeurope", 2, why, sizeof why), ERR_AUTH);
    ck_assert_ptr_nonnull(strstr(why, "as one of southeastasia"));
    // Its id, with another public half.
    fixture_other_half = region_keys_token_spki(fixture_keys[1]);
    struct topology *mixed = fixture_topology(3, true);
    ck_assert_int_eq(self_check(mixed, "eastus", 0, why, sizeof why), ERR_AUTH);
    ck_assert_msg(strstr(why, "refused by this node's own verifier") &&
                      strstr(why, "another public half"),
                  "%s", why);
    fixture_other_half = NULL;
    snapshot_unref(mixed);
    snapshot_unref(without);
    fixture_teardown();
}
END_TEST

static void challenge(const char *host_text, const char *scope, int why, const char *expected)
{
    struct http_request *req = http_request_test_new("GET", "/v2/", host_text);
    struct hostname host;
    struct http_response resp = {0};
    hostname_parse_http_host(host_text, "meridian.test", &host);
    auth_challenge(req, fixture_t, &host, scope, why, &resp);
    ck_assert_int_eq(resp.status, expected ? 401 : 421);
    if (expected)
        ck_assert_str_eq(http_response_get(&resp, "WWW-Authenticate"), expected);
    http_request_test_free(req);
}

START_TEST(challenge_is_formatted_from_the_parsed_name)
{
    fixture_setup();
    challenge(
        "contoso.meridian.test", NULL, 0,
        "Bearer "
        "realm=\"https://contoso.meridian.test/oauth2/token\",service=\"contoso.meridian.test\"");
    challenge("CONTOSO.EastUS.geo.Meridian.Test:443", "repository:team/app:pull", 0,
              "Bearer realm=\"https://contoso.eastus.geo.meridian.test/oauth2/token\","
              "service=\"contoso.meridian.test\",scope=\"repository:team/app:pull\"");
    challenge(
        "contoso.westeurope.geo.privatelink.meridian.test", "repository:a:pull,push", ERR_EXPIRED,
        "Bearer realm=\"https://contoso.westeurope.geo.privatelink.meridian.test/oauth2/token\","
        "service=\"contoso.meridian.test\",scope=\"repository:a:pull,push\",error=\"invalid_"
        "token\"");
    challenge(
        "contoso.meridian.test", "repository:a:push", ERR_DENIED,
        "Bearer "
        "realm=\"https://contoso.meridian.test/oauth2/token\",service=\"contoso.meridian.test\","
        "scope=\"repository:a:push\",error=\"insufficient_scope\"");
    challenge(
        "contoso.meridian.test", "x\",realm=\"https://evil.example/", 0,
        "Bearer "
        "realm=\"https://contoso.meridian.test/oauth2/token\",service=\"contoso.meridian.test\"");
    challenge("evil.example", NULL, 0, NULL);
    fixture_teardown();
}
END_TEST

CHECK_MAIN("auth/verify", what_a_region_issues_every_region_believes,
           a_token_is_read_once_and_judged_each_time, the_hand_made_good_token_is_good,
           bad_tokens_are_refused, every_set_of_actions_survives_a_token,
           tokens_of_the_release_before_mean_what_they_meant, a_part_of_the_catalogue_is_carried,
           a_revoked_token_is_none_in_any_region, malformed_texts_are_refused,
           expiry_allows_for_skew_and_is_told_apart, a_token_is_for_one_incarnation,
           an_incarnation_is_a_whole_number,
           a_key_counts_only_where_its_region_holds_the_registry_and_while_it_is_pinned,
           a_region_judges_its_own_token_key,
           requests_are_judged_by_bearer_then_peer_then_as_anonymous,
           challenge_is_formatted_from_the_parsed_name)
