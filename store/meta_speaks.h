// SPDX-License-Identifier: Apache-2.0
// Which version of feed entries (store/entry.h) is minted here, and what other regions said that
// they read. See meta.h for threads, arenas and errors.
//
//   meta_set_behind(m, some_member_is_behind, ctx);         // before the first write
//   rc = meta_manifest_put(m, &put, &result);               // ERR_BEHIND: this cannot be said yet
//   if (rc == ERR_BEHIND && meta_behind(m, "contoso", region)) …503, naming region…
//
// A region that reads version 1 ends the connection at an entry of version 2, for good. So a
// registry's entries are minted in version 1 while a region that holds it said version 1 last, and
// what version 1 cannot say is refused with ERR_BEHIND: deletion, locks, create-only tags, absent
// children, digests other than sha256, registries with an incarnation. The first entry of version 2
// in a registry, minted here or read, is recorded: from then on nothing else is minted there.
#ifndef MERIDIAN_STORE_META_SPEAKS_H
#define MERIDIAN_STORE_META_SPEAKS_H

#include "config/hostname.h"

#include <stdbool.h>

struct meta;

// Does a region that holds this registry (its key) read version 1 alone? True with its name. Called
// inside write transactions, on a thread of the store's: it must not block, and not call the store.
// Asked at each mint until version 2 has begun in that registry.
typedef bool meta_behind_fn(void *ctx, const char *registry, char out_region[HOSTNAME_REGION_SIZE]);
// Before the first write. NULL, and before the call: nobody is behind.
void meta_set_behind(struct meta *m, meta_behind_fn *fn, void *ctx);
// Asks now: for the sentence that goes with ERR_BEHIND.
bool meta_behind(struct meta *m, const char *registry, char out_region[HOSTNAME_REGION_SIZE]);

// 2: version 2 has begun in this registry, whichever region minted it. Else 1.
int meta_registry_version(struct meta *m, const char *registry, unsigned *out);

// The version that a region said last, over restarts. 0: it has never said one.
int meta_word_get(struct meta *m, const char *region, unsigned *out);
// Writes only what changes.
int meta_word_set(struct meta *m, const char *region, unsigned version);

#endif
