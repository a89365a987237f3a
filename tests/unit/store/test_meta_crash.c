// SPDX-License-Identifier: Apache-2.0
// store/meta under kill -9 and under many threads: what was acknowledged is there with its feed
// entries, the chain has no gap, and no sequence is given twice.
#define HOT_SHADOW_OFF
#include "tests/unit/store/meta_support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 12
#define N_THREADS 4

static struct region_store region;

// The child: pushes one manifest after the other, and says so through the pipe after each.
static void child_main(int fd, int round)
{
    store_reopen(&region);
    for (int i = 0;; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"round\":%d,\"push\":%d}", round, i);
        int tag = i % 5;
        char name[16];
        snprintf(name, sizeof name, "t%d", tag);
        if (put(&region, "app", name, text))
            _exit(3);
        if (write(fd, &i, sizeof i) != sizeof i)
            _exit(4);
    }
}

static int kill_round(int round, uint32_t *rnd)
{
    int fd[2];
    ck_assert_int_eq(pipe(fd), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(fd[0]);
        child_main(fd[1], round);
    }
    close(fd[1]);
    *rnd = *rnd * 1664525u + 1013904223u;
    int acked = -1, i, stop_at = (int)((*rnd >> 16) % 120);
    while (acked < stop_at && read(fd[0], &i, sizeof i) == sizeof i)
        acked = i;
    // anywhere in the next writes: the place of the cut, not a wait for anything
    usleep((*rnd >> 8) % 900);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    while (read(fd[0], &i, sizeof i) == sizeof i) // acknowledged before it died
        acked = i;
    close(fd[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status), "the writer ended by itself: %d", status);
    return acked;
}

static bool announced(const struct feed_entry *e, size_t n, const struct digest *d)
{
    bool manifest = false;
    for (size_t i = 0; i < n; i++) {
        manifest = manifest || (e[i].kind == ENTRY_MANIFEST && digest_equal(&e[i].digest, d));
        if (e[i].kind == ENTRY_TAG && digest_equal(&e[i].digest, d))
            return manifest;
    }
    return false;
}

START_TEST(killed_at_any_point)
{
    uint32_t rnd = 42;
    store_begin(&region, "eastus");
    meta_close(region.m);
    for (int round = 0; round < ROUNDS; round++) {
        int acked = kill_round(round, &rnd);
        store_reopen(&region);
        struct arena a;
        struct feed_entry *e;
        arena_init(&a, 0);
        size_t n = feed_all(&region, "eastus", &a, &e);
        ck_assert_uint_eq(n % 2, 0); // both entries of a push or none
        for (int i = 0; i <= acked; i++) {
            char text[64];
            struct manifest_row row;
            snprintf(text, sizeof text, "{\"round\":%d,\"push\":%d}", round, i);
            struct digest d = digest_str(text);
            ck_assert_msg(meta_manifest_get(region.m, REG, "app", NULL, &d, &a, &row) == 0,
                          "%s is lost", text);
            ck_assert_msg(announced(e, n, &d), "%s is not in the feed", text);
        }
        for (size_t i = 0; i < n; i++) { // and nothing is announced that is not there
            struct manifest_row row;
            ck_assert_int_eq(meta_manifest_get(region.m, REG, "app", NULL, &e[i].digest, &a, &row),
                             0);
        }
        arena_done(&a);
        feed_verify(&region, "eastus");
        meta_close(region.m);
    }
    store_reopen(&region);
    store_end(&region);
}
END_TEST

// --- recovery, cut at any point ---

#define RECOVER_ROUNDS 10
#define N_LOST 240 // pushes, two entries each
#define RECOVER_PIECE 16

// The child: a store that lost everything and writes in a later epoch gets its own entries back,
// piece by piece.
static void recover_child(int fd, const struct feed_entry *e, size_t n)
{
    store_reopen(&region);
    struct recovered done;
    for (size_t i = 0; i < n; i += RECOVER_PIECE) {
        int at = (int)i;
        if (meta_recover(region.m, e + i, n - i < RECOVER_PIECE ? n - i : RECOVER_PIECE, &done))
            _exit(3);
        if (write(fd, &at, sizeof at) != sizeof at)
            _exit(4);
    }
    pause();
}

static void recover_kill(const struct feed_entry *e, size_t n, int pieces, unsigned more_us)
{
    int fd[2], i, got = 0;
    ck_assert_int_eq(pipe(fd), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(fd[0]);
        recover_child(fd[1], e, n);
    }
    close(fd[1]);
    while (got < pieces && read(fd[0], &i, sizeof i) == sizeof i)
        got++;
    usleep(more_us); // the place of the cut, not a wait for anything
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    close(fd[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status), "recovery ended by itself: %d", status);
}

