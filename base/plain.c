// SPDX-License-Identifier: Apache-2.0
// See plain.h. UTF-8 as RFC 3629 has it.
#include "base/plain.h"

#include <stdint.h>

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

// How long the sequence is that begins with this byte; 0: none begins so.
static size_t sequence_size(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first < 0xe0)
        return 2;
    if (first >= 0xe0 && first < 0xf0)
        return 3;
    if (first >= 0xf0 && first < 0xf5)
        return 4;
    return 0;
}

static bool in_range(uint32_t c, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool surrogate = c >= 0xd800 && c < 0xe000;
    return c >= least[size] && c <= 0x10ffff && !surrogate;
}

// The character at s; *out_size: its bytes, 1 where it is none. False: no UTF-8.
static bool decode(const uint8_t *s, size_t n, uint32_t *out, size_t *out_size)
{
    static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t size = sequence_size(s[0]);
    *out_size = 1;
    if (!size || size > n)
        return false;
    uint32_t c = s[0] & masks[size];
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return false;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (!in_range(c, size))
        return false;
    *out = c;
    *out_size = size;
    return true;
}

// The size of the character at s; *out_good: it may be shown.
static size_t look(const char *s, size_t n, bool lines, bool *out_good)
{
    uint32_t c = 0;
    size_t size;
    *out_good = decode((const uint8_t *)s, n, &c, &size) && !is_control(c);
    if (lines && (*s == '\n' || *s == '\t'))
        *out_good = true;
    return size;
}

static void clean(char *s, size_t n, bool lines)
{
    for (size_t i = 0, size; i < n; i += size) {
        bool good;
        size = look(s + i, n - i, lines, &good);
        for (size_t k = 0; !good && k < size; k++)
            s[i + k] = '?';
    }
}

static bool is_clean(const char *s, size_t n, bool lines)
{
    bool good = true;
    for (size_t i = 0, size; good && i < n; i += size)
        size = look(s + i, n - i, lines, &good);
    return good;
}

void text_plain(char *s, size_t n)
{
    clean(s, n, false);
}

void text_plain_lines(char *s, size_t n)
{
    clean(s, n, true);
}

bool text_is_plain(const char *s, size_t n)
{
    return is_clean(s, n, false);
}

bool text_is_plain_lines(const char *s, size_t n)
{
    return is_clean(s, n, true);
}
