// SPDX-License-Identifier: Apache-2.0
// A region that never comes back is sealed: the others bring each other up to the seal, nothing waits
// for it any more, and it is taken for nothing when it comes back all the same.
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "replication/marks.h"
#include "replication/replication_priv.h"
#include "replication/words.h"
#include "replication/words_priv.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/liar.h"

#include <inttypes.h>
#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static void begin(void)
{
    world_make(&w);
    w.skew_s = 5; // the least: promises are behind the clock by it
    world_topology(&w, 1, false);
    for (size_t i = 0; i < N_REGIONS; i++) {
        w.regions[i].words_every_ms = 500;
        region_up(&w.regions[i]);
    }
}

static void cut_pair(size_t a, size_t b, bool cut)
{
    w.cut[a][b] = w.cut[b][a] = cut;
}

static struct feed_mark head_at(struct test_region *at)
{
    struct feed_mark head;
    ck_assert_int_eq(meta_head(at->meta, "eastus", &head), 0);
    return head;
}

// As `meridian region forget` does, at this place.
static void seal_region(size_t i, const struct feed_mark *at, unsigned version)
{
    char hash[2 * ENTRY_HASH_BYTES + 1];
    hex_format(at->hash, ENTRY_HASH_BYTES, hash);
    snprintf(w.sealed[i], sizeof w.sealed[i],
             "{ epoch: %" PRIu64 ", seq: %" PRIu64 ", hash: \"%s\" }", at->epoch, at->seq, hash);
    world_topology(&w, version, false);
}

static void seal(const struct feed_mark *at, unsigned version)
{
    seal_region(0, at, version);
}

static struct horizon horizon_at(struct test_region *at)
{
    struct horizon h;
    struct topology *t = snapshot_get(&at->topology);
    words_horizon(at->replicator->words, t, topology_registry_by_key(t, "contoso"), &h, NULL);
    snapshot_unref(t);
    return h;
}

static bool both_have_all(uint64_t stamp)
{
    return horizon_at(west).stamp >= stamp && horizon_at(south).stamp >= stamp;
}

static uint64_t stamp_now(void)
{
    return hlc_from_wall(clock_wall_ms());
}

// East pushes "1", which both get, and "2", which south alone gets. Beside it goes fabrikam, which
// west does not hold: so its log of east has holes.
static void begin_and_lose_east(struct digest *one, struct digest *two)
{
    struct digest other;
    begin();
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, one);
    region_push(east, "fabrikam", "app", "1", 2, 1, 5000, 0, &other);
    WAIT_FOR(region_has(west, "contoso", "app", "1", one), 30000);
    WAIT_FOR(region_has(south, "fabrikam", "app", "1", &other), 30000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 30000);
    cut_pair(0, 1, true);
    world_topology(&w, 2, false); // which ends the streams
    WAIT_FOR(!state_is(west, "contoso", "eastus", "Ready"), 30000);
    region_push(east, "fabrikam", "app", "2", 3, 1, 5000, 0, &other);
    region_push(east, "contoso", "app", "2", 4, 1, 5000, 0, two);
    WAIT_FOR(region_has(south, "contoso", "app", "2", two), 30000);
    ck_assert(!region_has(west, "contoso", "app", "2", two));
    region_down(east);
}

START_TEST(the_others_bring_each_other_up_to_the_seal)
{
    struct digest one, two, three;
    begin_and_lose_east(&one, &two);
    struct feed_mark at = head_at(south);
    seal(&at, 3);
    WAIT_FOR(region_has(west, "contoso", "app", "2", &two), 30000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 30000);
    WAIT_FOR(state_is(south, "contoso", "eastus", "Ready"), 30000);
    region_push(south, "contoso", "app", "3", 5, 1, 5000, 0, &three);
    WAIT_FOR(region_has(west, "contoso", "app", "3", &three), 30000);
    world_done(&w);
}
END_TEST

static bool faults_say(struct test_region *r, const char *words)
{
    json_t *list = replicator_faults_json(r->replicator);
    AUTO_FREE char *text = json_dumps(list, 0);
    json_decref(list);
    return text && strstr(text, words);
}

