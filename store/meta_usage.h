// SPDX-License-Identifier: Apache-2.0
// How much a registry and its repositories use in this region, and the limits that a caller judges
// it by. Part of store/meta.h, whose opening lines hold here too.
//
//   const struct usage_limits limits = {.registry_bytes = quota};
//   rc = meta_quota_look(m, "contoso", "app", &limits, more, &over);   // before bytes are taken
//   rc = meta_lease_add(m, &(struct lease_add){… .limits = &limits}, &result);   // judged for good
//
// Bytes are those of blobs, each once in what is asked for (a repository, or all of a registry),
// whether manifests link them or a lease keeps them, and of live manifests. Limits are the caller's:
// a write that comes from another region has none, and may go over them.
#ifndef MERIDIAN_STORE_META_USAGE_H
#define MERIDIAN_STORE_META_USAGE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;

struct usage {
    uint64_t bytes, blobs;
    // those that are live, and the tags that show one
    uint64_t manifests, tags;
};

struct usage_row {
    // of a registry: ""
    const char *repository;
    struct usage usage;
    // of a list of registries
    const char *registry;
    uint64_t n_repositories;
};

// `repository` NULL: of the registry. Zero when there is none.
int meta_usage_get(struct meta *m, const char *registry, const char *repository, struct usage *out);
// Of a registry's repositories after `after` (NULL: from the start) in byte order, at most `max`.
int meta_usage_list(struct meta *m, const char *registry, const char *after, size_t max,
                    struct arena *a, struct usage_row **out, size_t *out_n);

// Of all registries, in byte order.
int meta_usage_registries(struct meta *m, struct arena *a, struct usage_row **out, size_t *out_n);

// 0: no limit.
struct usage_limits {
    uint64_t registry_bytes, repository_bytes;
};

// Which limit would be exceeded, what is used without the write, and how much the write adds.
struct usage_over {
    bool of_registry;
    uint64_t use_bytes, limit_bytes, more_bytes;
};

// Would so many bytes more be too many? 0; ERR_QUOTA. Another write may come in between: the write
// itself judges again.
int meta_quota_look(struct meta *m, const char *registry, const char *repository,
                    const struct usage_limits *limits, uint64_t more_bytes,
                    struct usage_over *out_over);

#endif
