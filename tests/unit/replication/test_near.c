// SPDX-License-Identifier: Apache-2.0
// replication/peer_source: the order in which regions are asked for content.
#include "replication/peer_source.h"

#include "tests/support/check_main.h"

static char names[] = "abcdef"; // their addresses stand for sources

static struct near_source at(size_t i, int64_t ms)
{
    return (struct near_source){.source = (struct source *)(void *)&names[i], .ms = ms};
}

static void order_is(const struct near_source *list, size_t n, const char *want)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(*(const char *)list[i].source, want[i]);
}

START_TEST(nearest_first)
{
    struct near_source list[] = {at(0, 80), at(1, NEAR_UNKNOWN), at(2, 41), at(3, 2), at(4, 120)};
    near_order(list, 5, 0);
    order_is(list, 5, "dcaeb");
}
END_TEST

START_TEST(the_first_may_stay_where_it_is)
{
    struct near_source list[] = {at(0, 80), at(1, 30), at(2, 0), at(3, NEAR_UNKNOWN)};
    near_order(list, 4, 1);
    order_is(list, 4, "acbd");
}
END_TEST

START_TEST(what_is_as_near_keeps_its_order)
{
    struct near_source list[] = {at(0, 19), at(1, 11), at(2, 9), at(3, 10), at(4, 0)};
    near_order(list, 5, 0);
    order_is(list, 5, "ceabd");
    near_order(list, 0, 0);
    near_order(list, 1, 1);
    order_is(list, 5, "ceabd");
}
END_TEST

// Only what is large, over a line whose round trip is known to be long.
START_TEST(a_large_blob_from_afar_comes_in_streams)
{
    ck_assert_uint_eq(streams_of(40, STREAMS_BLOB_MIN), STREAMS_OF_BLOB);
    ck_assert_uint_eq(streams_of(5, STREAMS_BLOB_MIN), STREAMS_OF_BLOB);
    ck_assert_uint_eq(streams_of(4, STREAMS_BLOB_MIN), 1);
    ck_assert_uint_eq(streams_of(40, STREAMS_BLOB_MIN - 1), 1);
    ck_assert_uint_eq(streams_of(NEAR_UNKNOWN, UINT64_MAX), 1);
}
END_TEST

CHECK_MAIN("replication/near", nearest_first, the_first_may_stay_where_it_is,
           what_is_as_near_keeps_its_order, a_large_blob_from_afar_comes_in_streams)
