// SPDX-License-Identifier: Apache-2.0
// Content digests (OCI image-spec, "Digests"): `algorithm:lower-case-hex`, of the two algorithms
// that the specification registers, sha256 and sha512. Also plain SHA-256 and HMAC-SHA-256, hex,
// base64, and random bytes.
//
//   struct digest d;
//   if (digest_parse(text, strlen(text), &d)) …400…
//   struct hasher *h = hasher_new(DIGEST_SHA256);
//   hasher_update(h, p, n);
//   hasher_final(h, &d);                      // h may be freed only
//   hasher_free(h);
#ifndef MERIDIAN_BASE_DIGEST_H
#define MERIDIAN_BASE_DIGEST_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The numbers are stored (before a digest's bytes in the database): they never change.
enum digest_alg { DIGEST_SHA256 = 1, DIGEST_SHA512 = 2 };

#define SHA256_BYTES 32
#define SHA512_BYTES 64
#define DIGEST_BYTES_MAX SHA512_BYTES

struct digest {
    // enum digest_alg
    uint8_t alg;
    // bytes in use: digest_alg_bytes(alg)
    uint8_t n;
    uint8_t b[DIGEST_BYTES_MAX];
};

#define DIGEST_HEX_SIZE (2 * DIGEST_BYTES_MAX + 1) // the hex digits of any digest, and NUL
#define DIGEST_TEXT_SIZE 144                       // "sha512:" + hex + NUL

// ERR_INVAL malformed, ERR_UNSUPPORTED algorithm
int digest_parse(const char *text, size_t n, struct digest *out);
const char *digest_format(const struct digest *d, char buf[DIGEST_TEXT_SIZE]);
const char *digest_alg_name(enum digest_alg alg); // "sha256"
size_t digest_alg_bytes(enum digest_alg alg);     // 0: no such algorithm
// "sha512" and DIGEST_SHA512; false: no such algorithm
bool digest_alg_parse(const char *name, size_t n, enum digest_alg *out);
// Its algorithm is spoken, and its length is that of the algorithm.
bool digest_ok(const struct digest *d);
bool digest_equal(const struct digest *a, const struct digest *b);
int digest_of(enum digest_alg alg, const void *p, size_t n, struct digest *out);

struct hasher;
struct hasher *hasher_new(enum digest_alg alg); // NULL when out of memory
enum digest_alg hasher_alg(const struct hasher *h);
void hasher_free(struct hasher *h);
void hasher_update(struct hasher *h, const void *p, size_t n);
// ERR_CRYPTO if the library failed anywhere on the way
int hasher_final(struct hasher *h, struct digest *out);

void sha256(const void *p, size_t n, uint8_t out[SHA256_BYTES]);
int hmac_sha256(const void *key, size_t nk, const void *p, size_t n, uint8_t out[SHA256_BYTES]);

void hex_format(const void *p, size_t n, char *out); // writes 2n + 1 bytes, lower case
// exactly 2*out_bytes lower- or upper-case digits
int hex_parse(const char *text, size_t n, uint8_t *out, size_t out_bytes);
// RFC 4648. b64url is section 5 without padding, strict: no padding, no blanks, no stray bits.
// Sizes: format writes at most b64_size(n) bytes with the NUL.
#define b64_size(n) (((n) + 2) / 3 * 4 + 1)
size_t b64url_format(const void *p, size_t n, char *out);
int b64url_parse(const char *text, size_t n, uint8_t *out, size_t cap, size_t *out_n);
size_t b64_format(const void *p, size_t n, char *out); // section 4, padded
// section 4, padding required
int b64_parse(const char *text, size_t n, uint8_t *out, size_t cap, size_t *out_n);

int random_bytes(void *p, size_t n);       // ERR_CRYPTO if the system has none
int random_hex(char *out, size_t n_bytes); // 2*n_bytes digits and NUL

#endif
