// SPDX-License-Identifier: Apache-2.0
// A zone of the topology as a master file (RFC 1035 section 5): fe.D, which is static, D with every
// name written out, as the resolver answers it now in one view while all regions are up (design
// section 3), and the private child zones, if private_cut makes any.
//
//   struct zone z = {.t = t, .view = NULL, .pin = REGION_NONE, .out = stdout, .now_s = now_s};
//   zone_write_frontend(&z);
//   zone_write_main(&z);
//   zone_write_child(&z, REGION_NONE);
//
// Streams: memory does not grow with the zone. Errors of writing stay in the stream (ferror).
// Called by `dns export`.
#ifndef MERIDIAN_CLI_DNS_ZONE_H
#define MERIDIAN_CLI_DNS_ZONE_H

#include "config/topology.h"

#include <stdio.h>

struct zone {
    const struct topology *t;
    // NULL: public
    const struct view *view;
    // region that global names prefer, as an override would; REGION_NONE: the operator's order
    uint8_t pin;
    FILE *out;
    // wall: for replicas that move to another stamp
    int64_t now_s;
};

void zone_write_frontend(const struct zone *z); // fe.D
int zone_write_main(const struct zone *z);      // D, with the delegations and their glue; ERR_NOMEM
// A private child zone: privatelink.D (`region` is REGION_NONE), or <region>.geo.privatelink.D.
// Only where D is cut so. ERR_NOMEM.
int zone_write_child(const struct zone *z, uint8_t region);

#endif
