// SPDX-License-Identifier: Apache-2.0
// Entries that others hand over; see feed.h. Whoever carried them counts for nothing: an entry is
// taken for its signature and its place.
#include "control/feed_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define BATCH_BYTES (4u << 20)

struct taking {
    struct control_feed *f;
    struct diag *diag;
    // false: what another process of this node has stored already
    bool store;
    struct arena a;
    struct feed_batch batch;
    size_t n;
};

static const struct control_state *now(const struct taking *x)
{
    if (x->batch.state)
        return x->batch.state;
    return x->f->state;
}

static int commit(struct taking *x)
{
    size_t n = x->batch.n;
    int rc = 0;
    if (x->store)
        rc = feed_commit(x->f, &x->batch, false, x->diag);
    else if (n)
        feed_publish(x->f, take_ptr(x->batch.state));
    x->n += n;
    feed_batch_done(&x->batch);
    arena_done(&x->a);
    return rc;
}

// ---- what to do with an entry ----

static int say(struct taking *x, int rc, const struct control_entry *e, const char *why)
{
    diag_add(x->diag, NULL, 0, "entry %llu:%llu of the control feed: %s",
             (unsigned long long)e->place.epoch, (unsigned long long)e->place.seq, why);
    return rc;
}

// Signed by the writer, at a place where there is another entry: the writer was restored from an
// old copy, or two write with one key.
static int forked(struct taking *x, const struct control_entry *e)
{
    int rc = control_state_signed(now(x), e, x->diag);
    if (rc)
        return rc;
    const struct control_place *p = &now(x)->place;
    feed_alarm(x->f, FEED_ALARM_CHAIN,
               mem_printf("the writer region %s has signed an entry %llu:%llu of the control feed "
                          "that does not go on from what is in force here (%llu:%llu): it was "
                          "restored from an old copy, or its control key was stolen. Nothing of it "
                          "is applied; see which regions agree (meridian control status), and let "
                          "one of them take over (meridian control takeover)",
                          control_state_writer(now(x))->name, (unsigned long long)e->place.epoch,
                          (unsigned long long)e->place.seq, (unsigned long long)p->epoch,
                          (unsigned long long)p->seq));
    return say(x, ERR_CONFLICT, e, "it does not go on from what is in force here");
}

static bool is_pending(const struct taking *x, const struct control_entry *e)
{
    for (size_t i = 0; i < x->f->n_pending; i++)
        if (control_place_same(&x->f->pending[i].place, &e->place))
            return true;
    return false;
}

static bool is_here(const struct taking *x, const struct control_entry *e)
{
    if (control_place_same(&e->place, &now(x)->place) || control_log_has(x->f->log, &e->place))
        return true;
    for (size_t i = 0; i < x->batch.n; i++)
        if (control_place_same(&x->batch.entries[i].place, &e->place))
            return true;
    return is_pending(x, e) || e->place.seq <= control_log_first(x->f->log).seq;
}

static bool opens_epoch(const struct taking *x, const struct control_entry *e)
{
    return e->body.kind == CONTROL_TAKEOVER && e->place.epoch > now(x)->place.epoch;
}

// Entries before it are missing. Only the writer's own is a reason to ask for a base, which is large.
static int ahead(struct taking *x, const struct control_entry *e)
{
    if (e->place.epoch > now(x)->place.epoch)
        return say(x, ERR_AUTH, e, "the takeover that opens its epoch has not come before it");
    int rc = control_state_signed(now(x), e, x->diag);
    if (rc)
        return rc;
    return say(x, ERR_GAP, e, "entries before it are missing here");
}

// 1: it is to be applied to *out; 0: it is here already; or an error.
static int decide(struct taking *x, const struct control_entry *e)
{
    const struct control_place *p = &now(x)->place;
    if (e->place.epoch == p->epoch && e->place.seq == p->seq + 1) {
        if (!memcmp(e->before, p->hash, sizeof e->before))
            return 1;
        return forked(x, e);
    }
    if (e->place.epoch > p->epoch || e->place.seq > p->seq)
        return ahead(x, e);
    if (is_here(x, e))
        return 0;
    if (e->place.epoch == p->epoch)
        return forked(x, e);
    return say(x, ERR_CONFLICT, e, "its epoch is over, and it is void");
}

// ---- applying ----

