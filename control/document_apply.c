// SPDX-License-Identifier: Apache-2.0
// A document applied by three sides; see document_apply.h.
//
// Invariants
// 1. `seen` has the key of each row that was looked at; what is not in it, ours has as it is in
//    force.
#include "control/document_apply.h"

#include "base/err.h"
#include "base/htab.h"
#include "base/mem.h"
#include "control/change.h"
#include "control/document_diff.h"
#include "control/document_rows.h"
#include "control/document_text.h"

#include <string.h>

struct members {
    struct document_member *list;
    size_t n, cap;
};

struct records {
    struct applied_record *list;
    size_t n, cap;
};

struct applying {
    const struct document_apply_in *in;
    struct diag *diag;
    struct arena *arena;
    struct applied_mark mark;
    struct htab *seen;
    // of private endpoints, in force, and when ours was exported
    struct htab *owners, *exported_owners;
    // the sections of that time
    const struct doc_node *exported_frame;
    struct members kept, conflicts;
    struct records records;
    struct document_row_change rows[DOCUMENT_ROWS_TOLD_MAX];
    size_t n_rows;
    const char **removed;
    size_t n_removed, cap_removed;
    // lists of the change
    struct buf registries, privates, remove, remove_privates;
    // of the row that is being merged
    const char *row, *by;
};

// ---- lists ----

static int add_member(struct applying *x, struct members *m, const struct document_member *one)
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

static int add_record(struct applying *x, const char *key, const char *value)
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
        return add_member(x, &x->kept, &m);
    return add_member(x, &x->conflicts, &m);
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
        return add_record(x, key, NULL);
    }
    const char *value = applied_value(x->arena, ours, x->by);
    if (!value)
        return ERR_NOMEM;
    x->mark.rows += !known;
    return add_record(x, key, value);
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

static int merge_row(struct applying *x, const char *kind, const char *name,
                     const struct doc_node *theirs, const struct doc_node *ours,
                     const struct doc_node **out)
{
    const char *key = applied_key(x->arena, kind, name);
    const struct doc_node *base, *recorded;
    bool known;
    x->row = arena_printf(x->arena, "%s/%s", kind, name);
    if (!key || !x->row || htab_put(x->seen, key, strlen(key), (void *)key))
        return ERR_NOMEM;
    int rc = applied_row(x->in->look_up, x->in->ctx, x->arena, key, &known, &recorded, &x->by);
    base = recorded;
    if (!known && !x->mark.lost)
        base = theirs;
    else if (!rc && x->in->exported)
        rc = exported_row(x, kind, name, &base);
    if (rc)
        return rc;
    struct document_merge m = {.arena = x->arena, .wins = x->in->wins, .tell = on_member, .ctx = x};
    rc = document_merge(&m, base, theirs, ours, out);
    if (rc)
        return rc;
    return rebase(x, key, known, recorded, ours, *out);
}

