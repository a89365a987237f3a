// SPDX-License-Identifier: Apache-2.0
// Feed entries as signed text, running hash and JSON line; see entry.h. Pure functions, any thread.
//
// One grammar decides what may be in an entry (entry_check); what passes it holds no byte that JSON
// would escape, so the line is written plainly and reads back as the same entry.
#include "store/entry.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/repository.h"
#include "store/entry_kind.h"
#include "store/manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

bool entry_repository_ok(const char *s)
{
    return s && repository_name_ok(s, strnlen(s, REPOSITORY_NAME_MAX + 1));
}

bool entry_tag_ok(const char *s)
{
    size_t n = 0;
    if (s)
        n = strnlen(s, 129);
    return n >= 1 && n <= 128 && *s != '.' && *s != '-' && strspn(s, LOWER UPPER DIGITS "._-") == n;
}

static bool key_ok(const char *s)
{
    size_t n = 0;
    if (s)
        n = strnlen(s, 129);
    return n >= 1 && n <= 128 && strspn(s, LOWER UPPER DIGITS "._-+/=:@") == n;
}

static bool absent(const char *s)
{
    return !s || !*s;
}

// Names that stand in every entry.
static bool names_ok(const struct feed_entry *e)
{
    if (!e->origin || !hostname_region_ok(e->origin))
        return false;
    if (!e->registry || !hostname_registry_ok(e->registry))
        return false;
    return entry_repository_ok(e->repository) && key_ok(e->key);
}

// 64-bit numbers stay below 2^63: databases and JSON readers have signed ones.
static bool numbers_ok(const struct feed_entry *e)
{
    if (!e->epoch || e->epoch > INT64_MAX)
        return false;
    if (e->partition > INT32_MAX)
        return false;
    if (!e->seq || e->seq > INT64_MAX)
        return false;
    if (!e->stamp || e->stamp > INT64_MAX)
        return false;
    return e->restates <= INT64_MAX && e->size <= INT64_MAX;
}

static bool content_ok(const struct feed_entry *e, const struct entry_form *form)
{
    if (!(form->members & ENTRY_HAS_CONTENT))
        return absent(e->media_type) && !e->size && !e->content.n;
    if (absent(e->media_type) || !media_type_ok(e->media_type))
        return false;
    if (!e->content.n)
        return true;
    return e->content.n == e->size && e->content.n <= ENTRY_INLINE_MAX;
}

static int entry_check(const struct feed_entry *e)
{
    const struct entry_form *form = entry_form(e->kind);
    if (!form || !names_ok(e) || !numbers_ok(e))
        return ERR_INVAL;
    if (!digest_ok(&e->digest))
        return ERR_INVAL;
    bool tag_fits = absent(e->tag);
    if (form->members & ENTRY_HAS_TAG)
        tag_fits = entry_tag_ok(e->tag);
    if (!tag_fits || !content_ok(e, form))
        return ERR_INVAL;
    return 0;
}

static void text_line(struct buf *b, const char *s, bool *bad)
{
    for (const char *c = s ? s : ""; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *bad = true;
    buf_str(b, s ? s : "");
    buf_u8(b, '\n');
}

int entry_signed_text(const struct feed_entry *e, struct buf *out)
{
    char digest[DIGEST_TEXT_SIZE];
    const struct entry_form *form = entry_form(e->kind);
    bool bad = false;
    if (!form || e->digest.n > sizeof e->digest.b)
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

int entry_hash(const uint8_t prev[ENTRY_HASH_BYTES], const struct feed_entry *e,
               uint8_t out[ENTRY_HASH_BYTES])
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_add(&b, prev, ENTRY_HASH_BYTES);
    int rc = b.err;
    if (!rc)
        rc = entry_signed_text(e, &b);
    if (!rc)
        sha256(b.p, b.n, out);
    return rc;
}

int entry_sign_input(const struct feed_entry *e, struct buf *out)
{
    int rc = entry_signed_text(e, out);
    if (rc)
        return rc;
    buf_add(out, e->hash, ENTRY_HASH_BYTES);
    return out->err;
}

int entry_format(const struct feed_entry *e, struct buf *out)
{
    if (entry_malformed(e) || entry_check(e))
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
        buf_str(&b, ",\"content\":\"");
        char *to = buf_room(&b, b64_size(e->content.n));
        if (to)
            b.n += b64_format(e->content.p, e->content.n, to);
        buf_str(&b, "\"");
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

// Canonical decimal: no sign, no leading zero, below 2^63. Stamps are texts because many JSON
// readers round numbers.
static uint64_t read_decimal(struct reader *r, const char *key, bool required)
{
    const char *s = read_text(r, key, required);
    size_t n = strlen(s);
    if (!required && !n)
        return 0;
    uint64_t v = 0;
    if (!n || n > 19 || *s == '0' || strspn(s, DIGITS) != n)
        r->failed = true;
    else
        for (; *s; s++)
            v = v * 10 + (uint64_t)(*s - '0'); // 19 digits fit 64 bits
    if (v > INT64_MAX)
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

// The content, when it travels inline.
static int inline_read(struct reader *r, struct feed_entry *e)
{
    const char *text = read_text(r, "content", false);
    size_t n = strlen(text);
    if (!n)
        return 0;
    if (n > b64_size(ENTRY_INLINE_MAX))
        return ERR_PROTO;
    uint8_t *p = arena_alloc(r->arena, n / 4 * 3 + 3);
    if (!p)
        return ERR_NOMEM;
    if (b64_parse(text, n, p, n / 4 * 3 + 3, &e->content.n))
        return ERR_PROTO;
    e->content.p = p;
    return 0;
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
    return inline_read(r, e);
}

static int proofs_read(const char *digest, const char *hash, const char *sig, struct feed_entry *e)
{
    size_t n_sig = 0;
    if (digest_parse(digest, strlen(digest), &e->digest))
        return ERR_PROTO;
    if (strspn(hash, DIGITS "abcdef") != strlen(hash)) // one text per hash: lower case only
        return ERR_PROTO;
    if (hex_parse(hash, strlen(hash), e->hash, ENTRY_HASH_BYTES))
        return ERR_PROTO;
    if (b64url_parse(sig, strlen(sig), e->sig, ENTRY_SIG_BYTES, &n_sig))
        return ERR_PROTO;
    if (n_sig != ENTRY_SIG_BYTES)
        return ERR_PROTO;
    return 0;
}

// Does inline content have the digest that the entry says?
static int content_check(const struct feed_entry *e)
{
    struct digest is;
    if (!e->content.n)
        return 0;
    int rc = digest_of((enum digest_alg)e->digest.alg, e->content.p, e->content.n, &is);
    if (!rc && !digest_equal(&is, &e->digest))
        rc = ERR_PROTO;
    return rc;
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
    if (entry_check(e))
        return ERR_PROTO;
    return content_check(e);
}

int entry_parse(struct bytes line, struct arena *arena, struct feed_entry *out)
{
    if (line.n > ENTRY_LINE_MAX)
        return ERR_PROTO;
    json_error_t err;
    struct reader r = {.arena = arena};
    r.top = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, &err);
    if (!r.top) {
        if (json_error_code(&err) == json_error_out_of_memory)
            return ERR_NOMEM;
        return ERR_PROTO;
    }
    struct feed_entry e = {0};
    int rc = ERR_PROTO;
    if (json_is_object(r.top))
        rc = line_read(&r, &e);
    json_decref(r.top);
    if (!rc)
        *out = e;
    return rc;
}
