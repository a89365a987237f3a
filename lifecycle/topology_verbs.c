// SPDX-License-Identifier: Apache-2.0
// `topology apply`: a document, by the rows in which it differs from what is in force
// (control/document_apply.h). `topology rollback`: back to an earlier version (control/rollback.h).
// Both are one document, which begins while nothing else runs: whatever an operation is about to do
// next was made of the rows that they may change. Names that it brings or takes away then go through
// their stages (document_stages.h), and their registries are held until that has ended. Which rights
// they need goes by what they change (document_needs.h).
//
//   topology apply     {"frame": TEXT, "change": TEXT, "from": 41, "whole": true, "exported": 40,
//                       "force": "file"|"commands"}      // all but one of frame and change may be absent
//   topology rollback  {"version": 41}
//
// `from` is the version that the command line compared the document with, `whole` says that the
// document has no other differences. `exported` is the version that the document says it was exported
// at: the base of the comparison, unless something was applied since. Answers: apply {"rows": […], "kept": […], "removed": […]},
// rollback {"kept": […], "removed": […]}.
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/document_apply.h"
#include "control/rollback.h"
#include "control/topology_reserve.h"
#include "lifecycle/document_needs.h"
#include "lifecycle/document_stages.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/many_registries.h"
#include "lifecycle/registry_goal.h"
#include "lifecycle/verbs.h"

#include <string.h>

// So many of a list go into an answer; how many there are stands beside it.
#define ANSWER_ROWS_MAX 500
#define CONFLICTS_TOLD_MAX 50

// ---- what both share ----

static int keep_text(const struct plan_ctx *x, const struct buf *text, struct bytes *out)
{
    *out = (struct bytes){0};
    if (!text->n)
        return 0;
    const void *p = arena_copy(x->arena, text->p, text->n);
    if (!p)
        return ERR_NOMEM;
    *out = bytes_of(p, text->n);
    return 0;
}

static json_t *names_json(const char *const *names, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n && i < ANSWER_ROWS_MAX; i++)
        json_array_append_new(list, json_string(names[i]));
    return list;
}

// Registries that go, in a sentence each for the first few.
static int note_removed(const struct plan_ctx *x, struct plan *out, const char *const *names,
                        size_t n)
{
    for (size_t i = 0; i < n && i < 4 && out->n_notes < PLAN_NOTES_MAX; i++) {
        const char *note =
            arena_printf(x->arena,
                         "registry %s goes: its name is reserved for %d days, and its content is "
                         "collected as after `meridian registry delete`",
                         names[i], TOPOLOGY_RESERVE_DAYS);
        if (!note)
            return ERR_NOMEM;
        out->notes[out->n_notes++] = note;
    }
    if (n <= 4)
        return 0;
    const char *note = arena_printf(x->arena, "and so do %zu more registries", n - 4);
    if (!note)
        return ERR_NOMEM;
    out->notes[out->n_notes++] = note;
    return 0;
}

