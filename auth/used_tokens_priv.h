// SPDX-License-Identifier: Apache-2.0
// Which tokens of other issuers were exchanged already: each is good once. Kept in memory, and in
// files of an hour each (`<dir>/<hour>`, 0600, 32 bytes a token), so that a restart forgets none.
// Two processes of one node share the files: each reads under a lock what the other one wrote.
// Nobody outside this room includes it.
//
//   rc = used_tokens_take(u, id, expires_s, now_s);   // ERR_EXISTS: used before
//
// Any thread; blocks on the disk. Invariants
//   1. What was taken is known until `expires_s`, in the memory of this process at least.
//   2. At most USED_MAX ids of one hour are known; then new tokens are refused, none is forgotten.
#ifndef MERIDIAN_AUTH_USED_TOKENS_PRIV_H
#define MERIDIAN_AUTH_USED_TOKENS_PRIV_H

#include "base/digest.h"

#include <stdint.h>

#define USED_MAX 32768
#define USED_AHEAD_MAX_S (3 * 3600) // an end further ahead is ERR_INVAL

struct used_tokens;
// dir NULL: memory alone. It is made when it is absent.
int used_tokens_new(const char *dir, struct used_tokens **out);
void used_tokens_free(struct used_tokens *u);
// 0: it is used now. ERR_EXISTS; ERR_FULL; ERR_INVAL; ERR_NOMEM. A disk that takes nothing is no
// error: the log says so, and the memory holds.
int used_tokens_take(struct used_tokens *u, const uint8_t id[SHA256_BYTES], int64_t expires_s,
                     int64_t now_s);

#endif
