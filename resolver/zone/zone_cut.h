// SPDX-License-Identifier: Apache-2.0
// Which zone a name under D belongs to (design section 3): D itself, the delegated fe.D, or with
// `private_cut: insecure` an unsigned child zone of the private names, which a customer's own zone
// can then stand in for: privatelink.D, or <region>.geo.privatelink.D of each region. The only
// place that knows where D is cut. Pure; any thread; allocates nothing. RFC 1034 section 4.2, 2181
// section 6.
//
//   enum answer_zone z = zone_cut_of(t, name, n);
//   struct catalogue_labels l = zone_cut_apex(t, z);      // what stands before D in the zone's own
//                                                         // name
//   if (zone_cut_is_apex(t, z, n)) …                      // then its DS, or that there is none, is
//                                                         // the parent's to say
#ifndef MERIDIAN_RESOLVER_ZONE_ZONE_CUT_H
#define MERIDIAN_RESOLVER_ZONE_ZONE_CUT_H

#include "config/catalogue.h"
#include "config/topology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum answer_zone {
    ZONE_MAIN,        // D
    ZONE_FRONTEND,    // fe.D
    ZONE_PRIVATELINK, // privatelink.D; never signed
    // and above: <region>.geo.privatelink.D of the region with index zone - ZONE_REGION; never
    // signed
    ZONE_REGION
};

// `name` in wire form, in any case, must be D or under it.
enum answer_zone zone_cut_of(const struct topology *t, const uint8_t *name, size_t n);
// The zone that a private name is in; `region` is REGION_NONE for the private form of a global
// name. `kind` is either form's.
enum answer_zone zone_cut_of_private(const struct topology *t, enum name_kind kind, uint8_t region);
struct catalogue_labels zone_cut_apex(const struct topology *t, enum answer_zone zone);
// Is a name of this zone, n octets long, the zone's own?
bool zone_cut_is_apex(const struct topology *t, enum answer_zone zone, size_t n);

// A child zone without DS: nothing in it is signed, and D denies the DS at its apex.
static inline bool zone_cut_is_insecure(enum answer_zone zone)
{
    return zone >= ZONE_PRIVATELINK;
}

#endif
