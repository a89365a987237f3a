// SPDX-License-Identifier: Apache-2.0
// How entries of the control feed come to the disk and into force; see feed_priv.h.
#include "control/feed_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

void feed_batch_done(struct feed_batch *b)
{
    free(b->entries);
    snapshot_unref(b->state);
    *b = (struct feed_batch){0};
}

// ---- what waits for the disk ----

static int keep_pending(struct control_feed *f, const struct feed_batch *b)
{
    struct feed_pending *more = mem_realloc(f->pending, (f->n_pending + b->n + 1) * sizeof *more);
    if (!more)
        return ERR_NOMEM;
    f->pending = more;
    for (size_t i = 0; i < b->n; i++) {
        struct control_line *l = control_line_of(&b->entries[i]);
        if (!l)
            return ERR_NOMEM;
        f->pending[f->n_pending++] = (struct feed_pending){b->entries[i].place, l};
        f->pending_bytes += l->n;
    }
    return 0;
}

static void drop_first(struct control_feed *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        f->pending_bytes -= f->pending[i].line->n;
        snapshot_unref(f->pending[i].line);
    }
    f->n_pending -= n;
    if (f->n_pending)
        memmove(f->pending, f->pending + n, f->n_pending * sizeof *f->pending);
}

void feed_drop_pending(struct control_feed *f)
{
    drop_first(f, f->n_pending);
}

// Where a segment begins its base is due: the state is that of the last entry.
static void begin_segment(struct control_feed *f, struct control_state *state)
{
    bool rotated;
    if (control_log_rotate(f->log, &rotated) || !rotated)
        return; // another try comes with the next entry
    pthread_mutex_lock(&f->lock);
    snapshot_unref(f->base_due);
    f->base_due = state ? snapshot_ref(state) : NULL;
    pthread_mutex_unlock(&f->lock);
}

static int flush_one(struct control_feed *f, struct diag *diag)
{
    struct arena a;
    struct control_entry e;
    arena_init(&a, 0);
    const struct control_line *l = f->pending[0].line;
    int rc = control_entry_parse(bytes_of(l->text, l->n), &a, diag, &e);
    if (!rc)
        rc = control_log_append(f->log, &e, 1, diag);
    arena_done(&a);
    if (rc)
        return rc;
    drop_first(f, 1);
    begin_segment(f, f->n_pending ? NULL : f->state);
    return 0;
}

int feed_flush(struct control_feed *f, struct diag *diag)
{
    bool any = f->n_pending > 0;
    while (f->n_pending) {
        int rc = flush_one(f, diag);
        if (rc)
            return rc;
    }
    if (any)
        feed_alarm(f, FEED_ALARM_DISK, NULL);
    return 0;
}

static void disk_alarm(struct control_feed *f, int rc)
{
    feed_alarm(
        f, FEED_ALARM_DISK,
        mem_printf("%s/control cannot be written (%s): changes come into force here, but are "
                   "lost at a restart, and do not count as stored; make room, or mend the "
                   "disk",
                   f->o.state_dir, err_text(rc)));
}

// ---- committing ----

static int store(struct control_feed *f, const struct feed_batch *b, struct diag *diag)
{
    int rc = feed_flush(f, diag);
    if (!rc)
        rc = control_log_append(f->log, b->entries, b->n, diag);
    if (!rc) {
        feed_alarm(f, FEED_ALARM_DISK, NULL);
        begin_segment(f, b->state);
    }
    return rc;
}

// What others hand over is visible at once: whoever waits for an answer does not wait for the disk,
// and what the disk takes or not changes nothing in that.
static int commit_taken(struct control_feed *f, struct feed_batch *b, struct diag *diag)
{
    feed_publish(f, snapshot_ref(b->state));
    int rc = store(f, b, diag);
    if (!rc)
        return 0;
    disk_alarm(f, rc);
    if (keep_pending(f, b))
        return ERR_NOMEM; // what is not kept for the disk is asked for again
    return rc;
}

int feed_commit(struct control_feed *f, struct feed_batch *b, bool must_store, struct diag *diag)
{
    int rc = 0;
    if (b->n && must_store) {
        rc = store(f, b, diag);
        if (!rc)
            feed_publish(f, snapshot_ref(b->state));
    } else if (b->n) {
        rc = commit_taken(f, b, diag);
    }
    feed_batch_done(b);
    return rc;
}
