// SPDX-License-Identifier: Apache-2.0
// What members of a registry tell each other of how far they are: a write is applied by all once all
// have it, who is cut off or stuck holds that back in its registry alone, and what is told is judged.
#include "replication/words.h"

#include "base/clock.h"
#include "base/err.h"
#include "replication/replication_priv.h"
#include "replication/words_priv.h"
#include "store/meta_floor.h"
#include "store/meta_words.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/regions.h"

#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

// Promises are behind the clock by the skew.
static void begin(void)
{
    world_make(&w);
    w.skew_s = 5; // the least
    world_topology(&w, 1, false);
    for (size_t i = 0; i < N_REGIONS; i++) {
        w.regions[i].words_every_ms = 500;
        region_up(&w.regions[i]);
    }
}

static struct horizon horizon_at(struct test_region *at, const char *registry)
{
    struct horizon h;
    struct topology *t = snapshot_get(&at->topology);
    words_horizon(at->replicator->words, t, topology_registry_by_key(t, registry), &h, NULL);
    snapshot_unref(t);
    return h;
}

// Does every region but `without` (may be NULL) say that all have applied what was written by now?
static bool all_have(const char *registry, uint64_t stamp, const struct test_region *without)
{
    for (size_t i = 0; i < N_REGIONS; i++)
        if (&w.regions[i] != without && horizon_at(&w.regions[i], registry).stamp < stamp)
            return false;
    return true;
}

static uint64_t stamp_now(void)
{
    return hlc_from_wall(clock_wall_ms());
}

// Regions at rest say so, too: that is what promises are for.
START_TEST(all_come_to_know_that_all_have_a_write)
{
    struct digest d;
    begin();
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    uint64_t written = stamp_now();
    WAIT_FOR(all_have("contoso", written, NULL), 60000);
    ck_assert(region_has(west, "contoso", "app", "1", &d));
    ck_assert(region_has(south, "contoso", "app", "1", &d));
    world_done(&w);
}
END_TEST

START_TEST(who_is_cut_off_holds_it_back_and_is_named)
{
    begin();
    WAIT_FOR(all_have("contoso", 1, NULL), 60000);
    region_cut(south, true);
    uint64_t then = stamp_now();
    WAIT_FOR(horizon_at(east, "contoso").why == HORIZON_SILENT, 60000);
    ck_assert_uint_eq(horizon_at(east, "contoso").stamp, 0);
    json_t *doc = replication_status_json(east->replicator, "contoso");
    const json_t *row = json_array_get(json_object_get(doc, "horizons"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(row, "registry")), "contoso");
    ck_assert_str_eq(json_string_value(json_object_get(row, "heldBy")), south->name);
    ck_assert_ptr_nonnull(json_object_get(row, "standsSince"));
    json_decref(doc);
    region_cut(south, false);
    WAIT_FOR(all_have("contoso", then, NULL), 60000);
    world_done(&w);
}
END_TEST

// Content that does not come holds back its own registry.
START_TEST(what_is_stuck_holds_back_its_registry_alone)
{
    struct digest d;
    begin();
    world_topology(&w, 2, true);
    east->fault = FAULT_ABSENT;
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    uint64_t written = stamp_now();
    WAIT_FOR(all_have("fabrikam", written, south), 60000);
    struct horizon h = horizon_at(west, "contoso");
    ck_assert_uint_lt(h.stamp, written);
    ck_assert_int_eq(h.why, HORIZON_BEHIND);
    east->fault = FAULT_NONE;
    WAIT_FOR(all_have("contoso", written, NULL), 60000);
    world_done(&w);
}
END_TEST

static int told(const char *text, size_t *out_n)
{
    struct topology *t = snapshot_get(&east->topology);
    char plain[4096];
    size_t n = strlen(text);
    ck_assert_uint_lt(n, sizeof plain);
    for (size_t i = 0; i <= n; i++)
        plain[i] = text[i] == '\'' ? '"' : text[i];
    *out_n = 99;
    int rc = words_take(east->replicator->words, t, topology_region(t, west->name),
                        bytes_of(plain, n), out_n);
    snapshot_unref(t);
    return rc;
}

// Heard or not: a member that does not move stands since it moved last.
START_TEST(it_is_told_since_when_a_member_stands)
{
    static const char *const same = "{'registries':{'contoso':{'floor':'0','applied':"
                                    "{'eastus':'9','westeurope':'%d','southeastasia':'7'}}}}";
    char text[256];
    size_t n;
    int64_t first = 0;
    begin();
    region_cut(west, true); // it tells nothing by itself meanwhile
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, same, 8 + i); // what is ahead moves, what is behind does not
        ck_assert_int_eq(told(text, &n), 0);
        json_t *row = json_object_get(json_object_get(east->replicator->words->members, west->name),
                                      "contoso");
        int64_t moved = json_integer_value(json_object_get(row, "moved"));
        ck_assert_int_gt(moved, 0);
        if (!i)
            first = moved;
        ck_assert_int_eq(moved, first);
        WAIT_FOR(clock_wall_ms() > first, 10000);
    }
    ck_assert_int_eq(told("{'registries':{'contoso':{'floor':'0','applied':{'eastus':'9'}}}}", &n),
                     0);
    json_t *row =
        json_object_get(json_object_get(east->replicator->words->members, west->name), "contoso");
    ck_assert_int_gt(json_integer_value(json_object_get(row, "moved")), first);
    world_done(&w);
}
END_TEST

// --- what is told is judged ---

