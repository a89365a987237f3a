// SPDX-License-Identifier: Apache-2.0
// store/meta_drop: what was deleted goes for good, in two steps; what lives, and what is not everywhere
// yet, stays; and nothing that comes later brings it back.
#include "store/meta_delete.h"
#include "store/meta_differ.h"
#include "store/meta_drop.h"
#include "store/meta_floor.h"
#include "store/meta_snapshot.h"
#include "store/meta_void.h"
#include "tests/support/leases.h"
#include "tests/unit/store/meta_support.h"

#include <sqlite3.h>

static struct region_store east, west;

static void begin(void)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
}

static void end(void)
{
    store_end(&east);
    store_end(&west);
}

static void tag_delete(struct region_store *s, const char *tag)
{
    struct arena a;
    struct delete_result out;
    const struct delete_request r = {.registry = REG, .repository = "app", .tag = tag};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_tag_delete(s->m, &r, &a, &out), 0);
    arena_done(&a);
}

static void manifest_delete(struct region_store *s, const char *text)
{
    struct arena a;
    struct delete_result out;
    struct digest d = digest_str(text);
    const struct delete_request r = {.registry = REG, .repository = "app", .digest = &d};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_delete(s->m, &r, &a, &out), 0);
    arena_done(&a);
}

static uint64_t top_stamp(struct region_store *s)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(s, s->region, &a, &e);
    uint64_t stamp = e[n - 1].stamp;
    arena_done(&a);
    return stamp;
}

static size_t n_entries(struct region_store *s, const char *origin, size_t *out_ended)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(s, origin, &a, &e);
    *out_ended = 0;
    for (size_t i = 0; i < n; i++)
        *out_ended += e[i].ended;
    arena_done(&a);
    return n;
}

static struct dropped drop(struct region_store *s, enum drop_step step, uint64_t upto)
{
    struct drop_at at = {0};
    struct dropped all = {0}, one = {0};
    const struct drop_ask ask = {REG, upto, step, 2};
    ck_assert_int_eq(meta_floor_raise(s->m, REG, upto), 0);
    while (!one.at_end) {
        ck_assert_int_eq(meta_drop(s->m, &ask, &at, &one), 0);
        all.n_entries += one.n_entries;
        all.n_registers += one.n_registers;
        all.kept = all.kept || one.kept;
    }
    return all;
}

static void drop_both(struct region_store *s, uint64_t upto)
{
    ck_assert(!drop(s, DROP_VALUES, upto).kept);
    (void)drop(s, DROP_TOMBSTONES, upto);
}

static void carry(struct region_store *from, struct region_store *to)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(from, from->region, &a, &e);
    struct feed_mark upto = {.epoch = e[n - 1].epoch, .seq = e[n - 1].seq};
    memcpy(upto.hash, e[n - 1].hash, sizeof upto.hash);
    ck_assert_int_eq(meta_ingest(to->m, from->region, e, n, &upto), 0);
    arena_done(&a);
}

static void run_jobs(struct region_store *s)
{
    for (bool moved = true; moved;) {
        struct arena a;
        struct job *jobs;
        size_t n;
        int64_t next;
        moved = false;
        arena_init(&a, 0);
        ck_assert_int_eq(meta_jobs_due(s->m, clock_mono_ms(), 32, &a, &jobs, &n, &next), 0);
        for (size_t i = 0; i < n; i++) {
            const struct feed_entry *e = &jobs[i].entry;
            struct digest missing;
            int rc = meta_apply(s->m, e, e->content, NULL, 0, &missing);
            moved = moved || rc == 0;
            if (rc)
                ck_assert_int_eq(meta_job_retry(s->m, jobs[i].id, clock_mono_ms() + 3600000, NULL),
                                 0);
        }
        arena_done(&a);
    }
}

// A snapshot of all that east wrote comes to west.
static void snapshot_take(void)
{
    struct arena a;
    struct snapshot_page p;
    struct snapshot_ask ask = {
        .origin = "eastus", .registry = REG, .max = 1000, .max_bytes = 1 << 20};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_head(east.m, "eastus", &ask.upto), 0);
    ck_assert_int_eq(meta_snapshot_read(east.m, &ask, &a, &p), 0);
    ck_assert(p.at_end);
    ck_assert_int_eq(meta_snapshot_take(west.m, "eastus", p.entries, p.n), 0);
    arena_done(&a);
    run_jobs(&west);
}

