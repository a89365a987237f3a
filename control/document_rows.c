// SPDX-License-Identifier: Apache-2.0
// A topology by its rows; see document_rows.h.
#include "control/document_rows.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/reserved.h"

#include <string.h>

// ---- rows as trees ----

// The first item of the list under `key` in a change.
static int row_of(struct arena *arena, const struct change *c, const char *key,
                  const struct doc_node **out)
{
    AUTO_BUF struct buf text;
    struct doc_node *root;
    buf_init(&text, 0);
    int rc = change_format(c, &text);
    if (!rc)
        rc = doc_parse(buf_cstr(&text), text.n, key, arena, NULL, &root);
    if (rc)
        return rc;
    const struct doc_node *list = doc_get(root, key);
    if (!list || !list->child)
        return ERR_INVAL;
    struct doc_node *row = arena_copy(arena, list->child, sizeof *row);
    if (!row)
        return ERR_NOMEM;
    row->next = NULL;
    *out = row;
    return 0;
}

int document_spec_registry(struct arena *arena, const struct spec_registry *row,
                           const struct doc_node **out)
{
    struct spec_registry one = *row;
    const struct change c = {.registries = &one, .n_registries = 1};
    return row_of(arena, &c, "registries", out);
}

int document_spec_private(struct arena *arena, const struct spec_private *row,
                          const struct doc_node **out)
{
    const struct change c = {.private_endpoints = row, .n_private_endpoints = 1};
    return row_of(arena, &c, "private_endpoints", out);
}

int document_registry(struct arena *arena, const struct topology *t, const char *name,
                      const struct doc_node **out)
{
    const struct registry *r = topology_registry(t, name);
    struct spec_registry row;
    if (!r) {
        *out = NULL;
        return 0;
    }
    int rc = change_registry_row(t, r, arena, &row);
    if (rc)
        return rc;
    return document_spec_registry(arena, &row, out);
}

const struct doc_node *document_without_incarnation(struct arena *arena, const struct doc_node *row)
{
    struct doc_node *out = arena_copy(arena, row, sizeof *row);
    struct doc_node **link = out ? &out->child : NULL;
    if (!out || !doc_get(row, "incarnation"))
        return out;
    for (const struct doc_node *v = row->child; v; v = v->next) {
        struct doc_node *copy;
        if (!strcmp(v->key, "incarnation"))
            continue;
        copy = arena_copy(arena, v, sizeof *v);
        if (!copy)
            return NULL;
        *link = copy;
        link = &copy->next;
    }
    *link = NULL;
    out->n--;
    return out;
}

static const struct private_endpoint *private_of(const struct registry *r, const char *name)
{
    for (size_t i = 0; r && i < r->n_private_endpoints; i++)
        if (!strcmp(r->private_endpoints[i]->name, name))
            return r->private_endpoints[i];
    return NULL;
}

int document_private(struct arena *arena, const struct topology *t, const char *registry,
                     const char *name, const struct doc_node **out)
{
    const struct private_endpoint *pe = NULL;
    if (registry)
        pe = private_of(topology_registry(t, registry), name);
    struct spec_private row;
    if (!pe) {
        *out = NULL;
        return 0;
    }
    int rc = change_private_row(t, registry, pe, arena, &row);
    if (rc)
        return rc;
    return document_spec_private(arena, &row, out);
}

int document_frame(struct arena *arena, const struct topology *t, const struct doc_node **out)
{
    struct doc_node *root;
    if (!t->frame->text)
        return ERR_UNSUPPORTED;
    int rc = doc_parse(t->frame->text, t->frame->text_n, t->source, arena, NULL, &root);
    if (!rc)
        *out = root;
    return rc;
}

// ---- comparing ----

static int put_registry(const struct topology *t, const struct registry *r, struct buf *out)
{
    struct arena arena;
    struct spec_registry row;
    arena_init(&arena, 0);
    int rc = change_registry_row(t, r, &arena, &row);
    const struct change c = {.registries = &row, .n_registries = 1};
    if (!rc)
        rc = change_format(&c, out);
    arena_done(&arena);
    return rc;
}

static int put_private(const struct topology *t, const char *registry,
                       const struct private_endpoint *pe, struct buf *out)
{
    struct arena arena;
    struct spec_private row;
    arena_init(&arena, 0);
    int rc = change_private_row(t, registry, pe, &arena, &row);
    const struct change c = {.private_endpoints = &row, .n_private_endpoints = 1};
    if (!rc)
        rc = change_format(&c, out);
    arena_done(&arena);
    return rc;
}

