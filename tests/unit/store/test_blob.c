// SPDX-License-Identifier: Apache-2.0
// store/blob, which every backend of blobs must pass: what is committed is what its digest says;
// what is not stays out of sight; uploads resume. TEST_BLOBS=memory in the environment takes the
// backend in memory, else files are taken.
#include "store/blob.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "store/files/files.h"
#include "store/files/files_test.h"
#include "tests/support/check_main.h"
#include "tests/support/memory_blobs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static struct memory_blobs *memory;
static struct blob_store *bs;

static bool in_memory(void)
{
    const char *which = getenv("TEST_BLOBS");
    return which && strcmp(which, "memory") == 0;
}

// Opens what is stored once more, as another process does.
static struct blob_store *opened(void)
{
    struct blob_store *s;
    ck_assert_int_eq(memory ? memory_blobs_open(memory, &s) : blob_files_open(dir, &s), 0);
    return s;
}

static void begin(void)
{
    if (in_memory()) {
        memory = memory_blobs_new();
        ck_assert_ptr_nonnull(memory);
    } else {
        strcpy(dir, "/tmp/meridian-blob-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
    }
    bs = opened();
}

static void restart(void)
{
    blob_store_close(bs);
    bs = opened();
}

static void end(void)
{
    blob_store_close(bs);
    if (memory)
        memory_blobs_free(take_ptr(memory));
    else
        ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static struct digest digest_str(const char *s)
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, s, strlen(s), &d), 0);
    return d;
}

static struct blob_name name_of(const struct digest *d)
{
    return (struct blob_name){.digest = *d};
}

static void expect_blob(const struct blob_name *d, const char *content)
{
    struct blob_reader *r;
    size_t n;
    char b[256];
    ck_assert_int_eq(blob_reader_open(bs, d, &r), 0);
    ck_assert_uint_eq(blob_reader_size(r), strlen(content));
    ck_assert_int_eq(blob_reader_read(r, 0, b, sizeof b, &n), 0);
    ck_assert_uint_eq(n, strlen(content));
    ck_assert_mem_eq(b, content, n);
    blob_reader_close(r);
}

