// SPDX-License-Identifier: Apache-2.0
// Pushes, mounts, HEADs and deletions on many threads while the collection runs with a short grace,
// and a checker beside them: what was acknowledged is there and whole, and in the end nothing is
// left that nobody needs.
//
// MERIDIAN_RACE_S in the environment: for so many seconds (1 otherwise).
#define HOT_SHADOW_OFF
#include "store/collect.h"

#include "store/files/files.h"
#include "store/meta_delete.h"
#include "store/orphans.h"
#include "store/publish.h"
#include "tests/unit/store/links_check.h"
#include "tests/unit/store/meta_support.h"

#include <pthread.h>
#include <stdatomic.h>

#define GRACE_MS 150
#define N_BLOBS 150 // each is touched about as often as a grace is long
#define N_THREADS 8

static struct region_store east;
static struct blob_store *bs;
static _Atomic bool stop;
static _Atomic uint64_t n_pushed, n_kept, n_read, n_deleted;
static const char *const repos[] = {"app", "lib", "web"};

struct worker {
    pthread_t thread;
    uint32_t seed;
    unsigned n;
    struct collect_counts counts;
};

static uint32_t roll(struct worker *w, uint32_t n)
{
    w->seed = w->seed * 1664525u + 1013904223u;
    return (w->seed >> 8) % n;
}

static char *blob_text(unsigned k)
{
    return mem_printf("blob number %u", k);
}

static int upload(const char *repo, const char *text)
{
    struct blob_name name;
    struct lease_result r;
    int rc = blob_put(bs, text, strlen(text), &name);
    if (rc)
        return rc;
    const struct lease_add add = {.registry = REG,
                                  .repository = repo,
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = strlen(text)};
    return blob_publish(bs, east.m, &add, &r);
}

static int put_manifest(const char *repo, const char *manifest, const char *blob)
{
    const struct manifest_ref ref = {
        .kind = REF_BLOB, .digest = digest_str(blob), .size = strlen(blob)};
    struct put_result r;
    return put_refs(&east, repo, NULL, manifest, &ref, 1, &r);
}

static void manifest_dies(const char *repo, const char *text)
{
    struct digest d = digest_str(text);
    struct delete_result out;
    struct arena a;
    arena_init(&a, 0);
    const struct delete_request r = {
        .registry = REG, .repository = repo, .digest = &d, .by = "ada"};
    int rc = meta_manifest_delete(east.m, &r, &a, &out);
    arena_done(&a);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    n_deleted += rc == 0;
}

// A repository that links a blob serves it, whole. A thread may rest for so long between the look
// and the reading that another generation serves by then, and the one that it knows is swept.
static void expect_whole(const char *repo, const char *text)
{
    struct digest d = digest_str(text);
    struct blob_here here, now;
    ck_assert_int_eq(meta_blob_look(east.m, REG, repo, &d, &now), 0);
    int rc;
    do {
        here = now;
        rc = blob_verify(bs, &here.name, 0, NULL);
        ck_assert_int_eq(meta_blob_look(east.m, REG, repo, &d, &now), 0);
    } while (rc == ERR_NOTFOUND && !blob_name_equal(&here.name, &now.name));
    ck_assert_int_eq(rc, 0);
    n_read++;
}

// --- who does what ---

static void push(struct worker *w)
{
    const char *repo = repos[roll(w, ARRAY_LEN(repos))];
    AUTO_FREE char *blob = blob_text(roll(w, N_BLOBS));
    AUTO_FREE char *manifest = mem_printf("{\"thread\":%u,\"n\":%u}", (unsigned)w->seed, w->n++);
    int64_t began_ms = clock_mono_ms();
    ck_assert_int_eq(upload(repo, blob), 0);
    int rc = put_manifest(repo, manifest, blob);
    bool in_time = clock_mono_ms() - began_ms < GRACE_MS;
    ck_assert_msg(rc == 0 || (rc == ERR_NOTFOUND && !in_time), "a push: %s", err_text(rc));
    if (rc)
        return;
    n_pushed++;
    expect_whole(repo, blob);
    if (roll(w, 4))
        manifest_dies(repo, manifest);
}

// The blob is here, says HEAD; so it must be there for the PUT.
static void head_and_put(struct worker *w)
{
    const char *repo = repos[roll(w, ARRAY_LEN(repos))];
    AUTO_FREE char *blob = blob_text(roll(w, N_BLOBS));
    AUTO_FREE char *manifest = mem_printf("{\"head\":%u,\"n\":%u}", (unsigned)w->seed, w->n++);
    struct digest d = digest_str(blob);
    struct blob_here here;
    int64_t began_ms = clock_mono_ms();
    int rc = meta_blob_look(east.m, REG, repo, &d, &here);
    if (!rc)
        rc = meta_lease_renew(east.m, REG, repo, &here);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    if (rc)
        return;
    if (roll(w, 2))
        clock_sleep_ms(roll(w, GRACE_MS / 3));
    rc = put_manifest(repo, manifest, blob);
    bool in_time = clock_mono_ms() - began_ms < GRACE_MS / 2;
    ck_assert_msg(rc == 0 || (rc == ERR_NOTFOUND && !in_time), "a PUT after HEAD: %s",
                  err_text(rc));
    if (rc)
        return;
    n_kept++;
    expect_whole(repo, blob);
    manifest_dies(repo, manifest);
}

