// SPDX-License-Identifier: Apache-2.0
// A person's Ed25519 key in a file of its own: the fleet's root key, and the keys of operators. No
// region holds one. The file is PKCS#8 in PEM, mode 0600; the public half stands in the topology
// (`control: root` and `control: operators`), as standard base64 of the SPKI.
//
//   signing_key_create("ada.pem", &diag);             // never replaces a file
//   signing_key_open("ada.pem", &diag, &k);
//   signing_key_sign(k, p, n, sig);                   // ed25519_verify(signing_key_spki(k), …)
//   signing_key_free(k);
//
// Immutable once open: any thread. Keys of regions: certs/keys.h.
#ifndef MERIDIAN_CERTS_SIGNING_KEY_H
#define MERIDIAN_CERTS_SIGNING_KEY_H

#include "base/diag.h"

#include <stddef.h>
#include <stdint.h>

struct signing_key;

// ERR_EXISTS, with a sentence, when the file is there.
int signing_key_create(const char *path, struct diag *diag);
// ERR_NOTFOUND; ERR_DENIED when group or others may read it; ERR_CRYPTO when it holds no Ed25519
// private key. With a sentence.
int signing_key_open(const char *path, struct diag *diag, struct signing_key **out);
// The key that 32 secret bytes stand for (RFC 8032 section 5.1.5), as join tokens carry them.
int signing_key_of_seed(const uint8_t seed[32], struct signing_key **out);
void signing_key_free(struct signing_key *k); // NULL is fine
// Standard base64 of the DER, as in the topology.
const char *signing_key_spki(const struct signing_key *k);
int signing_key_sign(const struct signing_key *k, const void *p, size_t n, uint8_t out[64]);

// SHA-256 of the DER in hex, by which people compare public keys. ERR_INVAL: it is no base64.
int signing_key_fingerprint(const char *spki_b64, char out[65]);

#endif
