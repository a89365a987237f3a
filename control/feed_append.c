// SPDX-License-Identifier: Apache-2.0
// What the writer appends, and what the root key signs; see feed.h.
#include "control/feed_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/keys.h"
#include "config/topology_control.h"
#include "control/applied.h"
#include "control/control_key.h"
#include "control/document_fields.h"
#include "control/frame.h"
#include "control/ttls_held.h"

#include <string.h>

// ---- changes ----

static int not_the_writer(struct control_feed *f, struct diag *diag)
{
    const struct region *w = control_state_writer(f->state);
    diag_add(diag, NULL, 0, "region %s is the writer of the control feed; this is %s", w->name,
             f->region);
    return ERR_DENIED;
}

static int may_append(struct control_feed *f, struct diag *diag)
{
    pthread_mutex_lock(&f->lock);
    bool owned = f->owned, confirmed = f->confirmed;
    pthread_mutex_unlock(&f->lock);
    if (!owned) {
        diag_add(diag, NULL, 0, "another process of this node writes the control feed");
        return ERR_BUSY;
    }
    if (!feed_is_writer(f, f->state))
        return not_the_writer(f, diag);
    if (confirmed)
        return 0;
    diag_add(diag, NULL, 0,
             "a majority of the regions has not confirmed yet that nobody knows a later change: "
             "nothing is written until it has");
    return ERR_DENIED;
}

static int sign(struct control_feed *f, struct control_entry *e)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    e->key = region_keys_control_id(f->o.keys);
    control_entry_signed(e, &b);
    if (b.err)
        return b.err;
    return region_keys_sign_control(f->o.keys, b.p, b.n, e->signature);
}

static int commit_one(struct control_feed *f, const struct control_entry *e,
                      struct control_state *next, struct diag *diag)
{
    struct feed_batch b = {.state = next};
    b.entries = mem_alloc(sizeof *b.entries);
    if (!b.entries) {
        feed_batch_done(&b);
        return ERR_NOMEM;
    }
    b.entries[0] = *e;
    b.n = b.cap = 1;
    return feed_commit(f, &b, true, diag);
}

// Else what fills the ledger could keep a revocation out.
static int check_reserve(const struct control_feed *f, const struct control_draft *d,
                         const struct control_state *s, const struct control_state *next,
                         struct diag *diag)
{
    size_t before = control_ledger_bytes(s->ledger), after = control_ledger_bytes(next->ledger);
    size_t limit = f->o.ledger_spared_bytes;
    if (!limit)
        limit = CONTROL_LEDGER_MAX_BYTES - CONTROL_LEDGER_RESERVE_BYTES;
    if (!d || !d->spares_reserve || after <= before || after <= limit)
        return 0;
    diag_add(diag, NULL, 0,
             "the ledger of the control feed has %zu records of %zu bytes, and its last bytes are "
             "kept for revocations: operations are forgotten with time, and what is deleted makes "
             "room",
             control_ledger_count(s->ledger), before);
    return ERR_FULL;
}

int feed_append_entry(struct control_feed *f, struct control_entry *e,
                      const struct control_draft *d, struct diag *diag)
{
    struct control_state *next = NULL;
    const struct control_how how = feed_how(f);
    int rc = control_state_try(f->state, e, &how, diag, &next);
    if (rc)
        return rc;
    rc = check_reserve(f, d, f->state, next, diag);
    if (!rc)
        rc = sign(f, e);
    if (!rc)
        return commit_one(f, e, next, diag);
    snapshot_unref(next);
    return rc;
}

int control_feed_append(struct control_feed *f, const struct control_draft *d, struct diag *diag,
                        struct control_place *out)
{
    struct arena a;
    struct control_entry e;
    arena_init(&a, 0);
    pthread_mutex_lock(&f->write);
    int rc = may_append(f, diag);
    if (!rc)
        rc = feed_clock_judge(f, d, diag);
    if (!rc)
        rc = feed_draft_entry(f, f->state, d, &a, diag, &e);
    if (!rc)
        rc = feed_append_entry(f, &e, d, diag);
    pthread_mutex_unlock(&f->write);
    if (!rc)
        *out = e.place;
    arena_done(&a);
    if (!rc)
        feed_told(f);
    return rc;
}

int control_feed_judge(struct control_feed *f, const struct control_draft *d, struct diag *diag,
                       struct control_state **out)
{
    struct arena a;
    struct control_entry e;
    struct control_state *s = control_feed_state(f);
    const struct control_how how = {.form = f->o.form};
    arena_init(&a, 0);
    int rc = feed_draft_entry(f, s, d, &a, diag, &e);
    if (!rc)
        rc = control_state_try(s, &e, &how, diag, out);
    arena_done(&a);
    snapshot_unref(s);
    return rc;
}

