// SPDX-License-Identifier: Apache-2.0
// A region's own keys, in <data_dir>/keys (0700, files 0600): token.pem (P-256, signs tokens:
// ES256), feed.pem (Ed25519, signs feed entries), control.pem (Ed25519, signs changes of the topology
// while the region is the writer), url.key (32 random bytes, HMAC of signed URLs), and their ids. Public halves go into the topology. Also the two primitive operations that the
// rooms above need, so that OpenSSL's EVP stays here: ES256 and Ed25519.
//
// Key ids: "<region>-token-<first 8 hex digits of SHA-256 of the SPKI>", "<region>-feed-…", "<region>-ctl-…".
#ifndef MERIDIAN_CERTS_KEYS_H
#define MERIDIAN_CERTS_KEYS_H

#include "base/arena.h"
#include "base/diag.h"
#include "config/topology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct region_keys;
// what is missing only; keeps what is there
int region_keys_create(const char *dir, const char *region, struct diag *diag);
// refuses files others may read
int region_keys_open(const char *dir, const char *region, struct diag *diag,
                     struct region_keys **out);
void region_keys_free(struct region_keys *k);
const char *region_keys_token_id(const struct region_keys *k);
const char *region_keys_feed_id(const struct region_keys *k);
// NULL: the folder has no control.pem, as one that an earlier release made; region_keys_create adds
// it
const char *region_keys_control_id(const struct region_keys *k);
const char *region_keys_control_spki(const struct region_keys *k);
// standard base64 of the DER, as in the topology
const char *region_keys_token_spki(const struct region_keys *k);
const char *region_keys_feed_spki(const struct region_keys *k);
const uint8_t *region_keys_url_key(const struct region_keys *k); // 32 bytes
// JOSE form (RFC 7518 section 3.4): r || s, 64 bytes; of the two s that sign the same, the lower
// one.
int region_keys_sign_token(const struct region_keys *k, const void *p, size_t n, uint8_t out[64]);
// Fits meta_options.sign: ctx is the region_keys. Ed25519 (RFC 8032).
int region_keys_sign_feed(void *ctx, const void *p, size_t n, uint8_t out[64]);
// Ed25519. ERR_NOTFOUND: it has no such key.
int region_keys_sign_control(const struct region_keys *k, const void *p, size_t n, uint8_t out[64]);

// Verification with a key of the topology. 0; ERR_AUTH when the signature is wrong; ERR_CRYPTO when
// the key is unusable. Thread-safe; parsed keys are cached per thread by SPKI text. ES256: either s
// is taken.
int es256_verify(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64]);
int ed25519_verify(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64]);

#endif
