// SPDX-License-Identifier: Apache-2.0
// A revoked key, where its origin's entries came by a snapshot: at or below the last good place only
// what the hash of that place commits to stays, also of what no chain vouched for.
#include "replication/join_state.h"

#include "base/err.h"
#include "store/meta_feed.h"
#include "store/meta_snapshot.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/liar.h"

#include <inttypes.h>
#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

// What a snapshot of a thief would bring: east's entries, but in the place of the tag "0" one that
// leads the tag "1" elsewhere, truly signed.
static void forged_take(const struct digest *elsewhere, struct feed_mark *out_at)
{
    struct feed_mark zero = {0}, last;
    struct feed_entry *list;
    struct arena a;
    size_t n;
    bool forged = false;
    arena_init(&a, 0);
    ck_assert_int_eq(
        meta_feed_read(south->meta, "eastus", &zero, NULL, 0, 100, &a, &list, &n, &last), 0);
    for (size_t i = 0; i < n; i++) {
        if (!list[i].tag || strcmp(list[i].tag, "0") != 0)
            continue;
        struct feed_mark before = {.epoch = list[i].epoch, .seq = list[i].seq - 1};
        list[i] = liar_entry(east, &before, stamp_in_ms(0), "app", "1");
        list[i].version = 1;
        list[i].digest = *elsewhere;
        liar_sign(east, before.hash, &list[i]);
        forged = true;
    }
    ck_assert(forged);
    ck_assert_int_eq(meta_snapshot_take(west->meta, "eastus", list, n), 0);
    arena_done(&a);
    ck_assert_int_eq(meta_head(south->meta, "eastus", out_at), 0);
}

static bool has_read_to(const struct feed_mark *at)
{
    json_t *row = row_of(west, "contoso", "eastus");
    bool is = json_integer_value(json_object_get(row, "read")) == (json_int_t)at->seq;
    json_decref(row);
    return is;
}

static void joined_and_revoked(unsigned proof_max)
{
    struct digest zero, one;
    struct feed_mark at;
    char hash[2 * ENTRY_HASH_BYTES + 1];
    world_up(&w);
    region_down(west);
    west->proof_max = proof_max;
    region_cut(west, true);
    region_push(east, "contoso", "app", "0", 1, 1, 1000, 0, &zero);
    region_push(east, "contoso", "app", "1", 2, 1, 1000, 0, &one);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &one), 10000);
    region_up(west);
    forged_take(&zero, &at);
    struct join_row row = {.phase = JOIN_COMPLETE, .at = at};
    snprintf(row.registry, sizeof row.registry, "contoso");
    ck_assert_int_eq(join_state_set(west->dir, "eastus", &row), 0);
    ck_assert_int_eq(meta_ingest(west->meta, "eastus", NULL, 0, &at), 0);
    region_cut(west, false);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &zero), 30000);
    hex_format(at.hash, ENTRY_HASH_BYTES, hash);
    snprintf(w.revoked[0], sizeof w.revoked[0],
             "{ key: %s, epoch: %" PRIu64 ", seq: %" PRIu64 ", hash: %s }",
             region_keys_feed_id(east->keys), at.epoch, at.seq, hash);
    world_topology(&w, 2, false);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &one), 30000);
    WAIT_FOR(region_has(west, "contoso", "app", "0", &zero), 30000);
    ck_assert(region_has(south, "contoso", "app", "1", &one));
    struct feed_mark none;
    ck_assert_int_eq(join_state_place(west->dir, "eastus", &none), ERR_NOTFOUND);
    WAIT_FOR(has_read_to(&at), 30000);
    world_done(&w);
}

START_TEST(what_came_by_a_snapshot_is_held_against_the_feed)
{
    joined_and_revoked(0);
}
END_TEST

// However long the feed before the place is.
START_TEST(so_it_is_in_stretches_of_a_long_feed)
{
    joined_and_revoked(1);
    joined_and_revoked(3);
}
END_TEST

CHECK_MAIN("replication/joined_void", what_came_by_a_snapshot_is_held_against_the_feed,
           so_it_is_in_stretches_of_a_long_feed)
