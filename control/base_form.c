// SPDX-License-Identifier: Apache-2.0
// A state of the control feed as bytes; see base_form.h.
#include "control/base_form.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/compiled.h"

#include <string.h>

#define MAGIC "MERIDCB1"
#define MAGIC_BYTES 8
#define DIGEST_AT (MAGIC_BYTES + 8)
#define BODY_AT (DIGEST_AT + SHA256_BYTES)
#define PLACE_BYTES (16 + SHA256_BYTES)

// ---- writing ----

static void put(struct buf *b, uint64_t v, size_t n_bytes)
{
    uint8_t p[8];
    for (size_t i = 0; i < n_bytes; i++)
        p[i] = (uint8_t)(v >> (8 * (n_bytes - 1 - i)));
    buf_add(b, p, n_bytes);
}

static void set_u64(char *p, uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        p[i] = (char)(v >> (56 - 8 * i));
}

static void put_place(struct buf *b, const struct control_place *p)
{
    put(b, p->epoch, 8);
    put(b, p->seq, 8);
    buf_add(b, p->hash, sizeof p->hash);
}

static void put_text(struct buf *b, const char *text, size_t n)
{
    put(b, n, 8);
    buf_add(b, text, n);
}

static int put_topology(const struct topology *t, struct buf *out)
{
    size_t at = out->n;
    put(out, 0, 8);
    int rc = compiled_format(t, out);
    if (!rc)
        set_u64(out->p + at, out->n - at - 8);
    return rc;
}

static int put_principals(const struct principals *p, struct buf *out)
{
    if (!p) {
        put(out, 0, 8);
        return 0;
    }
    struct buf text;
    int rc = principals_format(p, &text);
    if (rc)
        return rc;
    put_text(out, buf_cstr(&text), text.n);
    buf_done(&text);
    return 0;
}

static bool put_record(void *ctx, const char *key, const char *value)
{
    struct buf *out = ctx;
    put(out, strlen(key), 2);
    buf_str(out, key);
    put(out, strlen(value), 4);
    buf_str(out, value);
    return !out->err;
}

int control_base_format(const struct control_state *s, struct buf *out)
{
    size_t start = out->n;
    char front[8 + SHA256_BYTES] = {0};
    buf_add(out, MAGIC, MAGIC_BYTES);
    buf_add(out, front, sizeof front);
    put_place(out, &s->place);
    put(out, (uint64_t)s->time_ms, 8);
    put(out, (uint64_t)s->swept_ms, 8);
    put_place(out, &s->root_word);
    put_place(out, &s->epoch_from);
    if (s->takeover)
        put_text(out, s->takeover->text, s->takeover->n);
    else
        put(out, 0, 8);
    int rc = put_topology(s->topology, out);
    if (!rc)
        rc = put_principals(s->principals, out);
    put(out, control_ledger_count(s->ledger), 8);
    control_ledger_visit(s->ledger, "", put_record, out);
    if (!rc)
        rc = out->err;
    if (rc)
        return rc;
    char *p = out->p + start;
    uint8_t digest[SHA256_BYTES];
    set_u64(p + MAGIC_BYTES, out->n - start);
    sha256(p + BODY_AT, out->n - start - BODY_AT, digest);
    memcpy(p + DIGEST_AT, digest, sizeof digest);
    return 0;
}

void control_base_digest(const void *p, uint8_t out[SHA256_BYTES])
{
    memcpy(out, (const char *)p + DIGEST_AT, SHA256_BYTES);
}

// ---- reading ----

static struct control_place take_place(struct cursor *c)
{
    struct control_place p = {0};
    p.epoch = cursor_u64(c);
    p.seq = cursor_u64(c);
    struct bytes hash = cursor_take(c, sizeof p.hash);
    if (hash.n == sizeof p.hash)
        memcpy(p.hash, hash.p, sizeof p.hash);
    if (p.epoch > INT64_MAX || p.seq > INT64_MAX)
        c->failed = true;
    return p;
}

static struct bytes take_text(struct cursor *c)
{
    uint64_t n = cursor_u64(c);
    if (n <= cursor_left(c))
        return cursor_take(c, (size_t)n);
    c->failed = true;
    return (struct bytes){0};
}

int control_base_info(struct bytes b, struct control_base_info *out)
{
    struct control_base_info info;
    if (b.n < BODY_AT + PLACE_BYTES || memcmp(b.p, MAGIC, MAGIC_BYTES - 1) != 0)
        return ERR_CORRUPT;
    if (b.p[MAGIC_BYTES - 1] != MAGIC[MAGIC_BYTES - 1])
        return ERR_VERSION;
    struct cursor c = cursor_of(bytes_of(b.p + MAGIC_BYTES, 8));
    info.length = cursor_u64(&c);
    memcpy(info.digest, b.p + DIGEST_AT, sizeof info.digest);
    c = cursor_of(bytes_of(b.p + BODY_AT, PLACE_BYTES));
    info.place = take_place(&c);
    if (c.failed || info.length < BODY_AT + PLACE_BYTES || info.length > CONTROL_BASE_MAX_BYTES)
        return ERR_CORRUPT;
    *out = info;
    return 0;
}

struct parsing {
    const char *home, *source;
    struct diag *diag;
    enum topology_form form;
    struct control_state *s;
};

static int damaged(const struct parsing *x, const char *what)
{
    diag_add(x->diag, x->source, 0, "a damaged base of the control feed: %s", what);
    return ERR_CORRUPT;
}