// What south says under this seal, once it does.
static bool south_says_of_east(const struct feed_mark *at, uint64_t *out)
{
    struct words *k = south->replicator->words;
    char cur[CURSOR_TEXT_SIZE];
    lock_take(&k->lock);
    const json_t *row = json_object_get(json_object_get(k->members, south->name), "contoso");
    const char *under = json_string_value(json_object_get(json_object_get(row, "seals"), "eastus"));
    bool says = under && !strcmp(under, cursor_format(at, cur)) &&
                word_stamp_parse(json_object_get(json_object_get(row, "applied"), "eastus"), out);
    lock_give(&k->lock);
    return says;
}

// Row 16 of the hard histories: who was away and holds more raises the seal.
START_TEST(forget_seals_at_100_while_an_absent_member_holds_120)
{
    struct digest one, two;
    begin_and_lose_east(&one, &two);
    region_cut(south, true);
    struct feed_mark lower = head_at(west), higher = head_at(south);
    ck_assert_int_lt(mark_order(&lower, &higher), 0);
    seal(&lower, 3);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 30000);
    region_cut(south, false);
    // what lies past the seal is handed on to nobody
    AUTO_BUF struct buf body;
    buf_init(&body, 0);
    char target[256], cur[CURSOR_TEXT_SIZE], past[64];
    snprintf(target, sizeof target, "/replication/v1/feed?origin=eastus&speaks=2&after=%s",
             cursor_format(&lower, cur));
    ck_assert_int_eq(region_ask(south, west, "GET", target, "peer", &body), 200);
    snprintf(past, sizeof past, "seq=%" PRIu64, higher.seq);
    ck_assert_ptr_null(strstr(buf_cstr(&body), past));
    ck_assert(!region_has(west, "contoso", "app", "2", &two));
    WAIT_FOR(faults_say(south, "meridian region forget eastus"), 30000);
    ck_assert(!faults_say(west, "forget"));
    // what it holds past the seal may count yet: nothing is dropped till then
    uint64_t stamp = 1;
    WAIT_FOR(south_says_of_east(&lower, &stamp), 30000);
    ck_assert_uint_eq(stamp, 0);
    ck_assert_uint_eq(horizon_at(south).stamp, 0);
    seal(&higher, 4);
    WAIT_FOR(south_says_of_east(&higher, &stamp) && stamp, 30000);
    WAIT_FOR(!faults_say(south, "forget"), 30000);
    WAIT_FOR(region_has(west, "contoso", "app", "2", &two), 30000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 30000);
    ck_assert(region_has(south, "contoso", "app", "2", &two));
    world_done(&w);
}
END_TEST

// What south knows: west's last promise as an origin; and up to when its last word counts, and what
// that says of its own writes.
static uint64_t latest(const struct origin_word *o)
{
    if (o->next.stamp)
        return o->next.stamp;
    if (o->waits.stamp)
        return o->waits.stamp;
    return o->reached.stamp;
}

static uint64_t promise_of_west(void)
{
    struct words *k = south->replicator->words;
    uint64_t stamp = 0;
    lock_take(&k->lock);
    for (size_t i = 0; i < k->n_origins; i++)
        if (!strcmp(k->origins[i].origin, west->name))
            stamp = latest(&k->origins[i]);
    lock_give(&k->lock);
    return stamp;
}

static int64_t word_of_west(uint64_t *out_said)
{
    struct words *k = south->replicator->words;
    lock_take(&k->lock);
    const json_t *row = json_object_get(json_object_get(k->members, west->name), "contoso");
    int64_t until = json_integer_value(json_object_get(row, "until"));
    *out_said = 0;
    (void)word_stamp_parse(json_object_get(json_object_get(row, "applied"), west->name), out_said);
    lock_give(&k->lock);
    return until;
}

// A member that lacks what counts holds back what may be dropped; the region itself does not.
START_TEST(who_has_not_read_up_to_the_seal_holds_all_back_and_nobody_else)
{
    struct digest one, two;
    begin_and_lose_east(&one, &two);
    struct feed_mark at = head_at(south);
    cut_pair(1, 2, true);
    seal(&at, 3);
    WAIT_FOR(horizon_at(south).why == HORIZON_SILENT, 60000);
    south->fault = FAULT_HANGS; // so that nothing of it can be applied
    uint64_t then = stamp_now();
    cut_pair(1, 2, false);
    // west promises as an origin, and says all the same that it has applied no more than before
    WAIT_FOR(promise_of_west() > then, 60000);
    uint64_t said;
    int64_t before = word_of_west(&said);
    WAIT_FOR(word_of_west(&said) > before, 60000);
    ck_assert_uint_lt(said, then);
    ck_assert(horizon_at(south).why == HORIZON_BEHIND && horizon_at(south).member == 1);
    south->fault = FAULT_NONE;
    WAIT_FOR(both_have_all(then), 60000);
    world_done(&w);
}
END_TEST

