// SPDX-License-Identifier: Apache-2.0
// Trees of documents compared and written; see document_text.h.
#include "control/document_text.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

// ---- comparing ----

static bool lists_equal(const struct doc_node *a, const struct doc_node *b)
{
    const struct doc_node *x = a->child, *y = b->child;
    while (x && y && document_equal(x, y)) {
        x = x->next;
        y = y->next;
    }
    return !x && !y;
}

static bool maps_equal(const struct doc_node *a, const struct doc_node *b)
{
    if (a->n != b->n)
        return false;
    for (const struct doc_node *x = a->child; x; x = x->next)
        if (!document_equal(x, doc_get(b, x->key)))
            return false;
    return true;
}

bool document_equal(const struct doc_node *a, const struct doc_node *b)
{
    if (!a || !b)
        return a == b;
    if (a->kind != b->kind)
        return false;
    if (a->kind == DOC_SCALAR)
        return a->n == b->n && !memcmp(a->text, b->text, a->n);
    if (a->kind == DOC_LIST)
        return lists_equal(a, b);
    return maps_equal(a, b);
}

// ---- writing ----

static bool is_plain_word(const struct doc_node *n)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+";
    static const char inner[] = "-%@";
    if (!n->plain || !n->n || n->n > 200 || strlen(n->text) != n->n)
        return false;
    for (const char *s = n->text; *s; s++)
        if (!strchr(plain, *s) && (s == n->text || !strchr(inner, *s)))
            return false;
    return true;
}

static void put_scalar(struct buf *out, const struct doc_node *n)
{
    if (is_plain_word(n)) {
        buf_add(out, n->text, n->n);
        return;
    }
    buf_str(out, "\"");
    for (size_t i = 0; i < n->n; i++) {
        unsigned char c = (unsigned char)n->text[i];
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_u8(out, c);
    }
    buf_str(out, "\"");
}

static void put_indent(struct buf *out, unsigned indent)
{
    for (unsigned i = 0; i < indent; i++)
        buf_str(out, " ");
}

static bool is_empty(const struct doc_node *n)
{
    return n->kind != DOC_SCALAR && !n->child;
}

// A value behind its key or dash: on the same line, or below it.
static void put_value(struct buf *out, const struct doc_node *n, unsigned indent)
{
    if (n->kind == DOC_SCALAR || is_empty(n)) {
        buf_str(out, " ");
        document_put(out, n, 0);
        buf_str(out, "\n");
        return;
    }
    buf_str(out, "\n");
    document_put(out, n, indent + 2);
}

void document_put_pair(struct buf *out, const char *key, const struct doc_node *value,
                       unsigned indent)
{
    put_indent(out, indent);
    buf_printf(out, "%s:", key);
    put_value(out, value, indent);
}

// The first pair of a mapping stands behind the dash.
static void put_map_item(struct buf *out, const struct doc_node *map, unsigned indent)
{
    for (const struct doc_node *v = map->child; v; v = v->next) {
        if (v == map->child) {
            buf_printf(out, " %s:", v->key);
            put_value(out, v, indent + 2);
            continue;
        }
        document_put_pair(out, v->key, v, indent + 2);
    }
}

static void put_list(struct buf *out, const struct doc_node *list, unsigned indent)
{
    for (const struct doc_node *v = list->child; v; v = v->next) {
        put_indent(out, indent);
        buf_str(out, "-");
        if (v->kind == DOC_MAP && v->child)
            put_map_item(out, v, indent);
        else
            put_value(out, v, indent);
    }
}

void document_put(struct buf *out, const struct doc_node *n, unsigned indent)
{
    if (n->kind == DOC_SCALAR) {
        put_scalar(out, n);
        return;
    }
    if (!n->child) {
        buf_str(out, n->kind == DOC_LIST ? "[]" : "{}");
        return;
    }
    if (n->kind == DOC_LIST) {
        put_list(out, n, indent);
        return;
    }
    for (const struct doc_node *v = n->child; v; v = v->next)
        document_put_pair(out, v->key, v, indent);
}

// ---- lists by name ----

const struct doc_node *document_item(const struct doc_node *list, const char *key,
                                     const char *value)
{
    const struct doc_node *v = NULL;
    if (list && list->kind == DOC_LIST)
        v = list->child;
    for (; v; v = v->next) {
        const struct doc_node *k = doc_get(v, key);
        if (k && k->kind == DOC_SCALAR && !strcmp(k->text, value))
            return v;
    }
    return NULL;
}

static bool is_list_key(const struct doc_node *list, const char *key)
{
    for (const struct doc_node *v = list->child; v; v = v->next) {
        const struct doc_node *k = doc_get(v, key);
        if (!k || k->kind != DOC_SCALAR || document_item(list, key, k->text) != v)
            return false;
    }
    return true;
}

const char *document_list_key(const struct doc_node *list)
{
    static const char *const keys[] = {"name", "id", "region", "key", "match"};
    if (!list || list->kind != DOC_LIST || !list->child || list->n > DOC_MAX_KEYS)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (is_list_key(list, keys[i]))
            return keys[i];
    return NULL;
}

