// SPDX-License-Identifier: Apache-2.0
// replication/relay: who gets a blob from whom. The properties hold for random registries, and for
// random opinions of who is heard, a different one in each region.
#include "replication/relay.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char names[RELAY_MEMBERS_MAX][16];
static bool all[RELAY_MEMBERS_MAX];
static uint32_t seed;

static uint32_t next(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void map_of(struct relay_map *map, size_t n, unsigned least)
{
    *map = (struct relay_map){.n = n};
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "region%zu", i);
        map->members[i].name = names[i];
        all[i] = true;
    }
    relay_map_make(map, least);
}

static size_t direct_readers(const struct relay_map *map, size_t origin, const bool heard[])
{
    size_t n = 0;
    for (size_t i = 0; i < map->n; i++)
        n += i != origin && relay_of(map, origin, i, heard) == origin;
    return n;
}

START_TEST(few_members_ask_the_origin)
{
    struct relay_map map;
    uint8_t try[RELAY_TRIES];
    map_of(&map, 7, 8);
    for (size_t i = 1; i < 7; i++)
        ck_assert_uint_eq(relay_of(&map, 0, i, all), 0);
    ck_assert_int_eq(relay_word(&map, 0, 0, 3, true, all), RELAY_SAY_HERE);
    map_of(&map, 60, 0); // off
    ck_assert_uint_eq(direct_readers(&map, 0, all), 59);
    map_of(&map, 8, 8);
    ck_assert_uint_eq(map.n_groups, 2);
    ck_assert_uint_eq(direct_readers(&map, 0, all), 2);
    ck_assert_uint_eq(relay_find(&map, "region7"), 7);
    ck_assert_uint_eq(relay_find(&map, "region8"), SIZE_MAX);
    // who is no member
    ck_assert_uint_eq(relay_tries(&map, SIZE_MAX, 3, all, try), 0);
    ck_assert_uint_eq(relay_tries(&map, 3, SIZE_MAX, all, try), 0);
    ck_assert_uint_eq(relay_tries(&map, 3, 3, all, try), 0);
}
END_TEST

START_TEST(sixty_members_have_seven_relays_of_eight)
{
    struct relay_map map;
    map_of(&map, 60, 8);
    ck_assert_uint_eq(map.n_groups, 7);
    unsigned duty[60] = {0}; // for how many origins it is a relay
    for (size_t origin = 0; origin < 60; origin++) {
        ck_assert_uint_eq(direct_readers(&map, origin, all), 7);
        for (size_t i = 0; i < 60; i++) {
            size_t children = 0;
            for (size_t k = 0; k < 60; k++)
                children += k != origin && relay_of(&map, origin, k, all) == i;
            if (i == origin)
                continue;
            ck_assert_uint_le(children, 8);
            duty[i] += children > 0;
        }
    }
    for (size_t i = 0; i < 60; i++) { // 7 of 60 each, were chance even
        ck_assert_uint_ge(duty[i], 1);
        ck_assert_uint_le(duty[i], 21);
    }
}
END_TEST

// The order of the list, and of the topology, means nothing.
START_TEST(the_same_members_give_the_same_answer)
{
    struct relay_map map, turned;
    map_of(&map, 41, 8);
    turned = map;
    for (size_t i = 0; i < 41; i++)
        turned.members[i] = map.members[(i * 7 + 3) % 41];
    relay_map_make(&turned, 8);
    for (size_t origin = 0; origin < 41; origin++)
        for (size_t i = 0; i < 41; i++) {
            size_t by = relay_of(&map, origin, i, all);
            size_t turned_by = relay_of(&turned, relay_find(&turned, names[origin]),
                                        relay_find(&turned, names[i]), all);
            ck_assert_str_eq(map.members[by].name, turned.members[turned_by].name);
        }
}
END_TEST

