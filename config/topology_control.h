// SPDX-License-Identifier: Apache-2.0
// The section `control` of a topology: who may change the document where the fleet carries it by
// itself (docs/control-feed.md).
//
//   control:
//     root: "MCow…"                 # public half of the fleet's root key, which no region holds
//     writer: eastus                # the one region that writes changes
//     operators:                    # whose signed requests the writer takes
//       - { name: ada, key: "MCow…", rights: [all] }
//       - { name: ci, key: "MCow…", rights: [registries, principals] }
//       - { name: bob, key: "MCow…", rights: [all], revoked: true }
//
// The root never changes. The writer, and the keys that it signs with
// (identities.<region>.control_keys), change only by what the root key has signed. An operator that
// was revoked stays so, and stays listed, for ever (control_may_follow).
//
// Immutable, part of a topology: any thread.
#ifndef MERIDIAN_CONFIG_TOPOLOGY_CONTROL_H
#define MERIDIAN_CONFIG_TOPOLOGY_CONTROL_H

#include "config/topology.h"

enum control_right { // what an operator may ask for
    CONTROL_RIGHT_REGISTRIES = 1,
    CONTROL_RIGHT_PRINCIPALS = 2,
    CONTROL_RIGHT_REGIONS = 4,
    CONTROL_RIGHT_TOPOLOGY = 8, // the document as a whole
    // connections of networks, from the networks' side
    CONTROL_RIGHT_PRIVATE_ENDPOINTS = 16,
};
#define CONTROL_RIGHTS_ALL 31u
#define CONTROL_OPERATORS_MAX 256

struct control_operator {
    const char *name;
    // SubjectPublicKeyInfo of an Ed25519 key, DER, standard base64
    const char *key;
    // enum control_right
    unsigned rights;
    bool revoked;
};

struct control_settings {
    // as an operator's key
    const char *root;
    // index into topology.regions
    uint8_t writer;
    const struct control_operator *operators;
    size_t n_operators;
};

// Also one that was revoked. NULL: none of that name, or no section `control`.
const struct control_operator *topology_operator(const struct topology *t, const char *name);
// The region that writes changes; NULL: no section `control`.
const struct region *topology_writer(const struct topology *t);
// Is the root the same, is every operator of `before` in `next` with the same key, and revoked if it
// was? A document without the section may get one; one that has it keeps it. If not, *out_why says
// why (heap).
bool control_may_follow(const struct topology *before, const struct topology *next, char **out_why);

#endif
