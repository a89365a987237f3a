// SPDX-License-Identifier: Apache-2.0
// `region forget`: when a region may be sealed, and where; and what becomes of the document.
#include "lifecycle/forget.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/documented.h"

#include <string.h>

#define KEY "MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define OTHER_KEY "MCowBQYDK2VwAyEAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define TOKEN_KEY                                                                                \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define REGISTRY(name, regions) "  - { name: " name ", replicas: [" regions "] }\n"
#define ALL "{ region: eastus }, { region: westus }, { region: north }"
#define IDENTITIES(seal)                                                                     \
    "control: { root: '" KEY "', writer: eastus, operators: [] }\n"                          \
    "identities: { eastus: { control_keys: [{ id: eastus-ctl-1, key: '" OTHER_KEY "' }] }, " \
    "westus: { token_keys: [{ id: westus-1, key: '" TOKEN_KEY "' }], "                       \
    "feed_keys: [{ id: westus-feed-1, key: '" OTHER_KEY "' }]" seal " } }\n"
#define DOCUMENT IDENTITIES("") "registries:\n" REGISTRY("contoso", ALL)
#define HASH "1111111111111111111111111111111111111111111111111111111111111111"
#define SEALED_AT_100 ", sealed: { epoch: 1, seq: 100, hash: '" HASH "' }"

enum { EAST, WEST, NORTH };

static struct asked a;
static struct lifecycle_origin seen;
static struct diag diag;
static struct arena arena;
static struct forget_verdict verdict;
static bool without_away;
static region_set unheard;

static void hold(int region, uint64_t epoch, uint64_t seq, uint8_t hash)
{
    seen.said |= (region_set)1 << region;
    seen.heads[region] = (struct feed_seal){.epoch = epoch, .seq = seq};
    memset(seen.heads[region].hash, hash, sizeof seen.heads[region].hash);
}

// West is silent; both others hold its entry 100.
static void begin(const char *document)
{
    documented_begin(&a, document);
    seen = (struct lifecycle_origin){.said = 0};
    hold(EAST, 1, 100, 0x11);
    hold(NORTH, 1, 100, 0x11);
    unheard = 1 << WEST;
    without_away = false;
    diag_init(&diag);
    arena_init(&arena, 0);
}

static void end(void)
{
    arena_done(&arena);
    diag_done(&diag);
    documented_end(&a);
}

static int judge(const char *region)
{
    const struct forget_facts f = {.t = a.fleet.t,
                                   .region = region,
                                   .unheard = unheard,
                                   .seen = &seen,
                                   .without_away = without_away};
    diag_done(&diag);
    diag_init(&diag);
    return forget_judge(&f, &arena, &diag, &verdict);
}

static void refused(const char *region, int rc, const char *words)
{
    ck_assert_int_eq(judge(region), rc);
    ck_assert_msg(diag.n == 1 && strstr(diag.lines[0], words), "%s", diag.n ? diag.lines[0] : "?");
}

START_TEST(the_seal_is_the_highest_entry_that_any_other_holds)
{
    begin(DOCUMENT);
    ck_assert_int_eq(judge("westus"), 0);
    ck_assert_uint_eq(verdict.seal.seq, 100);
    hold(NORTH, 1, 120, 0x22);
    ck_assert_int_eq(judge("westus"), 0);
    ck_assert_uint_eq(verdict.seal.seq, 120);
    ck_assert_uint_eq(verdict.seal.hash[31], 0x22);
    ck_assert_str_eq(verdict.holder->name, "north");
    hold(EAST, 2, 3, 0x33); // a later epoch is higher
    ck_assert_int_eq(judge("westus"), 0);
    ck_assert_uint_eq(verdict.seal.epoch, 2);
    ck_assert_str_eq(verdict.holder->name, "eastus");
    hold(EAST, 0, 0, 0);
    hold(NORTH, 0, 0, 0);
    ck_assert_int_eq(judge("westus"), 0);
    ck_assert_uint_eq(verdict.seal.seq, 0);
    ck_assert_ptr_null(verdict.holder);
    end();
}
END_TEST