static void mount(struct worker *w)
{
    const char *repo = repos[roll(w, ARRAY_LEN(repos))];
    AUTO_FREE char *blob = blob_text(roll(w, N_BLOBS));
    struct lease_result r;
    const struct lease_add add = {.registry = REG, .repository = repo, .digest = digest_str(blob)};
    int64_t began_ms = clock_mono_ms();
    int rc = meta_lease_add(east.m, &add, &r);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    if (rc)
        return;
    rc = blob_verify(bs, &r.serves, 0, NULL);
    struct blob_name now;
    uint64_t size;
    bool serves =
        meta_blob_find(east.m, &add.digest, &now, &size) == 0 && blob_name_equal(&now, &r.serves);
    bool in_time = clock_mono_ms() - began_ms < GRACE_MS;
    bool gone_well = rc == ERR_NOTFOUND && !(in_time && serves);
    ck_assert_msg(rc == 0 || gone_well, "a mount: %s", err_text(rc));
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    while (!stop) {
        switch (roll(w, 4)) {
        case 0:
        case 1:
            push(w);
            break;
        case 2:
            head_and_put(w);
            break;
        default:
            mount(w);
        }
    }
    return NULL;
}

static void *collector_main(void *arg)
{
    struct worker *w = arg;
    struct orphans *o;
    uint64_t n = 0, bytes = 0;
    bool ended;
    ck_assert_int_eq(orphans_new(bs, east.m, 2000, &o), 0);
    while (!stop) {
        ck_assert_int_eq(collect_turn(bs, east.m, &w->counts), 0);
        ck_assert_int_eq(orphans_step(o, 64, &n, &bytes, &ended), 0);
        clock_sleep_ms(1);
    }
    orphans_free(o);
    return NULL;
}

static void sweep(int64_t wait_ms)
{
    struct orphans *o;
    uint64_t n = 0, bytes = 0;
    ck_assert_int_eq(orphans_new(bs, east.m, wait_ms, &o), 0);
    for (int walk = 0; walk < 2;) {
        bool ended = false;
        ck_assert_int_eq(orphans_step(o, 1000, &n, &bytes, &ended), 0);
        walk += ended;
    }
    orphans_free(o);
}

static size_t n_files(void)
{
    struct blob_walk at = {0};
    struct blob_name list[64];
    size_t n, all = 0;
    while (!at.ended) {
        ck_assert_int_eq(blob_walk(bs, &at, list, ARRAY_LEN(list), &n), 0);
        all += n;
    }
    return all;
}

// All that is linked is whole; then all goes.
static void judge(void)
{
    struct arena a;
    struct blob_name *names;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_blobs_after(east.m, NULL, 1000, &a, &names, &n), 0);
    for (size_t i = 0; i < n; i++) {
        struct link_row *rows;
        size_t n_rows;
        ck_assert_int_eq(meta_links_of(east.m, &names[i].digest, 9, &a, &rows, &n_rows), 0);
        if (n_rows)
            ck_assert_int_eq(blob_verify(bs, &names[i], 0, NULL), 0);
    }
    arena_done(&a);
}

static unsigned seconds(void)
{
    const char *text = getenv("MERIDIAN_RACE_S");
    return text ? (unsigned)strtoul(text, NULL, 10) : 1;
}

START_TEST(nothing_that_is_needed_goes_and_nothing_else_stays)
{
    store_begin(&east, "eastus");
    ck_assert_int_eq(blob_files_open(east.dir, &bs), 0);
    meta_set_lease_grace(east.m, GRACE_MS);
    struct worker collector = {0}, workers[N_THREADS];
    ck_assert_int_eq(pthread_create(&collector.thread, NULL, collector_main, &collector), 0);
    for (unsigned i = 0; i < N_THREADS; i++) {
        workers[i] = (struct worker){.seed = i * 7919 + 1};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    }
    clock_sleep_ms(seconds() * 1000);
    stop = true;
    for (unsigned i = 0; i < N_THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_join(collector.thread, NULL);
    judge();
    if (!east.db)
        links_check(east.path);
    printf("%llu pushed, %llu after HEAD, %llu read, %llu deleted, %llu files collected\n",
           (unsigned long long)n_pushed, (unsigned long long)n_kept, (unsigned long long)n_read,
           (unsigned long long)n_deleted, (unsigned long long)collector.counts.n_removed);
    ck_assert_uint_gt(n_pushed, 0);
    ck_assert_uint_gt(collector.counts.n_removed, 0);
    // leases go; what manifests link stays
    meta_set_lease_grace(east.m, 0);
    blob_retired_remove(bs, INT64_MAX);
    sweep(0); // what found no room on the list of retired ones
    for (int i = 0; i < 4; i++) {
        clock_sleep_ms(2);
        ck_assert_int_eq(collect_turn(bs, east.m, &collector.counts), 0);
    }
    struct arena a;
    struct blob_name *names;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_blobs_after(east.m, NULL, 1000, &a, &names, &n), 0);
    arena_done(&a);
    ck_assert_uint_eq(n_files(), n);
    judge();
    blob_store_close(bs);
    store_end(&east);
}
END_TEST

CHECK_MAIN("store/collect race", nothing_that_is_needed_goes_and_nothing_else_stays)
