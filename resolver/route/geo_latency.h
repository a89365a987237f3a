// SPDX-License-Identifier: Apache-2.0
// The file of measured latencies (routing.latency_file). One measurement on a line:
//
//   network,region,latency_ms
//   198.51.100.0/24,eastus,12.5
//   2001:db8::/32,westeurope,80
//
// The first line may be that header; empty lines and lines that begin with # are left out; a line
// may end in CR LF. Blanks are not allowed. A network is a prefix without host bits, or an address;
// a latency is 0 to 60000 with at most three digits after the point. A network and region may stand
// once. Lines need no order: the longest network that holds a client counts, with its own lines
// alone. Rows of a region that the topology does not have (yet, or any more) are left out and
// counted; everything else that is wrong makes the file bad, with every line told.
#ifndef MERIDIAN_RESOLVER_ROUTE_GEO_LATENCY_H
#define MERIDIAN_RESOLVER_ROUTE_GEO_LATENCY_H

#include "base/diag.h"
#include "config/topology.h"

#define GEO_LATENCY_MAX_BYTES ((size_t)1 << 30)

struct geo_latency {
    struct cidr net;
    uint8_t region;
    uint32_t us;
    uint32_t line;
};

struct geo_latencies {
    // by network, the wider first, then by region
    struct geo_latency *rows;
    size_t n, room;
    // rows of regions that the topology lacks
    size_t n_unknown;
    uint32_t unknown_line;
};

// Reads the whole of a file's text. ERR_INVAL with `diag`, ERR_NOMEM; then there is nothing to
// free.
int geo_latency_parse(const char *text, size_t n, const char *path, const struct topology *t,
                      struct diag *diag, struct geo_latencies *out);
int geo_latency_load(const char *path, const struct topology *t, struct diag *diag,
                     struct geo_latencies *out);
void geo_latencies_done(struct geo_latencies *l);

#endif
