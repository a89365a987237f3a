// SPDX-License-Identifier: Apache-2.0
// Heads of registries' chains, as a sorted array; see feed_heads.h.
#include "replication/feed_heads.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/cursor.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_TEXT_MAX (REGISTRY_KEY_SIZE + 24 + 2 * ENTRY_HASH_BYTES)

struct feed_heads {
    struct head_row *rows;
    size_t n, cap;
};

int feed_heads_new(struct feed_heads **out)
{
    struct feed_heads *h = mem_zalloc(sizeof *h);
    if (!h)
        return ERR_NOMEM;
    *out = h;
    return 0;
}

void feed_heads_free(struct feed_heads *h)
{
    if (!h)
        return;
    free(h->rows);
    free(h);
}

void feed_heads_clear(struct feed_heads *h)
{
    h->n = 0;
}

// Where the registry's row is, or would be.
static size_t place_of(const struct feed_heads *h, const char *registry, bool *out_there)
{
    size_t low = 0, high = h->n;
    *out_there = false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(h->rows[mid].registry, registry);
        if (order == 0) {
            *out_there = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int room_make(struct feed_heads *h)
{
    if (h->n < h->cap)
        return 0;
    if (h->n == FEED_HEADS_MAX)
        return ERR_TOOBIG;
    size_t cap = 16;
    if (h->cap)
        cap = 2 * h->cap;
    struct head_row *rows = mem_realloc(h->rows, cap * sizeof *rows);
    if (!rows)
        return ERR_NOMEM;
    h->rows = rows;
    h->cap = cap;
    return 0;
}

int feed_heads_set(struct feed_heads *h, const struct head_row *row)
{
    bool there;
    size_t i = place_of(h, row->registry, &there);
    if (!there) {
        int rc = room_make(h);
        if (rc)
            return rc;
        memmove(&h->rows[i + 1], &h->rows[i], (h->n - i) * sizeof *h->rows);
        h->n++;
    }
    h->rows[i] = *row;
    return 0;
}

const struct head_row *feed_heads_get(const struct feed_heads *h, const char *registry)
{
    bool there;
    size_t i = place_of(h, registry, &there);
    if (!there)
        return NULL;
    return &h->rows[i];
}

size_t feed_heads_count(const struct feed_heads *h)
{
    return h->n;
}

const struct head_row *feed_heads_at(const struct feed_heads *h, size_t i)
{
    assert(i < h->n);
    return &h->rows[i];
}

bool head_row_of(const struct feed_entry *e, struct head_row *out)
{
    if (!e->registry_seq)
        return false;
    int n = snprintf(out->registry, sizeof out->registry, "%s", e->registry);
    if (n >= (int)sizeof out->registry)
        return false;
    out->seq = e->registry_seq;
    out->epoch = e->epoch;
    entry_body_hash(e, out->hash);
    return true;
}

static int rows_digest(const struct feed_heads *h, uint8_t out[SHA256_BYTES])
{
    char hash[2 * ENTRY_HASH_BYTES + 1];
    AUTO_BUF struct buf text;
    buf_init(&text, (FEED_HEADS_MAX + 1) * ROW_TEXT_MAX);
    for (size_t i = 0; i < h->n; i++) {
        const struct head_row *row = &h->rows[i];
        hex_format(row->hash, sizeof row->hash, hash);
        buf_printf(&text, "%s %" PRIu64 " %s\n", row->registry, row->seq, hash);
    }
    if (text.err)
        return text.err;
    sha256(text.p, text.n, out);
    return 0;
}

int feed_heads_text(const struct feed_heads *h, const char *origin, const struct feed_mark *place,
                    struct buf *out)
{
    uint8_t digest[SHA256_BYTES];
    char cur[CURSOR_TEXT_SIZE], hex[2 * SHA256_BYTES + 1];
    int rc = rows_digest(h, digest);
    if (rc)
        return rc;
    hex_format(digest, sizeof digest, hex);
    buf_printf(out, "meridian-heads-1\n%s\n%s\n%zu\n%s\n", origin, cursor_format(place, cur), h->n,
               hex);
    return out->err;
}

// What is held may be further: it was read before, and is read once more.
static bool reaches(const struct head_row *held, const struct head_row *said)
{
    if (held->seq != said->seq)
        return held->seq > said->seq;
    return memcmp(held->hash, said->hash, sizeof held->hash) == 0;
}

const struct head_row *feed_heads_lacking(const struct feed_heads *held,
                                          const struct feed_heads *said,
                                          const struct head_row **out_said)
{
    for (size_t i = 0; i < held->n; i++) {
        const struct head_row *row = &held->rows[i];
        *out_said = feed_heads_get(said, row->registry);
        if (!*out_said || !reaches(row, *out_said))
            return row;
    }
    return NULL;
}
