// SPDX-License-Identifier: Apache-2.0
// The thread that compares clocks; see clock_watch.h. Answers come in on the fetcher's thread and
// are only noted there. r->lock guards what both touch (the part of struct other that is said so)
// and the report that others read.
#include "replication/clock_watch.h"

#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/clock_rule.h"
#include "replication/clock_track.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 500      // at our own clock
#define JUMP_US 100000   // it was set, by at least so much; steering moves it by less in LOOK_MS
#define ANSWER_BYTES 256 // of a peer's answer
#define OTHERS_MAX (TOPOLOGY_MAX_REGIONS - 1)

struct other { // another member
    struct clock_watch *w;
    char region[HOSTNAME_REGION_SIZE];
    struct clock_track track;
    // in the last round
    bool answered;
    bool imprecise;

    // Of the question under way; under r->lock.
    bool asked;
    struct fetch *handle;
    int64_t sent_us, got_us;
    int err, status;
    size_t n_body;
    char body[ANSWER_BYTES];
};

struct report { // what is known, for others to read; under r->lock
    enum clock_state state;
    enum clock_kernel kernel;
    bool vouched, compared, far;
    size_t n_members;
    char sentence[CLOCK_SENTENCE_SIZE];
    size_t n;
    struct clock_other others[OTHERS_MAX];
    char regions[OTHERS_MAX][HOSTNAME_REGION_SIZE];
};

struct clock_watch {
    struct replicator *r;
    pthread_t thread;
    struct other others[OTHERS_MAX];
    size_t n_others, n_members;
    // our wall clock less the monotonic one, when it was looked at last
    int64_t base_us;
    // rounds to come without the usual pause
    unsigned n_hurries;
    // the last round was not judged by: our clock was set while it ran
    bool again;
    bool gate_open;
    enum clock_state state;
    struct report report;
};

// ---- our own clock ----

// Wall less monotonic. Read again when the thread was held up in between, which would shift it.
static int64_t base_read(void)
{
    int64_t before, wall_ms, after;
    int tries = 0;
    do {
        before = clock_mono_us();
        wall_ms = clock_wall_ms();
        after = clock_mono_us();
    } while (after - before > 1000 && ++tries < 10);
    return wall_ms * 1000 + 500 - (before + (after - before) / 2);
}

// Was our wall clock set since the last look? What was measured is kept against the monotonic clock
// and holds.
static bool jumped(struct clock_watch *w)
{
    int64_t base = base_read(), by = base - w->base_us;
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
    struct replicator *r = o->w->r;
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&r->lock);
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
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void ask(struct other *o, const struct topology *t)
{
    struct replicator *r = o->w->r;
    struct dial d;
    int rc = peer_dial(r, t, o->region, "/replication/v1/clock", NULL, &d);
    d.q.connect_timeout_ms = CLOCK_ANSWER_MS;
    d.q.timeout_ms = CLOCK_ANSWER_MS;
    d.q.max_bytes = ANSWER_BYTES;
    d.q.ctx = o;
    pthread_mutex_lock(&r->lock); // the answer waits until the handle is known
    o->sent_us = clock_mono_us();
    if (rc)
        o->err = rc;
    else
        o->err = fetch_start(r->o.fetcher, &d.q, on_answer, &o->handle);
    o->asked = o->err == 0;
    pthread_mutex_unlock(&r->lock);
}

// Until all answered, or had their time; a stop ends what is under way.
static void wait_answers(struct clock_watch *w)
{
    struct replicator *r = w->r;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < w->n_others;) {
        struct other *o = &w->others[i];
        if (!o->asked) {
            i++;
            continue;
        }
        if (r->stopping && o->handle)
            fetch_cancel(r->o.fetcher, o->handle);
        wait_cond(&r->changed, &r->lock, 100);
    }
    pthread_mutex_unlock(&r->lock);
}

static int wall_parse(const struct other *o, int64_t *out_ms)
{
    json_t *doc = json_loadb(o->body, o->n_body, JSON_REJECT_DUPLICATES, NULL);
    const json_t *wall = json_object_get(doc, "wallMs");
    int64_t ms = -1;
    if (json_is_integer(wall))
        ms = json_integer_value(wall);
    json_decref(doc);
    if (ms < 0 || ms > CLOCK_WALL_MAX_MS)
        return ERR_PROTO;
    *out_ms = ms;
    return 0;
}

static void take_answer(struct other *o)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    int64_t wall_ms;
    o->answered = o->err == 0 && o->status == 200 && wall_parse(o, &wall_ms) == 0;
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

