// SPDX-License-Identifier: Apache-2.0
// Lines of what is held; see holding.h.
#include "replication/holding.h"

#include "base/err.h"

#include <inttypes.h>
#include <string.h>

void holding_format(const struct holding *h, struct buf *out)
{
    char digest[DIGEST_TEXT_SIZE];
    buf_printf(out, "%s %s", content_kind_name(h->kind), digest_format(&h->digest, digest));
    if (h->has_size)
        buf_printf(out, " %" PRIu64, h->size);
    buf_str(out, "\n");
}

// Takes the word and the space behind it.
static bool word_take(const char **at, const char *end, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(end - *at) < n || memcmp(*at, word, n) != 0)
        return false;
    *at += n;
    return true;
}

// Decimal, without a leading zero, all of it.
static bool size_parse(const char *at, const char *end, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = (size_t)(end - at);
    if (!n || n > 19 || (*at == '0' && n > 1))
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        v = v * 10 + (uint64_t)(*at - '0');
    }
    *out = v;
    return true;
}

int holding_parse(const char **at, const char *end, struct holding *out)
{
    struct holding h = {0};
    const char *p = *at;
    const char *line_end = memchr(p, '\n', (size_t)(end - p));
    if (!line_end)
        return ERR_INVAL;
    if (word_take(&p, line_end, "blob "))
        h.kind = CONTENT_BLOB;
    else if (word_take(&p, line_end, "manifest "))
        h.kind = CONTENT_MANIFEST;
    else
        return ERR_INVAL;
    const char *digest_end = memchr(p, ' ', (size_t)(line_end - p));
    h.has_size = digest_end;
    if (!digest_end)
        digest_end = line_end;
    if (digest_parse(p, (size_t)(digest_end - p), &h.digest))
        return ERR_INVAL;
    if (h.has_size && !size_parse(digest_end + 1, line_end, &h.size))
        return ERR_INVAL;
    *at = line_end + 1;
    *out = h;
    return 0;
}
