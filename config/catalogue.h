// SPDX-License-Identifier: Apache-2.0
// The topology in the form that names are answered from (design section 3): one small record per
// registry in a persistent tree of buckets, the labels of regions and stamps as they go on the
// wire, and client networks as disjoint ranges. Names are never expanded. One catalogue per version
// of the topology; versions that differ in registries only share all but the path to what changed.
// Frozen; any thread.
//
//   // NULL: no such label
//   const struct catalogue_registry *r = catalogue_find(t->catalogue, "contoso", 7);
//   uint8_t stamp = catalogue_stamp(r, region);   // region must be in
//   r->replicas
//
// A lookup touches one slot and one record: two cache lines that wait for memory, whatever the
// number of registries. Records hold as long as the topology they were found in.
#ifndef MERIDIAN_CONFIG_CATALOGUE_H
#define MERIDIAN_CONFIG_CATALOGUE_H

#include "config/topology.h"

enum catalogue_flag {
    CATALOGUE_REGIONAL = 1,
    CATALOGUE_DATA = 2, // also when a private endpoint switched data endpoints on
    // names lead through their privatelink form: a private endpoint is in DNS
    CATALOGUE_PRIVATE = 4,
    // for unpacking:
    CATALOGUE_OWN_DATA = 8,
    CATALOGUE_ANONYMOUS = 16,
    CATALOGUE_ACCESS_DISABLED = 32,
    CATALOGUE_ACCESS_CIDRS = 64,
    CATALOGUE_SETS = 128, // some replica is off or drained
    // weights, networks, private endpoints, moves, policies, stages or an owner
    CATALOGUE_EXTRA = 256,
    CATALOGUE_WEIGHTS = 512,
    CATALOGUE_MOVES = 1024, // some replica moves to another stamp, or has
    CATALOGUE_INCARNATION = 2048,
    CATALOGUE_POLICY = 4096,
    CATALOGUE_STAGES = 8192,     // some stage is not public
    CATALOGUE_OWNER = 16384,     // an owner, or a scope of its label
    CATALOGUE_ENDPOINTS = 32768, // it has private endpoints, in DNS or not
};

struct catalogue_registry {
    region_set replicas;
    // replicas that take global traffic: global routing on, public, not drained
    region_set open;
    // enum catalogue_flag
    uint16_t flags;
    // in its bucket
    uint16_t ordinal;
    uint8_t label_n;
    // home stamps, by rank of the region in `replicas`; then the label; then what flags say
    uint8_t bytes[];
};

struct catalogue_labels { // labels in wire form, without the domain and the root
    const uint8_t *p;
    size_t n;
};

struct catalogue_region {
    // "<region>.geo.privatelink"
    struct catalogue_labels geo_private, data_private;
    // by stamp: "<stamp>.<region>.fe"
    const struct catalogue_labels *frontends;
    // its first stamp's number among the stamps of all regions
    uint32_t first_stamp;
};

struct catalogue {
    // D in wire form
    uint8_t apex[256];
    size_t apex_n;
    // by index
    const struct catalogue_region *regions;
    // of all regions
    uint32_t n_stamps;
    // "privatelink"
    struct catalogue_labels global_private;
    // of the SOA, when its address is at D; else p is NULL
    struct catalogue_labels mailbox;
};

const struct catalogue_registry *catalogue_find(const struct catalogue *c, const char *label,
                                                size_t n);
// For a batch of lookups: first a hint for each (it fetches the slot; the label may be in any
// case), then a follow for each (it fetches the record), then the lookups, which find both in the
// cache.
uint64_t catalogue_hint(const struct catalogue *c, const uint8_t *label, size_t n);
void catalogue_hint_follow(const struct catalogue *c, uint64_t hint);
int catalogue_region_find(const struct catalogue *c, const char *name, size_t n); // index, or -1
// The most specific override that holds the client, or NULL.
const struct routing_override *catalogue_override(const struct catalogue *c,
                                                  const struct ip *client);
// The length of the widest prefix around the client where the same holds (base/prefix_map.h).
uint8_t catalogue_override_depth(const struct catalogue *c, const struct ip *client);

