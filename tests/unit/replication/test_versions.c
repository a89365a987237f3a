// SPDX-License-Identifier: Apache-2.0
// Regions that speak different versions of the feed (design section 9): what is minted while one is
// behind, who is refused, what a reader does with entries that were left out or that it does not
// know. Real readers, over sockets.
#include "tests/unit/replication/liar.h"

#include "base/err.h"
#include "replication/cursor.h"
#include "replication/feed_line.h"
#include "store/meta_speaks.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static bool switched(struct test_region *r, const char *registry)
{
    unsigned version = 0;
    ck_assert_int_eq(meta_registry_version(r->meta, registry, &version), 0);
    return version == 2;
}

// Who holds entries of the registry back at `r`; "" nobody.
static const char *behind(struct test_region *r, const char *registry)
{
    static char region[HOSTNAME_REGION_SIZE];
    region[0] = '\0';
    (void)meta_behind(r->meta, registry, region);
    return region;
}

static unsigned pushes;

static void push(struct test_region *at, const char *registry)
{
    struct digest d;
    char tag[16];
    snprintf(tag, sizeof tag, "p%u", ++pushes);
    region_push(at, registry, "app", tag, pushes, 1, 100, 0, &d);
}

static struct feed_mark head_of(struct test_region *at, const char *origin)
{
    struct feed_mark m;
    ck_assert_int_eq(meta_head(at->meta, origin, &m), 0);
    return m;
}

static uint64_t read_of(struct test_region *at, const char *origin)
{
    json_t *row = row_of(at, "contoso", origin);
    uint64_t read = (uint64_t)json_integer_value(json_object_get(row, "read"));
    json_decref(row);
    return read;
}

START_TEST(a_fresh_fleet_is_at_version_2_at_once)
{
    world_up(&w);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(!*behind(&w.regions[i], "contoso"), 3000);
    push(east, "contoso");
    ck_assert(switched(east, "contoso"));
    // what is filtered out for west is proven by signed heads: its mark follows
    push(east, "fabrikam");
    ck_assert(switched(east, "fabrikam"));
    push(east, "contoso");
    push(east, "fabrikam");
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 10000);
    WAIT_FOR(read_of(west, "eastus") == head_of(east, "eastus").seq, 10000);
    world_done(&w);
}
END_TEST

// westeurope is down, and the test speaks in its name.
START_TEST(a_member_that_is_behind_holds_version_2_back)
{
    char region[HOSTNAME_REGION_SIZE];
    world_make(&w);
    world_topology(&w, 2, false);
    region_up(east);
    region_up(south);
    ck_assert_int_eq(fetcher_new(&west->fetcher), 0);
    WAIT_FOR(region_writes_open(east), 20000);
    ck_assert_int_eq(region_ask(east, west, NULL, "/replication/v1/clock", "x", NULL), 200);
    WAIT_FOR(strcmp(behind(east, "contoso"), "westeurope") == 0, 3000);
    push(east, "contoso");
    ck_assert(!switched(east, "contoso"));
    WAIT_FOR(!*behind(east, "fabrikam"), 3000); // it does not hold that one
    push(east, "fabrikam");
    ck_assert(switched(east, "fabrikam"));
    // it reads what it always read
    struct buf body;
    buf_init(&body, 1 << 20);
    ck_assert_int_eq(
        region_ask(east, west, NULL, "/replication/v1/mark?origin=westeurope", "x", &body), 200);
    buf_done(&body);
    fetcher_free(west->fetcher);
    // its word outlives a restart, and itself
    region_down(east);
    region_up(east);
    WAIT_FOR(region_writes_open(east), 20000);
    ck_assert(meta_behind(east->meta, "contoso", region));
    ck_assert_str_eq(region, "westeurope");
    region_up(west); // upgraded
    WAIT_FOR(!*behind(east, "contoso"), 5000);
    push(east, "contoso");
    ck_assert(switched(east, "contoso"));
    world_done(&w);
}
END_TEST

START_TEST(who_goes_back_to_version_1_is_refused_in_words)
{
    struct buf body;
    world_up(&w);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(!*behind(&w.regions[i], "contoso"), 3000);
    push(east, "contoso");
    WAIT_FOR(switched(east, "contoso"), 1000);
    buf_init(&body, 1 << 20);
    ck_assert_int_eq(region_ask(east, west, NULL, "/replication/v1/feed?after=", "x", &body), 406);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "start the newer program again"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "contoso"));
    buf_done(&body);
    push(east, "contoso"); // there is no way back
    ck_assert(switched(east, "contoso"));
    world_done(&w);
}
END_TEST

// --- entries that are left out ---

// Which of eastus's three entries it says; and whether it signs its heads.
static _Atomic unsigned said_mask, heads_are_signed;