// Its own word counts for nothing: it cannot be there.
START_TEST(what_it_says_itself_does_not_count)
{
    begin(DOCUMENT);
    hold(WEST, 9, 9, 0x99);
    ck_assert_int_eq(judge("westus"), 0);
    ck_assert_uint_eq(verdict.seal.seq, 100);
    end();
}
END_TEST

START_TEST(it_is_refused_while_the_region_is_heard)
{
    begin(DOCUMENT);
    unheard = 0;
    refused("westus", ERR_CONFLICT, "westus is there");
    unheard = 1 << WEST;
    seen.hear = 1 << NORTH;
    refused("westus", ERR_CONFLICT, "north heard it");
    refused("moon", ERR_NOTFOUND, "no region moon");
    end();
}
END_TEST

START_TEST(the_writer_is_not_forgotten)
{
    begin(DOCUMENT);
    unheard = 1 << EAST;
    refused("eastus", ERR_CONFLICT, "meridian control takeover");
    end();
}
END_TEST

// Two of three others say what they hold; the third may hold more.
START_TEST(it_is_refused_while_a_member_is_away_that_may_hold_more)
{
    begin(DOCUMENT);
    seen.said = 1 << EAST;
    refused("westus", ERR_CONFLICT, "of the 2 other regions 1 say");
    without_away = true; // no majority is no majority
    refused("westus", ERR_CONFLICT, "more than half must");
    end();
}
END_TEST

#define FOUR                                                                                  \
    "version: 40\ndomain: example.io\nregions:\n"                                             \
    "  - { name: eastus, peer: 10.0.0.1:8443, stamps: [{ name: e-1, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: westus, peer: 10.0.0.2:8443, stamps: [{ name: w-1, ipv4: [192.0.2.2] }] }\n" \
    "  - { name: north, peer: 10.0.0.3:8443, stamps: [{ name: n-1, ipv4: [192.0.2.3] }] }\n"  \
    "  - { name: south, peer: 10.0.0.4:8443, stamps: [{ name: s-1, ipv4: [192.0.2.4] }] }\n"  \
    "name_servers: [e-1.eastus]\n" DOCUMENT

START_TEST(who_is_away_is_left_out_when_that_is_accepted)
{
    struct topology *t;
    begin(DOCUMENT);
    ck_assert_int_eq(topology_parse(FOUR, strlen(FOUR), "t.yaml", &diag, &t), 0);
    struct forget_facts f = {
        .t = t, .region = "westus", .unheard = 1 << WEST | 1 << 3, .seen = &seen};
    ck_assert_int_eq(forget_judge(&f, &arena, &diag, &verdict), ERR_CONFLICT);
    ck_assert_msg(strstr(diag.lines[0], "south cannot be asked") &&
                      strstr(diag.lines[0], "--without-away"),
                  "%s", diag.lines[0]);
    f.without_away = true;
    ck_assert_int_eq(forget_judge(&f, &arena, &diag, &verdict), 0);
    ck_assert_uint_eq(verdict.away, 1 << 3);
    snapshot_unref(t);
    end();
}
END_TEST

START_TEST(registries_that_it_alone_holds_are_named)
{
    begin(IDENTITIES("") "registries:\n" REGISTRY("contoso", ALL)
              REGISTRY("fabrikam", "{ region: westus }"));
    refused("westus", ERR_CONFLICT, "nowhere else, so all that they hold would be gone: fabrikam.");
    end();
}
END_TEST

START_TEST(two_entries_in_one_place_are_for_a_revocation)
{
    begin(DOCUMENT);
    hold(NORTH, 1, 100, 0x22);
    refused("westus", ERR_CONFLICT, "eastus and north hold different entries of westus at 100");
    end();
}
END_TEST

