// SPDX-License-Identifier: Apache-2.0
// content/ranges: a large blob comes in several streams: each byte once, from whoever gives it; what
// breaks off goes to others, what is wrong is found and its giver named, what came outlives a stop.
#define MIB ((size_t)1 << 20)
#define BLOB_BYTES (12 * MIB + 777) // a range for each stream
#include "tests/unit/content/one_blob.h"

#include <pthread.h>

#define STREAMS 4

static _Atomic bool ends, ends_when_published;
static _Atomic uint64_t arrived_bytes;

static int published_and_maybe_ends(void *ctx, const struct blob_name *name, uint64_t size)
{
    int rc = published(ctx, name, size);
    if (ends_when_published)
        ends = true;
    return rc;
}

static void arrived(void *ctx, uint64_t n)
{
    (void)ctx;
    arrived_bytes = n;
}

static void content_begin(void)
{
    content_make(&(struct content_options){.n_streams = STREAMS - 1, .stall_ms = 300});
}

static void begin(void)
{
    blob_begin();
    content_begin();
}

static struct content_want streams_want(struct source *const *sources, size_t n)
{
    struct content_want w = want_of(sources, n);
    w.streams = STREAMS;
    w.urgent = true;
    w.published = published_and_maybe_ends;
    w.arrived = arrived;
    return w;
}

static int get_sized(const struct script *first, const struct script *second, uint64_t size)
{
    struct source *list[2] = {first->source, NULL};
    if (second)
        list[1] = second->source;
    struct content_want w = streams_want(list, second ? 2 : 1);
    w.size = size;
    return content_blob(content, &w, &out);
}

static int get(const struct script *first, const struct script *second)
{
    return get_sized(first, second, sizeof bytes);
}

struct leader {
    pthread_t thread;
    const struct script *source;
    int rc;
};

static void *lead(void *arg)
{
    struct leader *l = arg;
    l->rc = get(l->source, NULL);
    return NULL;
}

START_TEST(a_large_blob_comes_in_streams_each_byte_once)
{
    begin();
    struct script east = script_whole("eastus");
    east.crowd = STREAMS;
    script_start(&east);
    ck_assert_int_eq(get(&east, NULL), 0);
    expect_here();
    ck_assert_uint_eq(east.n_open_most, STREAMS);
    ck_assert_uint_eq(east.n_given, sizeof bytes);
    ck_assert_uint_eq(arrived_bytes, sizeof bytes);
    ck_assert_uint_eq(east.n_open, 0);
    script_end(&east);
    end();
}
END_TEST

START_TEST(a_small_one_or_one_stream_comes_in_order)
{
    begin();
    struct script east = script_whole("eastus");
    script_start(&east);
    struct source *list[] = {east.source};
    struct content_want w = streams_want(list, 1);
    w.streams = 1;
    ck_assert_int_eq(content_blob(content, &w, &out), 0);
    ck_assert_uint_eq(east.n_asked, 1);
    expect_here();
    serves = false;
    east.n = 7 * MIB;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, bytes, east.n, &digest), 0);
    ck_assert_int_eq(get_sized(&east, NULL, east.n), 0);
    ck_assert(serves);
    ck_assert_uint_eq(east.n_asked, 2);
    script_end(&east);
    end();
}
END_TEST

// The first gives a part of each answer and breaks off: the rest of that range comes from the second,
// and what came is not asked for again.
START_TEST(what_breaks_off_goes_on_from_another_source)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.cut_after = 2 * MIB;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    expect_here();
    ck_assert_uint_ge(east.n_given, 2 * MIB);
    ck_assert_uint_eq(east.n_given + asia.n_given, sizeof bytes);
    ck_assert_uint_eq(n_wrong(&east) + n_wrong(&asia), 0);
    script_end(&east);
    script_end(&asia);
    end();
}
END_TEST

START_TEST(a_source_that_gives_nothing_is_passed_over)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.bytes = NULL;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    expect_here();
    ck_assert_uint_eq(asia.n_given, sizeof bytes);
    script_end(&east);
    script_end(&asia);
    end();
}
END_TEST

