// SPDX-License-Identifier: Apache-2.0
// daemon/scrub: it reads what serves, sets aside what is damaged, notes what is lost, and ends at
// once when it is told to.
#include "daemon/scrub.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/files/files.h"
#include "store/files/files_test.h"
#include "store/publish.h"
#include "store/sqlite/sqlite_store.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static struct blob_store *bs;
static struct meta *m;

static int sign(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    (void)ctx, (void)p, (void)n;
    memset(sig, 0, ENTRY_SIG_BYTES);
    return 0;
}

static void begin(void)
{
    strcpy(dir, "/tmp/meridian-scrub-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    AUTO_FREE char *db = mem_printf("%s/meta.db", dir);
    const struct meta_options o = {.region = "eastus", .key_id = "k", .sign = sign};
    ck_assert_int_eq(blob_files_open(dir, &bs), 0);
    ck_assert_int_eq(sqlite_meta_open(db, &o, NULL, &m), 0);
}

static void end(void)
{
    blob_store_close(bs);
    meta_close(m);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static struct blob_name upload(const char *text)
{
    struct blob_name name;
    struct lease_result r;
    ck_assert_int_eq(blob_put(bs, text, strlen(text), &name), 0);
    const struct lease_add add = {.registry = "contoso",
                                  .repository = "app",
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = strlen(text)};
    ck_assert_int_eq(blob_publish(bs, m, &add, &r), 0);
    return name;
}

static struct scrub_stats wait_for_pass(struct scrub *s, uint64_t n_passes)
{
    struct scrub_stats n;
    int64_t until_ms = clock_mono_ms() + 20000;
    do {
        clock_sleep_ms(5);
        ck_assert_int_lt(clock_mono_ms(), until_ms);
        scrub_stats_get(s, &n);
    } while (n.n_passes < n_passes);
    return n;
}

START_TEST(what_is_damaged_or_lost_is_found)
{
    begin();
    struct blob_name damaged, lost, whole = {0}, list[200];
    struct digest noted[4];
    struct scrub *s;
    uint64_t size;
    size_t n;
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        AUTO_FREE char *text = mem_printf("blob %zu", i);
        list[i] = upload(text);
    }
    damaged = list[17], lost = list[42], whole = list[99];
    AUTO_FREE char *damaged_path = files_test_path(dir, &damaged);
    AUTO_FREE char *lost_path = files_test_path(dir, &lost);
    AUTO_CLOSE int fd = open(damaged_path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "X", 1, 0), 1);
    ck_assert_int_eq(unlink(lost_path), 0);
    const struct scrub_options o = {
        .blobs = bs, .meta = m, .bytes_per_s = 1 << 30, .every_ms = 1000000};
    ck_assert_int_eq(scrub_start(&o, &s), 0);
    struct scrub_stats stats = wait_for_pass(s, 1);
    ck_assert_uint_eq(stats.n_damaged, 1);
    ck_assert_uint_eq(stats.n_lost, 1);
    ck_assert_uint_eq(stats.n_blobs, ARRAY_LEN(list) - 2);          // each once
    ck_assert_int_eq(blob_stat(bs, &damaged, &size), ERR_NOTFOUND); // never served again
    ck_assert_int_eq(blob_stat(bs, &whole, &size), 0);
    ck_assert_int_eq(blob_damaged_list(bs, noted, 4, &n), 0);
    ck_assert_uint_eq(n, 2);
    scrub_free(s);
    end();
}
END_TEST

START_TEST(it_ends_while_it_reads_slowly)
{
    begin();
    struct scrub *s;
    AUTO_FREE char *text = mem_alloc((4 << 20) + 1);
    memset(text, 'x', 4 << 20);
    text[4 << 20] = '\0';
    (void)upload(text);
    const struct scrub_options slow = {
        .blobs = bs, .meta = m, .bytes_per_s = 1000, .every_ms = 1000000};
    ck_assert_int_eq(scrub_start(&slow, &s), 0);
    clock_sleep_ms(50);
    int64_t began_ms = clock_mono_ms();
    scrub_stop(s);
    ck_assert_int_lt(clock_mono_ms() - began_ms, 2000);
    scrub_free(s);
    end();
}
END_TEST

START_TEST(it_goes_round_and_may_be_off)
{
    begin();
    struct scrub *s;
    struct scrub_stats n;
    const struct scrub_options often = {
        .blobs = bs, .meta = m, .bytes_per_s = 1 << 30, .every_ms = 5};
    ck_assert_int_eq(scrub_start(&often, &s), 0);
    (void)wait_for_pass(s, 2); // nothing is there
    (void)upload("one");
    scrub_stats_get(s, &n);
    n = wait_for_pass(s, n.n_passes + 2);
    ck_assert_uint_ge(n.n_blobs, 1);
    scrub_free(s);
    const struct scrub_options off = {.blobs = bs, .meta = m};
    ck_assert_int_eq(scrub_start(&off, &s), 0);
    scrub_stats_get(s, &n);
    ck_assert_uint_eq(n.n_blobs, 0);
    scrub_free(s);
    end();
}
END_TEST

CHECK_MAIN("daemon/scrub", what_is_damaged_or_lost_is_found, it_ends_while_it_reads_slowly,
           it_goes_round_and_may_be_off)