static void publish(struct clock_watch *w, const struct clock_case *c)
{
    struct report *p = &w->report;
    pthread_mutex_lock(&w->r->lock);
    p->state = w->state;
    p->kernel = c->kernel;
    p->vouched = clock_vouched(c, w->state);
    p->far = clock_far(c, w->state);
    p->compared |= clock_closes(w->state) || first_is_due(w);
    p->n_members = c->n_members;
    clock_sentence(c, w->state, p->sentence);
    p->n = c->n_others;
    for (size_t i = 0; i < p->n; i++) {
        memcpy(p->regions[i], w->others[i].region, sizeof p->regions[i]);
        p->others[i] = c->others[i];
        p->others[i].region = p->regions[i];
    }
    pthread_mutex_unlock(&w->r->lock);
}

static void gate_set(struct clock_watch *w, enum clock_state before)
{
    const char *why = w->report.sentence; // only this thread writes it
    struct meta *m = w->r->o.meta;
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
    meta_gate_open(m, META_GATE_CLOCK);
    w->gate_open = true;
    if (clock_closes(before))
        log_info("replication: the clock is no longer off from the other regions': it closes "
                 "writes no more");
}

static void judge(struct clock_watch *w)
{
    struct clock_other others[OTHERS_MAX];
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
    publish(w, &c);
    gate_set(w, before);
}

// ---- rounds ----

static size_t find(const struct clock_watch *w, const char *region)
{
    size_t i = 0;
    while (i < w->n_others && strcmp(w->others[i].region, region) != 0)
        i++;
    return i;
}

// Who is a member now; what was measured of those that stay is kept. No question is under way.
static void members_update(struct clock_watch *w, const struct topology *t)
{
    for (size_t i = 0; i < w->n_others;)
        if (topology_region(t, w->others[i].region))
            i++;
        else
            w->others[i] = w->others[--w->n_others];
    for (size_t i = 0; i < t->n_regions; i++) {
        const char *name = t->regions[i].name;
        if (strcmp(name, w->r->o.region) == 0 || find(w, name) < w->n_others ||
            w->n_others == OTHERS_MAX)
            continue;
        struct other *o = &w->others[w->n_others++];
        *o = (struct other){.w = w};
        snprintf(o->region, sizeof o->region, "%s", name);
    }
    w->n_members = t->n_regions;
}

static void round_run(struct clock_watch *w)
{
    struct topology *t = snapshot_get(w->r->o.topology);
    if (!t)
        return;
    members_update(w, t);
    for (size_t i = 0; i < w->n_others; i++)
        ask(&w->others[i], t);
    snapshot_unref(t);
    wait_answers(w);
    if (w->r->stopping)
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
    int64_t ms = w->r->o.clock_every_ms;
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
    for (; left > 0 && !w->r->stopping; left -= LOOK_MS) {
        replicator_sleep(w->r, left < LOOK_MS ? left : LOOK_MS);
        if (jumped(w)) {
            w->n_hurries = CLOCK_HURRIES;
            return;
        }
    }
}

static void *watch_main(void *arg)
{
    struct clock_watch *w = arg;
    while (!w->r->stopping) {
        round_run(w);
        if (!w->again)
            rest(w);
    }
    return NULL;
}

int clock_watch_start(struct replicator *r, struct clock_watch **out)
{
    struct clock_watch *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->r = r;
    w->n_hurries = CLOCK_HURRIES;
    w->base_us = base_read();
    if (!r->o.continues)
        meta_gate_close(r->o.meta, META_GATE_CLOCK,
                        "comparing its clock with the other regions' (start)");
    w->gate_open = r->o.continues;
    if (pthread_create(&w->thread, NULL, watch_main, w)) {
        free(w);
        return ERR_NOMEM;
    }
    *out = w;
    return 0;
}

void clock_watch_stop(struct clock_watch *w)
{
    if (!w)
        return;
    assert(w->r->stopping);
    pthread_join(w->thread, NULL);
}

// ---- what others see ----

void *clock_watch_json(struct clock_watch *w)
{
    pthread_mutex_lock(&w->r->lock);
    struct report p = w->report;
    pthread_mutex_unlock(&w->r->lock);
    json_t *regions = json_object();
    for (size_t i = 0; regions && i < p.n; i++) {
        const struct clock_other *o = &p.others[i];
        json_t *one = json_pack("{s:b, s:o, s:o}", "reached", o->reached, "offsetMs",
                                o->known ? json_integer(o->offset_ms) : json_null(), "errorMs",
                                o->known ? json_integer(o->error_ms) : json_null());
        if (json_object_set_new(regions, p.regions[i], one)) {
            json_decref(regions);
            return NULL;
        }
    }
    return json_pack("{s:s, s:s, s:s?, s:o}", "state", clock_state_name(p.state), "kernel",
                     clock_kernel_name(p.kernel), "why", p.sentence[0] ? p.sentence : NULL,
                     "regions", regions);
}

