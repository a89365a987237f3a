// SPDX-License-Identifier: Apache-2.0
// A document applied by three sides; see document_apply.h. Here: its frame, and the whole.
#include "control/document_apply_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/document_diff.h"
#include "control/document_rows.h"
#include "control/document_text.h"

#include <string.h>

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
        rc = apply_merge_row(x, "section", name, theirs, ours, &outcome);
    if (rc)
        return rc;
    if (!document_equal(theirs, outcome)) {
        f->changed = true;
        rc = apply_tell_row(x, theirs, outcome);
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
    return apply_add_record(x, copy, NULL);
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
    return apply_add_record(x, APPLIED_MARK, value);
}

// ---- the whole ----

static int apply(struct applying *x, struct document_apply *out)
{
    int rc = take_frame(x, out);
    if (!rc)
        rc = apply_rows(x);
    if (!rc)
        rc = apply_put_change(x, &out->change);
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