static void v2_entry(struct test_region *r, const struct feed_mark *after, uint64_t stamp,
                     const char *tag, const struct feed_entry *before, struct buf *body,
                     struct feed_entry *out)
{
    *out = liar_entry(r, after, stamp, "app", tag);
    out->version = 2;
    out->registry_seq = 1;
    if (before) {
        out->registry_seq = before->registry_seq + 1;
        entry_body_hash(before, out->registry_prev);
    }
    buf_init(body, 0);
    ck_assert_int_eq(entry_body_make(out, body), 0);
    out->body = bytes_of(body->p, body->n);
    liar_sign(r, after->hash, out);
}

static void heads_add(struct test_region *r, const struct feed_entry *last,
                      const struct topology *t, struct buf *out)
{
    struct feed_heads *h = NULL;
    struct head_row rows[2] = {{.registry = "fabrikam"}};
    struct buf text;
    uint8_t sig[ENTRY_SIG_BYTES];
    struct feed_mark at = entry_mark(last);
    ck_assert(head_row_of(last, &rows[1]));
    ck_assert_int_eq(feed_heads_new(&h), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(feed_heads_set(h, &rows[i]), 0);
    buf_init(&text, 0);
    ck_assert_int_eq(feed_heads_text(h, r->name, &at, &text), 0);
    ck_assert_int_eq(region_keys_sign_feed(r->keys, text.p, text.n, sig), 0);
    const struct feed_progress p = {.at = &at,
                                    .topology_version = t->version,
                                    .caught_up = true,
                                    .heads = rows,
                                    .n_heads = 2,
                                    .heads_sig = heads_are_signed ? sig : NULL,
                                    .heads_key = region_keys_feed_id(r->keys)};
    ck_assert_int_eq(feed_progress_format(&p, out), 0);
    buf_done(&text);
    feed_heads_free(h);
}

static void three_entries(struct test_region *r, const char *peer, const struct feed_mark *after,
                          struct buf *out)
{
    (void)peer;
    struct feed_entry e[3];
    struct buf bodies[3];
    struct feed_mark at = {0};
    uint64_t stamp = stamp_in_ms(-60000) & ~(uint64_t)0xffffffffff; // the same in every session
    struct topology *t = snapshot_get(&r->topology);
    for (unsigned i = 0; i < 3; i++) {
        static const char *const tags[] = {"a", "b", "c"};
        v2_entry(r, &at, stamp + i, tags[i], i ? &e[i - 1] : NULL, &bodies[i], &e[i]);
        at = entry_mark(&e[i]);
        if (feed_mark_order(&at, after) > 0 && (said_mask >> i & 1))
            ck_assert_int_eq(entry_format(&e[i], out), 0);
    }
    heads_add(r, &e[2], t, out);
    for (unsigned i = 0; i < 3; i++)
        buf_done(&bodies[i]);
    snapshot_unref(t);
}

static void world_with_relay(unsigned mask, bool heads)
{
    world_make(&w);
    world_topology(&w, 2, false);
    said_mask = mask;
    heads_are_signed = heads;
    east->script_speaks = 2;
    east->script = three_entries;
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
}

// The second of three is left out: the third does not follow in its registry's chain.
START_TEST(an_entry_that_is_left_out_in_the_middle_is_missed)
{
    world_with_relay(5, true);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Conflict"), 20000);
    ck_assert(error_has(west, "eastus", "leaves out entries"));
    char said[512] = "";
    ck_assert_uint_eq(replicator_conflicts(west->replicator, said, sizeof said), 1);
    ck_assert_ptr_nonnull(strstr(said, "the feed of eastus contradicts"));
    ck_assert(!strstr(said, "contoso") && strlen(said) < sizeof said - 100); // other regions see it
    ck_assert_uint_le(read_of(west, "eastus"), 1);
    said_mask = 7;
    WAIT_FOR(read_of(west, "eastus") == 3, 30000);
    WAIT_FOR(!replicator_conflicts(west->replicator, said, sizeof said), 30000);
    world_done(&w);
}
END_TEST

// The last, a deletion say: only the signed head tells.
START_TEST(an_entry_that_is_left_out_at_the_end_is_missed)
{
    world_with_relay(3, true);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Conflict"), 20000);
    ck_assert(error_has(west, "eastus", "2 came, and its signed heads say 3"));
    ck_assert_uint_eq(head_of(west, "eastus").seq, 2); // what came is kept
    ck_assert_uint_eq(read_of(west, "eastus"), 2);
    said_mask = 7;
    WAIT_FOR(read_of(west, "eastus") == 3, 30000);
    world_done(&w);
}
END_TEST

START_TEST(without_signed_heads_no_mark_moves)
{
    world_with_relay(3, false);
    WAIT_FOR(error_has(west, "eastus", "without signed heads"), 20000);
    ck_assert_uint_eq(read_of(west, "eastus"), 2);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/versions", a_fresh_fleet_is_at_version_2_at_once,
           a_member_that_is_behind_holds_version_2_back,
           who_goes_back_to_version_1_is_refused_in_words,
           an_entry_that_is_left_out_in_the_middle_is_missed,
           an_entry_that_is_left_out_at_the_end_is_missed, without_signed_heads_no_mark_moves)