static void put_item(struct buf *out, const struct doc_node *row)
{
    struct doc_node one = *row;
    one.next = NULL;
    const struct doc_node list = {.kind = DOC_LIST, .n = 1, .child = &one};
    document_put(out, &list, 2);
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
static int tell_row(struct applying *x, const struct doc_node *theirs,
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

static int put_outcome(struct applying *x, const char *name, const struct doc_node *theirs,
                       const struct doc_node *outcome, struct buf *rows, struct buf *remove)
{
    if (document_equal(theirs, outcome))
        return 0;
    if (outcome)
        put_item(rows, outcome);
    else
        buf_printf(remove, "  - \"%s\"\n", name);
    return tell_row(x, theirs, outcome);
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

// ---- rows of registries and private endpoints ----

// Names go into texts: what cannot be one is refused before.
static int check_name(struct applying *x, const char *name)
{
    if (name && *name && !strpbrk(name, "\"\\/\n") && strlen(name) <= 63)
        return 0;
    diag_add(x->diag, "the document", 0, "\"%.80s\" cannot be the name of a row", name ? name : "");
    return ERR_INVAL;
}

// Ours of a registry. An incarnation that is not the one in force stays in it, and is refused by
// the changer.
static int our_registry(struct applying *x, const char *name, const struct spec_registry *row,
                        const struct doc_node **out)
{
    const struct registry *r = topology_registry(x->in->t, name);
    struct spec_registry mine = *row;
    if (!r || mine.incarnation == r->incarnation)
        mine.incarnation = 0;
    return document_spec_registry(x->arena, &mine, out);
}

static int take_registry(struct applying *x, const char *name, const struct spec_registry *row)
{
    const struct doc_node *theirs, *ours = NULL, *outcome;
    int rc = check_name(x, name);
    if (!rc)
        rc = document_registry(x->arena, x->in->t, name, &theirs);
    if (!rc && row)
        rc = our_registry(x, name, row, &ours);
    if (!rc && theirs) {
        theirs = document_without_incarnation(x->arena, theirs);
        rc = theirs ? 0 : ERR_NOMEM;
    }
    if (!rc)
        rc = merge_row(x, "registry", name, theirs, ours, &outcome);
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
        rc = merge_row(x, "private", name, theirs, ours, &outcome);
    if (!rc)
        rc = put_outcome(x, name, theirs, outcome, &x->privates, &x->remove_privates);
    return rc;
}

static int take_rows(struct applying *x)
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

static int put_change(struct applying *x, struct buf *out)
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

// ---- the frame ----

struct framing {
    const struct doc_node *theirs;
    struct doc_node *ours;
    // something is other than in force; something is other than in ours
    bool changed, merged;
    // the sections as they are to be, and those of them that ours does not have
    struct buf all, missing;
};

// Ours with the writer that is in force: who writes is a takeover's to say, and none of the
// document's.
static int with_writer(struct applying *x, const struct doc_node *theirs,
                       const struct doc_node **ours)
{
    const struct doc_node *writer = doc_get(theirs, "writer");
    if (!*ours || !writer || !doc_get(*ours, "writer"))
        return 0;
    struct doc_node *out = arena_copy(x->arena, *ours, sizeof *out);
    struct doc_node **link = out ? &out->child : NULL;
    for (const struct doc_node *v = (*ours)->child; v && link; v = v->next) {
        bool is_writer = !strcmp(v->key, "writer");
        *link = arena_copy(x->arena, is_writer ? writer : v, sizeof *v);
        link = *link ? &(*link)->next : NULL;
    }
    if (!link)
        return ERR_NOMEM;
    *link = NULL;
    *ours = out;
    return 0;
}

static int take_section(struct applying *x, struct framing *f, const char *name)
{
    const struct doc_node *theirs = doc_get(f->theirs, name), *ours = doc_get(f->ours, name);
    const struct doc_node *outcome = theirs;
    bool says_nothing = !ours && document_section_is_machines(name);
    int rc = 0;
    if (!strcmp(name, "control")) {
        rc = with_writer(x, theirs, &ours);
        f->merged = f->merged || !document_equal(doc_get(f->ours, name), ours);
    }
    if (!rc && !says_nothing)
        rc = merge_row(x, "section", name, theirs, ours, &outcome);
    if (rc)
        return rc;
    if (!document_equal(theirs, outcome)) {
        f->changed = true;
        rc = tell_row(x, theirs, outcome);
        if (rc)
            return rc;
    }
    f->merged = f->merged || (!says_nothing && !document_equal(ours, outcome));
    if (outcome)
        document_put_pair(&f->all, name, outcome, 0);
    if (outcome && !ours)
        document_put_pair(&f->missing, name, outcome, 0);
    if (strcmp(name, "control") != 0 || document_equal(theirs, outcome))
        return 0;
    diag_add(x->diag, "the document", 0,
             "the section control is changed by `meridian operator` and `meridian control`, and by "
             "no document: take it as it is in force (meridian topology export), or leave it out");
    return ERR_INVAL;
}

static bool may_be_section(const char *name)
{
    return strcmp(name, "registries") != 0 && strcmp(name, "private_endpoints") != 0 &&
           strcmp(name, "reserved") != 0;
}

static int take_sections(struct applying *x, struct framing *f)
{
    int rc = 0;
    for (const struct doc_node *v = f->ours->child; v && !rc; v = v->next) {
        if (!may_be_section(v->key)) {
            diag_add(x->diag, "the document", v->key_line, "%s is no section of a frame", v->key);
            return ERR_INVAL;
        }
        if (!strcmp(v->key, "version"))
            document_put_pair(&f->all, "version", v, 0);
        else
            rc = take_section(x, f, v->key);
    }
    for (const struct doc_node *v = f->theirs->child; v && !rc; v = v->next)
        if (!doc_get(f->ours, v->key))
            rc = take_section(x, f, v->key);
    return rc;
}

// As ours has it, with its comments, if it stands; else written anew.
static int put_frame(struct applying *x, struct framing *f, struct document_apply *out)
{
    if (!f->changed)
        return 0;
    out->frame_merged = f->merged;
    if (f->merged) {
        buf_add(&out->frame, buf_cstr(&f->all), f->all.n);
        return f->all.err ? f->all.err : out->frame.err;
    }
    buf_add(&out->frame, x->in->frame.p, x->in->frame.n);
    if (out->frame.n && out->frame.p[out->frame.n - 1] != '\n')
        buf_str(&out->frame, "\n");
    buf_add(&out->frame, buf_cstr(&f->missing), f->missing.n);
    return f->missing.err ? f->missing.err : out->frame.err;
}

static int take_frame(struct applying *x, struct document_apply *out)
{
    struct framing f = {.changed = false};
    if (!x->in->frame.n)
        return 0;
    buf_init(&f.all, 0);
    buf_init(&f.missing, 0);
    int rc = document_frame(x->arena, x->in->t, &f.theirs);
    if (rc == ERR_UNSUPPORTED)
        diag_add(x->diag, NULL, 0, "the document in force is not in block style");
    if (!rc)
        rc = doc_parse((const char *)x->in->frame.p, x->in->frame.n, "the document", x->arena,
                       x->diag, &f.ours);
    if (!rc && f.ours->kind != DOC_MAP) {
        diag_add(x->diag, "the document", 1, "expected sections");
        rc = ERR_INVAL;
    }
    if (!rc)
        rc = take_sections(x, &f);
    if (!rc)
        rc = put_frame(x, &f, out);
    buf_done(&f.all);
    buf_done(&f.missing);
    return rc;
}

// ---- the base ----

// A row that ours has as it is in force.
static int forget(void *ctx, const char *key)
{
    struct applying *x = ctx;
    if (!strcmp(key, APPLIED_MARK) || htab_get(x->seen, key, strlen(key)))
        return 0;
    const char *copy = arena_strdup(x->arena, key);
    if (!copy)
        return ERR_NOMEM;
    x->mark.rows -= x->mark.rows > 0;
    return add_record(x, copy, NULL);
}

// An entry that has the mark is an apply, and its changes are no command's (control/applied.h).
static int settle(struct applying *x, bool changes)
{
    struct applied_mark was = applied_mark_read(x->in->look_up, x->in->ctx);
    int rc = 0;
    if (x->in->whole) {
        rc = x->in->visit(x->in->ctx, APPLIED_PREFIX, forget, x);
        x->mark.lost = false;
    }
    if (!x->in->more)
        x->mark.at = x->in->t->version + changes;
    if (rc || (!changes && was.rows == x->mark.rows && was.lost == x->mark.lost))
        return rc;
    const char *value = applied_mark_value(x->arena, &x->mark);
    if (!value)
        return ERR_NOMEM;
    return add_record(x, APPLIED_MARK, value);
}

// ---- the whole ----

static int apply(struct applying *x, struct document_apply *out)
{
    int rc = take_frame(x, out);
    if (!rc)
        rc = take_rows(x);
    if (!rc)
        rc = put_change(x, &out->change);
    if (!rc)
        rc = settle(x, out->frame.n || out->change.n);
    out->rows = arena_copy(x->arena, x->rows, sizeof x->rows);
    if (!rc && !out->rows)
        rc = ERR_NOMEM;
    out->n_rows = x->n_rows;
    out->removed = x->removed;
    out->n_removed = x->n_removed;
    out->records = x->records.list;
    out->n_records = x->records.n;
    out->kept = x->kept.list;
    out->n_kept = x->kept.n;
    out->conflicts = x->conflicts.list;
    out->n_conflicts = x->conflicts.n;
    return rc;
}

int document_apply(const struct document_apply_in *in, struct diag *diag,
                   struct document_apply *out)
{
    *out = (struct document_apply){.n_records = 0};
    arena_init(&out->arena, 0);
    buf_init(&out->frame, 0);
    buf_init(&out->change, 0);
    struct applying x = {.in = in, .diag = diag, .arena = &out->arena, .seen = htab_new()};
    buf_init(&x.registries, 0);
    buf_init(&x.privates, 0);
    buf_init(&x.remove, 0);
    buf_init(&x.remove_privates, 0);
    x.mark = applied_mark_read(in->look_up, in->ctx);
    int rc = ERR_NOMEM;
    if (x.seen)
        rc = apply(&x, out);
    htab_free(x.seen);
    htab_free(x.owners);
    htab_free(x.exported_owners);
    buf_done(&x.registries);
    buf_done(&x.privates);
    buf_done(&x.remove);
    buf_done(&x.remove_privates);
    return rc;
}

void document_apply_done(struct document_apply *a)
{
    buf_done(&a->frame);
    buf_done(&a->change);
    arena_done(&a->arena);
}
