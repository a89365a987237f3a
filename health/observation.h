// SPDX-License-Identifier: Apache-2.0
// An observation: what one resolver tells the others (design section 5): the result of its probes
// for each stamp, and the operators' orders that it holds. It is signed with its region's feed key
// (Ed25519), so that nobody on the way can change it. It is numbered, so that nobody can repeat an
// old one: the boot id grows with every start of the sender, the sequence with every observation.
// Both are inside the signature, with the domain and the time of expiry.
//
// On the wire: {"observation": "<the JSON below, as text>", "key": "<key id>", "signature":
// "<base64url>"}. Signed is OBSERVATION_PREFIX followed by that text: the prefix keeps the
// signature from being taken for one of a feed entry.
//   {"v":1,"domain":D,"region":R,"stamp":S,"boot":N,"sequence":N,"expiresMs":N,"abstains":false,
//    "votes":{"eastus":{"eus-1":0,"eus-2":3}},"orders":[…],"forces":[…],
//    "drills":[…]}
// A vote is 0 for up, else the number of bad probes in a row; stamps not probed yet are left out.
// Orders and forces: health_orders.h. Drills: health/drill.h.
//
// Any thread; nothing here has state. Every limit of the parser is one of the constants below.
#ifndef MERIDIAN_HEALTH_OBSERVATION_H
#define MERIDIAN_HEALTH_OBSERVATION_H

#include "base/bytes.h"
#include "health/drill.h"
#include "health/orders.h"

#define OBSERVATION_PREFIX "meridian health observation 1\n"
#define OBSERVATION_MAX_BYTES (512u << 10)
#define OBSERVATION_VOTES_MAX 4096 // stamps that one observation speaks of

struct observation_vote {
    char region[HOSTNAME_REGION_SIZE];
    char stamp[HOSTNAME_LABEL_SIZE];
    // 0: up
    uint32_t n_bad;
};

struct observation {
    char region[HOSTNAME_REGION_SIZE];
    char stamp[HOSTNAME_LABEL_SIZE];
    uint64_t boot, sequence;
    // wall
    int64_t expires_ms;
    bool abstains;
    size_t n_votes;
    struct observation_vote *votes;
    struct health_orders orders;
    struct health_drills drills;
};

struct observation_signer {
    // certs/keys.h region_keys_sign_feed
    int (*sign)(void *ctx, const void *p, size_t n, uint8_t out[64]);
    void *ctx;
    const char *key_id;
};
typedef int observation_verify_fn(const char *spki_b64, const void *p, size_t n,
                                  const uint8_t sig[64]);

int observation_format(const struct observation *o, const char *domain,
                       const struct observation_signer *s, struct buf *out);
// `from`: the region that the peer certificate proved; another's observation is not taken from it.
// On failure *out_why is a static sentence. ERR_CORRUPT, ERR_AUTH (signature or key), ERR_DENIED
// (not of `from`, or of another domain), ERR_EXPIRED, ERR_NOMEM.
int observation_parse(const struct topology *t, const char *from, struct bytes text,
                      int64_t wall_ms, observation_verify_fn *verify, struct observation **out,
                      const char **out_why);
void observation_free(struct observation *o);

#endif
