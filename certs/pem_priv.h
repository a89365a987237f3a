// SPDX-License-Identifier: Apache-2.0
// What the files of certs/ share about OpenSSL objects and PEM files: cleanup attributes, new P-256
// keys, reading files that must stay private, the sentence for what OpenSSL refused. Nobody outside
// this room includes it.
#ifndef MERIDIAN_CERTS_PEM_PRIV_H
#define MERIDIAN_CERTS_PEM_PRIV_H

#include "base/bytes.h"
#include "base/diag.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>

#define PEM_MAX_BYTES (64u << 10)

void pem_auto_pkey(EVP_PKEY **p);
void pem_auto_x509(X509 **p);
void pem_auto_req(X509_REQ **p);
void pem_auto_bio(BIO **p);
#define AUTO_PKEY __attribute__((cleanup(pem_auto_pkey), unused))
#define AUTO_X509 __attribute__((cleanup(pem_auto_x509)))
#define AUTO_REQ __attribute__((cleanup(pem_auto_req)))
#define AUTO_BIO __attribute__((cleanup(pem_auto_bio)))

// Adds "what: <OpenSSL's reason>" to diag, empties OpenSSL's queue, returns ERR_CRYPTO.
int pem_crypto_failed(struct diag *diag, const char *what);

EVP_PKEY *pem_key_p256(void); // NULL on failure
bool pem_key_is_p256(const EVP_PKEY *k);

// Reads a file with a secret: ERR_DENIED, with a sentence, when group or others have any right to
// it.
int pem_read_secret(const char *path, struct diag *diag, struct buf *out);

// A private key as a file that its owner alone may read (0600). Reading: *out is NULL when the file
// holds no key. Writing: replaces the file; a NULL key is one that OpenSSL could not make. Errors
// come with a sentence.
int pem_read_key(const char *path, struct diag *diag, EVP_PKEY **out);
int pem_write_key(const char *path, const EVP_PKEY *key, struct diag *diag);

// All appended; ERR_CRYPTO.
//
// PKCS#8, not encrypted: the file's mode protects it
int pem_add_key(struct buf *b, const EVP_PKEY *key);
int pem_add_x509(struct buf *b, X509 *x);

// For OpenSSL's readers of PEM: there is none.
int pem_no_pass_phrase(char *to, int cap, int rwflag, void *u);
// The first certificate, the first key. NULL when there is none. No pass phrase is ever asked for.
X509 *pem_parse_x509(struct bytes pem);
EVP_PKEY *pem_parse_key(struct bytes pem);

// The certificates of CAs in a PEM, 8 at most: while the CA is replaced a node trusts two. NULL when
// there is none, when one of them is no CA's, or there are more.
typedef STACK_OF(X509) pem_authorities;
pem_authorities *pem_parse_authorities(struct bytes pem);
void pem_auto_authorities(pem_authorities **p);
#define AUTO_AUTHORITIES __attribute__((cleanup(pem_auto_authorities)))

// SHA-256 of the DER, lower-case hex; "" on failure
void pem_fingerprint(const X509 *x, char out[65]);
int64_t pem_time_ms(const ASN1_TIME *t); // Unix milliseconds; INT64_MIN when unreadable

// Subject alternative names, blank-separated in the certificate's order; ERR_TOOBIG, ERR_INVAL when
// one is of a kind that no plan has.
int pem_names(const STACK_OF(GENERAL_NAME) * names, struct buf *out);
bool pem_name_listed(const char *names, const char *name); // is it one of the blank-separated ones?

// Does `leaf` chain to `ca`, or to one of several, at wall time now_ms (names constraints included)?
// 0, or ERR_CRYPTO with a sentence.
int pem_verify(X509 *leaf, X509 *ca, int64_t now_ms, struct diag *diag);
int pem_verify_any(X509 *leaf, pem_authorities *cas, int64_t now_ms, struct diag *diag);
// Which of them has signed it, whatever the dates; -1: none.
int pem_issuer(X509 *leaf, pem_authorities *cas);

#endif
