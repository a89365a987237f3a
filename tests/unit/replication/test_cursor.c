// SPDX-License-Identifier: Apache-2.0
// replication/cursor: one text per place, and nothing else is one.
#include "replication/cursor.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <string.h>

static struct feed_mark mark_make(uint64_t epoch, uint64_t seq, uint8_t fill)
{
    struct feed_mark m = {.epoch = epoch, .seq = seq};
    memset(m.hash, fill, sizeof m.hash);
    return m;
}

START_TEST(what_is_formatted_parses_to_the_same_place)
{
    const struct feed_mark marks[] = {mark_make(1, 1, 0xab), mark_make(7, 0, 0),
                                      mark_make(1, 123456789, 0xff),
                                      mark_make(INT64_MAX, INT64_MAX, 1)};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        char text[CURSOR_TEXT_SIZE];
        struct feed_mark back;
        ck_assert_int_eq(cursor_parse(cursor_format(&marks[i], text), &back), 0);
        ck_assert(mark_equal(&marks[i], &back));
    }
}
END_TEST

START_TEST(the_start_is_the_empty_text)
{
    struct feed_mark zero = {0}, back = mark_make(1, 1, 1);
    char text[CURSOR_TEXT_SIZE];
    ck_assert_str_eq(cursor_format(&zero, text), "");
    ck_assert_int_eq(cursor_parse("", &back), 0);
    ck_assert(mark_is_zero(&back));
}
END_TEST

#define H64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
static const struct {
    const char *raw;
    int rc;
} raws[] = {
    {"1.1.0.1." H64, 0},
    {"2.1.0.1." H64, ERR_VERSION},
    {"0.1.0.1." H64, ERR_VERSION},
    {"1.01.0.1." H64, ERR_INVAL},
    {"1.1.0.01." H64, ERR_INVAL},
    {"1.1.00.1." H64, ERR_INVAL},
    {"01.1.0.1." H64, ERR_INVAL},
    {"1.+1.0.1." H64, ERR_INVAL},
    {"1.-1.0.1." H64, ERR_INVAL},
    {"1. 1.0.1." H64, ERR_INVAL},
    {"1.1.0.1", ERR_INVAL},
    {"1.1.0.1.", ERR_INVAL},
    {"1.1.0.1." H64 "0", ERR_INVAL},
    {"1.1.0.1." H64 "00", ERR_INVAL},
    {"1.1.0.1.00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff", ERR_INVAL},
    {"1.1.0.1.zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", ERR_INVAL},
    {"1.9223372036854775808.0.1." H64, ERR_INVAL},
    {"1.1.2147483648.1." H64, ERR_INVAL},
    {"1.1.0.9223372036854775808." H64, ERR_INVAL},
    {"1.0.0.0." H64, ERR_INVAL}, // the start has one text only
    {"1..0.1." H64, ERR_INVAL},
    {"1", ERR_INVAL},
    {".", ERR_INVAL},
};

START_TEST(only_the_one_text_of_a_place_is_taken)
{
    for (size_t i = 0; i < sizeof raws / sizeof raws[0]; i++) {
        char text[256];
        b64url_format(raws[i].raw, strlen(raws[i].raw), text);
        struct feed_mark m;
        ck_assert_msg(cursor_parse(text, &m) == raws[i].rc, "%s", raws[i].raw);
    }
}
END_TEST

START_TEST(every_changed_byte_gives_another_place_or_none)
{
    struct feed_mark m = mark_make(3, 42, 0x5a), back;
    char text[CURSOR_TEXT_SIZE];
    cursor_format(&m, text);
    for (size_t i = 0; text[i]; i++) {
        char old = text[i];
        text[i] = old == 'A' ? 'B' : 'A';
        if (cursor_parse(text, &back) == 0)
            ck_assert(!mark_equal(&m, &back));
        text[i] = '=';
        ck_assert_int_ne(cursor_parse(text, &back), 0);
        text[i] = old;
    }
    char longer[CURSOR_TEXT_SIZE * 2];
    memset(longer, 'A', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(cursor_parse(longer, &back), ERR_INVAL);
}
END_TEST

START_TEST(places_are_ordered_by_epoch_then_sequence)
{
    struct feed_mark a = mark_make(1, 9, 1), b = mark_make(2, 1, 1), c = mark_make(2, 2, 1);
    ck_assert_int_lt(mark_order(&a, &b), 0);
    ck_assert_int_lt(mark_order(&b, &c), 0);
    ck_assert_int_gt(mark_order(&c, &a), 0);
    struct feed_mark d = mark_make(2, 2, 2);
    ck_assert_int_eq(mark_order(&c, &d), 0);
    ck_assert(!mark_equal(&c, &d));
}
END_TEST

CHECK_MAIN("replication/cursor", what_is_formatted_parses_to_the_same_place,
           the_start_is_the_empty_text, only_the_one_text_of_a_place_is_taken,
           every_changed_byte_gives_another_place_or_none,
           places_are_ordered_by_epoch_then_sequence)
