// SPDX-License-Identifier: Apache-2.0
// The body of an entry of the control feed; see entry.h.
//
//   {"kind":"change","time":1764460800000,"by":"operator:ada","request":"…",
//    "topology":43,"principals":7,"frame":"…","change":"…","principalsText":"…",
//    "records":[{"key":"operation/…","value":{…}},{"key":"…","value":null}]}
//   {"kind":"takeover", …, "takeover":{"from":"1:42:<hex>"}}
//   {"kind":"checkpoint", …, "checkpoint":{"at":"1:42:<hex>","digest":"<hex>"}}
//   {"kind":"confirm", …, "confirm":{"upto":"1:42:<hex>"}}
#include "control/entry.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/json.h"

#include <string.h>

#define BY_MAX 256
#define REQUEST_MAX 128

static const struct kind {
    const char *name;
    // the member that has the place, and its member
    const char *member, *place;
} kinds[] = {
    [CONTROL_CHANGE] = {"change", NULL, NULL},
    [CONTROL_TAKEOVER] = {"takeover", "takeover", "from"},
    [CONTROL_CHECKPOINT] = {"checkpoint", "checkpoint", "at"},
    [CONTROL_CONFIRM] = {"confirm", "confirm", "upto"},
    [CONTROL_UNKNOWN] = {"unknown", NULL, NULL},
};

const char *control_kind_name(enum control_kind k)
{
    return kinds[k].name;
}

bool control_record_key_ok(const char *key)
{
    size_t n = strlen(key);
    return n && n <= CONTROL_RECORD_KEY_MAX &&
           strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@:/-") == n;
}

