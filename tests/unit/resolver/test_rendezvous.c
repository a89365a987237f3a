// SPDX-License-Identifier: Apache-2.0
// resolver/rendezvous: its logarithm, the shares by weight, what moves when one goes away, and that
// the same comes out everywhere.
#include "resolver/route/rendezvous.h"

#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {"eastus", "westeurope", "southeastasia", "brazilsouth"};
#define N_NAMES 4

static struct ip net_of(uint32_t i)
{
    struct ip ip = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (uint8_t)(i >> 16),
                     (uint8_t)(i >> 8), (uint8_t)i, 7}};
    return ip;
}

static int choose(const char *label, const struct ip *ip, const uint32_t weights[N_NAMES],
                  unsigned up)
{
    uint64_t key = rendezvous_key((const uint8_t *)label, strlen(label), ip), best = 0;
    int at = -1;
    for (int i = 0; i < N_NAMES; i++) {
        uint64_t x = rendezvous_cost(key, names[i]);
        if (!(up >> i & 1) || (at >= 0 && !rendezvous_before(x, weights[i], best, weights[at])))
            continue;
        at = i;
        best = x;
    }
    return at;
}

// The cost is -log2 of a number that is uniform between 0 and 1: its distribution is known.
START_TEST(costs_are_distributed_as_they_should)
{
    enum { N = 200000 };
    double sum = 0;
    unsigned below_one = 0, above_ten = 0;
    for (uint32_t i = 0; i < N; i++) {
        struct ip ip = net_of(i);
        uint64_t x = rendezvous_cost(rendezvous_key((const uint8_t *)"contoso", 7, &ip), "eastus");
        ck_assert_uint_ge(x, 1);
        ck_assert_uint_le(x, (uint64_t)64 << 32);
        double cost = (double)x / 4294967296.0;
        sum += cost;
        below_one += cost < 1;
        above_ten += cost >= 10;
    }
    ck_assert_msg(fabs(sum / N * log(2) - 1) < 0.01, "mean %f", sum / N); // 1/ln 2
    ck_assert_msg(below_one > N / 2 - 1000 && below_one < N / 2 + 1000, "%u below 1", below_one);
    ck_assert_msg(above_ten > N / 1024 * 8 / 10 && above_ten < N / 1024 * 12 / 10, "%u from 10",
                  above_ten);
}
END_TEST

// Chi-square with 3 degrees of freedom: above 16.3 once in a thousand seeds; this one is fixed.
START_TEST(shares_follow_the_weights)
{
    static const uint32_t sets[][N_NAMES] = {{100, 100, 100, 100},
                                             {100, 50, 25, 25},
                                             {1, 2, 3, 94},
                                             {1000, 300, 1000, 10},
                                             {100, 0, 100, 50}};
    enum { N = 100000 };
    for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
        unsigned got[N_NAMES] = {0};
        double total = 0, chi = 0;
        for (uint32_t i = 0; i < N; i++) {
            struct ip ip = net_of(i * 37 + 11);
            got[choose("contoso", &ip, sets[s], 15)]++;
        }
        for (int i = 0; i < N_NAMES; i++)
            total += sets[s][i];
        for (int i = 0; i < N_NAMES; i++) {
            double want = N * sets[s][i] / total;
            if (want == 0)
                ck_assert_uint_eq(got[i], 0); // as long as another one is there
            else
                chi += (got[i] - want) * (got[i] - want) / want;
        }
        ck_assert_msg(chi < 16.3, "weights %zu: %u %u %u %u, chi-square %f", s, got[0], got[1],
                      got[2], got[3], chi);
    }
}
END_TEST

START_TEST(one_that_goes_moves_its_own_clients_only)
{
    static const uint32_t weights[N_NAMES] = {100, 60, 100, 0};
    unsigned moved = 0, to[N_NAMES] = {0};
    for (uint32_t i = 0; i < 20000; i++) {
        struct ip ip = net_of(i * 101);
        int before = choose("fabrikam", &ip, weights, 15),
            after = choose("fabrikam", &ip, weights, 15 & ~4u);
        if (before != 2) {
            ck_assert_int_eq(after, before);
            continue;
        }
        moved++;
        to[after]++;
    }
    ck_assert_uint_gt(moved, 6000);
    // 100 to 60
    ck_assert(to[0] > 3 * moved / 5 - 300 && to[1] > 2 * moved / 5 - 500 && !to[2] && !to[3]);
    for (uint32_t i = 0; i < 100; i++) {
        struct ip ip = net_of(i);
        ck_assert_int_eq(choose("fabrikam", &ip, weights, 8), 3); // weight 0: when it is alone
    }
}
END_TEST

START_TEST(registries_spread_differently_and_a_network_stays_together)
{
    static const uint32_t weights[N_NAMES] = {100, 100, 100, 100};
    unsigned same = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        struct ip ip = net_of(i), other = ip;
        other.b[15] ^= (uint8_t)(1 + i % 255);
        ck_assert_int_eq(choose("contoso", &ip, weights, 15),
                         choose("contoso", &other, weights, 15));
        same += choose("contoso", &ip, weights, 15) == choose("fabrikam", &ip, weights, 15);
    }
    ck_assert_msg(same > 2300 && same < 2700, "%u of 10000", same); // a quarter
    struct ip a = fixture_ip("2001:db8:1:2300::1"), b = fixture_ip("2001:db8:1:23ff:ffff::9"),
              c = fixture_ip("2001:db8:1:2400::1");
    ck_assert_uint_eq(rendezvous_key((const uint8_t *)"x", 1, &a),
                      rendezvous_key((const uint8_t *)"x", 1, &b));
    ck_assert_uint_ne(rendezvous_key((const uint8_t *)"x", 1, &a),
                      rendezvous_key((const uint8_t *)"x", 1, &c));
}
END_TEST

// Numbers that must never change: two resolvers of different builds would send one client to two
// regions.
START_TEST(known_numbers)
{
    struct ip v4 = fixture_ip("198.51.100.7"), v6 = fixture_ip("2001:db8::1");
    uint64_t k4 = rendezvous_key((const uint8_t *)"contoso", 7, &v4);
    uint64_t k6 = rendezvous_key((const uint8_t *)"contoso", 7, &v6);
    ck_assert_uint_eq(k4, 0xb2f2322ad6ad829u);
    ck_assert_uint_eq(k6, 0x82d0207b4c91cc30u);
    ck_assert_uint_eq(rendezvous_cost(k4, "eastus"), 0x2530e7d8fu);
    ck_assert_uint_eq(rendezvous_cost(k6, "westeurope"), 0x16bcac69u);
}
END_TEST

CHECK_MAIN("resolver/rendezvous", costs_are_distributed_as_they_should, shares_follow_the_weights,
           one_that_goes_moves_its_own_clients_only,
           registries_spread_differently_and_a_network_stays_together, known_numbers)
