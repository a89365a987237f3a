// SPDX-License-Identifier: Apache-2.0
// Which addresses of a pool (struct address_pool, config/topology.h) can be given out, and which of them
// next: the lowest that is free. What is held is the caller's to know: a sorted set of addresses,
// of this pool or of any other.
//
//   n = ip_set_make(held, n);
//   if (address_pool_free(p, held, n) < need)
//       bits = address_pool_prefix_for(p, held, n, need);     // "a /28 would do"
//   else
//       address_pool_take(p, held, n, out, need);
//
// Counts end at ADDRESSES_MANY (IPv6). Pure; any thread.
#ifndef MERIDIAN_CONFIG_ADDRESS_POOL_H
#define MERIDIAN_CONFIG_ADDRESS_POOL_H

#include "config/topology.h"

#define ADDRESSES_MANY (UINT64_C(1) << 62)

// Sorts addresses and drops what is there twice. Returns how many are left.
size_t ip_set_make(struct ip *list, size_t n);
bool ip_set_contains(const struct ip *set, size_t n, const struct ip *ip);

// All that it may give, held or not: its subnet without what is reserved and excluded.
uint64_t address_pool_usable(const struct address_pool *p);
uint64_t address_pool_free(const struct address_pool *p, const struct ip *held, size_t n_held);
// Is the address one of those?
bool address_pool_may_give(const struct address_pool *p, const struct ip *ip);
// The lowest free addresses, at most `want`. Returns how many there were.
size_t address_pool_take(const struct address_pool *p, const struct ip *held, size_t n_held,
                         struct ip *out, size_t want);
// The longest prefix, shorter than that of the subnet, by which the pool would have `need` free
// addresses, as it is written: 28 of a /28. -1: none would.
int address_pool_prefix_for(const struct address_pool *p, const struct ip *held, size_t n_held,
                            uint64_t need);

#endif
