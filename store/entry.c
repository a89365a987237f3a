// SPDX-License-Identifier: Apache-2.0
// What may stand in an entry, its running hash, and what is signed; see entry.h. Pure functions,
// any thread.
//
// One grammar decides what may be in an entry, of either version (entry_check).
#include "store/entry.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/registry_key.h"
#include "config/repository.h"
#include "store/entry_priv.h"
#include "store/manifest.h"

#include <string.h>

bool entry_repository_ok(const char *s)
{
    return s && repository_name_ok(s, strnlen(s, REPOSITORY_NAME_MAX + 1));
}

bool entry_tag_ok(const char *s)
{
    size_t n = 0;
    if (s)
        n = strnlen(s, 129);
    return n >= 1 && n <= 128 && *s != '.' && *s != '-' &&
           strspn(s, ENTRY_LOWER ENTRY_UPPER ENTRY_DIGITS "._-") == n;
}

bool entry_key_ok(const char *s)
{
    size_t n = 0;
    if (s)
        n = strnlen(s, 129);
    return n >= 1 && n <= 128 && strspn(s, ENTRY_LOWER ENTRY_UPPER ENTRY_DIGITS "._-+/=:@") == n;
}

bool entry_text_absent(const char *s)
{
    return !s || !*s;
}

// The bytes of one character of UTF-8 at `p`, of which n are left; 0: it is none (RFC 3629).
static size_t character_size(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = 1;
    uint32_t c = *p;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c < 0xe0)
        size = 2;
    else if (c >= 0xe0 && c < 0xf0)
        size = 3;
    else if (c >= 0xf0 && c < 0xf5)
        size = 4;
    if (size == 1 || size > n)
        return 0;
    c &= 0x7fu >> size;
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[size] || c > 0x10ffff)
        return 0;
    return c >= 0xd800 && c < 0xe000 ? 0 : size;
}

bool entry_text_clean(struct bytes text, bool lines)
{
    for (size_t i = 0; i < text.n;) {
        uint8_t c = text.p[i];
        if (c == 0x7f || (c < 0x20 && !(lines && c == '\n')))
            return false;
        size_t size = character_size(text.p + i, text.n - i);
        if (!size)
            return false;
        i += size;
    }
    return true;
}

bool entry_text_ok(const char *s, size_t max)
{
    if (!s)
        return true;
    size_t n = strnlen(s, max + 1);
    return n <= max && entry_text_clean(bytes_of(s, n), false);
}

int entry_decimal_parse(struct bytes text, uint64_t *out)
{
    uint64_t v = 0;
    if (text.n < 1 || text.n > 19 || (text.n > 1 && text.p[0] == '0'))
        return ERR_PROTO;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return ERR_PROTO;
        v = v * 10 + (uint64_t)(text.p[i] - '0'); // 19 digits fit 64 bits
    }
    if (v > INT64_MAX)
        return ERR_PROTO;
    *out = v;
    return 0;
}

int entry_hash_parse(struct bytes text, uint8_t out[ENTRY_HASH_BYTES])
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] >= 'A' && text.p[i] <= 'F')
            return ERR_PROTO;
    if (hex_parse((const char *)text.p, text.n, out, ENTRY_HASH_BYTES))
        return ERR_PROTO;
    return 0;
}

int entry_content_check(const struct feed_entry *e)
{
    struct digest d;
    if (!e->content.n)
        return 0;
    if (e->content.n != e->size || e->content.n > ENTRY_INLINE_MAX)
        return ERR_PROTO;
    int rc = digest_of((enum digest_alg)e->digest.alg, e->content.p, e->content.n, &d);
    if (!rc && !digest_equal(&d, &e->digest))
        rc = ERR_PROTO;
    return rc;
}

// --- what may be in an entry ---

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
    return e->restates <= INT64_MAX && e->size <= INT64_MAX && e->generation <= INT64_MAX;
}

static bool content_ok(const struct feed_entry *e, const struct entry_form *form)
{
    if (!(form->members & ENTRY_HAS_CONTENT))
        return entry_text_absent(e->media_type) && !e->size && !e->content.n && !e->absent.n;
    if (entry_text_absent(e->media_type) || !media_type_ok(e->media_type))
        return false;
    if (!e->content.n)
        return true;
    return e->content.n == e->size && e->content.n <= ENTRY_INLINE_MAX;
}

static bool digest_fits(const struct feed_entry *e, const struct entry_form *form)
{
    if (!(form->members & ENTRY_HAS_DIGEST))
        return e->digest.n == 0;
    return digest_ok(&e->digest);
}

static bool judged_ok(const struct feed_entry *e, const struct entry_form *form)
{
    if (!e->judged)
        return true;
    if (!(form->members & ENTRY_IS_GONE))
        return false;
    if (!e->judged_stamp || e->judged_stamp > INT64_MAX)
        return false;
    if (!e->judged_epoch || e->judged_epoch > INT64_MAX)
        return false;
    return e->judged_origin && hostname_region_ok(e->judged_origin);
}

static bool members_ok(const struct feed_entry *e)
{
    const struct entry_form *form = entry_form(e->kind);
    if (!form)
        return false;
    bool tag_fits = entry_text_absent(e->tag);
    if (form->members & ENTRY_HAS_TAG)
        tag_fits = entry_tag_ok(e->tag);
    if (!tag_fits || !digest_fits(e, form) || !content_ok(e, form) || !judged_ok(e, form))
        return false;
    if (!entry_text_ok(e->by, ENTRY_BY_MAX) || !entry_text_ok(e->rule, ENTRY_RULE_MAX))
        return false;
    return !(e->create_only || e->generation) || e->kind == ENTRY_TAG;
}

int entry_check(const struct feed_entry *e)
{
    if (!e->origin || !hostname_region_ok(e->origin))
        return ERR_INVAL;
    if (!e->registry || !registry_key_ok(e->registry))
        return ERR_INVAL;
    if (!entry_repository_ok(e->repository))
        return ERR_INVAL;
    if (!numbers_ok(e) || !members_ok(e))
        return ERR_INVAL;
    return 0;
}

bool entry_needs_v2(const struct feed_entry *e)
{
    const struct entry_form *form = entry_form(e->kind);
    if (!form || !form->name)
        return true;
    if (e->must || e->create_only || e->absent.n)
        return true;
    return e->digest.alg != DIGEST_SHA256 || strchr(e->registry, '@');
}

// --- the signed text ---

int entry_signed_text(const struct feed_entry *e, struct buf *out)
{
    if (e->version != 2)
        return entry_v1_text(e, out);
    if (!e->body.n)
        return ERR_INVAL;
    buf_add(out, e->body.p, e->body.n);
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

void entry_body_hash(const struct feed_entry *e, uint8_t out[ENTRY_HASH_BYTES])
{
    sha256(e->body.p, e->body.n, out);
}
