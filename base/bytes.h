// SPDX-License-Identifier: Apache-2.0
// Byte ranges, the error-latching reader, and the growable buffer with a ceiling.
//
//   struct cursor c = cursor_of(packet);
//   uint16_t id = cursor_u16(&c), flags = cursor_u16(&c);
//   if (c.failed) return ERR_TRUNC;          // test once, at the end
//
//   struct buf b;
//   buf_init(&b, 64 << 10);
//   buf_printf(&b, "%s %d\n", name, n);
//   if (b.err) …                             // ERR_TOOBIG past the ceiling, ERR_NOMEM
//   buf_done(&b);
//
// Integers are big-endian (network order). Nothing here is shared between threads.
#ifndef MERIDIAN_BASE_BYTES_H
#define MERIDIAN_BASE_BYTES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes { // borrowed
    const uint8_t *p;
    size_t n;
};

struct bytes bytes_of(const void *p, size_t n);
struct bytes bytes_str(const char *s); // without the final NUL
bool bytes_equal(struct bytes a, struct bytes b);
size_t bytes_lines(const char *text, size_t n); // how many lines end in it
// Same contents? Time depends on the lengths only: for secrets, MACs and digests of secrets.
bool secret_equal(const void *a, size_t na, const void *b, size_t nb);

struct cursor {
    const uint8_t *p, *end, *start;
    // latched by the first read past the end; reads then give zero
    bool failed;
};

struct cursor cursor_of(struct bytes b);
size_t cursor_left(const struct cursor *c);
size_t cursor_pos(const struct cursor *c);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
struct bytes cursor_take(struct cursor *c, size_t n); // n bytes, or empty and failed
void cursor_skip(struct cursor *c, size_t n);

struct buf {
    // NUL-terminated whenever not NULL
    char *p;
    size_t n, cap;
    // ceiling of n; 0: none
    size_t max;
    // latched: ERR_TOOBIG or ERR_NOMEM; what did not fit is not written at all
    int err;
};

#define AUTO_BUF __attribute__((cleanup(buf_done)))
void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);
void buf_clear(struct buf *b); // keeps the memory, forgets the error
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_u8(struct buf *b, uint8_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
// Reserves room for n more bytes: where to write them, or NULL (latched). Commit with b->n +=
// written.
char *buf_room(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); // drops the first n bytes
char *buf_take(struct buf *b); // moves the memory out (never NULL unless b->err); b is empty after
const char *buf_cstr(const struct buf *b); // "" when empty

#endif
