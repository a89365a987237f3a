// SPDX-License-Identifier: Apache-2.0
// Bump allocation in linked blocks; see arena.h.
#include "base/arena.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES 4096           // of the first ones
#define BLOCK_MAX_BYTES (1u << 20) // they grow with what the arena holds: a large one has few
#define ALIGN 16

struct arena_block {
    struct arena_block *next;
    size_t cap, used;
    _Alignas(ALIGN) unsigned char data[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

void arena_done(struct arena *a)
{
    for (struct arena_block *b = a->head; b;) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
    *a = (struct arena){.max_bytes = a->max_bytes};
}

static size_t block_bytes(const struct arena *a)
{
    size_t eighth = a->used_bytes / 8;
    if (eighth < BLOCK_BYTES)
        return BLOCK_BYTES;
    if (eighth > BLOCK_MAX_BYTES)
        return BLOCK_MAX_BYTES;
    return eighth;
}

// A block that has room for n bytes. NULL: out of memory.
static struct arena_block *add_block(struct arena *a, size_t n)
{
    size_t block = block_bytes(a);
    bool is_big = n > block / 2; // it gets a block of its own size
    size_t cap = is_big ? n : block - sizeof(struct arena_block);
    struct arena_block *b = mem_zalloc(sizeof *b + cap), *head = a->head;
    if (!b)
        return NULL;
    b->cap = cap;
    if (is_big && head && head->cap > head->used) {
        b->next = head->next; // keep the half-full block in front
        head->next = b;
        return b;
    }
    b->next = head;
    a->head = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    if (n)
        n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    else
        n = ALIGN;
    if (a->max_bytes && (n > a->max_bytes || a->used_bytes > a->max_bytes - n))
        return NULL;
    struct arena_block *b = a->head;
    if (!b || b->cap - b->used < n)
        b = add_block(a, n);
    if (!b)
        return NULL;
    void *p = b->data + b->used;
    b->used += n;
    a->used_bytes += n;
    assert(b->used <= b->cap);
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / 2 / size)
        return NULL;
    return arena_alloc(a, n * size);
}

void *arena_copy(struct arena *a, const void *p, size_t n)
{
    void *q = arena_alloc(a, n);
    if (q && n)
        memcpy(q, p, n);
    return q;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = arena_alloc(a, len + 1);
    if (p)
        memcpy(p, s, len);
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = NULL;
    if (n >= 0)
        p = arena_alloc(a, (size_t)n + 1);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}
