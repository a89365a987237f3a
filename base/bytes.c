// SPDX-License-Identifier: Apache-2.0
// Readers and buffers; see bytes.h.
#include "base/bytes.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){p, n};
}

struct bytes bytes_str(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

size_t bytes_lines(const char *text, size_t n)
{
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\n')
            lines++;
    return lines;
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool secret_equal(const void *a, size_t na, const void *b, size_t nb)
{
    if (na != nb)
        return false;
    const volatile uint8_t *x = a, *y = b;
    uint8_t diff = 0;
    for (size_t i = 0; i < na; i++)
        diff |= (uint8_t)(x[i] ^ y[i]);
    return diff == 0;
}

struct cursor cursor_of(struct bytes b)
{
    return (struct cursor){b.p, b.n ? b.p + b.n : b.p, b.p, false}; // nothing may be added to NULL
}

size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

size_t cursor_pos(const struct cursor *c)
{
    return (size_t)(c->p - c->start);
}

struct bytes cursor_take(struct cursor *c, size_t n)
{
    if (c->failed || n > cursor_left(c)) {
        c->failed = true;
        return (struct bytes){c->p, 0};
    }
    struct bytes b = {c->p, n};
    if (n)
        c->p += n;
    assert(c->p <= c->end);
    return b;
}

void cursor_skip(struct cursor *c, size_t n)
{
    (void)cursor_take(c, n);
}

static uint64_t take_uint(struct cursor *c, size_t n)
{
    struct bytes b = cursor_take(c, n);
    uint64_t v = 0;
    for (size_t i = 0; i < b.n; i++)
        v = v << 8 | b.p[i];
    return v;
}

uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)take_uint(c, 1);
}

uint16_t cursor_u16(struct cursor *c)
{
    return (uint16_t)take_uint(c, 2);
}

uint32_t cursor_u32(struct cursor *c)
{
    return (uint32_t)take_uint(c, 4);
}

uint64_t cursor_u64(struct cursor *c)
{
    return take_uint(c, 8);
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->err = 0;
    if (b->p)
        b->p[0] = 0;
}

// Below its ceiling, and where doubling cannot overflow.
static bool fits(const struct buf *b, size_t n)
{
    if (n > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
        return false;
    return !b->max || (n <= b->max && b->n <= b->max - n);
}

static bool grow(struct buf *b, size_t need)
{
    size_t cap = 64;
    if (b->cap)
        cap = b->cap * 2;
    while (cap < need)
        cap *= 2;
    char *p = mem_realloc(b->p, cap);
    if (!p)
        return false;
    b->p = p;
    b->cap = cap;
    return true;
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->err)
        return NULL;
    if (!fits(b, n)) {
        b->err = ERR_TOOBIG;
        return NULL;
    }
    if (b->n + n + 1 > b->cap && !grow(b, b->n + n + 1)) {
        b->err = ERR_NOMEM;
        return NULL;
    }
    return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    char *to = buf_room(b, n);
    if (!to)
        return;
    if (n)
        memcpy(to, p, n);
    b->n += n;
    assert(b->n < b->cap); // the NUL has its place
    b->p[b->n] = 0;
}

void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_u8(struct buf *b, uint8_t v)
{
    buf_add(b, &v, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0 && !b->err)
        b->err = ERR_TOOBIG; // longer than INT_MAX
    char *to = NULL;
    if (n >= 0)
        to = buf_room(b, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
    if (n > b->n)
        n = b->n;
    if (!n)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = 0;
}

char *buf_take(struct buf *b)
{
    if (b->err)
        return NULL;
    if (!b->p && !buf_room(b, 0))
        return NULL;
    b->p[b->n] = 0;
    char *p = b->p;
    *b = (struct buf){.max = b->max};
    return p;
}

const char *buf_cstr(const struct buf *b)
{
    if (!b->p || !b->n)
        return "";
    b->p[b->n] = 0; // after buf_room the caller moved n without closing the string
    return b->p;
}
