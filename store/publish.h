// SPDX-License-Identifier: Apache-2.0
// The end of an upload or a fetch: bytes that were committed come to serve. Here the blob store and
// the metadata meet.
//
//   rc = blob_upload_commit(u, &digest, &name, &size);
//   struct lease_add add = {.registry = "contoso", .repository = "app", .digest = digest,
//                           .published = &name, .size = size, .end = &end, .limits = &limits};
//   rc = blob_publish(blobs, meta, &add, &result);
//
// In the transaction of meta_lease_add the new generation comes to serve. The one that it takes the
// place of is retired, since it may be lost or damaged, which a push mends; and the digest leaves
// the list of damaged blobs. Bytes whose caller dies before this call, or whose call fails, are of
// no use to anybody but to the repetition of the same PUT; the collection sweeps them
// (store/meta_collect.h).
#ifndef MERIDIAN_STORE_PUBLISH_H
#define MERIDIAN_STORE_PUBLISH_H

#include "store/blob.h"
#include "store/meta_links.h"

// add->published is set. Errors are those of meta_lease_add.
int blob_publish(struct blob_store *bs, struct meta *m, const struct lease_add *add,
                 struct lease_result *out);

// Is the generation that serves here, and as long as it should be? `here` is what the metadata
// says. 0; ERR_NOTFOUND: it is lost or cut.
int blob_is_here(struct blob_store *bs, const struct blob_name *name, uint64_t size);

#endif