START_TEST(what_was_deleted_goes_in_two_steps)
{
    size_t ended;
    struct meta_register reg;
    struct arena a;
    begin();
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "keep", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{3}"), 0);
    tag_delete(&east, "v1");
    manifest_delete(&east, "{2}");
    manifest_delete(&east, "{3}");
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 9);
    uint64_t top = top_stamp(&east);
    struct dropped d = drop(&east, DROP_VALUES, top);
    ck_assert(d.n_entries == 4 && d.n_registers == 3 && !d.kept);
    // the tombstones stay, and the highest of what went as ended
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 6);
    ck_assert_uint_eq(ended, 1);
    ck_assert_int_eq(meta_tag_register(east.m, REG, "app", "v1", &a, &reg), 0);
    ck_assert(reg.top.gone && !reg.live);
    ck_assert_uint_eq(drop(&east, DROP_VALUES, top).n_entries, 0); // once is enough
    d = drop(&east, DROP_TOMBSTONES, top);
    ck_assert(d.n_entries == 3 && d.n_registers == 3);
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 3);
    ck_assert_uint_eq(ended, 1);
    ck_assert_int_eq(meta_tag_register(east.m, REG, "app", "v1", &a, &reg), ERR_NOTFOUND);
    struct digest gone = digest_str("{2}");
    ck_assert_int_eq(meta_manifest_register(east.m, REG, "app", &gone, &a, &reg), ERR_NOTFOUND);
    expect_tag(&east, "app", "keep", "{1}");
    expect_tag(&east, "app", "v1", NULL);
    // it is written on, in chains without a gap
    ck_assert_int_eq(put(&east, "app", "v1", "{4}"), 0);
    expect_tag(&east, "app", "v1", "{4}");
    arena_done(&a);
    end();
}
END_TEST

START_TEST(who_joins_later_gets_what_lives)
{
    size_t ended;
    struct arena a;
    struct feed_entry *e;
    begin();
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "keep", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    manifest_delete(&east, "{2}"); // the last entry of its chain is one that goes
    drop_both(&east, top_stamp(&east));
    snapshot_take();
    expect_tag(&west, "app", "keep", "{1}");
    expect_tag(&west, "app", "v1", NULL);
    ck_assert_uint_eq(n_entries(&west, "eastus", &ended), 3);
    ck_assert_uint_eq(ended, 1);
    // and what is written then follows without a gap
    ck_assert_int_eq(put(&east, "app", "v2", "{3}"), 0);
    size_t n = feed_all(&east, "eastus", &a, &e);
    struct feed_mark upto = {.epoch = e[n - 1].epoch, .seq = e[n - 1].seq};
    memcpy(upto.hash, e[n - 1].hash, sizeof upto.hash);
    ck_assert_int_eq(meta_ingest(west.m, "eastus", &e[n - 2], 2, &upto), 0);
    run_jobs(&west);
    expect_tag(&west, "app", "v2", "{3}");
    arena_done(&a);
    end();
}
END_TEST

START_TEST(what_comes_again_is_refused_or_dead)
{
    struct arena a;
    struct feed_entry *old;
    struct meta_floor f;
    begin();
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    size_t n = feed_all(&east, "eastus", &a, &old); // what an old backup has
    manifest_delete(&east, "{1}");
    carry(&east, &west);
    run_jobs(&west);
    uint64_t top = top_stamp(&east);
    ck_assert(!drop(&west, DROP_VALUES, top).kept);
    ck_assert_int_eq(meta_snapshot_take(west.m, "eastus", old, n), 0);
    run_jobs(&west);
    expect_tag(&west, "app", "v1", NULL); // the tag is refused, the manifest dead
    ck_assert(!drop(&west, DROP_VALUES, top).kept);
    (void)drop(&west, DROP_TOMBSTONES, top);
    ck_assert_int_eq(meta_snapshot_take(west.m, "eastus", old, n), 0);
    run_jobs(&west);
    expect_tag(&west, "app", "v1", NULL);
    ck_assert_int_eq(meta_floor_get(west.m, REG, &f), 0);
    ck_assert_uint_ge(f.n_refused, 2);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(what_lies_above_or_lives_stays)
{
    size_t ended;
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    uint64_t upto = top_stamp(&east);
    tag_delete(&east, "v1"); // above
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0);
    struct dropped d = drop(&east, DROP_VALUES, upto);
    ck_assert(d.n_entries == 0 && !d.kept);
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 5);
    // deleted, and there again
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    drop_both(&east, top_stamp(&east));
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 6);
    expect_tag(&east, "app", "v1", "{1}");
    end();
}
END_TEST