START_TEST(when_none_gives_the_rest_it_fails_and_goes_on_later)
{
    begin();
    struct script east = script_whole("eastus");
    east.cut_after = 2 * MIB;
    script_start(&east);
    ck_assert_int_eq(get(&east, NULL), ERR_CLOSED);
    ck_assert(!serves);
    uint64_t had = blob_partial_size(blobs, &digest);
    ck_assert_uint_ge(had, 2 * MIB);
    east.cut_after = 0;
    east.n_given = 0;
    source_recovered(east.source);
    ck_assert_int_eq(get(&east, NULL), 0);
    expect_here();
    ck_assert_uint_eq(east.n_given, sizeof bytes - had);
    script_end(&east);
    end();
}
END_TEST

// --- wrong bytes ---

START_TEST(one_who_gave_all_of_it_wrong_is_named)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.lies = true;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    expect_here();
    ck_assert_uint_eq(east.n_given, sizeof bytes); // not asked for the whole once more
    ck_assert_uint_eq(n_wrong(&east), 1);
    ck_assert_uint_eq(n_wrong(&asia), 0);
    ck_assert_uint_eq(east.n_told, 1);
    script_end(&east);
    script_end(&asia);
    end();
}
END_TEST

// Each gave a part: the second is asked for the whole, and is right; so the first one's part is known
// to have been wrong.
START_TEST(of_several_who_gave_it_the_liar_is_named)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.lies = true;
    east.cut_after = 2 * MIB;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    expect_here();
    ck_assert_uint_eq(n_wrong(&east), 1);
    ck_assert_uint_eq(east.n_told, 1);
    ck_assert_uint_eq(n_wrong(&asia), 0);
    ck_assert_uint_eq(asia.n_told, 0);
    script_end(&east);
    script_end(&asia);
    end();
}
END_TEST

START_TEST(the_last_of_several_is_named_and_the_first_is_not)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.cut_after = 2 * MIB;
    asia.lies = true;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), ERR_DIGEST);
    ck_assert(!serves);
    ck_assert_uint_eq(n_wrong(&asia), 1);
    ck_assert_uint_eq(n_wrong(&east), 0);
    ck_assert_uint_eq(blob_partial_size(blobs, &digest), 0);
    east.cut_after = 0;
    source_recovered(east.source);
    ck_assert_int_eq(get(&east, &asia), 0);
    expect_here();
    script_end(&east);
    script_end(&asia);
    end();
}
END_TEST

// Who lied is found after the blob serves, and not when the fetch is to end.
START_TEST(a_blob_serves_before_the_liar_is_looked_for)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.lies = true;
    east.cut_after = 2 * MIB;
    script_start(&east);
    script_start(&asia);
    struct source *list[] = {east.source, asia.source};
    struct content_want w = streams_want(list, 2);
    w.stop = &ends;
    ends_when_published = true;
    ck_assert_int_eq(content_blob(content, &w, &out), 0);
    expect_here();
    ck_assert_uint_eq(n_wrong(&east) + n_wrong(&asia), 0);
    script_end(&east);
    script_end(&asia);
    end();
}
END_TEST

static struct script *giver;

// Its first answer has broken off, and what that was to give is free: other streams give it all.
static void others_go_on(void)
{
    giver->until = 0;
    WAIT_FOR(giver->n_given == sizeof bytes, 60000);
}

START_TEST(who_gave_all_of_it_beside_the_one_that_is_asked_is_named)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    giver = &east;
    east.lies = true;
    east.crowd = STREAMS;
    east.until = 1;
    east.cuts_first = true;
    east.stalls = 1;
    asia.looked_at = others_go_on;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    expect_here();
    ck_assert_uint_eq(n_wrong(&east), 1);
    ck_assert_uint_eq(n_wrong(&asia), 0);
    script_end(&east);
    script_end(&asia);
    end();
}
END_TEST

// --- streams that stand in the way ---

START_TEST(a_stream_from_which_nothing_comes_does_not_hold_the_blob)
{
    begin();
    struct script east = script_whole("eastus");
    east.crowd = STREAMS;
    east.stalls = 2;
    script_start(&east);
    ck_assert_int_eq(get(&east, NULL), 0);
    expect_here();
    ck_assert_uint_eq(east.n_given, sizeof bytes);
    ck_assert_uint_eq(n_wrong(&east), 0);
    script_end(&east);
    end();
}
END_TEST

