// SPDX-License-Identifier: Apache-2.0
// Rows of registries and private endpoints; see document_apply_priv.h.
#include "control/document_apply_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/change.h"
#include "control/document_rows.h"
#include "control/document_text.h"

#include <string.h>

// ---- what comes of a row ----

static void put_item(struct buf *out, const struct doc_node *row)
{
    struct doc_node one = *row;
    one.next = NULL;
    const struct doc_node list = {.kind = DOC_LIST, .n = 1, .child = &one};
    document_put(out, &list, 2);
}

static int put_outcome(struct applying *x, const char *name, const struct doc_node *theirs,
                       const struct doc_node *outcome, struct buf *rows, struct buf *remove)
{
    if (document_equal(theirs, outcome))
        return 0;
    if (outcome)
        put_item(rows, outcome);
    else
        buf_printf(remove, "  - \"%s\"\n", name);
    return apply_tell_row(x, theirs, outcome);
}

static int add_removed(struct applying *x, const char *name)
{
    if (x->n_removed == x->cap_removed) {
        size_t cap = x->cap_removed ? 2 * x->cap_removed : 16;
        const char **list = arena_array(x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (x->n_removed)
            memcpy(list, x->removed, x->n_removed * sizeof *list);
        x->removed = list;
        x->cap_removed = cap;
    }
    x->removed[x->n_removed++] = name;
    return 0;
}

// ---- rows ----

// Names go into texts: what cannot be one is refused before.
static int check_name(struct applying *x, const char *name)
{
    if (name && *name && !strpbrk(name, "\"\\/\n") && strlen(name) <= 63)
        return 0;
    diag_add(x->diag, "the document", 0, "\"%.80s\" cannot be the name of a row", name ? name : "");
    return ERR_INVAL;
}

// Is the registry in force another one than the row means? It was deleted, and created again, since
// the document was exported. A document that takes it out means the one of that time.
static bool is_another(const struct applying *x, const struct registry *r,
                       const struct spec_registry *row)
{
    const struct registry *was = NULL;
    if (!r)
        return false;
    if (row)
        return row->incarnation && row->incarnation != r->incarnation;
    if (x->in->exported)
        was = topology_registry(x->in->exported, r->name);
    return was && was->incarnation != r->incarnation;
}

static int merge_another(struct applying *x, const struct registry *r,
                         const struct spec_registry *row, const struct doc_node *theirs,
                         const struct doc_node *ours, const struct doc_node **out)
{
    unsigned long long is = r->incarnation;
    struct document_member m = {.member = "incarnation",
                                .in_force = arena_printf(x->arena, "%llu", is)};
    if (row) {
        m.file = arena_printf(x->arena, "%llu", (unsigned long long)row->incarnation);
        m.base = m.file;
        m.note = arena_printf(x->arena,
                              "registry %s was deleted and created again since, and the file means "
                              "the one before: write `incarnation: %llu` into its row, or leave "
                              "that out, to mean the one in force",
                              r->name, is);
    } else {
        m.note =
            arena_printf(x->arena,
                         "registry %s was deleted and created again since, and the file takes "
                         "the one before out: the one in force stays. If it is to go, `meridian "
                         "registry delete %s`, or take it out of what is exported now",
                         r->name, r->name);
    }
    if (!m.in_force || !m.note || (row && !m.file))
        return ERR_NOMEM;
    return apply_another_row(x, "registry", r->name, theirs, ours, &m, out);
}

// Theirs and ours without incarnations, which say what is meant and are no members.
static int both_registries(struct applying *x, const char *name, const struct spec_registry *row,
                           const struct doc_node **theirs, const struct doc_node **ours)
{
    int rc = document_registry(x->arena, x->in->t, name, theirs);
    *ours = NULL;
    if (!rc && *theirs) {
        *theirs = document_without_incarnation(x->arena, *theirs);
        rc = *theirs ? 0 : ERR_NOMEM;
    }
    if (rc || !row)
        return rc;
    struct spec_registry mine = *row;
    mine.incarnation = 0;
    return document_spec_registry(x->arena, &mine, ours);
}

static int take_registry(struct applying *x, const char *name, const struct spec_registry *row)
{
    const struct doc_node *theirs, *ours, *outcome;
    int rc = check_name(x, name);
    if (!rc)
        rc = both_registries(x, name, row, &theirs, &ours);
    if (rc)
        return rc;
    const struct registry *r = topology_registry(x->in->t, name);
    if (is_another(x, r, row))
        rc = merge_another(x, r, row, theirs, ours, &outcome);
    else
        rc = apply_merge_row(x, "registry", name, theirs, ours, &outcome);
    if (!rc)
        rc = put_outcome(x, name, theirs, outcome, &x->registries, &x->remove);
    if (!rc && theirs && !outcome)
        rc = add_removed(x, name);
    return rc;
}

static int take_private(struct applying *x, const char *name, const struct spec_private *row)
{
    const struct doc_node *theirs, *ours = NULL, *outcome;
    int rc = check_name(x, name);
    if (!rc && !x->owners)
        x->owners = document_private_owners(x->in->t);
    if (!rc && !x->owners)
        rc = ERR_NOMEM;
    if (!rc)
        rc = document_private(x->arena, x->in->t, htab_get(x->owners, name, strlen(name)), name,
                              &theirs);
    if (!rc && row)
        rc = document_spec_private(x->arena, row, &ours);
    if (!rc)
        rc = apply_merge_row(x, "private", name, theirs, ours, &outcome);
    if (!rc)
        rc = put_outcome(x, name, theirs, outcome, &x->privates, &x->remove_privates);
    return rc;
}

int apply_rows(struct applying *x)
{
    struct change c;
    if (!x->in->change.n)
        return 0;
    AUTO_BUF struct buf text; // a change must have a version, and any will do here
    buf_init(&text, 0);
    buf_str(&text, "version: 1\n");
    buf_add(&text, x->in->change.p, x->in->change.n);
    if (text.err)
        return text.err;
    int rc = change_parse(buf_cstr(&text), text.n, "the document", 0, x->arena, x->diag, &c);
    for (size_t i = 0; !rc && i < c.n_registries; i++)
        rc = take_registry(x, c.registries[i].name, &c.registries[i]);
    for (size_t i = 0; !rc && i < c.n_remove; i++)
        rc = take_registry(x, c.remove[i], NULL);
    for (size_t i = 0; !rc && i < c.n_private_endpoints; i++)
        rc = take_private(x, c.private_endpoints[i].name, &c.private_endpoints[i]);
    for (size_t i = 0; !rc && i < c.n_remove_private_endpoints; i++)
        rc = take_private(x, c.remove_private_endpoints[i], NULL);
    return rc;
}

static void put_list(struct buf *out, const char *key, const struct buf *items)
{
    if (items->n)
        buf_printf(out, "%s:\n%s", key, buf_cstr(items));
}

int apply_put_change(struct applying *x, struct buf *out)
{
    const struct buf *lists[] = {&x->registries, &x->remove, &x->privates, &x->remove_privates};
    static const char *const keys[] = {"registries", "remove", "private_endpoints",
                                       "remove_private_endpoints"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (lists[i]->err)
            return lists[i]->err;
        put_list(out, keys[i], lists[i]);
    }
    return out->err;
}
