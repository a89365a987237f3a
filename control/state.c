// SPDX-License-Identifier: Apache-2.0
// What the control feed has come to at a place; see state.h, whose rules are numbered.
#include "control/state.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/changer.h"
#include "control/frame.h"
#include "control/principals_follow.h"
#include "control/successor.h"
#include "control/sweep.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define ADOPT_PREFIX "meridian control adopt 1\n"
#define SOURCE "the control feed"

// ---- the value ----

static void state_free(void *self)
{
    struct control_state *s = self;
    snapshot_unref(s->topology);
    snapshot_unref(s->principals);
    control_ledger_unref(s->ledger);
    snapshot_unref(s->takeover);
    free(s);
}

struct control_state *control_state_copy(const struct control_state *s)
{
    // all but the head: others count references in it meanwhile
    const size_t from = offsetof(struct control_state, place);
    struct control_state *c = mem_alloc(sizeof *c);
    if (!c)
        return NULL;
    memcpy((char *)c + from, (const char *)s + from, sizeof *c - from);
    snapshot_head_init(&c->head, state_free);
    snapshot_ref(c->topology);
    if (c->principals)
        snapshot_ref(c->principals);
    if (c->takeover)
        snapshot_ref(c->takeover);
    control_ledger_ref(c->ledger);
    return c;
}

struct control_state *control_state_new(void)
{
    struct control_state *s = mem_zalloc(sizeof *s);
    if (!s)
        return NULL;
    snapshot_head_init(&s->head, state_free);
    s->ledger = control_ledger_new();
    if (s->ledger)
        return s;
    free(s);
    return NULL;
}

static void line_free(void *self)
{
    free(self);
}

struct control_line *control_line_of(const struct control_entry *e)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    control_entry_format(e, &text);
    if (text.err)
        return NULL;
    struct control_line *l = mem_alloc(sizeof *l + text.n + 1);
    if (!l)
        return NULL;
    snapshot_head_init(&l->head, line_free);
    l->n = text.n;
    memcpy(l->text, text.p, text.n + 1);
    return l;
}

const struct region *control_state_writer(const struct control_state *s)
{
    return topology_writer(s->topology);
}

uint64_t control_state_principals_version(const struct control_state *s)
{
    if (s->principals)
        return s->principals->version;
    return 0;
}

// ---- where a feed begins ----

static int adopted_hash(const struct topology *t, const struct principals *p,
                        uint8_t out[SHA256_BYTES])
{
    AUTO_BUF struct buf text, chain;
    buf_init(&text, 0);
    buf_init(&chain, 0);
    if (p) {
        struct buf canonical;
        int rc = principals_format(p, &canonical);
        if (rc)
            return rc;
        buf_done(&text);
        text = canonical;
    }
    uint8_t digest[SHA256_BYTES];
    sha256(buf_cstr(&text), text.n, digest);
    buf_str(&chain, ADOPT_PREFIX);
    buf_add(&chain, t->content_hash, SHA256_BYTES);
    buf_add(&chain, digest, SHA256_BYTES);
    if (chain.err)
        return chain.err;
    sha256(chain.p, chain.n, out);
    return 0;
}

int control_state_adopt(struct topology *t, struct principals *p, struct diag *diag,
                        struct control_state **out)
{
    if (!t->control) {
        diag_add(diag, t->source, 0,
                 "it has no section `control`, which names the root key and the writer region; "
                 "`meridian control adopt` adds it");
        return ERR_INVAL;
    }
    if (!t->frame->text) {
        diag_add(diag, t->source, 0,
                 "its registries cannot be told from the rest by lines; write every section's key "
                 "at the beginning of a line of its own");
        return ERR_INVAL;
    }
    struct control_state *s = control_state_new();
    if (!s)
        return ERR_NOMEM;
    s->place.epoch = 1;
    s->topology = snapshot_ref(t);
    if (p)
        s->principals = snapshot_ref(p);
    int rc = adopted_hash(t, p, s->place.hash);
    s->changed = s->place;
    if (rc)
        snapshot_unref(s);
    else
        *out = s;
    return rc;
}

// ---- may it come, and from whom ----

