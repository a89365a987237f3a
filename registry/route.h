// SPDX-License-Identifier: Apache-2.0
// What a path of the registry means: one under /v2/ (distribution-spec 1.1, "Endpoints"), or one of
// ours under /registry/v1/, whose repository stands in the query. Pure. The raw path is taken as it
// was sent: no dot segments, no doubled slashes are repaired, and only the last segment (a
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
    // what the specification has no words for (extension.c)
    ROUTE_X_REPOSITORIES, // /registry/v1/repositories
    ROUTE_X_USAGE,        // /registry/v1/usage
    ROUTE_X_REPOSITORY,   // /registry/v1/repository
    ROUTE_X_TAGS,         // /registry/v1/tags
    ROUTE_X_MANIFESTS,    // /registry/v1/manifests
    ROUTE_X_HISTORY,      // /registry/v1/history
    ROUTE_X_RESTORE,      // /registry/v1/restore
    ROUTE_X_LOCK,         // /registry/v1/lock
    ROUTE_X_RETENTION,    // /registry/v1/retention
    ROUTE_X_AUDIT,        // /registry/v1/audit
    N_ROUTES
};

enum route_fault { ROUTE_FINE, ROUTE_BAD_NAME, ROUTE_BAD_TAG, ROUTE_BAD_DIGEST, ROUTE_BAD_UPLOAD };

struct route {
    enum route_kind kind;
    enum route_fault fault;
    // repository; NULL where there is none or it is malformed. Of a route under /registry/v1/ the
    // query has it, like tag and digest: route_query fills them.
    const char *name;
    // of a manifest; NULL when it is named by digest
    const char *tag;
    // of a blob, a referrers list, or a manifest without tag; n 0: none
    struct digest digest;
    const char *upload_id;
};

int route_parse(struct arena *a, const char *path, struct route *out); // ERR_NOMEM alone

// Which parameters a route under /registry/v1/ takes.
enum route_query {
    ROUTE_TAKES_REPOSITORY = 1,
    ROUTE_TAKES_TAG = 2,
    ROUTE_TAKES_DIGEST = 4,
    // one that it takes and that is not given is a fault
    ROUTE_NEEDS_TAG = 8,
    ROUTE_NEEDS_DIGEST = 16,
};
// Of `repository`, `tag` and `digest` as the query has them, decoded; NULL: not given. What is given
// and malformed, or missing, is a fault.
void route_query(struct route *r, unsigned takes, const char *repository, const char *tag,
                 const char *digest);

bool tag_ok(const char *s);
// "<region>.<32 hex digits>": is it one, and whose?
bool upload_id_ok(const char *id);
bool upload_id_of_region(const char *id, const char *region);

#endif
