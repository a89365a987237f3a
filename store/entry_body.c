// SPDX-License-Identifier: Apache-2.0
// Bodies of version 2: the head that all entries have, then subject, attribute and value; see
// entry.h. Pure functions, any thread.
#include "store/entry_priv.h"

#include "base/err.h"
#include "config/registry_key.h"

#include <inttypes.h>
#include <string.h>

#define FIRST_LINE "meridian-feed-2\n"
#define TAIL_FROM "\nrepository=" // no line before it can hold this

// --- making ---

static void subject_add(struct buf *b, const struct feed_entry *e, enum entry_subject subject)
{
    char digest[DIGEST_TEXT_SIZE];
    buf_printf(b, "subject=%s:", entry_subject_name(subject));
    if (subject == SUBJECT_TAG)
        buf_str(b, e->tag);
    if (subject == SUBJECT_MANIFEST)
        buf_str(b, digest_format(&e->digest, digest));
    buf_u8(b, '\n');
}

static int tail_make(const struct feed_entry *e, struct buf *b)
{
    const struct entry_form *form = entry_form(e->kind);
    buf_printf(b, "repository=%s\nmust=%d\n", e->repository, e->must);
    subject_add(b, e, form->subject);
    buf_printf(b, "attribute=%s\nvalue=", form->attribute);
    int rc = entry_value_make(e, b);
    if (rc)
        return rc;
    buf_u8(b, '\n');
    return b->err;
}

// Of an entry that is minted again: what it says, to the byte.
static int tail_keep(const struct feed_entry *e, struct buf *b)
{
    const uint8_t *at = memmem(e->body.p, e->body.n, TAIL_FROM, strlen(TAIL_FROM));
    if (!at)
        return ERR_INVAL;
    at++;
    buf_add(b, at, (size_t)(e->body.p + e->body.n - at));
    return b->err;
}

static int head_make(const struct feed_entry *e, struct buf *b)
{
    char prev[2 * ENTRY_HASH_BYTES + 1];
    hex_format(e->registry_prev, ENTRY_HASH_BYTES, prev);
    buf_printf(b,
               FIRST_LINE "origin=%s\nepoch=%" PRIu64 "\npartition=%" PRIu32 "\nseq=%" PRIu64
                          "\nstamp=%" PRIu64 "\nrestates=%" PRIu64 "\nregistry=%s\n"
                          "registry-seq=%" PRIu64 "\nregistry-prev=%s\n",
               e->origin, e->epoch, e->partition, e->seq, e->stamp, e->restates, e->registry,
               e->registry_seq, prev);
    return b->err;
}

static bool may_be_made(const struct feed_entry *e)
{
    if (!e->registry_seq || e->registry_seq > INT64_MAX)
        return false;
    if (!e->body.n)
        return entry_check(e) == 0 && !entry_malformed(e);
    return true;
}

static int body_make(const struct feed_entry *e, struct buf *b)
{
    int rc = head_make(e, b);
    if (rc)
        return rc;
    if (e->body.n)
        return tail_keep(e, b);
    return tail_make(e, b);
}

int entry_body_make(const struct feed_entry *e, struct buf *out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, ENTRY_BODY_MAX);
    if (!may_be_made(e))
        return ERR_INVAL;
    int rc = body_make(e, &b);
    if (rc == ERR_TOOBIG)
        return ERR_INVAL;
    if (rc)
        return rc;
    buf_add(out, b.p, b.n);
    return out->err;
}

// --- reading ---

struct lines {
    struct bytes rest;
    bool failed;
    struct arena *arena;
    // ERR_NOMEM
    int rc;
};

// The text behind `name` in the next line.
static struct bytes line_take(struct lines *l, const char *name)
{
    size_t n = strlen(name);
    const uint8_t *end = NULL;
    if (l->rest.n)
        end = memchr(l->rest.p, '\n', l->rest.n);
    if (l->failed || !end || (size_t)(end - l->rest.p) < n || memcmp(l->rest.p, name, n) != 0) {
        l->failed = true;
        return (struct bytes){0};
    }
    struct bytes text = bytes_of(l->rest.p + n, (size_t)(end - l->rest.p) - n);
    l->rest.n -= (size_t)(end + 1 - l->rest.p);
    l->rest.p = end + 1;
    return text;
}

static uint64_t number_take(struct lines *l, const char *name)
{
    uint64_t v = 0;
    struct bytes text = line_take(l, name);
    if (!l->failed && entry_decimal_parse(text, &v))
        l->failed = true;
    return v;
}

static const char *text_keep(struct lines *l, struct bytes text)
{
    char *copy = arena_strndup(l->arena, text.n ? (const char *)text.p : "", text.n);
    if (!copy)
        l->rc = ERR_NOMEM;
    return copy ? copy : "";
}