// A floor above what this region has applied is not believed; it is heard when this region is there.
START_TEST(a_floor_above_what_is_applied_here_is_passed_over)
{
    struct meta_floor f;
    char text[256];
    size_t n;
    begin();
    WAIT_FOR(words_applied_here(east->replicator->words, "contoso") > 1, 60000);
    region_cut(west, true);
    uint64_t ahead = stamp_now();
    snprintf(text, sizeof text,
             "{'registries':{'contoso':{'floor':'%llu','applied':{'eastus':'9'}}}}",
             (unsigned long long)ahead);
    ck_assert_int_eq(told(text, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(meta_floor_get(east->meta, "contoso", &f), 0);
    ck_assert_uint_eq(f.heard, 0);
    ck_assert_int_eq(told("{'registries':{'contoso':{'floor':'1','applied':{'eastus':'9'}}}}", &n),
                     0);
    ck_assert_int_eq(meta_floor_get(east->meta, "contoso", &f), 0);
    ck_assert_uint_eq(f.heard, 1);
    region_cut(west, false);
    WAIT_FOR(words_applied_here(east->replicator->words, "contoso") >= ahead, 60000);
    region_cut(west, true);
    ck_assert_int_eq(told(text, &n), 0);
    ck_assert_int_eq(meta_floor_get(east->meta, "contoso", &f), 0);
    ck_assert_uint_eq(f.heard, ahead);
    world_done(&w);
}
END_TEST

START_TEST(words_that_are_none_are_refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{'registries':[]}",
        "{'registries':{'CONTOSO!':{'floor':'0','applied':{}}}}",
        "{'registries':{'contoso':{'floor':0,'applied':{}}}}",
        "{'registries':{'contoso':{'floor':'01','applied':{}}}}",
        "{'registries':{'contoso':{'floor':'-1','applied':{}}}}",
        "{'registries':{'contoso':{'floor':'9223372036854775808','applied':{}}}}",
        "{'registries':{'contoso':{'floor':'0'}}}",
        "{'registries':{'contoso':{'floor':'0','applied':{'East':'1'}}}}",
        "{'registries':{'contoso':{'floor':'0','applied':{'eastus':1}}}}",
        "{'registries':{'contoso':{'floor':'0','applied':{}}},'registries':{}}",
        "{'registries':{'contoso':{'floor':'0','applied':{},'seals':7}}}",
        "{'registries':{'contoso':{'floor':'0','applied':{},'seals':{'East':''}}}}",
        "{'registries':{'contoso':{'floor':'0','applied':{},'seals':{'eastus':7}}}}",
        "{'registries':{'contoso':{'floor':'0','applied':{},'seals':{'eastus':'x'}}}}",
        "{'word':7,'registries':{}}",
        "{'word':{},'registries':{}}",
        "{'word':{'head':'x','stamp':'1','key':'k','sig':''},'registries':{}}",
    };
    size_t n;
    begin();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(told(bad[i], &n) == ERR_PROTO && n == 99, "%s", bad[i]);
    ck_assert_int_eq(told("{'registries':{'contoso':{'floor':'0','applied':{'eastus':'1'}}}}", &n),
                     0);
    ck_assert_uint_eq(n, 1);
    // of a registry that they do not share, or that is not there: passed over
    ck_assert_int_eq(told("{'registries':{'nowhere':{'floor':'0','applied':{}}}}", &n), 0);
    ck_assert_uint_eq(n, 0);
    world_done(&w);
}
END_TEST

static int promised(struct test_region *by, struct test_region *as, uint64_t stamp, bool spoil)
{
    char text[1024], cur[CURSOR_TEXT_SIZE], sig_text[b64_size(ENTRY_SIG_BYTES)];
    uint8_t sig[ENTRY_SIG_BYTES];
    const char *key;
    const struct promise p = {.head = {.epoch = 1, .seq = 1}, .stamp = stamp};
    size_t n;
    AUTO_BUF struct buf b;
    buf_init(&b, 4096);
    ck_assert_int_eq(word_text(as->name, &p, &b), 0);
    ck_assert_int_eq(meta_sign(by->meta, b.p, b.n, &key, sig), 0);
    b64url_format(sig, sizeof sig, sig_text);
    snprintf(text, sizeof text,
             "{'word':{'head':'%s','stamp':'%llu','key':'%s','sig':'%s'},'registries':{}}",
             cursor_format(&p.head, cur), (unsigned long long)stamp + spoil, key, sig_text);
    return told(text, &n);
}

START_TEST(a_promise_is_its_origins_own)
{
    begin();
    region_cut(west, true); // it tells nothing by itself meanwhile
    ck_assert_int_eq(promised(west, west, 7, false), 0);
    ck_assert_int_eq(promised(west, west, 7, true), ERR_AUTH);   // another stamp than was signed
    ck_assert_int_eq(promised(south, west, 7, false), ERR_AUTH); // by another region
    ck_assert_int_eq(promised(west, south, 7, false), ERR_AUTH); // for another region
    // of the future: passed over, for its clock is not followed
    uint64_t future = hlc_from_wall(clock_wall_ms() + 3600000);
    ck_assert_int_eq(promised(west, west, future, false), 0);
    const struct feed_mark end = {.epoch = 1u << 31, .seq = 1};
    ck_assert_uint_lt(words_promised(east->replicator->words, west->name, &end), future);
    // what was reached does not count for a mark that was set back
    const struct feed_mark start = {0};
    ck_assert_int_eq(promised(west, west, stamp_now(), false), 0);
    ck_assert_uint_gt(words_promised(east->replicator->words, west->name, &end), 7);
    ck_assert_uint_eq(words_promised(east->replicator->words, west->name, &start), 0);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/words", all_come_to_know_that_all_have_a_write,
           who_is_cut_off_holds_it_back_and_is_named, what_is_stuck_holds_back_its_registry_alone,
           it_is_told_since_when_a_member_stands, a_floor_above_what_is_applied_here_is_passed_over,
           words_that_are_none_are_refused, a_promise_is_its_origins_own)
