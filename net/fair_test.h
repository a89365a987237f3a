// SPDX-License-Identifier: Apache-2.0
// For tests only: how many networks wait in a fair queue.
#ifndef MERIDIAN_NET_FAIR_TEST_H
#define MERIDIAN_NET_FAIR_TEST_H

#include "net/fair.h"

size_t fair_networks(const struct fair *f);

#endif
