// SPDX-License-Identifier: Apache-2.0
// daemon/scrub: it reads what serves, sets aside what is damaged, notes what is lost, and ends at
// once when it is told to.
#include "daemon/scrub.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/topology.h"
#include "store/files/files.h"
#include "store/files/files_test.h"
#include "store/meta_jobs.h"
#include "store/publish.h"
#include "store/sqlite/sqlite_store.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <sqlite3.h>
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

// --- manifests ---

static void manifests_put(size_t n)
{
    meta_gate_open(m, META_GATE_RECOVERY);
    for (size_t i = 0; i < n; i++) {
        struct put_result r;
        AUTO_FREE char *text = mem_printf("{\"n\":%zu}", i);
        AUTO_FREE char *repository = mem_printf("app%zu", i % 70); // more than a page of each
        struct manifest_put p = {.registry = "contoso",
                                 .repository = repository,
                                 .media_type = "application/vnd.oci.image.manifest.v1+json",
                                 .content = {(const uint8_t *)text, strlen(text)}};
        ck_assert_int_eq(digest_of(DIGEST_SHA256, text, strlen(text), &p.digest), 0);
        ck_assert_int_eq(meta_manifest_put(m, &p, &r), 0);
    }
}

static struct {
    unsigned n;
    char registry[64], repository[64];
    struct digest digest;
} found;

static void on_damaged(void *ctx, const char *registry, const char *repository,
                       const struct digest *d)
{
    ck_assert_ptr_eq(ctx, &found);
    found.n++;
    snprintf(found.registry, sizeof found.registry, "%s", registry);
    snprintf(found.repository, sizeof found.repository, "%s", repository);
    found.digest = *d;
}

static void topology_publish(struct snapshot *cell)
{
    struct topology *t;
    static const char text[] =
        "version: 1\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n"
        "  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }], peer: "
        "\"192.0.2.1:8443\" }\n"
        "name_servers: [eus-1.eastus]\nregistries:\n"
        "  - name: contoso\n    replicas: [{ region: eastus }]\n";
    snapshot_init(cell);
    ck_assert_int_eq(topology_parse(text, strlen(text), "test", NULL, &t), 0);
    snapshot_publish(cell, t);
}

START_TEST(a_damaged_manifest_is_found_and_told)
{
    struct snapshot cell;
    struct scrub *s;
    sqlite3 *h;
    struct digest d;
    begin();
    snapshot_init(&cell);
    topology_publish(&cell);
    manifests_put(210);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, "{\"n\":107}", 9, &d), 0);
    AUTO_FREE char *db = mem_printf("%s/meta.db", dir);
    ck_assert_int_eq(sqlite3_open(db, &h), SQLITE_OK);
    ck_assert_int_eq(sqlite3_busy_timeout(h, 30000), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(h,
                                  "UPDATE manifests SET content=x'7b226e223a3130387d'"
                                  " WHERE content=x'7b226e223a3130377d'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(sqlite3_changes(h), 1);
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
    const struct scrub_options o = {.blobs = bs,
                                    .meta = m,
                                    .bytes_per_s = 1 << 30,
                                    .every_ms = 1000000,
                                    .topology = &cell,
                                    .on_damaged = on_damaged,
                                    .ctx = &found};
    ck_assert_int_eq(scrub_start(&o, &s), 0);
    struct scrub_stats n = wait_for_pass(s, 1);
    scrub_free(s);
    ck_assert_uint_eq(n.n_manifests, 209);
    ck_assert_uint_eq(n.n_damaged, 1);
    ck_assert_uint_eq(found.n, 1);
    ck_assert_str_eq(found.registry, "contoso");
    ck_assert_str_eq(found.repository, "app37");
    ck_assert(digest_equal(&found.digest, &d));
    // what mends it is its own content alone
    struct bytes wrong = {(const uint8_t *)"{}", 2}, right = {(const uint8_t *)"{\"n\":107}", 9};
    ck_assert_int_eq(meta_manifest_content_mend(m, "contoso", "app37", &d, wrong), ERR_DIGEST);
    ck_assert_int_eq(meta_manifest_content_mend(m, "contoso", "app38", &d, right), ERR_NOTFOUND);
    ck_assert_int_eq(meta_manifest_content_mend(m, "contoso", "nothing", &d, right), ERR_NOTFOUND);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(meta_manifest_content_mend(m, "contoso", "app37", &d, right), 0);
    ck_assert_int_eq(scrub_start(&o, &s), 0);
    n = wait_for_pass(s, 1);
    scrub_free(s);
    ck_assert_uint_eq(n.n_manifests, 210);
    ck_assert_uint_eq(found.n, 1);
    snapshot_done(&cell);
    end();
}
END_TEST

CHECK_MAIN("daemon/scrub", what_is_damaged_or_lost_is_found, it_ends_while_it_reads_slowly,
           it_goes_round_and_may_be_off, a_damaged_manifest_is_found_and_told)
