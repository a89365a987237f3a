// SPDX-License-Identifier: Apache-2.0
// What the writer is asked to append, as an entry: documents numbered, expectations checked; see
// feed.h. The judge of what is in them is control/state.h.
#include "control/feed_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/applied.h"
#include "control/change_number.h"
#include "control/connections_follow.h"
#include "control/document_fields.h"
#include "control/ttls_held.h"

#include <string.h>

struct drafting {
    struct control_feed *f;
    const struct control_state *s;
    const struct control_draft *d;
    struct arena *a;
    struct diag *diag;
    struct control_body body;
};

// ---- expectations ----

static int not_expected(struct drafting *x, const char *what, uint64_t in_force, uint64_t expected)
{
    diag_add(x->diag, NULL, 0, "version %llu of the %s is in force, not %llu",
             (unsigned long long)in_force, what, (unsigned long long)expected);
    return ERR_CONFLICT;
}

static int check_expected(struct drafting *x)
{
    const struct control_draft *d = x->d;
    uint64_t topology = x->s->topology->version;
    uint64_t principals = control_state_principals_version(x->s);
    if (d->expect_topology && d->expect_topology != topology)
        return not_expected(x, "topology", topology, d->expect_topology);
    if (d->expect_principals && d->expect_principals != principals)
        return not_expected(x, "principals", principals, d->expect_principals);
    bool is_now = control_place_same(&d->expect, &x->s->place);
    if (!is_now && control_place_compare(&d->expect, &x->s->changed) >= 0)
        is_now = control_log_has(x->f->log, &d->expect); // but for checkpoints
    if (d->expect.seq && !is_now) {
        diag_add(x->diag, NULL, 0, "the control feed has gone on to %llu:%llu meanwhile",
                 (unsigned long long)x->s->place.epoch, (unsigned long long)x->s->place.seq);
        return ERR_CONFLICT;
    }
    return 0;
}

// ---- documents ----

static int kept(struct drafting *x, const struct buf *text, struct bytes *out)
{
    const char *copy = arena_strndup(x->a, buf_cstr(text), text->n);
    if (text->err || !copy)
        return text->err ? text->err : ERR_NOMEM;
    *out = bytes_of(copy, text->n);
    return 0;
}

static int numbered(struct drafting *x, struct bytes text, uint64_t version, const char *what,
                    struct bytes *out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_add(&b, text.p, text.n);
    int rc = b.err;
    if (!rc)
        rc = document_set_version(&b, version);
    if (rc == ERR_UNSUPPORTED)
        diag_add(x->diag, NULL, 0,
                 "%s: `version:` must begin a line of its own, so that it can be numbered", what);
    if (!rc)
        rc = kept(x, &b, out);
    return rc;
}

static int draft_topology(struct drafting *x)
{
    uint64_t version = x->s->topology->version;
    int rc = 0;
    if (x->d->frame.n)
        rc = numbered(x, x->d->frame, ++version, "the frame", &x->body.frame);
    if (!rc && x->d->change.n) {
        AUTO_BUF struct buf b;
        int front;
        buf_init(&b, 0);
        rc = change_number((const char *)x->d->change.p, x->d->change.n, ++version, x->s->topology,
                           &b, &front);
        if (!rc)
            rc = kept(x, &b, &x->body.change);
    }
    x->body.topology = version;
    return rc;
}

static int draft_principals(struct drafting *x)
{
    uint64_t version = control_state_principals_version(x->s);
    int rc = 0;
    if (x->d->principals.n)
        rc = numbered(x, x->d->principals, ++version, "the principals", &x->body.principals_text);
    x->body.principals = version;
    return rc;
}

// ---- what changes nothing ----

static bool same_frame(struct drafting *x)
{
    struct bytes mine = {0};
    const struct topology_frame *f = x->s->topology->frame;
    int rc = numbered(x, bytes_of(f->text, f->text_n), x->s->topology->version + 1, "", &mine);
    return !rc && bytes_equal(mine, x->body.frame);
}

// Comments and the order of keys are no change.
static bool same_principals(struct drafting *x)
{
    struct principals *p = NULL;
    struct buf mine, theirs;
    buf_init(&mine, 0);
    buf_init(&theirs, 0);
    const struct bytes text = x->body.principals_text;
    int rc = principals_parse((const char *)text.p, text.n, "", NULL, &p);
    if (!rc)
        rc = principals_format(p, &theirs);
    if (!rc && x->s->principals)
        rc = principals_format(x->s->principals, &mine);
    if (!rc)
        rc = document_set_version(&mine, x->body.principals);
    bool same = !rc && mine.n == theirs.n && !memcmp(mine.p, theirs.p, mine.n);
    buf_done(&mine);
    buf_done(&theirs);
    snapshot_unref(p);
    return same;
}

static int check_any(struct drafting *x)
{
    const struct control_body *b = &x->body;
    if (!b->frame.n && !b->change.n && !b->principals_text.n && !b->n_records) {
        diag_add(x->diag, NULL, 0, "nothing is asked for");
        return ERR_INVAL;
    }
    if (b->change.n || b->n_records)
        return 0;
    bool frame_new = b->frame.n && !same_frame(x);
    bool principals_new = b->principals_text.n && !same_principals(x);
    if (frame_new || principals_new)
        return 0;
    diag_add(x->diag, NULL, 0, "it changes nothing");
    return ERR_EXISTS;
}

