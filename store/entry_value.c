// SPDX-License-Identifier: Apache-2.0
// Values of entries of version 2: compact JSON of the members that a kind has; see entry_kind.h.
// Pure functions, any thread.
#include "store/entry_priv.h"

#include "base/err.h"
#include "store/manifest.h"

#include <inttypes.h>
#include <string.h>

// --- writing ---

void entry_json_text(struct buf *b, struct bytes s)
{
    buf_u8(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (c != '"' && c != '\\' && c != '\n')
            continue;
        buf_add(b, s.p + from, i - from);
        buf_u8(b, '\\');
        buf_u8(b, c == '\n' ? 'n' : c);
        from = i + 1;
    }
    buf_add(b, s.p + from, s.n - from);
    buf_u8(b, '"');
}

// A member is written behind a comma, but for the first.
static void name_add(struct buf *b, const char *name)
{
    if (b->n && b->p[b->n - 1] != '{')
        buf_u8(b, ',');
    buf_printf(b, "\"%s\":", name);
}

static void text_add(struct buf *b, const char *name, const char *text)
{
    if (entry_text_absent(text))
        return;
    name_add(b, name);
    entry_json_text(b, bytes_str(text));
}

static void decimal_add(struct buf *b, const char *name, uint64_t v)
{
    name_add(b, name);
    buf_printf(b, "\"%" PRIu64 "\"", v);
}

static void number_add(struct buf *b, const char *name, uint64_t v)
{
    name_add(b, name);
    buf_printf(b, "%" PRIu64, v);
}

static void bool_add(struct buf *b, const char *name, bool v)
{
    name_add(b, name);
    buf_str(b, v ? "true" : "false");
}

static void bitmap_add(struct buf *b, const char *name, struct bytes bits)
{
    if (!bits.n)
        return;
    name_add(b, name);
    buf_u8(b, '"');
    char *to = buf_room(b, b64_size(bits.n));
    if (to)
        b->n += b64url_format(bits.p, bits.n, to);
    buf_u8(b, '"');
}

static void judged_add(struct buf *b, const struct feed_entry *e)
{
    if (!e->judged)
        return;
    name_add(b, "judged");
    buf_u8(b, '{');
    decimal_add(b, "stamp", e->judged_stamp);
    text_add(b, "origin", e->judged_origin);
    number_add(b, "epoch", e->judged_epoch);
    buf_u8(b, '}');
}

static void tag_value_add(struct buf *b, const struct feed_entry *e)
{
    char digest[DIGEST_TEXT_SIZE];
    text_add(b, "digest", digest_format(&e->digest, digest));
    if (e->create_only)
        bool_add(b, "createOnly", true);
    if (e->generation)
        decimal_add(b, "generation", e->generation);
}

int entry_value_make(const struct feed_entry *e, struct buf *out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, ENTRY_VALUE_MAX);
    buf_u8(&b, '{');
    if (entry_has(e, ENTRY_HAS_CONTENT)) {
        text_add(&b, "mediaType", e->media_type);
        number_add(&b, "size", e->size);
        bitmap_add(&b, "absent", e->absent);
    }
    if (e->kind == ENTRY_TAG)
        tag_value_add(&b, e);
    if (entry_has(e, ENTRY_IS_GONE)) {
        bool_add(&b, "gone", true);
        judged_add(&b, e);
        text_add(&b, "rule", e->rule);
    }
    if (entry_has(e, ENTRY_IS_LOCK)) {
        bool_add(&b, "write", e->lock_write);
        bool_add(&b, "delete", e->lock_delete);
    }
    text_add(&b, "by", e->by);
    buf_u8(&b, '}');
    if (b.err == ERR_TOOBIG)
        return ERR_INVAL;
    if (b.err)
        return b.err;
    buf_add(out, b.p, b.n);
    return out->err;
}

// --- reading ---

struct value {
    json_t *top;
    // members that were asked for and are there
    size_t n_known;
    // something is not as this version knows it
    bool strange;
    struct arena *arena;
    // ERR_NOMEM
    int rc;
};

static json_t *member(struct value *v, const char *name, bool required)
{
    json_t *j = json_object_get(v->top, name);
    if (j)
        v->n_known++;
    else if (required)
        v->strange = true;
    return j;
}

static const char *text_read(struct value *v, const char *name, bool required, size_t max)
{
    json_t *j = member(v, name, required);
    if (!j)
        return "";
    const char *s = json_string_value(j);
    if (!s || !*s || !entry_text_ok(s, max)) {
        v->strange = true;
        return "";
    }
    char *copy = arena_strdup(v->arena, s);
    if (!copy)
        v->rc = ERR_NOMEM;
    return copy ? copy : "";
}

