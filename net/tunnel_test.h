// SPDX-License-Identifier: Apache-2.0
// For tests only: how many connections the tunnels hold now, of the edge and to other regions. Any
// thread.
#ifndef MERIDIAN_NET_TUNNEL_TEST_H
#define MERIDIAN_NET_TUNNEL_TEST_H

#include "net/tunnel.h"

size_t tunnels_open(struct tunnels *t);
size_t tunnels_far(struct tunnels *t);

#endif
