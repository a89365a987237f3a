// SPDX-License-Identifier: Apache-2.0
// A place in the control feed; see place.h.
#include "control/place.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

int control_place_compare(const struct control_place *a, const struct control_place *b)
{
    if (a->epoch != b->epoch)
        return compare(a->epoch, b->epoch);
    return compare(a->seq, b->seq);
}

bool control_place_same(const struct control_place *a, const struct control_place *b)
{
    return !control_place_compare(a, b) && !memcmp(a->hash, b->hash, sizeof a->hash);
}

const char *control_place_format(const struct control_place *p, char out[CONTROL_PLACE_TEXT_SIZE])
{
    char hex[2 * SHA256_BYTES + 1];
    hex_format(p->hash, sizeof p->hash, hex);
    snprintf(out, CONTROL_PLACE_TEXT_SIZE, "%llu:%llu:%s", (unsigned long long)p->epoch,
             (unsigned long long)p->seq, hex);
    return out;
}

// Digits without a leading zero, up to `end`; at most INT64_MAX.
static bool take_number(const char **at, const char *end, uint64_t *out)
{
    uint64_t v = 0;
    const char *p = *at;
    while (p < end && *p >= '0' && *p <= '9' && v <= INT64_MAX / 10)
        v = v * 10 + (uint64_t)(*p++ - '0');
    bool padded = p - *at > 1 && **at == '0';
    if (p == *at || padded || v > INT64_MAX || p == end || *p != ':')
        return false;
    *at = p + 1;
    *out = v;
    return true;
}

static bool is_lower_hex(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!memchr("0123456789abcdef", p[i], 16))
            return false;
    return true;
}

int control_place_parse(const char *text, size_t n, struct control_place *out)
{
    const char *at = text, *end = text + n;
    struct control_place p;
    if (!take_number(&at, end, &p.epoch) || !take_number(&at, end, &p.seq))
        return ERR_INVAL;
    size_t left = (size_t)(end - at);
    if (left != 2 * sizeof p.hash || !is_lower_hex(at, left) ||
        hex_parse(at, left, p.hash, sizeof p.hash))
        return ERR_INVAL;
    *out = p;
    return 0;
}