static uint64_t number_read(struct value *v, const char *name)
{
    json_t *j = member(v, name, true);
    if (json_is_integer(j) && json_integer_value(j) >= 0)
        return (uint64_t)json_integer_value(j);
    v->strange = true;
    return 0;
}

static uint64_t decimal_read(struct value *v, const char *name, bool required)
{
    uint64_t n = 0;
    json_t *j = member(v, name, required);
    if (!j)
        return 0;
    const char *s = json_string_value(j);
    if (!s || entry_decimal_parse(bytes_str(s), &n) || n == 0)
        v->strange = true;
    return n;
}

static bool bool_read(struct value *v, const char *name, bool required)
{
    json_t *j = member(v, name, required);
    if (j && !json_is_boolean(j))
        v->strange = true;
    return json_is_true(j);
}

// Members that can only be true.
static bool flag_read(struct value *v, const char *name)
{
    bool set = bool_read(v, name, false);
    if (!set && json_object_get(v->top, name))
        v->strange = true;
    return set;
}

static struct bytes bitmap_read(struct value *v, const char *name)
{
    struct bytes bits = {0};
    json_t *j = member(v, name, false);
    const char *s = json_string_value(j);
    size_t n = 0;
    if (!j)
        return bits;
    if (s)
        n = strlen(s);
    uint8_t *to = arena_alloc(v->arena, n + 1);
    if (!to) {
        v->rc = ERR_NOMEM;
        return bits;
    }
    if (!n || b64url_parse(s, n, to, n, &bits.n))
        v->strange = true;
    else
        bits.p = to;
    return bits;
}

static void judged_read(struct value *v, struct feed_entry *e)
{
    json_t *j = member(v, "judged", false);
    struct value inner = {.top = j, .arena = v->arena};
    if (!j)
        return;
    e->judged = true;
    e->judged_stamp = decimal_read(&inner, "stamp", true);
    e->judged_origin = text_read(&inner, "origin", true, HOSTNAME_REGION_SIZE - 1);
    e->judged_epoch = number_read(&inner, "epoch");
    v->rc = inner.rc ? inner.rc : v->rc;
    if (inner.strange || json_object_size(j) != inner.n_known)
        v->strange = true;
}

static void tag_value_read(struct value *v, struct feed_entry *e)
{
    json_t *j = member(v, "digest", true);
    const char *s = json_string_value(j);
    if (!s || digest_parse(s, strlen(s), &e->digest))
        v->strange = true;
    e->create_only = flag_read(v, "createOnly");
    e->generation = decimal_read(v, "generation", false);
}

static void members_read(struct value *v, struct feed_entry *e)
{
    if (entry_has(e, ENTRY_HAS_CONTENT)) {
        e->media_type = text_read(v, "mediaType", true, MEDIA_TYPE_SIZE - 1);
        e->size = number_read(v, "size");
        e->absent = bitmap_read(v, "absent");
    }
    if (e->kind == ENTRY_TAG)
        tag_value_read(v, e);
    if (entry_has(e, ENTRY_IS_GONE)) {
        flag_read(v, "gone");
        judged_read(v, e);
        e->rule = text_read(v, "rule", false, ENTRY_RULE_MAX);
    }
    if (entry_has(e, ENTRY_IS_LOCK)) {
        e->lock_write = bool_read(v, "write", true);
        e->lock_delete = bool_read(v, "delete", true);
    }
    e->by = text_read(v, "by", false, ENTRY_BY_MAX);
}

// *out_known: all of it was read, or what was not need not be known.
static int object_read(json_t *top, struct feed_entry *e, bool more, struct arena *arena,
                       bool *out_known)
{
    struct value v = {.top = top, .arena = arena};
    *out_known = false;
    if (!json_is_object(top))
        return 0;
    e->kind = entry_kind_about(e->subject, e->attribute, json_object_get(top, "gone") != NULL);
    if (!entry_form(e->kind))
        return 0;
    members_read(&v, e);
    if (v.rc)
        return v.rc;
    if (v.strange || entry_check(e))
        return 0;
    *out_known = !e->must || (!more && json_object_size(top) == v.n_known);
    return 0;
}

int entry_value_read(struct feed_entry *e, bool more, struct arena *arena)
{
    struct feed_entry is = *e;
    json_error_t err;
    bool known;
    json_t *top = json_loadb((const char *)e->value.p, e->value.n, JSON_REJECT_DUPLICATES, &err);
    if (!top && json_error_code(&err) == json_error_out_of_memory)
        return ERR_NOMEM;
    int rc = object_read(top, &is, more, arena, &known);
    json_decref(top);
    if (rc)
        return rc;
    if (known)
        *e = is;
    return 0;
}
