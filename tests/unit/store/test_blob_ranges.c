// SPDX-License-Identifier: Apache-2.0
// store/files: a partial fetch whose bytes come in ranges, by several threads; what counts of it after
// a kill -9 at any step, and what becomes of the file beside it.
#include "store/files/files.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/support/full_disk.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK ((size_t)BLOB_CHUNK_BYTES)
#define N_CHUNKS 5
#define WHOLE (4 * CHUNK + 1000)
#define ENDED_BY_ITSELF 7

static char dir[64];
static struct blob_store *bs;
static char bytes[WHOLE];
static struct digest digest;

static void begin(void)
{
    strcpy(dir, "/tmp/meridian-ranges-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(blob_files_open(dir, &bs), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, bytes, sizeof bytes, &digest), 0);
}

static void end(void)
{
    blob_store_close(bs);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static struct blob_upload *open_spread(void)
{
    struct blob_upload *u;
    ck_assert_int_eq(blob_partial_open(bs, &digest, &u), 0);
    ck_assert_int_eq(blob_upload_spread(u, WHOLE), 0);
    return u;
}

static size_t chunk_bytes(size_t i)
{
    return i == N_CHUNKS - 1 ? WHOLE - i * CHUNK : CHUNK;
}

static int put(struct blob_upload *u, size_t i)
{
    int rc = blob_upload_put(u, i * CHUNK, bytes + i * CHUNK, chunk_bytes(i));
    if (!rc)
        blob_upload_chunk_done(u, i);
    return rc;
}

static char *partial_path(const char *suffix)
{
    char hex[DIGEST_HEX_SIZE];
    hex_format(digest.b, digest.n, hex);
    return mem_printf("%s/partial/sha256-%s%s", dir, hex, suffix);
}

static bool is_there(const char *suffix)
{
    AUTO_FREE char *path = partial_path(suffix);
    return access(path, F_OK) == 0;
}

// Which of the chunks are there, as a word: "x.x.."
static void expect_there(struct blob_upload *u, const char *word)
{
    char is[N_CHUNKS + 1] = "";
    for (size_t i = 0; i < N_CHUNKS; i++)
        is[i] = blob_upload_chunk_there(u, i) ? 'x' : '.';
    ck_assert_str_eq(is, word);
}

static void expect_published(const struct blob_name *name)
{
    ck_assert_int_eq(blob_verify(bs, name, 0, NULL), 0);
    ck_assert(!is_there("") && !is_there(".map") && !is_there(".new"));
}

// Puts what lacks, and publishes.
static void finish(struct blob_upload *u)
{
    struct blob_name name;
    uint64_t size;
    for (size_t i = 0; i < N_CHUNKS; i++)
        if (!blob_upload_chunk_there(u, i))
            ck_assert_int_eq(put(u, i), 0);
    ck_assert_int_eq(blob_upload_digest(u, WHOLE), 0);
    ck_assert_uint_eq(blob_upload_size(u), WHOLE);
    ck_assert_int_eq(blob_upload_commit(u, &digest, &name, &size), 0);
    ck_assert_uint_eq(size, WHOLE);
    blob_upload_close(u);
    expect_published(&name);
}

START_TEST(chunks_come_in_any_order)
{
    begin();
    struct blob_upload *u = open_spread();
    expect_there(u, ".....");
    ck_assert_int_eq(put(u, 4), 0);
    ck_assert_int_eq(put(u, 1), 0);
    ck_assert_int_eq(blob_upload_digest(u, WHOLE), 0);
    ck_assert_uint_eq(blob_upload_size(u), 0); // the first is not there
    ck_assert_int_eq(put(u, 0), 0);
    ck_assert_int_eq(blob_upload_digest(u, 1), 0); // a chunk at least
    ck_assert_uint_eq(blob_upload_size(u), CHUNK);
    ck_assert_int_eq(blob_upload_digest(u, WHOLE), 0);
    ck_assert_uint_eq(blob_upload_size(u), 2 * CHUNK);
    expect_there(u, "xx..x");
    char some[100];
    ck_assert_int_eq(blob_upload_read(u, 4 * CHUNK + 900, some, sizeof some), 0);
    ck_assert_mem_eq(some, bytes + 4 * CHUNK + 900, sizeof some);
    finish(u);
    end();
}
END_TEST

START_TEST(a_half_chunk_does_not_count)
{
    begin();
    struct blob_upload *u = open_spread();
    ck_assert_int_eq(blob_upload_put(u, 2 * CHUNK, bytes + 2 * CHUNK, CHUNK / 2), 0);
    ck_assert_int_eq(put(u, 3), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    blob_upload_close(u);
    ck_assert_uint_eq(blob_partial_size(bs, &digest), CHUNK);
    u = open_spread();
    expect_there(u, "...x.");
    finish(u);
    end();
}
END_TEST

// What came in order before, by one stream, is not fetched again.
START_TEST(what_came_in_order_counts)
{
    begin();
    struct blob_upload *u;
    ck_assert_int_eq(blob_partial_open(bs, &digest, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, bytes, 2 * CHUNK + 5), 0);
    blob_upload_close(u);
    u = open_spread();
    expect_there(u, "xx...");
    ck_assert_uint_eq(blob_upload_size(u), 2 * CHUNK);
    finish(u);
    end();
}
END_TEST

START_TEST(a_write_in_order_gives_up_what_is_behind)
{
    begin();
    struct blob_upload *u = open_spread();
    struct blob_name name;
    ck_assert_int_eq(put(u, 0), 0);
    ck_assert_int_eq(put(u, 3), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    blob_upload_close(u);
    ck_assert_int_eq(blob_partial_open(bs, &digest, &u), 0);
    ck_assert_uint_eq(blob_upload_size(u), CHUNK);
    ck_assert_int_eq(blob_upload_write(u, bytes + CHUNK, 10), 0);
    ck_assert(!is_there(".map"));
    ck_assert_uint_eq(blob_partial_size(bs, &digest), CHUNK + 10);
    ck_assert_int_eq(blob_upload_write(u, bytes + CHUNK + 10, WHOLE - CHUNK - 10), 0);
    ck_assert_int_eq(blob_upload_commit(u, &digest, &name, NULL), 0);
    blob_upload_close(u);
    expect_published(&name);
    end();
}
END_TEST

START_TEST(another_size_begins_behind_what_is_in_order)
{
    begin();
    struct blob_upload *u = open_spread();
    ck_assert_int_eq(put(u, 0), 0);
    ck_assert_int_eq(put(u, 3), 0);
    ck_assert_int_eq(blob_upload_digest(u, WHOLE), 0);
    ck_assert_int_eq(blob_upload_spread(u, WHOLE + 1), 0);
    expect_there(u, "x....");
    ck_assert_int_eq(blob_upload_spread(u, CHUNK - 1), ERR_UNSUPPORTED); // more is here
    ck_assert_int_eq(blob_upload_spread(u, BLOB_SPREAD_MAX + 1), ERR_UNSUPPORTED);
    ck_assert_int_eq(blob_upload_spread(u, WHOLE), 0);
    finish(u);
    end();
}
END_TEST

START_TEST(wrong_bytes_are_not_published)
{
    begin();
    struct blob_upload *u = open_spread();
    for (size_t i = 0; i < N_CHUNKS; i++)
        ck_assert_int_eq(put(u, i), 0);
    ck_assert_int_eq(blob_upload_put(u, 3 * CHUNK + 7, "?!", 2), 0);
    ck_assert_int_eq(blob_upload_digest(u, WHOLE), 0);
    ck_assert_int_eq(blob_upload_commit(u, &digest, NULL, NULL), ERR_DIGEST);
    ck_assert(is_there(".map"));
    ck_assert_int_eq(blob_upload_truncate(u), 0);
    ck_assert(!is_there(".map"));
    ck_assert_int_eq(blob_upload_spread(u, WHOLE), 0);
    finish(u);
    end();
}
END_TEST

// --- deaths ---

// One life: some chunks out of order, with syncs between; it dies at that step of its writing.
static void live(long step)
{
    struct blob_upload *u;
    full_disk_dies_at(step);
    if (blob_partial_open(bs, &digest, &u) || blob_upload_spread(u, WHOLE))
        _exit(1);
    static const size_t order[] = {3, 0, 4, 2};
    for (size_t i = 0; i < 4; i++)
        if (put(u, order[i]) || blob_upload_sync(u) || blob_upload_digest(u, WHOLE))
            _exit(1);
    blob_upload_close(u);
    full_disk_off();
    _exit(ENDED_BY_ITSELF);
}

// All that counts is right, to the byte; the rest is put, and the whole published.
static void look_after_death(long step)
{
    struct blob_upload *u;
    static char is[WHOLE];
    ck_assert_int_eq(blob_partial_open(bs, &digest, &u), 0);
    uint64_t in_order = blob_upload_size(u);
    ck_assert_int_eq(blob_upload_read(u, 0, is, in_order), 0);
    ck_assert_msg(memcmp(is, bytes, in_order) == 0, "step %ld: in order", step);
    ck_assert_int_eq(blob_upload_spread(u, WHOLE), 0);
    for (size_t i = 0; i < N_CHUNKS; i++) {
        if (!blob_upload_chunk_there(u, i))
            continue;
        ck_assert_int_eq(blob_upload_read(u, i * CHUNK, is, chunk_bytes(i)), 0);
        ck_assert_msg(memcmp(is, bytes + i * CHUNK, chunk_bytes(i)) == 0, "step %ld: chunk %zu",
                      step, i);
    }
    finish(u);
}

START_TEST(killed_at_any_step_nothing_counts_that_is_not_there)
{
    bool died = true;
    for (long step = 1; died; step++) {
        begin();
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
            live(step);
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        died = WIFSIGNALED(status);
        if (!died)
            ck_assert_int_eq(WEXITSTATUS(status), ENDED_BY_ITSELF);
        look_after_death(step);
        end();
        ck_assert_int_lt(step, 200);
    }
}
END_TEST

// The bytes of a chunk that no sync covered may be lost in a crash, whatever the file's length says.
START_TEST(only_what_a_sync_covered_counts_later)
{
    begin();
    struct blob_upload *u = open_spread();
    ck_assert_int_eq(put(u, 1), 0);
    ck_assert_int_eq(put(u, 3), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    ck_assert_int_eq(put(u, 4), 0);
    blob_upload_close(u); // as a kill would
    ck_assert_uint_eq(blob_partial_size(bs, &digest), 2 * CHUNK);
    u = open_spread();
    expect_there(u, ".x.x.");
    finish(u);
    end();
}
END_TEST

static void map_change(const void *p, size_t n, off_t at, off_t length)
{
    AUTO_FREE char *path = partial_path(".map");
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, p, n, at), (ssize_t)n);
    ck_assert_int_eq(ftruncate(fd, length), 0);
}

START_TEST(a_map_that_cannot_be_read_counts_for_nothing)
{
    for (unsigned i = 0; i < 3; i++) {
        begin();
        struct blob_upload *u = open_spread();
        ck_assert_int_eq(put(u, 0), 0);
        ck_assert_int_eq(put(u, 3), 0);
        ck_assert_int_eq(blob_upload_sync(u), 0);
        blob_upload_close(u);
        if (i == 0)
            map_change("\xff", 1, 24, 57); // other bits than were summed
        else if (i == 1)
            map_change("", 0, 0, 0);
        else
            map_change("x", 1, 0, 57);
        ck_assert_uint_eq(blob_partial_size(bs, &digest), 0);
        ck_assert_int_eq(blob_partial_open(bs, &digest, &u), 0);
        ck_assert_uint_eq(blob_upload_size(u), 0);
        ck_assert_int_eq(blob_upload_spread(u, WHOLE), 0);
        expect_there(u, ".....");
        finish(u);
        end();
    }
}
END_TEST

// The file that it was about has gone, and another one of that name grows.
START_TEST(a_map_that_outlived_its_file_counts_for_nothing)
{
    begin();
    struct blob_upload *u = open_spread();
    ck_assert_int_eq(put(u, 3), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    blob_upload_close(u);
    AUTO_FREE char *path = partial_path("");
    ck_assert_int_eq(truncate(path, 0), 0);
    u = open_spread();
    expect_there(u, ".....");
    ck_assert_int_eq(put(u, 4), 0); // now it is as long as the map's chunk was
    blob_upload_close(u);           // as a kill would
    u = open_spread();
    expect_there(u, ".....");
    finish(u);
    end();
}
END_TEST

// --- what is left behind ---

START_TEST(the_map_goes_with_its_file)
{
    begin();
    size_t n;
    uint64_t freed;
    struct blob_upload *u = open_spread();
    ck_assert_int_eq(put(u, 1), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    ck_assert_int_eq(blob_partials_drop(bs, &n, &freed), 0); // it is open
    ck_assert(n == 0 && is_there("") && is_there(".map"));
    blob_upload_close(u);
    ck_assert_int_eq(blob_uploads_expire(bs, 1, NULL, NULL, &n), 0);
    ck_assert(n == 0 && is_there("") && is_there(".map"));
    ck_assert_int_eq(blob_partials_drop(bs, &n, &freed), 0);
    ck_assert(!is_there("") && !is_there(".map"));
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_le(freed, 2 * CHUNK); // without the hole
    u = open_spread();
    blob_upload_drop(u);
    ck_assert(!is_there("") && !is_there(".map"));
    u = open_spread();
    blob_upload_close(u);
    ck_assert_int_eq(blob_uploads_expire(bs, INT64_MAX, NULL, NULL, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert(!is_there("") && !is_there(".map"));
    map_change("x", 1, 0, 1); // alone
    ck_assert_int_eq(blob_uploads_expire(bs, 1, NULL, NULL, &n), 0);
    ck_assert(n == 0 && !is_there(".map"));
    end();
}
END_TEST

// Some that broke off, each of a chunk, and when they were written.
static void partial_make(size_t i, size_t n)
{
    struct blob_upload *u;
    struct digest d;
    char hex[DIGEST_HEX_SIZE];
    ck_assert_int_eq(digest_of(DIGEST_SHA256, &i, sizeof i, &d), 0);
    ck_assert_int_eq(blob_partial_open(bs, &d, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, bytes, n), 0);
    ck_assert_int_eq(blob_upload_sync(u), 0);
    blob_upload_close(u);
    hex_format(d.b, d.n, hex);
    AUTO_FREE char *path = mem_printf("%s/partial/sha256-%s", dir, hex);
    const struct timespec times[2] = {{.tv_sec = 1000 + (time_t)i}, {.tv_sec = 1000 + (time_t)i}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool partial_is_there(size_t i)
{
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, &i, sizeof i, &d), 0);
    return blob_partial_size(bs, &d) > 0;
}

START_TEST(beyond_the_bound_what_broke_off_longest_ago_goes)
{
    begin();
    size_t n;
    uint64_t freed, held;
    struct blob_upload *open;
    struct digest d;
    size_t first = 0;
    for (size_t i = 0; i < 5; i++)
        partial_make(i, CHUNK);
    ck_assert_int_eq(blob_partials_bound(bs, 5 * CHUNK, &n, &freed, &held), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(held, 5 * CHUNK);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, &first, sizeof first, &d), 0);
    ck_assert_int_eq(blob_partial_open(bs, &d, &open), 0); // somebody goes on with the oldest
    ck_assert_int_eq(blob_partials_bound(bs, 4 * CHUNK - 1, &n, &freed, &held), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(freed, 2 * CHUNK);
    ck_assert_uint_eq(held, 3 * CHUNK);
    ck_assert(partial_is_there(0) && !partial_is_there(1) && !partial_is_there(2));
    ck_assert(partial_is_there(3) && partial_is_there(4));
    ck_assert_int_eq(blob_partials_bound(bs, 0, &n, &freed, &held), 0);
    ck_assert_uint_eq(n, 1); // the last one stays
    ck_assert(partial_is_there(0) && !partial_is_there(3) && partial_is_there(4));
    blob_upload_close(open);
    end();
}
END_TEST

START_TEST(a_full_disk_leaves_what_was_there)
{
    bool met = true;
    for (long step = 1; met; step++) {
        begin();
        struct blob_upload *u;
        full_disk_from(step);
        int rc = blob_partial_open(bs, &digest, &u);
        if (!rc) {
            rc = blob_upload_spread(u, WHOLE);
            for (size_t i = N_CHUNKS; !rc && i-- > 0;) {
                rc = put(u, i);
                if (!rc)
                    rc = blob_upload_sync(u);
            }
            blob_upload_close(u);
        }
        met = full_disk_off() > 0;
        ck_assert_int_eq(rc != 0, met);
        look_after_death(step);
        end();
        ck_assert_int_lt(step, 200);
    }
}
END_TEST

// --- threads ---

struct putter {
    struct blob_upload *u;
    size_t first;
};

static void *put_some(void *arg)
{
    const struct putter *p = arg;
    for (size_t i = p->first; i < N_CHUNKS; i += 2)
        if (put(p->u, i))
            return arg;
    return NULL;
}

START_TEST(threads_put_while_the_owner_digests)
{
    begin();
    struct blob_upload *u = open_spread();
    struct putter list[2] = {{u, 0}, {u, 1}};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, put_some, &list[i]), 0);
    int64_t until = clock_mono_ms() + 60000;
    while (blob_upload_size(u) < WHOLE && clock_mono_ms() < until) {
        ck_assert_int_eq(blob_upload_digest(u, CHUNK), 0);
        ck_assert_int_eq(blob_upload_sync(u), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    finish(u);
    end();
}
END_TEST

CHECK_MAIN("store/files: ranges", chunks_come_in_any_order, a_half_chunk_does_not_count,
           what_came_in_order_counts, a_write_in_order_gives_up_what_is_behind,
           another_size_begins_behind_what_is_in_order, wrong_bytes_are_not_published,
           killed_at_any_step_nothing_counts_that_is_not_there,
           only_what_a_sync_covered_counts_later, a_map_that_cannot_be_read_counts_for_nothing,
           a_map_that_outlived_its_file_counts_for_nothing, the_map_goes_with_its_file,
           beyond_the_bound_what_broke_off_longest_ago_goes, a_full_disk_leaves_what_was_there,
           threads_put_while_the_owner_digests)
