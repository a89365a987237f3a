// SPDX-License-Identifier: Apache-2.0
// URLs that carry their own authority (design section 6): an HMAC under this region's key over
// kind, methods, host, registry, repository, upload id or digest, principal, expiry and key id.
// docker and ctr send no Authorization to a Location on another host, so an upload that moves to
// the regional host needs a signed URL, and so does a blob that is read from the data host. After
// an upload's end its URL only permits the PUT that ended it, sent again. A blob's URL is judged
// when a request begins; what runs then may last longer. The value is a secret until it expires,
// and never logged. Pure; HTTP threads and the pool.
//
//   signed_url_make(key, &u, &req->arena, &value);   // "<kid>.<expiry>.<principal>.<mac>"
//   // u->principal and u->expires_s are not read
//   rc = signed_url_check(key, &u, value, now_ms, a, &principal);
#ifndef MERIDIAN_REGISTRY_SIGNED_URL_H
#define MERIDIAN_REGISTRY_SIGNED_URL_H

#include "base/arena.h"

#include <stdint.h>

#define SIGNED_URL_PARAMETER "sig"
#define SIGNED_URL_KEY_BYTES 32
#define SIGNED_URL_LIFETIME_S (6 * 3600)
#define SIGNED_URL_UPLOAD_METHODS "GET HEAD PATCH PUT DELETE"
#define SIGNED_URL_BLOB_LIFETIME_S (20 * 60)
#define SIGNED_URL_BLOB_METHODS "GET HEAD"

struct signed_url {
    // "upload" or "blob"
    const char *kind;
    // SIGNED_URL_UPLOAD_METHODS or _BLOB_METHODS; the caller checks that the request's method is
    // one of them
    const char *methods;
    // the name that stands in the URL: lower case, without a port, without a final dot
    const char *host;
    // the registry's key
    const char *registry;
    const char *repository;
    // the upload's id, or the blob's digest
    const char *object;
    // "" for anonymous, else principal_subject_ok
    const char *principal;
    // Unix time
    int64_t expires_s;
};

// ERR_INVAL when a field has a control byte, or the principal is no user name; ERR_NOMEM,
// ERR_CRYPTO.
int signed_url_make(const uint8_t key[SIGNED_URL_KEY_BYTES], const struct signed_url *u,
                    struct arena *a, const char **out_value);
// ERR_AUTH: malformed, another key's, or not over these fields. ERR_EXPIRED: right but too old.
int signed_url_check(const uint8_t key[SIGNED_URL_KEY_BYTES], const struct signed_url *u,
                     const char *value, int64_t now_ms, struct arena *a,
                     const char **out_principal);

#endif
