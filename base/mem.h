// SPDX-License-Identifier: Apache-2.0
// Heap, and the cleanup attributes used outside arenas. Memory comes from malloc and is returned
// with free(), so that libraries and we can hand blocks to each other. Tests let allocations fail
// (base/mem_test.h). Any thread.
//
//   AUTO_FREE char *p = mem_printf("%s/%s", dir, name);
//   if (!p) return ERR_NOMEM;
//   *out = take_ptr(p);                      // hand over: p is NULL now, nothing is freed here
#ifndef MERIDIAN_BASE_MEM_H
#define MERIDIAN_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

void *mem_alloc(size_t n);                   // NULL when out of memory; n == 0 gives one byte
void *mem_zalloc(size_t n);                  // zeroed
void *mem_zalloc_array(size_t n, size_t sz); // zeroed, NULL on overflow of n * sz
void *mem_realloc(void *p, size_t n);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void mem_auto_free(void *pp);
// unused: some variables exist only to be released
#define AUTO_FREE __attribute__((cleanup(mem_auto_free), unused))

// Moves ownership out of a variable: yields its value and leaves NULL.
#define take_ptr(p)                    \
    ({                                 \
        __typeof__(p) take_ptr_ = (p); \
        (p) = NULL;                    \
        take_ptr_;                     \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
