// SPDX-License-Identifier: Apache-2.0
// The CAs that a node trusts: <certs_dir>/ca.pem, which holds two while one takes over from another
// (fleet/ca_roll.h). And which of them has issued what the node has. Fingerprints are SHA-256 of the
// DER, hex.
//
//   rc = trust_judge(pem, "meridian.test", now_ms, &diag, fingerprint);
//   rc = trust_add(certs_dir, pem, &diag);              // 1: the edge must reload
//
// Files change by rename. No state; changes by one thread at a time.
#ifndef MERIDIAN_CERTS_TRUST_H
#define MERIDIAN_CERTS_TRUST_H

#include "base/bytes.h"
#include "base/diag.h"

#include <stddef.h>
#include <stdint.h>

#define TRUST_MAX 8

// Is it one certificate, of a private CA for that domain and no other, signed by itself, P-256, and
// not expired? ERR_DENIED with a sentence.
int trust_judge(struct bytes pem, const char *domain, int64_t now_ms, struct diag *diag,
                char out_fingerprint[65]);
// When it expires (wall); INT64_MIN: it is no certificate.
int64_t trust_ends_ms(struct bytes pem);
// Of a PEM file. ERR_CRYPTO: it holds others besides, or more than TRUST_MAX.
int trust_list(const char *ca_file, char out[TRUST_MAX][65], size_t *out_n);
// 1: ca.pem has changed, 0: it was so already, or an error with a sentence.
int trust_add(const char *certs_dir, struct bytes pem, struct diag *diag);
// Likewise, and it comes first: new join tokens hold the first one.
int trust_first(const char *certs_dir, struct bytes pem, struct diag *diag);
int trust_remove(const char *certs_dir, const char *fingerprint, struct diag *diag); // not the last
// The CAs of ca.pem that have issued the certificates in use, and the peer certificate that waits.
int trust_issuers(const char *certs_dir, char out[TRUST_MAX][65], size_t *out_n);

#endif