static int apply(struct taking *x, const struct control_state *s, const struct control_entry *e)
{
    struct control_state *next = NULL;
    const struct control_how how = feed_how(x->f);
    int rc = control_state_apply(s, e, &how, x->diag, &next);
    if (rc == ERR_FROZEN)
        feed_alarm(x->f, FEED_ALARM_UPGRADE,
                   mem_printf("the control feed has an entry (%llu:%llu) of a kind that this "
                              "release does not know: upgrade this node; until then it serves what "
                              "came before",
                              (unsigned long long)e->place.epoch,
                              (unsigned long long)e->place.seq));
    if (rc)
        return rc;
    if (x->batch.n == x->batch.cap) {
        size_t more = x->batch.cap ? 2 * x->batch.cap : 16;
        struct control_entry *p = mem_realloc(x->batch.entries, more * sizeof *p);
        if (!p) {
            snapshot_unref(next);
            return ERR_NOMEM;
        }
        x->batch.entries = p;
        x->batch.cap = more;
    }
    x->batch.entries[x->batch.n++] = *e;
    x->batch.bytes += e->text.n;
    snapshot_unref(x->batch.state);
    x->batch.state = next;
    return 0;
}

// The place that a takeover goes on from is behind: what came after it is void.
static int go_back(struct taking *x, const struct control_entry *e)
{
    struct control_state *s = NULL;
    const struct control_how how = feed_how(x->f);
    int rc = control_state_signed(now(x), e, x->diag);
    if (rc)
        return rc;
    rc = control_log_state(x->f->log, &e->body.at, &how, x->diag, &s);
    if (rc)
        return say(x, ERR_GAP, e, "the place that it goes on from cannot be made again here");
    feed_drop_pending(x->f);
    rc = apply(x, s, e);
    snapshot_unref(s);
    return rc;
}

// What came before is committed first, so that the log has it.
static int take_over(struct taking *x, struct bytes line)
{
    struct control_entry e;
    int rc = commit(x);
    if (!rc)
        rc = control_entry_parse(line, &x->a, x->diag, &e);
    if (rc)
        return rc;
    if (control_place_same(&e.body.at, &now(x)->place))
        return apply(x, now(x), &e);
    if (control_log_has(x->f->log, &e.body.at))
        return go_back(x, &e);
    rc = control_state_signed(now(x), &e, x->diag);
    if (rc)
        return rc;
    return say(x, ERR_GAP, &e, "the place that this takeover goes on from is not here");
}

// A batch ends where a segment does, so that the state there is at hand for its base.
static bool ends_batch(const struct taking *x)
{
    const struct feed_batch *b = &x->batch;
    size_t every = x->f->o.segment_entries;
    if (!every)
        every = CONTROL_SEGMENT_ENTRIES;
    if (!b->n)
        return false;
    const struct control_entry *last = &b->entries[b->n - 1];
    return b->bytes >= BATCH_BYTES || !(last->place.seq % every) ||
           last->body.kind == CONTROL_TAKEOVER;
}

static int take_line(struct taking *x, struct bytes line)
{
    struct control_entry e;
    if (x->f->pending_bytes > FEED_PENDING_MAX_BYTES)
        return ERR_NOSPACE;
    int rc = control_entry_parse(line, &x->a, x->diag, &e);
    if (rc)
        return rc;
    if (opens_epoch(x, &e)) {
        rc = take_over(x, line);
    } else {
        rc = decide(x, &e);
        if (rc == 1)
            rc = apply(x, now(x), &e);
    }
    if (!rc && ends_batch(x))
        rc = commit(x);
    return rc;
}

int feed_take_lines(struct control_feed *f, struct bytes lines, bool store, struct diag *diag,
                    size_t *out_taken)
{
    struct taking x = {.f = f, .diag = diag, .store = store};
    arena_init(&x.a, 0);
    int rc = 0;
    size_t at = 0;
    if (store)
        feed_flush(f, NULL); // what still waits is said again when it cannot
    while (!rc && at < lines.n) {
        const uint8_t *end = memchr(lines.p + at, '\n', lines.n - at);
        size_t n = end ? (size_t)(end - lines.p) + 1 - at : lines.n - at;
        rc = take_line(&x, bytes_of(lines.p + at, n));
        at += n;
    }
    int last = commit(&x);
    *out_taken = x.n;
    if (!rc)
        rc = last;
    return rc;
}

int control_feed_take(struct control_feed *f, struct bytes lines, struct diag *diag,
                      size_t *out_taken)
{
    *out_taken = 0;
    pthread_mutex_lock(&f->write);
    int rc = ERR_BUSY;
    if (f->owned)
        rc = feed_take_lines(f, lines, true, diag, out_taken);
    pthread_mutex_unlock(&f->write);
    if (*out_taken)
        feed_told(f);
    return rc;
}
