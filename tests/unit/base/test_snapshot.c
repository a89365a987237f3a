// SPDX-License-Identifier: Apache-2.0
// base/snapshot: one writer, three readers; no torn value, none freed while held, none left. Runs
// under TSan too.
#include "base/snapshot.h"

#include "base/mem.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>

#define GENERATIONS 10000
#define READERS 3

struct value {
    struct snapshot_head head;
    uint64_t number, twice;
};

static _Atomic long alive;
static _Atomic int done;
static struct snapshot cell;

static void value_free(void *self)
{
    struct value *v = self;
    v->number = v->twice = UINT64_MAX; // what a late reader would stumble on
    atomic_fetch_sub(&alive, 1);
    free(v);
}

static struct value *value_new(uint64_t number)
{
    struct value *v = mem_zalloc(sizeof *v);
    if (!v)
        abort();
    snapshot_head_init(&v->head, value_free);
    v->number = number;
    v->twice = number * 2;
    atomic_fetch_add(&alive, 1);
    return v;
}

// Returns how many inconsistencies it saw: Check's asserts are for the main thread only.
static void *read_it(void *arg)
{
    struct snapshot_reader r = {0};
    uint64_t last = 0, bad = 0;
    int held = *(int *)arg, stop;
    do {
        stop = atomic_load(&done); // once more after the last publish
        struct value *v = held ? snapshot_get(&cell) : snapshot_reader_get(&r, &cell);
        bad += !v || v->twice != v->number * 2 || v->number < last;
        last = v ? v->number : last;
        if (held)
            snapshot_unref(v);
    } while (!stop);
    bad += last != GENERATIONS;
    snapshot_reader_done(&r);
    return (void *)(uintptr_t)bad;
}

START_TEST(readers_see_whole_values_in_order)
{
    pthread_t threads[READERS];
    int held[READERS] = {0, 1, 0};
    atomic_store(&done, 0);
    snapshot_init(&cell);
    snapshot_publish(&cell, value_new(0));
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_it, &held[i]), 0);
    for (uint64_t g = 1; g <= GENERATIONS; g++)
        snapshot_publish(&cell, value_new(g));
    atomic_store(&done, 1);
    for (int i = 0; i < READERS; i++) {
        void *bad = NULL;
        pthread_join(threads[i], &bad);
        ck_assert_ptr_null(bad);
    }
    ck_assert_uint_eq(snapshot_generation(&cell), GENERATIONS + 1);
    ck_assert_int_eq(atomic_load(&alive), 1);
    snapshot_done(&cell);
    ck_assert_int_eq(atomic_load(&alive), 0);
}
END_TEST

START_TEST(a_held_value_outlives_its_successor)
{
    snapshot_init(&cell);
    ck_assert_ptr_null(snapshot_get(&cell));
    struct snapshot_reader r = {0};
    ck_assert_ptr_null(snapshot_reader_get(&r, &cell));
    snapshot_publish(&cell, value_new(1));
    struct value *one = snapshot_reader_get(&r, &cell);
    ck_assert_ptr_eq(snapshot_reader_get(&r, &cell), one);
    struct value *mine = snapshot_get(&cell);
    snapshot_publish(&cell, value_new(2));
    ck_assert_uint_eq(mine->number, 1);
    ck_assert_uint_eq(((struct value *)snapshot_reader_get(&r, &cell))->number, 2);
    ck_assert_int_eq(atomic_load(&alive), 2);
    snapshot_unref(mine);
    ck_assert_int_eq(atomic_load(&alive), 1);
    snapshot_withdraw(&cell);
    ck_assert_ptr_null(snapshot_get(&cell));
    ck_assert_int_eq(atomic_load(&alive), 1); // the reader's
    ck_assert_ptr_null(snapshot_reader_get(&r, &cell));
    ck_assert_int_eq(atomic_load(&alive), 0);
    snapshot_publish(&cell, value_new(3));
    ck_assert_uint_eq(((struct value *)snapshot_reader_get(&r, &cell))->number, 3);
    snapshot_unref(NULL);
    snapshot_reader_done(&r);
    snapshot_done(&cell);
    ck_assert_int_eq(atomic_load(&alive), 0);
}
END_TEST

CHECK_MAIN("base/snapshot", readers_see_whole_values_in_order, a_held_value_outlives_its_successor)
