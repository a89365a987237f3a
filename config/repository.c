// SPDX-License-Identifier: Apache-2.0
// Repository names; see repository.h.
#include "config/repository.h"

static bool lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// Bytes of one separator at p: ".", "_", "__", or dashes; 0 when there is none.
static size_t separator_at(const char *p, const char *end)
{
    size_t n = 0;
    if (*p == '.')
        return 1;
    if (*p == '_') {
        if (p + 1 < end && p[1] == '_')
            return 2;
        return 1;
    }
    while (p + n < end && p[n] == '-')
        n++;
    return n;
}

bool repository_name_ok(const char *s, size_t n)
{
    const char *p = s, *end = s + n;
    if (!n || n > REPOSITORY_NAME_MAX)
        return false;
    for (;;) {
        const char *word = p;
        while (p < end && lower_alnum(*p))
            p++;
        if (p == word)
            return false;
        if (p == end)
            return true;
        size_t k = 1;
        if (*p != '/')
            k = separator_at(p, end);
        if (!k)
            return false;
        p += k;
    }
}
