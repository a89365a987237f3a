// SPDX-License-Identifier: Apache-2.0
// Password checks for the token service, at one cost whether the user exists or not, and a cache of
// verified credentials. Nobody outside this room includes it. Any thread.
//
// Invariants
// 1. The cache holds no password and no plain hash of one: an entry is an HMAC over name, stored
//    hash and password, under a key that lives with the process.
// 2. An entry from an older generation of the principals is never found: the first call with a new
//    generation empties the cache. A racing entry cannot outlive a changed hash either, because the
//    hash is part of the entry.
#ifndef MERIDIAN_AUTH_PASSWORDS_PRIV_H
#define MERIDIAN_AUTH_PASSWORDS_PRIV_H

#include "config/principals.h"

#include <stdbool.h>
#include <stdint.h>

struct passwords;
int passwords_new(struct passwords **out); // makes a dummy hash: slow
void passwords_free(struct passwords *p);

struct login { // credentials that somebody shows
    // NULL: there is nobody of that name
    const struct principal *who;
    const char *password;
    // wall clock: a named token's passwords end
    int64_t now_s;
};
// Were these credentials verified under this generation? Then *out_hash is the hash that they fit,
// of the two that a named token may have. Quick.
bool passwords_known(struct passwords *p, uint64_t generation, const struct login *l,
                     const char **out_hash);
// Slow. 0, ERR_AUTH or ERR_NOMEM. `who` NULL or not enabled: ERR_AUTH at the same cost. A password
// that was not made here is held against both of a token's, and so each that is wrong costs as many
// checks as any token of `all` has passwords.
int passwords_verify(struct passwords *p, uint64_t generation, const struct principals *all,
                     const struct login *l, const char **out_hash);

#endif
