// SPDX-License-Identifier: Apache-2.0
// Two topologies compared by rows; see document_diff.h.
#include "control/document_diff.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/document_rows.h"
#include "control/document_text.h"

#include <string.h>

bool document_section_is_machines(const char *key)
{
    static const char *const sections[] = {"identities", "control", "zone_serial"};
    for (size_t i = 0; i < ARRAY_LEN(sections); i++)
        if (!strcmp(sections[i], key))
            return true;
    return false;
}

// ---- the frame ----

static bool sections_differ(const struct doc_node *from, const struct doc_node *to)
{
    for (const struct doc_node *v = from->child; v; v = v->next) {
        const struct doc_node *is = doc_get(to, v->key);
        if (!strcmp(v->key, "version") || (!is && document_section_is_machines(v->key)))
            continue;
        if (!document_equal(v, is))
            return true;
    }
    for (const struct doc_node *v = to->child; v; v = v->next)
        if (!doc_get(from, v->key))
            return true;
    return false;
}

static int diff_frames(const struct topology *from, const struct topology *to,
                       struct document_diff *out)
{
    const struct doc_node *a, *b;
    if (topology_same_frame(from, to))
        return 0;
    int rc = document_frame(&out->arena, from, &a);
    if (!rc)
        rc = document_frame(&out->arena, to, &b);
    if (!rc)
        out->frame = sections_differ(a, b);
    return rc;
}

// ---- rows ----

struct names {
    struct arena *arena;
    const char **list;
    size_t n, cap;
};

static int add_name(struct names *x, const char *name)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 64;
        const char **list = arena_array(x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (x->n)
            memcpy(list, x->list, x->n * sizeof *list);
        x->list = list;
        x->cap = cap;
    }
    x->list[x->n++] = name;
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_names(struct names *x)
{
    if (x->n)
        qsort(x->list, x->n, sizeof *x->list, by_text);
}

static int diff_registries(const struct topology *from, const struct topology *to,
                           struct names *put, struct names *gone)
{
    struct catalogue_iter it = {0};
    int rc = 0;
    for (const struct registry *r; !rc && (r = topology_next(to, &it));) {
        const struct registry *was = topology_registry(from, r->name);
        if (!was || !document_same_registry(from, was, to, r))
            rc = add_name(put, r->name);
    }
    it = (struct catalogue_iter){0};
    for (const struct registry *r; !rc && (r = topology_next(from, &it));)
        if (!topology_registry(to, r->name))
            rc = add_name(gone, r->name);
    sort_names(put);
    sort_names(gone);
    return rc;
}

static int fill_registries(const struct topology *to, const struct names *put,
                           struct document_diff *out)
{
    struct spec_registry *rows = arena_array(&out->arena, put->n + 1, sizeof *rows);
    if (!rows)
        return ERR_NOMEM;
    for (size_t i = 0; i < put->n; i++) {
        const struct registry *r = topology_registry(to, put->list[i]);
        int rc = change_registry_row(to, r, &out->arena, &rows[i]);
        if (rc)
            return rc;
    }
    out->change.registries = rows;
    out->change.n_registries = put->n;
    return 0;
}

static const struct private_endpoint *find_private(const struct topology *t,
                                                   const struct htab *owners, const char *name,
                                                   const char **out_registry)
{
    *out_registry = htab_get(owners, name, strlen(name));
    const struct registry *r = NULL;
    if (*out_registry)
        r = topology_registry(t, *out_registry);
    for (size_t i = 0; r && i < r->n_private_endpoints; i++)
        if (!strcmp(r->private_endpoints[i]->name, name))
            return r->private_endpoints[i];
    return NULL;
}

struct owners { // of private endpoints, in both
    struct htab *from, *to;
};

static int diff_privates(const struct topology *from, const struct topology *to,
                         const struct owners *o, struct names *put, struct names *gone)
{
    struct catalogue_iter it = {0};
    int rc = 0;
    for (const struct registry *r; !rc && (r = topology_next(to, &it));)
        for (size_t i = 0; i < r->n_private_endpoints && !rc; i++) {
            const struct private_endpoint *pe = r->private_endpoints[i];
            const char *owner;
            const struct private_endpoint *was = find_private(from, o->from, pe->name, &owner);
            if (!was || strcmp(owner, r->name) != 0 || !document_same_private(from, was, to, pe))
                rc = add_name(put, pe->name);
        }
    it = (struct catalogue_iter){0};
    for (const struct registry *r; !rc && (r = topology_next(from, &it));)
        for (size_t i = 0; i < r->n_private_endpoints && !rc; i++) {
            const char *name = r->private_endpoints[i]->name;
            if (!htab_get(o->to, name, strlen(name)))
                rc = add_name(gone, name);
        }
    sort_names(put);
    sort_names(gone);
    return rc;
}

