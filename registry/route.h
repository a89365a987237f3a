// SPDX-License-Identifier: Apache-2.0
// What a path under /v2/ means (distribution-spec 1.1, "Endpoints"). Pure. The raw path is taken as
// it was sent: no dot segments, no doubled slashes are repaired, and only the last segment (a
// reference) may carry percent escapes.
//
//   struct route r;
//   if (route_parse(&req->arena, req->path, &r)) …out of memory…
//   if (r.kind == ROUTE_NONE) …404…   else if (r.fault) …400…
#ifndef MERIDIAN_REGISTRY_ROUTE_H
#define MERIDIAN_REGISTRY_ROUTE_H

#include "base/arena.h"
#include "base/digest.h"
#include "config/repository.h"
#include "net/http.h"

#include <stdbool.h>

#define UPLOAD_ID_HEX 32

enum route_kind {
    ROUTE_NONE,
    ROUTE_BASE,      // /v2 and /v2/
    ROUTE_CATALOG,   // /v2/_catalog
    ROUTE_TAGS,      // /v2/NAME/tags/list
    ROUTE_MANIFEST,  // /v2/NAME/manifests/REFERENCE
    ROUTE_BLOB,      // /v2/NAME/blobs/DIGEST
    ROUTE_UPLOADS,   // /v2/NAME/blobs/uploads/ (the slash may be left out)
    ROUTE_UPLOAD,    // /v2/NAME/blobs/uploads/ID
    ROUTE_REFERRERS, // /v2/NAME/referrers/DIGEST
};

enum route_fault { ROUTE_FINE, ROUTE_BAD_NAME, ROUTE_BAD_TAG, ROUTE_BAD_DIGEST, ROUTE_BAD_UPLOAD };

struct route {
    enum route_kind kind;
    enum route_fault fault;
    // repository; NULL where there is none or it is malformed
    const char *name;
    // of a manifest; NULL when it is named by digest
    const char *tag;
    // of a blob, a referrers list, or a manifest without tag
    struct digest digest;
    const char *upload_id;
};

int route_parse(struct arena *a, const char *path, struct route *out); // ERR_NOMEM alone

bool tag_ok(const char *s);
// "<region>.<32 hex digits>": is it one, and whose?
bool upload_id_ok(const char *id);
bool upload_id_of_region(const char *id, const char *region);

#endif
