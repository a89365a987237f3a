// SPDX-License-Identifier: Apache-2.0
// base/log: whole lines that nobody can forge, levels, the limiter and what it counts.
#include "base/log.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char captured[16384];
static FILE *file;
static int saved = -1;

static void capture(void)
{
    file = tmpfile();
    ck_assert_ptr_nonnull(file);
    saved = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
}

static const char *lines(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    captured[fread(captured, 1, sizeof captured - 1, file)] = 0;
    fclose(file);
    return captured;
}

START_TEST(a_line_has_its_parts)
{
    clock_virtual_set(0);
    log_setup(LOG_DEBUG, "eastus");
    capture();
    log_debug("a %d", 1);
    log_warn("b");
    ck_assert_str_eq(
        lines(),
        "1970-01-01T00:00:00.000Z debug eastus a 1\n1970-01-01T00:00:00.000Z warn eastus b\n");
    clock_virtual_off();
}
END_TEST

START_TEST(levels_below_are_silent)
{
    log_setup(LOG_WARN, "x");
    capture();
    log_info("not this");
    log_error("this");
    const char *got = lines();
    ck_assert_ptr_null(strstr(got, "not this"));
    ck_assert_ptr_nonnull(strstr(got, " error x this\n"));
}
END_TEST

START_TEST(control_bytes_cannot_forge_a_line)
{
    log_setup(LOG_INFO, "x");
    capture();
    log_info("user %s", "bob\n2026 error x all lost\r\033[31m\x7f");
    const char *got = lines();
    ck_assert_ptr_nonnull(strstr(got, "user bob?2026 error x all lost??[31m?\n"));
    ck_assert_ptr_eq(strchr(got, '\n'), got + strlen(got) - 1);
}
END_TEST

START_TEST(long_lines_are_cut_and_end_once)
{
    static char big[9000];
    memset(big, 'z', sizeof big - 1);
    log_setup(LOG_INFO, "x");
    capture();
    log_info("%s", big);
    log_info("after");
    const char *got = lines(), *nl = strchr(got, '\n');
    ck_assert_int_le(nl - got, 2048);
    ck_assert_int_ge(nl - got, 1900);
    ck_assert_ptr_nonnull(strstr(nl, " after\n"));
}
END_TEST

START_TEST(the_limiter_tells_how_many)
{
    static struct log_limit lim = LOG_LIMIT(5000);
    clock_virtual_set(0);
    log_setup(LOG_INFO, "x");
    capture();
    log_limited(&lim, LOG_DEBUG, "hidden"); // must not use up the turn
    for (int i = 0; i < 10; i++)
        log_limited(&lim, LOG_WARN, "peer %d", i);
    clock_virtual_advance(4999);
    log_limited(&lim, LOG_WARN, "too soon");
    clock_virtual_advance(1);
    log_limited(&lim, LOG_WARN, "again");
    clock_virtual_advance(5000);
    log_limited(&lim, LOG_WARN, "quiet before");
    const char *got = lines();
    clock_virtual_off();
    ck_assert_ptr_nonnull(strstr(got, "x peer 0\n"));
    ck_assert_ptr_null(strstr(got, "peer 1"));
    ck_assert_ptr_null(strstr(got, "too soon"));
    ck_assert_ptr_nonnull(strstr(got, "x again (10 like it not shown)\n"));
    ck_assert_ptr_nonnull(strstr(got, "x quiet before\n"));
}
END_TEST

// Of the kept lines, the number that each ends with; they must stand in order and whole.
static size_t kept_lines(const struct buf *b, int *out_first, int *out_last)
{
    size_t n = 0;
    int expected = -1;
    for (const char *line = buf_cstr(b); *line; line = strchr(line, '\n') + 1) {
        int i;
        ck_assert_int_eq(strncmp(line, "1970-01-01T00:00:00.000Z info x line ", 37), 0);
        ck_assert_int_eq(sscanf(line + 37, "%d", &i), 1);
        if (!n++)
            *out_first = i;
        else
            ck_assert_int_eq(i, expected);
        expected = i + 1;
        *out_last = i;
        ck_assert_ptr_nonnull(strchr(line, '\n'));
    }
    return n;
}

START_TEST(the_last_lines_are_kept)
{
    AUTO_BUF struct buf b;
    int first = 0, last = 0;
    buf_init(&b, 0);
    clock_virtual_set(0);
    log_setup(LOG_INFO, "x");
    capture();
    log_info("line 0");
    log_recent(&b);
    ck_assert_uint_eq(b.n, 0); // nobody wanted any
    ck_assert_int_eq(log_keep(1000), 0);
    for (int i = 1; i <= 500; i++) {
        log_info("line %d%.*s", i, i % 97,
                 " zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
                 "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
        log_debug("line %d", i); // below the level
        buf_clear(&b);
        log_recent(&b);
        size_t n = kept_lines(&b, &first, &last);
        ck_assert_int_eq(last, i);
        ck_assert_uint_gt(n, i < 5 ? (size_t)i - 1 : 4);
        ck_assert_uint_le(b.n, 1000);
    }
    ck_assert_int_gt(first, 480);
    lines();
    clock_virtual_off();
}
END_TEST

START_TEST(a_ring_that_fits_exactly_loses_one_line_at_a_time)
{
    AUTO_BUF struct buf b;
    int first = 0, last = 0;
    buf_init(&b, 0);
    clock_virtual_set(0);
    log_setup(LOG_INFO, "x");
    capture();
    ck_assert_int_eq(log_keep(4 * 40), 0);
    for (int i = 10; i < 14; i++)
        log_info("line %d", i); // 40 bytes each
    log_recent(&b);
    ck_assert_uint_eq(kept_lines(&b, &first, &last), 3);
    ck_assert_int_eq(last, 13);
    lines();
    clock_virtual_off();
}
END_TEST

CHECK_MAIN("base/log", the_last_lines_are_kept, a_ring_that_fits_exactly_loses_one_line_at_a_time,
           a_line_has_its_parts, levels_below_are_silent, control_bytes_cannot_forge_a_line,
           long_lines_are_cut_and_end_once, the_limiter_tells_how_many)