static bool same_text(const struct buf *a, const struct buf *b)
{
    return a->n == b->n && !memcmp(buf_cstr(a), buf_cstr(b), a->n);
}

bool document_same_registry(const struct topology *ta, const struct registry *a,
                            const struct topology *tb, const struct registry *b)
{
    AUTO_BUF struct buf x, y;
    struct registry with = *b;
    buf_init(&x, 0);
    buf_init(&y, 0);
    if (!with.incarnation)
        with.incarnation = a->incarnation;
    return !put_registry(ta, a, &x) && !put_registry(tb, &with, &y) && same_text(&x, &y);
}

bool document_same_private(const struct topology *ta, const struct private_endpoint *a,
                           const struct topology *tb, const struct private_endpoint *b)
{
    AUTO_BUF struct buf x, y;
    buf_init(&x, 0);
    buf_init(&y, 0);
    return !put_private(ta, "", a, &x) && !put_private(tb, "", b, &y) && same_text(&x, &y);
}

struct htab *document_private_owners(const struct topology *t)
{
    struct htab *owners = htab_new();
    struct catalogue_iter it = {0};
    for (const struct registry *r; owners && (r = topology_next(t, &it));)
        for (size_t i = 0; i < r->n_private_endpoints; i++) {
            const char *name = r->private_endpoints[i]->name;
            if (htab_put(owners, name, strlen(name), (void *)r->name)) {
                htab_free(owners);
                return NULL;
            }
        }
    return owners;
}

// ---- the whole document ----

// The frame's text with another version.
static int put_frame(const struct topology *t, struct buf *out)
{
    static const char key[] = "version:";
    const char *text = t->frame->text, *end = text + t->frame->text_n;
    bool done = false;
    while (text < end) {
        const char *line = memchr(text, '\n', (size_t)(end - text));
        const char *next = line ? line + 1 : end;
        bool is_version =
            (size_t)(next - text) >= sizeof key - 1 && !memcmp(text, key, sizeof key - 1);
        if (is_version)
            buf_printf(out, "version: %llu\n", (unsigned long long)t->version);
        else
            buf_add(out, text, (size_t)(next - text));
        done = done || is_version;
        text = next;
    }
    if (out->n && out->p[out->n - 1] != '\n')
        buf_str(out, "\n");
    // an empty line stands before the registries, however often it is exported
    while (out->n > 1 && out->p[out->n - 1] == '\n' && out->p[out->n - 2] == '\n')
        out->p[--out->n] = 0;
    if (!done) // it stands in some other form
        return ERR_UNSUPPORTED;
    return out->err;
}

// What change_format writes, which ends with the row, without its key.
static int put_without_key(const struct buf *row, struct buf *out)
{
    const char *text = buf_cstr(row), *line = strchr(text, '\n');
    if (line)
        buf_add(out, line + 1, row->n - (size_t)(line + 1 - text));
    return out->err;
}

static int put_privates(const struct topology *t, const struct registry **all, struct buf *out)
{
    AUTO_BUF struct buf row;
    buf_init(&row, 0);
    bool begun = false;
    for (size_t i = 0; i < t->n_registries; i++)
        for (size_t k = 0; k < all[i]->n_private_endpoints; k++) {
            buf_clear(&row);
            int rc = put_private(t, all[i]->name, all[i]->private_endpoints[k], &row);
            if (rc)
                return rc;
            if (!begun)
                buf_str(out, "\nprivate_endpoints:\n");
            begun = true;
            rc = put_without_key(&row, out);
            if (rc)
                return rc;
        }
    return out->err;
}

int document_export(const struct topology *t, struct buf *out)
{
    AUTO_FREE const struct registry **all = topology_sorted(t);
    AUTO_BUF struct buf row;
    buf_init(&row, 0);
    if (!t->frame->text)
        return ERR_UNSUPPORTED;
    if (!all)
        return ERR_NOMEM;
    int rc = put_frame(t, out);
    if (t->n_registries)
        buf_str(out, "\nregistries:\n");
    for (size_t i = 0; i < t->n_registries && !rc; i++) {
        buf_clear(&row);
        rc = put_registry(t, all[i], &row);
        if (!rc)
            rc = put_without_key(&row, out);
    }
    if (!rc)
        rc = put_privates(t, all, out);
    if (!rc && topology_reserved_count(t))
        buf_str(out, "\n");
    if (!rc)
        rc = reserved_names_format(t, out);
    return rc;
}
