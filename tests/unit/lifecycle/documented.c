// SPDX-License-Identifier: Apache-2.0
// See documented.h.
#include "tests/unit/lifecycle/documented.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/applied.h"
#include "control/document_diff.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define OLD_MAX 512
static struct topology *old[OLD_MAX];
static size_t n_old;
static struct lifecycle_deps toy;
const char *documented_by;

// ---- what the feed does beside ----

// The draft with numbers.
static void number(const struct toy_fleet *f, const struct control_draft *d, struct buf *text,
                   struct control_draft *out)
{
    unsigned long long next = f->t->version + (d->frame.n ? 2 : 1);
    *out = *d;
    if (!d->change.n)
        return;
    if (!memmem(d->change.p, d->change.n, "version:", 8))
        buf_printf(text, "version: %llu\nincarnation: %llu\n", next, next);
    buf_add(text, d->change.p, d->change.n);
    out->change = bytes_of(text->p, text->n);
}

static int judge(void *ctx, const struct control_draft *d, struct diag *diag, struct topology **out)
{
    AUTO_BUF struct buf text;
    struct control_draft numbered;
    buf_init(&text, 0);
    number(ctx, d, &text, &numbered);
    return toy.judge(ctx, &numbered, diag, out);
}

static int look_up(void *ctx, const char *key, struct buf *out)
{
    const char *value = toy_fleet_record(ctx, key);
    if (!value)
        return ERR_NOTFOUND;
    if (out)
        buf_str(out, value);
    return 0;
}

static bool is_apply(const struct control_draft *d)
{
    for (size_t i = 0; i < d->n_records; i++)
        if (!strncmp(d->records[i].key, APPLIED_PREFIX, strlen(APPLIED_PREFIX)))
            return true;
    return false;
}

static int append(void *ctx, const struct control_draft *d, struct diag *diag,
                  struct control_place *out)
{
    struct toy_fleet *f = ctx;
    AUTO_BUF struct buf text;
    struct arena arena;
    struct control_draft numbered;
    struct applied_record *kept = NULL;
    size_t n = 0;
    buf_init(&text, 0);
    arena_init(&arena, 0);
    number(f, d, &text, &numbered);
    const struct applied_change c = {
        .before = f->t, .frame = d->frame, .change = numbered.change, .by = d->by};
    if (!is_apply(d))
        ck_assert_int_eq(applied_keep(&c, look_up, ctx, &arena, &kept, &n), 0);
    struct control_record *all = arena_array(&arena, d->n_records + n + 1, sizeof *all);
    for (size_t i = 0; i < d->n_records; i++)
        all[i] = d->records[i];
    for (size_t i = 0; i < n; i++)
        all[d->n_records + i] = (struct control_record){kept[i].key, kept[i].value};
    numbered.records = all;
    numbered.n_records = d->n_records + n;
    ck_assert_uint_lt(n_old, OLD_MAX);
    old[n_old++] = snapshot_ref(f->t);
    int rc = toy.append(ctx, &numbered, diag, out);
    arena_done(&arena);
    return rc;
}

static int topology_at(void *ctx, uint64_t version, struct diag *diag, struct topology **out)
{
    (void)ctx;
    (void)diag;
    for (size_t i = 0; i < n_old; i++)
        if (old[i]->version == version) {
            *out = snapshot_ref(old[i]);
            return 0;
        }
    return ERR_NOTFOUND;
}

void documented_begin(struct asked *a, const char *rows)
{
    asked_init(a, rows);
    documented_hook(a);
}

void documented_hook(struct asked *a)
{
    documented_by = "operator:bob";
    toy = a->fleet.deps;
    a->fleet.deps.judge = judge;
    a->fleet.deps.append = append;
    a->fleet.deps.topology_at = topology_at;
    asked_restart(a);
}

void documented_end(struct asked *a)
{
    asked_done(a);
    while (n_old)
        snapshot_unref(old[--n_old]);
}

// ---- asking ----

int documented_ask(struct asked *a, const char *verb, json_t *arguments, bool what_if,
                   uint64_t if_version, json_t **out_body)
{
    static unsigned n;
    char nonce[33];
    snprintf(nonce, sizeof nonce, "%032x", 0xabc000 + ++n);
    const struct lifecycle_request r = {.verb = verb,
                                        .object = "",
                                        .by = documented_by,
                                        .nonce = nonce,
                                        .arguments = arguments,
                                        .expires_ms = a->fleet.now_ms + 300000,
                                        .if_version = if_version,
                                        .what_if = what_if,
                                        .rights = a->rights};
    struct lifecycle_answer answer;
    lifecycle_request(a->l, &r, &answer);
    json_decref(arguments);
    *out_body = answer.body;
    return answer.status;
}

json_t *documented_apply(const struct asked *a, const char *text, const char *force)
{
    struct topology *file = NULL;
    struct document_diff d;
    struct diag diag;
    AUTO_BUF struct buf change;
    size_t next;
    buf_init(&change, 0);
    diag_init(&diag);
    int rc = topology_parse(text, strlen(text), "file", &diag, &file);
    ck_assert_msg(rc == 0, "%s", diag.n ? diag.lines[0] : "?");
    diag_done(&diag);
    ck_assert_int_eq(document_diff(a->fleet.t, file, &d), 0);
    ck_assert_int_eq(document_diff_part(&d, 0, SIZE_MAX, &change, &next), 0);
    json_t *args = json_pack("{s:I, s:b, s:s, s:s*}", "from", (json_int_t)a->fleet.t->version,
                             "whole", 1, "change", buf_cstr(&change), "force", force);
    if (d.frame)
        json_object_set_new(args, "frame", json_stringn(file->frame->text, file->frame->text_n));
    document_diff_done(&d);
    snapshot_unref(file);
    return args;
}

char *documented_text(const struct asked *a, const char *rows)
{
    const struct topology_frame *f = a->fleet.t->frame;
    const char *rest = strchr(f->text, '\n');
    ck_assert_int_eq(strncmp(f->text, "version: ", 9), 0);
    return mem_printf("version: %llu%.*s\n%s", (unsigned long long)a->fleet.t->version,
                      (int)(f->text_n - (size_t)(rest - f->text)), rest, rows);
}