// That it is larger is the word of the leader's source alone.
START_TEST(a_byte_too_many_beside_the_first_stream_does_not_end_the_ranges)
{
    begin();
    struct script east = script_whole("eastus");
    struct leader l = {.source = &east};
    east.crowd = STREAMS;
    east.n_larger = 1;
    east.head = 1000;
    script_start(&east);
    ck_assert_int_eq(pthread_create(&l.thread, NULL, lead, &l), 0);
    WAIT_FOR(east.n_open == 1 && !east.n_larger, 60000);
    east.head = 0;
    pthread_join(l.thread, NULL);
    ck_assert_int_eq(l.rc, 0);
    expect_here();
    ck_assert_uint_eq(east.asked_from, 12 * MIB); // the last range once more, and nothing else
    script_end(&east);
    end();
}
END_TEST

static void *lead_for_nobody(void *arg)
{
    struct leader *l = arg;
    struct source *list[] = {l->source->source};
    struct content_want w = streams_want(list, 1);
    struct content_outcome o;
    w.urgent = false;
    l->rc = content_blob(content, &w, &o);
    return NULL;
}

START_TEST(a_blob_that_nobody_waits_for_leaves_threads_to_others)
{
    begin();
    struct script slow = script_whole("eastus"), asia = script_whole("southeastasia");
    struct leader l = {.source = &slow};
    slow.until = 1;
    script_start(&slow);
    ck_assert_int_eq(pthread_create(&l.thread, NULL, lead_for_nobody, &l), 0);
    WAIT_FOR(slow.n_open >= STREAMS - 1, 60000);
    asia.n -= MIB;
    asia.crowd = 2;
    script_start(&asia);
    struct source *list[] = {asia.source};
    struct content_want w = streams_want(list, 1);
    w.size = asia.n;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, bytes, asia.n, &w.digest), 0);
    ck_assert_int_eq(content_blob(content, &w, &out), 0);
    ck_assert_uint_ge(asia.n_open_most, 2);
    slow.until = 0;
    pthread_join(l.thread, NULL);
    ck_assert_int_eq(l.rc, 0);
    script_end(&slow);
    script_end(&asia);
    end();
}
END_TEST

// --- where ranges cannot be ---

START_TEST(a_source_without_ranges_gives_it_in_order)
{
    begin();
    struct script east = script_whole("eastus");
    east.whole_only = true;
    script_start(&east);
    ck_assert_int_eq(get(&east, NULL), 0);
    expect_here();
    ck_assert_uint_eq(east.n_given, sizeof bytes);
    script_end(&east);
    end();
}
END_TEST

START_TEST(one_of_another_size_than_was_said_comes_all_the_same)
{
    begin();
    struct script east = script_whole("eastus");
    script_start(&east);
    ck_assert_int_eq(get_sized(&east, NULL, sizeof bytes - 3 * MIB), 0);
    expect_here();
    ck_assert_uint_eq(n_wrong(&east), 0);
    serves = false;
    ck_assert_int_eq(get_sized(&east, NULL, sizeof bytes + 3 * MIB), 0);
    expect_here();
    ck_assert_uint_eq(n_wrong(&east), 0);
    serves = false;
    ck_assert_int_eq(get_sized(&east, NULL, sizeof bytes + 40 * MIB), 0);
    expect_here();
    ck_assert_uint_eq(n_wrong(&east), 0);
    script_end(&east);
    end();
}
END_TEST

// --- stops, and room ---

// The beginning does not come, all else does; then the process ends.
START_TEST(a_stop_keeps_what_came_at_any_place)
{
    begin();
    struct script east = script_whole("eastus");
    struct leader l = {.source = &east};
    east.head = 1000;
    script_start(&east);
    ck_assert_int_eq(pthread_create(&l.thread, NULL, lead, &l), 0);
    WAIT_FOR(east.n_given == sizeof bytes - 4 * MIB + 1000, 60000);
    content_stop(content);
    pthread_join(l.thread, NULL);
    ck_assert_int_eq(l.rc, ERR_CANCELED);
    ck_assert_uint_eq(east.n_open, 0);
    ck_assert_uint_eq(blob_partial_size(blobs, &digest), sizeof bytes - 4 * MIB);
    content_free(content);
    content_begin();
    east.head = 0;
    east.n_given = 0;
    ck_assert_int_eq(get(&east, NULL), 0);
    expect_here();
    ck_assert_uint_eq(east.n_given, 4 * MIB);
    script_end(&east);
    end();
}
END_TEST

