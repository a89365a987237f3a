// SPDX-License-Identifier: Apache-2.0
// base/bytes: the cursor latches, the buffer keeps its ceiling.
#include "base/bytes.h"

#include "base/err.h"
#include "base/mem.h"
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

CHECK_MAIN("base/bytes", cursor_reads_big_endian_and_latches, buffer_refuses_past_its_ceiling_and_writes_nothing_of_it,
           buffer_reports_failed_allocation, secrets_compare_by_content)