START_TEST(what_is_not_applied_keeps_the_floor_down)
{
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    tag_delete(&east, "v1");
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    tag_delete(&east, "v1");
    carry(&east, &west);
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(&east, "eastus", &a, &e);
    struct digest missing;
    ck_assert_int_eq(meta_apply(west.m, &e[n - 1], (struct bytes){0}, NULL, 0, &missing), 0);
    struct dropped d = drop(&west, DROP_VALUES, top_stamp(&east));
    ck_assert(d.kept && d.n_entries == 0);
    run_jobs(&west);
    d = drop(&west, DROP_VALUES, top_stamp(&east));
    ck_assert(!d.kept && d.n_entries == 2);
    arena_done(&a);
    end();
}
END_TEST

static void lock_set(const char *tag, bool del)
{
    uint64_t stamp;
    const struct lock_request r = {
        .registry = REG, .repository = "app", .tag = tag, .del = del, .by = "ada"};
    ck_assert_int_eq(meta_lock_set(east.m, &r, &stamp), 0);
}

START_TEST(locks_go_with_what_they_locked)
{
    size_t ended;
    begin();
    ck_assert_int_eq(put(&east, "app", "keep", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    lock_set("v1", true);
    lock_set("v1", false);
    tag_delete(&east, "v1");
    drop_both(&east, top_stamp(&east));
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended),
                      3); // the manifest, keep, and the last that went
    ck_assert_uint_eq(ended, 1);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    lock_set("v1", true);
    struct arena a;
    struct lock_state l;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_lock_get(east.m, REG, "app", "v1", NULL, &a, &l), 0);
    ck_assert(l.del);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(an_old_place_is_known_and_no_feed_begins_there)
{
    struct arena a;
    struct feed_entry *e;
    struct feed_mark kept, first, other;
    static const char *const regs[] = {REG}, *const none[] = {"fabrikam"};
    begin();
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    size_t n = feed_all(&east, "eastus", &a, &e);
    ck_assert_uint_eq(n, 2);
    first = (struct feed_mark){.epoch = e[0].epoch, .seq = e[0].seq};
    memcpy(first.hash, e[0].hash, sizeof first.hash);
    other = first;
    other.hash[0] ^= 1;
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &other), ERR_CONFLICT);
    manifest_delete(&east, "{1}");
    drop_both(&east, top_stamp(&east));
    ck_assert_int_eq(meta_kept_from(east.m, "eastus", regs, 1, &kept), 0);
    ck_assert(kept.epoch == 1 && kept.seq == 3);
    ck_assert_int_eq(meta_kept_from(east.m, "eastus", none, 1, &kept), 0);
    ck_assert_uint_eq(kept.seq, 0);
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &first), 0);
    first.seq = 9;
    ck_assert_int_eq(meta_feed_check(east.m, "eastus", &first), ERR_CONFLICT);
    arena_done(&a);
    end();
}
END_TEST

// A disk is lost, and the first peer that answers says of all that it has ended: nobody signed that.
START_TEST(what_another_calls_ended_comes_back)
{
    struct arena a;
    struct feed_entry *e, *lie;
    struct recovered done;
    bool lost;
    size_t ended;
    begin();
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    run_jobs(&west);
    size_t n = feed_all(&west, "eastus", &a, &e);
    ck_assert_uint_eq(feed_all(&west, "eastus", &a, &lie), n);
    for (size_t i = 0; i < n; i++)
        lie[i].ended = true;
    meta_close(east.m);
    store_lose(&east);
    store_reopen(&east);
    ck_assert_int_eq(meta_recover(east.m, lie, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back, n);
    ck_assert_int_eq(meta_lost(east.m, &lie[0], &lost), 0);
    ck_assert(!lost);
    ck_assert_int_eq(meta_lost(east.m, &e[0], &lost), 0);
    ck_assert(lost);
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back, n);
    run_jobs(&east);
    expect_tag(&east, "app", "v1", "{1}");
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), n);
    ck_assert_uint_eq(ended, 0);
    feed_verify(&east, "eastus");
    ck_assert_int_eq(meta_lost(east.m, &e[0], &lost), 0);
    ck_assert(!lost);
    // the lie again, and what was dropped here: nothing comes of either
    ck_assert_int_eq(meta_recover(east.m, lie, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back, 0);
    manifest_delete(&east, "{1}");
    drop_both(&east, top_stamp(&east));
    ck_assert_int_eq(meta_lost(east.m, &e[n - 1], &lost), 0);
    ck_assert(!lost);
    ck_assert_int_eq(meta_recover(east.m, e, 0, &done), 0);
    expect_tag(&east, "app", "v1", NULL);
    arena_done(&a);
    end();
}
END_TEST