static void told_by_west(const char *seals)
{
    struct topology *t = snapshot_get(&south->topology);
    char text[512];
    size_t n = 0;
    snprintf(text, sizeof text,
             "{\"registries\":{\"contoso\":{\"floor\":\"0\",\"applied\":{\"eastus\":\"7\","
             "\"westeurope\":\"7\",\"southeastasia\":\"7\"}%s}}}",
             seals);
    ck_assert_int_eq(words_take(south->replicator->words, t, topology_region(t, west->name),
                                bytes_of(text, strlen(text)), &n),
                     0);
    ck_assert_uint_eq(n, 1);
    snapshot_unref(t);
}

static bool west_is_heard(void)
{
    return horizon_at(south).why != HORIZON_SILENT;
}

// By another topology east is no member, or one that wrote less: what west said by that holds nothing
// of what it lacks of east.
START_TEST(a_word_counts_only_where_the_same_seals_are_in_force)
{
    char same[256], cur[CURSOR_TEXT_SIZE];
    struct feed_mark at = {.epoch = 1, .seq = 7};
    begin();
    region_cut(west, true); // it tells nothing by itself
    at.hash[0] = 7;
    seal(&at, 2);
    region_down(east);
    told_by_west("");
    ck_assert(!west_is_heard());
    told_by_west(",\"seals\":{\"eastus\":\"\"}");
    ck_assert(!west_is_heard());
    snprintf(same, sizeof same, ",\"seals\":{\"eastus\":\"%s\"}", cursor_format(&at, cur));
    WAIT_FOR((told_by_west(same), west_is_heard()),
             30000); // once south's own word has the seal too
    at.seq++;
    seal(&at, 3); // it was raised
    ck_assert(!west_is_heard());
    world_done(&w);
}
END_TEST

// West holds another entry in the place of the last manifest that south hands on: the store refuses
// that.
START_TEST(what_was_told_and_not_stored_does_not_count_as_told)
{
    struct digest one, two;
    begin_and_lose_east(&one, &two);
    struct feed_mark at = head_at(south), read;
    ck_assert_int_eq(read_mark(west->replicator, "eastus", &read), 0);
    struct feed_mark before = {.epoch = at.epoch, .seq = at.seq - 2};
    struct feed_entry e = liar_entry(east, &before, stamp_now(), "app", "other");
    liar_sign(east, before.hash, &e);
    ck_assert_int_eq(meta_ingest(west->meta, "eastus", &e, 1, &read), 0);
    seal(&at, 3);
    WAIT_FOR(error_has(west, "eastus", "something else"), 30000);
    unsigned asked = south->n_relays;
    WAIT_FOR(south->n_relays >= asked + 2, 30000);
    ck_assert_int_eq(read_mark(west->replicator, "eastus", &read), 0);
    ck_assert_int_lt(mark_order(&read, &at), 0);
    ck_assert(!state_is(west, "contoso", "eastus", "Ready"));
    world_done(&w);
}
END_TEST

// South and east hold fabrikam; south and west hold tailspin, and there the seal is. So nobody can hand on
// to east what it lacks, nor lacks it anything.
START_TEST(who_shares_nothing_with_the_holder_of_the_seal_is_whole_too)
{
    struct digest one, two;
    world_make(&w);
    w.contoso_is_deleted = true;
    world_topology(&w, 1, false);
    for (size_t i = 0; i < N_REGIONS; i++)
        region_up(&w.regions[i]);
    region_push(south, "fabrikam", "app", "1", 1, 1, 5000, 0, &one);
    WAIT_FOR(region_has(east, "fabrikam", "app", "1", &one), 30000);
    cut_pair(0, 2, true);
    world_topology(&w, 2, false); // which ends the streams
    WAIT_FOR(!state_is(east, "fabrikam", "southeastasia", "Ready"), 30000);
    region_push(south, "tailspin", "app", "2", 2, 1, 5000, 0, &two);
    WAIT_FOR(region_has(west, "tailspin", "app", "2", &two), 30000);
    region_down(south);
    struct feed_mark at, read;
    ck_assert_int_eq(meta_head(west->meta, "southeastasia", &at), 0);
    ck_assert_int_eq(read_mark(east->replicator, "southeastasia", &read), 0);
    ck_assert_int_lt(mark_order(&read, &at), 0);
    seal_region(2, &at, 3);
    WAIT_FOR(state_is(west, "tailspin", "southeastasia", "Ready"), 30000);
    WAIT_FOR(state_is(east, "fabrikam", "southeastasia", "Ready"), 30000);
    world_done(&w);
}
END_TEST

