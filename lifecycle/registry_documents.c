// SPDX-License-Identifier: Apache-2.0
// The documents of a step: rows as they are to be, of one registry or of many; or what goes with those
// that are deleted, which is their names' reservation, their content and what the principals say of
// them. See registry_goal_priv.h.
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "control/principals_change.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/record.h"
#include "lifecycle/registry_goal_priv.h"

#include <string.h>

int change_text(const struct plan_ctx *x, const struct change *c, struct bytes *out)
{
    struct change numbered = *c;
    AUTO_BUF struct buf text;
    numbered.version = x->t->version + 1;
    buf_init(&text, CHANGE_MAX_BYTES);
    int rc = change_format(&numbered, &text);
    if (rc)
        return rc;
    void *copy = arena_copy(x->arena, text.p, text.n);
    if (!copy)
        return ERR_NOMEM;
    *out = bytes_of(copy, text.n);
    return 0;
}

// ---- rows ----

static int rows_documents(struct work *w, size_t n, struct phase *out)
{
    const struct plan_ctx *x = w->x;
    size_t n_privates = 0;
    for (size_t i = 0; i < n; i++)
        n_privates += w[i].n_privates;
    struct spec_registry *rows = arena_array(x->arena, n, sizeof *rows);
    struct spec_private *privates = arena_array(x->arena, n_privates + 1, sizeof *privates);
    struct change c = {.registries = rows, .private_endpoints = privates};
    if (!rows || !privates)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        if (w[i].nomem)
            return ERR_NOMEM;
        rows[c.n_registries++] = w[i].row;
        if (!w[i].r)
            c.incarnation = x->t->version + 1;
        for (size_t k = 0; k < w[i].n_privates; k++)
            if (w[i].privates[k].changed)
                privates[c.n_private_endpoints++] = w[i].privates[k].row;
    }
    return change_text(x, &c, &out->change);
}

// ---- what goes beside the row ----

// Says in every region's ledger from when on its content goes (daemon/retire.h).
static int content_goes(const struct plan_ctx *x, const struct registry *r, int64_t kept_ms,
                        struct control_record *out)
{
    *out = (struct control_record){.key = arena_printf(x->arena, GONE_PREFIX "%s", r->key),
                                   .value = arena_printf(x->arena, "{\"due\":%lld,\"since\":%lld}",
                                                         (long long)(x->now_ms + kept_ms),
                                                         (long long)x->now_ms)};
    if (out->key && out->value)
        return 0;
    return ERR_NOMEM;
}

static int contents_go(const struct plan_ctx *x, const struct registry_going *list, size_t n,
                       struct phase *out)
{
    struct control_record *all = arena_array(x->arena, out->n_records + n + 1, sizeof *all);
    size_t n_all = out->n_records;
    if (!all)
        return ERR_NOMEM;
    if (n_all)
        memcpy(all, out->records, n_all * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        const struct registry *r = topology_registry(x->t, list[i].name);
        if (!r)
            continue;
        int rc = content_goes(x, r, list[i].kept_ms, &all[n_all++]);
        if (rc)
            return rc;
    }
    out->records = all;
    out->n_records = n_all;
    return 0;
}

// *text without what it says of one registry. ERR_NOTFOUND: it says nothing of it.
static int without_one(struct buf *text, const char *name, struct diag *diag)
{
    struct buf next;
    if (!memmem(text->p, text->n, name, strlen(name)))
        return ERR_NOTFOUND;
    buf_init(&next, 0);
    int rc = principals_without_registry(bytes_of(text->p, text->n), name, diag, &next, NULL);
    if (rc)
        return rc;
    explicit_bzero(text->p, text->cap);
    buf_done(text);
    *text = next;
    return 0;
}

static int without_all(const struct registry_going *list, size_t n, struct diag *diag,
                       struct buf *text, bool *out_any)
{
    for (size_t i = 0; text->n && i < n; i++) {
        if (!list[i].grants)
            continue;
        int rc = without_one(text, list[i].name, diag);
        if (rc && rc != ERR_NOTFOUND)
            return rc;
        *out_any |= !rc;
    }
    return 0;
}

