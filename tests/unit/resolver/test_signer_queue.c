// SPDX-License-Identifier: Apache-2.0
// resolver/signer_queue: bounded, in order for one writer, and with many threads on both sides
// every job is taken once.
#include "resolver/sign/signer_queue.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static bool put(struct signer_queue *q, uint64_t number)
{
    size_t at;
    struct signer_job *j = signer_queue_begin(q, &at);
    if (!j)
        return false;
    memset(j, 0, offsetof(struct signer_job, data));
    j->n = 8 + number % 100;
    memset(j->data, (int)(number & 0xff), j->n);
    memcpy(j->data, &number, 8);
    signer_queue_end(q, at);
    return true;
}

static bool take(struct signer_queue *q, uint64_t *out)
{
    struct signer_job j;
    if (!signer_queue_take(q, &j))
        return false;
    memcpy(out, j.data, 8);
    ck_assert_uint_eq(j.n, 8 + *out % 100);
    for (size_t i = 8; i < j.n; i++)
        ck_assert_uint_eq(j.data[i], *out & 0xff);
    return true;
}

START_TEST(it_is_bounded_and_in_order)
{
    struct signer_queue q = {0};
    uint64_t number, n = 0, taken = 0;
    ck_assert_int_eq(signer_queue_init(&q, 8), 0);
    ck_assert(!take(&q, &number));
    for (int round = 0; round < 100; round++) {
        while (put(&q, n))
            n++;
        ck_assert_uint_eq(signer_queue_n(&q), 8);
        for (int i = 0; i <= round % 8; i++, taken++) {
            ck_assert(take(&q, &number));
            ck_assert_uint_eq(number, taken);
        }
        ck_assert_uint_eq(signer_queue_n(&q), n - taken);
    }
    signer_queue_done(&q);
}
END_TEST

START_TEST(what_is_still_being_filled_is_not_taken)
{
    struct signer_queue q = {0};
    size_t first, second;
    struct signer_job j, *a, *b;
    ck_assert_int_eq(signer_queue_init(&q, 4), 0);
    ck_assert_ptr_nonnull(a = signer_queue_begin(&q, &first));
    ck_assert_ptr_nonnull(b = signer_queue_begin(&q, &second));
    a->n = b->n = 0;
    b->expires_s = 2;
    signer_queue_end(&q, second);
    ck_assert(!signer_queue_take(&q, &j)); // behind the first
    a->expires_s = 1;
    signer_queue_end(&q, first);
    ck_assert(signer_queue_take(&q, &j) && j.expires_s == 1);
    ck_assert(signer_queue_take(&q, &j) && j.expires_s == 2);
    signer_queue_done(&q);
}
END_TEST

// ---- threads ----

#define N_SIDES 3
#define N_EACH 5000

static struct signer_queue shared;
static _Atomic uint8_t seen[N_SIDES * N_EACH];
static _Atomic uint64_t n_taken;

static void *writer_main(void *arg)
{
    for (uint64_t i = (uintptr_t)arg * N_EACH, end = i + N_EACH; i < end; i++)
        while (!put(&shared, i))
            sched_yield();
    return NULL;
}

static void *reader_main(void *arg)
{
    uint64_t number;
    while (atomic_load(&n_taken) < N_SIDES * N_EACH)
        if (take(&shared, &number)) {
            ck_assert_uint_lt(number, N_SIDES * N_EACH);
            ck_assert_uint_eq(atomic_fetch_add(&seen[number], 1), 0);
            atomic_fetch_add(&n_taken, 1);
        } else {
            sched_yield();
        }
    return arg;
}

START_TEST(with_many_on_both_sides_every_job_is_taken_once)
{
    pthread_t threads[2 * N_SIDES];
    ck_assert_int_eq(signer_queue_init(&shared, 16), 0);
    for (uintptr_t i = 0; i < N_SIDES; i++) {
        ck_assert_int_eq(pthread_create(&threads[2 * i], NULL, writer_main, (void *)i), 0);
        ck_assert_int_eq(pthread_create(&threads[2 * i + 1], NULL, reader_main, NULL), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < ARRAY_LEN(seen); i++)
        ck_assert_uint_eq(seen[i], 1);
    ck_assert_uint_eq(signer_queue_n(&shared), 0);
    signer_queue_done(&shared);
}
END_TEST

CHECK_MAIN("resolver/signer_queue", it_is_bounded_and_in_order,
           what_is_still_being_filled_is_not_taken, with_many_on_both_sides_every_job_is_taken_once)
