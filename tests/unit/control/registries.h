// SPDX-License-Identifier: Apache-2.0
// Random registries as text, and two topologies compared in all that others may ask of them.
#ifndef MERIDIAN_TESTS_UNIT_CONTROL_REGISTRIES_H
#define MERIDIAN_TESTS_UNIT_CONTROL_REGISTRIES_H

#include "base/bytes.h"
#include "config/catalogue.h"
#include "config/topology.h"

#define REGISTRIES_FRAME                                                                          \
    "version: 5\ndomain: example.io\nregions:\n"                                                  \
    "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s1, ipv4: [192.0.2.1] }] }\n"           \
    "  - { name: eastus, peer: 10.0.0.2:8443, stamps: [{ name: s1, ipv4: [192.0.2.2] }, { name: " \
    "s-2, ipv4: "                                                                                 \
    "[192.0.2.3] }] }\n"                                                                          \
    "  - { name: southeastasia2, peer: 10.0.0.3:8443, stamps: [{ name: s1, ipv4: [192.0.2.4] }] " \
    "}\n"                                                                                         \
    "name_servers: [s1.a]\n"                                                                      \
    "views:\n  - { name: corp, sources: [10.1.0.0/16], networks: [10.1.0.0/16, 'fd00::/8'] }\n"   \
    "  - { name: lab, sources: [10.2.0.0/16] }\n"

unsigned registries_random(unsigned n);
// One row of a list, indented by two, of registry number i. Regional endpoints are on where i is
// even; a replica in a region of every one, in others by chance.
void registries_row(struct buf *b, unsigned i);
// A private endpoint row for it.
void registries_private(struct buf *b, unsigned i);
const char *registries_name(unsigned i, char buf[64]);
// the frame with n of them
void registries_document(struct buf *b, unsigned n, unsigned private_every);
// fails the test when it is refused
struct topology *registries_parse(enum topology_form form, const struct buf *b);
// fails the test when they differ
void registries_equal(const struct topology *x, const struct topology *y);

#endif