// What the principals say of them goes too, or the next of that name would have it.
static int grants_go(const struct plan_ctx *x, const struct registry_going *list, size_t n,
                     struct diag *diag, struct phase *out)
{
    struct buf text;
    uint64_t version = 0;
    bool any = false;
    buf_init(&text, 0);
    int rc = x->deps->principals(x->deps->ctx, &text, &version);
    if (!rc)
        rc = without_all(list, n, diag, &text, &any);
    if (!rc && any) {
        const void *copy = arena_copy(x->arena, text.p, text.n);
        out->principals = bytes_of(copy, text.n);
        out->principals_from = version;
        if (!copy)
            rc = ERR_NOMEM;
    }
    if (text.p)
        explicit_bzero(text.p, text.cap);
    buf_done(&text);
    return rc;
}

int registries_go(const struct plan_ctx *x, const struct registry_going *list, size_t n,
                  struct diag *diag, struct phase *out)
{
    bool grants = false;
    for (size_t i = 0; i < n; i++)
        grants |= list[i].grants;
    int rc = contents_go(x, list, n, out);
    if (!rc && grants)
        rc = grants_go(x, list, n, diag, out);
    return rc;
}

// ---- those that are deleted ----

static const char *time_text(struct work *w, int64_t s)
{
    char text[CLOCK_TEXT_SIZE];
    const char *copy = arena_strdup(w->x->arena, clock_format_s(s, text));
    if (!copy)
        w->nomem = true;
    return copy;
}

// The reservation that follows; false: none does.
static bool reservation(struct work *w, struct spec_reserved *out)
{
    const json_t *again = json_object_get(w->goal, "reserved");
    int64_t now_s = w->x->now_ms / 1000;
    int64_t days = record_number(w->goal, "reserveDays");
    if (again) { // that its creation had ended
        *out = (struct spec_reserved){.name = w->name,
                                      .label = record_text(again, "label"),
                                      .owner = record_text(again, "owner"),
                                      .since = time_text(w, record_number(again, "since")),
                                      .until = time_text(w, record_number(again, "until"))};
        return true;
    }
    *out = (struct spec_reserved){.name = w->name,
                                  .owner = w->row.owner,
                                  .since = time_text(w, now_s),
                                  .until = time_text(w, now_s + days * 86400)};
    return days > 0;
}

struct deletion {
    const char **names, **privates;
    struct spec_reserved *reserved;
    struct registry_going *going;
    size_t n, n_privates, n_reserved;
};

static int deletion_begin(struct work *w, size_t n, struct deletion *d)
{
    struct arena *a = w->x->arena;
    size_t n_privates = 0;
    for (size_t i = 0; i < n; i++)
        n_privates += w[i].n_privates;
    *d = (struct deletion){.names = arena_array(a, n, sizeof *d->names),
                           .privates = arena_array(a, n_privates + 1, sizeof *d->privates),
                           .reserved = arena_array(a, n, sizeof *d->reserved),
                           .going = arena_array(a, n, sizeof *d->going)};
    if (d->names && d->privates && d->reserved && d->going)
        return 0;
    return ERR_NOMEM;
}

static void deletion_add(struct deletion *d, struct work *w)
{
    int64_t kept_ms = GONE_KEPT_MS;
    if (goal_wants(w->goal, "purge") == WANTED)
        kept_ms = 0;
    d->going[d->n] = (struct registry_going){
        .name = w->name, .kept_ms = kept_ms, .grants = goal_wants(w->goal, "grants") == WANTED};
    d->names[d->n++] = w->name;
    for (size_t k = 0; k < w->n_privates; k++)
        d->privates[d->n_privates++] = w->privates[k].row.name;
    if (reservation(w, &d->reserved[d->n_reserved]))
        d->n_reserved++;
}

static int deletion_documents(struct work *w, size_t n, struct phase *out)
{
    struct deletion d;
    int rc = deletion_begin(w, n, &d);
    for (size_t i = 0; !rc && i < n; i++) {
        deletion_add(&d, &w[i]);
        if (w[i].nomem)
            rc = ERR_NOMEM;
    }
    const struct change c = {.remove = d.names,
                             .n_remove = d.n,
                             .reserve = d.reserved,
                             .n_reserve = d.n_reserved,
                             .remove_private_endpoints = d.privates,
                             .n_remove_private_endpoints = d.n_privates};
    if (!rc)
        rc = change_text(w->x, &c, &out->change);
    if (!rc)
        rc = registries_go(w->x, d.going, d.n, w->diag, out);
    return rc;
}

int works_documents(struct work *w, size_t n, struct phase *out)
{
    if (w->goes)
        return deletion_documents(w, n, out);
    int rc = rows_documents(w, n, out);
    if (!rc && !strcmp(out->name, "members"))
        rc = works_members_wait(w, n, out);
    if (!rc)
        rc = works_connections(w, n, out);
    return rc;
}