START_TEST(who_is_near_is_in_one_group)
{
    struct relay_map map;
    map_of(&map, 16, 8);
    for (size_t i = 0; i < 16; i++) {
        map.members[i].placed = true;
        map.members[i].longitude = (int32_t)(i % 4) * 900000 - 1350000 + (int32_t)i;
    }
    relay_map_make(&map, 8);
    ck_assert_uint_eq(map.n_groups, 4);
    for (size_t i = 0; i < 16; i++)
        ck_assert_uint_eq(map.group[i], map.group[i % 4]);
    map.members[5].placed = false; // by names again: 0, 1, 10, 11 are the first
    relay_map_make(&map, 8);
    ck_assert_uint_eq(map.group[0], map.group[10]);
    ck_assert_uint_eq(map.group[0], map.group[11]);
    ck_assert_uint_ne(map.group[0], map.group[4]);
}
END_TEST

// From each member the way by relays ends at the origin, in steps that each go forward in an order
// that all share: also where each region has its own opinion of who is heard.
START_TEST(every_member_is_served_and_nobody_in_a_circle)
{
    struct relay_map map;
    seed = 1;
    for (unsigned round = 0; round < 300; round++) {
        size_t n = 1 + next(RELAY_MEMBERS_MAX), origin = next((uint32_t)n);
        static bool heard[RELAY_MEMBERS_MAX][RELAY_MEMBERS_MAX]; // by [who thinks so]
        map_of(&map, n, 2 + next(8));
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < n; k++)
                heard[i][k] = next(4) != 0;
        for (size_t i = 0; i < n; i++) {
            size_t at = i, n_steps = 0;
            while (at != origin) {
                at = relay_of(&map, origin, at, heard[at]);
                ck_assert_uint_lt(n_steps++, n);
            }
            if (i != origin && map.n_groups && memcmp(heard[i], all, n) == 0)
                ck_assert_uint_le(n_steps, 2);
        }
    }
}
END_TEST

// However many are away, as long as all agree on that: no more direct readers than groups, and none
// of them asks by two relays.
START_TEST(no_more_direct_readers_than_groups)
{
    struct relay_map map;
    seed = 2;
    for (unsigned round = 0; round < 300; round++) {
        size_t n = 8 + next(RELAY_MEMBERS_MAX - 7), origin = next((uint32_t)n), n_direct = 0;
        bool heard[RELAY_MEMBERS_MAX];
        map_of(&map, n, 8);
        for (size_t i = 0; i < n; i++)
            heard[i] = next(3) != 0;
        for (size_t i = 0; i < n; i++) {
            size_t by = relay_of(&map, origin, i, heard);
            if (i == origin || !heard[i])
                continue;
            n_direct += by == origin;
            ck_assert(by == origin || relay_of(&map, origin, by, heard) == origin);
            ck_assert(by == origin || heard[by]);
        }
        ck_assert_uint_le(n_direct, map.n_groups);
    }
}
END_TEST

// What each is told: those that copy from who told them, together, are all; each by one.
START_TEST(each_hears_of_a_blob_once)
{
    struct relay_map map;
    seed = 3;
    for (unsigned round = 0; round < 200; round++) {
        size_t n = 2 + next(RELAY_MEMBERS_MAX - 1), origin = next((uint32_t)n);
        bool heard[RELAY_MEMBERS_MAX];
        map_of(&map, n, 8);
        for (size_t i = 0; i < n; i++)
            heard[i] = i == origin || next(5) != 0;
        for (size_t to = 0; to < n; to++) {
            unsigned n_here = 0;
            if (to == origin)
                continue;
            for (size_t from = 0; from < n; from++)
                n_here += heard[from] &&
                          relay_word(&map, origin, from, to, true, heard) == RELAY_SAY_HERE;
            ck_assert_uint_eq(n_here, 1);
            enum relay_word said = relay_word(&map, origin, origin, to, false, heard);
            ck_assert_int_ne(said, RELAY_SAY_NOTHING); // a client may be about to ask it
            bool direct = relay_of(&map, origin, to, heard) == origin;
            ck_assert_int_eq(said == RELAY_SAY_HERE, direct);
        }
    }
}
END_TEST

