// SPDX-License-Identifier: Apache-2.0
// store/meta: stores that hold stamps of the future, as versions did that took them, are mended:
// every region for itself, in any order, and then they agree. The clock of all is put ahead while
// the harm is done.
#include "store/meta_delete.h"
#include "tests/unit/store/meta_support.h"

#include "base/clock_test.h"

#define NOON 1800000000000
#define CENTURY 3155760000000

enum { LIAR, EAST, WEST, N };

static struct region_store liar_store, east_store, west_store;
static struct region_store *const liar = &liar_store, *const east = &east_store,
                                  *const west = &west_store;
static struct region_store *const stores[N] = {&liar_store, &east_store, &west_store};

static void begin(void)
{
    static const char *const names[N] = {"southeastasia", "eastus", "westeurope"};
    clock_virtual_set(NOON);
    for (size_t i = 0; i < N; i++)
        store_begin(stores[i], names[i]);
}

static void end(void)
{
    for (size_t i = 0; i < N; i++)
        store_end(stores[i]);
    clock_virtual_off();
}

static struct feed_mark read_mark_of(struct region_store *at, const char *origin)
{
    struct arena a;
    struct origin_status *o;
    size_t n;
    struct feed_mark m = {0};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_origins(at->m, &a, &o, &n), 0);
    for (size_t i = 0; i < n; i++)
        if (strcmp(o[i].origin, origin) == 0)
            m = o[i].read;
    arena_done(&a);
    return m;
}

static void jobs_run(struct region_store *s)
{
    struct arena a;
    struct job *jobs;
    size_t n;
    int64_t next;
    struct digest missing;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(s->m, INT64_MAX, 1000, &a, &jobs, &n, &next), 0);
    for (unsigned turn = 0; turn < 2; turn++) // tags after their manifests
        for (size_t i = 0; i < n; i++)
            (void)meta_apply(s->m, &jobs[i].entry, jobs[i].entry.content, NULL, 0, &missing);
    arena_done(&a);
}

// As replication/ reads: from the mark; told when what was read is void; up to the first entry of
// the future.
static void carry(struct region_store *from, struct region_store *to)
{
    struct arena a;
    struct feed_mark at = read_mark_of(to, from->region), after, last;
    struct feed_entry *e;
    size_t n, good = 0;
    uint64_t below;
    arena_init(&a, 0);
    if (meta_place_void(from->m, &at, &after, &below) == 0) {
        struct void_report report;
        ck_assert_int_eq(meta_void_origin(to->m, from->region, &after, below, &a, &report), 0);
        at = read_mark_of(to, from->region);
        ck_assert_int_eq(meta_feed_check(from->m, from->region, &at), 0);
    }
    ck_assert_int_eq(meta_feed_check(from->m, from->region, &at), 0);
    ck_assert_int_eq(meta_feed_read(from->m, from->region, &at, NULL, 0, 1000, &a, &e, &n, &last),
                     0);
    while (good < n && e[good].stamp <= meta_stamp_limit(to->m))
        good++;
    if (good) {
        last = (struct feed_mark){.epoch = e[good - 1].epoch, .seq = e[good - 1].seq};
        memcpy(last.hash, e[good - 1].hash, sizeof last.hash);
        ck_assert_int_eq(meta_ingest(to->m, from->region, e, good, &last), 0);
    }
    jobs_run(to);
    arena_done(&a);
}

static void exchange(void)
{
    for (unsigned turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < N; i++)
            for (size_t k = 0; k < N; k++)
                if (i != k)
                    carry(stores[i], stores[k]);
}

static struct clock_repair repair(struct region_store *s, bool apply)
{
    struct arena a;
    struct clock_repair done;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_repair_clock(s->m, apply, &a, &done), 0);
    done.voided.list = NULL;
    arena_done(&a);
    return done;
}

static void text_of(struct region_store *s, struct buf *out)
{
    buf_clear(out);
    listing(s, out);
    buf_u8(out, '\0');
}

