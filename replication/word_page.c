// SPDX-License-Identifier: Apache-2.0
// The text of a word; see word_page.h.
#include "replication/word_page.h"

#include "base/digest.h"
#include "base/err.h"
#include "config/registry_key.h"
#include "config/topology.h"
#include "replication/cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool word_stamp_parse(const json_t *text, uint64_t *out)
{
    const char *s = json_string_value(text);
    return s && !entry_decimal_parse(bytes_str(s), out);
}

json_t *word_stamp_json(uint64_t stamp)
{
    return json_sprintf("%" PRIu64, stamp);
}

int word_text(const char *origin, const struct promise *p, struct buf *out)
{
    char cur[CURSOR_TEXT_SIZE];
    buf_printf(out, "meridian-word-1\n%s\n%s\n%" PRIu64 "\n", origin, cursor_format(&p->head, cur),
               p->stamp);
    return out->err;
}

static bool promise_read(const json_t *j, struct word_page *p)
{
    size_t n = 0;
    const char *cur = json_string_value(json_object_get(j, "head")),
               *key = json_string_value(json_object_get(j, "key")),
               *sig = json_string_value(json_object_get(j, "sig"));
    if (!cur || !key || !sig || cursor_parse(cur, &p->promise.head) ||
        !word_stamp_parse(json_object_get(j, "stamp"), &p->promise.stamp))
        return false;
    int len = snprintf(p->key, sizeof p->key, "%s", key);
    if (len <= 0 || len >= (int)sizeof p->key)
        return false;
    if (b64url_parse(sig, strlen(sig), p->sig, sizeof p->sig, &n))
        return false;
    return n == sizeof p->sig;
}

// NULL: it says none.
static bool seals_ok(json_t *seals)
{
    struct feed_mark at;
    const char *region;
    json_t *value;
    if (!seals)
        return true;
    if (!json_is_object(seals) || json_object_size(seals) > TOPOLOGY_MAX_REGIONS)
        return false;
    json_object_foreach(seals, region, value)
    {
        const char *text = json_string_value(value);
        if (!hostname_region_ok(region) || !text || cursor_parse(text, &at))
            return false;
    }
    return true;
}

static bool row_ok(json_t *row)
{
    uint64_t stamp;
    const char *origin;
    json_t *value, *applied = json_object_get(row, "applied");
    if (!word_stamp_parse(json_object_get(row, "floor"), &stamp) || !json_is_object(applied) ||
        json_object_size(applied) > TOPOLOGY_MAX_REGIONS)
        return false;
    json_object_foreach(applied, origin, value)
    {
        if (!hostname_region_ok(origin) || !word_stamp_parse(value, &stamp))
            return false;
    }
    return seals_ok(json_object_get(row, "seals"));
}

static bool rows_ok(json_t *rows)
{
    const char *key;
    json_t *row;
    if (!json_is_object(rows) || json_object_size(rows) > WORDS_ROWS_MAX)
        return false;
    json_object_foreach(rows, key, row)
    {
        if (!registry_key_ok(key) || !row_ok(row))
            return false;
    }
    return true;
}

static bool page_read(struct word_page *p)
{
    const json_t *word = json_object_get(p->doc, "word");
    p->rows = json_object_get(p->doc, "registries");
    p->promises = word != NULL;
    return rows_ok(p->rows) && (!word || promise_read(word, p));
}

int word_page_read(struct bytes body, struct word_page *out)
{
    struct word_page p = {0};
    json_error_t error;
    p.doc = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, &error);
    if (!p.doc)
        return json_error_code(&error) == json_error_out_of_memory ? ERR_NOMEM : ERR_PROTO;
    if (!page_read(&p)) {
        word_page_done(&p);
        return ERR_PROTO;
    }
    *out = p;
    return 0;
}

void word_page_done(struct word_page *p)
{
    json_decref(p->doc);
    p->doc = p->rows = NULL;
}