static int refused(struct diag *diag, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int refused(struct diag *diag, int rc, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    diag_add(diag, NULL, 0, "%s", text);
    return rc;
}

static bool epoch_fits(const struct control_state *s, const struct control_entry *e)
{
    if (e->body.kind == CONTROL_TAKEOVER)
        return e->place.epoch > s->place.epoch && control_place_same(&e->body.at, &s->place);
    return e->place.epoch == s->place.epoch;
}

static int check_place(const struct control_state *s, const struct control_entry *e,
                       struct diag *diag)
{
    bool follows =
        e->place.seq == s->place.seq + 1 && !memcmp(e->before, s->place.hash, sizeof e->before);
    if (follows && epoch_fits(s, e))
        return 0;
    return refused(diag, ERR_CONFLICT,
                   "entry %llu:%llu of the control feed does not go on from %llu:%llu, which is in "
                   "force here",
                   (unsigned long long)e->place.epoch, (unsigned long long)e->place.seq,
                   (unsigned long long)s->place.epoch, (unsigned long long)s->place.seq);
}

static bool is_roots(enum control_kind kind)
{
    return kind == CONTROL_TAKEOVER || kind == CONTROL_CONFIRM;
}

static const char *key_of_writer(const struct control_state *s, const char *id)
{
    const struct region *w = control_state_writer(s);
    for (size_t i = 0; i < w->n_control_keys; i++)
        if (!strcmp(w->control_keys[i].id, id))
            return w->control_keys[i].spki_b64;
    return NULL;
}

int control_state_signed(const struct control_state *s, const struct control_entry *e,
                         struct diag *diag)
{
    const char *spki = NULL;
    bool by_root = !strcmp(e->key, CONTROL_KEY_ROOT);
    bool either = e->body.kind == CONTROL_UNKNOWN;
    if (by_root && (either || is_roots(e->body.kind)))
        spki = s->topology->control->root;
    else if (!by_root && (either || !is_roots(e->body.kind)))
        spki = key_of_writer(s, e->key);
    int rc = ERR_AUTH;
    if (spki)
        rc = control_entry_verify(e, spki);
    if (!rc || rc == ERR_NOMEM)
        return rc;
    return refused(diag, ERR_AUTH,
                   "entry %llu:%llu of the control feed, a %s, is signed by %s, which may not: "
                   "that is for %s",
                   (unsigned long long)e->place.epoch, (unsigned long long)e->place.seq,
                   control_kind_name(e->body.kind), e->key,
                   is_roots(e->body.kind) ? "the root key" : "a control key of the writer region");
}

// ---- documents ----

static bool same_keys(const struct region *a, const struct region *b)
{
    if (strcmp(a->name, b->name) != 0 || a->n_control_keys != b->n_control_keys)
        return false;
    for (size_t i = 0; i < a->n_control_keys; i++)
        if (strcmp(a->control_keys[i].id, b->control_keys[i].id) != 0 ||
            strcmp(a->control_keys[i].spki_b64, b->control_keys[i].spki_b64) != 0)
            return false;
    return true;
}

static int check_authority(const struct control_state *s, const struct control_entry *e,
                           const struct topology *next, struct diag *diag)
{
    if (!next->control)
        return refused(diag, ERR_INVAL, "the document has no section `control`");
    bool same = same_keys(topology_writer(s->topology), topology_writer(next));
    if (e->body.kind == CONTROL_TAKEOVER && !topology_writer(next)->n_control_keys)
        return refused(diag, ERR_INVAL,
                       "region %s cannot become the writer: the document has no control key of it "
                       "(identities.%s.control_keys)",
                       topology_writer(next)->name, topology_writer(next)->name);
    if (same || e->body.kind == CONTROL_TAKEOVER)
        return 0;
    return refused(diag, ERR_INVAL,
                   "the writer region and its control keys change only by a takeover that the "
                   "root key signs (meridian control takeover)");
}

static int apply_frame(const struct control_state *s, const struct control_entry *e,
                       const struct control_how *how, struct diag *diag, struct topology **t)
{
    struct topology *next = NULL;
    int64_t again_s;
    int rc = frame_replace(*t, e->body.frame, SOURCE, how->form, diag, &next);
    if (rc)
        return rc;
    if (!successor_ok(*t, next, e->body.frame, e->body.time_ms / 1000, diag, &again_s))
        rc = ERR_INVAL;
    if (!rc)
        rc = check_authority(s, e, next, diag);
    bool takes_over = e->body.kind == CONTROL_TAKEOVER;
    if (!rc && next->version != (*t)->version + 1 && !takes_over)
        rc = refused(diag, ERR_CONFLICT,
                     "the frame is of version %llu, which does not follow %llu, which is in force",
                     (unsigned long long)next->version, (unsigned long long)(*t)->version);
    if (!rc && next->version <= (*t)->version)
        rc = refused(diag, ERR_CONFLICT, "versions only go up");
    if (rc) {
        snapshot_unref(next);
        return rc;
    }
    snapshot_unref(*t);
    *t = next;
    return 0;
}

static int apply_change(const struct control_entry *e, const struct control_how *how,
                        struct diag *diag, struct topology **t)
{
    struct topology *next = NULL;
    struct changer *own = NULL, *c = how->changer;
    if (!c)
        c = own = changer_new();
    if (!c)
        return ERR_NOMEM;
    changer_at(c, e->body.time_ms);
    int rc = changer_apply(c, *t, (const char *)e->body.change.p, e->body.change.n, SOURCE, 1, diag,
                           &next);
    changer_free(own);
    if (rc == ERR_EXISTS)
        return refused(diag, ERR_CONFLICT, "the change's version is in force already");
    if (rc == ERR_BUSY) // time alone will mend it, and its time is the entry's
        return ERR_INVAL;
    if (rc)
        return rc;
    snapshot_unref(*t);
    *t = next;
    return 0;
}

static int apply_topology(struct control_state *next, const struct control_state *s,
                          const struct control_entry *e, const struct control_how *how,
                          struct diag *diag)
{
    int rc = 0;
    if (e->body.frame.n)
        rc = apply_frame(s, e, how, diag, &next->topology);
    if (!rc && e->body.change.n)
        rc = apply_change(e, how, diag, &next->topology);
    if (!rc && next->topology->version != e->body.topology)
        rc = refused(diag, ERR_INVAL,
                     "the entry says that it makes version %llu of the topology, and makes %llu",
                     (unsigned long long)e->body.topology,
                     (unsigned long long)next->topology->version);
    return rc;
}

static int check_principals(const struct control_state *s, const struct control_entry *e,
                            const struct principals *next, struct diag *diag)
{
    uint64_t was = control_state_principals_version(s);
    bool takes_over = e->body.kind == CONTROL_TAKEOVER;
    bool follows = takes_over ? next->version > was : next->version == was + 1;
    if (!follows)
        return refused(diag, ERR_CONFLICT,
                       "the principals are of version %llu, which does not follow %llu, which is "
                       "in force",
                       (unsigned long long)next->version, (unsigned long long)was);
    if (s->principals && !principals_may_follow(s->principals, next, e->body.time_ms / 1000, diag))
        return ERR_INVAL;
    return 0;
}

static int apply_principals(struct control_state *next, const struct control_state *s,
                            const struct control_entry *e, struct diag *diag)
{
    struct principals *p = NULL;
    const struct bytes text = e->body.principals_text;
    if (text.n) {
        int rc = principals_parse((const char *)text.p, text.n, "principals by " SOURCE, diag, &p);
        if (!rc)
            rc = check_principals(s, e, p, diag);
        if (rc) {
            snapshot_unref(p);
            return rc;
        }
        snapshot_unref(next->principals);
        next->principals = p;
    }
    if (control_state_principals_version(next) == e->body.principals)
        return 0;
    return refused(diag, ERR_INVAL,
                   "the entry says that it makes version %llu of the principals, and makes %llu",
                   (unsigned long long)e->body.principals,
                   (unsigned long long)control_state_principals_version(next));
}

// ---- the ledger ----

static int put_record(struct control_state *next, const char *key, const char *value)
{
    struct control_ledger *l = NULL;
    int rc = control_ledger_put(next->ledger, key, value, &l);
    if (rc)
        return rc;
    control_ledger_unref(next->ledger);
    next->ledger = l;
    return 0;
}

// All nodes do it at the same entry.
static int sweep(struct control_state *next)
{
    struct control_ledger *l = NULL;
    const struct sweep_at at = {
        .t = next->topology, .last_ms = next->swept_ms, .now_ms = next->time_ms};
    int64_t passed_ms = next->time_ms - next->swept_ms;
    int rc;
    if (passed_ms >= 0 && passed_ms < SWEEP_MS)
        return 0;
    if (passed_ms < 0) // a takeover has set the time back
        rc = sweep_back(next->ledger, next->time_ms, &l);
    else
        rc = sweep_ledger(next->ledger, &at, &l);
    next->swept_ms = next->time_ms;
    if (rc)
        return rc;
    control_ledger_unref(next->ledger);
    next->ledger = l;
    return 0;
}

static int apply_records(struct control_state *next, const struct control_entry *e,
                         struct diag *diag)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < e->body.n_records; i++)
        rc = put_record(next, e->body.records[i].key, e->body.records[i].value);
    if (rc == ERR_TOOBIG)
        return refused(diag, rc, "the ledger of the control feed is full: %zu records",
                       control_ledger_count(next->ledger));
    if (!rc)
        rc = sweep(next);
    return rc;
}

