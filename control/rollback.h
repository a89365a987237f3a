// SPDX-License-Identifier: Apache-2.0
// Back to an earlier version of the topology, by a new one: the content of old under the number of
// new, less what must never come back. That stays as it is in force, and is listed:
//
//   - keys, fingerprints and revocations (sections identities and control): what was revoked since
//     would be trusted again
//   - keys and serials of the zones (sections dnssec and zone_serial): resolvers hold what was
//     published
//   - which regions there are: joining and leaving are commands of their own
//   - registries that were deleted since, or deleted and created again: what lies in stores and
//     feeds under their incarnation is not theirs any more
//   - the home stamps of replicas: names lead to another one only by a rebind
//   - private endpoints that were taken away since, or whose connection is not Approved, and
//     addresses of them that are held for others by now
//
// Registries that were created since are deleted, as by a command. Principals are another document,
// and stay.
//
//   rc = topology_rollback(now, old, &ledger, now_ms, &r);    // r.frame, r.change: of one entry
//   topology_rollback_done(&r);
//
// What comes out is judged like any change, against the document in force. Both topologies outlive
// it. Pure; single-threaded.
#ifndef MERIDIAN_CONTROL_ROLLBACK_H
#define MERIDIAN_CONTROL_ROLLBACK_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/topology.h"
#include "control/connections.h"

struct rollback_kept {
    // "section/identities", "registry/contoso", "registry/contoso/eastus", "private/corp-pe",
    // "private/corp-pe/10.4.0.9"
    const char *what;
    // a sentence: why it stays
    const char *why;
};

struct topology_rollback {
    struct arena arena;
    // n 0: that stays as it is; the change has no version
    struct buf frame, change;
    const struct rollback_kept *kept;
    size_t n_kept;
    // names of registries that go
    const char *const *removed;
    size_t n_removed;
};

// `l`: the ledger in force; now_ms: wall. ERR_UNSUPPORTED: one of the documents is not in block style; ERR_NOMEM. `out` is to be given to
// topology_rollback_done in any case.
int topology_rollback(const struct topology *now, const struct topology *old,
                      const struct ledger_look *l, int64_t now_ms, struct topology_rollback *out);
void topology_rollback_done(struct topology_rollback *r);

#endif