void control_feed_confirm(struct control_feed *f, bool confirmed)
{
    pthread_mutex_lock(&f->lock);
    f->confirmed = confirmed;
    pthread_cond_broadcast(&f->moved);
    pthread_mutex_unlock(&f->lock);
}

// ---- entries of other kinds ----

static void begin_entry(const struct control_state *s, enum control_kind kind, const char *by,
                        int64_t date_ms, struct control_entry *e)
{
    *e = (struct control_entry){.place = {.epoch = s->place.epoch, .seq = s->place.seq + 1}};
    memcpy(e->before, s->place.hash, sizeof e->before);
    e->body.kind = kind;
    e->body.time_ms = date_ms;
    e->body.by = by;
    e->body.topology = s->topology->version;
    e->body.principals = control_state_principals_version(s);
    e->key = "";
}

static int finish_entry(struct control_entry *e, struct arena *a)
{
    AUTO_BUF struct buf text;
    buf_init(&text, CONTROL_ENTRY_MAX_BYTES);
    int rc = control_body_format(&e->body, &text);
    if (rc)
        return rc;
    const char *copy = arena_strndup(a, buf_cstr(&text), text.n);
    if (!copy)
        return ERR_NOMEM;
    e->text = bytes_of(copy, text.n);
    return control_entry_hash(e);
}

int feed_append_checkpoint(struct control_feed *f, const struct control_place *at,
                           const uint8_t digest[SHA256_BYTES], struct diag *diag)
{
    struct arena a;
    struct control_entry e;
    int rc = may_append(f, diag);
    if (rc)
        return rc;
    arena_init(&a, 0);
    begin_entry(f->state, CONTROL_CHECKPOINT, f->region, feed_date(f, f->state), &e);
    e.body.at = *at;
    memcpy(e.body.digest, digest, SHA256_BYTES);
    rc = finish_entry(&e, &a);
    if (!rc)
        rc = feed_append_entry(f, &e, NULL, diag);
    arena_done(&a);
    return rc;
}

// ---- what the root key signs ----

static int frame_with_key(const struct control_state *s, const struct control_takeover *t,
                          struct arena *a, struct diag *diag, struct buf *out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    int rc = frame_text(s->topology, &text);
    if (!rc)
        rc = control_key_only(buf_cstr(&text), text.n, s->topology, t->region, t->control_key, a,
                              diag, out);
    return rc;
}

static int takeover_frame(const struct control_state *s, const struct control_takeover *t,
                          uint64_t version, struct arena *a, struct diag *diag, struct buf *out)
{
    int rc = 0;
    if (t->frame.n)
        buf_add(out, t->frame.p, t->frame.n);
    else if (t->control_key)
        rc = frame_with_key(s, t, a, diag, out);
    else
        rc = frame_text(s->topology, out);
    if (rc)
        return rc;
    rc = document_set_version(out, version);
    if (!rc)
        rc = document_set_writer(out, t->region);
    if (rc)
        diag_add(diag, NULL, 0,
                 "the document's version and control.writer cannot be set: write each on a line of "
                 "its own");
    return rc;
}

static int takeover_principals(const struct control_state *s, uint64_t version, struct buf *out)
{
    if (!s->principals)
        return 0;
    buf_done(out);
    int rc = principals_format(s->principals, out);
    if (!rc)
        rc = document_set_version(out, version);
    return rc;
}

static int in_ledger(void *ctx, const char *key, struct buf *out)
{
    const struct control_state *s = ctx;
    const char *value = control_ledger_get(s->ledger, key);
    if (!value)
        return ERR_NOTFOUND;
    if (out)
        buf_str(out, value);
    return 0;
}

// Its frame may shorten the TTLs as any other may, and to the next apply it is what a command did.
static int takeover_records(const struct control_feed *f, const struct control_state *s,
                            struct arena *a, struct control_entry *e)
{
    const struct applied_change c = {
        .before = s->topology, .frame = e->body.frame, .by = e->body.by};
    struct applied_record *kept = NULL;
    size_t n = 0;
    bool any = false;
    int rc = 0;
    if (f->o.form != TOPOLOGY_COMPACT)
        rc = applied_keep(&c, in_ledger, (void *)s, a, &kept, &n);
    if (rc)
        return rc;
    struct control_record *records = arena_array(a, n + 1, sizeof *records);
    if (!records)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        records[i] = (struct control_record){kept[i].key, kept[i].value};
    rc = ttls_held_keep(s->topology, e->body.frame, e->body.topology, a, &records[n], &any);
    e->body.records = records;
    e->body.n_records = n + any;
    return rc;
}

