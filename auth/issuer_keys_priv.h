// SPDX-License-Identifier: Apache-2.0
// The keys of issuers, fetched through the guard (net/outbound.h) on threads of their own and kept;
// one fetch at a time for each issuer. Nobody outside this room includes it.
//
//   rc = issuer_keys_get(k, issuer, &want, &keys, &why);
//   if (rc == ERR_BUSY) …answer 503: they are being fetched…
//
// How old keys may be
//   up to KEYS_FRESH_MS        used as they are
//   up to KEYS_USED_MS         used, and fetched anew meanwhile
//   up to KEYS_STALE_MS        fetched anew first; used when that fails or takes too long
//   older                      not used
// A token that names a key we have not got has them fetched anew, at most once in KEYS_GAP_MS: that
// is how a rotation is seen, and all that a stranger who invents names of keys can cause. After a
// failure the next attempt waits from KEYS_RETRY_MS up to KEYS_RETRY_MAX_MS; meanwhile nobody waits.
//
// Invariants
//   1. No lock is held while anything is fetched.
//   2. At most KEYS_WAITERS callers wait for one issuer, and at most `max_waiting` for all: a slow
//      issuer holds no thread that another one's callers need.
#ifndef MERIDIAN_AUTH_ISSUER_KEYS_PRIV_H
#define MERIDIAN_AUTH_ISSUER_KEYS_PRIV_H

#include "auth/oidc_priv.h"
#include "net/outbound.h"

#define KEYS_FRESH_MS (10 * 60000)
#define KEYS_USED_MS (60 * 60000)
#define KEYS_STALE_MS (24 * 3600000)
#define KEYS_GAP_MS 30000
#define KEYS_RETRY_MS 2000
#define KEYS_RETRY_MAX_MS 60000
#define KEYS_FETCH_MS 5000 // for each of the two documents
#define KEYS_WAIT_MS 12000
#define KEYS_WAITERS 2
#define KEYS_WHY_SIZE 600

struct issuer_keys;
// `o` NULL: nothing is fetched, keys come from documents and files alone.
int issuer_keys_new(struct outbound *o, unsigned max_waiting, struct issuer_keys **out);
// Ends what is being fetched, and who waits for it.
void issuer_keys_stop(struct issuer_keys *k);
void issuer_keys_free(struct issuer_keys *k); // after stop, once nobody waits any more

struct key_want {
    const char *kid;
    enum jwt_alg alg;
};
// *out: a set that has the key; jwks_unref. ERR_NOTFOUND: the issuer has no such key. ERR_BUSY: the
// keys are being fetched, and that took too long or too many wait. ERR_UNREACHABLE: there are none,
// and why says what went wrong. May block for KEYS_WAIT_MS: not on HTTP threads.
int issuer_keys_get(struct issuer_keys *k, const struct issuer *i, const struct key_want *want,
                    struct jwks **out, char why[KEYS_WHY_SIZE]);

// Issuers whose token was shown within the last hour and whose keys could not be had when they were
// asked for last: how many, and of one its name and why.
size_t issuer_keys_failing(struct issuer_keys *k, char name[ISSUER_NAME_MAX + 1],
                           char why[KEYS_WHY_SIZE]);

#endif
