// SPDX-License-Identifier: Apache-2.0
// Members of private endpoints that somebody must have heard before DNS may lead to them: those that
// an edge or a balancer answers, and that no name leads to yet, because the private endpoint or the
// member's name is at the edge alone.
//
//   struct member_iter it = {0};
//   struct member_probe p;
//   while (member_probe_next(t, &it, &p))
//       … https://<p.member->ip>/healthz, with p.name in the handshake, must name a region of p.regions
//
// Of full topologies. Pure; any thread. What was heard travels in fleet reports.
#ifndef MERIDIAN_CONFIG_MEMBER_PROBE_H
#define MERIDIAN_CONFIG_MEMBER_PROBE_H

#include "config/catalogue.h"
#include "config/topology.h"

struct member_iter {
    struct catalogue_iter registries;
    const struct registry *registry;
    size_t endpoint, member;
};

struct member_probe {
    const struct registry *registry;
    const struct private_endpoint *endpoint;
    const struct private_member *member;
    // that may answer there: the member's own, or any with a replica for the global name
    region_set regions;
    // the public name that will lead there
    char name[HOSTNAME_TEXT_SIZE];
};

// Does the member wait for somebody to have heard it?
bool private_member_waits(const struct registry *r, const struct private_endpoint *pe,
                          const struct private_member *m);
// *it starts as zeroes. False: no more.
bool member_probe_next(const struct topology *t, struct member_iter *it, struct member_probe *out);
// "registry", "registry_eastus", "registry_data_eastus", as documents have it.
#define MEMBER_KEY_SIZE 64
const char *private_member_key(const struct topology *t, const struct private_member *m,
                               char out[MEMBER_KEY_SIZE]);

#endif