// How `at` judges what `of` has of a subject.
static enum differ_verdict judged(struct region_store *at, struct region_store *of,
                                  const struct shown_subject *s)
{
    struct arena a;
    struct differ_told told = {0};
    struct differ_place *places;
    struct differ_judgement j;
    struct meta_floor f;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_differ_places(of->m, &a, &places, &told.n_places), 0);
    told.places = places;
    ck_assert_int_eq(meta_floor_get(of->m, REG, &f), 0);
    told.floor = f.cleared;
    ck_assert_int_eq(meta_differ_look(of->m, REG, "app", s, &a, &told.look), 0);
    ck_assert_int_eq(meta_differ_judge(at->m, REG, "app", s, &told, &a, &j), 0);
    arena_done(&a);
    return j.verdict;
}

static void same(const char *tag, const char *manifest)
{
    struct shown_subject t = {.kind = SUBJECT_TAG},
                         m = {.kind = SUBJECT_MANIFEST, .digest = digest_str(manifest)};
    snprintf(t.tag, sizeof t.tag, "%s", tag);
    ck_assert_int_eq(judged(&east, &west, &t), DIFFER_SAME);
    ck_assert_int_eq(judged(&west, &east, &t), DIFFER_SAME);
    ck_assert_int_eq(judged(&east, &west, &m), DIFFER_SAME);
    ck_assert_int_eq(judged(&west, &east, &m), DIFFER_SAME);
}

START_TEST(who_has_dropped_and_who_has_not_are_the_same)
{
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0);
    manifest_delete(&east, "{1}");
    tag_delete(&east, "v2");
    carry(&east, &west);
    run_jobs(&west);
    same("v1", "{1}");
    uint64_t top = top_stamp(&east);
    ck_assert(!drop(&west, DROP_VALUES, top).kept);
    ck_assert_int_eq(meta_floor_clear(west.m, REG, top), 0);
    same("v1", "{1}");
    same("v2", "{2}");
    (void)drop(&west, DROP_TOMBSTONES, top);
    same("v1", "{1}");
    same("v2", "{2}");
    // the names are used again
    ck_assert_int_eq(put(&west, "app", "v2", "{1}"), 0);
    carry(&west, &east);
    run_jobs(&east);
    expect_tag(&east, "app", "v2", "{1}");
    same("v2", "{1}");
    end();
}
END_TEST

// A store from before the deletion, which everybody else has dropped.
START_TEST(an_older_store_is_named_and_brings_nothing_back)
{
    struct shown_subject t = {.kind = SUBJECT_TAG, .tag = "v1"};
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    run_jobs(&west);
    manifest_delete(&west, "{1}");
    drop_both(&west, top_stamp(&west));
    ck_assert_int_eq(meta_floor_clear(west.m, REG, top_stamp(&west)), 0);
    ck_assert_int_eq(judged(&west, &east, &t), DIFFER_WRONG_THERE);
    carry(&east, &west);
    run_jobs(&west);
    expect_tag(&west, "app", "v1", NULL);
    end();
}
END_TEST

