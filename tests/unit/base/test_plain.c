// SPDX-License-Identifier: Apache-2.0
// What a terminal would take as an order does not reach it, in whatever way it is written.
#include "base/plain.h"

#include "base/mem.h"
#include "tests/support/check_main.h"

#include <check.h>
#include <string.h>

START_TEST(orders_become_question_marks_and_letters_stay)
{
    static const struct {
        const char *text, *plain;
    } rows[] = {
        {"", ""},
        {"eastus", "eastus"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb3",
         "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb3"},
        {"a\x1b[31mb\x07", "a?[31mb?"},
        {"a\x7f", "a?"},
        // CSI, as one character of Unicode: U+009B; the first and last of them, and their neighbour
        {"a\xc2\x9b"
         "31mb",
         "a??31mb"},
        {"\xc2\x80\xc2\x9f\xc2\xa0", "????\xc2\xa0"},
        // and as one byte, for terminals that have not heard of UTF-8
        {"a\x9b"
         "31mb",
         "a?31mb"},
        // no UTF-8: cut off, too long, a surrogate, too high, a stray byte
        {"a\xc3", "a?"},
        {"\xe2\x82", "??"},
        {"\xc0\x9b", "??"},
        {"\xe0\x82\x9b", "???"},
        {"\xed\xa0\x80", "???"},
        {"\xf4\x90\x80\x80", "????"},
        {"\xff\xc3\xbc", "?\xc3\xbc"},
        {"a\nb\tc\r", "a?b?c?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *s = mem_strdup(rows[i].text);
        ck_assert_int_eq(text_is_plain(s, strlen(s)), !strcmp(rows[i].text, rows[i].plain));
        text_plain(s, strlen(s));
        ck_assert_str_eq(s, rows[i].plain);
        ck_assert(text_is_plain(s, strlen(s)));
    }
}
END_TEST

START_TEST(lines_stay_where_they_may)
{
    char s[] = "a\n\tb\r\x1b\xc2\x9b";
    ck_assert(!text_is_plain_lines(s, strlen(s)));
    text_plain_lines(s, strlen(s));
    ck_assert_str_eq(s, "a\n\tb????");
    ck_assert(text_is_plain_lines(s, strlen(s)));
    ck_assert(!text_is_plain(s, strlen(s)));
}
END_TEST

START_TEST(a_zero_in_the_middle_is_an_order_too)
{
    char s[] = "a\0b";
    text_plain(s, 3);
    ck_assert_mem_eq(s, "a?b", 4);
}
END_TEST

CHECK_MAIN("base/plain", orders_become_question_marks_and_letters_stay, lines_stay_where_they_may,
           a_zero_in_the_middle_is_an_order_too)
