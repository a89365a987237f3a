// SPDX-License-Identifier: Apache-2.0
// What a region that joins asks for, as the writer and the CA's region judge it: its own public
// keys, a certificate request for its peer identity, and where it is. Two signatures: of the join
// token's key (it may), and of the region's own feed key (the keys are its own, and one who saw the
// token alone cannot change them).
//
//   {"request":TEXT,"byToken":base64url,"byFeed":base64url}
//   TEXT {"v":1,"domain":D,"token":id,"region":R,"stamp":S,"ipv4":[…],"ipv6":[…],
//         "peer":"192.0.2.2:8443","location":"52.37, 4.90","nameServer":false,
//         "tokenKey":{"id","key"},"feedKey":{…},"controlKey":{…},"csr":PEM}
//   Ed25519 (RFC 8032), both over JOIN_REQUEST_PREFIX and TEXT
//
// Every member but `location` must be there, no other may. A copy of a request does no more than
// the request did: what comes back is public but for the topology, which the asker of the first had.
//
//   rc = join_request_parse(body, &arena, &diag, &q);          // form alone
//   rc = join_request_verify(&q, spki of the token, &diag);    // both signatures
//   join_request_identity(&q, hex);                            // "the same key": all keys and the CSR
//
// Pure; any thread. Strings hang off the arena.
#ifndef MERIDIAN_FLEET_JOIN_REQUEST_H
#define MERIDIAN_FLEET_JOIN_REQUEST_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "certs/keys.h"
#include "certs/signing_key.h"
#include "control/regions.h"
#include "fleet/join_token.h"

#include <stdint.h>

#define JOIN_REQUEST_PREFIX "meridian join request 1\n"
#define JOIN_REQUEST_MAX_BYTES (48u << 10)

struct join_key {
    const char *id, *spki;
};

struct join_request {
    const char *domain, *token;
    // row.name is the region
    struct region_row row;
    struct join_key token_key, feed_key, control_key;
    const char *csr;
    // as it came: what was signed
    const char *text;
    uint8_t by_token[64], by_feed[64];
};

// Appends the whole. `text`, the signatures and the three keys of `q` are not read: the keys are
// those of `keys`.
int join_request_format(const struct join_request *q, const struct signing_key *token,
                        struct region_keys *keys, struct buf *out);
// ERR_INVAL, with one sentence; ERR_NOMEM.
int join_request_parse(struct bytes body, struct arena *a, struct diag *diag,
                       struct join_request *out);
// ERR_DENIED, with one sentence.
int join_request_verify(const struct join_request *q, const char *token_spki, struct diag *diag);
// Who asks: SHA-256 in hex over its region, public keys and certificate request. ERR_NOMEM.
int join_request_identity(const struct join_request *q, char out[65]);

#endif
