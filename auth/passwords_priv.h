// SPDX-License-Identifier: Apache-2.0
// Password checks for the token service: slow ones at one cost whether the user exists or not, and
// a memory of what was verified. Nobody outside this room includes it. Any thread.
//
// Invariants
// 1. No password and no plain hash of one is kept: an entry is an HMAC under a key that lives with
//    the process, over name, stored hash and password.
// 2. An entry of an older generation of the principals is never found: the first call with a new
//    one empties the memory. Even a racing entry could not outlive a changed hash, because the
//    hash is part of what is keyed.
#ifndef MERIDIAN_AUTH_PASSWORDS_PRIV_H
#define MERIDIAN_AUTH_PASSWORDS_PRIV_H

#include "config/principals.h"

#include <stdbool.h>
#include <stdint.h>

struct passwords;
int passwords_new(struct passwords **out); // makes a dummy hash: slow
void passwords_free(struct passwords *p);
// Was exactly this verified under this generation? Quick.
bool passwords_known(struct passwords *p, uint64_t generation, const struct principal *who,
                     const char *password);
// 0 or ERR_AUTH, ERR_NOMEM. Slow. `who` NULL, or not enabled: costs the same and is ERR_AUTH.
int passwords_verify(struct passwords *p, uint64_t generation, const struct principals *all,
                     const struct principal *who, const char *password);

#endif