static int parse_takeover(struct parsing *x, struct bytes line)
{
    struct arena a;
    struct control_entry e;
    if (!line.n) {
        if (x->s->epoch_from.epoch)
            return damaged(x, "its takeover is missing");
        return 0;
    }
    arena_init(&a, 0);
    int rc = control_entry_parse(line, &a, x->diag, &e);
    bool fits = !rc && e.body.kind == CONTROL_TAKEOVER && e.place.epoch == x->s->place.epoch &&
                control_place_same(&e.body.at, &x->s->epoch_from);
    if (!rc && !fits)
        rc = damaged(x, "its takeover is of another epoch");
    if (!rc) {
        x->s->takeover = control_line_of(&e);
        rc = x->s->takeover ? 0 : ERR_NOMEM;
    }
    arena_done(&a);
    return rc;
}

static int parse_topology(struct parsing *x, struct bytes text)
{
    struct topology *t = NULL;
    int rc = compiled_parse(x->form, text.p, text.n, x->source, x->diag, &t);
    if (!rc)
        rc = topology_set_source(t, x->home);
    if (!rc && !t->control)
        rc = damaged(x, "its topology has no section `control`");
    if (rc)
        snapshot_unref(t);
    else
        x->s->topology = t;
    return rc;
}

static int parse_principals(struct parsing *x, struct bytes text)
{
    if (!text.n)
        return 0;
    return principals_parse((const char *)text.p, text.n, x->source, x->diag, &x->s->principals);
}

static int take_record(struct parsing *x, struct cursor *c, char *before)
{
    char key[CONTROL_RECORD_KEY_MAX + 1];
    size_t n_key = cursor_u16(c);
    struct bytes k = cursor_take(c, n_key);
    size_t n_value = cursor_u32(c);
    if (c->failed || !n_key || n_key > CONTROL_RECORD_KEY_MAX || n_value > cursor_left(c))
        return damaged(x, "a record of its ledger is cut off");
    struct bytes v = cursor_take(c, n_value);
    memcpy(key, k.p, n_key);
    key[n_key] = 0;
    json_t *value =
        json_loadb((const char *)v.p, v.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    AUTO_FREE char *text = control_record_text(value);
    json_decref(value);
    bool same = text && strlen(text) == v.n && !memcmp(text, v.p, v.n);
    if (!control_record_key_ok(key) || !same || strcmp(before, key) >= 0)
        return damaged(x, "a record of its ledger is none, or out of order");
    memcpy(before, key, n_key + 1);
    struct control_ledger *l = NULL;
    int rc = control_ledger_put(x->s->ledger, key, text, &l);
    if (rc)
        return rc;
    control_ledger_unref(x->s->ledger);
    x->s->ledger = l;
    return 0;
}

static int take_ledger(struct parsing *x, struct cursor *c)
{
    char before[CONTROL_RECORD_KEY_MAX + 1] = "";
    uint64_t n = cursor_u64(c);
    if (c->failed || n > cursor_left(c))
        return damaged(x, "its ledger is missing");
    int rc = 0;
    for (uint64_t i = 0; !rc && i < n; i++)
        rc = take_record(x, c, before);
    if (!rc && cursor_left(c))
        return damaged(x, "more follows its ledger");
    return rc;
}

static int parse_body(struct parsing *x, struct bytes body)
{
    struct control_state *s = x->s;
    struct cursor c = cursor_of(body);
    s->place = take_place(&c);
    s->changed = s->place;
    s->time_ms = (int64_t)(cursor_u64(&c) & INT64_MAX);
    s->swept_ms = (int64_t)(cursor_u64(&c) & INT64_MAX);
    s->root_word = take_place(&c);
    s->epoch_from = take_place(&c);
    struct bytes takeover = take_text(&c), topology = take_text(&c), principals = take_text(&c);
    if (c.failed || !s->place.epoch)
        return damaged(x, "it is cut off");
    int rc = parse_takeover(x, takeover);
    if (!rc)
        rc = parse_topology(x, topology);
    if (!rc)
        rc = parse_principals(x, principals);
    if (!rc)
        rc = take_ledger(x, &c);
    return rc;
}

static int check_whole(const struct parsing *x, struct bytes b, struct control_base_info *info)
{
    int rc = control_base_info(b, info);
    if (rc == ERR_VERSION) {
        diag_add(x->diag, x->source, 0,
                 "a base of the control feed of a format that this release does not read");
        return rc;
    }
    if (rc)
        return damaged(x, "it is none");
    if (info->length > b.n)
        return damaged(x, "it is cut off");
    uint8_t digest[SHA256_BYTES];
    sha256(b.p + BODY_AT, (size_t)info->length - BODY_AT, digest);
    if (!memcmp(digest, info->digest, sizeof digest))
        return 0;
    damaged(x, "its content does not match its digest");
    return ERR_DIGEST;
}

int control_base_parse(enum topology_form form, struct bytes b, const char *home,
                       const char *source, struct diag *diag, struct control_state **out)
{
    struct control_base_info info;
    struct parsing x = {.home = home, .source = source, .diag = diag, .form = form};
    int rc = check_whole(&x, b, &info);
    if (rc)
        return rc;
    x.s = control_state_new();
    if (!x.s)
        return ERR_NOMEM;
    rc = parse_body(&x, bytes_of(b.p + BODY_AT, (size_t)info.length - BODY_AT));
    if (rc)
        snapshot_unref(x.s);
    else
        *out = x.s;
    return rc;
}
