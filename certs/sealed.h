// SPDX-License-Identifier: Apache-2.0
// Bytes that one asker alone can read, whatever carries them: shared secrets on their way between
// two regions, past the edges of both, which end TLS and shall not see them. Of one exchange:
//
//   struct sealed_box *box;                                  // the asker
//   sealed_box_new(&box);                                    // sealed_box_key(box) goes to the other side
//   sealed_seal(key, context, secret, theirs, &out);         // the other side
//   sealed_open(box, theirs, context, sealed, &secret);      // the asker
//   sealed_box_free(box);
//
// X25519 (RFC 7748) with a fresh key on either side, HKDF-SHA-256 (RFC 5869; salt: both public
// keys, info: the context), AES-256-GCM (NIST SP 800-38D) with that key once, hence a fixed nonce.
// It says nothing of who sealed: the caller signs what is sent. Any thread.
#ifndef MERIDIAN_CERTS_SEALED_H
#define MERIDIAN_CERTS_SEALED_H

#include "base/bytes.h"

#include <stdint.h>

#define SEALED_KEY_BYTES 32
#define SEALED_MAX_BYTES (1u << 20)
#define SEALED_MORE_BYTES 16 // longer than what is inside

struct sealed_box;

int sealed_box_new(struct sealed_box **out); // ERR_CRYPTO, ERR_NOMEM
void sealed_box_free(struct sealed_box *b);
const uint8_t *sealed_box_key(const struct sealed_box *b); // the public half
// Appends. ERR_CRYPTO: `to` is no key; ERR_TOOBIG.
int sealed_seal(const uint8_t to[SEALED_KEY_BYTES], struct bytes context, struct bytes plain,
                uint8_t out_key[SEALED_KEY_BYTES], struct buf *out);
// Appends. ERR_AUTH: changed on the way, or sealed for another box or context.
int sealed_open(const struct sealed_box *b, const uint8_t from[SEALED_KEY_BYTES],
                struct bytes context, struct bytes sealed, struct buf *out);

#endif
