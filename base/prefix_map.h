// SPDX-License-Identifier: Apache-2.0
// From addresses to numbers by prefix: nested prefixes cut into disjoint ranges once, then looked
// up often, by binary search behind an index of the upper bits. Used for routing overrides (config)
// and measured networks (resolver).
//
//   struct prefix_entry e[] = {{.cidr = c, .value = 7}, …};
//   struct prefix_map m;
//   int rc = prefix_map_build(&arena, e, n, &m);           // sorts e; what m needs lies in the
//                                                          // arena
//   uint32_t v = prefix_map_get(&m, &ip);                  // 0: no prefix holds it
//
// The longest prefix wins within a layer; a higher layer wins wherever it reaches. Frozen after the
// build; any thread. IPv4 is compared as such: 8 octets per range, where IPv6 has 20.
#ifndef MERIDIAN_BASE_PREFIX_MAP_H
#define MERIDIAN_BASE_PREFIX_MAP_H

#include "base/addr.h"
#include "base/arena.h"

struct prefix_entry {
    struct cidr cidr;
    uint8_t layer;
    // not 0
    uint32_t value;
};

struct prefix_key {
    uint64_t hi, lo;
};

struct prefix_map { // each range reaches to the next one's start
    const uint32_t *from4, *value4;
    uint32_t n4;
    // by the upper 16 bits: the range that the block begins in; NULL when there are few
    const uint32_t *index4;
    const struct prefix_key *from6;
    const uint32_t *value6;
    uint32_t n6;
    // by bits 3 to 18 of 2000::/3, where global unicast is
    const uint32_t *index6;
};

// ERR_NOMEM
int prefix_map_build(struct arena *a, struct prefix_entry *entries, size_t n,
                     struct prefix_map *out);
uint32_t prefix_map_get(const struct prefix_map *m, const struct ip *ip);
// The length (of the mapped address) of the widest prefix around `ip` whose addresses all have its
// value; 0: all there are.
uint8_t prefix_map_depth(const struct prefix_map *m, const struct ip *ip);

#endif