START_TEST(upload_commits_and_reads_back)
{
    begin();
    struct blob_upload *u;
    struct digest d = digest_str("hello world");
    struct blob_name name = name_of(&d);
    uint64_t size = 0;
    ck_assert_int_eq(blob_stat(bs, &name, &size), ERR_NOTFOUND);
    ck_assert_int_eq(blob_upload_open(bs, "eastus.0123", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "hello ", 6), 0);
    ck_assert_int_eq(blob_upload_write(u, "world", 5), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    ck_assert_int_eq(blob_upload_commit(u, &d, &name, &size), 0);
    ck_assert(digest_equal(&name.digest, &d));
    ck_assert_uint_eq(size, 11);
    ck_assert_int_eq(blob_upload_write(u, "x", 1), ERR_CLOSED);
    blob_upload_close(u);
    expect_blob(&name, "hello world");
    ck_assert_int_eq(blob_remove(bs, &name), 0);
    ck_assert_int_eq(blob_stat(bs, &name, &size), ERR_NOTFOUND);
    ck_assert_int_eq(blob_remove(bs, &name), ERR_NOTFOUND);
    end();
}
END_TEST

// A reader sees what is written as it comes, and how it ends.
START_TEST(an_upload_is_read_while_it_grows)
{
    begin();
    struct blob_upload *u;
    struct blob_reader *r, *other;
    struct digest d = digest_str("hello world");
    struct blob_name name;
    enum blob_growth growth;
    char b[32];
    size_t n;
    ck_assert_int_eq(blob_follow_open(bs, "../x", &r), ERR_INVAL);
    if (in_memory()) {
        ck_assert_int_eq(blob_follow_open(bs, "eastus.0123", &r), ERR_UNSUPPORTED);
        end();
        return;
    }
    ck_assert_int_eq(blob_follow_open(bs, "eastus.0123", &r), ERR_NOTFOUND);
    ck_assert_int_eq(blob_upload_open(bs, "eastus.0123", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "hello ", 6), 0);
    ck_assert_int_eq(blob_follow_open(bs, "eastus.0123", &r), 0);
    ck_assert_int_eq(blob_follow_look(r, &growth), 0);
    ck_assert_int_eq(growth, BLOB_GROWS);
    ck_assert_uint_eq(blob_reader_size(r), 6);
    blob_upload_close(u); // between two requests
    ck_assert_int_eq(blob_follow_look(r, &growth), 0);
    ck_assert_int_eq(growth, BLOB_GROWS);
    ck_assert_int_eq(blob_upload_open(bs, "eastus.0123", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "worse", 5), 0);
    ck_assert_int_eq(blob_follow_look(r, &growth), 0);
    ck_assert_uint_eq(blob_reader_size(r), 11);
    ck_assert_int_eq(blob_upload_trim(u, 6), 0);
    ck_assert_int_eq(blob_follow_look(r, &growth), 0);
    ck_assert_uint_eq(blob_reader_size(r), 6); // it is seen that a part was taken back
    ck_assert_int_eq(blob_upload_write(u, "world", 5), 0);
    ck_assert_int_eq(blob_upload_commit(u, &d, &name, NULL), 0);
    blob_upload_close(u);
    ck_assert_int_eq(blob_follow_look(r, &growth), 0);
    ck_assert_int_eq(growth, BLOB_IS_WHOLE);
    ck_assert_uint_eq(blob_reader_size(r), 11);
    ck_assert_int_eq(blob_reader_read(r, 3, b, sizeof b, &n), 0);
    ck_assert_uint_eq(n, 8);
    ck_assert_mem_eq(b, "lo world", 8);
    // another one of the same name is another one
    ck_assert_int_eq(blob_upload_open(bs, "eastus.0123", &u), 0);
    ck_assert_int_eq(blob_follow_look(r, &growth), 0);
    ck_assert_int_eq(growth, BLOB_IS_WHOLE);
    ck_assert_int_eq(blob_follow_open(bs, "eastus.0123", &other), 0);
    blob_upload_drop(u);
    ck_assert_int_eq(blob_follow_look(other, &growth), 0);
    ck_assert_int_eq(growth, BLOB_IS_DROPPED);
    blob_reader_close(other);
    blob_reader_close(r);
    end();
}
END_TEST

START_TEST(wrong_digest_leaves_the_upload)
{
    begin();
    struct blob_upload *u;
    struct digest right = digest_str("abcdef"), wrong = digest_str("abc");
    struct blob_name name = name_of(&right);
    uint64_t size;
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "abc", 3), 0);
    ck_assert_int_eq(blob_upload_commit(u, &right, NULL, &size), ERR_DIGEST);
    ck_assert_int_eq(blob_stat(bs, &name, &size), ERR_NOTFOUND);
    ck_assert_uint_eq(blob_upload_size(u), 3);
    ck_assert_int_eq(blob_upload_write(u, "def", 3), 0); // goes on after a refused commit
    ck_assert_int_eq(blob_upload_commit(u, &wrong, NULL, &size), ERR_DIGEST);
    ck_assert_int_eq(blob_upload_commit(u, &right, &name, &size), 0);
    blob_upload_close(u);
    expect_blob(&name, "abcdef");
    end();
}
END_TEST

START_TEST(resumed_upload_is_trimmed_to_what_was_acknowledged)
{
    begin();
    struct blob_upload *u, *other;
    struct digest d = digest_str("abcXYZ");
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "abc", 3), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    ck_assert_int_eq(blob_upload_write(u, "def", 3), 0);
    ck_assert_uint_eq(blob_upload_resume_at(u), 3);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    ck_assert_uint_eq(blob_upload_resume_at(u), 6);
    ck_assert_int_eq(blob_upload_open(bs, "u", &other), ERR_BUSY);
    ck_assert_int_eq(blob_upload_discard(bs, "u"), ERR_BUSY);
    blob_upload_close(u);
    restart();
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_uint_eq(blob_upload_size(u), 6);
    ck_assert_int_eq(blob_upload_trim(u, 7), ERR_RANGE);
    ck_assert_int_eq(blob_upload_trim(u, 3), 0);
    ck_assert_uint_eq(blob_upload_size(u), 3);
    ck_assert_int_eq(blob_upload_write(u, "XYZ", 3), 0);
    struct blob_name name;
    ck_assert_int_eq(blob_upload_commit(u, &d, &name, NULL), 0);
    blob_upload_close(u);
    expect_blob(&name, "abcXYZ");
    ck_assert_int_eq(blob_upload_open(bs, "t", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "junk", 4), 0);
    ck_assert_int_eq(blob_upload_truncate(u), 0);
    struct digest nothing = digest_str("");
    ck_assert_int_eq(blob_upload_commit(u, &nothing, NULL, NULL), 0);
    blob_upload_close(u);
    end();
}
END_TEST

