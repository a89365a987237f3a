// SPDX-License-Identifier: Apache-2.0
// A queue that is fair to those who wait in it: by client network first (/24 of IPv4, /56 of IPv6),
// then by name within a network, in turn at both levels. So one network, or one address under many
// names, cannot make others wait longer than its one turn, and whoever guesses at a name from
// elsewhere takes no turn from the network where its owner is: there is no bound on a name over all
// networks. Pure: no clock, no threads, no lock; its owner guards it.
//
//   struct fair *f = fair_new(&(struct fair_limits){.total = 512, .per_network = 64});
//   struct fair_item *out = fair_push(f, &client, "ada", &job->item);   // NULL: all have a place
//   if (out) …                                // has none: the item itself, or another one in
//                                             // favour of it
//   struct fair_item *next = fair_pop(f);     // NULL: empty
//
// Invariants
//   1. At most `total` items wait, at most `per_network` of one network; so at most `total`
//      networks are known, each with something that waits. Nothing is remembered of who does not
//      wait.
//   2. Work conserving: pop gives an item whenever one waits.
//   3. In turn: between two items of one network every other network that waits has been served
//      once; the same of names within a network. So an item that stays is served after at most
//      (items before it of its name) × (names of its network) × (networks) pops.
//   4. When full, the longest queue loses its newest: the longest network, of that its longest
//      name. Among equals it is not the one that was just pushed. A queue shorter than another
//      loses nothing.
//   5. All memory is made at birth; push and pop take constant time, a push that meets a bound also
//      a look at each name of one network.
//
// Names are compared by a keyed hash of 64 bits: two that meet by chance share a turn, and nobody
// can choose such two.
#ifndef MERIDIAN_NET_FAIR_H
#define MERIDIAN_NET_FAIR_H

#include "base/addr.h"

#include <stddef.h>

struct fair;

struct fair_item { // embedded in what waits; stays with its owner
    // older and newer of the same network and name
    struct fair_item *prev, *next;
};

struct fair_limits {
    // 1 to 65536
    size_t total;
    // 1 to total
    size_t per_network;
};

// NULL: out of memory, or limits out of range
struct fair *fair_new(const struct fair_limits *limits);
void fair_free(struct fair *f); // items are not touched
// `name` NULL is the same as "". Returns the item that has no place now: `item` itself, another
// one, or NULL.
struct fair_item *fair_push(struct fair *f, const struct ip *client, const char *name,
                            struct fair_item *item);
struct fair_item *fair_pop(struct fair *f);
size_t fair_count(const struct fair *f);
size_t fair_networks(const struct fair *f);
// its network's first address: what counts as one client's
struct ip fair_network(const struct ip *client);

#endif
