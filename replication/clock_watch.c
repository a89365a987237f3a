// SPDX-License-Identifier: Apache-2.0
// The thread that compares clocks; see clock_watch.h. Answers come in on the fetcher's thread and
// are only noted there; the lock guards what both touch (the part of struct other that is said so).
#include "replication/clock_watch.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/clock_track.h"
#include "replication/lock.h"
#include "replication/peer_answer.h"
#include "replication/speech.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 500      // at our own clock
#define JUMP_US 100000   // it was set, by at least so much; steering moves it by less in LOOK_MS
#define ANSWER_BYTES 256 // of a peer's answer

struct other { // another member
    struct clock_watch *w;
    char region[HOSTNAME_REGION_SIZE];
    struct clock_track track;
    // in the last round
    bool answered;
    bool imprecise;

    // Of the question under way; under the lock.
    bool asked;
    struct fetch *handle;
    int64_t sent_us, got_us;
    int err, status;
    size_t n_body;
    char body[ANSWER_BYTES];
};

struct clock_watch {
    struct clock_watch_options o;
    pthread_t thread;
    bool started;
    // of the questions under way
    struct lock lock;
    struct other others[CLOCK_OTHERS_MAX];
    size_t n_others, n_members;
    // our wall clock less the monotonic one, when it was looked at last
    int64_t base_us;
    // rounds to come without the usual pause
    unsigned n_hurries;
    // the last round was not judged by: our clock was set while it ran
    bool again;
    bool gate_open;
    enum clock_state state;
};

// ---- our own clock ----

// Was our wall clock set since the last look? What was measured is kept against the monotonic clock
// and holds.
static bool jumped(struct clock_watch *w)
{
    int64_t base = clock_base_us(), by = base - w->base_us;
    w->base_us = base;
    if (llabs(by) < JUMP_US)
        return false;
    static struct log_limit limit = LOG_LIMIT(1000);
    log_limited(&limit, LOG_WARN,
                "replication: our wall clock was set %s by %.3f s: it is compared with the other "
                "regions' anew",
                by > 0 ? "forward" : "back", (double)llabs(by) / 1e6);
    return true;
}

// ---- asking ----

static void on_answer(void *ctx, struct fetch_result *res)
{
    struct other *o = ctx;
    struct clock_watch *w = o->w;
    int64_t now = clock_mono_us();
    lock_take(&w->lock);
    o->got_us = now;
    o->err = res->err;
    o->status = res->status;
    if (res->err || res->body.n > ANSWER_BYTES)
        o->n_body = 0;
    else
        o->n_body = res->body.n;
    if (o->n_body)
        memcpy(o->body, res->body.p, o->n_body);
    o->asked = false;
    o->handle = NULL;
    lock_wake(&w->lock);
    lock_give(&w->lock);
}

static void ask(struct other *o, const struct topology *t)
{
    struct clock_watch *w = o->w;
    struct dial d;
    int rc = peer_dial(w->o.dialer, t, o->region, "/replication/v1/clock?" SPEECH_QUERY, NULL, &d);
    d.q.connect_timeout_ms = CLOCK_ANSWER_MS;
    d.q.timeout_ms = CLOCK_ANSWER_MS;
    d.q.max_bytes = ANSWER_BYTES;
    d.q.ctx = o;
    lock_take(&w->lock); // the answer waits until the handle is known
    o->sent_us = clock_mono_us();
    if (rc)
        o->err = rc;
    else
        o->err = fetch_start(w->o.dialer->fetcher, &d.q, on_answer, &o->handle);
    o->asked = o->err == 0;
    lock_give(&w->lock);
}

// Until all answered, or had their time; a stop ends what is under way.
static void wait_answers(struct clock_watch *w)
{
    lock_take(&w->lock);
    for (size_t i = 0; i < w->n_others;) {
        struct other *o = &w->others[i];
        if (!o->asked) {
            i++;
            continue;
        }
        if (life_stopping(w->o.life) && o->handle)
            fetch_cancel(w->o.dialer->fetcher, o->handle);
        lock_wait(&w->lock, 100);
    }
    lock_give(&w->lock);
}

// The answer also says what the region speaks; if it cannot be kept now: with its next word.
static int answer_take(const struct other *o, int64_t *out_ms)
{
    unsigned speaks;
    int rc = answer_clock(bytes_of(o->body, o->n_body), out_ms, &speaks);
    if (rc)
        return rc;
    speech_heard(o->w->o.speech, o->region, speaks);
    (void)speech_keep(o->w->o.speech);
    return 0;
}

static void take_answer(struct other *o)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    int64_t wall_ms;
    o->answered = o->err == 0 && o->status == 200 && answer_take(o, &wall_ms) == 0;
    o->imprecise = o->answered && (o->got_us - o->sent_us) / 2000 >= CLOCK_ERROR_MAX_MS;
    if (o->answered)
        clock_track_add(&o->track, wall_ms, o->sent_us, o->got_us);
    else if (!o->err) // who cannot be reached, the reader of its feed says
        log_limited(&limit, LOG_WARN, "replication: %s was asked for its time and answered %d%s",
                    o->region, o->status, o->status == 404 ? ": an older version?" : "");
}

// ---- judging ----

static void view_make(const struct clock_watch *w, size_t i, int64_t now_us,
                      struct clock_other *out)
{
    const struct other *o = &w->others[i];
    *out = (struct clock_other){.region = o->region};
    out->known = clock_track_get(&o->track, now_us, w->base_us, &out->offset_ms, &out->error_ms);
    out->reached = out->known && o->answered && out->error_ms <= CLOCK_ERROR_MAX_MS;
}

// At start a region that answered too slowly to be judged by is waited for, for a few rounds.
static bool first_is_due(const struct clock_watch *w)
{
    for (size_t i = 0; i < w->n_others; i++)
        if (w->others[i].imprecise && w->n_hurries)
            return false;
    return true;
}

