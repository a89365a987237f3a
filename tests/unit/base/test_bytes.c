// SPDX-License-Identifier: Apache-2.0
// base/bytes: the cursor latches, the buffer keeps its ceiling.
#include "base/bytes.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <string.h>

START_TEST(cursor_reads_big_endian_and_latches)
{
    const uint8_t p[] = {1, 2, 3, 4, 5};
    struct cursor c = cursor_of(bytes_of(p, sizeof p));
    ck_assert_uint_eq(cursor_u16(&c), 0x0102);
    ck_assert_uint_eq(cursor_u8(&c), 3);
    ck_assert(!c.failed);
    ck_assert_uint_eq(cursor_u32(&c), 0);
    ck_assert(c.failed);
    ck_assert_uint_eq(cursor_u8(&c), 0); // stays failed although two bytes are left
}
END_TEST

START_TEST(buffer_refuses_past_its_ceiling_and_writes_nothing_of_it)
{
    struct buf b;
    buf_init(&b, 8);
    buf_str(&b, "12345");
    buf_str(&b, "6789");
    ck_assert_int_eq(b.err, ERR_TOOBIG);
    ck_assert_str_eq(b.p, "12345");
    buf_done(&b);
}
END_TEST

START_TEST(buffer_reports_failed_allocation)
{
    struct buf b;
    buf_init(&b, 0);
    mem_fault_after(1);
    buf_printf(&b, "%d", 42);
    mem_fault_after(0);
    ck_assert_int_eq(b.err, ERR_NOMEM);
    ck_assert_str_eq(buf_cstr(&b), "");
    buf_done(&b);
}
END_TEST

START_TEST(secrets_compare_by_content)
{
    ck_assert(secret_equal("abc", 3, "abc", 3));
    ck_assert(!secret_equal("abc", 3, "abd", 3));
    ck_assert(!secret_equal("abc", 3, "ab", 2));
}
END_TEST

START_TEST(cursor_takes_skips_and_stands)
{
    struct cursor c = cursor_of(bytes_of("\1\2\3\4\5\6\7\10abc", 11));
    ck_assert_uint_eq(cursor_u64(&c), 0x0102030405060708);
    ck_assert_uint_eq(cursor_pos(&c), 8);
    cursor_skip(&c, 1);
    struct bytes b = cursor_take(&c, 2);
    ck_assert(bytes_equal(b, bytes_str("bc")) && !c.failed);
    ck_assert_uint_eq(cursor_left(&c), 0);
    ck_assert_uint_eq(cursor_take(&c, 0).n, 0);
    ck_assert(!c.failed); // nothing was asked for, so nothing is missing
    ck_assert_uint_eq(cursor_take(&c, SIZE_MAX).n, 0);
    ck_assert(c.failed);
    struct cursor none = cursor_of(bytes_of(NULL, 0));
    ck_assert_uint_eq(cursor_left(&none), 0);
    ck_assert_uint_eq(cursor_u8(&none), 0);
    ck_assert(none.failed);
}
END_TEST

START_TEST(buffer_is_consumed_taken_and_used_again)
{
    struct buf b;
    buf_init(&b, 10);
    buf_printf(&b, "%s", "0123456789"); // to its last byte
    ck_assert_int_eq(b.err, 0);
    buf_consume(&b, 4);
    ck_assert_str_eq(buf_cstr(&b), "456789");
    buf_consume(&b, 99);
    ck_assert_str_eq(buf_cstr(&b), "");
    buf_u8(&b, 'x');
    char *p = buf_take(&b);
    ck_assert_str_eq(p, "x");
    free(p);
    p = buf_take(&b);
    ck_assert_str_eq(p, ""); // never NULL without an error
    free(p);
    buf_add(&b, NULL, 0);
    ck_assert_ptr_null(buf_room(&b, SIZE_MAX));
    ck_assert_int_eq(b.err, ERR_TOOBIG);
    buf_str(&b, "y"); // latched
    ck_assert_ptr_null(buf_take(&b));
    buf_clear(&b);
    buf_str(&b, "z");
    ck_assert_str_eq(buf_cstr(&b), "z");
    buf_done(&b);
}
END_TEST

CHECK_MAIN("base/bytes", cursor_takes_skips_and_stands, buffer_is_consumed_taken_and_used_again,
           cursor_reads_big_endian_and_latches,
           buffer_refuses_past_its_ceiling_and_writes_nothing_of_it,
           buffer_reports_failed_allocation, secrets_compare_by_content)
