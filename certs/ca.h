// SPDX-License-Identifier: Apache-2.0
// The private CA, in a directory outside all regions' data directories: ca.pem, ca.key (0600), serial. It issues from a
// certificate request, only names of the plan, and only for the region it was shown to be for. P-256 throughout.
//
//   ca_create(dir, "meridian.test", &diag);
//   ca_open(dir, &diag, &ca);
//   ca_issue(ca, &plan, csr_pem, n, 0, &diag, &pem);     // chain in PEM
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
// Refuses (ERR_DENIED, sentence in diag) a request that names anything outside the plan, a weak or foreign key type, a
// bad proof of possession. lifetime_s 0: the plan's.
int ca_issue(struct ca *ca, const struct cert_plan *plan, struct bytes csr_pem, unsigned lifetime_s, struct diag *diag,
             struct buf *out_pem);

#endif