// Every entry of the closed epoch that is in the log was announced again, in the epoch that is
// open; nothing twice.
static size_t recovered_check(uint64_t open_epoch)
{
    struct arena a;
    struct feed_entry *e;
    size_t n_closed = 0, n_again = 0;
    arena_init(&a, 0);
    size_t n = feed_all(&region, "eastus", &a, &e);
    for (size_t i = 0; i < n; i++) {
        n_closed += e[i].epoch < open_epoch;
        n_again += e[i].epoch == open_epoch && e[i].restates != 0;
    }
    ck_assert_uint_eq(n_closed + n_again, n);
    ck_assert_uint_eq(n_closed, n_again);
    for (size_t i = 0; i < n_closed; i++) {
        size_t found = 0;
        for (size_t k = n_closed; k < n; k++)
            found += e[k].restates == e[i].stamp && e[k].kind == e[i].kind &&
                     digest_equal(&e[k].digest, &e[i].digest);
        ck_assert_msg(found == 1, "entry %zu was announced %zu times", i, found);
    }
    arena_done(&a);
    return n_closed;
}

START_TEST(recovery_killed_at_any_point_announces_all)
{
    uint32_t rnd = 7;
    uint64_t epoch;
    struct arena a;
    struct feed_entry *e;
    struct recovered done;
    arena_init(&a, 0);
    store_begin(&region, "eastus");
    for (int i = 0; i < N_LOST; i++) {
        char text[64], tag[16];
        snprintf(text, sizeof text, "{\"push\":%d}", i);
        snprintf(tag, sizeof tag, "t%d", i % 9);
        ck_assert_int_eq(put(&region, "app", tag, text), 0);
    }
    size_t n = feed_all(&region, "eastus", &a, &e), held = 0;
    ck_assert_uint_eq(n, 2 * N_LOST);
    for (int round = 0; round < RECOVER_ROUNDS; round++) {
        meta_close(region.m);
        ck_assert_int_eq(unlink(region.path), 0);
        store_reopen(&region);
        ck_assert_int_eq(meta_epoch_begin(region.m, 5, &epoch), 0);
        meta_close(region.m);
        held = 0;
        for (int cut = 0; cut < 3; cut++) {
            rnd = rnd * 1664525u + 1013904223u;
            recover_kill(e, n, (int)((rnd >> 16) % 10), (rnd >> 8) % 3000);
            store_reopen(&region);
            size_t now = recovered_check(epoch);
            ck_assert_uint_ge(now, held);
            held = now;
            meta_close(region.m);
        }
        store_reopen(&region);
        ck_assert_int_eq(meta_recover(region.m, e, n, &done), 0);
        ck_assert_uint_eq(recovered_check(epoch), n);
    }
    arena_done(&a);
    store_end(&region);
}
END_TEST

struct pusher {
    pthread_t thread;
    int id, n;
    int failed;
};

static void *push_main(void *arg)
{
    struct pusher *p = arg;
    for (int i = 0; i < p->n; i++) {
        struct arena a;
        struct manifest_row row;
        char text[64], tag[16];
        snprintf(text, sizeof text, "{\"thread\":%d,\"push\":%d}", p->id, i);
        snprintf(tag, sizeof tag, "t%d-%d", p->id, i % 3);
        arena_init(&a, 0);
        int rc = put(&region, i % 2 ? "app" : "lib", tag, text);
        if (!rc)
            rc = meta_manifest_get(region.m, REG, i % 2 ? "app" : "lib", tag, NULL, &a, &row);
        if (rc || !bytes_equal(row.content, bytes_str(text))) // own writes are read at once
            p->failed++;
        struct put_result r;
        struct digest missing = digest_str("nowhere");
        struct manifest_ref ref = {REF_BLOB, missing, 1};
        // does not spoil its group
        if (put_refs(&region, "app", "bad", "{bad}", &ref, 1, &r) != ERR_NOTFOUND)
            p->failed++;
        struct feed_entry *e;
        struct feed_mark zero = {0}, last;
        size_t n;
        if (meta_feed_read(region.m, "eastus", &zero, NULL, 0, 20, &a, &e, &n, &last))
            p->failed++;
        arena_done(&a);
    }
    return NULL;
}

START_TEST(many_threads_one_chain)
{
    store_begin(&region, "eastus");
    struct pusher p[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        p[i] = (struct pusher){.id = i, .n = 60};
        ck_assert_int_eq(pthread_create(&p[i].thread, NULL, push_main, &p[i]), 0);
    }
    for (int i = 0; i < 20; i++) { // closing and opening meanwhile only delays
        struct arena a;
        struct origin_status *o;
        size_t n;
        arena_init(&a, 0);
        ck_assert_int_eq(meta_origins(region.m, &a, &o, &n), 0);
        ck_assert(meta_writable(region.m));
        arena_done(&a);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(p[i].thread, NULL);
        ck_assert_int_eq(p[i].failed, 0);
    }
    ck_assert_uint_eq(head_seq(&region, "eastus"), N_THREADS * 60 * 2);
    feed_verify(&region, "eastus");
    store_end(&region);
}
END_TEST

CHECK_MAIN("store/meta crash", killed_at_any_point, recovery_killed_at_any_point_announces_all,
           many_threads_one_chain)