START_TEST(who_creates_comes_after_what_was_dropped)
{
    struct arena a;
    struct meta_register reg;
    struct put_result r;
    struct manifest_put p = {.registry = REG,
                             .repository = "app",
                             .digest = digest_str("{2}"),
                             .media_type = TYPE,
                             .content = bytes_str("{2}"),
                             .tag = "v1",
                             .create_only = true};
    begin();
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    run_jobs(&west);
    tag_delete(&east, "v1");
    carry(&east, &west);
    run_jobs(&west);
    drop_both(&west, top_stamp(&east)); // and not at east, whose tombstone stands
    ck_assert_int_eq(meta_manifest_put(west.m, &p, &r), 0);
    carry(&west, &east);
    run_jobs(&east);
    expect_tag(&west, "app", "v1", "{2}");
    expect_tag(&east, "app", "v1", "{2}");
    ck_assert_int_eq(meta_tag_register(east.m, REG, "app", "v1", &a, &reg), 0);
    ck_assert_uint_ge(reg.top.generation, top_stamp(&east));
    arena_done(&a);
    end();
}
END_TEST

// A member told a floor that lies ahead of the clock. What is created then comes after it, and a
// deletion still comes after what was created.
START_TEST(a_floor_of_the_future_holds_no_tag)
{
    struct put_result r;
    struct manifest_put p = {.registry = REG,
                             .repository = "app",
                             .digest = digest_str("{1}"),
                             .media_type = TYPE,
                             .content = bytes_str("{1}"),
                             .tag = "v1",
                             .create_only = true};
    begin();
    ck_assert_int_eq(put(&east, "app", "other", "{2}"), 0);
    ck_assert_int_eq(meta_floor_hear(east.m, REG, top_stamp(&east) + (300ull << 16)), 0);
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &r), 0);
    tag_delete(&east, "v1");
    expect_tag(&east, "app", "v1", NULL);
    ck_assert_int_eq(meta_floor_hear(east.m, REG, top_stamp(&east) + (300ull << 16)), 0);
    p.tag = "v2";
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &r), 0);
    manifest_delete(&east, "{1}");
    expect_tag(&east, "app", "v2", NULL);
    end();
}
END_TEST

static size_t trim(struct region_store *s, const char *origin, uint64_t upto)
{
    struct trim_at at = {0};
    struct dropped one = {0};
    const struct trim_ask ask = {REG, origin, upto, 500};
    size_t n = 0;
    while (!one.at_end) {
        ck_assert_int_eq(meta_trim(s->m, &ask, &at, &one), 0);
        n += one.n_entries;
    }
    return n;
}

START_TEST(what_was_outdone_leaves_the_log)
{
    size_t ended;
    struct arena a;
    struct tag_version *v;
    size_t n;
    char text[32];
    begin();
    arena_init(&a, 0);
    for (int i = 0; i < 130; i++) {
        snprintf(text, sizeof text, "{%d}", i % 3);
        ck_assert_int_eq(put(&east, "app", "v1", text), 0); // three manifests, and a tag that moves
    }
    uint64_t half = top_stamp(&east);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "{%d}", i % 3);
        ck_assert_int_eq(put(&east, "app", "v1", text), 0);
    }
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 143);
    ck_assert_uint_eq(trim(&east, "eastus", half), 40); // 100 of the 140 values are its history
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 104);
    ck_assert_uint_eq(ended, 1);
    ck_assert_uint_eq(trim(&east, "eastus", top_stamp(&east)), 0);
    ck_assert_int_eq(meta_tag_history(east.m, REG, "app", "v1", 1000, &a, &v, &n), 0);
    ck_assert_uint_eq(n, 100);
    expect_tag(&east, "app", "v1", text);
    // who joins gets the same, and nobody sees a difference
    snapshot_take();
    expect_tag(&west, "app", "v1", text);
    ck_assert_int_eq(meta_tag_history(west.m, REG, "app", "v1", 1000, &a, &v, &n), 0);
    ck_assert_uint_eq(n, 100);
    same("v1", text);
    arena_done(&a);
    end();
}
END_TEST

// A register was written by a key, and again by the next one, which is stolen and revoked.
START_TEST(what_a_revoked_key_outdid_is_there_still)
{
    struct meta_revoked done;
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0); // entries 1 and 2
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0); // 3: the tag alone
    meta_close(east.m);
    east.key = "feed-key-2";
    store_reopen(&east);
    for (unsigned i = 0; i < META_HISTORY_MAX + 20; i++)
        ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    run_jobs(&west);
    // of the tag by the first key one of two, by the second the last ones; the manifest by both
    ck_assert_uint_eq(trim(&west, "eastus", top_stamp(&east)), 1 + 20);
    const struct meta_revocation r = {
        .origin = "eastus", .key = "feed-key-2", .epoch = 1, .seq = 3};
    ck_assert_int_eq(meta_revoke(west.m, &r, 1, &done), 0);
    for (struct meta_swept swept = {.more = true}; swept.more;)
        ck_assert_int_eq(meta_revoke_sweep(west.m, 100, &swept), 0);
    expect_tag(&west, "app", "v1", "{1}");
    end();
}
END_TEST