static const char *text_take(struct lines *l, const char *name)
{
    return text_keep(l, line_take(l, name));
}

static void head_take(struct lines *l, struct feed_entry *e)
{
    if (line_take(l, "meridian-feed-2").n)
        l->failed = true;
    e->origin = text_take(l, "origin=");
    e->epoch = number_take(l, "epoch=");
    uint64_t partition = number_take(l, "partition=");
    e->partition = (uint32_t)partition;
    if (partition > INT32_MAX)
        l->failed = true;
    e->seq = number_take(l, "seq=");
    e->stamp = number_take(l, "stamp=");
    e->restates = number_take(l, "restates=");
    e->registry = text_take(l, "registry=");
    e->registry_seq = number_take(l, "registry-seq=");
    struct bytes prev = line_take(l, "registry-prev=");
    if (!l->failed && entry_hash_parse(prev, e->registry_prev))
        l->failed = true;
    e->repository = text_take(l, "repository=");
    uint64_t must = number_take(l, "must=");
    e->must = must;
    if (must > 1)
        l->failed = true;
}

static bool begins(struct bytes text, const char *prefix, struct bytes *out_rest)
{
    size_t n = strlen(prefix);
    if (text.n < n || memcmp(text.p, prefix, n) != 0)
        return false;
    *out_rest = bytes_of(text.p + n, text.n - n);
    return true;
}

// A word, ":" and what it names. What is none of ours stays SUBJECT_OTHER.
static void subject_take(struct lines *l, struct feed_entry *e)
{
    struct bytes text = line_take(l, "subject="), rest;
    if (l->failed)
        return;
    if (begins(text, "tag:", &rest)) {
        const char *tag = text_keep(l, rest);
        if (entry_tag_ok(tag)) {
            e->subject = SUBJECT_TAG;
            e->tag = tag;
        }
        return;
    }
    if (begins(text, "manifest:", &rest)) {
        if (digest_parse((const char *)rest.p, rest.n, &e->digest) == 0)
            e->subject = SUBJECT_MANIFEST;
        return;
    }
    if (begins(text, "repository:", &rest) && !rest.n)
        e->subject = SUBJECT_REPOSITORY;
}

static void attribute_take(struct lines *l, struct feed_entry *e)
{
    e->attribute = text_take(l, "attribute=");
    size_t n = strlen(e->attribute);
    if (n < 1 || n >= ENTRY_ATTRIBUTE_SIZE)
        l->failed = true;
    if (strspn(e->attribute, ENTRY_LOWER ENTRY_DIGITS ".-") != n)
        l->failed = true;
}

// Lines of a later version: their number.
static size_t extra_take(struct lines *l)
{
    size_t n = 0;
    while (l->rest.n && !l->failed) {
        struct bytes line = line_take(l, "");
        const uint8_t *sign = NULL;
        if (line.n)
            sign = memchr(line.p, '=', line.n);
        if (!sign || sign == line.p || line.n > ENTRY_EXTRA_LINE_MAX || ++n > ENTRY_EXTRA_MAX)
            l->failed = true;
    }
    return n;
}

static bool is_zero(const uint8_t hash[ENTRY_HASH_BYTES])
{
    for (size_t i = 0; i < ENTRY_HASH_BYTES; i++)
        if (hash[i])
            return false;
    return true;
}

// What the head of every entry keeps to, also of one that is not known.
static bool head_ok(const struct feed_entry *e)
{
    if (!hostname_region_ok(e->origin) || !registry_key_ok(e->registry))
        return false;
    if (!e->epoch || !e->seq || !e->stamp || !e->registry_seq)
        return false;
    if ((e->registry_seq == 1) != is_zero(e->registry_prev))
        return false;
    if (!*e->repository) // of a whole registry, in a later version
        return e->subject == SUBJECT_OTHER;
    return entry_repository_ok(e->repository);
}

int entry_body_parse(struct bytes body, struct arena *arena, struct feed_entry *out)
{
    struct lines l = {.rest = body, .arena = arena};
    struct feed_entry e = {.version = 2,
                           .tag = "",
                           .media_type = "",
                           .judged_origin = "",
                           .rule = "",
                           .by = "",
                           .body = body};
    if (body.n > ENTRY_BODY_MAX || !entry_text_clean(body, true))
        return ERR_PROTO;
    head_take(&l, &e);
    subject_take(&l, &e);
    attribute_take(&l, &e);
    e.value = line_take(&l, "value=");
    size_t n_extra = extra_take(&l);
    if (l.rc)
        return l.rc;
    if (l.failed || e.value.n > ENTRY_VALUE_MAX || !head_ok(&e))
        return ERR_PROTO;
    int rc = entry_value_read(&e, n_extra > 0, arena);
    if (!rc)
        *out = e;
    return rc;
}
