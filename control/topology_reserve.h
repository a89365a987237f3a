// SPDX-License-Identifier: Apache-2.0
// Names of registries that a document or a rollback takes away: they are reserved as after `meridian
// registry delete`, for their owner. Any thread.
#ifndef MERIDIAN_CONTROL_TOPOLOGY_RESERVE_H
#define MERIDIAN_CONTROL_TOPOLOGY_RESERVE_H

#include "base/bytes.h"
#include "config/topology.h"

#define TOPOLOGY_RESERVE_DAYS 90

// Appends the list `reserve` to a change that removes them. out->err.
int topology_reserve(const struct topology *t, const char *const *names, size_t n, int64_t now_ms,
                     struct buf *change);

#endif