// ---- all of an entry ----

static int apply_takeover(struct control_state *next, const struct control_entry *e,
                          struct diag *diag)
{
    if (!e->body.frame.n)
        return refused(diag, ERR_INVAL, "a takeover brings the frame that names the writer");
    next->epoch_from = e->body.at;
    snapshot_unref(next->takeover);
    next->takeover = control_line_of(e);
    return next->takeover ? 0 : ERR_NOMEM;
}

static int apply_kind(struct control_state *next, const struct control_state *s,
                      const struct control_entry *e, struct diag *diag)
{
    bool documents = e->body.frame.n || e->body.change.n || e->body.principals_text.n;
    switch (e->body.kind) {
    case CONTROL_CHANGE:
        return 0;
    case CONTROL_TAKEOVER:
        return apply_takeover(next, e, diag);
    case CONTROL_CONFIRM:
        if (control_place_compare(&e->body.at, &s->place) > 0)
            return refused(diag, ERR_INVAL, "a confirmation of what is not there yet");
        next->root_word = e->body.at;
        break;
    case CONTROL_CHECKPOINT:
        if (control_place_compare(&e->body.at, &s->place) > 0)
            return refused(diag, ERR_INVAL, "a checkpoint of what is not there yet");
        break;
    case CONTROL_UNKNOWN:
        assert(!"refused before");
    }
    if (documents || e->body.n_records)
        return refused(diag, ERR_INVAL, "a %s brings no documents and no records",
                       control_kind_name(e->body.kind));
    return 0;
}