char *control_record_text(const json_t *value)
{
    if (!value || json_is_null(value))
        return NULL;
    return json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

// ---- writing ----

static json_t *document(struct bytes text)
{
    return json_stringn((const char *)text.p, text.n);
}

static json_t *record_json(const struct control_record *r)
{
    json_t *value;
    if (!control_record_key_ok(r->key))
        return NULL;
    if (r->value)
        value = json_loads(r->value, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    else
        value = json_null();
    return json_pack("{s:s, s:o}", "key", r->key, "value", value);
}

static json_t *records_json(const struct control_body *b)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < b->n_records; i++)
        if (json_array_append_new(list, record_json(&b->records[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *place_json(const struct control_body *b)
{
    char at[CONTROL_PLACE_TEXT_SIZE], hex[2 * SHA256_BYTES + 1];
    json_t *o = json_pack("{s:s}", kinds[b->kind].place, control_place_format(&b->at, at));
    hex_format(b->digest, sizeof b->digest, hex);
    if (o && b->kind == CONTROL_CHECKPOINT && json_object_set_new(o, "digest", json_string(hex))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *body_json(const struct control_body *b)
{
    json_t *o = json_pack("{s:s, s:I, s:s, s:I, s:I}", "kind", kinds[b->kind].name, "time",
                          (json_int_t)b->time_ms, "by", b->by, "topology", (json_int_t)b->topology,
                          "principals", (json_int_t)b->principals);
    int bad = !o;
    if (b->request)
        bad |= json_object_set_new(o, "request", json_string(b->request));
    if (kinds[b->kind].member)
        bad |= json_object_set_new(o, kinds[b->kind].member, place_json(b));
    if (b->frame.n)
        bad |= json_object_set_new(o, "frame", document(b->frame));
    if (b->change.n)
        bad |= json_object_set_new(o, "change", document(b->change));
    if (b->principals_text.n)
        bad |= json_object_set_new(o, "principalsText", document(b->principals_text));
    if (b->n_records)
        bad |= json_object_set_new(o, "records", records_json(b));
    if (!bad)
        return o;
    json_decref(o);
    return NULL;
}

static bool writable(const struct control_body *b)
{
    for (size_t i = 0; i < b->n_records; i++) {
        const struct control_record *r = &b->records[i];
        if (!control_record_key_ok(r->key))
            return false;
        if (!r->value)
            continue;
        json_t *v = json_loads(r->value, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        bool ok = v && !json_is_null(v);
        json_decref(v);
        if (!ok)
            return false;
    }
    return b->kind != CONTROL_UNKNOWN && b->by && b->n_records <= CONTROL_RECORDS_MAX;
}

int control_body_format(const struct control_body *b, struct buf *out)
{
    if (!writable(b))
        return ERR_INVAL;
    return json_text_add(body_json(b), out);
}

// ---- reading ----

struct reading {
    struct arena *a;
    struct diag *diag;
    bool nomem;
};

static bool wrong(struct reading *r, const char *what)
{
    diag_add(r->diag, NULL, 0, "the body of an entry of the control feed is malformed: %s", what);
    return false;
}

static char *copy_text(struct reading *r, const char *s, size_t n)
{
    char *p = arena_alloc(r->a, n + 1);
    if (p && n)
        memcpy(p, s, n);
    if (!p)
        r->nomem = true;
    return p;
}

// Absent is fine: *out stays.
static bool take_text(struct reading *r, const json_t *o, const char *key, size_t max,
                      const char **out)
{
    const json_t *v = json_object_get(o, key);
    if (!v)
        return true;
    size_t n = json_string_length(v);
    if (!json_is_string(v) || !n || n > max)
        return wrong(r, key);
    *out = copy_text(r, json_string_value(v), n);
    return *out != NULL;
}

static bool take_document(struct reading *r, const json_t *o, const char *key, struct bytes *out)
{
    const char *text = NULL;
    if (!take_text(r, o, key, CONTROL_ENTRY_MAX_BYTES, &text))
        return false;
    if (text)
        *out = bytes_str(text);
    return true;
}

static bool take_number(struct reading *r, const json_t *o, const char *key, uint64_t *out)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return wrong(r, key);
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static bool take_kind(struct reading *r, const json_t *o, struct control_body *b)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));
    if (!kind)
        return wrong(r, "kind");
    b->kind = CONTROL_UNKNOWN;
    for (size_t k = 0; k < CONTROL_UNKNOWN; k++)
        if (!strcmp(kind, kinds[k].name))
            b->kind = (enum control_kind)k;
    return true;
}

static bool take_place(struct reading *r, const json_t *o, struct control_body *b)
{
    const struct kind *k = &kinds[b->kind];
    if (!k->member)
        return true;
    const json_t *m = json_object_get(o, k->member);
    const char *text = json_string_value(json_object_get(m, k->place));
    if (!text || control_place_parse(text, strlen(text), &b->at))
        return wrong(r, k->member);
    if (b->kind != CONTROL_CHECKPOINT)
        return true;
    const char *hex = json_string_value(json_object_get(m, "digest"));
    if (!hex || hex_parse(hex, strlen(hex), b->digest, sizeof b->digest))
        return wrong(r, "digest");
    return true;
}

static bool take_record(struct reading *r, const json_t *o, struct control_record *out)
{
    const char *key = json_string_value(json_object_get(o, "key"));
    const json_t *value = json_object_get(o, "value");
    if (!key || !value || !control_record_key_ok(key))
        return wrong(r, "records");
    out->key = copy_text(r, key, strlen(key));
    if (json_is_null(value))
        return out->key != NULL;
    AUTO_FREE char *text = control_record_text(value);
    if (text)
        out->value = copy_text(r, text, strlen(text));
    if (out->key && out->value)
        return true;
    r->nomem = true;
    return false;
}

static bool take_records(struct reading *r, const json_t *o, struct control_body *b)
{
    const json_t *list = json_object_get(o, "records");
    if (!list)
        return true;
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > CONTROL_RECORDS_MAX)
        return wrong(r, "records");
    struct control_record *all = arena_array(r->a, n ? n : 1, sizeof *all);
    if (!all) {
        r->nomem = true;
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!take_record(r, json_array_get(list, i), &all[i]))
            return false;
    b->records = all;
    b->n_records = n;
    return true;
}

static bool take_body(struct reading *r, const json_t *o, struct control_body *b)
{
    uint64_t time = 0;
    if (!json_is_object(o))
        return wrong(r, "it is no JSON object");
    if (!take_kind(r, o, b))
        return false;
    if (b->kind == CONTROL_UNKNOWN) // what the rest means is not known here
        return true;
    if (!take_number(r, o, "time", &time) || !take_number(r, o, "topology", &b->topology) ||
        !take_number(r, o, "principals", &b->principals))
        return false;
    b->time_ms = (int64_t)time;
    if (!take_text(r, o, "by", BY_MAX, &b->by) ||
        !take_text(r, o, "request", REQUEST_MAX, &b->request))
        return false;
    if (!b->by)
        return wrong(r, "by");
    if (!take_document(r, o, "frame", &b->frame) || !take_document(r, o, "change", &b->change) ||
        !take_document(r, o, "principalsText", &b->principals_text))
        return false;
    return take_place(r, o, b) && take_records(r, o, b);
}

int control_body_parse(struct bytes text, struct arena *a, struct diag *diag,
                       struct control_body *out)
{
    struct control_body b = {0};
    struct reading r = {.a = a, .diag = diag};
    json_t *o = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    bool ok = take_body(&r, o, &b);
    json_decref(o);
    if (r.nomem)
        return ERR_NOMEM;
    if (!ok)
        return ERR_INVAL;
    *out = b;
    return 0;
}
