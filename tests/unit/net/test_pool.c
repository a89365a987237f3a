// SPDX-License-Identifier: Apache-2.0
// net/pool: runs all that it accepted, says busy when full.
#include "net/pool.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>

static _Atomic int ran;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void job_count(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

static void job_gate(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

START_TEST(test_runs_all)
{
    struct pool *p = pool_new("t", 4, 1000);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(pool_submit(p, job_count, NULL), 0);
    pool_free(p);
    ck_assert_int_eq(atomic_load(&ran), 1000);
}
END_TEST

START_TEST(test_full)
{
    struct pool *p = pool_new("t", 1, 2);
    pthread_mutex_lock(&gate);
    int rc = 0, n = 0;
    while (!(rc = pool_submit(p, job_gate, NULL)))
        ck_assert_int_lt(++n, 5);
    ck_assert_int_eq(rc, ERR_BUSY);
    ck_assert_uint_ge(pool_waiting(p), 1);
    pthread_mutex_unlock(&gate);
    pool_free(p);
}
END_TEST

START_TEST(test_bad_sizes)
{
    ck_assert_ptr_null(pool_new("t", 0, 1));
    ck_assert_ptr_null(pool_new("t", 1, 0));
    pool_free(NULL);
}
END_TEST

CHECK_MAIN("net/pool", test_runs_all, test_full, test_bad_sizes)
