// SPDX-License-Identifier: Apache-2.0
// Private keys of D and fe.D: files ID.pem (PKCS#8, 0600) in a folder of their own (0700) on every
// resolver, and what is signed with them (RFC 6605: r || s; RFC 8080). Public halves are in the
// topology (dns/dnskey.h). Made by `meridian dns keys generate`, opened by the resolver's
// signing thread, then immutable and shared by all threads.
//
//   struct dns_key *k;
//   int rc = dns_key_open(dir, &t->dnssec.keys[i], &diag, &k);    // the file must hold the
//                                                                 // topology's key
//   rc = dns_key_sign(k, p, n, signature);
#ifndef MERIDIAN_CERTS_DNS_KEYS_H
#define MERIDIAN_CERTS_DNS_KEYS_H

#include "base/diag.h"
#include "dns/dnskey.h"

#include <stddef.h>
#include <stdint.h>

#define DNS_SIGNATURE_BYTES 64 // of both algorithms

struct dns_key;

// A new file and its public half, without state: zone, role, algorithm, public, tag and the id,
// which goes to `id`.
int dns_key_create(const char *dir, enum dnskey_zone zone, enum dnskey_role role,
                   enum dnskey_algorithm algorithm, struct diag *diag, char id[65],
                   struct dnskey *out);
// The public half of a file: what its id says of zone and role, and the key.
int dns_key_describe(const char *dir, const char *id, struct diag *diag,
                     struct dnskey *out /* id is borrowed */);
// ERR_NOTFOUND, ERR_DENIED (others may read it), ERR_CRYPTO (no such key, or not the topology's).
int dns_key_open(const char *dir, const struct dnskey *k, struct diag *diag, struct dns_key **out);
void dns_key_free(struct dns_key *k);

// Any thread. ERR_CRYPTO, ERR_NOMEM.
int dns_key_sign(const struct dns_key *k, const void *p, size_t n,
                 uint8_t out[DNS_SIGNATURE_BYTES]);

#endif
