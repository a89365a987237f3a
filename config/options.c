// SPDX-License-Identifier: Apache-2.0
// The structure of option rows: mappings, lists, defaults, unknown and missing keys; see options.h.
#include "config/options.h"

#include "base/addr.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/options_priv.h"

#include <stdarg.h>
#include <string.h>

#define PATH_SIZE 256

void options_error(struct option_ctx *ctx, int line, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ctx->n_errors++;
    diag_add(ctx->diag, ctx->source, line, "%s", text);
}

int option_ctx_result(const struct option_ctx *ctx)
{
    if (ctx->nomem)
        return ERR_NOMEM;
    if (ctx->n_errors)
        return ERR_INVAL;
    return 0;
}

void option_wrong(struct option_at *at, const char *expect)
{
    options_error(at->ctx, at->line, "%s: expected %s, found \"%.80s\"", at->path, expect,
                  at->found);
}

static size_t item_size(const struct option *o)
{
    switch (o->type) {
    case OPT_IPS:
        return sizeof(struct ip);
    case OPT_CIDRS:
        return sizeof(struct cidr);
    case OPT_ENDPOINTS:
        return sizeof(struct endpoint);
    case OPT_STRINGS:
        return sizeof(const char *);
    case OPT_LIST:
        return o->sub->size;
    default:
        return 0; // flags: or-ed in place
    }
}

static bool is_list(const struct option *o)
{
    return o->type == OPT_FLAGS || o->type == OPT_LIST ||
           (o->type >= OPT_IPS && o->type <= OPT_STRINGS);
}

static bool scalar_given(struct option_at *at, const struct doc_node *v, const char *what)
{
    at->line = v->line;
    if (v->kind != DOC_SCALAR)
        options_error(at->ctx, v->line, "%s: expected %s, found %s", at->path, what,
                      doc_kind_name(v));
    else if (v->plain && !v->n)
        options_error(at->ctx, v->key ? v->key_line : v->line, "%s: has no value", at->path);
    else
        return true;
    return false;
}

// Paths are only read when something is wrong, but made for every value of documents with millions:
// no printf. What does not fit is cut off. Returns the new length.
static size_t path_add(char path[PATH_SIZE], size_t at, const char *s)
{
    size_t n = strlen(s);
    if (n > PATH_SIZE - 1 - at)
        n = PATH_SIZE - 1 - at;
    memcpy(path + at, s, n);
    path[at + n] = 0;
    return at + n;
}

static void path_add_index(char path[PATH_SIZE], size_t at, size_t index)
{
    char text[24], *p = text + sizeof text;
    *--p = 0;
    *--p = ']';
    do
        *--p = (char)('0' + index % 10);
    while (index /= 10);
    *--p = '[';
    path_add(path, at, p);
}

static void list_item(struct option_at *at, const struct doc_node *v, void *slot)
{
    const struct option *o = at->row;
    if (o->type != OPT_LIST) {
        if (scalar_given(at, v, "a value"))
            option_scalar(at, v->text, slot);
    } else {
        // also when it is no mapping: it says so, and keeps the node
        options_apply(at->ctx, o->sub, v, at->path, slot);
    }
}

static void list_value(struct option_at *at, const struct doc_node *v, char *out)
{
    const struct option *o = at->row;
    bool one = o->one_ok && v->kind == DOC_SCALAR && v->n;
    if (v->kind != DOC_LIST && !one) {
        options_error(at->ctx, v->key_line, "%s: expected a list%s, found %s", at->path,
                      o->one_ok ? " or a value" : "",
                      v->kind == DOC_SCALAR && !v->n ? "nothing" : doc_kind_name(v));
        return;
    }
    size_t n = one ? 1 : v->n, size = item_size(o);
    if (n < o->min || (o->max && n > o->max)) {
        options_error(at->ctx, v->key_line, "%s: has %zu item%s, %s %llu", at->path, n,
                      n == 1 ? "" : "s", n < o->min ? "needs at least" : "may have at most",
                      (unsigned long long)(n < o->min ? o->min : o->max));
        return;
    }
    char *items;
    if (size)
        items = arena_array(at->ctx->arena, n, size);
    else
        items = out + o->offset;
    if (!items) {
        at->ctx->nomem = true;
        return;
    }
    char path[PATH_SIZE];
    struct option_at item = *at;
    item.path = path;
    size_t i = 0, stem = path_add(path, 0, at->path);
    for (const struct doc_node *c = one ? v : v->child; i < n; c = c->next, i++) {
        if (!one)
            path_add_index(path, stem, i);
        list_item(&item, c, items + i * size);
    }
    if (size) {
        memcpy(out + o->offset, &items, sizeof items);
        memcpy(out + o->n_offset, &n, sizeof n);
    }
}

