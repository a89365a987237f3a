// SPDX-License-Identifier: Apache-2.0
// Which blobs a repository has: by links, which derive from its live manifests, and by leases,
// which carry the grace. Part of store/meta.h, whose opening lines hold here too.
//
//   rc = meta_blob_look(m, "contoso", "app", &digest, &here);  // ERR_NOTFOUND: not in there
//   rc = blob_publish(blobs, m, &add, &result);                // store/publish.h: an upload ends
//   rc = meta_lease_add(m, &mount, &result);                   // a blob that is here, for one more
//
// A blob exists in a repository while a live manifest of the repository refers to it or it has a
// lease there. A lease is made by the end of an upload, by a mount, by a fetch, and when the last
// live manifest that referred to the blob goes. The grace is counted by the monotonic clock, anew
// after a start; whether it is over is the collection's to say (store/meta_collect.h): until that
// has taken the lease away, the blob exists.
//
// A blob that no repository holds is condemned, later deleted, and then its file goes. A hold
// revives a condemned one in its transaction. Bytes that come for a digest whose file is being
// removed are another generation (store/blob.h), which nobody removes with the old one.
#ifndef MERIDIAN_STORE_META_LINKS_H
#define MERIDIAN_STORE_META_LINKS_H

#include "base/arena.h"
#include "base/digest.h"
#include "store/blob.h"
#include "store/meta_usage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;
struct upload_end;

// --- looks ---

struct blob_here {
    // the generation that serves
    struct blob_name name;
    uint64_t size;
    // a live manifest of the repository refers to it; else it is there by a lease
    bool linked;
    // how long a lease has lasted
    int64_t age_ms;
};

// One statement; every GET and HEAD of a blob is this. ERR_NOTFOUND.
int meta_blob_look(struct meta *m, const char *registry, const char *repository,
                   const struct digest *d, struct blob_here *out);
// Any repository of this registry that has d and for which `may` says yes (for mounts that name no
// source). ERR_NOTFOUND.
int meta_blob_look_any(struct meta *m, const char *registry, const struct digest *d,
                       bool (*may)(void *ctx, const char *repository), void *ctx,
                       struct blob_here *out);
// Is the blob in this region, whoever has it, and even if nobody does any more? ERR_NOTFOUND.
int meta_blob_find(struct meta *m, const struct digest *d, struct blob_name *out,
                   uint64_t *out_size);

struct link_row {
    const char *registry, *repository;
    uint64_t size;
};

// Up to `max` repositories that have d, of all registries.
int meta_links_of(struct meta *m, const struct digest *d, size_t max, struct arena *a,
                  struct link_row **out, size_t *out_n);

// --- leases ---

struct lease_add {
    const char *registry, *repository;
    struct digest digest;
    // Bytes that were published just now, with their size: they serve from now on. NULL: the blob
    // must be here already.
    const struct blob_name *published;
    uint64_t size;
    // The region from which the bytes came, for a push that scattered over regions; NULL: none.
    const char *peer;
    // The upload that ends with it, in the same transaction: its row goes, and what it became is
    // remembered. NULL: none.
    const struct upload_end *end;
    // NULL: none, as for what another region wrote.
    const struct usage_limits *limits;
};

struct lease_result {
    // Which generation serves from now on.
    struct blob_name serves;
    uint64_t size;
    // A generation that `published` took the place of: its bytes are not needed any more.
    bool replaced;
    struct blob_name old;
    // of ERR_QUOTA, set on failure
    struct usage_over over;
};

// Gives the repository a lease of the blob, or renews it; revives a condemned blob. ERR_NOTFOUND:
// nothing was published, and the blob is not here. ERR_QUOTA: the repository has not got it yet, and
// a limit is in the way.
int meta_lease_add(struct meta *m, const struct lease_add *add, struct lease_result *out);

// For a HEAD by a caller who may push, after meta_blob_look: the lease must last for its push. It
// writes nothing when a manifest links the blob, or when more than half of the grace is left.
// ERR_NOTFOUND: the blob is gone meanwhile.
int meta_lease_renew(struct meta *m, const char *registry, const char *repository,
                     const struct blob_here *here);

// How long a lease lasts: longer than the longest push. 24 hours until it is set.
#define META_LEASE_GRACE_MS (24 * 3600 * 1000ll)
void meta_set_lease_grace(struct meta *m, int64_t grace_ms);
int64_t meta_lease_grace(struct meta *m);

#endif