START_TEST(a_seal_is_only_raised)
{
    begin(IDENTITIES(SEALED_AT_100) "registries:\n" REGISTRY("contoso", ALL));
    unheard = 0; // it may be back, and is none any more
    seen.hear = 1 << NORTH;
    ck_assert_int_eq(judge("westus"), ERR_EXISTS);
    hold(EAST, 1, 90, 0x22);
    hold(NORTH, 1, 90, 0x22);
    ck_assert_int_eq(judge("westus"), ERR_EXISTS);
    hold(NORTH, 1, 120, 0x22);
    ck_assert_int_eq(judge("westus"), 0);
    ck_assert_uint_eq(verdict.seal.seq, 120);
    end();
}
END_TEST

// ---- through the engine ----

static int origin(void *ctx, const struct topology *t, const char *of, struct lifecycle_origin *out)
{
    (void)ctx;
    (void)t;
    ck_assert_str_eq(of, "westus");
    *out = seen;
    return 0;
}

START_TEST(the_seal_comes_into_the_document_and_its_keys_stay)
{
    json_t *body;
    begin(DOCUMENT);
    a.fleet.deps.origin = origin;
    asked_restart(&a);
    ck_assert_int_eq(asked(&a, "region forget", "westus", "{}", &body), 409);
    ck_assert_str_eq(asked_code(body), "Refused"); // it is heard
    a.fleet.up[WEST] = false;
    ck_assert_int_eq(asked(&a, "region forget", "westus", "{'whatIf':true}", &body), 200);
    AUTO_FREE char *text = json_dumps(body, 0);
    ck_assert_msg(strstr(text, "counts up to entry 100 of epoch 1, which eastus holds"), "%s",
                  text);
    json_decref(body);
    ck_assert_ptr_nonnull(topology_feed_key_in_use(a.fleet.t, "westus-feed-1"));
    ck_assert_ptr_nonnull(topology_token_key(a.fleet.t, "westus-1"));
    json_decref(asked_to_end(&a, "region forget", "westus", "{}", "Succeeded"));
    const struct region *west = topology_region(a.fleet.t, "westus");
    ck_assert_ptr_nonnull(west->sealed);
    ck_assert_uint_eq(west->sealed->seq, 100);
    ck_assert_uint_eq(west->n_feed_keys, 1);
    ck_assert_ptr_nonnull(topology_feed_key(a.fleet.t, "westus-feed-1"));
    // what it signs from now on counts for nothing
    ck_assert_ptr_null(topology_feed_key_in_use(a.fleet.t, "westus-feed-1"));
    ck_assert_ptr_null(topology_token_key(a.fleet.t, "westus-1"));
    ck_assert_uint_eq(topology_n_living(a.fleet.t), 2);
    ck_assert_int_eq(asked(&a, "region forget", "westus", "{}", &body), 200);
    json_decref(body);
    ck_assert_int_eq(asked(&a, "region remove", "westus", "{}", &body), 409);
    AUTO_FREE char *refusal = json_dumps(body, 0);
    ck_assert_msg(strstr(refusal, "it was forgotten"), "%s", refusal);
    json_decref(body);
    hold(NORTH, 1, 120, 0x22);
    json_decref(asked_to_end(&a, "region forget", "westus", "{}", "Succeeded"));
    ck_assert_uint_eq(topology_region(a.fleet.t, "westus")->sealed->seq, 120);
    end();
}
END_TEST

CHECK_MAIN("lifecycle/forget", the_seal_is_the_highest_entry_that_any_other_holds,
           what_it_says_itself_does_not_count, it_is_refused_while_the_region_is_heard,
           the_writer_is_not_forgotten, it_is_refused_while_a_member_is_away_that_may_hold_more,
           who_is_away_is_left_out_when_that_is_accepted, registries_that_it_alone_holds_are_named,
           two_entries_in_one_place_are_for_a_revocation, a_seal_is_only_raised,
           the_seal_comes_into_the_document_and_its_keys_stay)