// What was not synced may be lost with the process; what was is there, and the digest goes on.
START_TEST(a_part_that_was_synced_outlives_its_process)
{
    begin();
    struct blob_upload *u;
    struct digest d = digest_str("first second");
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_uint_eq(blob_upload_resume_at(u), 0);
    ck_assert_int_eq(blob_upload_write(u, "first ", 6), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    ck_assert_int_eq(blob_upload_write(u, "never told", 10), 0);
    ck_assert_uint_eq(blob_upload_resume_at(u), 6);
    blob_upload_close(u);
    restart();
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_uint_ge(blob_upload_resume_at(u), 6);
    ck_assert_int_eq(blob_upload_trim(u, 6), 0);
    ck_assert_uint_eq(blob_upload_size(u), 6);
    ck_assert_uint_eq(blob_upload_resume_at(u), 6);
    ck_assert_int_eq(blob_upload_write(u, "second", 6), 0);
    struct blob_name name;
    ck_assert_int_eq(blob_upload_commit(u, &d, &name, NULL), 0);
    blob_upload_close(u);
    expect_blob(&name, "first second");
    end();
}
END_TEST

START_TEST(one_process_has_an_upload_open)
{
    begin();
    struct blob_store *other = opened();
    struct blob_upload *u, *v;
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert(!blob_upload_elsewhere(bs, "u"));
    ck_assert(blob_upload_elsewhere(other, "u"));
    ck_assert_int_eq(blob_upload_open(other, "u", &v), ERR_BUSY);
    ck_assert_int_eq(blob_upload_discard(other, "u"), ERR_BUSY);
    blob_upload_close(u);
    ck_assert_int_eq(blob_upload_open(other, "u", &v), 0);
    blob_upload_drop(v);
    ck_assert(!blob_upload_elsewhere(bs, "u"));
    blob_store_close(other);
    end();
}
END_TEST

START_TEST(a_reader_pulls_any_range)
{
    begin();
    struct digest none = digest_str("absent");
    struct blob_name d, absent = name_of(&none);
    struct blob_reader *r;
    char b[16];
    size_t n;
    ck_assert_int_eq(blob_put(bs, "0123456789", 10, &d), 0);
    ck_assert_int_eq(blob_reader_open(bs, &absent, &r), ERR_NOTFOUND);
    ck_assert_int_eq(blob_reader_open(bs, &d, &r), 0);
    ck_assert_uint_eq(blob_reader_size(r), 10);
    ck_assert_int_eq(blob_reader_read(r, 3, b, 4, &n), 0);
    ck_assert_uint_eq(n, 4);
    ck_assert_mem_eq(b, "3456", 4);
    ck_assert_int_eq(blob_remove(bs, &d), 0); // who reads it reads on
    ck_assert_int_eq(blob_reader_read(r, 8, b, sizeof b, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_mem_eq(b, "89", 2);
    ck_assert_int_eq(blob_reader_read(r, 10, b, sizeof b, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(blob_reader_read(r, 99, b, sizeof b, &n), 0);
    ck_assert_uint_eq(n, 0);
    blob_reader_close(r);
    end();
}
END_TEST

// A path of the algorithm and hex digits, or a URL that expires.
START_TEST(a_serve_decision_says_where_the_bytes_are)
{
    begin();
    struct digest digest = digest_str("served");
    struct blob_name d = name_of(&digest);
    struct blob_serve how;
    struct arena a;
    arena_init(&a, 4096);
    struct blob_serve_want want = {.name = &d, .size = 6, .arena = &a};
    ck_assert_int_eq(blob_serve(bs, &want, &how), ERR_NOTFOUND);
    ck_assert_int_eq(blob_put(bs, "served", 6, &d), 0);
    ck_assert_int_eq(blob_serve(bs, &want, &how), 0);
    if (how.kind == BLOB_SERVE_PATH) {
        ck_assert_int_eq(strspn(how.path, "/.abcdefhs0123456789"), strlen(how.path));
        ck_assert_int_eq(strncmp(how.path, "sha256/", 7), 0);
    } else {
        ck_assert_int_eq(how.kind, BLOB_SERVE_URL);
        ck_assert_int_eq(strncmp(how.url, "https://", 8), 0);
        ck_assert_int_gt(how.url_expires_ms, clock_wall_ms());
    }
    want.size = 7;
    ck_assert_int_eq(blob_serve(bs, &want, &how), ERR_DIGEST);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(partial_fetches_resume_and_make_room)
{
    begin();
    struct digest d = digest_str("fetched"), other = digest_str("other");
    struct blob_upload *u;
    size_t n;
    uint64_t bytes;
    ck_assert_uint_eq(blob_partial_size(bs, &d), 0);
    ck_assert_int_eq(blob_partial_open(bs, &d, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "fetch", 5), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    blob_upload_close(u);
    ck_assert_uint_eq(blob_partial_size(bs, &d), 5);
    ck_assert_int_eq(blob_partial_open(bs, &other, &u), 0);
    ck_assert_int_eq(blob_partials_drop(bs, &n, &bytes), 0);
    ck_assert_uint_eq(n, 1); // the other one is open
    ck_assert_uint_eq(bytes, 5);
    blob_upload_close(u);
    ck_assert_uint_eq(blob_partial_size(bs, &d), 0);
    end();
}
END_TEST

START_TEST(a_commit_is_noted_until_it_is_discarded)
{
    begin();
    struct blob_upload *u;
    struct digest d = digest_str("noted"), wrong = digest_str("other");
    struct blob_name name, noted;
    ck_assert_int_eq(blob_upload_outcome(bs, "u", &noted), ERR_NOTFOUND);
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "noted", 5), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    ck_assert_int_eq(blob_upload_commit(u, &wrong, NULL, NULL), ERR_DIGEST);
    ck_assert_int_eq(blob_upload_outcome(bs, "u", &noted), ERR_NOTFOUND);
    ck_assert_int_eq(blob_upload_commit(u, &d, &name, NULL), 0);
    blob_upload_close(u);
    ck_assert_int_eq(blob_upload_outcome(bs, "u", &noted), 0);
    ck_assert(blob_name_equal(&noted, &name));
    ck_assert_int_eq(blob_upload_outcome(bs, "../u", &noted), ERR_INVAL);
    ck_assert_int_eq(blob_upload_discard(bs, "u"), 0);
    ck_assert_int_eq(blob_upload_outcome(bs, "u", &noted), ERR_NOTFOUND);
    expect_blob(&name, "noted");
    end();
}
END_TEST

// Each is a publication of its own, and leaves nothing behind where it grew.
START_TEST(each_commit_is_a_generation)
{
    begin();
    struct blob_name first, again, third;
    struct blob_upload *u;
    uint64_t size;
    ck_assert_int_eq(blob_put(bs, "same", 4, &first), 0);
    ck_assert_int_eq(blob_put(bs, "same", 4, &again), 0);
    ck_assert(digest_equal(&first.digest, &again.digest));
    ck_assert_str_ne(first.generation, again.generation);
    ck_assert_int_eq(blob_partial_open(bs, &first.digest, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "same", 4), 0);
    ck_assert_int_eq(blob_upload_commit(u, &first.digest, &third, NULL), 0);
    blob_upload_close(u);
    ck_assert_int_eq(blob_remove(bs, &first), 0);
    ck_assert_int_eq(blob_stat(bs, &first, &size), ERR_NOTFOUND);
    expect_blob(&again, "same");
    struct blob_name bad = again;
    strcpy(bad.generation, "../0123456789ab");
    ck_assert_int_eq(blob_stat(bs, &bad, &size), ERR_INVAL);
    size_t n = 99;
    ck_assert_int_eq(blob_uploads_expire(bs, INT64_MAX, NULL, NULL, &n), 0);
    ck_assert_uint_eq(n, 0); // nothing was left behind
    expect_blob(&third, "same");
    end();
}
END_TEST

START_TEST(what_is_retired_goes_after_a_minute)
{
    begin();
    struct blob_name old, anew;
    uint64_t size;
    ck_assert_int_eq(blob_put(bs, "same", 4, &old), 0);
    ck_assert_int_eq(blob_put(bs, "same", 4, &anew), 0);
    blob_retire(bs, &old);
    blob_retired_remove(bs, clock_mono_ms());
    expect_blob(&old, "same");
    blob_retired_remove(bs, clock_mono_ms() + BLOB_RETIRE_MS);
    ck_assert_int_eq(blob_stat(bs, &old, &size), ERR_NOTFOUND);
    expect_blob(&anew, "same");
    // none waits for longer than there is room on the list
    struct blob_name first = {0};
    for (int i = 0; i < BLOB_RETIRED_MAX + 1; i++) {
        ck_assert_int_eq(blob_put(bs, "more", 4, &old), 0);
        blob_retire(bs, &old);
        if (!i)
            first = old;
    }
    ck_assert_int_eq(blob_stat(bs, &first, &size), ERR_NOTFOUND);
    restart();
    ck_assert_int_eq(blob_stat(bs, &old, &size), ERR_NOTFOUND);
    expect_blob(&anew, "same");
    end();
}
END_TEST

START_TEST(a_walk_finds_all)
{
    begin();
    struct blob_name put[40], found[7];
    struct blob_walk at = {0};
    size_t n, n_all = 0;
    for (size_t i = 0; i < ARRAY_LEN(put); i++) {
        char content = (char)(i / 2); // two generations of each
        ck_assert_int_eq(blob_put(bs, &content, 1, &put[i]), 0);
    }
    bool seen[ARRAY_LEN(put)] = {0};
    while (!at.ended) {
        ck_assert_int_eq(blob_walk(bs, &at, found, ARRAY_LEN(found), &n), 0);
        n_all += n;
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < ARRAY_LEN(put); k++)
                seen[k] |= blob_name_equal(&put[k], &found[i]);
    }
    ck_assert_uint_eq(n_all, ARRAY_LEN(put));
    for (size_t k = 0; k < ARRAY_LEN(put); k++)
        ck_assert(seen[k]);
    end();
}
END_TEST

// Changes the blob's bytes in place: its size stays.
static void damage(const struct blob_name *d)
{
    if (memory) {
        memory_blobs_damage(memory, d);
        return;
    }
    char b[10];
    AUTO_FREE char *path = files_test_path(dir, d);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, b, sizeof b, 0), sizeof b);
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (char)~b[i];
    ck_assert_int_eq(pwrite(fd, b, sizeof b, 0), sizeof b);
    close(fd);
}

static struct blob_name commit_partial(const struct digest *d, const char *content)
{
    struct blob_name name;
    struct blob_upload *u;
    ck_assert_int_eq(blob_partial_open(bs, d, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, content, strlen(content)), 0);
    ck_assert_int_eq(blob_upload_commit(u, d, &name, NULL), 0);
    blob_upload_close(u);
    return name;
}

static struct blob_name commit_upload(const struct digest *d, const char *content)
{
    struct blob_name name;
    struct blob_upload *u;
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, content, strlen(content)), 0);
    ck_assert_int_eq(blob_upload_commit(u, d, &name, NULL), 0);
    blob_upload_close(u);
    return name;
}

// A new publication does not touch the damaged one; who reads that one reads on.
START_TEST(bytes_damaged_in_place_are_published_anew)
{
    begin();
    static const char content[] = "content of a certain length";
    struct digest digest = digest_str(content);
    char b[64];
    struct blob_reader *old;
    struct blob_name d, anew;
    size_t n;
    for (int way = 0; way < 3; way++) {
        ck_assert_int_eq(blob_put(bs, content, strlen(content), &d), 0);
        damage(&d);
        ck_assert_int_eq(blob_reader_open(bs, &d, &old), 0);
        if (way == 0)
            ck_assert_int_eq(blob_put(bs, content, strlen(content), &anew), 0);
        else if (way == 1)
            anew = commit_upload(&digest, content);
        else
            anew = commit_partial(&digest, content);
        expect_blob(&anew, content);
        ck_assert_int_eq(blob_remove(bs, &d), 0);
        ck_assert_int_eq(blob_reader_read(old, 0, b, sizeof b, &n), 0);
        ck_assert_uint_eq(n, strlen(content));
        ck_assert(memcmp(b, content, n) != 0);
        blob_reader_close(old);
    }
    end();
}
END_TEST

static size_t n_damaged(struct digest *first)
{
    struct digest list[4];
    size_t n;
    ck_assert_int_eq(blob_damaged_list(bs, list, 4, &n), 0);
    if (n)
        *first = list[0];
    return n;
}

START_TEST(what_is_damaged_is_set_aside_until_it_is_whole)
{
    begin();
    static const char content[] = "whole and then not";
    struct digest digest = digest_str(content), other = digest_str("lost"), listed;
    struct blob_name d = name_of(&digest);
    uint64_t size;
    ck_assert_int_eq(blob_verify(bs, &d, 0, NULL), ERR_NOTFOUND);
    ck_assert_int_eq(blob_put(bs, content, strlen(content), &d), 0);
    ck_assert_int_eq(blob_verify(bs, &d, 0, NULL), 0);
    ck_assert_uint_eq(n_damaged(&listed), 0);
    damage(&d);
    ck_assert_int_eq(blob_verify(bs, &d, 0, NULL), ERR_DIGEST);
    ck_assert_int_eq(blob_stat(bs, &d, &size), ERR_NOTFOUND); // absent from here on
    restart();
    ck_assert_uint_eq(n_damaged(&listed), 1);
    ck_assert(digest_equal(&listed, &digest));
    ck_assert_int_eq(blob_damaged_release(bs, &digest), 0);
    ck_assert_uint_eq(n_damaged(&listed), 1);
    d = commit_partial(&digest, content);
    ck_assert_uint_eq(n_damaged(&listed), 1); // nobody serves it yet
    ck_assert_int_eq(blob_damaged_forget(bs, &digest), 0);
    ck_assert_uint_eq(n_damaged(&listed), 0);
    ck_assert_int_eq(blob_verify(bs, &d, 0, NULL), 0);
    ck_assert_int_eq(blob_damaged_note(bs, &other), 0);
    ck_assert_uint_eq(n_damaged(&listed), 1);
    ck_assert(digest_equal(&listed, &other));
    ck_assert_int_eq(blob_damaged_forget(bs, &other), 0);
    ck_assert_int_eq(blob_damaged_forget(bs, &other), 0);
    ck_assert_uint_eq(n_damaged(&listed), 0);
    end();
}
END_TEST

// Only as many bytes a second as it may; and it ends when it is told to.
static struct digest digest_512(const char *s)
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA512, s, strlen(s), &d), 0);
    return d;
}

