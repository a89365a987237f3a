// SPDX-License-Identifier: Apache-2.0
// net/pool: runs all that it accepted or says that it lost its place, serves in turn, keeps a
// thread for regions. Who is served next is net/fair's (test_fair.c); here threads are held at a
// gate, so that the order of runs is the queue's.
#include "net/pool.h"

#include "base/clock.h"
#include "base/err.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static _Atomic int ran, lost, at_gate;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER, order_lock = PTHREAD_MUTEX_INITIALIZER;
static char order[256];
static struct pool_job jobs[1100];

static void job_count(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

static void job_gate(void *arg)
{
    (void)arg;
    atomic_fetch_add(&at_gate, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void job_tell(void *arg)
{
    pthread_mutex_lock(&order_lock);
    strcat(order, arg);
    pthread_mutex_unlock(&order_lock);
}

static void job_lost(void *arg)
{
    (void)arg;
    atomic_fetch_add(&lost, 1);
}

static struct pool_job *job(size_t i, const char *client, const char *name, void (*run)(void *),
                            const char *arg)
{
    jobs[i] = (struct pool_job){
        .run = run, .lost = job_lost, .arg = (void *)(uintptr_t)arg, .name = name};
    ck_assert_int_eq(ip_parse(client, &jobs[i].client), 0);
    return &jobs[i];
}

static struct pool *pool(unsigned threads, size_t waiting, unsigned kept)
{
    return pool_new(&(struct pool_options){
        .name = "t", .n_threads = threads, .max_waiting = waiting, .kept = kept});
}

static void until(_Atomic int *value, int at_least)
{
    for (int i = 0; atomic_load(value) < at_least; i++) {
        ck_assert_msg(i < 10000, "not within 20 s");
        clock_sleep_ms(2);
    }
}

START_TEST(test_runs_all)
{
    struct pool *p = pool(4, 1000, 0);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < 1000; i++)
        ck_assert_int_eq(pool_submit(p, job(i, "192.0.2.1", NULL, job_count, NULL)), 0);
    pool_free(p);
    ck_assert_int_eq(atomic_load(&ran), 1000);
}
END_TEST

START_TEST(test_full)
{
    struct pool *p = pool(1, 2, 0);
    pthread_mutex_lock(&gate);
    int rc = 0, n = 0;
    while (!(rc = pool_submit(p, job((size_t)n, "192.0.2.1", NULL, job_gate, NULL))))
        ck_assert_int_lt(++n, 5);
    ck_assert_int_eq(rc, ERR_BUSY);
    ck_assert_uint_ge(pool_waiting(p), 1);
    pthread_mutex_unlock(&gate);
    pool_free(p);
    ck_assert_int_eq(atomic_load(&lost), 0); // who was refused is not told a second time
}
END_TEST

// 200 clients of one network wait for one thread; then come one of another network, and a region.
START_TEST(test_in_turn)
{
    struct pool *p = pool(1, 256, 0);
    pthread_mutex_lock(&gate);
    pool_submit(p, job(0, "203.0.113.1", NULL, job_gate, NULL));
    until(&at_gate, 1);
    for (size_t i = 1; i <= 200; i++) {
        char client[32];
        snprintf(client, sizeof client, "192.0.2.%zu", i);
        ck_assert_int_eq(pool_submit(p, job(i, client, "mallory", job_tell, "a")), 0);
    }
    ck_assert_int_eq(pool_submit(p, job(201, "198.51.100.7", "ada", job_tell, "B")), 0);
    struct pool_job *region = job(202, "192.0.2.1", NULL, job_tell, "R");
    region->lane = POOL_REGIONS;
    ck_assert_int_eq(pool_submit(p, region), 0);
    pthread_mutex_unlock(&gate);
    pool_free(p);
    ck_assert_uint_eq(strlen(order), 202);
    const char *b = strchr(order, 'B'), *r = strchr(order, 'R');
    ck_assert_msg(b && b - order <= 2, "%.8s", order);
    ck_assert_msg(r && r - order <= 2, "%.8s", order);
}
END_TEST

// The longest queue loses its newest: that job is told, by the submitter, and never run.
START_TEST(test_lost)
{
    struct pool *p = pool(1, 4, 0);
    pthread_mutex_lock(&gate);
    pool_submit(p, job(0, "203.0.113.1", NULL, job_gate, NULL));
    until(&at_gate, 1);
    for (size_t i = 1; i <= 4; i++)
        ck_assert_int_eq(pool_submit(p, job(i, "192.0.2.1", NULL, job_tell, "a")), 0);
    ck_assert_int_eq(pool_submit(p, job(5, "192.0.2.2", NULL, job_tell, "a")), ERR_BUSY);
    ck_assert_int_eq(pool_submit(p, job(6, "198.51.100.7", NULL, job_tell, "b")), 0);
    ck_assert_int_eq(atomic_load(&lost), 0); // not under the submitter's locks
    pool_settle(p);
    ck_assert_int_eq(atomic_load(&lost), 1);
    // told by the thread this time
    ck_assert_int_eq(pool_submit(p, job(7, "198.51.100.7", NULL, job_tell, "b")), 0);
    pthread_mutex_unlock(&gate);
    pool_free(p);
    ck_assert_int_eq(atomic_load(&lost), 2);
    ck_assert_str_eq(order, "abab");
}
END_TEST

// Clients hold all the threads they may; a region's job runs all the same.
START_TEST(test_kept_for_regions)
{
    struct pool *p = pool(3, 64, 1);
    pthread_mutex_lock(&gate);
    for (size_t i = 0; i < 10; i++)
        ck_assert_int_eq(pool_submit(p, job(i, "192.0.2.1", NULL, job_gate, NULL)), 0);
    until(&at_gate, 2);
    struct pool_job *region = job(20, "192.0.2.1", NULL, job_count, NULL);
    region->lane = POOL_REGIONS;
    ck_assert_int_eq(pool_submit(p, region), 0);
    until(&ran, 1);
    ck_assert_int_eq(atomic_load(&at_gate), 2);
    pthread_mutex_unlock(&gate);
    pool_free(p);
    ck_assert_int_eq(atomic_load(&at_gate), 10);
}
END_TEST

static void job_nice(void *arg)
{
    *(int *)arg = getpriority(PRIO_PROCESS, (id_t)gettid());
}

START_TEST(test_steps_back)
{
    int before = getpriority(PRIO_PROCESS, 0), in = 0;
    struct pool *p = pool_new(
        &(struct pool_options){.name = "t", .n_threads = 1, .max_waiting = 1, .steps_back = true});
    struct pool_job j = {.run = job_nice, .arg = &in};
    ck_assert_int_eq(pool_submit(p, &j), 0);
    pool_free(p);
    ck_assert_int_ge(in, before < 10 ? before + 10 : 19);
    ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), before);
}
END_TEST

