// SPDX-License-Identifier: Apache-2.0
// Sixty regions: what one image costs its origin in bytes, connections and requests; what it costs
// at rest, with a dead relay, and with a region that was cut off. sixty.h says what is simulated.
// The figures are printed, and stand in docs/performance.md.
#include "tests/unit/replication/sixty.h"

#include "tests/support/check_main.h"

#include <stdio.h>

#define RELAYS_FROM 8
#define MIB (1ull << 20)

static const uint64_t blobs[] = {4096, MIB, 20 * MIB, 100 * MIB};
#define N_BLOBS (sizeof blobs / sizeof blobs[0])
#define IMAGE (4096 + 121 * MIB)
static const size_t origin = 17;

static uint64_t blob_bytes_of_all(const struct sim *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < SIXTY; i++)
        sum += sim_tally(s, i)->blob_bytes;
    return sum;
}

static uint64_t most_of_another(const struct sim *s)
{
    uint64_t most = 0;
    for (size_t i = 0; i < SIXTY; i++)
        if (i != origin && sim_tally(s, i)->blob_bytes > most)
            most = sim_tally(s, i)->blob_bytes;
    return most;
}

static void say(const char *what, const struct sim *s)
{
    const struct sim_tally *t = sim_tally(s, origin);
    printf(
        "%-40s origin: %6.2f images, %3u connections, %4u requests (%u absent), %3u offers; most "
        "of another %.2f images; last tag after %lld ms\n",
        what, (double)t->blob_bytes / (double)IMAGE, t->n_askers, t->n_requests, t->n_absent,
        t->n_offers_out, (double)most_of_another(s) / (double)IMAGE, (long long)sim_visible_ms(s));
}

static struct sim *sixty(unsigned relays_from)
{
    struct sim *s = sim_new(relays_from);
    sim_run(s, 10000); // streams are open
    ck_assert_uint_eq(sim_streams(s, origin), SIXTY - 1);
    sim_count(s);
    return s;
}

// The most children that one relay has: of 60 members in 7 groups.
#define GROUPS 7
#define GROUP_MAX 9

START_TEST(an_image_leaves_its_origin_once_for_each_group)
{
    struct sim *s = sixty(0);
    sim_push(s, origin, false, blobs, N_BLOBS);
    sim_run(s, 300000);
    say("without relays", s);
    const struct sim_tally *t = sim_tally(s, origin);
    ck_assert_uint_eq(t->blob_bytes, 59 * IMAGE);
    int64_t direct_ms = sim_visible_ms(s);
    ck_assert_int_gt(direct_ms, 0);
    sim_free(s);

    s = sixty(RELAYS_FROM);
    sim_push(s, origin, false, blobs, N_BLOBS);
    sim_run(s, 300000);
    say("with relays", s);
    t = sim_tally(s, origin);
    ck_assert_uint_eq(t->blob_bytes, GROUPS * IMAGE);
    ck_assert_uint_eq(t->n_requests, GROUPS * N_BLOBS);
    ck_assert_uint_eq(t->n_askers, GROUPS);
    ck_assert_uint_eq(t->n_offers_out, GROUPS * N_BLOBS);
    ck_assert_uint_eq(blob_bytes_of_all(s), 59 * IMAGE); // nothing comes twice
    ck_assert_uint_le(most_of_another(s), (GROUP_MAX - 1) * IMAGE);
    ck_assert_int_gt(sim_visible_ms(s), 0);
    ck_assert_int_lt(sim_visible_ms(s) * 2, direct_ms);
    sim_free(s);
}
END_TEST

// All hear of each blob from its origin, and most of them get it from their relay all the same.
START_TEST(a_push_by_the_global_name_is_told_to_all)
{
    struct sim *s = sixty(RELAYS_FROM);
    sim_push(s, origin, true, blobs, N_BLOBS);
    sim_run(s, 300000);
    say("with relays, by the global name", s);
    ck_assert_uint_eq(sim_tally(s, origin)->blob_bytes, GROUPS * IMAGE);
    ck_assert_uint_eq(sim_tally(s, origin)->n_offers_out, 59 * N_BLOBS);
    ck_assert_uint_eq(blob_bytes_of_all(s), 59 * IMAGE);
    ck_assert_int_gt(sim_visible_ms(s), 0);
    sim_free(s);
}
END_TEST

START_TEST(at_rest_a_feed_costs_a_beat)
{
    struct sim *s = sixty(RELAYS_FROM);
    sim_run(s, 60000);
    const struct sim_tally *t = sim_tally(s, origin);
    printf("at rest, one minute: %llu bytes to 59 streams, %u requests for blobs\n",
           (unsigned long long)t->other_bytes, t->n_requests);
    ck_assert_uint_eq(t->blob_bytes, 0);
    ck_assert_uint_eq(t->n_requests + t->n_offers_in + t->n_offers_out, 0);
    ck_assert_uint_ge(t->other_bytes, 59 * 29 * 50);
    ck_assert_uint_le(t->other_bytes, 59 * 31 * 300);
    sim_free(s);
}
END_TEST

