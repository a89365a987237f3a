// SPDX-License-Identifier: Apache-2.0
// lifecycle/balance over 30 simulated days: a region of four stamps whose registries have loads of
// many shapes, made from a seed. What is advised is done, in its waves; the bins are what stamps
// would have counted, so that those of the last days are from before a move.
#include "lifecycle/balance.h"

#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/balanced.h"

#include <stdio.h>
#include <string.h>

#define MINUTE 60
#define DAY 86400
#define DAYS 30
#define BEFORE 3     // days of bins when it begins
#define LOOK_S 14400 // between two decisions
#define REGISTRIES 32
#define STAMPS 4
#define BEGIN ((int64_t)BALANCED_NOW / DAY * DAY)

enum shape { STEADY, BY_DAY, BY_NIGHT, WEEKLY, SWINGS, BURSTS, SHAPES };

struct simulated {
    uint64_t seed;
    size_t n_registries;
    enum shape shapes[REGISTRIES];
    uint16_t sizes[REGISTRIES];
    // of SWINGS: in the first three days, or in the second
    int64_t turns[REGISTRIES];
    // where it has been, in the order of time
    struct {
        size_t stamp;
        int64_t since_s;
    } homes[REGISTRIES][16];
    size_t n_homes[REGISTRIES];
    struct balanced b;
    // waves that are to come, of the plan in hand
    struct {
        uint8_t registries[LOAD_REGISTRIES];
        size_t to[LOAD_REGISTRIES], n, from;
        int64_t begins_s, watch_s;
    } waves[LOAD_REGISTRIES];
    size_t n_waves, next_wave;
    uint32_t n_begun;
};

static struct simulated sim;

// A number that depends on all three, and on nothing else.
static uint32_t mixed(uint64_t seed, uint64_t a, uint64_t c)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + a * 0xbf58476d1ce4e5b9u + c * 0x94d049bb133111ebu;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((x ^ (x >> 31)) >> 16);
}

static bool is_on(size_t r, int64_t at_s)
{
    int64_t day = at_s / DAY, hour = at_s / 3600 % 24;
    switch (sim.shapes[r]) {
    case BY_DAY:
        return hour >= 7 && hour < 20;
    case BY_NIGHT:
        return hour < 7 || hour >= 20;
    case WEEKLY: // half of them in one half of the week
        return (day + (int64_t)(r % 2) * 3) % 7 < 4;
    case SWINGS: // three days so, three days the other way
        return (day / 3 + sim.turns[r]) % 2 == 0;
    case BURSTS:
        return mixed(sim.seed, r, (uint64_t)(at_s / 7200)) % 3 == 0;
    default:
        return true;
    }
}

static uint16_t load_at(size_t r, int64_t at_s)
{
    uint32_t noise = mixed(sim.seed, r + 1000, (uint64_t)(at_s / MINUTE)) % 41; // 80 to 120 %
    uint32_t size = sim.sizes[r];
    if (!is_on(r, at_s))
        size /= 8;
    return (uint16_t)(size * (80 + noise) / 100);
}

static size_t home_at(size_t r, int64_t at_s)
{
    size_t i = sim.n_homes[r];
    while (i > 1 && sim.homes[r][i - 1].since_s > at_s)
        i--;
    return sim.homes[r][i - 1].stamp;
}

static void move(size_t r, size_t to, int64_t at_s)
{
    ck_assert_uint_lt(sim.n_homes[r], ARRAY_LEN(sim.homes[r]));
    sim.homes[r][sim.n_homes[r]].stamp = to;
    sim.homes[r][sim.n_homes[r]++].since_s = at_s;
}

// The bins that stamps have at that time: of the last two days, a registry's of the last one.
static void count_bins(int64_t now_s)
{
    int64_t begin_s = now_s - (int64_t)LOAD_DAYS * DAY;
    for (size_t s = 0; s < STAMPS; s++) {
        struct stamp_load *l = &sim.b.stamps[s].load;
        memset(l->hottest, 0, sizeof l->hottest);
        l->n_registries = 0;
    }
    for (size_t r = 0; r < sim.n_registries; r++) {
        size_t at[STAMPS] = {0};
        for (size_t i = 0; i < (size_t)LOAD_DAYS * LOAD_DAY; i++) {
            int64_t minute_s = begin_s + (int64_t)i * MINUTE;
            size_t home = home_at(r, minute_s);
            struct stamp_load *l = &sim.b.stamps[home].load;
            uint16_t load = load_at(r, minute_s);
            uint32_t sum = l->hottest[i] + load;
            l->hottest[i] = (uint16_t)(sum < LOAD_FULL ? sum : LOAD_FULL);
            if (i < LOAD_DAY)
                continue;
            if (!at[home]) {
                struct load_registry *row = &l->registries[l->n_registries];
                snprintf(row->name, sizeof row->name, "r%zu", r);
                memset(row->bins, 0, sizeof row->bins);
                at[home] = ++l->n_registries;
            }
            l->registries[at[home] - 1].bins[i - LOAD_DAY] = load;
        }
    }
}

static size_t number_of(const char *name)
{
    return strtoul(name + 1, NULL, 10);
}

static void take_plan(void)
{
    const struct balance_plan *p = sim.b.plan;
    sim.n_waves = p->n_waves;
    sim.next_wave = 0;
    for (size_t w = 0; w < p->n_waves; w++) {
        sim.waves[w].n = p->waves[w].n;
        sim.waves[w].from = p->from;
        sim.waves[w].begins_s = p->begins_s[w];
        sim.waves[w].watch_s = p->waves[w].watch_s;
        for (size_t i = 0; i < p->waves[w].n; i++) {
            const struct balance_candidate *c = &p->candidates[p->order[p->waves[w].first + i]];
            const struct stamp_load *l = &sim.b.stamps[p->from].load;
            sim.waves[w].registries[i] = (uint8_t)number_of(l->registries[c->registry].name);
            sim.waves[w].to[i] = c->to;
        }
    }
}

