// SPDX-License-Identifier: Apache-2.0
// store/files: what only files have: modes, links, torn files, a full disk, bytes that are read
// back. What holds for every backend of blobs is in test_blob.c.
#include "store/files/files.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/files/files_test.h"
#include "tests/support/check_main.h"
#include "tests/support/no_setgid.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static struct blob_store *bs;

static void begin(void)
{
    strcpy(dir, "/tmp/meridian-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(blob_files_open(dir, &bs), 0);
}

static void end(void)
{
    blob_store_close(bs);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static struct digest digest_str(const char *s)
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, s, strlen(s), &d), 0);
    return d;
}

static void expect_mode(const char *relative, unsigned mode)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, relative);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, mode);
}

START_TEST(the_edge_is_told_a_path_that_it_may_read)
{
    begin();
    struct blob_name d;
    struct blob_serve how;
    ck_assert_int_eq(blob_put(bs, "hello world", 11, &d), 0);
    ck_assert_int_eq(blob_serve(bs, &(struct blob_serve_want){.name = &d, .size = 11}, &how), 0);
    ck_assert_int_eq(how.kind, BLOB_SERVE_PATH);
    ck_assert_int_eq(strncmp(how.path, "sha256/b9/b94d27b9934d3e08", 26), 0);
    AUTO_FREE char *file = mem_printf("blobs/%s", how.path);
    expect_mode(file, 0640);
    expect_mode("blobs/sha256/b9", 02750);
    expect_mode("uploads", 02700);
    end();
}
END_TEST

// However large the file: only what a write or a commit needs is read again, and once.
START_TEST(what_is_there_is_digested_when_it_is_needed)
{
    begin();
    struct blob_upload *u;
    struct digest d = digest_str("abcX");
    struct blob_name name;
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "abcdef", 6), 0);
    ck_assert_int_eq(blob_upload_trim(u, 5), 0);
    blob_upload_close(u);
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_uint_eq(blob_upload_size(u), 5);
    ck_assert_int_eq(blob_upload_trim(u, 3), 0);
    ck_assert_uint_eq(files_test_redigested(bs), 0);
    ck_assert_int_eq(blob_upload_write(u, "X", 1), 0);
    ck_assert_uint_eq(files_test_redigested(bs), 3);
    ck_assert_int_eq(blob_upload_commit(u, &d, &name, NULL), 0);
    ck_assert_uint_eq(files_test_redigested(bs), 3);
    blob_upload_close(u);
    ck_assert_int_eq(blob_verify(bs, &name, 0, NULL), 0);
    end();
}
END_TEST

START_TEST(a_torn_blob_is_not_served)
{
    begin();
    struct blob_name d, anew;
    struct blob_serve how;
    ck_assert_int_eq(blob_put(bs, "whole content", 13, &d), 0);
    AUTO_FREE char *path = files_test_path(dir, &d);
    ck_assert_int_eq(truncate(path, 4), 0);
    ck_assert_int_eq(blob_serve(bs, &(struct blob_serve_want){.name = &d, .size = 13}, &how),
                     ERR_DIGEST);
    ck_assert_int_eq(blob_put(bs, "whole content", 13, &anew), 0);
    ck_assert_int_eq(blob_verify(bs, &anew, 0, NULL), 0);
    end();
}
END_TEST

