// SPDX-License-Identifier: Apache-2.0
// What one region hands another: lines after a place, or a base to begin with; see feed.h.
#include "control/feed_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "config/topology_make.h"
#include "control/base_form.h"

#include <string.h>

// ---- handing over ----

// After a place that is not in the chain here.
static int read_elsewhere(struct control_feed *f, const struct control_place *after,
                          size_t max_bytes, struct buf *out)
{
    struct control_place first = control_log_first(f->log), last = control_log_last(f->log), from;
    if (control_place_compare(after, &last) > 0)
        return 0; // further than this node is
    if (!after->seq || after->seq <= first.seq)
        return ERR_GONE;
    if (after->epoch == last.epoch)
        return ERR_CONFLICT;
    if (control_log_fork(f->log, after->epoch, &from) || after->seq <= from.seq)
        return ERR_GONE;
    return control_log_read(f->log, &from, max_bytes, out);
}

int control_feed_read(struct control_feed *f, const struct control_place *after, size_t max_bytes,
                      struct buf *out)
{
    if (!control_log_has(f->log, after))
        return read_elsewhere(f, after, max_bytes, out);
    int rc = control_log_read(f->log, after, max_bytes, out);
    if (rc == ERR_NOTFOUND)
        return ERR_GONE; // it went meanwhile
    return rc;
}

int control_feed_base_write(struct control_feed *f, struct buf *out)
{
    return control_log_signed_base(f->log, out);
}

// ---- taking ----

struct offered { // a base, and who says that it is one
    struct bytes bytes;
    struct control_base_info info;
    struct control_entry checkpoint;
    struct arena a;
    // made of the bytes
    struct control_state *state;
    struct diag *diag;
};

static int refused(struct offered *o, int rc, const char *why)
{
    diag_add(o->diag, NULL, 0, "a base of the control feed is not taken: %s", why);
    return rc;
}

static int split(struct offered *o, struct bytes all)
{
    int rc = control_base_info(all, &o->info);
    if (rc || o->info.length >= all.n)
        return refused(o, ERR_CORRUPT, "it is cut off, or none");
    o->bytes = bytes_of(all.p, (size_t)o->info.length);
    struct bytes line = bytes_of(all.p + o->info.length, all.n - (size_t)o->info.length);
    return control_entry_parse(line, &o->a, o->diag, &o->checkpoint);
}

static int key_signed(struct offered *o, const struct topology *t)
{
    const struct region *w = topology_writer(t);
    for (size_t i = 0; w && i < w->n_control_keys; i++)
        if (!strcmp(w->control_keys[i].id, o->checkpoint.key))
            return control_entry_verify(&o->checkpoint, w->control_keys[i].spki_b64);
    return ERR_AUTH;
}

// The takeover that opened its epoch is signed by the root key, and names the writer's keys.
static int signed_by_takeover(struct offered *o, const struct control_state *mine)
{
    struct control_entry e;
    struct topology *frame = NULL;
    const struct control_line *l = o->state->takeover;
    int rc = control_entry_parse(bytes_of(l->text, l->n), &o->a, o->diag, &e);
    if (!rc && strcmp(e.key, CONTROL_KEY_ROOT) != 0)
        rc = ERR_AUTH;
    if (!rc)
        rc = control_entry_verify(&e, mine->topology->control->root);
    if (!rc)
        rc = topology_parse_frame((const char *)e.body.frame.p, e.body.frame.n, "a takeover",
                                  &(struct doc_lines){.first = 1}, o->diag, &frame);
    if (!rc)
        rc = key_signed(o, frame);
    snapshot_unref(frame);
    return rc;
}

static int check_signed(struct offered *o, const struct control_state *mine)
{
    const struct control_entry *c = &o->checkpoint;
    bool fits = c->body.kind == CONTROL_CHECKPOINT && c->place.epoch == o->info.place.epoch &&
                control_place_same(&c->body.at, &o->info.place) &&
                !memcmp(c->body.digest, o->info.digest, sizeof o->info.digest);
    if (!fits)
        return refused(o, ERR_AUTH, "its checkpoint is of another base");
    int rc = ERR_AUTH;
    if (o->state->takeover)
        rc = signed_by_takeover(o, mine);
    else if (mine->place.epoch == o->info.place.epoch)
        rc = key_signed(o, mine->topology);
    if (rc == ERR_AUTH)
        return refused(o, rc, "it is not signed by a writer that the fleet's root key knows");
    return rc;
}

static int check_follows(struct control_feed *f, struct offered *o)
{
    const struct control_state *mine = f->state, *next = o->state;
    bool later = control_place_compare(&next->place, &mine->place) > 0;
    bool begins = !mine->place.seq && !control_place_same(&next->place, &mine->place);
    if (!later && !begins)
        return ERR_EXISTS;
    if (strcmp(next->topology->control->root, mine->topology->control->root) != 0)
        return refused(o, ERR_AUTH, "it is of a fleet with another root key");
    uint64_t now = mine->topology->version, then = next->topology->version;
    bool same = now == then &&
                !memcmp(mine->topology->content_hash, next->topology->content_hash, SHA256_BYTES);
    // a region that joins begins with the frame alone, as version 1
    bool bare = now == then && !mine->topology->n_registries;
    if (then > now || same || bare)
        return 0;
    diag_add(o->diag, NULL, 0,
             "this node began with version %llu of the topology, and the control feed has version "
             "%llu, which is not later: its file was changed by hand after the fleet's was taken "
             "over. Put the writer's document in its place, or raise the fleet's version above it",
             (unsigned long long)now, (unsigned long long)then);
    return ERR_CONFLICT;
}

static int take(struct control_feed *f, struct offered *o, struct bytes all)
{
    int rc = split(o, all);
    if (!rc && control_place_compare(&o->info.place, &f->state->place) <= 0 && f->state->place.seq)
        return ERR_EXISTS;
    if (!rc)
        rc = control_base_parse(f->o.form, o->bytes, f->home, "a base of the control feed", o->diag,
                                &o->state);
    if (!rc)
        rc = check_signed(o, f->state);
    if (!rc)
        rc = check_follows(f, o);
    if (!rc)
        rc = control_log_begin(f->log, o->bytes, o->diag);
    if (rc)
        return rc;
    feed_drop_pending(f);
    feed_publish(f, take_ptr(o->state));
    return 0;
}

int control_feed_base_take(struct control_feed *f, struct bytes base, struct diag *diag)
{
    struct offered o = {.diag = diag};
    arena_init(&o.a, 0);
    pthread_mutex_lock(&f->write);
    int rc = ERR_BUSY;
    if (f->owned)
        rc = take(f, &o, base);
    pthread_mutex_unlock(&f->write);
    snapshot_unref(o.state);
    arena_done(&o.a);
    if (!rc)
        feed_told(f);
    return rc;
}
