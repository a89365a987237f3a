// SPDX-License-Identifier: Apache-2.0
// Cursors of a feed; see cursor.h. Called by the feed's server and its readers, on any thread.
#include "replication/cursor.h"

#include "base/err.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// The largest raw text: "1." + 20 digits + "." + 10 digits + "." + 20 digits + "." + 64 hex digits.
#define CURSOR_RAW_MAX 120

bool mark_equal(const struct feed_mark *a, const struct feed_mark *b)
{
    return mark_order(a, b) == 0 && a->partition == b->partition &&
           memcmp(a->hash, b->hash, sizeof a->hash) == 0;
}

bool mark_is_zero(const struct feed_mark *m)
{
    return m->epoch == 0 && m->seq == 0;
}

void mark_of_entry(const struct feed_entry *e, struct feed_mark *out)
{
    *out = (struct feed_mark){.epoch = e->epoch, .partition = e->partition, .seq = e->seq};
    memcpy(out->hash, e->hash, sizeof out->hash);
}

const char *cursor_format(const struct feed_mark *m, char out[CURSOR_TEXT_SIZE])
{
    out[0] = '\0';
    if (mark_is_zero(m))
        return out;
    char hex[2 * ENTRY_HASH_BYTES + 1], raw[CURSOR_RAW_MAX + 1];
    hex_format(m->hash, ENTRY_HASH_BYTES, hex);
    int n = snprintf(raw, sizeof raw, "1.%" PRIu64 ".%" PRIu32 ".%" PRIu64 ".%s", m->epoch,
                     m->partition, m->seq, hex);
    assert(n > 0 && (size_t)n < sizeof raw);
    b64url_format(raw, (size_t)n, out);
    return out;
}

// Decimal without sign, blanks or leading zeros, ended by `end`; moves *p past it.
static int number_take(const char **p, char end, uint64_t max, uint64_t *out)
{
    const char *s = *p;
    if (s[0] == '0' && s[1] != end)
        return ERR_INVAL;
    uint64_t v = 0;
    size_t n = 0;
    for (; s[n] >= '0' && s[n] <= '9'; n++) {
        uint64_t d = (uint64_t)(s[n] - '0');
        if (v > (max - d) / 10)
            return ERR_INVAL;
        v = v * 10 + d;
    }
    if (n == 0 || s[n] != end)
        return ERR_INVAL;
    *p = s + n + 1;
    *out = v;
    return 0;
}

int cursor_parse(const char *text, struct feed_mark *out)
{
    struct feed_mark m = {0};
    if (!*text) {
        *out = m;
        return 0;
    }
    char raw[CURSOR_RAW_MAX + 1];
    size_t n = 0;
    size_t len = strnlen(text, CURSOR_TEXT_SIZE);
    if (len >= CURSOR_TEXT_SIZE || b64url_parse(text, len, (uint8_t *)raw, CURSOR_RAW_MAX, &n))
        return ERR_INVAL;
    raw[n] = '\0';
    if (strlen(raw) != n)
        return ERR_INVAL;
    const char *p = raw;
    uint64_t version, partition;
    if (number_take(&p, '.', UINT32_MAX, &version))
        return ERR_INVAL;
    if (version != 1)
        return ERR_VERSION;
    // The ranges are those of entries: what the store can hold.
    if (number_take(&p, '.', INT64_MAX, &m.epoch) || number_take(&p, '.', INT32_MAX, &partition) ||
        number_take(&p, '.', INT64_MAX, &m.seq))
        return ERR_INVAL;
    for (const char *h = p; *h; h++) // one text per place: lower case only
        if (*h >= 'A' && *h <= 'F')
            return ERR_INVAL;
    if (hex_parse(p, strlen(p), m.hash, ENTRY_HASH_BYTES) || mark_is_zero(&m))
        return ERR_INVAL;
    m.partition = (uint32_t)partition;
    *out = m;
    return 0;
}