static void expect_agree(struct region_store *a, struct region_store *b)
{
    struct buf one, two;
    buf_init(&one, 0);
    buf_init(&two, 0);
    text_of(a, &one);
    text_of(b, &two);
    ck_assert_str_eq(one.p, two.p);
    buf_done(&one);
    buf_done(&two);
}

// The harm: a liar's tags at the end of all stamps, and what was written on top of them.
static void poison(void)
{
    ck_assert_int_eq(put(east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(west, "app", "v2", "{2}"), 0);
    ck_assert_int_eq(put(liar, "app", "v0", "{0}"), 0);
    ck_assert_int_eq(put(west, "app", "v5", "{1}"), 0);
    exchange();
    clock_virtual_jump_wall(CENTURY);
    ck_assert_int_eq(put(liar, "app", "v1", "{9}"), 0);
    ck_assert_int_eq(put(liar, "app", "v3", "{9}"), 0);
    exchange();
    clock_virtual_advance(10);
    ck_assert_int_eq(put(east, "app", "v1", "{5}"), 0); // over the liar's
    ck_assert_int_eq(put(east, "app", "v2", "{3}"), 0); // over west's
    exchange();
    clock_virtual_advance(10);
    ck_assert_int_eq(put(west, "app", "v4", "{4}"), 0);
    ck_assert_int_eq(put(west, "app", "v5", "{5}"), 0);
    exchange();
    clock_virtual_advance(10);
    ck_assert_int_eq(put(liar, "app", "v5", "{9}"), 0); // over an honest write
    exchange();
    clock_virtual_jump_wall(-CENTURY);
}

START_TEST(regions_agree_again_in_whatever_order_they_are_repaired)
{
    static const unsigned orders[][N] = {{LIAR, EAST, WEST}, {LIAR, WEST, EAST},
                                         {EAST, LIAR, WEST}, {EAST, WEST, LIAR},
                                         {WEST, EAST, LIAR}, {WEST, LIAR, EAST}};
    for (size_t i = 0; i < ARRAY_LEN(orders) * 2; i++) {
        begin();
        poison();
        ck_assert_int_eq(put(east, "app", "v6", "{1}"), ERR_BUSY);
        for (size_t k = 0; k < N; k++) {
            struct region_store *s = stores[orders[i / 2][k]];
            struct clock_repair done = repair(s, true);
            ck_assert_uint_gt(done.n_own, 0);
            ck_assert_uint_gt(done.clock_was, meta_stamp_limit(s->m));
            ck_assert_uint_le(done.clock_is, meta_stamp_limit(s->m));
            ck_assert(meta_writable(s->m));
            clock_virtual_advance(100);
            if (i % 2) // else all are repaired before any reads
                exchange();
            if (s == east) {
                expect_tag(east, "app", "v1", "{5}"); // its own acknowledged writes hold
                expect_tag(east, "app", "v2", "{3}");
            }
            if (i % 2 && k == 1 && orders[i / 2][2] == LIAR) { // the liar never is
                expect_agree(east, west);
                expect_tag(east, "app", "v3", NULL);
                expect_tag(west, "app", "v5", "{5}");
            }
        }
        exchange();
        expect_agree(east, west);
        expect_agree(east, liar);
        expect_tag(west, "app", "v1", "{5}");
        expect_tag(west, "app", "v2", "{3}");
        expect_tag(west, "app", "v3", "{9}");
        expect_tag(west, "app", "v4", "{4}");
        expect_tag(west, "app", "v0", "{0}");
        for (size_t k = 0; k < N; k++) {
            ck_assert_int_eq(put(stores[k], "app", stores[k]->region, "{7}"), 0);
            ck_assert_int_eq(put(stores[k], "app", "v1", k == LIAR ? "{9}" : "{8}"), 0);
            feed_verify(stores[k], stores[k]->region);
            clock_virtual_advance(1);
        }
        exchange();
        expect_agree(east, west);
        expect_agree(east, liar);
        end();
    }
}
END_TEST

START_TEST(a_dry_run_says_what_it_would_do_and_does_nothing)
{
    begin();
    poison();
    struct buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    text_of(east, &before);
    struct feed_mark head = read_mark_of(west, "eastus"), is;
    struct clock_repair would = repair(east, false);
    text_of(east, &after);
    ck_assert_str_eq(before.p, after.p);
    ck_assert_int_eq(meta_head(east->m, "eastus", &is), 0);
    ck_assert_uint_eq(is.seq, head.seq);
    ck_assert_uint_eq(is.epoch, head.epoch);
    ck_assert_int_eq(put(east, "app", "v6", "{1}"), ERR_BUSY); // still closed
    struct clock_repair done = repair(east, true);
    ck_assert_uint_eq(would.n_own, done.n_own);
    ck_assert_uint_eq(would.n_again, done.n_again);
    ck_assert_uint_eq(would.voided.n_entries, done.voided.n_entries);
    ck_assert_uint_eq(would.voided.n_tags, done.voided.n_tags);
    ck_assert_uint_eq(would.clock_was, done.clock_was);
    ck_assert_uint_gt(done.epoch, head.epoch);
    done = repair(east, true); // nothing is left to do
    ck_assert_uint_eq(done.n_own + done.voided.n_entries + done.n_again + done.voided.n_tags, 0);
    ck_assert_uint_eq(done.clock_was, done.clock_is);
    meta_close(east->m);
    store_reopen(east);
    ck_assert_int_eq(put(east, "app", "v6", "{1}"), 0);
    buf_done(&before);
    buf_done(&after);
    end();
}
END_TEST

START_TEST(a_region_that_was_not_poisoned_is_left_as_it_is)
{
    begin();
    ck_assert_int_eq(put(east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(west, "app", "v1", "{2}"), 0);
    exchange();
    struct buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    text_of(east, &before);
    struct clock_repair done = repair(east, true);
    text_of(east, &after);
    ck_assert_str_eq(before.p, after.p);
    ck_assert_uint_eq(done.epoch, 1);
    ck_assert_uint_eq(done.voided.n_entries, 0);
    ck_assert_uint_eq(head_seq(east, "eastus"), 2);
    buf_done(&before);
    buf_done(&after);
    end();
}
END_TEST

// Only somewhat ahead, and the time has come by when a peer asks: what the origin made void stays
// void.
START_TEST(what_is_void_does_not_come_back_when_its_time_has_come)
{
    begin();
    ck_assert_int_eq(put(east, "app", "v1", "{1}"), 0);
    clock_virtual_jump_wall(3600000);
    ck_assert_int_eq(put(east, "app", "v1", "{2}"), 0);
    exchange();
    clock_virtual_jump_wall(-3600000);
    repair(east, true);
    ck_assert_int_eq(put(east, "app", "v1", "{3}"), 0);
    clock_virtual_advance(7200000);
    struct arena a;
    struct feed_entry *e;
    struct recovered done;
    arena_init(&a, 0);
    size_t n = feed_all(west, "eastus", &a, &e);
    ck_assert_uint_eq(n, 4);
    ck_assert_int_eq(meta_recover(east->m, e, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back + done.n_restated, 0);
    bool lost = true;
    ck_assert_int_eq(meta_lost(east->m, &e[3], &lost), 0);
    ck_assert(!lost);
    expect_tag(west, "app", "v1", "{2}"); // which west takes for good, by its clock
    exchange();
    expect_tag(west, "app", "v1", "{3}");
    expect_agree(east, west);
    expect_agree(east, liar);
    arena_done(&a);
    end();
}
END_TEST

// Its origin does not mend it: when its time has come it is an entry like any, also where it had
// been void.
START_TEST(what_was_of_the_future_is_taken_when_its_time_has_come)
{
    begin();
    ck_assert_int_eq(put(east, "app", "v1", "{1}"), 0);
    clock_virtual_jump_wall(3600000);
    ck_assert_int_eq(put(east, "app", "v1", "{2}"), 0);
    exchange();
    clock_virtual_jump_wall(-3600000);
    struct clock_repair done = repair(west, true);
    ck_assert_uint_gt(done.voided.n_entries, 0);
    expect_tag(west, "app", "v1", "{1}");
    exchange(); // not yet
    expect_tag(west, "app", "v1", "{1}");
    clock_virtual_advance(7200000);
    exchange();
    expect_tag(west, "app", "v1", "{2}");
    expect_agree(east, west);
    expect_agree(east, liar);
    end();
}
END_TEST

START_TEST(what_was_won_is_listed)
{
    begin();
    poison();
    struct arena a;
    struct clock_repair done;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_repair_clock(west->m, true, &a, &done), 0);
    unsigned n_gone = 0, n_back = 0;
    for (size_t i = 0; i < done.voided.n_list; i++) {
        const struct void_register *v = &done.voided.list[i];
        ck_assert_str_eq(v->registry, REG);
        ck_assert_str_eq(v->repository, "app");
        ck_assert_uint_gt(v->stamp, meta_stamp_limit(west->m));
        n_gone += !v->is.n;
        n_back += strcmp(v->tag, "v1") == 0 && v->is.n;
    }
    // v1 to {1}, v2 to {2}, v3 gone, v5 to {5}; manifests {9}, {3}: gone, with nobody who speaks
    // for them here
    ck_assert_uint_eq(done.voided.n_tags, 4);
    ck_assert_uint_eq(done.voided.n_manifests, 2);
    ck_assert_uint_eq(done.voided.n_list, 6);
    ck_assert_uint_eq(n_gone, 3);
    ck_assert_uint_eq(n_back, 1);
    struct manifest_row row;
    struct digest nine = digest_str("{9}");
    ck_assert_int_eq(meta_manifest_get(west->m, REG, "app", NULL, &nine, &a, &row), ERR_NOTFOUND);
    arena_done(&a);
    end();
}
END_TEST

// Deletions and locks with stamps of the future are announced again with stamps of now, and hold.
START_TEST(own_deletions_and_locks_of_the_future_hold)
{
    begin();
    struct arena a;
    struct delete_result r;
    struct lock_state l;
    uint64_t stamp;
    struct digest two = digest_str("{2}");
    arena_init(&a, 0);
    ck_assert_int_eq(put(east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(east, "app", "v2", "{2}"), 0);
    ck_assert_int_eq(put(east, "app", "v3", "{3}"), 0);
    clock_virtual_advance(10);
    clock_virtual_jump_wall(CENTURY);
    const struct delete_request v1 = {.registry = REG, .repository = "app", .tag = "v1"},
                                m2 = {.registry = REG, .repository = "app", .digest = &two};
    const struct lock_request v3 = {
        .registry = REG, .repository = "app", .tag = "v3", .del = true, .by = "ada"};
    ck_assert_int_eq(meta_tag_delete(east->m, &v1, &a, &r), 0);
    ck_assert_int_eq(meta_manifest_delete(east->m, &m2, &a, &r), 0);
    ck_assert_int_eq(meta_lock_set(east->m, &v3, &stamp), 0);
    clock_virtual_jump_wall(-CENTURY);
    struct clock_repair done = repair(east, true);
    ck_assert_uint_eq(done.n_own, 3);
    ck_assert_uint_eq(done.n_again, 3);
    expect_tag(east, "app", "v1", NULL);
    expect_tag(east, "app", "v2", NULL);
    expect_tag(east, "app", "v3", "{3}");
    ck_assert_int_eq(meta_lock_get(east->m, REG, "app", "v3", NULL, &a, &l), 0);
    ck_assert(l.del && l.stamp <= meta_stamp_limit(east->m) && !strcmp(l.by, "ada"));
    exchange();
    expect_agree(east, west);
    feed_verify(east, "eastus");
    arena_done(&a);
    end();
}
END_TEST

CHECK_MAIN("store/meta repair", regions_agree_again_in_whatever_order_they_are_repaired,
           a_dry_run_says_what_it_would_do_and_does_nothing,
           a_region_that_was_not_poisoned_is_left_as_it_is,
           what_is_void_does_not_come_back_when_its_time_has_come,
           what_was_of_the_future_is_taken_when_its_time_has_come, what_was_won_is_listed,
           own_deletions_and_locks_of_the_future_hold)
