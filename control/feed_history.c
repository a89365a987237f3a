// SPDX-License-Identifier: Apache-2.0
// What the control feed has been: entries that are kept, and the topology of an earlier version; see
// feed.h.
#include "control/feed_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

struct telling {
    struct control_feed *f;
    control_history_visitor *visit;
    void *ctx;
};

static void name(struct buf *what, bool there, const char *word)
{
    if (there && what->n)
        buf_str(what, ",");
    if (there)
        buf_str(what, word);
}

static void describe(const struct control_body *b, struct buf *what)
{
    name(what, b->change.n > 0, "registries");
    name(what, b->frame.n > 0, "frame");
    name(what, b->principals_text.n > 0, "principals");
    name(what, b->n_records > 0, "records");
}

static bool tell(void *ctx, const struct control_log_row *row)
{
    const struct telling *t = ctx;
    struct arena a;
    struct control_entry e = {0};
    AUTO_BUF struct buf line, what;
    arena_init(&a, 0);
    buf_init(&line, 0);
    buf_init(&what, 0);
    struct control_history h = {.place = row->place,
                                .kind = row->kind,
                                .topology = row->topology,
                                .principals = row->principals,
                                .time_ms = row->time_ms};
    if (!control_log_line(t->f->log, &row->place, &line) &&
        !control_entry_parse(bytes_of(line.p, line.n), &a, NULL, &e)) {
        describe(&e.body, &what);
        h.by = e.body.by;
        h.request = e.body.request;
    }
    h.what = buf_cstr(&what);
    bool more = t->visit(t->ctx, &h);
    arena_done(&a);
    return more;
}

int control_feed_history(struct control_feed *f, const struct control_place *after,
                         control_history_visitor *visit, void *ctx)
{
    struct telling t = {f, visit, ctx};
    int rc = control_log_visit(f->log, after, tell, &t);
    if (rc == ERR_NOTFOUND)
        return ERR_GONE;
    return rc;
}

int control_feed_voids(struct control_feed *f, control_history_visitor *visit, void *ctx)
{
    struct telling t = {f, visit, ctx};
    return control_log_visit_void(f->log, tell, &t);
}

// The state that first had that version, or the oldest that can be made.
static int state_of(struct control_feed *f, uint64_t version, struct diag *diag,
                    struct control_state **out)
{
    struct control_place at;
    const struct control_how how = {.form = f->o.form};
    int rc = control_log_version(f->log, version, &at);
    if (rc == ERR_NOTFOUND)
        at = control_log_first(f->log);
    else if (rc)
        return rc;
    return control_log_state(f->log, &at, &how, diag, out);
}

static int not_there(const struct control_state *s, uint64_t version, struct diag *diag)
{
    if (version < s->topology->version) {
        diag_add(
            diag, NULL, 0,
            "version %llu of the topology is not kept any more; `topology history` shows those "
            "that are",
            (unsigned long long)version);
        return ERR_GONE;
    }
    diag_add(diag, NULL, 0, "there was no version %llu of the topology",
             (unsigned long long)version);
    return ERR_NOTFOUND;
}

int control_feed_topology_at(struct control_feed *f, uint64_t version, struct diag *diag,
                             struct topology **out)
{
    struct control_state *s = control_feed_state(f);
    int rc = 0;
    if (s->topology->version != version) {
        snapshot_unref(take_ptr(s));
        rc = state_of(f, version, diag, &s);
    }
    if (!rc && s->topology->version != version)
        rc = not_there(s, version, diag);
    if (!rc)
        *out = snapshot_ref(s->topology);
    snapshot_unref(s);
    return rc;
}
