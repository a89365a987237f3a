// SPDX-License-Identifier: Apache-2.0
// Replication while the wall clock is wrong for a moment: what fails then is tried again as soon as
// ever.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "tests/support/check_main.h"

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

// The linker puts this in front of base/clock.c (--wrap): the monotonic clock goes on.
static _Atomic int64_t shift_ms;
int64_t __real_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void);

int64_t __wrap_clock_wall_ms(void)
{
    return __real_clock_wall_ms() + shift_ms;
}

static uint32_t attempts_at(struct test_region *r)
{
    struct arena a;
    struct job *jobs;
    size_t n;
    int64_t next;
    uint32_t most = 0;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_jobs_due(r->meta, INT64_MAX - 1, 64, &a, &jobs, &n, &next), 0);
    for (size_t i = 0; i < n; i++)
        most = jobs[i].attempts > most ? jobs[i].attempts : most;
    arena_done(&a);
    return most;
}

START_TEST(a_clock_an_hour_ahead_for_a_moment_delays_nothing)
{
    struct digest d;
    world_up(&w);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_writes_open(&w.regions[i]), 20000);
    region_cut(south, true);
    east->fault = FAULT_LIES;
    region_push(east, "contoso", "app", "1", 1, 1, 50000, 0, &d);
    WAIT_FOR(attempts_at(west) >= 1, 15000);
    shift_ms = 3600 * 1000;
    uint32_t was = attempts_at(west);
    WAIT_FOR(attempts_at(west) >= was + 2, 30000); // the next try is set by the wrong clock
    shift_ms = 0;
    east->fault = FAULT_NONE;
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 40000);
    world_done(&w);
}
END_TEST

// And backwards (by less than makes all stamps ones of the future): what was set before comes at
// its time.
START_TEST(a_clock_that_jumps_back_delays_nothing)
{
    struct digest d;
    world_up(&w);
    for (size_t i = 0; i < N_REGIONS; i++)
        WAIT_FOR(region_writes_open(&w.regions[i]), 20000);
    region_cut(south, true);
    east->fault = FAULT_LIES;
    region_push(east, "contoso", "app", "1", 2, 1, 50000, 0, &d);
    WAIT_FOR(attempts_at(west) >= 2, 15000);
    shift_ms = -50 * 1000;
    east->fault = FAULT_NONE;
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 25000);
    shift_ms = 0;
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/deadlines", a_clock_an_hour_ahead_for_a_moment_delays_nothing,
           a_clock_that_jumps_back_delays_nothing)
