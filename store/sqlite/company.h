// SPDX-License-Identifier: Apache-2.0
// How many writers come at the same time, learnt from the groups that were committed. A commit costs
// an fsync, whatever is in it: where sixteen write at once, the writer thread may wait for those who
// are about to come, but one who is alone waits for nobody.
//
//   while (n < company_expected(&c) && another comes soon)
//       n++;
//   company_learn(&c, n, nobody_came);
//
// Two groups of several, one after the other, are company; then one more is hoped for each time,
// until nobody comes: no more than those who came are expected in the next COMPANY_HOLD groups. So
// writers that come at random wait in vain for 1 ms in one group of many.
//
// Threads: the writer's alone.
#ifndef MERIDIAN_STORE_SQLITE_COMPANY_H
#define MERIDIAN_STORE_SQLITE_COMPANY_H

#include <stdbool.h>
#include <stddef.h>

#define COMPANY_HOLD 16

struct company { // zeroed: nobody is known
    size_t expected, last;
    unsigned hold;
};

// How many a group should have before it is committed; at least 1.
size_t company_expected(const struct company *c);
// A group of n was committed. in_vain: more were expected, and nobody came in time.
void company_learn(struct company *c, size_t n, bool in_vain);

#endif
