// SPDX-License-Identifier: Apache-2.0
// A MaxMind database with locations (GeoLite2-City and its like; routing.maxmind_file), read by
// libmaxminddb: every network in it, once, off the hot path; or the network of one address, for
// explanations. The file is copied first and read from the copy: an updater that writes over it
// must not end the process.
//
//   rc = geo_maxmind_open(path, diag, &m);
//   rc = geo_maxmind_walk(m, want, ctx, diag);      // want() says what a location is worth; equal
//                                                   // neighbours are
//   joined geo_maxmind_close(m);
#ifndef MERIDIAN_RESOLVER_ROUTE_GEO_MAXMIND_H
#define MERIDIAN_RESOLVER_ROUTE_GEO_MAXMIND_H

#include "base/addr.h"
#include "base/diag.h"

#include <stdbool.h>
#include <stdint.h>

#define GEO_MAXMIND_MAX_BYTES ((size_t)1 << 30)

struct geo_maxmind;

struct geo_maxmind_user {
    void *ctx;
    // The value of a location, in 1/10000 degree; 0: out of memory.
    uint32_t (*value)(void *ctx, int32_t latitude, int32_t longitude);
    // of networks with a location; 0 or an error
    int (*network)(void *ctx, const struct cidr *net, uint32_t value);
};

int geo_maxmind_open(const char *path, struct diag *diag, struct geo_maxmind **out);
void geo_maxmind_close(struct geo_maxmind *m);
int geo_maxmind_walk(struct geo_maxmind *m, const struct geo_maxmind_user *user, struct diag *diag);

struct geo_place {
    struct cidr net;
    int32_t latitude, longitude;
};
// ERR_NOTFOUND: the database has no location for it.
int geo_maxmind_find(struct geo_maxmind *m, const struct ip *ip, struct geo_place *out);
// Unix time that the database says it is of
uint64_t geo_maxmind_built_s(const struct geo_maxmind *m);

#endif
