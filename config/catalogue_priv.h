// SPDX-License-Identifier: Apache-2.0
// Shared by the catalogue's files only: records in their packed form, and the persistent tree that
// holds them.
//
// The tree: a root, nodes below it, buckets below those, all immutable once published and counted
// by reference; a version of the topology holds one root. A change copies one bucket, its node and
// the root, and shares all the rest. Whoever drops the last reference to a root frees what no other
// root holds. Something with one reference that one holds oneself is nobody else's: it may be
// changed in place (that is how several edits become one version).
//
// Where a registry stands follows from a keyed hash of its name (not of its label), so that a name
// and its labels with whatever hash share a bucket: the upper bits choose node and bucket, the
// lower ones the slot.
#ifndef MERIDIAN_CONFIG_CATALOGUE_PRIV_H
#define MERIDIAN_CONFIG_CATALOGUE_PRIV_H

#include "config/catalogue.h"

#include <stdatomic.h>
#include <string.h>

// Of a registry that has an owner, or whose names come or go.
struct catalogue_life {
    // "" or more
    const char *owner;
    // regions whose replica has that stage
    region_set private_, edge;
    // enum name_stage: of all names, of the regional, of the data ones; enum dnl_scope
    uint8_t stage, regional_stage, data_stage, dnl_scope;
};

// What few registries have; shared by the copies of a record, and by registries that have the same.
struct catalogue_extra {
    _Atomic uint32_t refs;
    uint16_t n_cidrs, n_private_endpoints;
    // TOPOLOGY_MAX_REGIONS of them, or NULL
    const uint8_t *weights;
    const struct cidr *cidrs;
    const struct private_endpoint *const *private_endpoints;
    const struct stamp_move *moves;
    size_t n_moves;
    const struct registry_policy *policy;
    // NULL: all is public, and nobody's
    const struct catalogue_life *life;
};

// ---- records (catalogue_record.c) ----

#define RECORD_USUAL 48 // bytes of most records, to be fetched ahead
#define RECORD_UNIT 8   // sizes and places are multiples of it

size_t record_bytes(const struct registry *r);          // of what record_pack would write
size_t record_size(const struct catalogue_registry *r); // of a record
// `extra` (may be NULL) is not looked into; the record holds the caller's reference to it from now
// on.
void record_pack(const struct registry *r, struct catalogue_extra *extra, uint16_t ordinal,
                 struct catalogue_registry *out);
struct catalogue_extra *record_extra(const struct catalogue_registry *r); // borrowed; NULL: none
region_set record_on(const struct catalogue_registry *r);
size_t record_unpacked_bytes(const struct catalogue_registry *r); // room that record_unpack needs
void record_unpack(const struct catalogue_registry *r, void *room, struct registry *out);
#define HOSTNAME_HASH_BYTES (HOSTNAME_HASH_SIZE - 1)

int extra_new(const struct registry *r, struct catalogue_extra **out); // NULL when it needs none
void extra_unref(struct catalogue_extra *e);                           // NULL is fine
bool extra_needed(const struct registry *r);
// Would it have nothing but an owner, a label's scope, stages of all names or kinds of names? Then
// has that one just the same?
bool extra_is_life_alone(const struct registry *r);
bool extra_has_life_alone(const struct catalogue_extra *e, const struct registry *r);

// ---- the tree (catalogue_tree.c) ----

struct catalogue_slot {
    uint16_t tag;
    // place of the record in units, plus one; 0: free
    uint16_t at;
};

struct catalogue_slab; // the block that all buckets of a large tree are first built in
struct catalogue_bucket {
    _Atomic uint32_t refs;
    // records
    uint16_t n;
    uint8_t slot_bits;
    // of records
    uint32_t n_units;
    // NULL: a block of its own
    struct catalogue_slab *slab;
    // the same for other rooms, by ordinal, in one block; NULL in a compact topology
    struct registry *registries;
    // then the records
    struct catalogue_slot slots[];
};

#define NODE_BITS 6
struct catalogue_node {
    _Atomic uint32_t refs;
    // a bucket with its slot_bits in the four lowest bits; 0: empty
    uintptr_t buckets[1 << NODE_BITS];
};

struct catalogue_root {
    _Atomic uint32_t refs;
    // of the number of nodes
    uint8_t bits;
    // registries with private endpoints
    size_t n_private;
    struct catalogue_node *nodes[];
};

#define BUCKET_ALIGN 16 // malloc's
static inline struct catalogue_bucket *bucket_of(uintptr_t p)
{
    return (struct catalogue_bucket *)(p & ~(uintptr_t)(BUCKET_ALIGN - 1));
}

static inline struct catalogue_slot *bucket_slot(uintptr_t p, uint64_t hash) // the first to look at
{
    return &bucket_of(p)->slots[hash & (((size_t)1 << (p & (BUCKET_ALIGN - 1))) - 1)];
}

static inline const struct catalogue_registry *bucket_record(const struct catalogue_bucket *b,
                                                             uint8_t slot_bits, uint16_t at)
{
    const uint8_t *records = (const uint8_t *)(b->slots + ((size_t)1 << slot_bits));
    return (const struct catalogue_registry *)(const void *)(records +
                                                             (size_t)(at - 1) * RECORD_UNIT);
}

static inline uintptr_t root_bucket(const struct catalogue_root *r, uint64_t hash)
{
    uint64_t at = hash >> (64 - NODE_BITS - r->bits);
    return r->nodes[at >> NODE_BITS]->buckets[at & ((1u << NODE_BITS) - 1)];
}

static inline uint16_t slot_tag(uint64_t hash)
{
    return (uint16_t)(hash >> 16);
}

struct catalogue_hasher {
    uint64_t (*hash)(const void *key, const char *name, size_t n);
    const void *key;
};

// `full`: with struct registry beside the records. ERR_NOMEM.
int tree_build(const struct catalogue_source *src, size_t n, const struct catalogue_hasher *hasher,
               bool full, struct catalogue_root **out);
// shares all nodes; NULL: out of memory
struct catalogue_root *tree_copy(const struct catalogue_root *r);
void tree_unref(struct catalogue_root *r); // NULL is fine
// Replaces whatever has that name by `r` (NULL: nothing). Only of a root with one reference.
// *out_was: it was there.
int tree_set(struct catalogue_root *root, const struct catalogue_hasher *hasher, const char *name,
             const struct registry *r, bool full, bool *out_was);
const struct catalogue_registry *tree_find_name(const struct catalogue_root *root, uint64_t hash,
                                                const char *name, size_t n);
// All records: it = {0}; while ((r = tree_next(root, &it))) …
const struct catalogue_registry *tree_next(const struct catalogue_root *root,
                                           struct catalogue_iter *it,
                                           const struct catalogue_bucket **out_bucket);

#endif
