// SPDX-License-Identifier: Apache-2.0
// The thread beside a control feed: bases of segments, their checkpoints, what waits for the disk,
// and what another process of this node writes while this one does not; see feed_priv.h.
#include "control/feed_priv.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/wait.h"
#include "control/base_form.h"

#include <malloc.h>

#define TURN_MS 1000
#define FOLLOW_MS 100
#define CATCH_UP_BYTES (4u << 20)

// ---- what another process has written ----

static int catch_up_some(struct control_feed *f, struct diag *diag, bool *out_more)
{
    AUTO_BUF struct buf lines;
    size_t n = 0;
    buf_init(&lines, 0);
    *out_more = false;
    int rc = control_log_read(f->log, &f->state->place, CATCH_UP_BYTES, &lines);
    if (!rc && lines.n)
        rc = feed_take_lines(f, bytes_of(lines.p, lines.n), false, diag, &n);
    *out_more = n > 0;
    return rc;
}

// A takeover or a base has come: what is in force here is not in the log any more.
static int catch_up_anew(struct control_feed *f, struct diag *diag)
{
    struct control_state *s = NULL;
    const struct control_how how = feed_how(f);
    int rc = control_log_state(f->log, NULL, &how, diag, &s);
    if (rc)
        return rc;
    if (s->topology->version < f->state->topology->version) {
        snapshot_unref(s);
        return ERR_CONFLICT;
    }
    feed_publish(f, s);
    return 0;
}

int feed_catch_up(struct control_feed *f, struct diag *diag)
{
    int rc = control_log_refresh(f->log);
    if (rc || !control_log_begun(f->log))
        return rc;
    if (!control_log_has(f->log, &f->state->place))
        return catch_up_anew(f, diag);
    bool more = true;
    while (!rc && more)
        rc = catch_up_some(f, diag, &more);
    return rc;
}

// ---- bases ----

static struct control_state *take_due(struct control_feed *f)
{
    pthread_mutex_lock(&f->lock);
    struct control_state *s = take_ptr(f->base_due);
    pthread_mutex_unlock(&f->lock);
    return s;
}

static int put_base(struct control_feed *f, const struct control_state *s)
{
    AUTO_BUF struct buf base;
    buf_init(&base, CONTROL_BASE_MAX_BYTES);
    int rc = control_base_format(s, &base);
    if (!rc)
        rc = control_log_base_put(f->log, &s->place, bytes_of(base.p, base.n));
    if (rc)
        log_warn("control feed: the base at %llu:%llu cannot be written: %s",
                 (unsigned long long)s->place.epoch, (unsigned long long)s->place.seq,
                 err_text(rc));
    return rc;
}

// A base that was not written before a restart, say: the state is made again from the log.
static struct control_state *make_wanted(struct control_feed *f)
{
    struct control_place at;
    struct control_state *s = NULL;
    const struct control_how how = {.form = f->o.form};
    if (control_log_wants_base(f->log, &at))
        return NULL;
    if (control_log_state(f->log, &at, &how, NULL, &s))
        return NULL;
    return s;
}

static void keep_bases(struct control_feed *f)
{
    struct control_state *s = take_due(f);
    if (!s)
        s = make_wanted(f);
    if (!s)
        return;
    put_base(f, s);
    snapshot_unref(s);
    malloc_trim(0); // of making it
}

// The writer signs the digest of its newest base, for those who begin with it.
static bool keep_checkpoint(struct control_feed *f)
{
    struct control_place at;
    uint8_t digest[SHA256_BYTES];
    if (control_log_unsigned_base(f->log, &at, digest))
        return false;
    pthread_mutex_lock(&f->write);
    int rc = ERR_DENIED;
    if (f->confirmed && feed_is_writer(f, f->state))
        rc = feed_append_checkpoint(f, &at, digest, NULL);
    pthread_mutex_unlock(&f->write);
    return !rc;
}

static void compare_digests(struct control_feed *f)
{
    struct control_place at;
    char *why = NULL;
    if (control_log_disagrees(f->log, &at))
        why = mem_printf("what this node has come to at %llu:%llu of the control feed is not what "
                         "the writer has: it may run another release, or its disk was damaged. "
                         "Stop it, move %s aside and start it again: it begins with the writer's "
                         "base",
                         (unsigned long long)at.epoch, (unsigned long long)at.seq, f->dir);
    feed_alarm(f, FEED_ALARM_DIGEST, why);
}

// ---- the thread ----

static void flush_and_sweep(struct control_feed *f)
{
    if (pthread_mutex_trylock(&f->write))
        return; // busy: the next turn
    bool waited = f->n_pending > 0;
    if (waited)
        feed_flush(f, NULL);
    if (f->principals_cell)
        in_force_sweep(&f->in_force);
    bool stored = waited && !f->n_pending;
    pthread_mutex_unlock(&f->write);
    if (stored)
        feed_told(f);
}

void feed_keeper_turn(struct control_feed *f)
{
    flush_and_sweep(f);
    keep_bases(f);
    if (keep_checkpoint(f))
        feed_told(f);
    compare_digests(f);
    feed_look_time(f);
}

static void follow_other(struct control_feed *f)
{
    pthread_mutex_lock(&f->write);
    if (!f->owned && feed_catch_up(f, NULL))
        log_warn("control feed: what another process of this node writes cannot be read");
    pthread_mutex_unlock(&f->write);
}

static void *keeper_main(void *arg)
{
    struct control_feed *f = arg;
    thread_step_back();
    for (;;) {
        pthread_mutex_lock(&f->lock);
        bool stop = f->stop, owned = f->owned;
        if (!stop)
            wait_cond(&f->moved, &f->lock, owned ? TURN_MS : FOLLOW_MS);
        stop = f->stop;
        pthread_mutex_unlock(&f->lock);
        if (stop)
            return NULL;
        if (owned)
            feed_keeper_turn(f);
        else
            follow_other(f);
    }
}

int feed_keeper_start(struct control_feed *f)
{
    int rc = thread_start(&f->keeper, keeper_main, f);
    f->running = !rc;
    return rc;
}

void feed_keeper_stop(struct control_feed *f)
{
    if (f->running)
        pthread_join(f->keeper, NULL);
    f->running = false;
}