// ---- records that the feed itself has to have ----

// Room for n more, which the caller fills. NULL: out of memory.
static struct control_record *more_records(struct drafting *x, size_t n)
{
    size_t had = x->body.n_records;
    struct control_record *all = arena_array(x->a, had + n, sizeof *all);
    if (!all)
        return NULL;
    for (size_t i = 0; i < had; i++)
        all[i] = x->body.records[i];
    x->body.records = all;
    x->body.n_records = had + n;
    return all + had;
}

// ---- the base of apply ----

static int in_ledger(void *ctx, const char *key, struct buf *out)
{
    const struct drafting *x = ctx;
    const char *value = control_ledger_get(x->s->ledger, key);
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

// Rows that a command changes are kept as they were, for the next apply (control/applied.h).
static int keep_base(struct drafting *x)
{
    const struct control_draft *d = x->d;
    const struct applied_change c = {.before = x->s->topology,
                                     .frame = x->body.frame,
                                     .change = x->body.change,
                                     .by = x->body.by};
    struct applied_record *kept = NULL;
    size_t n = 0;
    // a writer that only resolves names does not have the rows
    if (x->f->o.form == TOPOLOGY_COMPACT || is_apply(d) || (!c.frame.n && !c.change.n))
        return 0;
    int rc = applied_keep(&c, in_ledger, x, x->a, &kept, &n);
    if (rc || !n)
        return rc;
    struct control_record *all = more_records(x, n);
    if (!all)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        all[i] = (struct control_record){kept[i].key, kept[i].value};
    return 0;
}

static void in_ledger_all(void *ctx, const char *prefix, control_ledger_visitor *visit, void *v)
{
    const struct drafting *x = ctx;
    control_ledger_visit(x->s->ledger, prefix, visit, v);
}

// What becomes of connections and their addresses (control/connections_follow.h).
static int follow_connections(struct drafting *x)
{
    const struct ledger_look l = {x, in_ledger, in_ledger_all};
    const struct connections_change c = {.before = x->s->topology,
                                         .change = x->body.change,
                                         .records = x->body.records,
                                         .n_records = x->body.n_records,
                                         .by = x->body.by,
                                         .now_ms = x->body.time_ms};
    // a writer that only resolves names does not have the rows
    if (x->f->o.form == TOPOLOGY_COMPACT)
        return 0;
    return connections_follow(&c, &l, x->a, x->diag, &x->body.records, &x->body.n_records);
}

// What caches may hold for longer than the new frame says (control/ttls_held.h).
static int keep_ttls(struct drafting *x)
{
    struct control_record held;
    bool any = false;
    int rc = ttls_held_keep(x->s->topology, x->body.frame, x->body.topology, x->a, &held, &any);
    if (rc || !any)
        return rc;
    struct control_record *one = more_records(x, 1);
    if (!one)
        return ERR_NOMEM;
    *one = held;
    return 0;
}

// ---- the entry ----

static int draft_body(struct control_feed *f, struct drafting *x)
{
    const struct control_draft *d = x->d;
    x->body.kind = CONTROL_CHANGE;
    x->body.time_ms = feed_date(f, x->s);
    x->body.by = d->by ? d->by : f->region;
    x->body.request = d->request;
    x->body.records = d->records;
    x->body.n_records = d->n_records;
    int rc = check_expected(x);
    if (!rc)
        rc = draft_topology(x);
    if (!rc)
        rc = draft_principals(x);
    if (!rc)
        rc = check_any(x);
    if (!rc)
        rc = keep_base(x);
    if (!rc)
        rc = keep_ttls(x);
    if (!rc)
        rc = follow_connections(x);
    return rc;
}

int feed_draft_entry(struct control_feed *f, const struct control_state *s,
                     const struct control_draft *d, struct arena *a, struct diag *diag,
                     struct control_entry *out)
{
    struct drafting x = {.f = f, .s = s, .d = d, .a = a, .diag = diag};
    int rc = draft_body(f, &x);
    AUTO_BUF struct buf text;
    struct control_entry e = {0};
    buf_init(&text, CONTROL_ENTRY_MAX_BYTES);
    if (!rc)
        rc = control_body_format(&x.body, &text);
    if (rc == ERR_TOOBIG)
        diag_add(diag, NULL, 0, "more than %u bytes in one change", CONTROL_ENTRY_MAX_BYTES);
    if (!rc)
        rc = kept(&x, &text, &e.text);
    if (rc)
        return rc;
    e.place.epoch = s->place.epoch;
    e.place.seq = s->place.seq + 1;
    memcpy(e.before, s->place.hash, sizeof e.before);
    e.key = "";
    // as everybody else will read it
    rc = control_body_parse(e.text, a, diag, &e.body);
    if (!rc)
        rc = control_entry_hash(&e);
    if (!rc)
        *out = e;
    return rc;
}