// ---- differences in words ----

struct telling {
    struct arena *arena;
    int (*tell)(void *ctx, const char *path, const char *was, const char *is);
    void *ctx;
};

#define VALUE_TOLD_MAX 160

static void put_flow(struct buf *out, const struct doc_node *n)
{
    if (n->kind == DOC_SCALAR) {
        buf_add(out, n->text, n->n);
        return;
    }
    buf_str(out, n->kind == DOC_LIST ? "[" : "{");
    for (const struct doc_node *v = n->child; v; v = v->next) {
        if (v != n->child)
            buf_str(out, ", ");
        if (n->kind == DOC_MAP)
            buf_printf(out, "%s: ", v->key);
        put_flow(out, v);
    }
    buf_str(out, n->kind == DOC_LIST ? "]" : "}");
}

const char *document_line(struct arena *arena, const struct doc_node *n)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    put_flow(&out, n);
    if (out.err)
        return NULL;
    for (size_t i = 0; i < out.n; i++)
        if ((unsigned char)out.p[i] < 0x20 || out.p[i] == 0x7f)
            out.p[i] = ' ';
    if (out.n <= VALUE_TOLD_MAX)
        return arena_strdup(arena, buf_cstr(&out));
    size_t cut = VALUE_TOLD_MAX;
    while (cut && ((unsigned char)out.p[cut] & 0xc0) == 0x80)
        cut--;
    return arena_printf(arena, "%.*s…", (int)cut, out.p);
}

static int tell_one(const struct telling *t, const char *path, const struct doc_node *a,
                    const struct doc_node *b)
{
    const char *was = NULL, *is = NULL;
    if (a)
        was = document_line(t->arena, a);
    if (b)
        is = document_line(t->arena, b);
    if ((a && !was) || (b && !is))
        return ERR_NOMEM;
    return t->tell(t->ctx, path, was, is);
}

static int differ(const struct telling *t, const char *path, const struct doc_node *a,
                  const struct doc_node *b);

static int differ_below(const struct telling *t, const char *path, const char *name,
                        const struct doc_node *a, const struct doc_node *b)
{
    const char *below = arena_printf(t->arena, "%s%s%s", path, *path ? "/" : "", name);
    if (!below)
        return ERR_NOMEM;
    return differ(t, below, a, b);
}

static int differ_maps(const struct telling *t, const char *path, const struct doc_node *a,
                       const struct doc_node *b)
{
    for (const struct doc_node *v = a->child; v; v = v->next) {
        int rc = differ_below(t, path, v->key, v, doc_get(b, v->key));
        if (rc)
            return rc;
    }
    for (const struct doc_node *v = b->child; v; v = v->next) {
        int rc = 0;
        if (!doc_get(a, v->key))
            rc = differ_below(t, path, v->key, NULL, v);
        if (rc)
            return rc;
    }
    return 0;
}

static bool same_order(const char *key, const struct doc_node *a, const struct doc_node *b)
{
    const struct doc_node *y = b->child;
    for (const struct doc_node *x = a->child; x; x = x->next) {
        if (!document_item(b, key, doc_get(x, key)->text))
            continue;
        while (y && !document_item(a, key, doc_get(y, key)->text))
            y = y->next;
        if (!y || strcmp(doc_get(x, key)->text, doc_get(y, key)->text) != 0)
            return false;
        y = y->next;
    }
    return true;
}

static int differ_items(const struct telling *t, const char *path, const char *key,
                        const struct doc_node *a, const struct doc_node *b)
{
    if (!same_order(key, a, b)) {
        const char *order = arena_printf(t->arena, "%s (order)", path);
        if (!order)
            return ERR_NOMEM;
        return tell_one(t, order, a, b);
    }
    for (const struct doc_node *v = a->child; v; v = v->next) {
        const char *name = doc_get(v, key)->text;
        int rc = differ_below(t, path, name, v, document_item(b, key, name));
        if (rc)
            return rc;
    }
    for (const struct doc_node *v = b->child; v; v = v->next) {
        const char *name = doc_get(v, key)->text;
        int rc = 0;
        if (!document_item(a, key, name))
            rc = differ_below(t, path, name, NULL, v);
        if (rc)
            return rc;
    }
    return 0;
}

static int differ(const struct telling *t, const char *path, const struct doc_node *a,
                  const struct doc_node *b)
{
    if (document_equal(a, b))
        return 0;
    if (a && b && a->kind == DOC_MAP && b->kind == DOC_MAP)
        return differ_maps(t, path, a, b);
    const char *key = document_list_key(a);
    const char *other = document_list_key(b);
    if (key && other && !strcmp(key, other))
        return differ_items(t, path, key, a, b);
    return tell_one(t, path, a, b);
}

int document_words(struct arena *arena, const struct doc_node *before, const struct doc_node *after,
                   int (*tell)(void *ctx, const char *path, const char *was, const char *is),
                   void *ctx)
{
    const struct telling t = {arena, tell, ctx};
    return differ(&t, "", before, after);
}
