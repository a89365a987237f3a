// SPDX-License-Identifier: Apache-2.0
// config/policy: what a document says is what is found, the first rule that fits holds, patterns,
// who runs the rules, and policies as bytes.
#include "config/policy.h"

#include "base/bytes.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <string.h>
#include <time.h>

#define FRAME                                                                             \
    "version: 50\ndomain: example.io\nregions:\n"                                         \
    "  - {name: eastus, peer: 192.0.2.1:8443, stamps: [{name: s1, ipv4: [192.0.2.1]}]}\n" \
    "  - {name: westus, peer: 192.0.2.2:8443, stamps: [{name: s1, ipv4: [192.0.2.2]}]}\n" \
    "  - {name: asia, peer: 192.0.2.3:8443, stamps: [{name: s1, ipv4: [192.0.2.3]}]}\n"   \
    "name_servers: [s1.eastus]\nregistries:\n"
#define REPLICAS "    replicas: [{region: eastus}, {region: westus}, {region: asia}]\n"

static struct topology *topology_of(const char *registries)
{
    struct diag d;
    struct topology *t = NULL;
    char *text = mem_printf(FRAME "%s", registries);
    diag_init(&d);
    int rc = topology_parse(text, strlen(text), "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    free(text);
    return t;
}

#define RULES                                                                                   \
    "  - name: contoso\n" REPLICAS                                                              \
    "    quota: 500GiB\n    push_move: regional\n    ack: peers:2\n"                            \
    "    repositories:\n"                                                                       \
    "      - {match: prod/*, quota: 2TiB, sparse: allowed, immutable: [v*, release-*-final]}\n" \
    "      - {match: '*/scratch', retention: {untagged: 7d, keep_last: 10, tags: dev-*}}\n"     \
    "      - {match: app, retention: {keep_last: 3}}\n"

START_TEST(limits_of_requests)
{
    struct topology *t = topology_of(
        "  - name: contoso\n" REPLICAS
        "    limits: { reads: 60000, tokens: 5, per_identity: { writes: 600, reads: 7 },\n"
        "              per_network: { deletes: 1, lists: 6000000 } }\n"
        "  - name: fabrikam\n" REPLICAS "    quota: 1GiB\n");
    const struct rates *r = policy_rates(topology_registry(t, "contoso"));
    ck_assert_ptr_nonnull(r);
    ck_assert_uint_eq(r->per_minute[RATE_REGISTRY][REQUEST_READ], 60000);
    ck_assert_uint_eq(r->per_minute[RATE_REGISTRY][REQUEST_TOKEN], 5);
    ck_assert_uint_eq(r->per_minute[RATE_IDENTITY][REQUEST_WRITE], 600);
    ck_assert_uint_eq(r->per_minute[RATE_IDENTITY][REQUEST_READ], 7);
    ck_assert_uint_eq(r->per_minute[RATE_NETWORK][REQUEST_DELETE], 1);
    ck_assert_uint_eq(r->per_minute[RATE_NETWORK][REQUEST_LIST], 6000000);
    ck_assert_uint_eq(r->per_minute[RATE_NETWORK][REQUEST_READ], 0);
    ck_assert_ptr_null(policy_rates(topology_registry(t, "fabrikam")));
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    rates_format(r, "  ", &text);
    ck_assert_str_eq(buf_cstr(&text), "  limits:\n    reads: 60000\n    tokens: 5\n"
                                      "    per_identity: { reads: 7, writes: 600 }\n"
                                      "    per_network: { deletes: 1, lists: 6000000 }\n");
    // as bytes, and judged
    struct arena a;
    arena_init(&a, 0);
    struct registry_policy p = {.rates = *r}, none = {0};
    AUTO_BUF struct buf b, plain;
    buf_init(&b, 0);
    buf_init(&plain, 0);
    policy_put(&b, &p);
    policy_put(&plain, &none);
    ck_assert_uint_eq(b.n, plain.n + 60); // nothing of one without
    struct cursor c = cursor_of(bytes_of(b.p, b.n));
    const struct registry_policy *again = policy_take(&c, &a);
    ck_assert_ptr_nonnull(again);
    ck_assert(rates_equal(&again->rates, r) && !cursor_left(&c));
    memset(b.p + 1, 0, 60); // limits that are none have no bytes
    c = cursor_of(bytes_of(b.p, b.n));
    ck_assert_ptr_null(policy_take(&c, &a));
    size_t rule;
    p.rates.per_minute[RATE_NETWORK][REQUEST_TOKEN] = RATE_MAX + 1;
    ck_assert_str_eq(policy_wrong(&p, &rule), "limits: more than a limit can be");
    arena_done(&a);
    snapshot_unref(t);
}
END_TEST

START_TEST(copying_ahead)
{
    struct topology *t = topology_of("  - name: contoso\n" REPLICAS "    copy_ahead: disabled\n"
                                     "  - name: fabrikam\n" REPLICAS "    copy_ahead: enabled\n");
    const struct registry *r = topology_registry(t, "contoso");
    ck_assert_int_eq(policy_copy_ahead(r), COPY_AHEAD_DISABLED);
    ck_assert_ptr_null(topology_registry(t, "fabrikam")->policy); // as without the word
    struct arena a;
    arena_init(&a, 0);
    const struct registry_policy none = {0};
    struct registry_policy p = *r->policy;
    AUTO_BUF struct buf b, plain;
    buf_init(&b, 0);
    buf_init(&plain, 0);
    policy_put(&b, &p);
    policy_put(&plain, &none);
    ck_assert_uint_eq(b.n, plain.n); // a bit, which releases without it refuse
    ck_assert(memcmp(b.p, plain.p, b.n) != 0);
    struct cursor c = cursor_of(bytes_of(b.p, b.n));
    const struct registry_policy *again = policy_take(&c, &a);
    ck_assert_ptr_nonnull(again);
    ck_assert_int_eq(again->copy_ahead, COPY_AHEAD_DISABLED);
    ck_assert_int_eq(again->push_move, PUSH_MOVE_NONE);
    size_t rule;
    p.copy_ahead = (enum copy_ahead)2;
    ck_assert_str_eq(policy_wrong(&p, &rule), "copy_ahead: neither enabled nor disabled");
    arena_done(&a);
    snapshot_unref(t);
}
END_TEST

START_TEST(what_a_document_says)
{
    struct topology *t = topology_of(RULES "  - name: fabrikam\n" REPLICAS);
    const struct registry *r = topology_registry(t, "contoso");
    ck_assert_uint_eq(policy_quota(r), 500ull << 30);
    ck_assert_int_eq(policy_push_move(r), PUSH_MOVE_REGIONAL);
    ck_assert_int_eq(policy_copy_ahead(r), COPY_AHEAD_ENABLED);
    ck_assert_uint_eq(policy_ack_peers(r), 2);
    ck_assert_uint_eq(policy_ack_most(r), 2);
    const struct repository_policy *p = policy_of(r, "prod/team/app");
    ck_assert_str_eq(p->match, "prod/*");
    ck_assert_uint_eq(p->quota_bytes, 2ull << 40);
    ck_assert(p->sparse && !policy_retains(p));
    ck_assert(policy_tag_immutable(p, "v1.2") && policy_tag_immutable(p, "release-7-final"));
    ck_assert(!policy_tag_immutable(p, "latest") && !policy_tag_immutable(p, "release-7"));
    // the first that fits, not the closest
    ck_assert_ptr_eq(policy_of(r, "prod/scratch"), p);
    p = policy_of(r, "dev/scratch");
    ck_assert_uint_eq(p->retention.untagged_ms, 7ull * 86400000);
    ck_assert_uint_eq(p->retention.keep_last, 10);
    ck_assert(policy_retains(p) && !p->sparse && !p->quota_bytes);
    ck_assert(policy_tag_counted(p, "dev-1") && !policy_tag_counted(p, "latest"));
    p = policy_of(r, "app");
    ck_assert(policy_tag_counted(p, "any") && !p->retention.untagged_ms);
    p = policy_of(r, "app/x");
    ck_assert_str_eq(p->match, "*");
    ck_assert(!policy_retains(p) && !policy_tag_counted(p, "any") && !p->immutable.n);
    r = topology_registry(t, "fabrikam");
    ck_assert_ptr_null(r->policy);
    ck_assert_uint_eq(policy_quota(r), 0);
    ck_assert_int_eq(policy_push_move(r), PUSH_MOVE_NONE);
    ck_assert_int_eq(policy_copy_ahead(r), COPY_AHEAD_ENABLED);
    ck_assert_uint_eq(policy_ack_peers(r), 0);
    ck_assert_str_eq(policy_of(r, "prod/app")->match, "*");
    snapshot_unref(t);
}
END_TEST

START_TEST(patterns)
{
    static const struct {
        const char *glob, *text;
        bool fits;
    } cases[] = {
        {"*", "", true},       {"*", "a/b", true},         {"", "", true},
        {"", "a", false},      {"a", "a", true},           {"a", "ab", false},
        {"a*", "a", true},     {"a*", "abc", true},        {"*a", "ba", true},
        {"*a", "ab", false},   {"a*b*c", "axxbyyc", true}, {"a*b*c", "acb", false},
        {"**", "x", true},     {"*ab", "aab", true},       {"*aab*", "aaab", true},
        {"a.c", "abc", false}, {"prod/*", "prod", false},  {"prod/*", "prod/", true},
        {"a*a", "a", false},   {"*-pr", "x-pr-pr", true},  {"v*.*", "v1", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(policy_glob_matches(cases[i].glob, cases[i].text) == cases[i].fits, "%s %s",
                      cases[i].glob, cases[i].text);
}
END_TEST

// Many stars and no match: the worst that the bounds allow.
START_TEST(no_pattern_takes_long)
{
    char glob[POLICY_MATCH_MAX + 1], text[256];
    for (size_t i = 0; i < POLICY_MATCH_MAX; i++)
        glob[i] = i % 2 ? 'a' : '*';
    glob[POLICY_MATCH_MAX - 1] = 'b';
    glob[POLICY_MATCH_MAX] = 0;
    memset(text, 'a', 255);
    text[255] = 0;
    ck_assert(policy_match_ok(glob));
    clock_t start = clock();
    for (int i = 0; i < 1000; i++)
        ck_assert(!policy_glob_matches(glob, text));
    ck_assert(clock() - start < 2 * CLOCKS_PER_SEC);
}
END_TEST

// One that was forgotten runs none, though its replica stays.
START_TEST(a_sealed_region_runs_no_rules)
{
    struct topology
        *three = topology_of("  - name: contoso\n" REPLICAS),
        *sealed = topology_of(
            "  - name: contoso\n" REPLICAS
            "identities:\n  westus: { sealed: { epoch: 0, seq: 0, hash: "
            "\"0000000000000000000000000000000000000000000000000000000000000000\" } }\n");
    const struct registry *r = topology_registry(three, "contoso"),
                          *s = topology_registry(sealed, "contoso");
    uint8_t west = topology_region(three, "westus")->index;
    for (int i = 0; i < 60; i++) {
        char repository[32];
        snprintf(repository, sizeof repository, "team/app-%d", i);
        uint8_t before = policy_runner(three, r, repository),
                now = policy_runner(sealed, s, repository);
        ck_assert_uint_ne(now, west);
        ck_assert(now == before || before == west);
    }
    snapshot_unref(three);
    snapshot_unref(sealed);
}
END_TEST

START_TEST(one_region_runs_the_rules_of_a_repository)
{
    struct topology *three = topology_of("  - name: contoso\n" REPLICAS),
                    *two = topology_of("  - name: contoso\n    replicas: [{region: asia}, {region: "
                                       "eastus, drained: true}]\n"),
                    *other = topology_of("  - name: contoso\n    incarnation: 7\n" REPLICAS);
    const struct registry *r = topology_registry(three, "contoso"),
                          *s = topology_registry(two, "contoso"),
                          *o = topology_registry(other, "contoso");
    size_t n[3] = {0}, moved = 0;
    for (int i = 0; i < 600; i++) {
        char repository[32];
        snprintf(repository, sizeof repository, "team/app-%d", i);
        uint8_t a = policy_runner(three, r, repository), b = policy_runner(two, s, repository);
        ck_assert_uint_lt(a, 3);
        ck_assert_uint_eq(a, policy_runner(three, r, repository));
        n[a]++;
        // only what the region that is gone had goes to another
        ck_assert(a == b || a == 1);
        ck_assert_uint_ne(b, 1);
        moved += a != policy_runner(other, o, repository);
    }
    ck_assert(n[0] > 120 && n[1] > 120 && n[2] > 120);
    ck_assert_uint_gt(moved, 200);
    // The same everywhere and for ever: a region that runs another release must agree.
    ck_assert_str_eq(three->regions[policy_runner(three, r, "team/app")].name, "westus");
    snapshot_unref(three);
    snapshot_unref(two);
    snapshot_unref(other);
}
END_TEST

START_TEST(as_bytes_and_back)
{
    struct topology *t = topology_of(RULES);
    const struct registry_policy *p = topology_registry(t, "contoso")->policy;
    struct arena a;
    size_t rule;
    AUTO_BUF struct buf b, again;
    arena_init(&a, 0);
    buf_init(&b, 0);
    buf_init(&again, 0);
    policy_put(&b, p);
    struct cursor c = cursor_of(bytes_of(b.p, b.n));
    const struct registry_policy *q = policy_take(&c, &a);
    ck_assert(q && !c.failed && !cursor_left(&c));
    ck_assert_ptr_null(policy_wrong(q, &rule));
    policy_put(&again, q);
    ck_assert_uint_eq(b.n, again.n);
    ck_assert_mem_eq(b.p, again.p, b.n);
    for (size_t n = 0; n < b.n; n++) { // cut off anywhere
        c = cursor_of(bytes_of(b.p, n));
        ck_assert(!policy_take(&c, &a) && c.failed);
    }
    for (size_t n = 0; n < b.n; n++) // any byte another one: read and judged, or refused
        for (unsigned bit = 0; bit < 8; bit++) {
            b.p[n] = (char)(b.p[n] ^ 1 << bit);
            c = cursor_of(bytes_of(b.p, b.n));
            q = policy_take(&c, &a);
            ck_assert(!q == c.failed);
            if (q)
                (void)policy_wrong(q, &rule);
            b.p[n] = (char)(b.p[n] ^ 1 << bit);
        }
    arena_done(&a);
    snapshot_unref(t);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    static const char text[] = FRAME RULES;
    struct topology *t = NULL;
    int rc = ERR_NOMEM;
    for (long n = 1; rc; n++) {
        mem_fault_after(n);
        rc = topology_parse(text, sizeof text - 1, "t.yaml", NULL, &t);
        mem_fault_after(0);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
    }
    ck_assert_uint_eq(topology_registry(t, "contoso")->policy->n_repositories, 3);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("config/policy", limits_of_requests, copying_ahead, what_a_document_says, patterns,
           no_pattern_takes_long, one_region_runs_the_rules_of_a_repository,
           a_sealed_region_runs_no_rules, as_bytes_and_back, memory_may_end_anywhere)