static void gate_set(struct clock_watch *w, enum clock_state before, const char *why)
{
    struct meta *m = w->o.meta;
    if (clock_closes(w->state)) {
        meta_gate_close(m, META_GATE_CLOCK, why);
        static struct log_limit limit = LOG_LIMIT(1000);
        if (!clock_closes(before))
            log_limited(&limit, LOG_ERROR, "replication: writes are closed: %s", why);
        w->gate_open = false;
        return;
    }
    if (w->state == CLOCK_DIFFERS && before != CLOCK_DIFFERS)
        log_warn("replication: %s", why);
    if (w->gate_open || !first_is_due(w))
        return;
    assert(!clock_closes(w->state));
    meta_gate_open(m, META_GATE_CLOCK);
    w->gate_open = true;
    if (clock_closes(before))
        log_info("replication: the clock is no longer off from the other regions': it closes "
                 "writes no more");
}

static void judge(struct clock_watch *w)
{
    struct clock_other others[CLOCK_OTHERS_MAX];
    enum clock_state before = w->state;
    int64_t now_us = clock_mono_us();
    for (size_t i = 0; i < w->n_others; i++)
        view_make(w, i, now_us, &others[i]);
    const struct clock_case c = {.n_members = w->n_members,
                                 .others = others,
                                 .n_others = w->n_others,
                                 .kernel = clock_kernel_state(),
                                 .before = before};
    w->state = clock_judge(&c);
    char why[CLOCK_SENTENCE_SIZE];
    bool compared = clock_closes(w->state) || first_is_due(w);
    clock_report_set(w->o.report, &c, w->state, compared, w->base_us, why);
    gate_set(w, before, why);
}

// ---- rounds ----

static size_t find(const struct clock_watch *w, const char *region)
{
    size_t i = 0;
    while (i < w->n_others && strcmp(w->others[i].region, region) != 0)
        i++;
    return i;
}

// One that was forgotten is none.
static bool is_member(const struct topology *t, const char *name)
{
    const struct region *r = topology_region(t, name);
    return r && !r->sealed;
}

// Who is a member now; what was measured of those that stay is kept. No question is under way.
static void members_update(struct clock_watch *w, const struct topology *t)
{
    for (size_t i = 0; i < w->n_others;)
        if (is_member(t, w->others[i].region))
            i++;
        else
            w->others[i] = w->others[--w->n_others];
    for (size_t i = 0; i < t->n_regions; i++) {
        const char *name = t->regions[i].name;
        if (strcmp(name, w->o.region) == 0 || !is_member(t, name) || find(w, name) < w->n_others ||
            w->n_others == CLOCK_OTHERS_MAX)
            continue;
        struct other *o = &w->others[w->n_others++];
        *o = (struct other){.w = w};
        snprintf(o->region, sizeof o->region, "%s", name);
    }
    assert(w->n_others <= CLOCK_OTHERS_MAX);
    w->n_members = topology_n_living(t);
}

static void round_run(struct clock_watch *w)
{
    struct topology *t = snapshot_get(w->o.topology);
    if (!t)
        return;
    members_update(w, t);
    for (size_t i = 0; i < w->n_others; i++)
        ask(&w->others[i], t);
    snapshot_unref(t);
    wait_answers(w);
    if (life_stopping(w->o.life))
        return;
    for (size_t i = 0; i < w->n_others; i++)
        take_answer(&w->others[i]);
    if (w->n_hurries)
        w->n_hurries--;
    // What was said before our clock was set may be from before another one was set with it (a
    // machine that slept).
    w->again = jumped(w) && !w->again;
    if (!w->again)
        judge(w);
}

static int64_t pause_ms(const struct clock_watch *w)
{
    int64_t ms = w->o.every_ms;
    for (size_t i = 0; i < w->n_others; i++)
        if (!w->others[i].answered && ms > CLOCK_SOON_MS)
            ms = CLOCK_SOON_MS;
    if (w->n_hurries && ms > CLOCK_HURRY_MS)
        return CLOCK_HURRY_MS;
    return ms;
}

// Returns when the next round is due, or on stop.
static void rest(struct clock_watch *w)
{
    int64_t left = pause_ms(w);
    for (; left > 0 && !life_stopping(w->o.life); left -= LOOK_MS) {
        life_sleep(w->o.life, left < LOOK_MS ? left : LOOK_MS);
        if (jumped(w)) {
            w->n_hurries = CLOCK_HURRIES;
            return;
        }
    }
}

static void *watch_main(void *arg)
{
    struct clock_watch *w = arg;
    while (!life_stopping(w->o.life)) {
        round_run(w);
        if (!w->again)
            rest(w);
    }
    return NULL;
}

int clock_watch_start(const struct clock_watch_options *o, struct clock_watch **out)
{
    struct clock_watch *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->o = *o;
    lock_init(&w->lock, LOCK_CLOCK);
    w->n_hurries = CLOCK_HURRIES;
    w->base_us = clock_base_us();
    w->gate_open = o->continues;
    if (!o->continues)
        meta_gate_close(o->meta, META_GATE_CLOCK,
                        "comparing its clock with the other regions' (start)");
    w->started = pthread_create(&w->thread, NULL, watch_main, w) == 0;
    *out = w;
    if (!w->started)
        return ERR_NOMEM;
    return 0;
}

void clock_watch_stop(struct clock_watch *w)
{
    if (!w || !w->started)
        return;
    assert(life_stopping(w->o.life));
    pthread_join(w->thread, NULL);
    w->started = false;
}

void clock_watch_free(struct clock_watch *w)
{
    if (!w)
        return;
    lock_done(&w->lock);
    free(w);
}