// What `registry delete` takes away beside the row.
static int names_go(const struct plan_ctx *x, const char *const *names, size_t n, struct diag *diag,
                    struct phase *out)
{
    struct registry_going *list = arena_array(x->arena, n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        list[i] =
            (struct registry_going){.name = names[i], .kept_ms = GONE_KEPT_MS, .grants = true};
    return registries_go(x, list, n, diag, out);
}

// The phase that begins it. A document without names to stage takes with it what goes beside the rows.
static int document_phase(const struct plan_ctx *x, const struct staged_document *d,
                          const char *const *removed, size_t n_removed, struct plan *out,
                          struct diag *diag)
{
    AUTO_BUF struct buf change;
    buf_init(&change, 0);
    int rc = document_stages(x, d, out);
    if (rc || out->goal)
        return rc;
    out->holds[out->n_holds++] = "document";
    buf_add(&change, d->change.p, d->change.n);
    rc = topology_reserve(x->t, removed, n_removed, x->now_ms, &change);
    if (!rc)
        rc = keep_text(x, &change, &out->first.change);
    if (!rc)
        rc = names_go(x, removed, n_removed, diag, &out->first);
    return rc;
}

// ---- apply ----

struct look { // the ledger, for control/document_apply.h
    const struct plan_ctx *x;
    int (*visit)(void *v, const char *key);
    void *v;
    int rc;
};

static int look_up(void *ctx, const char *key, struct buf *out)
{
    const struct look *l = ctx;
    const struct lifecycle_deps *deps = l->x->deps;
    AUTO_BUF struct buf unused;
    buf_init(&unused, 0);
    return deps->record(deps->ctx, key, out ? out : &unused);
}

static bool visit_one(void *ctx, const char *key, const char *value)
{
    struct look *l = ctx;
    (void)value;
    l->rc = l->visit(l->v, key);
    return l->rc == 0;
}

static int visit_all(void *ctx, const char *prefix, int (*visit)(void *v, const char *key), void *v)
{
    struct look l = *(const struct look *)ctx;
    l.visit = visit;
    l.v = v;
    l.rc = 0;
    l.x->deps->records(l.x->deps->ctx, prefix, visit_one, &l);
    return l.rc;
}

static int argument_winner(const json_t *arguments, enum document_winner *out, struct diag *diag)
{
    const char *word;
    int rc = argument_text(arguments, "force", &word, diag);
    *out = WINS_NOBODY;
    if (rc || !word)
        return rc;
    if (!strcmp(word, "file"))
        *out = WINS_FILE;
    else if (!strcmp(word, "commands"))
        *out = WINS_COMMANDS;
    else {
        refuse(diag, "force: file or commands, not %.40s", word);
        return ERR_INVAL;
    }
    return 0;
}

static int apply_arguments(const struct plan_ctx *x, struct document_apply_in *out,
                           struct diag *diag)
{
    static const char *const known[] = {"frame", "change", "from", "whole", "force", "exported"};
    const char *frame, *change;
    bool given;
    int64_t from = 0;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_text(x->arguments, "frame", &frame, diag);
    if (!rc)
        rc = argument_text(x->arguments, "change", &change, diag);
    if (!rc)
        rc = argument_number(x->arguments, "from", 0, INT64_MAX, &given, &from, diag);
    if (!rc)
        rc = argument_switch(x->arguments, "whole", &given, &out->whole, diag);
    if (!rc)
        rc = argument_winner(x->arguments, &out->wins, diag);
    if (rc)
        return rc;
    out->frame = bytes_str(frame ? frame : "");
    out->change = bytes_str(change ? change : "");
    out->more = !out->whole;
    // of another version it is not known what the rows that were not sent say
    out->whole = out->whole && (uint64_t)from == x->t->version;
    return 0;
}

static json_t *member_json(const struct document_member *m)
{
    return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*}", "row", m->row, "member", m->member,
                     "base", m->base, "inForce", m->in_force, "file", m->file, "by", m->by, "note",
                     m->note);
}

static json_t *members_json(const struct document_member *list, size_t n)
{
    json_t *out = json_array();
    for (size_t i = 0; out && i < n && i < ANSWER_ROWS_MAX; i++)
        json_array_append_new(out, member_json(&list[i]));
    return out;
}

static json_t *rows_json(const struct document_apply *a)
{
    json_t *out = json_array();
    for (size_t i = 0; out && i < a->n_rows && i < DOCUMENT_ROWS_TOLD_MAX; i++)
        json_array_append_new(out, json_pack("{s:s, s:s*, s:s*}", "row", a->rows[i].row, "before",
                                             a->rows[i].before, "after", a->rows[i].after));
    return out;
}

static json_t *apply_answer(const struct document_apply *a)
{
    return json_pack("{s:o, s:I, s:o, s:I, s:o, s:I, s:b}", "rows", rows_json(a), "nRows",
                     (json_int_t)a->n_rows, "kept", members_json(a->kept, a->n_kept), "nKept",
                     (json_int_t)a->n_kept, "removed", names_json(a->removed, a->n_removed),
                     "nRemoved", (json_int_t)a->n_removed, "commentsLost", (int)a->frame_merged);
}

static const char *said(const char *value)
{
    if (value)
        return value;
    return "(absent)";
}

