// SPDX-License-Identifier: Apache-2.0
// Getting one issuer's keys; see issuer_fetch.c. Nobody outside this room includes it.
#ifndef MERIDIAN_AUTH_ISSUER_FETCH_PRIV_H
#define MERIDIAN_AUTH_ISSUER_FETCH_PRIV_H

#include "auth/issuer_keys_priv.h"

// Blocks, for 2 × KEYS_FETCH_MS at most. On failure `why` has a sentence.
int issuer_fetch(struct outbound *o, const struct issuer *i, const _Atomic bool *stop,
                 struct jwks **out, char why[KEYS_WHY_SIZE]);

#endif
