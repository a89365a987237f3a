// SPDX-License-Identifier: Apache-2.0
// Signatures over three weeks and more of virtual time: at any moment every one that is handed out
// is good with room to spare on both sides, as long as its records may be cached and for clocks
// that are behind; the serial of fe.D rises with each period; and a copy of it that a secondary
// took at the worst moment outlives its SOA's expiry.
#include "base/clock.h"
#include "base/clock_test.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"
#include "resolver/sign/signing.h"
#include "tests/support/check_main.h"
#include "tests/support/dnssec_judge.h"
#include "tests/unit/resolver/signed_fixture.h"

#include <stdio.h>
#include <string.h>

#define NOW 1795478400 // 2026-11-24
#define DAY_S 86400
#define BEHIND_S 3000             // a validator's clock
#define MARGIN_S 900              // left after the last cache has let go
#define ZONE_MARGIN_S (3 * DAY_S) // the same for a copy of fe.D

static struct signed_rig g;
static struct signing *signing;
static struct zone *frontend; // in force
static struct dnssec *keys;
static struct dnssec_judge judge;
static int64_t again_s;

static void judge_by_keys(void)
{
    dnssec_judge_done(&judge);
    judge = (struct dnssec_judge){0};
    dnssec_judge_zone(&judge, "example.io.",
                      dnssec_judge_records(keys->main.rrs, keys->main.n_rrs, T_DNSKEY));
    dnssec_judge_zone(&judge, "fe.example.io.",
                      dnssec_judge_records(keys->frontend.rrs, keys->frontend.n_rrs, T_DNSKEY));
}

// A copy taken just before the next version is made, and never refreshed.
static void judge_copies(int64_t now_s)
{
    struct dnssec_judge j = judge;
    ldns_rr_list *all = dnssec_judge_records(frontend->rrs, frontend->n_rrs, 0);
    j.least_left_s = j.least_age_s = INT64_MAX;
    j.now_s = now_s;
    ck_assert_msg(dnssec_judge_section(&j, all), "made at %lld: %s", (long long)(now_s - NOW),
                  j.why);
    ck_assert_int_ge(j.least_age_s, BEHIND_S);
    j.now_s = again_s + SOA_EXPIRE_S;
    ck_assert_msg(dnssec_judge_section(&j, all), "a copy: %s", j.why);
    ck_assert_msg(j.least_left_s >= ZONE_MARGIN_S, "a copy has %lld s left",
                  (long long)j.least_left_s);
    ldns_rr_list_deep_free(all);
}

// What the zone maintainer of fe.D does.
static void be_at(int64_t t)
{
    struct zone *next;
    clock_virtual_set(t * 1000);
    g.c.now_s = t;
    if (t < again_s)
        return;
    ck_assert_int_eq(signing_build(signing, g.t, frontend, t, &next, &again_s), 0);
    ck_assert_int_gt(again_s, t);
    if (frontend)
        ck_assert_uint_gt(next->serial, frontend->serial);
    snapshot_unref(frontend);
    snapshot_unref(keys);
    frontend = next;
    keys = snapshot_get(signing_cell(signing));
    g.c.dnssec = keys;
    g.c.frontend = frontend;
    judge_by_keys();
    judge_copies(t);
}

static const struct {
    const char *name;
    uint16_t type;
} asked[] = {{"contoso.example.io", T_A},
             {"contoso.eastus.geo.example.io", T_A},
             {"fabrikam.westeurope.data.example.io", T_AAAA},
             {"contoso.privatelink.example.io", T_A},
             {"_route.plain.example.io", T_TXT},
             {"nobody.example.io", T_A},
             {"geo.example.io", T_TXT},
             {"example.io", T_SOA},
             {"example.io", T_NS},
             {"example.io", T_TXT},
             {"example.io", T_DNSKEY},
             {"example.io", T_CDS},
             {"_acme-challenge.example.io", T_TXT},
             {"fe.example.io", T_DS},
             {"fe.example.io", T_DNSKEY},
             {"eus-1.eastus.fe.example.io", T_AAAA},
             {"none.eastus.fe.example.io", T_A}};

static void ask_all(int64_t t)
{
    static struct fixture_answer a;
    uint8_t q[512];
    be_at(t);
    judge.now_s = t;
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        signed_ask(&g, q, signed_query(q, asked[i].name, asked[i].type, false), &a);
        ck_assert_msg(a.info.rcode != DNS_SERVFAIL && !a.info.truncated, "%s", asked[i].name);
        ck_assert_msg(dnssec_judge_section(&judge, ldns_pkt_answer(a.pkt)) &&
                          dnssec_judge_section(&judge, ldns_pkt_authority(a.pkt)),
                      "%s at %lld: %s", asked[i].name, (long long)(t - NOW), judge.why);
        ck_assert_msg(judge.least_left_s >= MARGIN_S, "%s at %lld: %lld s left", asked[i].name,
                      (long long)(t - NOW), (long long)judge.least_left_s);
        ck_assert_msg(judge.least_age_s >= BEHIND_S, "%s at %lld: %lld s old", asked[i].name,
                      (long long)(t - NOW), (long long)judge.least_age_s);
        fixture_answer_done(&a);
    }
}

static void weeks(const char *yaml, enum dnskey_algorithm algorithm)
{
    const int64_t end = NOW + 22 * DAY_S;
    clock_virtual_set((int64_t)NOW * 1000);
    signed_rig_start_on(&g, yaml, algorithm, false, 0, NOW);
    struct node_dns settings = {.signing = {.keys_dir = g.dir, .threads = 1, .signatures = 65536}};
    ck_assert_int_eq(signing_new(&settings, &signing), 0);
    g.c.signer = signing_signer(signing);
    g.c.transport = ANSWER_TCP;
    for (int64_t t = NOW; t < end; t += 20011) // drifts over every window's phases
        ask_all(t);
    const int64_t turn = again_s;
    for (int64_t t = turn - 1300; t < turn + 2600; t += 100)
        ask_all(t);
    clock_virtual_off();
    dnssec_judge_done(&judge);
    snapshot_unref(keys);
    snapshot_unref(frontend);
    signing_free(signing);
    signed_rig_stop(&g);
}

#define APEX "apex: { txt: [one, two], acme_challenge: [ { txt: [a] } ]"

START_TEST(three_weeks)
{
    char yaml[8192];
    snprintf(yaml, sizeof yaml, "%s" APEX " }\n", fixture_yaml());
    weeks(yaml, DNSKEY_ECDSAP256);
}
END_TEST

// The longest TTLs there are: a signature outlives them too.
START_TEST(three_weeks_of_long_ttls)
{
    char yaml[8192];
    snprintf(yaml, sizeof yaml, "%s" APEX ", ttl: 24h }\n", fixture_yaml());
    char *ttl = strstr(yaml, "ttl: {"), *rest = strchr(ttl, '\n');
    static const char longest[] =
        "ttl: { global: 24h, regional: 24h, data: 24h, frontend: 24h, private: 24h, negative: 24h, "
        "soa: 24h, ns: 24h }";
    memmove(ttl + sizeof longest - 1, rest, strlen(rest) + 1);
    memcpy(ttl, longest, sizeof longest - 1);
    weeks(yaml, DNSKEY_ED25519);
}
END_TEST

CHECK_MAIN("resolver/resign", three_weeks, three_weeks_of_long_ttls)
