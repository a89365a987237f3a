// SPDX-License-Identifier: Apache-2.0
// Lists of a registry's repositories as their caller may see them (struct access, `visible`): pages
// that begin behind a name and hold visible ones alone, read from a sorted list without looking at
// the invisible ones between. Each pattern is a stretch of names in byte order: "a/b/*" those that
// begin with "a/b/", a name itself.
//
//   const struct visible_list list = {.read = names_read, .name = names_name, .take = names_take,
//                                     .ctx = &p};
//   rc = visible_page(&op->access, page.last, page.n + 1, &op->req->arena, &list);
//
// A page costs at most one read for each pattern that it comes to, and one for each VISIBLE_STEP
// names that it takes. On the pool.
#ifndef MERIDIAN_REGISTRY_VISIBLE_H
#define MERIDIAN_REGISTRY_VISIBLE_H

#include "auth/verify.h"
#include "base/arena.h"

#define VISIBLE_STEP 128

struct visible_list {
    // Reads at most n entries behind `after` (NULL: from the start), in byte order of their names.
    int (*read)(void *ctx, const char *after, size_t n, size_t *out_n);
    // of entry i of what was read last
    const char *(*name)(void *ctx, size_t i);
    // keeps it for the page
    void (*take)(void *ctx, size_t i);
    void *ctx;
};

// Takes at most n entries behind `last` (NULL: from the start).
int visible_page(const struct access *a, const char *last, size_t n, struct arena *arena,
                 const struct visible_list *list);

#endif