// The home stamp. Where names lead now, which may be the one before: resolver/route/route.h.
static inline uint8_t catalogue_stamp(const struct catalogue_registry *r, uint8_t region)
{
    return r->bytes[__builtin_popcountll(r->replicas & (((region_set)1 << region) - 1))];
}

// Regions where global routing is on, drained or not.
region_set catalogue_on(const struct catalogue *c, const struct catalogue_registry *r);
// Regions whose replica is not STAGE_PUBLIC: global traffic never goes there.
region_set catalogue_staged(const struct catalogue_registry *r);
// How far a name that is there is served. Public kind; region REGION_NONE for the global one. Only
// with CATALOGUE_STAGES it may be another than STAGE_PUBLIC.
enum name_stage catalogue_name_stage(const struct catalogue_registry *r, enum name_kind kind,
                                     uint8_t region);
// That replica's move, or NULL. Only with CATALOGUE_MOVES there is any.
const struct stamp_move *catalogue_move(const struct catalogue_registry *r, uint8_t region);
// Weight of each region, 0 to 100, by its index; NULL: all have 100.
const uint8_t *catalogue_weights(const struct catalogue *c, const struct catalogue_registry *r);
// The version that created it; 0: not said.
uint64_t catalogue_incarnation(const struct catalogue_registry *r);
// Its private endpoints, also those that are not in DNS. Returns how many.
size_t catalogue_private_endpoints(const struct catalogue *c, const struct catalogue_registry *r,
                                   const struct private_endpoint *const **out);

// A record as other rooms know a registry, on the caller's stack: holds as long as `room` and the
// topology do.
struct registry_room {
    _Alignas(8) uint8_t bytes[1024];
};
void catalogue_expand(const struct catalogue_registry *r, struct registry_room *room,
                      struct registry *out);

// All records, in no order: struct catalogue_iter it = {0}; while ((r = catalogue_next(c, &it))) …
const struct catalogue_registry *catalogue_next(const struct catalogue *c,
                                                struct catalogue_iter *it);
// Likewise those with CATALOGUE_ENDPOINTS alone. Few registries have private endpoints: it ends after
// the last of them, and where there is none it looks at nothing.
const struct catalogue_registry *catalogue_next_private(const struct catalogue *c,
                                                        struct catalogue_iter *it);
size_t catalogue_count_private(const struct catalogue *c); // how many those are

static inline const uint8_t *catalogue_label(const struct catalogue_registry *r) // label_n bytes
{
    return r->bytes + __builtin_popcountll(r->replicas);
}

// How many bytes of a label are the registry's name: all, or those before the hash.
size_t catalogue_name_bytes(const void *label, size_t n);

// ---- making one (config/topology_make.h) ----

struct catalogue_extra;
// Registries one by one, as often as asked: rewind, then next until it gives 0. What `out` points
// to holds until the following call. `*out_extra` may be one that the registry has already
// (borrowed), or NULL.
struct catalogue_source {
    void *ctx;
    void (*rewind)(void *ctx);
    bool (*next)(void *ctx, struct registry *out, struct catalogue_extra **out_extra);
};

// Labels and ranges go to the frame's arena. `full`: with struct registry beside the records.
int catalogue_new(const struct topology *t, const struct catalogue_source *src, size_t n, bool full,
                  struct catalogue **out);
void catalogue_free(struct catalogue *c);
// shares the records; NULL: out of memory
struct catalogue *catalogue_copy(const struct catalogue *c);
// Only before it is published. `r` replaces whatever has its name; remove: ERR_NOTFOUND when there
// is no such name.
int catalogue_put(struct catalogue *c, const struct registry *r);
int catalogue_remove(struct catalogue *c, const char *name);
size_t catalogue_count(const struct catalogue *c);
const struct catalogue_registry *catalogue_find_name(const struct catalogue *c, const char *name);
// The struct beside a record; NULL in a compact catalogue.
const struct registry *catalogue_full(const struct catalogue *c,
                                      const struct catalogue_registry *r);

#endif
