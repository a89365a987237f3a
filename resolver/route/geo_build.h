// SPDX-License-Identifier: Apache-2.0
// Compiles the files that routing names into one frozen prefix structure (resolver/route/geo.h):
// networks of the latency file first, those of the MaxMind database where the former has none.
// Called by resolver/geo_watch on its own thread; takes seconds with large files.
#ifndef MERIDIAN_RESOLVER_ROUTE_GEO_BUILD_H
#define MERIDIAN_RESOLVER_ROUTE_GEO_BUILD_H

#include "base/diag.h"
#include "resolver/route/geo.h"

// What is built: all files that the topology names, or none. ERR_* with `diag`: nothing is built.
int geo_build(const struct topology *t, struct diag *diag, struct geo **out);
// One file at a time, for the start with a bad one: parts is a set of enum geo_source.
int geo_build_parts(const struct topology *t, unsigned parts, struct diag *diag, struct geo **out);

// Does b give another structure than a, the files being the same? Names and locations of regions,
// margins, paths.
bool geo_settings_differ(const struct topology *a, const struct topology *b);

#endif
