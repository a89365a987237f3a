// SPDX-License-Identifier: Apache-2.0
// For tests: names without a resolver.
#ifndef MERIDIAN_NET_OUTBOUND_TEST_H
#define MERIDIAN_NET_OUTBOUND_TEST_H

#include "net/outbound_priv.h"

// Asked in place of getaddrinfo, on a thread of its own, from now on; NULL: getaddrinfo again.
// Returns 0 or a code of base/err.h.
void outbound_test_resolver(int (*resolve)(const char *host, struct outbound_addresses *out));

#endif
