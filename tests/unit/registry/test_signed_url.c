// SPDX-License-Identifier: Apache-2.0
// registry/signed_url: holds as made, and falls with any field changed.
#include "registry/signed_url.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define NOW_S 1800000000

static const uint8_t key[SIGNED_URL_KEY_BYTES] = {1, 2, 3},
                     other_key[SIGNED_URL_KEY_BYTES] = {1, 2, 4};
static const struct signed_url good = {.kind = "upload",
                                       .methods = SIGNED_URL_UPLOAD_METHODS,
                                       .host = "contoso.eastus.geo.meridian.test",
                                       .registry = "contoso",
                                       .repository = "team/app",
                                       .object = "eastus.0123456789abcdef0123456789abcdef",
                                       .principal = "ada",
                                       .expires_s = NOW_S + 60};

static int check(const uint8_t *k, const struct signed_url *u, const char *value, int64_t now_s,
                 char who[64])
{
    struct arena a;
    const char *principal = NULL;
    arena_init(&a, 0);
    int rc = signed_url_check(k, u, value, now_s * 1000, &a, &principal);
    if (!rc)
        snprintf(who, 64, "%s", principal);
    arena_done(&a);
    return rc;
}

static const char *make(struct arena *a, const struct signed_url *u)
{
    const char *value = NULL;
    ck_assert_int_eq(signed_url_make(key, u, a, &value), 0);
    return value;
}

START_TEST(holds_until_it_expires)
{
    struct arena a;
    char who[64];
    arena_init(&a, 0);
    const char *v = make(&a, &good);
    ck_assert_int_eq(check(key, &good, v, NOW_S, who), 0);
    ck_assert_str_eq(who, "ada");
    ck_assert_int_eq(check(key, &good, v, NOW_S + 59, who), 0);
    ck_assert_int_eq(check(key, &good, v, NOW_S + 60, who), ERR_EXPIRED);
    ck_assert_int_eq(check(other_key, &good, v, NOW_S, who), ERR_AUTH);
    struct signed_url nobody = good;
    nobody.principal = "";
    ck_assert_int_eq(check(key, &nobody, make(&a, &nobody), NOW_S, who), 0);
    ck_assert_str_eq(who, "");
    arena_done(&a);
}
END_TEST

START_TEST(falls_with_every_field_of_the_request)
{
    struct arena a;
    char who[64];
    arena_init(&a, 0);
    const char *v = make(&a, &good);
    struct signed_url u[6];
    for (size_t i = 0; i < ARRAY_LEN(u); i++)
        u[i] = good;
    u[0].kind = "blob";
    u[1].methods = "GET";
    u[2].host = "contoso.westeurope.geo.meridian.test";
    u[3].registry = "fabrikam";
    u[4].repository = "team/app2";
    u[5].object = "eastus.1123456789abcdef0123456789abcdef";
    for (size_t i = 0; i < ARRAY_LEN(u); i++)
        ck_assert_int_eq(check(key, &u[i], v, NOW_S, who), ERR_AUTH);
    arena_done(&a);
}
END_TEST

START_TEST(falls_with_every_character_of_the_value)
{
    struct arena a;
    char who[64], text[512];
    arena_init(&a, 0);
    const char *v = make(&a, &good);
    size_t n = strlen(v);
    ck_assert_uint_lt(n, sizeof text);
    for (size_t i = 0; i < n; i++) {
        static const char with[] = "0A._-";
        for (size_t k = 0; k < sizeof with; k++) { // the last one is NUL: cut off there
            strcpy(text, v);
            if (text[i] == with[k])
                continue;
            text[i] = with[k];
            ck_assert_msg(check(key, &good, text, NOW_S, who) != 0, "at %zu: %s", i, text);
        }
        snprintf(text, sizeof text, "%.*s%s", (int)i, v, v + i + 1); // one left out
        ck_assert_msg(check(key, &good, text, NOW_S, who) != 0 || !strcmp(text, v), "without %zu",
                      i);
    }
    static const char *const odd[] = {
        "", ".", "...", "....", "a.1.b.c", "a.-1.b.c", "a.99999999999999999999.b.c"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        ck_assert_int_eq(check(key, &good, odd[i], NOW_S, who), ERR_AUTH);
    snprintf(text, sizeof text, "%s.", v);
    ck_assert_int_eq(check(key, &good, text, NOW_S, who), ERR_AUTH);
    arena_done(&a);
}
END_TEST

START_TEST(refuses_fields_that_could_move_the_borders)
{
    struct arena a;
    const char *v = NULL;
    arena_init(&a, 0);
    struct signed_url u = good;
    u.repository = "team\napp";
    ck_assert_int_eq(signed_url_make(key, &u, &a, &v), ERR_INVAL);
    u = good;
    u.principal = "a\nb";
    ck_assert_int_eq(signed_url_make(key, &u, &a, &v), ERR_INVAL);
    // not user names
    static const char *const nobodies[] = {"peer:eastus", "ada lovelace", "\xc3\xa5sa"};
    for (size_t i = 0; i < ARRAY_LEN(nobodies); i++) {
        u.principal = nobodies[i];
        ck_assert_int_eq(signed_url_make(key, &u, &a, &v), ERR_INVAL);
    }
    ck_assert_ptr_null(v);
    arena_done(&a);
}
END_TEST

CHECK_MAIN("registry/signed_url", holds_until_it_expires, falls_with_every_field_of_the_request,
           falls_with_every_character_of_the_value, refuses_fields_that_could_move_the_borders)