static int refuse_conflicts(const struct document_apply *a, struct diag *diag)
{
    for (size_t i = 0; i < a->n_conflicts && i < CONFLICTS_TOLD_MAX; i++) {
        const struct document_member *m = &a->conflicts[i];
        refuse(diag,
               "%s%s%s: was %s when it was applied or exported last, is %s in force, and %s in the "
               "file%s%s%s",
               m->row, *m->member ? " " : "", m->member, said(m->base), said(m->in_force),
               said(m->file), m->by ? " (the row was changed last by " : "", m->by ? m->by : "",
               m->by ? ")" : "");
        if (m->note)
            refuse(diag, "%s", m->note);
    }
    refuse(
        diag,
        "%zu conflict%s: say whose word holds with --force-conflicts file|commands, or take over "
        "into the file what is in force",
        a->n_conflicts, a->n_conflicts == 1 ? "" : "s");
    return ERR_CONFLICT;
}

static int apply_records(const struct plan_ctx *x, const struct document_apply *a, struct plan *out)
{
    struct control_record *records = arena_array(x->arena, a->n_records + 1, sizeof *records);
    if (!records)
        return ERR_NOMEM;
    for (size_t i = 0; i < a->n_records; i++) {
        const struct applied_record *r = &a->records[i];
        records[i] = (struct control_record){arena_strdup(x->arena, r->key), NULL};
        if (r->value)
            records[i].value = arena_strdup(x->arena, r->value);
        if (!records[i].key || (r->value && !records[i].value))
            return ERR_NOMEM;
    }
    out->first.records = records;
    out->first.n_records = a->n_records;
    return 0;
}

static int apply_outcome(const struct plan_ctx *x, struct document_apply *a,
                         const struct document_apply_in *in, struct plan *out, struct diag *diag)
{
    if (a->n_conflicts && in->wins == WINS_NOBODY)
        return refuse_conflicts(a, diag);
    out->answer = apply_answer(a);
    if (!out->answer)
        return ERR_NOMEM;
    if (!a->frame.n && !a->change.n && !a->n_records) {
        refuse(diag, "the document says nothing new: version %llu is in force",
               (unsigned long long)x->t->version);
        return ERR_EXISTS;
    }
    struct staged_document d = {.apply = true};
    int rc = note_removed(x, out, a->removed, a->n_removed);
    if (!rc)
        rc = keep_text(x, &a->frame, &d.frame);
    if (!rc)
        rc = keep_text(x, &a->change, &d.change);
    if (!rc)
        rc = document_needs(x, d.frame, d.change, out, diag);
    if (!rc)
        rc = apply_records(x, a, out);
    if (!rc)
        rc = document_phase(x, &d, a->removed, a->n_removed, out, diag);
    return rc;
}

// The version that the document was exported at; *out NULL: it does not say so, or that version is
// not kept any more, or what was applied since has another base.
static int exported_version(const struct plan_ctx *x, struct document_apply_in *in,
                            struct diag *diag, struct topology **out)
{
    bool given;
    int64_t version = 0;
    *out = NULL;
    int rc = argument_number(x->arguments, "exported", 1, INT64_MAX, &given, &version, diag);
    if (rc || !given || !x->deps->topology_at)
        return rc;
    struct applied_mark mark = applied_mark_read(in->look_up, in->ctx);
    bool no_rows = !mark.rows && !mark.lost;
    if (no_rows || (uint64_t)version < mark.at || (uint64_t)version > x->t->version)
        return 0;
    if ((uint64_t)version == x->t->version) {
        *out = snapshot_ref((struct topology *)x->t);
        return 0;
    }
    rc = x->deps->topology_at(x->deps->ctx, (uint64_t)version, NULL, out);
    if (rc == ERR_NOMEM)
        return rc;
    return 0;
}

