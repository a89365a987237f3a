// SPDX-License-Identifier: Apache-2.0
// A region's request for a certificate, as the CA's node accepts it: a signed text
// (certs/signed_text.h) of the form
//
//   {"v":1,"domain":D,"region":R,"kind":"region","nonce":hex,"csr":PEM}
//
// The nonce is the CA's (certs/nonces.h); the request's own key is proved by the CSR's own
// signature (certs/ca.h).
#ifndef MERIDIAN_CERTS_SIGNED_REQUEST_H
#define MERIDIAN_CERTS_SIGNED_REQUEST_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "certs/keys.h"
#include "certs/plan.h"

#define SIGNED_REQUEST_PREFIX "meridian certificate request 1\n"

struct signed_request {
    const char *domain, *region, *nonce, *csr;
    enum cert_kind kind;
};

int signed_request_format(const struct signed_request *q, struct region_keys *keys,
                          struct buf *out);
// `from`: the region whose peer certificate came with it; it may ask for itself only. Strings hang
// off `a`. ERR_DENIED with a sentence for the asking region; ERR_NOMEM.
int signed_request_parse(const struct topology *t, const char *from, struct bytes text,
                         struct arena *a, struct diag *diag, struct signed_request *out);

#endif
