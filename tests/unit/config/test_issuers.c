// SPDX-License-Identifier: Apache-2.0
// config/issuers: which issuers and rules are taken, which are refused, and the way back to a file.
#include "config/issuers.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

#define HEAD "version: 3\nusers: []\n"
#define MAPS                                                                               \
    "scope_maps:\n  - {name: web, registry: contoso, grants: [{repositories: [\"web/*\", " \
    "other], actions: [content/read, content/write]}]}\n"
#define GITHUB \
    "issuers:\n  - name: github\n    issuer: https://token.example\n    registry: contoso\n"
#define RULE(match, gives) GITHUB "    rules:\n      - {name: r, match: " match ", " gives "}\n"
#define PULL "scope_map: _pull, repositories: [\"*\"]"

static struct principals *parse_ok(const char *text)
{
    struct diag d;
    struct principals *p = NULL;
    diag_init(&d);
    int rc = principals_parse(text, strlen(text), "p.yaml", &d, &p);
    ck_assert_msg(rc == 0, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return p;
}

static const char every_key[] = HEAD MAPS
    "issuers:\n"
    "  - name: github\n    issuer: https://token.example/x\n    registry: contoso\n"
    "    ca: \"MIIBszCCAVmgAwIBAgIUYWJjZGVmZ2hpamtsbW5vcHFyc3QwCgYIKoZIzj0E\"\n"
    "    address: 10.1.2.3:6443\n    lifetime: 10m\n    rules:\n"
    "      - name: deploy\n        match: {repository_id: \"123\", ref: [refs/heads/main, a\"b]}\n"
    "        scope_map: web\n        repositories: [\"web/*\"]\n"
    "      - name: all\n        match: {sub: \"repo:contoso/*\"}\n"
    "        grants: [{repositories: [\"*\"], actions: [content/read, metadata/read]}]\n"
    "  - name: cluster\n    issuer: https://kubernetes.default.svc\n    registry: contoso\n"
    "    ca_file: /etc/ca.pem\n    keys: '{\"keys\":[]}'\n    rules:\n"
    "      - {name: r, match: {kubernetes.io/serviceaccount/uid: u-1}, " PULL "}\n"
    "  - {name: github, issuer: https://token.example/x, registry: fabrikam, keys_file: /k, rules: "
    "[{name: r, match: {sub: s}, " PULL "}]}\n";

static void check_every_key(const struct principals *p)
{
    ck_assert_uint_eq(p->n_issuers, 3);
    const struct issuer *i = issuer_by_url(p, "contoso", "https://token.example/x");
    ck_assert_ptr_eq(i, issuer_by_name(p, "contoso", "github"));
    ck_assert_ptr_ne(i, issuer_by_name(p, "fabrikam", "github"));
    ck_assert_ptr_null(issuer_by_url(p, "contoso", "https://token.example/x/"));
    ck_assert_ptr_null(issuer_by_url(p, "openlib", "https://token.example/x"));
    ck_assert_uint_eq(i->lifetime_s, 600);
    ck_assert_uint_eq(i->address.port, 6443);
    ck_assert_uint_eq(i->n_rules, 2);
    const struct issuer_rule *deploy = &i->rules[0], *all = &i->rules[1];
    ck_assert_uint_eq(deploy->n_matches, 2);
    ck_assert_str_eq(deploy->matches[1].values[1], "a\"b");
    ck_assert_uint_eq(deploy->n_grants, 1);
    ck_assert_uint_eq(deploy->grants[0].n_repositories, 1);
    ck_assert_str_eq(deploy->grants[0].repositories[0], "web/*");
    ck_assert_uint_eq(deploy->grants[0].actions, ACTION_PULL | ACTION_PUSH);
    ck_assert_uint_eq(all->grants[0].actions, ACTION_PULL | ACTION_META_READ);
    ck_assert_str_eq(all->grants[0].registry, "contoso");
    ck_assert_ptr_eq(issuer_rule_by_fingerprint(i, all->fingerprint), all);
    ck_assert_ptr_null(issuer_rule_by_fingerprint(i, 0));
    ck_assert(all->fingerprint <= INT64_MAX && all->fingerprint != deploy->fingerprint);
    const struct issuer *cluster = issuer_by_name(p, "contoso", "cluster");
    ck_assert_str_eq(cluster->keys, "{\"keys\":[]}");
    ck_assert_uint_eq(cluster->lifetime_s, 3600);
    ck_assert_uint_eq(cluster->address.port, 0);
    ck_assert_uint_eq(cluster->rules[0].grants[0].actions, ACTION_PULL);
}

START_TEST(issuers_are_read_and_written)
{
    struct principals *p = parse_ok(every_key), *again = NULL;
    struct buf b;
    check_every_key(p);
    ck_assert_int_eq(principals_format(p, &b), 0);
    again = parse_ok(b.p);
    check_every_key(again);
    for (size_t i = 0; i < p->n_issuers; i++) {
        ck_assert_uint_eq(p->issuers[i].source, again->issuers[i].source);
        for (size_t k = 0; k < p->issuers[i].n_rules; k++)
            ck_assert_uint_eq(p->issuers[i].rules[k].fingerprint,
                              again->issuers[i].rules[k].fingerprint);
    }
    buf_done(&b);
    snapshot_unref(p);
    snapshot_unref(again);
}
END_TEST

static uint64_t fingerprint_of(const char *text)
{
    struct principals *p = parse_ok(text);
    uint64_t f = p->issuers[0].rules[0].fingerprint;
    snapshot_unref(p);
    return f;
}

// What a refresh token hangs on: the issuer and the match, not what the rule gives.
START_TEST(a_fingerprint_is_of_issuer_and_match)
{
    uint64_t f = fingerprint_of(HEAD RULE("{sub: s}", PULL));
    ck_assert_uint_eq(f,
                      fingerprint_of(HEAD RULE("{sub: s}", "scope_map: _push, repositories: [a]")));
    ck_assert_uint_ne(f, fingerprint_of(HEAD RULE("{sub: t}", PULL)));
    ck_assert_uint_ne(f, fingerprint_of(HEAD RULE("{sub: [s, t]}", PULL)));
    ck_assert_uint_ne(f, fingerprint_of(HEAD RULE("{sub: s, ref: x}", PULL)));
    ck_assert_uint_ne(fingerprint_of(HEAD RULE("{sub: s, a: bc}", PULL)),
                      fingerprint_of(HEAD RULE("{sub: s, ab: c}", PULL)));
}
END_TEST

START_TEST(what_is_refused)
{
    static const struct {
        const char *text, *fragment;
    } rows[] = {
        {HEAD RULE("{repository: contoso/web}", PULL), "names alone can change hands"},
        {HEAD RULE("{ref: refs/heads/main, aud: x}", PULL), "needs sub, or an id"},
        {HEAD RULE("{}", PULL), "expected 1 to 32 claims"},
        {HEAD RULE("[sub]", PULL), "expected 1 to 32 claims"},
        {HEAD RULE("{sub: \"*\"}", PULL), "after two parts"},
        {HEAD RULE("{sub: \"repo:*\"}", PULL), "after two parts"},
        {HEAD RULE("{sub: \"repo:contoso*\"}", PULL), "after two parts"},
        {HEAD RULE("{sub: []}", PULL), "a list of 1 to 64"},
        {HEAD RULE("{sub: {a: b}}", PULL), "a list of 1 to 64"},
        {HEAD RULE("{sub: [[a]]}", PULL), "bytes of text"},
        {HEAD RULE("{sub: \"\"}", PULL), "bytes of text"},
        {HEAD RULE("{sub: s, \"a b\": c}", PULL), "no name of a claim"},
        {HEAD RULE("{sub: s}", "scope_map: nothing"), "scope_map: no scope map"},
        {HEAD RULE("{sub: s}", "scope_map: _pull"), "scope_map: no scope map"},
        {HEAD RULE("{sub: s}", "scope_map: _root, repositories: [a]"), "scope_map: no scope map"},
        {HEAD RULE("{sub: s}", "grants: []"), "either scope_map or grants"},
        {HEAD RULE("{sub: s}", "scope_map: _pull, repositories: [a], grants: [{repositories: [a], "
                               "actions: [content/read]}]"),
         "either scope_map or grants"},
        {HEAD RULE("{sub: s}", "repositories: [a], grants: [{repositories: [a], actions: "
                               "[content/read]}]"),
         "stands with scope_map"},
        {HEAD RULE("{sub: s}", "grants: [{repositories: [a], actions: [pull]}]"), "actions"},
        {HEAD GITHUB "    rules: []\n", "needs at least 1"},
        {HEAD GITHUB "    ca: nonsense\n    rules: [{name: r, match: {sub: s}, " PULL "}]\n",
         "the base64 of a certificate"},
        {HEAD GITHUB "    keys: x\n    rules: [{name: r, match: {sub: s}, " PULL "}]\n",
         "a JWK set"},
        {HEAD GITHUB
         "    keys: '{}'\n    keys_file: /k\n    rules: [{name: r, match: {sub: s}, " PULL "}]\n",
         "only one of them"},
        {HEAD GITHUB "    keys_file: k\n    rules: [{name: r, match: {sub: s}, " PULL "}]\n",
         "an absolute path"},
        {HEAD GITHUB "    lifetime: 2h\n    rules: [{name: r, match: {sub: s}, " PULL "}]\n",
         "out of range"},
        {HEAD GITHUB "    rules: [{name: r, match: {sub: s}, " PULL
                     "}, {name: r, match: {sub: t}, " PULL "}]\n",
         "rule r is given twice"},
        {HEAD "issuers: [{name: g, issuer: 'http://a.example', registry: contoso, rules: []}]\n",
         "an https:// URL"},
        {HEAD "issuers: [{name: g, issuer: 'https://a.example?x', registry: contoso, rules: []}]\n",
         "an https:// URL"},
        {HEAD "issuers: [{name: g, issuer: 'https://u@a.example', registry: contoso, rules: []}]\n",
         "an https:// URL"},
        {HEAD
         "issuers: [{name: 'a:b', issuer: 'https://a.example', registry: contoso, rules: []}]\n",
         "lower-case letters, digits and hyphens"},
        {HEAD GITHUB "    rules: [{name: r, match: {sub: s}, " PULL "}]\n"
                     "  - {name: other, issuer: 'https://token.example', registry: contoso, rules: "
                     "[{name: r, match: {sub: s}, " PULL "}]}\n",
         "has this name or this issuer already"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct diag d;
        struct principals *p = NULL;
        diag_init(&d);
        ck_assert_msg(principals_parse(rows[i].text, strlen(rows[i].text), "p.yaml", &d, &p) ==
                          ERR_INVAL,
                      "%s", rows[i].text);
        AUTO_FREE char *all = diag_text(&d);
        ck_assert_msg(strstr(all, rows[i].fragment) != NULL, "row %zu: %s", i, all);
        diag_done(&d);
    }
}
END_TEST

START_TEST(values_of_claims)
{
    ck_assert(claim_value_matches("sub", "repo:a/*", "repo:a/b:ref:x"));
    ck_assert(!claim_value_matches("sub", "repo:a/*", "repo:a/"));
    ck_assert(!claim_value_matches("sub", "repo:a/*", "repo:ab/c"));
    ck_assert(!claim_value_matches("sub", "repo:a/b", "repo:a/bc"));
    ck_assert(!claim_value_matches("ref", "refs/heads/*", "refs/heads/main")); // of sub alone
    ck_assert(claim_value_matches("ref", "refs/heads/*", "refs/heads/*"));
}
END_TEST

CHECK_MAIN("config/issuers", issuers_are_read_and_written, a_fingerprint_is_of_issuer_and_match,
           what_is_refused, values_of_claims)