static int takeover_entry(const struct control_feed *f, const struct control_state *s,
                          const struct control_takeover *t, struct arena *a, struct diag *diag,
                          struct control_entry *e)
{
    AUTO_BUF struct buf frame, principals;
    buf_init(&frame, 0);
    buf_init(&principals, 0);
    begin_entry(s, CONTROL_TAKEOVER, "root-key", feed_date_takeover(f, s), e);
    e->place.epoch++;
    e->body.at = s->place;
    e->body.topology += CONTROL_TAKEOVER_GAP;
    if (s->principals)
        e->body.principals += CONTROL_TAKEOVER_GAP;
    int rc = takeover_frame(s, t, e->body.topology, a, diag, &frame);
    if (!rc)
        rc = takeover_principals(s, e->body.principals, &principals);
    if (rc)
        return rc;
    e->body.frame = bytes_of(frame.p, frame.n);
    e->body.principals_text = bytes_of(principals.p, principals.n);
    rc = takeover_records(f, s, a, e);
    if (rc)
        return rc;
    return finish_entry(e, a);
}

// As it will be judged where it comes to, but for the signature.
static int draft_line(struct control_feed *f, const struct control_state *s,
                      struct control_entry *e, struct arena *a, struct diag *diag, struct buf *out)
{
    struct control_state *next = NULL;
    const struct control_how how = {.form = f->o.form};
    int rc = control_body_parse(e->text, a, diag, &e->body);
    if (!rc)
        rc = control_state_try(s, e, &how, diag, &next);
    snapshot_unref(next);
    if (rc)
        return rc;
    e->key = CONTROL_KEY_ROOT;
    control_entry_format(e, out);
    return out->err;
}

int control_feed_takeover_draft(struct control_feed *f, const struct control_takeover *t,
                                struct diag *diag, struct buf *out)
{
    struct arena a;
    struct control_entry e;
    struct control_state *s = control_feed_state(f);
    arena_init(&a, 0);
    int rc = takeover_entry(f, s, t, &a, diag, &e);
    if (!rc)
        rc = draft_line(f, s, &e, &a, diag, out);
    arena_done(&a);
    snapshot_unref(s);
    return rc;
}

int control_feed_confirm_draft(struct control_feed *f, const struct control_place *upto,
                               struct diag *diag, struct buf *out)
{
    struct arena a;
    struct control_entry e;
    struct control_state *s = control_feed_state(f);
    arena_init(&a, 0);
    begin_entry(s, CONTROL_CONFIRM, "root-key", feed_date(f, s), &e);
    e.body.at = *upto;
    int rc = finish_entry(&e, &a);
    if (!rc)
        rc = draft_line(f, s, &e, &a, diag, out);
    arena_done(&a);
    snapshot_unref(s);
    return rc;
}

static int check_signed(struct control_feed *f, const struct control_entry *e, struct diag *diag)
{
    bool of_root = e->body.kind == CONTROL_TAKEOVER || e->body.kind == CONTROL_CONFIRM;
    if (!of_root || strcmp(e->key, CONTROL_KEY_ROOT) != 0) {
        diag_add(diag, NULL, 0,
                 "only takeovers and confirmations that the root key has signed are "
                 "taken here");
        return ERR_INVAL;
    }
    if (e->body.kind == CONTROL_CONFIRM && !feed_is_writer(f, f->state))
        return not_the_writer(f, diag);
    if (memcmp(e->before, f->state->place.hash, sizeof e->before) != 0) {
        diag_add(diag, NULL, 0,
                 "the control feed has gone on to %llu:%llu since that was drafted: draft and sign "
                 "it anew",
                 (unsigned long long)f->state->place.epoch,
                 (unsigned long long)f->state->place.seq);
        return ERR_CONFLICT;
    }
    return 0;
}

// The root key's word that all that is here is done is as good as a majority's. Its word on who writes
// is none on what others have: after a takeover the fleet is asked.
static void confirmed_by_root(struct control_feed *f, const struct control_entry *e)
{
    const struct control_place *upto = &e->body.at;
    if (e->body.kind != CONTROL_CONFIRM || upto->seq + 1 != e->place.seq)
        return;
    pthread_mutex_lock(&f->lock);
    f->vouched = true;
    pthread_mutex_unlock(&f->lock);
    control_feed_confirm(f, true);
}

int control_feed_signed(struct control_feed *f, struct bytes line, struct diag *diag,
                        struct control_place *out)
{
    struct arena a;
    struct control_entry e;
    struct control_state *next = NULL;
    arena_init(&a, 0);
    int rc = control_entry_parse(line, &a, diag, &e);
    pthread_mutex_lock(&f->write);
    if (!rc && !f->owned)
        rc = ERR_BUSY;
    if (!rc)
        rc = check_signed(f, &e, diag);
    const struct control_how how = feed_how(f);
    if (!rc)
        rc = control_state_apply(f->state, &e, &how, diag, &next);
    if (!rc)
        rc = commit_one(f, &e, next, diag);
    if (!rc)
        confirmed_by_root(f, &e);
    pthread_mutex_unlock(&f->write);
    if (!rc)
        *out = e.place;
    arena_done(&a);
    if (!rc)
        feed_told(f);
    return rc;
}
