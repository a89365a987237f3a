// SPDX-License-Identifier: Apache-2.0
// Version 1 of feed entries: signed text and JSON line; see entry.h. Pure functions, any thread.
//
// What passes entry_check holds no byte that JSON would escape, so the line is written plainly and
// reads back as the same entry.
#include "store/entry_priv.h"

#include "base/err.h"

#include <inttypes.h>
#include <string.h>

// The form of a kind that version 1 has; NULL: it cannot say this entry.
static const struct entry_form *v1_form(const struct feed_entry *e)
{
    const struct entry_form *form = entry_form(e->kind);
    if (!form || !form->name || e->digest.n > sizeof e->digest.b)
        return NULL;
    return form;
}

static void text_line(struct buf *b, const char *s, bool *bad)
{
    for (const char *c = s ? s : ""; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *bad = true;
    buf_str(b, s ? s : "");
    buf_u8(b, '\n');
}

int entry_v1_text(const struct feed_entry *e, struct buf *out)
{
    char digest[DIGEST_TEXT_SIZE];
    const struct entry_form *form = v1_form(e);
    bool bad = false;
    if (!form)
        return ERR_INVAL;
    AUTO_BUF struct buf b;
    buf_init(&b, 16384);
    buf_str(&b, "meridian-feed-1\n");
    text_line(&b, e->origin, &bad);
    buf_printf(&b, "%" PRIu64 "\n%" PRIu32 "\n%" PRIu64 "\n%" PRIu64 "\n%" PRIu64 "\n", e->epoch,
               e->partition, e->seq, e->stamp, e->restates);
    text_line(&b, form->name, &bad);
    text_line(&b, e->registry, &bad);
    text_line(&b, e->repository, &bad);
    text_line(&b, e->tag, &bad);
    text_line(&b, digest_format(&e->digest, digest), &bad);
    text_line(&b, e->media_type, &bad);
    buf_printf(&b, "%" PRIu64 "\n", e->size);
    if (bad || b.err) {
        if (bad)
            return ERR_INVAL;
        return b.err;
    }
    buf_add(out, b.p, b.n);
    return out->err;
}

static int v1_check(const struct feed_entry *e)
{
    if (!v1_form(e) || entry_check(e) || !entry_key_ok(e->key))
        return ERR_INVAL;
    if (entry_needs_v2(e))
        return ERR_INVAL;
    return 0;
}

int entry_v1_format(const struct feed_entry *e, struct buf *out)
{
    if (entry_malformed(e) || v1_check(e))
        return ERR_INVAL;
    const struct entry_form *form = entry_form(e->kind);
    char digest[DIGEST_TEXT_SIZE], hash[2 * ENTRY_HASH_BYTES + 1], sig[b64_size(ENTRY_SIG_BYTES)];
    hex_format(e->hash, ENTRY_HASH_BYTES, hash);
    b64url_format(e->sig, ENTRY_SIG_BYTES, sig);
    AUTO_BUF struct buf b;
    buf_init(&b, ENTRY_LINE_MAX);
    buf_printf(&b,
               "{\"v\":1,\"origin\":\"%s\",\"epoch\":%" PRIu64 ",\"partition\":%" PRIu32
               ",\"seq\":%" PRIu64 ",\"stamp\":\"%" PRIu64 "\"",
               e->origin, e->epoch, e->partition, e->seq, e->stamp);
    if (e->restates)
        buf_printf(&b, ",\"restates\":\"%" PRIu64 "\"", e->restates);
    buf_printf(&b, ",\"kind\":\"%s\",\"registry\":\"%s\",\"repository\":\"%s\"", form->name,
               e->registry, e->repository);
    if (form->members & ENTRY_HAS_TAG)
        buf_printf(&b, ",\"tag\":\"%s\"", e->tag);
    buf_printf(&b, ",\"digest\":\"%s\"", digest_format(&e->digest, digest));
    if (form->members & ENTRY_HAS_CONTENT)
        buf_printf(&b, ",\"mediaType\":\"%s\",\"size\":%" PRIu64, e->media_type, e->size);
    if (e->content.n) {
        buf_str(&b, ",\"content\":");
        entry_content_add(&b, e->content);
    }
    buf_printf(&b, ",\"hash\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\"}\n", hash, e->key, sig);
    if (b.err)
        return b.err;
    buf_add(out, b.p, b.n);
    return out->err;
}

// --- reading a line ---

struct reader {
    json_t *top;
    // members that were asked for and are there
    size_t n_known;
    bool failed;
    struct arena *arena;
};

static json_t *member(struct reader *r, const char *key)
{
    json_t *j = json_object_get(r->top, key);
    r->n_known += j != NULL;
    return j;
}

static const char *read_text(struct reader *r, const char *key, bool required)
{
    json_t *j = member(r, key);
    if (!j && !required)
        return "";
    if (!json_is_string(j) || !json_string_length(j)) {
        r->failed = true;
        return "";
    }
    return json_string_value(j);
}

static uint64_t read_uint(struct reader *r, const char *key, bool required)
{
    json_t *j = member(r, key);
    if (!j && !required)
        return 0;
    if (!json_is_integer(j) || json_integer_value(j) < 0) {
        r->failed = true;
        return 0;
    }
    return (uint64_t)json_integer_value(j);
}

// Stamps are texts because many JSON readers round numbers.
static uint64_t read_decimal(struct reader *r, const char *key, bool required)
{
    const char *s = read_text(r, key, required);
    uint64_t v = 0;
    if (!required && !*s)
        return 0;
    if (entry_decimal_parse(bytes_str(s), &v) || v == 0)
        r->failed = true;
    return v;
}

static const char *keep(struct reader *r, const char *s, int *rc)
{
    char *copy = arena_strdup(r->arena, s);
    if (!copy)
        *rc = ERR_NOMEM;
    return copy;
}

// The members that not every kind has. What the kind does not have is not asked for, and makes the
// line one of unknown members.
static int kind_read(struct reader *r, struct feed_entry *e)
{
    int rc = 0;
    const char *tag = "", *media_type = "";
    bool has_content = entry_has(e, ENTRY_HAS_CONTENT);
    if (entry_has(e, ENTRY_HAS_TAG))
        tag = read_text(r, "tag", true);
    if (has_content) {
        media_type = read_text(r, "mediaType", true);
        e->size = read_uint(r, "size", true);
    }
    e->tag = keep(r, tag, &rc);
    e->media_type = keep(r, media_type, &rc);
    if (rc || !has_content)
        return rc;
    return entry_content_read(read_text(r, "content", false), r->arena, &e->content);
}

static int proofs_read(const char *digest, const char *hash, const char *sig, struct feed_entry *e)
{
    if (digest_parse(digest, strlen(digest), &e->digest))
        return ERR_PROTO;
    if (entry_hash_parse(bytes_str(hash), e->hash))
        return ERR_PROTO;
    return entry_sig_parse(sig, e->sig);
}

static int line_read(struct reader *r, struct feed_entry *e)
{
    const char *digest = read_text(r, "digest", true), *hash = read_text(r, "hash", true);
    const char *sig = read_text(r, "sig", true);
    uint64_t v = read_uint(r, "v", true), partition = read_uint(r, "partition", true);
    int rc = 0;
    e->origin = keep(r, read_text(r, "origin", true), &rc);
    e->epoch = read_uint(r, "epoch", true);
    e->partition = (uint32_t)partition;
    e->seq = read_uint(r, "seq", true);
    e->stamp = read_decimal(r, "stamp", true);
    e->restates = read_decimal(r, "restates", false);
    e->kind = entry_kind_named(read_text(r, "kind", true));
    e->registry = keep(r, read_text(r, "registry", true), &rc);
    e->repository = keep(r, read_text(r, "repository", true), &rc);
    e->key = keep(r, read_text(r, "key", true), &rc);
    if (rc)
        return rc;
    rc = kind_read(r, e);
    if (rc)
        return rc;
    if (r->failed || v != 1 || partition > INT32_MAX)
        return ERR_PROTO;
    if (json_object_size(r->top) != r->n_known)
        return ERR_PROTO; // an unknown member would not be under the signature
    rc = proofs_read(digest, hash, sig, e);
    if (rc)
        return rc;
    if (v1_check(e))
        return ERR_PROTO;
    return entry_content_check(e);
}

int entry_v1_parse(json_t *line, struct arena *arena, struct feed_entry *out)
{
    struct reader r = {.top = line, .arena = arena};
    struct feed_entry e = {.version = 1, .by = "", .rule = "", .judged_origin = ""};
    int rc = line_read(&r, &e);
    if (rc)
        return rc;
    const struct entry_form *form = entry_form(e.kind);
    e.subject = form->subject;
    e.attribute = form->attribute;
    *out = e;
    return 0;
}