bool clock_watch_vouched(struct clock_watch *w)
{
    pthread_mutex_lock(&w->r->lock);
    bool vouched = w->report.vouched;
    pthread_mutex_unlock(&w->r->lock);
    return vouched;
}

// As it was judged last. Borrows from the report.
static struct clock_case case_of(const struct report *p)
{
    return (struct clock_case){
        .n_members = p->n_members, .others = p->others, .n_others = p->n, .kernel = p->kernel};
}

void clock_watch_opinion(struct clock_watch *w, struct clock_opinion *out)
{
    pthread_mutex_lock(&w->r->lock);
    const struct report *p = &w->report;
    const struct clock_case c = case_of(p);
    out->compared = p->compared;
    out->far = p->far;
    out->closes = clock_closes(p->state);
    memcpy(out->ours, p->sentence, sizeof out->ours);
    clock_far_peers(&c, p->state, out->others);
    pthread_mutex_unlock(&w->r->lock);
}

void clock_watch_suspect(struct clock_watch *w, const char *region, char out[CLOCK_SENTENCE_SIZE])
{
    pthread_mutex_lock(&w->r->lock);
    const struct clock_case c = case_of(&w->report);
    clock_suspect(&c, w->report.state, region, out);
    pthread_mutex_unlock(&w->r->lock);
}

bool clock_watch_offset(struct clock_watch *w, const char *region, int64_t *out_offset_ms,
                        int64_t *out_error_ms)
{
    bool known = false;
    pthread_mutex_lock(&w->r->lock);
    for (size_t i = 0; i < w->report.n && !known; i++) {
        const struct clock_other *o = &w->report.others[i];
        if (!o->known || strcmp(o->region, region) != 0)
            continue;
        known = true;
        *out_offset_ms = o->offset_ms;
        *out_error_ms = o->error_ms;
    }
    pthread_mutex_unlock(&w->r->lock);
    return known;
}

static void write_offsets(const struct report *p, struct buf *b)
{
    exposition_family(b, "meridian_clock_offset_seconds", "gauge",
                      "Another region's wall clock less ours.");
    for (size_t i = 0; i < p->n; i++) {
        if (!p->others[i].known)
            continue;
        exposition_begin(b, "meridian_clock_offset_seconds");
        exposition_label(b, "region", p->regions[i]);
        exposition_value(b, (double)p->others[i].offset_ms / 1000);
    }
    exposition_family(b, "meridian_clock_error_seconds", "gauge",
                      "How far that offset may be off either way.");
    for (size_t i = 0; i < p->n; i++) {
        if (!p->others[i].known)
            continue;
        exposition_begin(b, "meridian_clock_error_seconds");
        exposition_label(b, "region", p->regions[i]);
        exposition_value(b, (double)p->others[i].error_ms / 1000);
    }
    exposition_family(b, "meridian_clock_reached", "gauge",
                      "Its clock could be compared with ours the last time.");
    for (size_t i = 0; i < p->n; i++) {
        exposition_begin(b, "meridian_clock_reached");
        exposition_label(b, "region", p->regions[i]);
        exposition_value(b, p->others[i].reached);
    }
}

void clock_watch_metrics(struct clock_watch *w, struct buf *out)
{
    pthread_mutex_lock(&w->r->lock);
    struct report p = w->report;
    pthread_mutex_unlock(&w->r->lock);
    write_offsets(&p, out);
    exposition_family(out, "meridian_clock_state", "gauge",
                      "1 for the state that our clock is in.");
    for (int s = CLOCK_FINE; s <= CLOCK_UNSYNCHRONISED; s++) {
        exposition_begin(out, "meridian_clock_state");
        exposition_label(out, "state", clock_state_name((enum clock_state)s));
        exposition_value(out, p.state == (enum clock_state)s);
    }
    exposition_single(out, "meridian_clock_kernel_synchronised", "gauge",
                      "The kernel says so of our clock.", p.kernel == CLOCK_KERNEL_SYNCHRONISED);
}

void clock_serve(struct replicator *r, struct http_request *req, struct http_response *resp)
{
    json_t *doc =
        json_pack("{s:s, s:I}", "region", r->o.region, "wallMs", (json_int_t)clock_wall_ms());
    if (!doc || http_response_json(req, resp, 200, doc))
        serve_refuse(req, resp, 503, "no memory for the time");
}