static int fill_privates(const struct topology *to, const struct owners *o, const struct names *put,
                         struct document_diff *out)
{
    struct spec_private *rows = arena_array(&out->arena, put->n + 1, sizeof *rows);
    if (!rows)
        return ERR_NOMEM;
    for (size_t i = 0; i < put->n; i++) {
        const char *owner;
        const struct private_endpoint *pe = find_private(to, o->to, put->list[i], &owner);
        int rc = change_private_row(to, owner, pe, &out->arena, &rows[i]);
        if (rc)
            return rc;
    }
    out->change.private_endpoints = rows;
    out->change.n_private_endpoints = put->n;
    return 0;
}

static int diff_rows(const struct topology *from, const struct topology *to, const struct owners *o,
                     struct document_diff *out)
{
    struct names put = {.arena = &out->arena}, gone = put, pe_put = put, pe_gone = put;
    int rc = diff_registries(from, to, &put, &gone);
    if (!rc)
        rc = fill_registries(to, &put, out);
    if (!rc)
        rc = diff_privates(from, to, o, &pe_put, &pe_gone);
    if (!rc)
        rc = fill_privates(to, o, &pe_put, out);
    out->change.remove = gone.list;
    out->change.n_remove = gone.n;
    out->change.remove_private_endpoints = pe_gone.list;
    out->change.n_remove_private_endpoints = pe_gone.n;
    return rc;
}

int document_diff(const struct topology *from, const struct topology *to, struct document_diff *out)
{
    *out = (struct document_diff){.frame = false};
    arena_init(&out->arena, 0);
    int rc = diff_frames(from, to, out);
    if (rc)
        return rc;
    struct owners o = {document_private_owners(from), document_private_owners(to)};
    rc = ERR_NOMEM;
    if (o.from && o.to)
        rc = diff_rows(from, to, &o, out);
    htab_free(o.from);
    htab_free(o.to);
    return rc;
}

void document_diff_done(struct document_diff *d)
{
    arena_done(&d->arena);
}

// ---- in parts ----

size_t document_diff_rows(const struct document_diff *d)
{
    const struct change *c = &d->change;
    return c->n_remove_private_endpoints + c->n_registries + c->n_private_endpoints + c->n_remove;
}

// The rows from `first` to before `end`, cut out of the four lists in their order.
static struct change cut(const struct change *all, size_t first, size_t end)
{
    struct change c = {0};
    const size_t sizes[] = {all->n_remove_private_endpoints, all->n_registries,
                            all->n_private_endpoints, all->n_remove};
    size_t at = 0, from[4], n[4];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        size_t a = first > at ? first - at : 0, b = end > at ? end - at : 0;
        from[i] = a < sizes[i] ? a : sizes[i];
        n[i] = (b < sizes[i] ? b : sizes[i]) - from[i];
        at += sizes[i];
    }
    if (n[0])
        c.remove_private_endpoints = all->remove_private_endpoints + from[0];
    if (n[1])
        c.registries = all->registries + from[1];
    if (n[2])
        c.private_endpoints = all->private_endpoints + from[2];
    if (n[3])
        c.remove = all->remove + from[3];
    c.n_remove_private_endpoints = n[0];
    c.n_registries = n[1];
    c.n_private_endpoints = n[2];
    c.n_remove = n[3];
    return c;
}

static int size_of(const struct document_diff *d, size_t first, size_t end, size_t *out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    const struct change c = cut(&d->change, first, end);
    int rc = change_format(&c, &text);
    *out = text.n;
    return rc;
}

int document_diff_part(const struct document_diff *d, size_t first, size_t max_bytes,
                       struct buf *out, size_t *out_next)
{
    size_t all = document_diff_rows(d), end = first, n = 0;
    while (end < all && (end == first || n < max_bytes)) {
        size_t more = 0;
        // some rows at a time: the keys that each piece repeats do not count
        size_t step = all - end < 16 ? all - end : 16;
        int rc = size_of(d, end, end + step, &more);
        if (rc)
            return rc;
        if (end > first && n + more > max_bytes)
            break;
        n += more;
        end += step;
    }
    const struct change c = cut(&d->change, first, end);
    *out_next = end;
    return change_format(&c, out);
}
