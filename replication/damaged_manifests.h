// SPDX-License-Identifier: Apache-2.0
// Manifests of this region whose content is not what their digest says, until they are mended. A part
// of the mender (replication/mender.h), on its thread alone; no lock.
//
//   damaged_manifests_add(&l, "contoso", "app", &digest);
//   for (size_t i = l.n; i-- > 0;)
//       if (… it is mended …)
//           damaged_manifests_drop(&l, i);
//
// They are in memory: after a start the scrub, or a reader, finds them again. Zeroed memory is an
// empty list.
#ifndef MERIDIAN_REPLICATION_DAMAGED_MANIFESTS_H
#define MERIDIAN_REPLICATION_DAMAGED_MANIFESTS_H

#include "base/digest.h"
#include "config/registry_key.h"
#include "config/repository.h"

#include <stddef.h>

#define DAMAGED_MANIFESTS_MAX 64

struct damaged_manifest {
    // the registry by its key
    char registry[REGISTRY_KEY_SIZE], repository[REPOSITORY_NAME_MAX + 1];
    struct digest digest;
};

struct damaged_manifests {
    struct damaged_manifest list[DAMAGED_MANIFESTS_MAX];
    size_t n;
};

// true: it was not there and is now. false: it is there already, or there is no room for it: it is
// found again later.
bool damaged_manifests_add(struct damaged_manifests *l, const char *registry,
                           const char *repository, const struct digest *d);
void damaged_manifests_drop(struct damaged_manifests *l, size_t i);

#endif
