// SPDX-License-Identifier: Apache-2.0
// base/fd: ceilings of file_read, atomic replacement, odd paths; under failing memory as well.
#include "base/fd.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/support/torture.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96];

static void folder(void)
{
    strcpy(dir, "test-fd-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f", dir);
    ck_assert_int_eq(file_write_atomic(path, "12345", 5, 0600), 0);
}

START_TEST(read_keeps_both_ceilings_and_touches_nothing_on_failure)
{
    folder();
    struct buf b;
    buf_init(&b, 8);
    buf_str(&b, "abc");
    ck_assert_int_eq(file_read(path, 4, &b), ERR_TOOBIG);
    ck_assert_str_eq(buf_cstr(&b), "abc");
    ck_assert_int_eq(file_read(path, 5, &b), 0); // fills the buffer to its last byte
    ck_assert_str_eq(buf_cstr(&b), "abc12345");
    ck_assert_int_eq(file_read(path, 5, &b), ERR_TOOBIG);
    ck_assert_int_eq(b.err, 0);
    ck_assert_str_eq(buf_cstr(&b), "abc12345");
    buf_done(&b);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
    ck_assert_int_eq(dir_remove_tree(dir), ERR_NOTFOUND);
}
END_TEST

START_TEST(write_replaces_with_its_mode)
{
    folder();
    struct stat st;
    ck_assert_int_eq(file_write_atomic(path, "new", 3, 0640), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0640);
    ck_assert_int_eq(st.st_size, 3);
    ck_assert_int_eq(dir_make("", 0700), ERR_INVAL);
    ck_assert_int_eq(dir_make(path, 0700), ERR_EXISTS);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

START_TEST(a_secret_is_a_file_of_its_owner_alone)
{
    folder();
    struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(file_read_secret(path, 9, &b), ERR_NOTFOUND);
    ck_assert_int_eq(file_write_atomic(path, "secret", 6, 0600), 0);
    ck_assert_int_eq(file_read_secret(path, 5, &b), ERR_TOOBIG);
    ck_assert_int_eq(file_read_secret(path, 6, &b), 0);
    ck_assert_str_eq(buf_cstr(&b), "secret");
    for (unsigned bit = 1; bit <= 040; bit *= 2) {
        ck_assert_int_eq(chmod(path, 0600 | bit), 0);
        ck_assert_int_eq(file_read_secret(path, 9, &b), ERR_DENIED);
    }
    ck_assert_int_eq(file_read_secret(dir, 9, &b), ERR_DENIED);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0); // nobody waits for its writer
    ck_assert_int_eq(file_read_secret(path, 9, &b), ERR_DENIED);
    buf_done(&b);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

static int write_and_read(void *ctx)
{
    (void)ctx;
    int rc = file_write_atomic(path, "12345", 5, 0600);
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    int rc2 = file_read(path, 5, &b);
    if (!rc2 && strcmp(buf_cstr(&b), "12345"))
        abort();
    return rc ? rc : rc2;
}

START_TEST(survives_failing_memory)
{
    folder();
    ck_assert_int_gt(torture(write_and_read, NULL), 2);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

CHECK_MAIN("base/fd", read_keeps_both_ceilings_and_touches_nothing_on_failure,
           write_replaces_with_its_mode, a_secret_is_a_file_of_its_owner_alone,
           survives_failing_memory)