static int plan_apply(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                      const char **out_code)
{
    struct look look = {.x = x};
    struct document_apply_in in = {
        .t = x->t, .by = x->by, .look_up = look_up, .visit = visit_all, .ctx = &look};
    struct document_apply a;
    (void)out_code;
    struct topology *exported = NULL;
    int rc = apply_arguments(x, &in, diag);
    if (!rc)
        rc = exported_version(x, &in, diag, &exported);
    if (rc)
        return rc;
    in.exported = exported;
    out->locks[out->n_locks++] = "*";
    rc = document_apply(&in, diag, &a);
    if (!rc)
        rc = apply_outcome(x, &a, &in, out, diag);
    document_apply_done(&a);
    snapshot_unref(exported);
    return rc;
}

const struct verb verb_topology_apply = {.noun = "topology",
                                         .word = "apply",
                                         .right = CONTROL_RIGHT_TOPOLOGY,
                                         .takes_away = true,
                                         .state = "Updating",
                                         .plan = plan_apply,
                                         .step = registries_step};

// ---- rollback ----

static int old_version(const struct plan_ctx *x, struct diag *diag, struct topology **out)
{
    static const char *const known[] = {"version"};
    bool given;
    int64_t version = 0;
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_number(x->arguments, "version", 1, INT64_MAX, &given, &version, diag);
    if (rc)
        return rc;
    if (!given || !x->deps->topology_at) {
        refuse(diag, "version: to which one? `meridian topology history` lists them");
        return ERR_INVAL;
    }
    if ((uint64_t)version >= x->t->version) {
        refuse(diag, "version %lld is not before %llu, which is in force", (long long)version,
               (unsigned long long)x->t->version);
        return ERR_INVAL;
    }
    rc = x->deps->topology_at(x->deps->ctx, (uint64_t)version, diag, out);
    if (rc && !diag_count(diag))
        refuse(diag, "version %lld cannot be had: %s", (long long)version, err_text(rc));
    if (rc)
        return ERR_NOTFOUND;
    return 0;
}

static json_t *rollback_answer(const struct topology_rollback *r)
{
    json_t *kept = json_array();
    for (size_t i = 0; kept && i < r->n_kept && i < ANSWER_ROWS_MAX; i++)
        json_array_append_new(
            kept, json_pack("{s:s, s:s}", "row", r->kept[i].what, "why", r->kept[i].why));
    return json_pack("{s:o, s:I, s:o, s:I}", "kept", kept, "nKept", (json_int_t)r->n_kept,
                     "removed", names_json(r->removed, r->n_removed), "nRemoved",
                     (json_int_t)r->n_removed);
}

static int rollback_outcome(const struct plan_ctx *x, struct topology_rollback *r, struct plan *out,
                            struct diag *diag)
{
    out->answer = rollback_answer(r);
    if (!out->answer)
        return ERR_NOMEM;
    if (!r->frame.n && !r->change.n) {
        refuse(diag, "what is in force says the same, but for what never goes back");
        return ERR_EXISTS;
    }
    struct staged_document d = {0};
    int rc = note_removed(x, out, r->removed, r->n_removed);
    if (!rc)
        rc = keep_text(x, &r->frame, &d.frame);
    if (!rc)
        rc = keep_text(x, &r->change, &d.change);
    if (!rc)
        rc = document_needs(x, d.frame, d.change, out, diag);
    if (!rc)
        rc = document_phase(x, &d, r->removed, r->n_removed, out, diag);
    return rc;
}

static int plan_rollback(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                         const char **out_code)
{
    struct topology *old = NULL;
    struct topology_rollback r;
    (void)out_code;
    int rc = old_version(x, diag, &old);
    if (rc)
        return rc;
    out->locks[out->n_locks++] = "*";
    const struct ledger_look l = {x->deps->ctx, x->deps->record, x->deps->records};
    rc = topology_rollback(x->t, old, &l, x->now_ms, &r);
    if (!rc)
        rc = rollback_outcome(x, &r, out, diag);
    if (rc == ERR_UNSUPPORTED)
        refuse(diag, "a document that is not in block style cannot be gone back to");
    topology_rollback_done(&r);
    snapshot_unref(old);
    return rc;
}

const struct verb verb_topology_rollback = {.noun = "topology",
                                            .word = "rollback",
                                            .right = CONTROL_RIGHT_TOPOLOGY,
                                            .takes_away = true,
                                            .state = "Updating",
                                            .plan = plan_rollback,
                                            .step = registries_step};
