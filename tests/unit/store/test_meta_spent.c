// SPDX-License-Identifier: Apache-2.0
// store/meta_spent: what a region holds that others may have dropped with what outdid it is given to
// nobody who begins with nothing, neither in a snapshot nor in the feed of a lost disk.
#include "store/meta_spent.h"

#include "store/meta_delete.h"
#include "store/meta_drop.h"
#include "store/meta_floor.h"
#include "store/meta_snapshot.h"
#include "tests/unit/store/meta_support.h"

static struct region_store east, west, south;
static struct arena a;

static void begin(void)
{
    arena_init(&a, 0);
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    store_begin(&south, "southeastasia");
}

static void end(void)
{
    store_end(&east);
    store_end(&west);
    store_end(&south);
    arena_done(&a);
}

static void manifest_delete(struct region_store *s, const char *text)
{
    struct delete_result out;
    struct digest d = digest_str(text);
    const struct delete_request r = {.registry = REG, .repository = "app", .digest = &d};
    ck_assert_int_eq(meta_manifest_delete(s->m, &r, &a, &out), 0);
}

static void tag_delete(struct region_store *s, const char *tag)
{
    struct delete_result out;
    const struct delete_request r = {.registry = REG, .repository = "app", .tag = tag};
    ck_assert_int_eq(meta_tag_delete(s->m, &r, &a, &out), 0);
}

static void lock_set(struct region_store *s, const char *tag)
{
    uint64_t stamp;
    const struct lock_request r = {.registry = REG, .repository = "app", .tag = tag, .write = true};
    ck_assert_int_eq(meta_lock_set(s->m, &r, &stamp), 0);
}

static void run_jobs(struct region_store *s)
{
    struct job *jobs;
    struct digest missing;
    size_t n;
    int64_t next;
    for (bool moved = true; moved;) {
        moved = false;
        ck_assert_int_eq(meta_jobs_due(s->m, clock_mono_ms(), 32, &a, &jobs, &n, &next), 0);
        for (size_t i = 0; i < n; i++) {
            const struct feed_entry *e = &jobs[i].entry;
            int rc = meta_apply(s->m, e, e->content, NULL, 0, &missing);
            moved = moved || rc == 0;
            if (rc)
                ck_assert_int_eq(meta_job_retry(s->m, jobs[i].id, clock_mono_ms() + 3600000, NULL),
                                 0);
        }
    }
}

static void carry(struct region_store *from, struct region_store *to)
{
    struct feed_entry *e;
    struct feed_mark upto;
    ck_assert_int_eq(meta_head(from->m, from->region, &upto), 0);
    size_t n = feed_all(from, from->region, &a, &e);
    ck_assert_int_eq(meta_ingest(to->m, from->region, e, n, &upto), 0);
    run_jobs(to);
}

static uint64_t top_stamp(struct region_store *s)
{
    struct feed_entry *e;
    size_t n = feed_all(s, s->region, &a, &e);
    return e[n - 1].stamp;
}

static void drop(struct region_store *s, enum drop_step step, uint64_t upto)
{
    struct drop_at at = {0};
    struct dropped one = {0};
    const struct drop_ask ask = {REG, upto, step, 100};
    ck_assert_int_eq(meta_floor_raise(s->m, REG, upto), 0);
    while (!one.at_end)
        ck_assert_int_eq(meta_drop(s->m, &ask, &at, &one), 0);
}

static void snapshot(struct region_store *from, struct region_store *to)
{
    struct snapshot_page p;
    struct snapshot_ask ask = {
        .origin = from->region, .registry = REG, .max = 1000, .max_bytes = 1 << 20};
    ck_assert_int_eq(meta_head(from->m, from->region, &ask.upto), 0);
    ck_assert_int_eq(meta_snapshot_read(from->m, &ask, &a, &p), 0);
    ck_assert(p.at_end);
    ck_assert_int_eq(meta_snapshot_take(to->m, from->region, p.entries, p.n), 0);
    run_jobs(to);
}

static bool any_spent(struct region_store *s)
{
    static const char *const registries[] = {REG};
    bool found;
    ck_assert_int_eq(meta_spent_any(s->m, s->region, registries, 1, &found), 0);
    return found;
}

