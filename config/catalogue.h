// SPDX-License-Identifier: Apache-2.0
// The topology in the form that names are answered from (design section 3): one small record per registry behind a
// keyed table, the labels of regions and stamps as they go on the wire, and client networks as disjoint ranges. Names
// are never expanded. Built once at the end of topology_parse, frozen and freed with its topology; any thread.
//
//   const struct catalogue_registry *r = catalogue_find(t->catalogue, "contoso", 7);     // NULL: no such label
//   uint8_t stamp = catalogue_stamp(r, region);                                          // region must be in
//   r->replicas
//
// A lookup touches one slot and one record: two cache lines, whatever the number of registries.
#ifndef MERIDIAN_CONFIG_CATALOGUE_H
#define MERIDIAN_CONFIG_CATALOGUE_H

#include "config/topology.h"

enum catalogue_flag { CATALOGUE_REGIONAL = 1, CATALOGUE_DATA = 2, CATALOGUE_PRIVATE = 4 };

struct catalogue_registry {
    region_set replicas;
    region_set open; // replicas that take global traffic: global routing on, not drained
    uint32_t index;  // into topology.registries
    uint8_t flags;   // enum catalogue_flag; DATA also when a private endpoint switched data endpoints on
    uint8_t label_n;
    uint8_t bytes[]; // home stamps, by rank of the region in `replicas`; then the label
};

struct catalogue_labels { // labels in wire form, without the domain and the root
    const uint8_t *p;
    size_t n;
};

struct catalogue_region {
    struct catalogue_labels geo_private, data_private; // "<region>.geo.privatelink"
    const struct catalogue_labels *frontends;          // by stamp: "<stamp>.<region>.fe"
    uint32_t first_stamp;                              // its first stamp's number among the stamps of all regions
};

struct catalogue {
    uint8_t apex[256]; // D in wire form
    size_t apex_n;
    const struct catalogue_region *regions; // by index
    uint32_t n_stamps;                      // of all regions
    struct catalogue_labels global_private; // "privatelink"
};

const struct catalogue_registry *catalogue_find(const struct catalogue *c, const char *label, size_t n);
// For a batch of lookups: first a hint for each (it fetches the slot; the label may be in any case), then a follow for
// each (it fetches the record), then the lookups, which find both in the cache.
uint64_t catalogue_hint(const struct catalogue *c, const uint8_t *label, size_t n);
void catalogue_hint_follow(const struct catalogue *c, uint64_t hint);
int catalogue_region_find(const struct catalogue *c, const char *name, size_t n); // index, or -1
// The most specific override that holds the client, or NULL.
const struct routing_override *catalogue_override(const struct catalogue *c, const struct ip *client);

static inline uint8_t catalogue_stamp(const struct catalogue_registry *r, uint8_t region)
{
    return r->bytes[__builtin_popcountll(r->replicas & (((region_set)1 << region) - 1))];
}

// Regions where global routing is on, drained or not.
region_set catalogue_on(const struct catalogue *c, const struct catalogue_registry *r);
// Weight of each region, 0 to 100, by its index; NULL: all have 100.
const uint8_t *catalogue_weights(const struct catalogue *c, const struct catalogue_registry *r);
// Its private endpoints. Returns how many.
size_t catalogue_private_endpoints(const struct catalogue *c, const struct catalogue_registry *r,
                                   const struct private_endpoint *const **out);

static inline const uint8_t *catalogue_label(const struct catalogue_registry *r) // label_n bytes
{
    return r->bytes + __builtin_popcountll(r->replicas);
}

// For config/topology.c.
int catalogue_new(const struct topology *t, struct catalogue **out);
void catalogue_free(struct catalogue *c);

#endif
