// SPDX-License-Identifier: Apache-2.0
// How long caches may hold what longer TTLs were handed out with. A frame that shortens the TTLs
// shortens no answer that was given before; so the entry that brings it has a record of what they
// were:
//
//   ttl/41   {"seconds": 86400}                  by the version of the topology that shortened them
//   ttl/41   {"seconds": 86400, "until": ms}     once every region has that version
//
// Where it is the TTL of denials that became shorter, "negative" says what that was; "seconds" stands
// beside it, shorter now or not.
//
// Whoever makes an entry asks for the record here; lifecycle/caches.h reads it, sets `until` (wall,
// the last answer's time and the longer of both), and takes the record away when that is past. The ledger is
// the same at every node, so a writer that starts, or takes over, waits no less than the one before.
//
//   rc = ttls_held_keep(s->topology, frame, version, &arena, &record, &any);
//
// Pure; any thread.
#ifndef MERIDIAN_CONTROL_TTLS_HELD_H
#define MERIDIAN_CONTROL_TTLS_HELD_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/topology.h"
#include "control/entry.h"

#include <stdbool.h>

#define TTLS_HELD_PREFIX "ttl/"

// The record that an entry with this frame has to have beside its own; `version`: of the topology
// after it. *out_any false: none, the frame shortens nothing, or cannot be read (it will be refused).
// Strings live in the arena. ERR_NOMEM.
int ttls_held_keep(const struct topology *before, struct bytes frame, uint64_t version,
                   struct arena *arena, struct control_record *out, bool *out_any);

#endif
