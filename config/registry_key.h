// SPDX-License-Identifier: Apache-2.0
// Registry keys: the text by which a region's store, its feed, tokens, signed URLs and caches know
// a registry. A name may be given to another owner after its registry was deleted, and a region
// that was away must not take what the old one left for the new one's. So a registry has an
// incarnation: the topology version that created it (0: not said), and its key names both:
//
//   contoso          incarnation 0
//   contoso@42       created by version 42
//
//   char key[REGISTRY_KEY_SIZE];
//   registry_key_format("contoso", 42, key);
//
// In a topology every registry has its key ready (struct registry). For people the name stays. The
// rooms that keep keys compare them as opaque text. Pure functions; any thread.
#ifndef MERIDIAN_CONFIG_REGISTRY_KEY_H
#define MERIDIAN_CONFIG_REGISTRY_KEY_H

#include "config/hostname.h"

#define REGISTRY_KEY_SIZE (HOSTNAME_REGISTRY_SIZE + 20) // name, @, 19 digits, NUL

struct registry_key {
    char name[HOSTNAME_REGISTRY_SIZE];
    // 0: the key is the name
    uint64_t incarnation;
};

// `name` is a registry's, `incarnation` at most INT64_MAX. Returns out.
const char *registry_key_format(const char *name, uint64_t incarnation,
                                char out[REGISTRY_KEY_SIZE]);
// Only what registry_key_format writes; else ERR_INVAL, and *out is untouched.
int registry_key_parse(const char *text, struct registry_key *out);
bool registry_key_ok(const char *text);

#endif
