// SPDX-License-Identifier: Apache-2.0
// Access tokens that were found good, by their text, with what they say: a client sends the same one
// with every request, and reading it is most of the cost of such a request. What an entry says
// follows from the text, the key, the registry's service and its incarnation alone; the key's text
// and the other two are part of the entry. The caller still judges, each time, whether that key
// stands in the topology for a region of the registry, whether the dates hold, and whether the
// token was revoked.
//
//   struct token_known k = {.service = service, .incarnation = r->incarnation};
//   if (token_cache_find(token, &arena, &k))
//       … k.kid, k.spki, k.claims …
//   token_cache_put(token, &k);
//
// Bounded: 1,024 tokens of at most 2 KiB each; a new one takes the place of another. Any thread.
#ifndef MERIDIAN_AUTH_TOKEN_CACHE_H
#define MERIDIAN_AUTH_TOKEN_CACHE_H

#include "auth/token_priv.h"

struct token_known {
    // the header's, and the key that its signature is right under
    const char *kid, *spki;
    const char *service;
    uint64_t incarnation;
    struct claims claims;
};

// Of the same token, service and incarnation. Strings hang off the arena. False: not known, or no
// memory.
bool token_cache_find(const char *token, struct arena *a, struct token_known *k);
void token_cache_put(const char *token, const struct token_known *k);

// For tests: how many calls it has answered.
uint64_t token_cache_hits(void);

#endif
