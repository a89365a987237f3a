// SPDX-License-Identifier: Apache-2.0
// The CA that is to take over, in <ca_dir>/next (ca.key, ca.pem) on the CA's node, until it does:
// then both files are renamed over those in ca_dir. There it lies where the daemon may write.
//
//   rc = ca_next_make(ca_dir, "meridian.test", &diag);
//   rc = ca_next_look(ca_dir, fingerprint, &pem);
//   rc = ca_next_take(ca_dir, &diag);      // in certs_ca_change
//
// The certificate is written last and renamed last, so a crash leaves a CA that is not whole
// (another one is made over it), or a take that is half done: ca_next_take, and ca_open, end it. One
// thread at a time.
#ifndef MERIDIAN_CERTS_CA_NEXT_H
#define MERIDIAN_CERTS_CA_NEXT_H

#include "base/bytes.h"
#include "base/diag.h"

#include <stdint.h>

// ERR_EXISTS: one lies there.
int ca_next_make(const char *ca_dir, const char *domain, struct diag *diag);
// ERR_NOTFOUND: none that is whole; others: its key does not fit, or others may read it. Appends its
// certificate; NULL: not wanted.
int ca_next_look(const char *ca_dir, char out_fingerprint[65], struct buf *out_pem);
// The key of the CA that was in use is gone then. ERR_NOTFOUND: there is none to take; as
// ca_next_look: the one in use stays.
int ca_next_take(const char *ca_dir, struct diag *diag);
int ca_next_discard(const char *ca_dir); // none is fine
// A take that a crash has cut short, ended. None is fine.
int ca_next_recover(const char *ca_dir, struct diag *diag);
struct ca_in_use { // wall
    char fingerprint[65];
    int64_t from_ms, until_ms;
};
int ca_in_use_look(const char *ca_dir, struct ca_in_use *out);
// Appends its certificate.
int ca_in_use_certificate(const char *ca_dir, struct buf *out_pem);

#endif
