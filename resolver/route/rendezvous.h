// SPDX-License-Identifier: Apache-2.0
// Weighted rendezvous hashing (Thaler and Ravishankar; the weighted form by -ln(u)/w): among
// equals, a client's network stays with one, and one that goes away moves its own clients only.
// Each takes its weight's share of the networks; each registry spreads them differently. Integers
// throughout: the same on every machine.
//
//   uint64_t key = rendezvous_key(label, n, &client);           // of the client's /24 or /56
//   uint64_t x = rendezvous_cost(key, "eastus"), y = …;
//   if (rendezvous_before(x, weight_x, y, weight_y)) …          // x is preferred to y
//
// Any thread; allocates nothing.
#ifndef MERIDIAN_RESOLVER_ROUTE_RENDEZVOUS_H
#define MERIDIAN_RESOLVER_ROUTE_RENDEZVOUS_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RENDEZVOUS_V4_BITS 24
#define RENDEZVOUS_V6_BITS 56

uint64_t rendezvous_key(const uint8_t *label, size_t n, const struct ip *client);
// -log2 of a number between 0 and 1 that key and name give, in 2^-32; 1 to 2^38.
uint64_t rendezvous_cost(uint64_t key, const char *name);

// Weights up to 2^20; one of 0 comes after all others, and among such ones the cost alone decides.
static inline bool rendezvous_before(uint64_t cost_a, uint32_t weight_a, uint64_t cost_b,
                                     uint32_t weight_b)
{
    if (!weight_a || !weight_b)
        return weight_a || (!weight_b && cost_a < cost_b);
    return cost_a * weight_b < cost_b * weight_a;
}

#endif
