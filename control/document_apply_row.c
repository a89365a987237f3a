// SPDX-License-Identifier: Apache-2.0
// One row by its three sides; see document_apply_priv.h.
#include "control/document_apply_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/document_rows.h"
#include "control/document_text.h"

#include <string.h>

// ---- lists ----

int apply_add_member(struct applying *x, struct members *m, const struct document_member *one)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 16;
        struct document_member *list = arena_array(x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (m->n)
            memcpy(list, m->list, m->n * sizeof *list);
        m->list = list;
        m->cap = cap;
    }
    m->list[m->n++] = *one;
    return 0;
}

int apply_add_record(struct applying *x, const char *key, const char *value)
{
    struct records *r = &x->records;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 16;
        struct applied_record *list = arena_array(x->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (r->n)
            memcpy(list, r->list, r->n * sizeof *list);
        r->list = list;
        r->cap = cap;
    }
    r->list[r->n++] = (struct applied_record){key, value};
    return 0;
}

static int in_a_line(struct applying *x, const struct doc_node *n, const char **out)
{
    *out = NULL;
    if (!n)
        return 0;
    *out = document_line(x->arena, n);
    return *out ? 0 : ERR_NOMEM;
}

// ---- a row ----

static int on_member(void *ctx, enum document_side side, const char *path,
                     const struct doc_node *base, const struct doc_node *theirs,
                     const struct doc_node *ours)
{
    struct applying *x = ctx;
    if (side == SIDE_OURS)
        return 0;
    struct document_member m = {.row = x->row, .member = path, .by = x->by};
    int rc = in_a_line(x, base, &m.base);
    if (!rc)
        rc = in_a_line(x, theirs, &m.in_force);
    if (!rc)
        rc = in_a_line(x, ours, &m.file);
    if (rc)
        return rc;
    if (side == SIDE_THEIRS)
        return apply_add_member(x, &x->kept, &m);
    return apply_add_member(x, &x->conflicts, &m);
}

// What the base says of the row from now on: what ours does, while that is not what is in force.
static int rebase(struct applying *x, const char *key, bool known, const struct doc_node *recorded,
                  const struct doc_node *ours, const struct doc_node *outcome)
{
    bool agrees = document_equal(ours, outcome);
    // the record that there is, or that there is none, says it
    if ((agrees && !known) || (!agrees && known && document_equal(recorded, ours)))
        return 0;
    if (agrees) {
        x->mark.rows -= x->mark.rows > 0;
        return apply_add_record(x, key, NULL);
    }
    const char *value = applied_value(x->arena, ours, x->by);
    if (!value)
        return ERR_NOMEM;
    x->mark.rows += !known;
    return apply_add_record(x, key, value);
}

// The row as it was when ours was exported.
static int exported_row(struct applying *x, const char *kind, const char *name,
                        const struct doc_node **out)
{
    const struct topology *t = x->in->exported;
    int rc = 0;
    if (!strcmp(kind, "section")) {
        if (!x->exported_frame)
            rc = document_frame(x->arena, t, &x->exported_frame);
        *out = rc ? NULL : doc_get(x->exported_frame, name);
        return rc;
    }
    if (!strcmp(kind, "private")) {
        if (!x->exported_owners)
            x->exported_owners = document_private_owners(t);
        if (!x->exported_owners)
            return ERR_NOMEM;
        const char *owner = htab_get(x->exported_owners, name, strlen(name));
        return document_private(x->arena, t, owner, name, out);
    }
    rc = document_registry(x->arena, t, name, out);
    if (rc || !*out)
        return rc;
    *out = document_without_incarnation(x->arena, *out);
    return *out ? 0 : ERR_NOMEM;
}

struct base { // of the row in hand
    const char *key;
    const struct doc_node *row, *recorded;
    // there is a record
    bool known;
};

// Takes the row in hand.
static int take_row(struct applying *x, const char *kind, const char *name,
                    const struct doc_node *theirs, struct base *out)
{
    out->key = applied_key(x->arena, kind, name);
    x->row = arena_printf(x->arena, "%s/%s", kind, name);
    if (!out->key || !x->row || htab_put(x->seen, out->key, strlen(out->key), (void *)out->key))
        return ERR_NOMEM;
    int rc = applied_row(x->in->look_up, x->in->ctx, x->arena, out->key, &out->known,
                         &out->recorded, &x->by);
    out->row = out->recorded;
    if (!out->known && !x->mark.lost)
        out->row = theirs;
    else if (!rc && x->in->exported)
        rc = exported_row(x, kind, name, &out->row);
    return rc;
}

int apply_merge_row(struct applying *x, const char *kind, const char *name,
                    const struct doc_node *theirs, const struct doc_node *ours,
                    const struct doc_node **out)
{
    struct base base;
    int rc = take_row(x, kind, name, theirs, &base);
    if (rc)
        return rc;
    struct document_merge m = {.arena = x->arena, .wins = x->in->wins, .tell = on_member, .ctx = x};
    rc = document_merge(&m, base.row, theirs, ours, out);
    if (rc)
        return rc;
    return rebase(x, base.key, base.known, base.recorded, ours, *out);
}

int apply_another_row(struct applying *x, const char *kind, const char *name,
                      const struct doc_node *theirs, const struct doc_node *ours,
                      const struct document_member *what, const struct doc_node **out)
{
    struct base base;
    int rc = take_row(x, kind, name, theirs, &base);
    struct document_member m = *what;
    m.row = x->row;
    m.by = x->by;
    *out = theirs;
    if (rc || document_equal(ours, theirs))
        return rc ? rc : rebase(x, base.key, base.known, base.recorded, ours, *out);
    if (!ours || document_equal(ours, base.row)) {
        rc = apply_add_member(x, &x->kept, &m);
    } else {
        rc = apply_add_member(x, &x->conflicts, &m);
        if (x->in->wins == WINS_FILE)
            *out = ours;
    }
    if (rc)
        return rc;
    return rebase(x, base.key, base.known, base.recorded, ours, *out);
}

static int row_text(struct applying *x, const struct doc_node *n, const char **out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    *out = NULL;
    if (!n)
        return 0;
    if (n->kind == DOC_SCALAR) {
        *out = document_line(x->arena, n);
    } else {
        document_put(&text, n, 0);
        *out = text.err ? NULL : arena_strdup(x->arena, buf_cstr(&text));
    }
    return *out ? 0 : ERR_NOMEM;
}

// The row in hand (x->row) is to be `outcome`.
int apply_tell_row(struct applying *x, const struct doc_node *theirs,
                   const struct doc_node *outcome)
{
    if (x->n_rows++ >= DOCUMENT_ROWS_TOLD_MAX)
        return 0;
    struct document_row_change *c = &x->rows[x->n_rows - 1];
    c->row = x->row;
    int rc = row_text(x, theirs, &c->before);
    if (!rc)
        rc = row_text(x, outcome, &c->after);
    return rc;
}
