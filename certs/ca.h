// SPDX-License-Identifier: Apache-2.0
// The private CA, in a directory (0700) outside all regions' data directories: ca.pem, ca.key
// (0600), and `issued`, one line per certificate it ever signed. It issues from a certificate
// request, only names of the plan, and only for the region it was shown to be for. P-256
// throughout; name-constrained to the domain; serials are 128 random bits.
//
//   ca_create(dir, "meridian.test", &diag);
//   ca_open(dir, &diag, &ca);
//   ca_issue(ca, &plan, csr_pem, 0, &diag, &pem);
#ifndef MERIDIAN_CERTS_CA_H
#define MERIDIAN_CERTS_CA_H

#include "base/bytes.h"
#include "base/diag.h"
#include "certs/plan.h"

struct ca;
int ca_create(const char *dir, const char *domain, struct diag *diag); // ERR_EXISTS if there is one
int ca_open(const char *dir, struct diag *diag, struct ca **out);
void ca_close(struct ca *ca);
const char *ca_certificate_pem(const struct ca *ca);
const char *ca_fingerprint(const struct ca *ca); // SHA-256 of the certificate, hex
// Appends the certificate in PEM: it is the whole chain, since a root is not sent (RFC 8446 section
// 4.4.2). It carries the names the request asked for. Refuses (ERR_DENIED, sentence in diag) a
// request that names anything outside the plan or the CA's domain, has a subject or another
// extension, a weak or foreign key type, a bad proof of possession. lifetime_s 0: the plan's.
// Thread-safe.
int ca_issue(struct ca *ca, const struct cert_plan *plan, struct bytes csr_pem, unsigned lifetime_s,
             struct diag *diag, struct buf *out_pem);

#endif