// Two names of one content are two blobs.
START_TEST(a_blob_may_have_a_sha512_digest)
{
    begin();
    struct blob_upload *u;
    struct digest d = digest_512("hello world"), other = digest_str("hello world"), list[4];
    struct digest wrong = digest_512("hello");
    struct blob_name name, noted;
    uint64_t size = 0;
    size_t n = 9;
    struct arena a;
    struct blob_serve how;
    arena_init(&a, 0);
    // the algorithm is known before the first byte, between two pieces, or at the end alone
    for (int known_at = 0; known_at < 3; known_at++) {
        ck_assert_int_eq(blob_upload_open(bs, "u512", &u), 0);
        if (known_at == 0)
            blob_upload_expect(u, DIGEST_SHA512);
        ck_assert_int_eq(blob_upload_write(u, "hello ", 6), 0);
        ck_assert_int_eq(blob_upload_sync(u), 0);
        if (known_at == 1)
            blob_upload_expect(u, DIGEST_SHA512);
        ck_assert_int_eq(blob_upload_write(u, "world", 5), 0);
        ck_assert_int_eq(blob_upload_commit(u, &wrong, NULL, &size), ERR_DIGEST);
        ck_assert_int_eq(blob_upload_commit(u, &d, &name, &size), 0);
        ck_assert_uint_eq(size, 11);
        blob_upload_close(u);
        ck_assert_int_eq(blob_upload_outcome(bs, "u512", &noted), 0);
        ck_assert(blob_name_equal(&noted, &name) && digest_equal(&name.digest, &d));
        ck_assert_int_eq(blob_upload_discard(bs, "u512"), 0);
        expect_blob(&name, "hello world");
        struct blob_name none = name_of(&other);
        ck_assert_int_eq(blob_stat(bs, &none, &size), ERR_NOTFOUND);
        const struct blob_serve_want want = {.name = &name, .size = 11, .arena = &a};
        ck_assert_int_eq(blob_serve(bs, &want, &how), 0);
        if (how.kind == BLOB_SERVE_PATH)
            ck_assert_msg(!strncmp(how.path, "sha512/", 7), "%s", how.path);
        ck_assert_int_eq(blob_verify(bs, &name, 0, NULL), 0);
        ck_assert_int_eq(blob_remove(bs, &name), 0);
    }
    ck_assert_int_eq(blob_partial_open(bs, &d, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "hello", 5), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    blob_upload_close(u);
    restart();
    ck_assert_uint_eq(blob_partial_size(bs, &d), 5);
    ck_assert_uint_eq(blob_partial_size(bs, &other), 0);
    ck_assert_int_eq(blob_damaged_note(bs, &d), 0);
    ck_assert_int_eq(blob_damaged_list(bs, list, 4, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert(digest_equal(&list[0], &d));
    ck_assert_int_eq(blob_partial_open(bs, &d, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, " world", 6), 0);
    ck_assert_int_eq(blob_upload_commit(u, &d, &name, &size), 0);
    blob_upload_close(u);
    expect_blob(&name, "hello world");
    ck_assert_int_eq(blob_damaged_forget(bs, &d), 0);
    ck_assert_int_eq(blob_damaged_list(bs, list, 4, &n), 0);
    ck_assert_uint_eq(n, 0);
    arena_done(&a);
    end();
}
END_TEST

// A running hash of another algorithm is given up once, and the bytes are read once more.
START_TEST(a_hint_of_the_algorithm_saves_the_second_reading)
{
    if (in_memory())
        return;
    begin();
    struct blob_upload *u;
    struct digest d = digest_512("hello world");
    uint64_t before = files_test_redigested(bs);
    ck_assert_int_eq(blob_upload_open(bs, "hinted", &u), 0);
    blob_upload_expect(u, DIGEST_SHA512);
    ck_assert_int_eq(blob_upload_write(u, "hello world", 11), 0);
    ck_assert_int_eq(blob_upload_commit(u, &d, NULL, NULL), 0);
    blob_upload_close(u);
    ck_assert_uint_eq(files_test_redigested(bs) - before, 0);
    ck_assert_int_eq(blob_upload_open(bs, "unhinted", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "hello world", 11), 0);
    ck_assert_int_eq(blob_upload_commit(u, &d, NULL, NULL), 0);
    blob_upload_close(u);
    ck_assert_uint_eq(files_test_redigested(bs) - before, 11);
    end();
}
END_TEST

START_TEST(verifying_is_paced)
{
    begin();
    static char content[3 << 20];
    struct blob_name d;
    _Atomic bool stop = true;
    ck_assert_int_eq(blob_put(bs, content, sizeof content, &d), 0);
    int64_t began = clock_mono_ms();
    ck_assert_int_eq(blob_verify(bs, &d, 6 << 20, NULL), 0);
    ck_assert_int_ge(clock_mono_ms() - began, 500);
    ck_assert_int_eq(blob_verify(bs, &d, 0, &stop), ERR_CANCELED);
    end();
}
END_TEST

START_TEST(names_cannot_leave_the_directory)
{
    begin();
    static const char *const bad[] = {"",     ".", "..",  ".x",  "a/b",
                                      "../x", "A", "a b", "a\n", "x\xc3"};
    struct blob_upload *u;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(blob_upload_open(bs, bad[i], &u), ERR_INVAL);
        ck_assert_int_eq(blob_upload_discard(bs, bad[i]), ERR_INVAL);
    }
    char longest[130];
    memset(longest, 'a', sizeof longest);
    longest[129] = 0;
    ck_assert_int_eq(blob_upload_open(bs, longest, &u), ERR_INVAL);
    ck_assert_int_eq(blob_upload_discard(bs, "absent"), 0);
    end();
}
END_TEST

START_TEST(abandoned_files_expire_open_ones_do_not)
{
    begin();
    struct blob_upload *u, *v;
    size_t n;
    ck_assert_int_eq(blob_upload_open(bs, "old", &u), 0);
    blob_upload_close(u);
    ck_assert_int_eq(blob_upload_open(bs, "in-use", &v), 0);
    ck_assert_int_eq(blob_uploads_expire(bs, clock_wall_ms() - 3600000, NULL, NULL, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(blob_uploads_expire(bs, clock_wall_ms() + 3600000, NULL, NULL, &n), 0);
    ck_assert_uint_eq(n, 1);
    blob_upload_close(v);
    uint64_t room = 0;
    ck_assert(blob_store_writable(bs, &room));
    ck_assert_uint_gt(room, 0);
    end();
}
END_TEST

static bool is_mine(void *ctx, const char *id)
{
    return strcmp(id, ctx) == 0;
}

// A commit whose link could not be written: its client repeats the PUT for as long as it likes.
START_TEST(an_outcome_lives_as_long_as_its_upload_is_known)
{
    begin();
    struct blob_upload *u;
    struct digest d = digest_str("mine");
    struct blob_name noted;
    char u_id[] = "u", v_id[] = "v";
    size_t n;
    ck_assert_int_eq(blob_upload_open(bs, "u", &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "mine", 4), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    ck_assert_int_eq(blob_upload_commit(u, &d, NULL, NULL), 0);
    blob_upload_close(u);
    int64_t later_ms = clock_wall_ms() + 3600000;
    ck_assert_int_eq(blob_uploads_expire(bs, later_ms, is_mine, u_id, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(blob_upload_outcome(bs, "u", &noted), 0);
    ck_assert_int_eq(blob_uploads_expire(bs, later_ms, is_mine, v_id, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(blob_upload_outcome(bs, "u", &noted), ERR_NOTFOUND);
    end();
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    begin();
    bool done = false;
    for (long n = 1; n < 100 && !done; n++) {
        struct blob_name d;
        mem_fault_after(n);
        int rc = blob_put(bs, "torture", 7, &d);
        long hits = mem_fault_hits();
        mem_fault_after(0);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
        done = rc == 0 && hits == 0;
    }
    ck_assert(done);
    end();
}
END_TEST

CHECK_MAIN("store/blob", a_blob_may_have_a_sha512_digest,
           a_hint_of_the_algorithm_saves_the_second_reading, upload_commits_and_reads_back,
           an_upload_is_read_while_it_grows, wrong_digest_leaves_the_upload,
           resumed_upload_is_trimmed_to_what_was_acknowledged,
           a_part_that_was_synced_outlives_its_process, one_process_has_an_upload_open,
           a_reader_pulls_any_range, a_serve_decision_says_where_the_bytes_are,
           partial_fetches_resume_and_make_room, a_commit_is_noted_until_it_is_discarded,
           each_commit_is_a_generation, what_is_retired_goes_after_a_minute, a_walk_finds_all,
           bytes_damaged_in_place_are_published_anew,
           what_is_damaged_is_set_aside_until_it_is_whole, verifying_is_paced,
           names_cannot_leave_the_directory, abandoned_files_expire_open_ones_do_not,
           an_outcome_lives_as_long_as_its_upload_is_known, memory_may_end_anywhere)
