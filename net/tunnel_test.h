// SPDX-License-Identifier: Apache-2.0
// For tests only: how many connections of the edge the tunnels hold now. Any thread.
#ifndef MERIDIAN_NET_TUNNEL_TEST_H
#define MERIDIAN_NET_TUNNEL_TEST_H

#include "net/tunnel.h"

size_t tunnels_open(struct tunnels *t);

#endif