static int apply_all(struct control_state *next, const struct control_state *s,
                     const struct control_entry *e, const struct control_how *how,
                     struct diag *diag)
{
    next->place = e->place;
    if (e->body.kind != CONTROL_CHECKPOINT)
        next->changed = e->place;
    next->time_ms = e->body.time_ms;
    int rc = apply_kind(next, s, e, diag);
    if (!rc)
        rc = apply_topology(next, s, e, how, diag);
    if (!rc)
        rc = apply_principals(next, s, e, diag);
    if (!rc)
        rc = apply_records(next, e, diag);
    return rc;
}

static int check_kind(const struct control_state *s, const struct control_entry *e,
                      struct diag *diag)
{
    if (e->body.kind == CONTROL_UNKNOWN)
        return refused(diag, ERR_FROZEN,
                       "entry %llu:%llu of the control feed is of a kind that this release does "
                       "not know: upgrade this node; until then it serves what came before",
                       (unsigned long long)e->place.epoch, (unsigned long long)e->place.seq);
    if (e->body.time_ms < s->time_ms && e->body.kind != CONTROL_TAKEOVER) // rule 4
        return refused(diag, ERR_INVAL, "time goes back with entry %llu:%llu of the control feed",
                       (unsigned long long)e->place.epoch, (unsigned long long)e->place.seq);
    return 0;
}

int control_state_try(const struct control_state *s, const struct control_entry *e,
                      const struct control_how *how, struct diag *diag, struct control_state **out)
{
    int rc = check_place(s, e, diag);
    if (!rc)
        rc = check_kind(s, e, diag);
    if (rc)
        return rc;
    struct control_state *next = control_state_copy(s);
    if (!next)
        return ERR_NOMEM;
    rc = apply_all(next, s, e, how, diag);
    if (rc)
        snapshot_unref(next);
    else
        *out = next;
    return rc;
}

int control_state_apply(const struct control_state *s, const struct control_entry *e,
                        const struct control_how *how, struct diag *diag,
                        struct control_state **out)
{
    int rc = check_place(s, e, diag);
    if (!rc)
        rc = control_state_signed(s, e, diag);
    if (rc)
        return rc;
    return control_state_try(s, e, how, diag, out);
}
