// SPDX-License-Identifier: Apache-2.0
// Group lifetime: many allocations, one release. One arena per request, one per snapshot
// generation.
//
//   struct arena a;
//   arena_init(&a, 1 << 20);                 // ceiling in bytes; 0: none
//   char *s = arena_printf(&a, "%s.%s", x, y);
//   arena_done(&a);                          // frees all of it
//
// Single-threaded: an arena belongs to one owner at a time. NULL is returned when the ceiling or
// the memory ends. Memory is zeroed and aligned for any type.
#ifndef MERIDIAN_BASE_ARENA_H
#define MERIDIAN_BASE_ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *head;
    // handed out
    size_t used_bytes;
    // 0: no ceiling
    size_t max_bytes;
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_done(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t n, size_t size);
void *arena_copy(struct arena *a, const void *p, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
