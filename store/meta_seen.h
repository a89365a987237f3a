// SPDX-License-Identifier: Apache-2.0
// Looks at the metadata that can be remembered: what was shown, and by what to tell whether it still
// holds. Part of store/meta.h; store/hot.h remembers them.
//
//   rc = meta_manifest_see(m, "contoso", "app", "latest", NULL, &arena, &row, &seen);
//   … later, on any thread …
//   if (meta_seen_holds(m, &seen))       // the same look would show the same, now
//
// The numbers of `seen` were read before the look (store/changes.h says why). meta_seen_holds takes
// no lock and asks no disk.
#ifndef MERIDIAN_STORE_META_SEEN_H
#define MERIDIAN_STORE_META_SEEN_H

#include "store/meta_links.h"
#include "store/meta_manifests.h"

struct meta_seen {
    unsigned repo_shard, blob_shard;
    // 0: it holds no more, or cannot be told to
    uint64_t repo_number, blob_number;
};

// As meta_manifest_get. On failure nothing is to be remembered.
int meta_manifest_see(struct meta *m, const char *registry, const char *repository, const char *tag,
                      const struct digest *digest, struct arena *a, struct manifest_row *out,
                      struct meta_seen *seen);
// As meta_blob_look; the age is the moment's, and says nothing later.
int meta_blob_see(struct meta *m, const char *registry, const char *repository,
                  const struct digest *d, struct blob_here *out, struct meta_seen *seen);
bool meta_seen_holds(struct meta *m, const struct meta_seen *seen);

#endif