static size_t some_relay(struct sim *s)
{
    for (size_t i = 0; i < SIXTY; i++)
        if (i != origin && sim_relay(s, origin, i) != origin)
            return sim_relay(s, origin, i);
    ck_abort();
}

START_TEST(a_relay_that_is_known_to_be_away_costs_nothing)
{
    struct sim *s = sixty(RELAYS_FROM);
    size_t relay = some_relay(s);
    sim_cut(s, relay, true);
    sim_run(s, 10000);
    ck_assert_uint_eq(sim_streams(s, origin), SIXTY - 2);
    sim_push(s, origin, false, blobs, N_BLOBS);
    sim_run(s, 300000);
    say("one relay away", s);
    ck_assert_uint_eq(sim_tally(s, origin)->blob_bytes, GROUPS * IMAGE);
    ck_assert_uint_eq(blob_bytes_of_all(s), 58 * IMAGE);
    ck_assert_int_gt(sim_visible_ms(s), 0);
    sim_free(s);
}
END_TEST

// It is cut off in the moment in which the push begins.
START_TEST(a_relay_that_falls_silent_costs_a_connection_that_fails)
{
    struct sim *s = sixty(RELAYS_FROM);
    sim_push(s, origin, false, blobs, N_BLOBS);
    sim_cut(s, some_relay(s), true);
    sim_run(s, 300000);
    say("one relay falls silent at the push", s);
    ck_assert_uint_le(sim_tally(s, origin)->blob_bytes, (GROUPS + 1) * IMAGE);
    ck_assert_uint_eq(blob_bytes_of_all(s), 58 * IMAGE);
    ck_assert_int_gt(sim_visible_ms(s), 0);
    ck_assert_int_lt(sim_visible_ms(s), 30000);
    sim_free(s);
}
END_TEST

// And between the last bytes that it got and the first that it gives.
START_TEST(a_relay_that_falls_silent_half_way)
{
    struct sim *s = sixty(RELAYS_FROM);
    sim_push(s, origin, false, blobs, N_BLOBS);
    sim_run(s, 5500);
    size_t relay = some_relay(s);
    sim_cut(s, relay, true);
    sim_run(s, 300000);
    say("one relay falls silent half way", s);
    ck_assert_uint_le(sim_tally(s, origin)->blob_bytes, (GROUPS + GROUP_MAX) * IMAGE);
    ck_assert_int_gt(sim_visible_ms(s), 0);
    ck_assert_int_lt(sim_visible_ms(s), 60000);
    sim_free(s);
}
END_TEST

START_TEST(a_region_that_was_cut_off_asks_its_relay_from_its_mark_on)
{
    struct sim *s = sixty(RELAYS_FROM);
    size_t region = SIXTY;
    for (size_t i = 0; i < SIXTY && region == SIXTY; i++)
        if (i != origin && sim_relay(s, origin, i) != origin)
            region = i;
    sim_cut(s, region, true);
    sim_push(s, origin, false, blobs, N_BLOBS);
    sim_run(s, 300000);
    ck_assert_uint_eq(sim_mark(s, region, origin), 0);
    uint64_t before = sim_tally(s, origin)->blob_bytes;
    sim_cut(s, region, false);
    sim_run(s, 60000);
    say("one region cut off, and back", s);
    ck_assert_uint_eq(sim_mark(s, region, origin), 1);
    ck_assert_uint_eq(sim_tally(s, origin)->blob_bytes, before);
    ck_assert_int_gt(sim_visible_ms(s), 0);
    sim_free(s);
}
END_TEST

// The clients of an origin that is cut off push on; then all others find what was pushed at once.
START_TEST(an_origin_that_was_cut_off_sends_once_for_each_group)
{
    struct sim *s = sixty(RELAYS_FROM);
    sim_cut(s, origin, true);
    sim_push(s, origin, false, blobs, N_BLOBS);
    sim_run(s, 120000);
    ck_assert_uint_eq(sim_streams(s, origin), 0);
    sim_count(s);
    sim_cut(s, origin, false);
    sim_run(s, 120000);
    say("the origin cut off, and back", s);
    // all ask at once: a small blob waits behind large ones, and may be asked for twice
    ck_assert_uint_le(sim_tally(s, origin)->blob_bytes, GROUPS * IMAGE + 4 * MIB);
    ck_assert_int_gt(sim_visible_ms(s), 0);
    sim_free(s);
}
END_TEST

CHECK_MAIN("replication/sixty", an_image_leaves_its_origin_once_for_each_group,
           a_push_by_the_global_name_is_told_to_all, at_rest_a_feed_costs_a_beat,
           a_relay_that_is_known_to_be_away_costs_nothing,
           a_relay_that_falls_silent_costs_a_connection_that_fails,
           a_relay_that_falls_silent_half_way,
           a_region_that_was_cut_off_asks_its_relay_from_its_mark_on,
           an_origin_that_was_cut_off_sends_once_for_each_group)
