// SPDX-License-Identifier: Apache-2.0
// A join token: one line of text that lets one region into the fleet, once and for a short time.
// Who makes it gives it to who starts the new region; it says whom to trust on both sides.
//
//   "mjoin1." and base64url of
//   {"d":domain,"r":region,"i":id,"s":seed,"c":the CA certificate's DER (standard base64),
//    "w":writer region,"k":SHA-256 of the writer's control key (SPKI),"a":["192.0.2.1:8443"],
//    "e":expires, Unix milliseconds}
//
// `s` is the seed of an Ed25519 key. The fleet's ledger holds the public half, so that nobody who
// reads the ledger can use the token; the joiner signs its request with it, so that the secret
// itself never goes over a line, nor through an edge. `c` and `k` are how the joiner knows the fleet:
// a node with a certificate of another CA, or that cannot sign as the writer, is a false one.
//
//   join_token_new(&t);                       // id and seed; the caller fills in the rest
//   join_token_format(&t, &text);
//   rc = join_token_parse(text, strlen(text), &diag, &t);
//
// Values; any thread. A token is a secret until it is used or has expired.
#ifndef MERIDIAN_FLEET_JOIN_TOKEN_H
#define MERIDIAN_FLEET_JOIN_TOKEN_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/digest.h"
#include "certs/signing_key.h"
#include "config/hostname.h"

#include <stddef.h>
#include <stdint.h>

#define JOIN_TOKEN_PREFIX "mjoin1."
#define JOIN_TOKEN_MAX_BYTES 4096
#define JOIN_TOKEN_ID_SIZE 17 // 16 hex digits, the beginning of the public half's SHA-256
#define JOIN_TOKEN_PLACES_MAX 8
#define JOIN_TOKEN_DOMAIN_SIZE 256
#define JOIN_TOKEN_CA_SIZE 2048 // of the CA certificate's PEM

struct join_token {
    char domain[JOIN_TOKEN_DOMAIN_SIZE];
    // the region that may join with it
    char region[HOSTNAME_REGION_SIZE];
    char id[JOIN_TOKEN_ID_SIZE];
    uint8_t seed[32];
    // PEM, one certificate; the joiner verifies the writer's listener by it from the first byte on
    char ca[JOIN_TOKEN_CA_SIZE];
    char writer[HOSTNAME_REGION_SIZE];
    uint8_t writer_key[SHA256_BYTES];
    // peer listeners of the writer, tried in this order
    struct endpoint at[JOIN_TOKEN_PLACES_MAX];
    size_t n_at;
    // wall
    int64_t expires_ms;
};

// A fresh seed, and its id; all else is zero. ERR_CRYPTO.
int join_token_new(struct join_token *out);
// The key that the seed stands for; signing_key_free. ERR_CRYPTO, ERR_NOMEM.
int join_token_key(const struct join_token *t, struct signing_key **out);
// The id of a public half, as the ledger names it. ERR_INVAL: it is no base64.
int join_token_id(const char *spki_b64, char out[JOIN_TOKEN_ID_SIZE]);
int join_token_format(const struct join_token *t, struct buf *out);
// Takes the first certificate of a PEM. ERR_INVAL.
int join_token_set_ca(struct join_token *t, struct bytes pem);
// Blanks and line ends around it are passed over. ERR_INVAL with a sentence that holds nothing of it.
int join_token_parse(const char *text, size_t n, struct diag *diag, struct join_token *out);

#endif