// One member leaves: a group's border moves by one member at most, so few get another relay.
START_TEST(one_member_leaves_and_most_stay_with_their_relay)
{
    struct relay_map map, less;
    size_t n_moved = 0, n_looked = 0, gone = 29;
    map_of(&map, 60, 8);
    less = map;
    less.n = 59;
    less.members[gone] = map.members[59];
    relay_map_make(&less, 8);
    ck_assert_uint_eq(less.n_groups, map.n_groups);
    for (size_t origin = 0; origin < 60; origin++)
        for (size_t i = 0; i < 60; i++) {
            if (i == gone || origin == gone || i == origin)
                continue;
            size_t by = relay_of(&map, origin, i, all);
            size_t now =
                relay_of(&less, relay_find(&less, names[origin]), relay_find(&less, names[i]), all);
            n_looked++;
            n_moved += strcmp(map.members[by].name, less.members[now].name) != 0;
        }
    ck_assert_uint_lt(n_moved * 3, n_looked);
}
END_TEST

START_TEST(the_next_one_is_asked_when_the_first_is_away)
{
    struct relay_map map;
    uint8_t try[RELAY_TRIES], again[RELAY_TRIES];
    bool heard[RELAY_MEMBERS_MAX];
    map_of(&map, 60, 8);
    memcpy(heard, all, sizeof heard);
    size_t self = SIZE_MAX;
    for (size_t i = 1; i < 60; i++) // somebody with two before it
        if (relay_tries(&map, 0, i, all, try) == 2)
            self = i;
    ck_assert_uint_ne(self, SIZE_MAX);
    ck_assert_uint_eq(relay_tries(&map, 0, self, all, try), 2);
    heard[try[0]] = false;
    ck_assert_uint_ge(relay_tries(&map, 0, self, heard, again), 1);
    ck_assert_uint_eq(again[0], try[1]);
    for (size_t i = 0; i < 60; i++)
        heard[i] = false;
    ck_assert_uint_eq(relay_of(&map, 0, self, heard), 0);
}
END_TEST

START_TEST(patience_has_an_end)
{
    ck_assert_int_eq(relay_patience_ms(0, 0), 5000);
    ck_assert_int_eq(relay_patience_ms(100, 4096), 101);
    ck_assert_int_eq(relay_patience_ms(0, 4096 * 1000), 6000);
    ck_assert_int_eq(relay_patience_ms(0, UINT64_MAX), 600000);
    ck_assert_int_eq(relay_next(0, 0, 5000), RELAY_DONE);
    ck_assert_int_eq(relay_next(ERR_BUSY, 9999999, 5000), RELAY_DONE);
    ck_assert_int_eq(relay_next(ERR_NOTFOUND, 4999, 5000), RELAY_LOOK_AGAIN);
    ck_assert_int_eq(relay_next(ERR_NOTFOUND, 5000, 5000), RELAY_ASK_ORIGIN);
    ck_assert_int_eq(relay_next(ERR_TIMEOUT, 0, 5000), RELAY_ASK_ORIGIN);
    ck_assert_int_eq(relay_next(ERR_DIGEST, 0, 5000), RELAY_ASK_ORIGIN);
    ck_assert_int_eq(relay_look_ms(0), 250);
    ck_assert_int_eq(relay_look_ms(2000), 1000);
    ck_assert_int_eq(relay_look_ms(INT64_MAX), 4000);
}
END_TEST

CHECK_MAIN("replication/relay", few_members_ask_the_origin,
           sixty_members_have_seven_relays_of_eight, the_same_members_give_the_same_answer,
           who_is_near_is_in_one_group, every_member_is_served_and_nobody_in_a_circle,
           no_more_direct_readers_than_groups, each_hears_of_a_blob_once,
           one_member_leaves_and_most_stay_with_their_relay,
           the_next_one_is_asked_when_the_first_is_away, patience_has_an_end)
