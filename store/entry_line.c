// SPDX-License-Identifier: Apache-2.0
// JSON lines of feed entries, of either version; see entry.h. Pure functions, any thread.
#include "store/entry_priv.h"

#include "base/err.h"

#include <string.h>

// --- what lines of both versions have ---

void entry_content_add(struct buf *b, struct bytes content)
{
    buf_u8(b, '"');
    char *to = buf_room(b, b64_size(content.n));
    if (to)
        b->n += b64_format(content.p, content.n, to);
    buf_u8(b, '"');
}

int entry_content_read(const char *text, struct arena *arena, struct bytes *out)
{
    size_t n = strlen(text), room = n / 4 * 3 + 3, n_bytes = 0;
    if (!n)
        return 0;
    if (n > b64_size(ENTRY_INLINE_MAX))
        return ERR_PROTO;
    uint8_t *p = arena_alloc(arena, room);
    if (!p)
        return ERR_NOMEM;
    if (b64_parse(text, n, p, room, &n_bytes))
        return ERR_PROTO;
    *out = bytes_of(p, n_bytes);
    return 0;
}

int entry_sig_parse(const char *text, uint8_t out[ENTRY_SIG_BYTES])
{
    size_t n = 0;
    if (b64url_parse(text, strlen(text), out, ENTRY_SIG_BYTES, &n))
        return ERR_PROTO;
    if (n != ENTRY_SIG_BYTES)
        return ERR_PROTO;
    return 0;
}

// --- version 2 ---

static bool v2_ok(const struct feed_entry *e)
{
    if (!e->body.n || e->body.n > ENTRY_BODY_MAX || !entry_text_clean(e->body, true))
        return false;
    if (e->content.n && !entry_has(e, ENTRY_HAS_CONTENT))
        return false;
    return entry_key_ok(e->key) && e->content.n <= ENTRY_INLINE_MAX;
}

static int v2_format(const struct feed_entry *e, struct buf *out)
{
    char hash[2 * ENTRY_HASH_BYTES + 1], sig[b64_size(ENTRY_SIG_BYTES)];
    AUTO_BUF struct buf b;
    buf_init(&b, ENTRY_LINE_MAX);
    if (!v2_ok(e))
        return ERR_INVAL;
    hex_format(e->hash, ENTRY_HASH_BYTES, hash);
    b64url_format(e->sig, ENTRY_SIG_BYTES, sig);
    buf_str(&b, "{\"v\":2,\"body\":");
    entry_json_text(&b, e->body);
    buf_printf(&b, ",\"hash\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\"", hash, e->key, sig);
    if (e->content.n) {
        buf_str(&b, ",\"content\":");
        entry_content_add(&b, e->content);
    }
    if (e->ended)
        buf_str(&b, ",\"ended\":true");
    buf_str(&b, "}\n");
    if (b.err)
        return b.err;
    buf_add(out, b.p, b.n);
    return out->err;
}

static const char *text_of(const json_t *line, const char *name)
{
    const char *s = json_string_value(json_object_get(line, name));
    return s ? s : "";
}

static int v2_content_read(const json_t *line, struct arena *arena, struct feed_entry *e)
{
    if (!entry_has(e, ENTRY_HAS_CONTENT))
        return 0;
    int rc = entry_content_read(text_of(line, "content"), arena, &e->content);
    if (rc)
        return rc;
    return entry_content_check(e);
}

static int v2_parse(const json_t *line, struct arena *arena, struct feed_entry *out)
{
    struct feed_entry e;
    const char *body = text_of(line, "body"), *key = text_of(line, "key");
    if (!entry_key_ok(key))
        return ERR_PROTO;
    const char *body_copy = arena_strdup(arena, body), *key_copy = arena_strdup(arena, key);
    if (!body_copy || !key_copy)
        return ERR_NOMEM;
    int rc = entry_body_parse(bytes_str(body_copy), arena, &e);
    if (rc)
        return rc;
    e.key = key_copy;
    e.ended = json_is_true(json_object_get(line, "ended"));
    rc = entry_hash_parse(bytes_str(text_of(line, "hash")), e.hash);
    if (rc)
        return rc;
    rc = entry_sig_parse(text_of(line, "sig"), e.sig);
    if (rc)
        return rc;
    rc = v2_content_read(line, arena, &e);
    if (!rc)
        *out = e;
    return rc;
}

// --- either ---

int entry_format(const struct feed_entry *e, struct buf *out)
{
    if (e->version == 2)
        return v2_format(e, out);
    return entry_v1_format(e, out);
}

static int object_parse(json_t *line, struct arena *arena, struct feed_entry *out)
{
    const json_t *v = json_object_get(line, "v");
    if (!json_is_integer(v))
        return ERR_PROTO;
    if (json_integer_value(v) == 1)
        return entry_v1_parse(line, arena, out);
    if (json_integer_value(v) == 2)
        return v2_parse(line, arena, out);
    return ERR_PROTO;
}

int entry_parse(struct bytes line, struct arena *arena, struct feed_entry *out)
{
    json_error_t err;
    if (line.n > ENTRY_LINE_MAX)
        return ERR_PROTO;
    json_t *top = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, &err);
    if (!top) {
        if (json_error_code(&err) == json_error_out_of_memory)
            return ERR_NOMEM;
        return ERR_PROTO;
    }
    int rc = object_parse(top, arena, out);
    json_decref(top);
    return rc;
}