static bool says_forgotten(struct test_region *r)
{
    struct arena a;
    arena_init(&a, 0);
    const char *why = meta_closed_why(r->meta, &a);
    bool says = why && strstr(why, "forgotten");
    arena_done(&a);
    return says;
}

START_TEST(it_comes_back_and_takes_no_writes)
{
    struct digest one, two;
    begin_and_lose_east(&one, &two);
    struct feed_mark at = head_at(south);
    seal(&at, 3);
    cut_pair(0, 1, false);
    region_up(east);
    WAIT_FOR(says_forgotten(east), 30000);
    ck_assert(meta_gate_is_closed(east->meta, META_GATE_SEALED));
    AUTO_BUF struct buf body;
    buf_init(&body, 0);
    ck_assert_int_eq(region_ask(west, east, "GET", "/replication/v1/feed?after=", "peer", &body),
                     403);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&body), "meridian region replace eastus"));
    ck_assert(!meta_gate_is_closed(south->meta, META_GATE_SEALED));
    world_done(&w);
}
END_TEST

// The topology that seals it is not there yet, but the others say so.
START_TEST(it_takes_no_writes_before_it_has_the_topology_either)
{
    struct digest one, two;
    begin_and_lose_east(&one, &two);
    struct feed_mark at = head_at(south);
    w.keeps_topology[0] = true;
    seal(&at, 3);
    cut_pair(0, 1, false);
    region_up(east);
    WAIT_FOR(says_forgotten(east), 30000);
    ck_assert(meta_gate_is_closed(east->meta, META_GATE_RECOVERY));
    w.keeps_topology[0] = false;
    seal(&at, 4);
    WAIT_FOR(meta_gate_is_closed(east->meta, META_GATE_SEALED), 30000);
    world_done(&w);
}
END_TEST

// With new keys and an empty store: what counts of its feed it takes back, and it goes on.
START_TEST(its_name_is_used_again)
{
    struct digest one, two, three;
    char old_key[512], keys[300];
    begin_and_lose_east(&one, &two);
    struct feed_mark at = head_at(south);
    seal(&at, 3);
    WAIT_FOR(region_has(west, "contoso", "app", "2", &two), 30000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 30000);
    snprintf(old_key, sizeof old_key, "      - { id: %s, key: \"%s\" }\n",
             region_keys_feed_id(east->keys), region_keys_feed_spki(east->keys));
    east->more_feed_keys = old_key;
    ck_assert_int_eq(dir_remove_tree(east->dir), 0);
    ck_assert_int_eq(dir_make(east->dir, 0700), 0);
    snprintf(keys, sizeof keys, "%s/keys", east->dir);
    ck_assert_int_eq(region_keys_create(keys, east->name, NULL), 0);
    region_keys_free(east->keys);
    ck_assert_int_eq(region_keys_open(keys, east->name, NULL, &east->keys), 0);
    w.sealed[0][0] = '\0';
    cut_pair(0, 1, false);
    world_topology(&w, 4, false);
    region_up(east);
    WAIT_FOR(region_has(east, "contoso", "app", "2", &two), 60000);
    WAIT_FOR(region_has(east, "contoso", "app", "1", &one), 60000);
    region_push(east, "contoso", "app", "3", 7, 1, 5000, 0, &three);
    WAIT_FOR(region_has(west, "contoso", "app", "3", &three), 60000);
    WAIT_FOR(region_has(south, "contoso", "app", "3", &three), 60000);
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready"), 60000);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/forgotten", the_others_bring_each_other_up_to_the_seal,
           forget_seals_at_100_while_an_absent_member_holds_120,
           who_has_not_read_up_to_the_seal_holds_all_back_and_nobody_else,
           a_word_counts_only_where_the_same_seals_are_in_force,
           what_was_told_and_not_stored_does_not_count_as_told,
           who_shares_nothing_with_the_holder_of_the_seal_is_whole_too,
           it_comes_back_and_takes_no_writes, it_takes_no_writes_before_it_has_the_topology_either,
           its_name_is_used_again)
