// SPDX-License-Identifier: Apache-2.0
// store/blob in two processes, as in a restart: here two stores on the same directory. The program
// is linked with flock() wrapped, so that what the other one does between the open and the lock of
// a file is no matter of luck.
#include "store/blob.h"

#include "base/err.h"
#include "base/fd.h"
#include "store/files/files.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static char dir[64];
static struct blob_store *bs, *other;

static void begin(void)
{
    strcpy(dir, "/tmp/meridian-shared-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(blob_files_open(dir, &bs), 0);
    ck_assert_int_eq(blob_files_open(dir, &other), 0);
}

static void end(void)
{
    blob_store_close(bs);
    blob_store_close(other);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static struct digest digest_str(const char *s)
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, s, strlen(s), &d), 0);
    return d;
}

// --- the other process, just before a lock is taken ---

static void (*before_lock)(void);

int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);

int __wrap_flock(int fd, int how)
{
    void (*act)(void) = before_lock;
    before_lock = NULL;
    if (act)
        act();
    return __real_flock(fd, how);
}

static struct blob_upload *theirs;
static struct blob_name published;

static bool and_anew; // a file of that name is there again

static void they_commit(void)
{
    struct digest d = digest_str("content");
    ck_assert_int_eq(blob_upload_commit(theirs, &d, &published, NULL), 0);
    blob_upload_close(theirs);
    if (and_anew) {
        ck_assert_int_eq(blob_upload_open(bs, "one", &theirs), 0);
        blob_upload_close(theirs);
    }
}

static void they_write_more(void)
{
    ck_assert_int_eq(blob_upload_write(theirs, " and more", 9), 0);
    blob_upload_close(theirs);
}

static void they_discard(void)
{
    blob_upload_close(theirs);
    ck_assert_int_eq(blob_upload_discard(bs, "one"), 0);
}

static void they_begin(void)
{
    ck_assert_int_eq(blob_upload_open(bs, "one", &theirs), 0);
    ck_assert_int_eq(blob_upload_write(theirs, "content", 7), 0);
}

START_TEST(two_processes_never_write_to_one_upload)
{
    begin();
    struct blob_upload *u, *v;
    ck_assert_int_eq(blob_upload_open(bs, "one", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "hello", 5), 0);
    ck_assert_int_eq(blob_upload_open(other, "one", &v), ERR_BUSY);
    ck_assert_int_eq(blob_upload_discard(other, "one"), ERR_BUSY);
    ck_assert(blob_upload_elsewhere(other, "one"));
    ck_assert(!blob_upload_elsewhere(bs, "one") && !blob_upload_elsewhere(other, "two"));
    size_t n = 0;
    ck_assert_int_eq(blob_uploads_expire(other, INT64_MAX, NULL, NULL, &n), 0);
    ck_assert_uint_eq(n, 0);
    blob_upload_close(u);
    ck_assert_int_eq(blob_upload_open(other, "one", &v), 0);
    ck_assert_uint_eq(blob_upload_size(v), 5);
    ck_assert(blob_upload_elsewhere(bs, "one"));
    ck_assert_int_eq(blob_upload_open(bs, "one", &u), ERR_BUSY);
    blob_upload_close(v);
    ck_assert_int_eq(blob_upload_discard(bs, "one"), 0);
    struct digest d = digest_str("fetched");
    ck_assert_int_eq(blob_partial_open(bs, &d, &u), 0);
    ck_assert_int_eq(blob_partial_open(other, &d, &v), ERR_BUSY);
    blob_upload_close(u);
    end();
}
END_TEST

// The file is opened in the moment in which it becomes a blob: the blob must not be cut, nor taken
// for the upload.
static void commit_meets_open(void)
{
    begin();
    struct blob_upload *u;
    uint64_t size;
    they_begin();
    before_lock = they_commit;
    ck_assert_int_eq(blob_upload_open(other, "one", &u), 0);
    ck_assert_uint_eq(blob_upload_size(u), 0); // a new file
    ck_assert_int_eq(blob_upload_write(u, "x", 1), 0);
    ck_assert_int_eq(blob_upload_truncate(u), 0);
    blob_upload_close(u);
    ck_assert_int_eq(blob_stat(bs, &published, &size), 0);
    ck_assert_uint_eq(size, 7);
    end();
}

START_TEST(an_upload_that_becomes_a_blob_is_no_upload_elsewhere)
{
    commit_meets_open();
    and_anew = true;
    commit_meets_open();
}
END_TEST

START_TEST(what_was_written_until_the_lock_counts)
{
    begin();
    struct blob_upload *u;
    they_begin();
    before_lock = they_write_more;
    ck_assert_int_eq(blob_upload_open(other, "one", &u), 0);
    ck_assert_uint_eq(blob_upload_size(u), 16);
    blob_upload_close(u);
    ck_assert_int_eq(blob_upload_discard(other, "one"), 0);
    they_begin();
    before_lock = they_discard;
    ck_assert_int_eq(blob_upload_open(other, "one", &u), 0);
    ck_assert_uint_eq(blob_upload_size(u), 0);
    blob_upload_close(u);
    end();
}
END_TEST

CHECK_MAIN("store/blob_shared", two_processes_never_write_to_one_upload,
           an_upload_that_becomes_a_blob_is_no_upload_elsewhere,
           what_was_written_until_the_lock_counts)