// Of what `s` wrote, as it is given back: which are ended? By bits.
static unsigned marked(struct region_store *s)
{
    struct feed_entry *e;
    unsigned ended = 0;
    size_t n = feed_all(s, s->region, &a, &e);
    ck_assert_int_eq(meta_spent_mark(s->m, e, n), 0);
    for (size_t i = 0; i < n; i++) {
        ended |= (unsigned)e[i].ended << i;
        ck_assert(!e[i].ended || !e[i].content.n);
    }
    return ended;
}

// East's value was outdone by west's, which died. West has dropped both, east has not yet.
START_TEST(a_tag_that_was_outdone_and_is_gone)
{
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0); // the manifest, and the tag
    carry(&east, &west);
    ck_assert_int_eq(put(&west, "app", "v1", "{2}"), 0);
    carry(&west, &east);
    ck_assert(!any_spent(&east)); // it is the history of a tag that lives
    ck_assert_uint_eq(marked(&east), 0);
    manifest_delete(&west, "{2}");
    carry(&west, &east);
    drop(&west, DROP_VALUES, top_stamp(&west));
    ck_assert(any_spent(&east));
    ck_assert_uint_eq(marked(&east), 2);
    snapshot(&west, &south);
    snapshot(&east, &south); // the tag is the last of its chain
    expect_tag(&south, "app", "v1", NULL);
    // what is written there anew shows, and is not outdone by what was left out
    ck_assert_int_eq(put(&east, "app", "v1", "{3}"), 0);
    ck_assert(!any_spent(&east));
    snapshot(&east, &south);
    expect_tag(&south, "app", "v1", "{3}");
    end();
}
END_TEST

// West's tombstone ended it, and may be gone at west once east's floor is above it.
START_TEST(a_manifest_below_a_tombstone_below_the_floor)
{
    struct digest one = digest_str("{1}");
    struct meta_register reg;
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    tag_delete(&west, "v1");
    manifest_delete(&west, "{1}");
    carry(&west, &east);
    ck_assert(!any_spent(&east)); // everybody still has the tombstone
    ck_assert_uint_eq(marked(&east), 0);
    ck_assert_int_eq(meta_floor_raise(east.m, REG, top_stamp(&west)), 0);
    ck_assert(any_spent(&east));
    ck_assert_uint_eq(marked(&east), 1);
    snapshot(&east, &south); // without a word of west's
    ck_assert_int_eq(meta_manifest_register(south.m, REG, "app", &one, &a, &reg), ERR_NOTFOUND);
    end();
}
END_TEST

START_TEST(a_lock_that_is_void_below_the_floor)
{
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    lock_set(&east, "v1");
    ck_assert_uint_eq(marked(&east), 0);
    carry(&east, &west);
    manifest_delete(&west, "{1}");
    carry(&west, &east);
    ck_assert_uint_eq(marked(&east), 0);
    ck_assert_int_eq(meta_floor_raise(east.m, REG, top_stamp(&west)), 0);
    ck_assert_uint_eq(marked(&east), 1 | 4); // the tag's value is for west's tombstone to end
    ck_assert(any_spent(&east));
    end();
}
END_TEST

// East lost its disk, and takes its own entries back from west, which has dropped nothing yet.
START_TEST(what_comes_back_as_ended_has_its_place_alone)
{
    static const char *const registries[] = {REG};
    struct feed_entry *e;
    struct feed_mark zero = {0}, last, kept;
    struct recovered done;
    size_t n;
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    carry(&east, &west);
    ck_assert_int_eq(put(&west, "app", "v1", "{2}"), 0);
    manifest_delete(&west, "{2}");
    store_end(&east);
    store_begin(&east, "eastus");
    ck_assert_int_eq(meta_feed_read(west.m, "eastus", &zero, NULL, 0, 100, &a, &e, &n, &last), 0);
    ck_assert_int_eq(meta_spent_mark(west.m, e, n), 0);
    ck_assert(n == 2 && !e[0].ended && e[1].ended);
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back, 2);
    expect_tag(&east, "app", "v1", NULL);
    // no feed begins before it
    ck_assert_int_eq(meta_kept_from(east.m, "eastus", registries, 1, &kept), 0);
    ck_assert_uint_eq(kept.seq, 2);
    // and it is written on behind it
    ck_assert_int_eq(put(&east, "app", "v3", "{3}"), 0);
    expect_tag(&east, "app", "v3", "{3}");
    end();
}
END_TEST

CHECK_MAIN("store/meta_spent", a_tag_that_was_outdone_and_is_gone,
           a_manifest_below_a_tombstone_below_the_floor, a_lock_that_is_void_below_the_floor,
           what_comes_back_as_ended_has_its_place_alone)
