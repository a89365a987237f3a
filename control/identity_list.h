// SPDX-License-Identifier: Apache-2.0
// The topology's identities as a value that commands change: by region, the fingerprints of its
// peer certificate, the keys that sign its tokens, its feed, and changes of the topology. And the
// section's text from it.
//
//   struct identity_list l;
//   identity_list_init(&l);
//   identity_list_add_all(&l, topo);                       // what is there already stays
//   rc = identity_add(&l, "eastus", IDENTITY_TOKEN_KEY, (struct identity_item){id, spki, 0});
//   text = identity_list_text(&l, &arena);
//
// Strings are borrowed. Single-threaded.
#ifndef MERIDIAN_CONTROL_IDENTITY_LIST_H
#define MERIDIAN_CONTROL_IDENTITY_LIST_H

#include "base/arena.h"
#include "config/topology.h"

#define IDENTITIES_MAX 16 // of a kind in a region: config/topology_rows.c
#define IDENTITY_REVOKED_MAX 64

enum identity_kind {
    IDENTITY_FINGERPRINT,
    IDENTITY_TOKEN_KEY,
    IDENTITY_FEED_KEY,
    IDENTITY_CONTROL_KEY,
    N_IDENTITY_KINDS
};

struct identity_item {
    // a key's; or the fingerprint
    const char *id;
    // NULL for a fingerprint
    const char *key;
    // a feed key's; 0: in use
    int64_t retired_s;
};

struct identity {
    const char *region;
    struct identity_item items[N_IDENTITY_KINDS][IDENTITIES_MAX];
    size_t n[N_IDENTITY_KINDS];
    // final: no command takes one out
    struct feed_revocation revoked[IDENTITY_REVOKED_MAX];
    size_t n_revoked;
    // NULL: it lives; the topology's
    const struct feed_seal *sealed;
};

struct identity_list {
    struct identity list[TOPOLOGY_MAX_REGIONS];
    size_t n;
};

void identity_list_init(struct identity_list *l);
// All of a topology's. One that is there already stays as it is, but is retired if either says so.
int identity_list_add_all(struct identity_list *l, const struct topology *t);
// 1: added; 0: it was there; ERR_CONFLICT: there with another key; ERR_TOOBIG: as many as a
// topology may have.
int identity_add(struct identity_list *l, const char *region, enum identity_kind kind,
                 struct identity_item item);
struct identity *identity_of_region(struct identity_list *l, const char *region); // NULL if none
struct identity_item *identity_find(struct identity *x, enum identity_kind kind, const char *id);
void identity_remove(struct identity *x, enum identity_kind kind, struct identity_item *item);
bool identity_revoked(const struct identity *x, const char *key);
size_t identity_n_in_use(const struct identity *x, enum identity_kind kind);
const char *identity_kind_name(enum identity_kind kind); // "token-key", …
int identity_kind_parse(const char *s, enum identity_kind *out);
// The whole section, its own line included; "" when there is none. NULL: out of memory.
const char *identity_list_text(const struct identity_list *l, struct arena *a);
const char *identity_time(int64_t s, struct arena *a); // "2026-11-23T19:58:50Z"

#endif
