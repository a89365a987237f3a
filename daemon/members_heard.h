// SPDX-License-Identifier: Apache-2.0
// What the regions' reports say of members of private endpoints that have to be heard before DNS may
// lead to them (daemon/member_probes.h): the answer to lifecycle_deps.members_unheard.
//
// A member is heard when some region got the right answer at its address lately. The region that the
// member belongs to must not have got another region's there: of others nothing follows from that, for
// views may have the same addresses.
#ifndef MERIDIAN_DAEMON_MEMBERS_HEARD_H
#define MERIDIAN_DAEMON_MEMBERS_HEARD_H

#include "config/topology.h"
#include "lifecycle/lifecycle.h"

#define MEMBERS_HEARD_MS 15000 // older words count for nothing

// reports: json_t *, as fleet_heard_json gives them. Any thread.
void members_unheard(const void *reports, const struct topology *t, const char *endpoint,
                     struct lifecycle_unheard *out);

#endif