static int disk_measure(void *ctx, struct space_disk *view)
{
    *view = *(struct space_disk *)ctx;
    return 0;
}

START_TEST(what_does_not_fit_is_given_up_and_not_held_against_the_source)
{
    begin();
    struct script east = script_whole("eastus");
    struct space_disk disk = {.total_bytes = 1u << 30, .free_bytes = 6 * MIB};
    struct space_options o = {.measure = disk_measure, .measure_ctx = &disk};
    struct space *space;
    struct source_view v;
    ck_assert_int_eq(space_open(&o, &space), 0);
    charge = (struct space_charge){.space = space};
    script_start(&east);
    disk.free_bytes = 100;
    ck_assert_int_eq(get(&east, NULL), ERR_NOSPACE);
    ck_assert(out.own_fault);
    ck_assert_ptr_nonnull(strstr(out.error, "westeurope cannot keep a blob"));
    ck_assert_uint_eq(blob_partial_size(blobs, &digest), 0);
    source_look(east.source, &v);
    ck_assert_uint_eq(v.n_failures, 0);
    ck_assert_uint_eq(v.n_running, 0);
    script_end(&east);
    space_return(&charge);
    space_close(space);
    end();
}
END_TEST

// Who waits for it is told how far it came in order; that never goes back.
START_TEST(who_waits_sees_it_grow_in_order)
{
    begin();
    struct script east = script_whole("eastus");
    struct leader l = {.source = &east};
    struct flight *f;
    struct flight_progress p = {0};
    bool leads;
    uint64_t before = 0;
    east.head = 1000;
    script_start(&east);
    ck_assert_int_eq(pthread_create(&l.thread, NULL, lead, &l), 0);
    WAIT_FOR(east.n_given == sizeof bytes - 4 * MIB + 1000, 60000);
    ck_assert_int_eq(flight_join(content_flights(content), &digest, FLIGHT_FOR_WAITERS, &f, &leads),
                     0);
    ck_assert(!leads);
    flight_wait(f, &p, 10);
    ck_assert_uint_eq(p.bytes, 0); // nothing is there in order
    east.head = 0;
    while (!p.ended) {
        flight_wait(f, &p, 1000);
        ck_assert_uint_ge(p.bytes, before);
        before = p.bytes;
    }
    flight_leave(f);
    pthread_join(l.thread, NULL);
    ck_assert_int_eq(p.rc, 0);
    ck_assert_uint_eq(p.bytes, sizeof bytes);
    ck_assert_uint_eq(p.n_restarts, 0);
    script_end(&east);
    end();
}
END_TEST

CHECK_MAIN(
    "content/ranges", a_large_blob_comes_in_streams_each_byte_once,
    a_small_one_or_one_stream_comes_in_order, what_breaks_off_goes_on_from_another_source,
    a_source_that_gives_nothing_is_passed_over, when_none_gives_the_rest_it_fails_and_goes_on_later,
    one_who_gave_all_of_it_wrong_is_named, of_several_who_gave_it_the_liar_is_named,
    the_last_of_several_is_named_and_the_first_is_not, a_blob_serves_before_the_liar_is_looked_for,
    who_gave_all_of_it_beside_the_one_that_is_asked_is_named,
    a_stream_from_which_nothing_comes_does_not_hold_the_blob,
    a_byte_too_many_beside_the_first_stream_does_not_end_the_ranges,
    a_blob_that_nobody_waits_for_leaves_threads_to_others,
    a_source_without_ranges_gives_it_in_order, one_of_another_size_than_was_said_comes_all_the_same,
    a_stop_keeps_what_came_at_any_place,
    what_does_not_fit_is_given_up_and_not_held_against_the_source, who_waits_sees_it_grow_in_order)
