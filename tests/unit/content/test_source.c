// SPDX-License-Identifier: Apache-2.0
// content/source: when a source may be asked, and what is noted of wrong bytes.
#include "content/source.h"

#include "tests/unit/content/scripted.h"

#include <limits.h>

static enum source_state state_of(struct source *s, unsigned max)
{
    int64_t again = 0;
    enum source_state state = source_enter(s, max, &again);
    if (state == SOURCE_READY)
        source_leave(s, ERR_CANCELED);
    else
        ck_assert_int_gt(again, clock_mono_ms() - 1);
    return state;
}

static void fail_once(struct source *s, int rc)
{
    int64_t again;
    ck_assert_int_eq(source_enter(s, UINT_MAX, &again), SOURCE_READY);
    source_leave(s, rc);
}

START_TEST(a_source_that_failed_rests_and_longer_each_time)
{
    struct script east = {.name = "eastus"};
    script_start(&east);
    int64_t last_ms = 0;
    for (int i = 0; i < 4; i++) {
        int64_t began = clock_mono_ms(), again = 0;
        fail_once(east.source, ERR_TIMEOUT);
        ck_assert_int_eq(source_enter(east.source, UINT_MAX, &again), SOURCE_RESTS);
        ck_assert(!source_ready(east.source, UINT_MAX));
        ck_assert_int_ge(again - began, 250L << i);
        ck_assert_int_le(again - clock_mono_ms(), 500L << i);
        ck_assert_int_gt(again - began, last_ms / 2);
        last_ms = again - began;
        if (i == 3)
            break;
        WAIT_FOR(source_ready(east.source, UINT_MAX), 5000);
    }
    ck_assert(source_recovered(east.source));
    ck_assert(source_ready(east.source, UINT_MAX));
    ck_assert(!source_recovered(east.source));
    script_end(&east);
}
END_TEST

START_TEST(only_what_says_that_it_is_down_makes_it_rest)
{
    struct script east = {.name = "eastus"};
    script_start(&east);
    static const int answers[] = {0,           ERR_NOTFOUND, ERR_PROTO, ERR_DIGEST, ERR_CANCELED,
                                  ERR_NOSPACE, ERR_TOOBIG};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        fail_once(east.source, answers[i]);
        ck_assert_int_eq(state_of(east.source, UINT_MAX), SOURCE_READY);
    }
    static const int down[] = {ERR_UNREACHABLE, ERR_TIMEOUT, ERR_CRYPTO, ERR_IO, ERR_CLOSED};
    for (size_t i = 0; i < sizeof down / sizeof down[0]; i++) {
        fail_once(east.source, down[i]);
        ck_assert_int_eq(state_of(east.source, UINT_MAX), SOURCE_RESTS);
        source_recovered(east.source);
    }
    script_end(&east);
}
END_TEST

START_TEST(so_many_requests_run_to_it_and_one_while_it_is_in_doubt)
{
    struct script east = {.name = "eastus"};
    int64_t again;
    script_start(&east);
    ck_assert_int_eq(source_enter(east.source, 2, &again), SOURCE_READY);
    ck_assert_int_eq(source_enter(east.source, 2, &again), SOURCE_READY);
    ck_assert_int_eq(source_enter(east.source, 2, &again), SOURCE_BUSY);
    ck_assert(!source_ready(east.source, 2));
    ck_assert(source_ready(east.source, 3));
    source_leave(east.source, ERR_CLOSED);
    source_leave(east.source, ERR_CANCELED);
    WAIT_FOR(source_ready(east.source, 2), 5000);
    ck_assert_int_eq(source_enter(east.source, 2, &again), SOURCE_READY);
    ck_assert_int_eq(source_enter(east.source, 2, &again), SOURCE_BUSY);
    source_leave(east.source, 0); // it answered: nothing is in doubt any more
    ck_assert_int_eq(source_enter(east.source, 2, &again), SOURCE_READY);
    ck_assert_int_eq(state_of(east.source, 2), SOURCE_READY);
    source_leave(east.source, 0);
    script_end(&east);
}
END_TEST

START_TEST(requests_besides_take_no_place_of_others)
{
    struct script east = {.name = "eastus"};
    int64_t again;
    script_start(&east);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(source_enter_besides(east.source, &again), SOURCE_READY);
    ck_assert_int_eq(source_enter(east.source, 1, &again), SOURCE_READY);
    ck_assert_int_eq(source_enter(east.source, 1, &again), SOURCE_BUSY);
    ck_assert_int_eq(source_enter_besides(east.source, &again), SOURCE_READY);
    struct source_view v;
    source_look(east.source, &v);
    ck_assert_uint_eq(v.n_running, 7);
    // in doubt it is asked by one alone, whoever that is
    source_leave(east.source, ERR_CLOSED);
    for (int i = 0; i < 5; i++)
        source_leave_besides(east.source, ERR_CANCELED);
    int64_t end = clock_mono_ms() + 1500;
    while (clock_mono_ms() < end) {
        enum source_state state = source_enter(east.source, UINT_MAX, &again);
        ck_assert(state == SOURCE_RESTS || state == SOURCE_BUSY);
        if (state == SOURCE_BUSY)
            break;
        clock_sleep_ms(10);
    }
    ck_assert_int_eq(source_enter_besides(east.source, &again), SOURCE_BUSY);
    source_leave_besides(east.source, 0);
    ck_assert_int_eq(state_of(east.source, 1), SOURCE_READY);
    script_end(&east);
}
END_TEST

START_TEST(one_that_is_away_is_not_asked)
{
    struct script east = {.name = "eastus", .away = true};
    script_start(&east);
    ck_assert_int_eq(state_of(east.source, UINT_MAX), SOURCE_AWAY);
    ck_assert(!source_ready(east.source, UINT_MAX));
    east.away = false;
    ck_assert_int_eq(state_of(east.source, UINT_MAX), SOURCE_READY);
    script_end(&east);
}
END_TEST

START_TEST(wrong_bytes_are_counted_and_told_once)
{
    struct script east = {.name = "eastus"};
    struct source_view v;
    char error[CONTENT_TEXT_SIZE], text[DIGEST_TEXT_SIZE];
    struct content_ask ask = {.kind = CONTENT_BLOB, .registry = "contoso", .repository = "app"};
    script_start(&east);
    source_look(east.source, &v);
    ck_assert_uint_eq(v.n_wrong, 0);
    ck_assert_str_eq(v.wrong, "");
    digest_of(DIGEST_SHA256, "a", 1, &ask.digest);
    for (int i = 0; i < 3; i++)
        source_wrong(east.source, &ask, error);
    source_look(east.source, &v);
    ck_assert_uint_eq(v.n_wrong, 3);
    ck_assert_ptr_nonnull(strstr(v.wrong, digest_format(&ask.digest, text)));
    ck_assert_ptr_nonnull(strstr(v.wrong, "blob"));
    ck_assert_ptr_nonnull(strstr(error, "eastus: wrong bytes for blob"));
    ck_assert_uint_eq(east.n_told, 1);
    digest_of(DIGEST_SHA256, "b", 1, &ask.digest); // of another one
    source_wrong(east.source, &ask, error);
    ck_assert_uint_eq(east.n_told, 2);
    script_end(&east);
}
END_TEST

CHECK_MAIN("content/source", a_source_that_failed_rests_and_longer_each_time,
           only_what_says_that_it_is_down_makes_it_rest,
           so_many_requests_run_to_it_and_one_while_it_is_in_doubt,
           requests_besides_take_no_place_of_others, one_that_is_away_is_not_asked,
           wrong_bytes_are_counted_and_told_once)
