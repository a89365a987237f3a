// SPDX-License-Identifier: Apache-2.0
// store/spare: what is kept takes room, and is enough for several starts. On a small tmpfs in a
// mount namespace of the test's own; without the right to mount one the cases say so and end.
#include "store/spare.h"

#include "base/err.h"
#include "base/fd.h"
#include "tests/support/check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MIB (1ull << 20)

static char dir[64], path[96], filler[96];

static bool begin(void)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        printf("skipped: a tmpfs cannot be mounted here: %s\n", strerror(errno));
        return false;
    }
    strcpy(dir, "/tmp/meridian-spare-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(mount("none", dir, "tmpfs", 0, "size=8m"), 0);
    snprintf(path, sizeof path, "%s/spare", dir);
    snprintf(filler, sizeof filler, "%s/filler", dir);
    return true;
}

static void end(void)
{
    ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
    ck_assert_int_eq(rmdir(dir), 0);
}

static uint64_t left(void)
{
    struct statvfs vfs;
    ck_assert_int_eq(statvfs(dir, &vfs), 0);
    return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

static void fill(void)
{
    static const char block[4096];
    AUTO_CLOSE int fd = open(filler, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, block, sizeof block) > 0)
        ;
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_uint_eq(left(), 0);
}

START_TEST(what_is_kept_serves_several_starts)
{
    if (!begin())
        return;
    uint64_t before = left();
    ck_assert_int_eq(spare_keep(path, SPARE_BYTES), 0);
    ck_assert_uint_le(left(), before - SPARE_BYTES);
    ck_assert_int_eq(spare_keep(path, SPARE_BYTES), 0); // it is there
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    for (unsigned i = 0; i < SPARE_BYTES / SPARE_START_BYTES; i++) {
        fill(); // by somebody else, each time
        ck_assert(spare_use(path));
        ck_assert_uint_eq(left(), SPARE_START_BYTES);
    }
    fill();
    ck_assert(!spare_use(path));
    ck_assert_int_eq(unlink(filler), 0);
    ck_assert_int_eq(spare_keep(path, SPARE_BYTES), 0);
    ck_assert_uint_le(left(), before - SPARE_BYTES);
    end();
}
END_TEST

START_TEST(without_room_nothing_is_kept)
{
    if (!begin())
        return;
    ck_assert(!spare_use(path));
    ck_assert_int_eq(spare_keep(path, 16 * MIB), ERR_NOSPACE);
    ck_assert_uint_ge(left(), 7 * MIB); // nor a part of it
    fill();
    ck_assert_int_eq(spare_keep(path, SPARE_BYTES), ERR_NOSPACE);
    ck_assert(!spare_use(path));
    end();
}
END_TEST

START_TEST(it_is_a_part_of_the_reserve)
{
    ck_assert_uint_eq(spare_size(0), 0);
    ck_assert_uint_eq(spare_size(2 * MIB), MIB / 2);
    ck_assert_uint_eq(spare_size(1ull << 40), SPARE_BYTES);
}
END_TEST

CHECK_MAIN("store/spare", what_is_kept_serves_several_starts, without_room_nothing_is_kept,
           it_is_a_part_of_the_reserve)
