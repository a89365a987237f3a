// SPDX-License-Identifier: Apache-2.0
// Heap wrappers; see mem.h. The fault counter is per process and only tests set it.
#include "base/mem.h"

#include "base/mem_test.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static _Atomic long fault_countdown; // 0 off; 1 fail now and from now on
static _Atomic long fault_hits;

void mem_fault_after(long n)
{
    atomic_store(&fault_hits, 0);
    atomic_store(&fault_countdown, n);
}

long mem_fault_hits(void)
{
    return atomic_load(&fault_hits);
}

static int must_fail(void)
{
    long n = atomic_load_explicit(&fault_countdown, memory_order_relaxed);
    if (n == 0)
        return 0;
    while (n > 1) // two threads at once must not count past 1 to "off"
        if (atomic_compare_exchange_weak(&fault_countdown, &n, n - 1))
            return 0;
    if (n == 0)
        return 0;
    atomic_fetch_add(&fault_hits, 1);
    return 1;
}

void *mem_alloc(size_t n)
{
    if (must_fail())
        return NULL;
    return malloc(n ? n : 1);
}

void *mem_zalloc(size_t n)
{
    if (must_fail())
        return NULL;
    return calloc(1, n ? n : 1);
}

void *mem_zalloc_array(size_t n, size_t sz)
{
    if (sz && n > SIZE_MAX / sz)
        return NULL;
    return mem_zalloc(n * sz);
}

void *mem_realloc(void *p, size_t n)
{
    if (must_fail())
        return NULL;
    return realloc(p, n ? n : 1);
}

char *mem_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = mem_alloc(len + 1);
    if (!p)
        return NULL;
    memcpy(p, s, len);
    p[len] = 0;
    return p;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = NULL;
    if (n >= 0)
        p = mem_alloc((size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void mem_auto_free(void *pp)
{
    free(*(void **)pp);
}
