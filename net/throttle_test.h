// SPDX-License-Identifier: Apache-2.0
// For tests: a table so small that it is crowded at once.
#ifndef MERIDIAN_NET_THROTTLE_TEST_H
#define MERIDIAN_NET_THROTTLE_TEST_H

#include "net/throttle.h"

struct throttle *throttle_new_small(size_t n_sets); // a power of two

#endif
