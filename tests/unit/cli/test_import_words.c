// SPDX-License-Identifier: Apache-2.0
// cli/import_words: challenges of many registries, links, times, tags, and the words of the command.
#include "cli/import_words.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

START_TEST(challenges)
{
    static const struct {
        const char *text;
        enum challenge_kind kind;
        const char *realm, *service, *scope;
    } rows[] = {
        {"Bearer realm=\"https://auth.example/token\",service=\"s\",scope=\"repository:a/b:pull\"",
         CHALLENGE_BEARER, "https://auth.example/token", "s", "repository:a/b:pull"},
        {"bearer Realm = \"https://a/\\\"\" , error=\"invalid_token\"", CHALLENGE_NONE, "", "", ""},
        {"BEARER realm=https://a/t,service=s", CHALLENGE_BEARER, "https://a/t", "s", ""},
        {"Basic realm=\"a, b\", Bearer realm=\"https://a\"", CHALLENGE_BEARER, "https://a", "", ""},
        {"Bearer realm=\"http://a/token\", Basic realm=x", CHALLENGE_BASIC, "x", "", ""},
        {"Negotiate abcd==, Basic realm=\"r\"", CHALLENGE_BASIC, "r", "", ""},
        {"Basic", CHALLENGE_BASIC, "", "", ""},
        {"Bearer realm=\"https://a", CHALLENGE_NONE, "", "", ""},
        {"Bearer realm=\"https://a b\"", CHALLENGE_NONE, "", "", ""},
        {"Digest realm=\"x\"", CHALLENGE_NONE, "", "", ""},
        {"", CHALLENGE_NONE, "", "", ""},
        {"=,=\"", CHALLENGE_NONE, "", "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct challenge ch = challenge_parse(rows[i].text);
        ck_assert_msg(ch.kind == rows[i].kind, "%s: %d", rows[i].text, ch.kind);
        ck_assert_str_eq(ch.realm, rows[i].realm);
        ck_assert_str_eq(ch.service, rows[i].service);
        ck_assert_str_eq(ch.scope, rows[i].scope);
    }
}
END_TEST

START_TEST(a_challenge_that_is_too_long_is_none)
{
    char text[4096] = "Bearer realm=\"https://a/";
    memset(text + strlen(text), 'x', 2000);
    strcat(text, "\"");
    ck_assert_int_eq(challenge_parse(text).kind, CHALLENGE_NONE);
}
END_TEST

START_TEST(links)
{
    static const struct {
        const char *text;
        int rc;
        const char *path;
    } rows[] = {
        {"</v2/_catalog?last=b&n=2>; rel=\"next\"", 0, "/v2/_catalog?last=b&n=2"},
        {"<https://other.example:5000/v2/a/tags/list?n=1>; rel=next", 0, "/v2/a/tags/list?n=1"},
        {"</v2/_catalog>; rel=\"prev\"", ERR_NOTFOUND, ""},
        {"</etc/passwd>; rel=\"next\"", ERR_INVAL, ""},
        {"</v2/../admin>; rel=\"next\"", ERR_INVAL, ""},
        {"</v2/a b>; rel=\"next\"", ERR_INVAL, ""},
        {"<https://no-path>; rel=\"next\"", ERR_INVAL, ""},
        {"rel=\"next\"", ERR_NOTFOUND, ""},
        {"</v2/a", ERR_NOTFOUND, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[64] = "";
        ck_assert_int_eq(link_next_parse(rows[i].text, out, sizeof out), rows[i].rc);
        if (!rows[i].rc)
            ck_assert_str_eq(out, rows[i].path);
    }
    char small[8];
    ck_assert_int_eq(link_next_parse("</v2/_catalog>; rel=next", small, sizeof small), ERR_INVAL);
}
END_TEST

START_TEST(times)
{
    static const struct {
        const char *text;
        int rc;
        int64_t ms;
    } rows[] = {
        {"2020-01-02T03:04:05Z", 0, 1577934245000},
        {"2020-01-02T03:04:05.678901234Z", 0, 1577934245678},
        {"2020-01-02T05:04:05.5+02:00", 0, 1577934245500},
        {"2020-01-01t22:04:05-05:00", 0, 1577934245000},
        {"0001-01-01T00:00:00Z", ERR_NOTFOUND, 0},
        {"1970-01-01T00:00:00Z", ERR_NOTFOUND, 0},
        {"2020-01-02", ERR_INVAL, 0},
        {"2020-13-02T03:04:05Z", ERR_INVAL, 0},
        {"2020-01-02T03:04:05", ERR_INVAL, 0},
        {"2020-01-02T03:04:05.Z", ERR_INVAL, 0},
        {"2020-01-02T03:04:05+2:00", ERR_INVAL, 0},
        {"", ERR_INVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = 0;
        ck_assert_msg(created_parse(rows[i].text, &ms) == rows[i].rc, "%s", rows[i].text);
        ck_assert_int_eq(ms, rows[i].ms);
    }
    ck_assert_int_eq(retry_after_parse("120", 0), 120);
    ck_assert_int_eq(retry_after_parse("99999999999999", 0), INT32_MAX);
    ck_assert_int_eq(retry_after_parse("Thu, 02 Jan 2020 03:04:05 GMT", 1577934200000), 45);
    ck_assert_int_eq(retry_after_parse("Thu, 02 Jan 2020 03:04:05 GMT", 1577934300000), 0);
    ck_assert_int_eq(retry_after_parse("soon", 0), -1);
    ck_assert_int_eq(retry_after_parse("", 0), -1);
}
END_TEST

START_TEST(names)
{
    char tag[TAG_SCHEMA_SIZE];
    struct digest d;
    ck_assert(tag_name_ok("v1.2_3-x") && tag_name_ok("_"));
    ck_assert(!tag_name_ok("") && !tag_name_ok(".x") && !tag_name_ok("a/b") && !tag_name_ok("a\n"));
    ck_assert_int_eq(digest_of(DIGEST_SHA256, "", 0, &d), 0);
    tag_schema_format(&d, tag);
    ck_assert_str_eq(tag,
                     "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    ck_assert(tag_schema_ok(tag) && tag_name_ok(tag));
    ck_assert_int_eq(digest_of(DIGEST_SHA512, "", 0, &d), 0); // its first 64 digits
    tag_schema_format(&d, tag);
    ck_assert_str_eq(tag,
                     "sha512-cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce");
    ck_assert(tag_schema_ok(tag) && tag_name_ok(tag));
    ck_assert(!tag_schema_ok("sha256-00") && !tag_schema_ok("sha256") && !tag_schema_ok(""));
    strcpy(tag + 7 + 60, ".sig"); // cosign's own tags are tags like others
    ck_assert(!tag_schema_ok(tag));
    ck_assert(globs_match(NULL, "a") && globs_match("b,a*", "abc") && globs_match("*/x", "a/b/x"));
    ck_assert(!globs_match("", "a") && !globs_match("b,c", "a") && !globs_match("a/*", "b/a/c"));
}
END_TEST

START_TEST(places)
{
    static const struct {
        const char *word, *host, *repository;
    } good[] = {
        {"registry.example", "registry.example", ""},
        {"https://registry.example:5000/a/b", "registry.example:5000", "a/b"},
        {"10.0.0.1:443/", "10.0.0.1:443", ""},
        {"docker.io/nginx", "registry-1.docker.io", "library/nginx"},
        {"docker.io/grafana/loki", "registry-1.docker.io", "grafana/loki"},
    };
    static const char *const bad[] = {"",        "/a",      "a:0",   "a:99999",    "a:x",
                                      "a b/c",   "a/Upper", "a@b/c", "http://a/b", "-a/b",
                                      "a/b:tag", "[::1]/b", "a//b"};
    struct import_place at;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_int_eq(import_place_parse(good[i].word, &at), 0);
        ck_assert_str_eq(at.host, good[i].host);
        ck_assert_str_eq(at.repository, good[i].repository);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(import_place_parse(bad[i], &at) == ERR_INVAL, "%s", bad[i]);
}
END_TEST

START_TEST(words_of_strangers)
{
    char out[16];
    words_clean("plain", out, sizeof out);
    ck_assert_str_eq(out, "plain");
    words_clean("\x1b]0;x\x07 \xc3\xa9\n", out, sizeof out);
    ck_assert_str_eq(out, "?]0;x? ???");
    words_clean("0123456789abcdefgh", out, sizeof out);
    ck_assert_str_eq(out, "0123456789abcde");
}
END_TEST

CHECK_MAIN("cli/import_words", challenges, a_challenge_that_is_too_long_is_none, links, times,
           names, places, words_of_strangers)