// Threads that submit to one small pool from many networks: each job is run or told, once.
#define SUBMITTERS 4
static _Atomic int refused;

static void *submit_many(void *arg)
{
    struct pool *p = arg;
    static _Atomic size_t next;
    for (int i = 0; i < 200; i++) {
        size_t at = atomic_fetch_add(&next, 1);
        char client[32];
        snprintf(client, sizeof client, "10.0.%zu.1", at % 7);
        if (pool_submit(p, job(at, client, at % 3 ? "x" : "y", job_count, NULL)))
            atomic_fetch_add(&refused, 1);
        pool_settle(p);
    }
    return NULL;
}

START_TEST(test_each_job_once)
{
    struct pool *p = pool(2, 8, 0);
    pthread_t threads[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, submit_many, p), 0);
    for (int i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
    pool_free(p);
    ck_assert_int_eq(atomic_load(&ran) + atomic_load(&lost) + atomic_load(&refused),
                     SUBMITTERS * 200);
}
END_TEST

START_TEST(test_bad_sizes)
{
    ck_assert_ptr_null(pool(0, 1, 0));
    ck_assert_ptr_null(pool(1, 0, 0));
    ck_assert_ptr_null(pool(1, 1, 1)); // nobody would be left for clients
    ck_assert_ptr_null(pool(1, 65537, 0));
    pool_free(NULL);
}
END_TEST

CHECK_MAIN("net/pool", test_runs_all, test_full, test_in_turn, test_lost, test_kept_for_regions,
           test_steps_back, test_each_job_once, test_bad_sizes)
