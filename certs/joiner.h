// SPDX-License-Identifier: Apache-2.0
// The first certificate of a region that joins (fleet/join.h): its own node makes the key, which
// never leaves it, and asks by a certificate request; the CA's node issues; the joiner installs what
// came, after judging it as a renewal is judged. The other two certificates follow as renewals do.
//
//   certs_join_request(dir, "example.io", "westeurope", &diag, &csr);       // the same at each retry
//   certs_issue_joiner(certs, topology, "westeurope", csr, &diag, &pem);    // where the CA is
//   certs_join_install(dir, "example.io", "westeurope", ca, pem, &diag);
//   certs_join_done(dir);
//
// Blocks on the disk; any thread, one at a time for a directory.
#ifndef MERIDIAN_CERTS_JOINER_H
#define MERIDIAN_CERTS_JOINER_H

#include "base/bytes.h"
#include "base/diag.h"
#include "certs/certs.h"

// Makes <dir>/join.key and <dir>/join.csr, or takes those that are there: a joiner that was killed
// is the same joiner when it asks again. Appends the request, PEM.
int certs_join_request(const char *dir, const char *domain, const char *region, struct diag *diag,
                       struct buf *out_csr);
// Writes ca.pem and peer.pem. ERR_PROTO, ERR_EXPIRED, ERR_CRYPTO with a sentence when the
// certificate is not what was asked for, or not of that CA.
int certs_join_install(const char *dir, const char *domain, const char *region, struct bytes ca_pem,
                       struct bytes cert_pem, struct diag *diag);
// The key and the request are used up. A retry after this is another joiner.
void certs_join_done(const char *dir);

// SHA-256 of the DER of the first certificate in a PEM, hex. ERR_INVAL: there is none.
int certs_fingerprint(struct bytes pem, char out[65]);
bool certs_has_ca(const struct certs *c);
// A peer certificate for a region that need not be in the topology yet. Appends PEM.
// ERR_UNSUPPORTED: the CA is not here; ERR_BUSY, ERR_CONFLICT: this clock may date nothing;
// ERR_DENIED: the request asks for something else. With a sentence. Any thread.
int certs_issue_joiner(struct certs *c, const struct topology *t, const char *region,
                       struct bytes csr_pem, struct diag *diag, struct buf *out_pem);

#endif