START_TEST(what_is_not_applied_outdoes_nothing)
{
    struct arena a;
    struct feed_entry *e;
    struct digest missing;
    begin();
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    manifest_delete(&east, "{1}");
    ck_assert_int_eq(put(&east, "app", "v2", "{1}"), 0);
    carry(&east, &west);
    size_t n = feed_all(&east, "eastus", &a, &e);
    ck_assert_uint_eq(n, 5);
    // the first value of the presence is applied, the second one is a job yet
    ck_assert_int_eq(meta_apply(west.m, &e[0], e[0].content, NULL, 0, &missing), 0);
    ck_assert_uint_eq(trim(&west, "eastus", top_stamp(&east)), 0);
    run_jobs(&west);
    ck_assert_uint_eq(trim(&west, "eastus", top_stamp(&east)), 1);
    expect_tag(&west, "app", "v2", "{1}");
    arena_done(&a);
    end();
}
END_TEST

// The id of the row that stayed as ended was given to another entry meanwhile: that one stays.
START_TEST(an_id_that_is_used_again_takes_no_other_entry)
{
    NEEDS_SQLITE;
    size_t ended;
    sqlite3 *h;
    begin();
    ck_assert_int_eq(put(&east, "app", "keep", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    manifest_delete(&east, "{2}");
    drop_both(&east, top_stamp(&east));
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 3);
    meta_close(east.m);
    ck_assert_int_eq(sqlite3_open(east.path, &h), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_exec(h,
                     "UPDATE numbers SET value=(SELECT id FROM feed WHERE tag='keep') WHERE name "
                     "LIKE 'kept-id:%'",
                     NULL, NULL, NULL),
        SQLITE_OK);
    ck_assert_int_eq(sqlite3_changes(h), 1);
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
    store_reopen(&east);
    ck_assert_int_eq(put(&east, "app", "v2", "{3}"), 0);
    manifest_delete(&east, "{3}");
    drop_both(&east, top_stamp(&east));
    // {1}, its tag, what stayed as ended before, and what does now
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 4);
    ck_assert_uint_eq(ended, 2);
    expect_tag(&east, "app", "keep", "{1}");
    end();
}
END_TEST

START_TEST(rows_and_log_stay_bounded)
{
    size_t ended;
    char text[32];
    begin();
    ck_assert_int_eq(put(&east, "app", "keep", "{keep}"), 0);
    for (int i = 0; i < 60; i++) {
        snprintf(text, sizeof text, "{%d}", i);
        ck_assert_int_eq(put(&east, "app", "v1", text), 0);
        manifest_delete(&east, text);
        if (i % 10 == 9)
            drop_both(&east, top_stamp(&east));
    }
    ck_assert_uint_eq(n_entries(&east, "eastus", &ended), 3);
    ck_assert_uint_eq(ended, 1);
    store_end(&east);
    store_end(&west);
}
END_TEST

CHECK_MAIN("store/meta_drop", what_was_deleted_goes_in_two_steps, who_joins_later_gets_what_lives,
           what_comes_again_is_refused_or_dead, what_lies_above_or_lives_stays,
           what_is_not_applied_keeps_the_floor_down, locks_go_with_what_they_locked,
           an_old_place_is_known_and_no_feed_begins_there, what_another_calls_ended_comes_back,
           a_floor_of_the_future_holds_no_tag, who_has_dropped_and_who_has_not_are_the_same,
           an_older_store_is_named_and_brings_nothing_back,
           who_creates_comes_after_what_was_dropped, what_was_outdone_leaves_the_log,
           what_is_not_applied_outdoes_nothing, what_a_revoked_key_outdid_is_there_still,
           an_id_that_is_used_again_takes_no_other_entry, rows_and_log_stay_bounded)
