// SPDX-License-Identifier: Apache-2.0
// A fair queue: round robin over client networks (/24 of IPv4, /56 of IPv6), and within a network
// round robin over names. One network, or one address under many names, cannot make others wait
// longer than its one turn. There is no bound on a name over all networks: a stranger who tries a
// name from elsewhere takes no turn from the network where the name's owner is. Pure: no clock, no
// threads, no lock; the owner guards it.
//
//   struct fair *f = fair_new(&(struct fair_limits){.total = 512, .per_network = 64});
//   struct fair_item *out = fair_push(f, &client, "ada", &job->item);
//   if (out) …                                // the item that lost its place: this one or another
//   struct fair_item *next = fair_pop(f);     // NULL: empty
//
// Invariants
//   1. At most `total` items wait, and at most `per_network` of one network. Only networks with
//      waiting items are known, so at most `total`.
//   2. Work conserving: pop gives an item whenever one waits.
//   3. In turn: between two items of one network, every other waiting network is served once; the
//      same holds for names within a network. An item that stays is served after at most (items
//      before it of its name) × (names of its network) × (networks) pops.
//   4. A full queue drops the newest item of the longest name of the longest network. Among equals
//      the item that was just pushed stays. A queue shorter than another loses nothing.
//   5. fair_new allocates all memory. Push and pop take constant time; a push that meets a bound
//      also looks at each name of one network.
//
// Names are compared by a keyed hash of 64 bits: two names may share a turn by chance, and nobody
// can choose two that do.
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
// `name` NULL is the same as "". Returns the item that lost its place: `item`, another one, or NULL
// when all have a place.
struct fair_item *fair_push(struct fair *f, const struct ip *client, const char *name,
                            struct fair_item *item);
struct fair_item *fair_pop(struct fair *f);
size_t fair_count(const struct fair *f);
// the first address of the client's network, which stands for the network
struct ip fair_network(const struct ip *client);

#endif
