// SPDX-License-Identifier: Apache-2.0
// Keeps the measured networks up to date: one thread that looks once a second whether the topology
// or one of its two files has changed, compiles anew (resolver/route/geo_build.h) and publishes. A
// file that is bad or missing leaves the last snapshot in force, and the log says so, once per
// change.
//
//   rc = geo_watch_start(&topology_cell, 0, &w);  // the first build is done when it returns: no
//                                                 // answer without it
//   … snapshot_reader_get(&reader, geo_watch_cell(w)) …        // struct geo, or NULL
//   geo_watch_stop(w);
#ifndef MERIDIAN_RESOLVER_ROUTE_GEO_WATCH_H
#define MERIDIAN_RESOLVER_ROUTE_GEO_WATCH_H

#include "base/snapshot.h"

#include <stddef.h>

struct geo_watch;

// `look_ms`: how often it looks; 0: once a second.
int geo_watch_start(struct snapshot *topology, unsigned look_ms, struct geo_watch **out);
void geo_watch_stop(struct geo_watch *w);
struct snapshot *geo_watch_cell(struct geo_watch *w);
// What is wrong with the files now, one line each, cut to the room; "" nothing. Any thread.
void geo_watch_error(struct geo_watch *w, char *out, size_t n);

#endif