static void default_value(struct option_at *at, char *out)
{
    const struct option *o = at->row;
    if (o->type == OPT_MAP) { // its own rows have defaults
        static const struct doc_node none = {.kind = DOC_MAP};
        options_apply(at->ctx, o->sub, &none, at->path, out + o->offset);
        return;
    }
    if (!o->def || o->type == OPT_NODE)
        return;
    if (!is_list(o)) {
        option_scalar(at, o->def, out + o->offset);
        return;
    }
    // "a, b": words of a list
    char *copy = arena_strdup(at->ctx->arena, o->def), *word, *rest = copy;
    size_t n = 0, size = item_size(o), room = strlen(o->def) / 2 + 1;
    char *items;
    if (size)
        items = arena_array(at->ctx->arena, room, size);
    else
        items = out + o->offset;
    if (!copy || !items) {
        at->ctx->nomem = true;
        return;
    }
    while ((word = strsep(&rest, ", ")))
        if (*word)
            option_scalar(at, word, items + n++ * size);
    if (size) {
        memcpy(out + o->offset, &items, sizeof items);
        memcpy(out + o->n_offset, &n, sizeof n);
    }
}

static void given_value(struct option_at *at, const struct doc_node *v, char *out)
{
    const struct option *o = at->row;
    at->line = v->key_line;
    if (o->type == OPT_NODE) {
        memcpy(out + o->offset, &v, sizeof v);
    } else if (is_list(o)) {
        list_value(at, v, out);
    } else if (o->type == OPT_MAP) {
        if (v->kind == DOC_MAP)
            options_apply(at->ctx, o->sub, v, at->path, out + o->offset);
        else
            options_error(at->ctx, v->key_line, "%s: expected a mapping, found %s", at->path,
                          doc_kind_name(v));
    } else if (scalar_given(at, v, "a value")) {
        option_scalar(at, v->text, out + o->offset);
    }
}

static void unknown_key(struct option_ctx *ctx, const struct option_set *set,
                        const struct doc_node *v, const char *path)
{
    const char *known[64];
    size_t n = 0;
    for (; n < set->n_rows && n < ARRAY_LEN(known); n++)
        known[n] = set->rows[n].key;
    const char *near = diag_nearest(v->key, known, n);
    options_error(ctx, v->key_line, "%s%s%.80s: unknown key%s%s%s", path, *path ? "." : "", v->key,
                  near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static const struct option *row_of(const struct option_set *set, const char *key)
{
    for (size_t i = 0; i < set->n_rows; i++)
        if (!strcmp(set->rows[i].key, key))
            return &set->rows[i];
    return NULL;
}

void options_apply(struct option_ctx *ctx, const struct option_set *set, const struct doc_node *map,
                   const char *path, void *out)
{
    char key_path[PATH_SIZE];
    if (set->node_offset != OPT_NO_NODE)
        memcpy((char *)out + set->node_offset, &map, sizeof map);
    if (map->kind != DOC_MAP) {
        options_error(ctx, map->line, "%s%sexpected a mapping, found %s", path, *path ? ": " : "",
                      doc_kind_name(map));
        return;
    }
    for (const struct doc_node *v = map->child; v; v = v->next)
        if (!row_of(set, v->key))
            unknown_key(ctx, set, v, path);
    size_t stem = path_add(key_path, 0, path);
    if (stem)
        stem = path_add(key_path, stem, ".");
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct option *o = &set->rows[i];
        path_add(key_path, stem, o->key);
        struct option_at at = {.ctx = ctx, .row = o, .path = key_path, .line = map->line};
        const struct doc_node *v = doc_get(map, o->key);
        if (v)
            given_value(&at, v, out);
        else if (o->required)
            options_error(ctx, map->line, "%s: missing%s%s", key_path, o->help ? "; it is " : "",
                          o->help ? o->help : "");
        else
            default_value(&at, out);
    }
}