// A store of the release before: files and notes without a generation.
START_TEST(files_from_before_generations_are_served)
{
    begin();
    struct blob_name d, old, noted, found[2];
    struct blob_serve how;
    struct blob_walk at = {0};
    size_t n;
    char text[DIGEST_TEXT_SIZE];
    ck_assert_int_eq(blob_put(bs, "hello world", 11, &d), 0);
    old = (struct blob_name){.digest = d.digest};
    AUTO_FREE char *path = files_test_path(dir, &d);
    AUTO_FREE char *old_path = files_test_path(dir, &old);
    ck_assert_int_eq(rename(path, old_path), 0);
    ck_assert_int_eq(blob_serve(bs, &(struct blob_serve_want){.name = &old, .size = 11}, &how), 0);
    ck_assert_int_eq(strlen(how.path), strlen("sha256/b9/") + 64);
    ck_assert_int_eq(blob_walk(bs, &at, found, 2, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert(blob_name_equal(&found[0], &old));
    AUTO_FREE char *note = mem_printf("%s/uploads/=u", dir);
    ck_assert_int_eq(symlink(digest_format(&d.digest, text), note), 0);
    ck_assert_int_eq(blob_upload_outcome(bs, "u", &noted), 0);
    ck_assert(blob_name_equal(&noted, &old));
    end();
}
END_TEST

// What stands among the blobs and is none is left alone.
START_TEST(a_walk_passes_over_what_is_no_blob)
{
    begin();
    struct blob_name d, found[8];
    struct blob_walk at = {0};
    size_t n;
    ck_assert_int_eq(blob_put(bs, "hello world", 11, &d), 0);
    static const char *const names[] = {"lost+found", "b94d27b9934d3e08.x", "..data", "x.0123"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = mem_printf("%s/blobs/sha256/b9/%s", dir, names[i]);
        ck_assert_int_eq(file_write_atomic(path, "x", 1, 0600), 0);
    }
    ck_assert_int_eq(blob_walk(bs, &at, found, ARRAY_LEN(found), &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert(at.ended && blob_name_equal(&found[0], &d));
    end();
}
END_TEST

START_TEST(symlinks_are_not_followed)
{
    begin();
    char path[512], target[128];
    struct blob_name d;
    struct blob_upload *u;
    struct blob_reader *r;
    uint64_t size;
    snprintf(target, sizeof target, "%s/target", dir);
    ck_assert_int_eq(file_write_atomic(target, "secret", 6, 0600), 0);
    snprintf(path, sizeof path, "%s/uploads/link", dir);
    ck_assert_int_eq(symlink(target, path), 0);
    ck_assert_int_ne(blob_upload_open(bs, "link", &u), 0);
    ck_assert_int_eq(blob_put(bs, "x", 1, &d), 0);
    AUTO_FREE char *file = files_test_path(dir, &d);
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(symlink(target, file), 0);
    ck_assert_int_eq(blob_reader_open(bs, &d, &r), ERR_CORRUPT);
    ck_assert_int_eq(blob_stat(bs, &d, &size), ERR_CORRUPT);
    end();
}
END_TEST

// On a tiny tmpfs; mounting needs root and may be forbidden in a container: the case is then left
// out, with a note.
START_TEST(full_disk_loses_nothing_that_was_acknowledged)
{
    strcpy(dir, "/tmp/meridian-full-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    if (mount("tmpfs", dir, "tmpfs", 0, "size=256k")) {
        printf("left out: cannot mount a tmpfs here\n");
        rmdir(dir);
        return;
    }
    ck_assert_int_eq(blob_files_open(dir, &bs), 0);
    struct blob_upload *u;
    static char block[64 << 10];
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    int rc = 0;
    uint64_t n_ok = 0;
    while ((rc = blob_upload_write(u, block, sizeof block)) == 0 && n_ok < 100)
        n_ok++;
    ck_assert_int_eq(rc, ERR_NOSPACE);
    ck_assert_uint_gt(n_ok, 0);
    ck_assert_uint_eq(blob_upload_size(u), n_ok * sizeof block);
    blob_upload_close(u);
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_uint_eq(blob_upload_size(u), n_ok * sizeof block);
    struct hasher *h = hasher_new(DIGEST_SHA256);
    struct digest d;
    for (uint64_t i = 0; i < n_ok; i++)
        hasher_update(h, block, sizeof block);
    ck_assert_int_eq(hasher_final(h, &d), 0);
    hasher_free(h);
    ck_assert_int_eq(blob_upload_trim(u, blob_upload_size(u)), 0);
    ck_assert_int_eq(blob_upload_commit(u, &d, NULL, NULL), 0);
    blob_upload_close(u);
    blob_store_close(bs);
    umount(dir);
    rmdir(dir);
}
END_TEST

#define DAEMON 65534
#define EDGE 64102

static void expect_group(const char *relative, gid_t group, unsigned mode)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, relative);
    struct stat st;
    ck_assert_msg(stat(path, &st) == 0, "%s is missing", relative);
    ck_assert_msg(st.st_gid == group && (st.st_mode & 07777) == mode, "%s: group %u, mode %o",
                  relative, (unsigned)st.st_gid, st.st_mode & 07777);
}

// In a child, as the daemon's user, whose second group is the edge's.
static int put_without_the_bit(int tell_fd)
{
    const gid_t groups[] = {EDGE};
    struct blob_upload *u;
    struct blob_name d;
    const struct digest broken = digest_str("broken");
    if (setgroups(1, groups) || setgid(DAEMON) || setuid(DAEMON) || no_setgid_enter())
        return 2;
    struct blob_serve how;
    if (blob_files_open(dir, &bs) || blob_put(bs, "hello world", 11, &d))
        return 3;
    if (blob_serve(bs, &(struct blob_serve_want){.name = &d, .size = 11}, &how) ||
        fd_write_all(tell_fd, how.path, strlen(how.path)))
        return 6;
    if (blob_upload_open(bs, "u", &u) || blob_upload_write(u, "abc", 3))
        return 4;
    blob_upload_close(u);
    if (blob_damaged_note(bs, &broken))
        return 5;
    blob_store_close(bs);
    return 0;
}

// A service manager may forbid it (RestrictSUIDSGID); the edge must read the blobs all the same.
START_TEST(files_have_the_group_of_the_edge_without_the_set_group_bit)
{
    if (geteuid() != 0)
        return;
    strcpy(dir, "/tmp/meridian-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    AUTO_FREE char *blobs = mem_printf("%s/blobs", dir);
    // as the supervisor makes them
    ck_assert_int_eq(chown(dir, DAEMON, EDGE) || chmod(dir, 0710), 0);
    ck_assert_int_eq(mkdir(blobs, 0750) || chown(blobs, DAEMON, EDGE) || chmod(blobs, 0750), 0);
    int told[2];
    ck_assert_int_eq(pipe(told), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid)
        _exit(put_without_the_bit(told[1]));
    close(told[1]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    expect_group("blobs", EDGE, 0750);
    expect_group("blobs/sha256", EDGE, 0750);
    expect_group("blobs/sha256/b9", EDGE, 0750);
    expect_group("uploads", EDGE, 0700);
    expect_group("uploads/u", EDGE, 0640);
    expect_group("damaged", EDGE, 0700);
    char served[300] = "blobs/";
    ck_assert_int_gt(read(told[0], served + 6, sizeof served - 7), 0);
    expect_group(served, EDGE, 0640);
    close(told[0]);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

CHECK_MAIN("store/blob_files", the_edge_is_told_a_path_that_it_may_read,
           files_have_the_group_of_the_edge_without_the_set_group_bit,
           what_is_there_is_digested_when_it_is_needed, a_torn_blob_is_not_served,
           files_from_before_generations_are_served, a_walk_passes_over_what_is_no_blob,
           symlinks_are_not_followed, full_disk_loses_nothing_that_was_acknowledged)