static void do_waves(int64_t now_s)
{
    for (; sim.next_wave < sim.n_waves; sim.next_wave++) {
        size_t w = sim.next_wave;
        if (sim.waves[w].begins_s > now_s)
            return;
        sim.n_begun++;
        for (size_t i = 0; i < sim.waves[w].n; i++) {
            size_t r = sim.waves[w].registries[i];
            char name[16];
            snprintf(name, sizeof name, "r%zu", r);
            ck_assert_uint_eq(home_at(r, now_s), sim.waves[w].from);
            move(r, sim.waves[w].to[i], now_s);
            struct balance_move *m =
                balanced_moved(&sim.b, name, sim.b.stamps[sim.waves[w].from].name,
                               sim.b.stamps[sim.waves[w].to[i]].name, 0);
            m->begun_s = now_s;
            m->watched_until_s = now_s + sim.waves[w].watch_s;
            m->wave = sim.n_begun;
        }
    }
}

static void begin(uint64_t seed, size_t n_registries)
{
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.n_registries = n_registries;
    balanced_init(&sim.b, STAMPS);
}

// Registries of all shapes, most of them at the first stamp.
static void begin_any(uint64_t seed)
{
    begin(seed, REGISTRIES);
    for (size_t r = 0; r < REGISTRIES; r++) {
        uint32_t size = mixed(seed, r, 1) % 36 + 1;
        if (r % 4 == 0)
            size += 80 + mixed(seed, r, 2) % 180; // a few have most of it
        sim.sizes[r] = (uint16_t)size;
        sim.shapes[r] = (enum shape)(mixed(seed, r, 3) % SHAPES);
        if (r % 8 == 0)
            sim.shapes[r] = SWINGS;
        sim.turns[r] = (int64_t)r / 4 % 2;
        move(r, mixed(seed, r, 4) % 10 < 6 ? 0 : mixed(seed, r, 5) % STAMPS, 0);
    }
}

static void run(void)
{
    for (int64_t now_s = BEGIN; now_s < BEGIN + (int64_t)DAYS * DAY; now_s += LOOK_S) {
        do_waves(now_s);
        if (sim.next_wave < sim.n_waves)
            continue;
        count_bins(now_s);
        sim.b.in.now_s = now_s;
        balanced_decide(&sim.b);
        for (size_t s = 0; s < STAMPS; s++)
            if (sim.b.plan->verdicts[s].heat != LOAD_UNKNOWN)
                sim.b.stamps[s].was_hot = sim.b.plan->verdicts[s].heat == LOAD_HOT;
        take_plan();
        do_waves(now_s);
    }
}

static void expect_no_ping_pong(void)
{
    for (size_t r = 0; r < sim.n_registries; r++)
        for (size_t i = 1; i < sim.n_homes[r]; i++) {
            int64_t since_s = sim.homes[r][i].since_s;
            ck_assert_msg(i == 1 || since_s - sim.homes[r][i - 1].since_s >= (int64_t)7 * DAY,
                          "seed %u: r%zu moved twice in 7 days", (unsigned)sim.seed, r);
            for (size_t k = 0; k < i; k++)
                ck_assert_msg(sim.homes[r][k].stamp != sim.homes[r][i].stamp,
                              "seed %u: r%zu came back to eus-%zu", (unsigned)sim.seed, r,
                              sim.homes[r][i].stamp + 1);
        }
}

// Moves that began in the days from `day` on.
static unsigned moves_since(int day)
{
    unsigned n = 0;
    for (size_t i = 0; i < sim.b.in.n_moves; i++)
        n += sim.b.moves[i].begun_s >= BEGIN + (int64_t)day * DAY;
    return n;
}

// 39
START_TEST(no_ping_pong_in_thirty_days)
{
    unsigned n_moved = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        begin_any(seed);
        run();
        unsigned n = moves_since(0);
        if (getenv("BALANCE_SHOW")) {
            printf("seed %u: %u moves, %u after day 15;", (unsigned)seed, n, moves_since(15));
            for (size_t s = 0; s < STAMPS; s++)
                printf(" %u", sim.b.plan->verdicts[s].days[0].p95);
            printf(" outcome %d held %u\n", sim.b.plan->outcome, sim.b.plan->held);
        }
        n_moved += n;
        expect_no_ping_pong();
        balanced_done(&sim.b);
    }
    ck_assert_uint_gt(n_moved, 8);
}
END_TEST

// Each has registries that are busy for three days while those of the other are not, and one that
// is always busy would be led from one to the other for ever.
START_TEST(two_stamps_that_are_busy_in_turn)
{
    begin(1, 11);
    sim.b.stamps[2].closed = sim.b.stamps[3].closed = true;
    for (size_t r = 0; r < 10; r++) {
        sim.shapes[r] = SWINGS;
        sim.turns[r] = (int64_t)(r % 2);
        sim.sizes[r] = 104;
        move(r, r % 2, 0);
    }
    sim.shapes[10] = STEADY;
    sim.sizes[10] = 250;
    move(10, 0, 0);
    run();
    expect_no_ping_pong();
    ck_assert_uint_eq(sim.n_homes[10], 2); // it moved once, and then others had to
    ck_assert_uint_gt(moves_since(0), 1);
    ck_assert_uint_eq(moves_since(15), 0);
    balanced_done(&sim.b);
}
END_TEST

CHECK_MAIN("lifecycle/balance_days", two_stamps_that_are_busy_in_turn, no_ping_pong_in_thirty_days)
