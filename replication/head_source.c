// SPDX-License-Identifier: Apache-2.0
// Heads as a stream says them; see head_source.h.
#include "replication/head_source.h"

#include "base/err.h"
#include "base/mem.h"
#include "replication/cursor.h"
#include "replication/feed_line.h"
#include "store/meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct head_source {
    struct meta *meta;
    const char *origin;
    const char *const *registries;
    size_t n_registries;
    // as they are at the stream's place, and as the stream said them
    struct feed_heads *now, *said;
    // all registries were looked up
    bool loaded;
    uint8_t sig[ENTRY_SIG_BYTES];
    const char *key;
    // of the next line
    struct head_row rows[FEED_HEADS_LINE_MAX];
    // rows of `now` before it were said
    size_t next;
};

int head_source_new(struct meta *m, const char *origin, const char *const *registries, size_t n,
                    struct head_source **out)
{
    struct head_source *h = mem_zalloc(sizeof *h);
    if (!h)
        return ERR_NOMEM;
    *h = (struct head_source){
        .meta = m, .origin = origin, .registries = registries, .n_registries = n};
    int rc = feed_heads_new(&h->now);
    if (!rc)
        rc = feed_heads_new(&h->said);
    if (rc) {
        head_source_free(h);
        return rc;
    }
    *out = h;
    return 0;
}

void head_source_free(struct head_source *h)
{
    if (!h)
        return;
    feed_heads_free(h->now);
    feed_heads_free(h->said);
    free(h);
}

void head_source_moved(struct head_source *h, const struct feed_entry *e)
{
    struct head_row row;
    if (!head_row_of(e, &row))
        return;
    if (feed_heads_set(h->now, &row))
        h->loaded = false; // it is looked up before the next signature
}

// --- the first look ---

static int heads_load(struct head_source *h, const struct feed_mark *place)
{
    for (size_t i = 0; i < h->n_registries; i++) {
        const char *registry = h->registries[i];
        if (feed_heads_get(h->now, registry)) // the stream said an entry of it
            continue;
        struct head_row row = {0};
        snprintf(row.registry, sizeof row.registry, "%s", registry);
        int rc = meta_registry_head(h->meta, h->origin, registry, place, &row.seq, row.hash);
        if (!rc)
            rc = feed_heads_set(h->now, &row);
        if (rc)
            return rc;
    }
    h->loaded = true;
    return 0;
}

// --- saying ---

int head_source_sign(struct head_source *h, const struct feed_mark *place)
{
    AUTO_BUF struct buf text;
    int rc = 0;
    buf_init(&text, 4096);
    if (!h->loaded)
        rc = heads_load(h, place);
    if (!rc)
        rc = feed_heads_text(h->now, h->origin, place, &text);
    if (rc)
        return rc;
    h->next = 0;
    return meta_sign(h->meta, text.p, text.n, &h->key, h->sig);
}

static bool row_changed(const struct head_source *h, const struct head_row *row)
{
    const struct head_row *said = feed_heads_get(h->said, row->registry);
    return !said || said->seq != row->seq || memcmp(said->hash, row->hash, sizeof row->hash) != 0;
}

bool head_source_rows(struct head_source *h, const struct head_row **out, size_t *out_n)
{
    size_t n = 0, n_all = feed_heads_count(h->now);
    for (; h->next < n_all && n < FEED_HEADS_LINE_MAX; h->next++) {
        const struct head_row *row = feed_heads_at(h->now, h->next);
        if (!row_changed(h, row))
            continue;
        if (feed_heads_set(h->said, row))
            break; // out of memory: it is said again with the next ones
        h->rows[n++] = *row;
    }
    *out = h->rows;
    *out_n = n;
    return n == FEED_HEADS_LINE_MAX;
}

void head_source_signed(const struct head_source *h, const uint8_t **out_sig, const char **out_key)
{
    *out_sig = h->sig;
    *out_key = h->key;
}
