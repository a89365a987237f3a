// SPDX-License-Identifier: Apache-2.0
// The control feed, as it is served to other regions. A request is looked at on the pool: when there
// is something for the reader, it is answered at once. Else it waits as a suspended response, and holds
// no thread: the carrier, a thread of its own, is told of each advance and each beat, reads what is new
// for all who wait, and wakes them. At the writer the carrier also makes the beats.
//
// Invariants
//   1. A poll is answered once: with entries, with a beat, or with nothing when its time is up.
//   2. The list holds polls that are not answered. It and the response hold a reference each.
#include "fleet/fleet_priv.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "control/feed.h"
#include "net/refuse.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (4u << 20) // of entries in one answer, but for one that is larger
#define BODY_BYTES (CONTROL_ENTRY_MAX_BYTES + READ_BYTES + BEAT_LINE_MAX)
#define WAIT_MAX_MS 30000
// A region has two lanes, and in a restart two processes. More is nothing that ours do.
#define POLLS_PER_REGION 8
#define BASES_AT_ONCE 2 // a large one is held in memory until it is sent
#define CONTENT_TYPE "application/x-ndjson"

struct poll {
    struct fleet *fl;
    // who asks
    char region[HOSTNAME_REGION_SIZE];
    // it is a base, which is there as a whole from the start
    bool is_base;
    struct http_stream *handle;
    // where the reader is, and the time of the last beat that it has
    struct control_place after;
    int64_t beat_ms;
    // what the reader wants to see in the writer's answer, if it does
    bool has_nonce;
    uint8_t nonce[BEAT_NONCE_BYTES];
    // mono; it is answered then, whatever there is
    int64_t until_ms;
    // Under carry_lock
    struct buf body;
    size_t at;
    bool answered, closed;
    unsigned refs;
    struct poll *next;
};

// Under carry_lock. True: the caller frees it, without the lock.
static bool poll_drop(struct poll *p)
{
    assert(p->refs);
    return --p->refs == 0;
}

static void poll_free(struct poll *p)
{
    http_stream_unref(p->handle);
    buf_done(&p->body);
    free(p);
}

// ---- the response: on HTTP threads ----

static ssize_t poll_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)s;
    struct poll *p = ctx;
    ssize_t got = 0;
    pthread_mutex_lock(&p->fl->carry_lock);
    if (p->answered) {
        size_t n = p->body.n - p->at;
        if (n > cap)
            n = cap;
        if (n)
            memcpy(to, p->body.p + p->at, n);
        p->at += n;
        got = HTTP_STREAM_END;
        if (n)
            got = (ssize_t)n;
    }
    pthread_mutex_unlock(&p->fl->carry_lock);
    return got;
}

static void poll_close(void *ctx)
{
    struct poll *p = ctx;
    struct fleet *fl = p->fl;
    pthread_mutex_lock(&fl->carry_lock);
    p->closed = true;
    if (p->is_base)
        fl->n_bases--;
    bool last = poll_drop(p);
    pthread_mutex_unlock(&fl->carry_lock);
    if (last)
        poll_free(p);
}

static const struct http_stream_ops poll_ops = {.read = poll_read, .close = poll_close};

// ---- what there is for a reader ----

// ERR_GONE, ERR_CONFLICT: it is told so. Appends nothing when there is nothing.
static int gather(struct fleet *fl, const struct poll *p, bool time_up, struct buf *out)
{
    struct beat b;
    int rc = control_feed_read(fl->o.feed, &p->after, READ_BYTES, out);
    if (rc)
        return rc;
    if (!fleet_beat_get(fl, &b))
        return 0;
    // a beat that is not later is told too in the end: a clock may have been set back
    bool told = b.time_ms > p->beat_ms || (time_up && b.time_ms != p->beat_ms);
    if (told && p->has_nonce)
        (void)fleet_beat_answer(fl, p->nonce, &b);
    if (told)
        beat_format(&b, out);
    return out->err;
}

// ---- the request: on the pool ----

static int64_t number_of(struct http_request *req, const char *key, int64_t max)
{
    const char *text = http_query_get(req, key, 0);
    char *end;
    if (!text)
        return 0;
    long long n = strtoll(text, &end, 10);
    if (*end || end == text || n < 0)
        return 0;
    if (n > max)
        return max;
    return n;
}

static void refuse_read(struct http_request *req, struct http_response *resp, int rc)
{
    if (rc == ERR_GONE)
        serve_refuse(req, resp, 410, "what follows that place is not kept here: read the base");
    else if (rc == ERR_CONFLICT)
        serve_refuse(req, resp, 409, "that place is not in the log of this region");
    else
        serve_refuse(req, resp, 503, err_text(rc));
}

// Under carry_lock.
static size_t polls_of(const struct fleet *fl, const char *region)
{
    size_t n = 0;
    for (const struct poll *p = fl->polls; p; p = p->next)
        n += !p->closed && strcmp(p->region, region) == 0;
    return n;
}

// `q`: what is asked, and by whom.
static int poll_new(struct fleet *fl, const struct poll *q, struct http_response *resp)
{
    pthread_mutex_lock(&fl->carry_lock);
    size_t n = polls_of(fl, q->region);
    pthread_mutex_unlock(&fl->carry_lock);
    if (n >= POLLS_PER_REGION)
        return ERR_BUSY;
    struct poll *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    *p = *q;
    p->fl = fl;
    p->refs = 2;
    buf_init(&p->body, BODY_BYTES);
    int rc = http_response_stream(resp, 200, CONTENT_TYPE, &poll_ops, p, &p->handle);
    if (rc) {
        free(p);
        return rc;
    }
    pthread_mutex_lock(&fl->carry_lock);
    p->next = fl->polls;
    fl->polls = p;
    fl->carry_due = true; // there may have come something since it was looked at
    pthread_cond_signal(&fl->carry_wake);
    pthread_mutex_unlock(&fl->carry_lock);
    return 0;
}

void fleet_feed_run(struct http_request *req, struct http_response *resp)
{
    const struct peer_call *call = req->ctx;
    struct fleet *fl = call->fl;
    const char *text = http_query_get(req, "after", 0), *nonce = http_query_get(req, "nonce", 0);
    struct poll q = {.beat_ms = number_of(req, "beat", INT64_MAX)};
    if (!text || control_place_parse(text, strlen(text), &q.after)) {
        serve_refuse(req, resp, 400, "give after=EPOCH:SEQUENCE:HASH, the last entry you stored");
        return;
    }
    fleet_heard(fl, call->region, &q.after);
    snprintf(q.region, sizeof q.region, "%s", call->region);
    q.has_nonce = nonce && hex_parse(nonce, strlen(nonce), q.nonce, sizeof q.nonce) == 0;
    int64_t wait_ms = number_of(req, "wait_ms", WAIT_MAX_MS);
    q.until_ms = clock_mono_ms() + wait_ms;
    AUTO_BUF struct buf body;
    buf_init(&body, BODY_BYTES);
    int rc = gather(fl, &q, wait_ms == 0, &body);
    if (rc) {
        refuse_read(req, resp, rc);
        return;
    }
    if (body.n || wait_ms == 0 || atomic_load(&fl->stopping))
        rc = fleet_answer_text(resp, CONTENT_TYPE, &body);
    else
        rc = poll_new(fl, &q, resp);
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
}

// The response holds it alone. Takes the text over.
static int base_answer(struct fleet *fl, struct buf *base, struct http_response *resp)
{
    struct poll *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    *p = (struct poll){.fl = fl, .is_base = true, .answered = true, .refs = 1};
    int rc = http_response_stream(resp, 200, CONTENT_TYPE, &poll_ops, p, &p->handle);
    if (rc) {
        free(p);
        return rc;
    }
    p->body = *base;
    memset(base, 0, sizeof *base);
    return 0;
}

static bool base_begin(struct fleet *fl)
{
    pthread_mutex_lock(&fl->carry_lock);
    bool room = fl->n_bases < BASES_AT_ONCE;
    fl->n_bases += room;
    pthread_mutex_unlock(&fl->carry_lock);
    return room;
}

static void base_end(struct fleet *fl)
{
    pthread_mutex_lock(&fl->carry_lock);
    fl->n_bases--;
    pthread_mutex_unlock(&fl->carry_lock);
}

void fleet_base_run(struct http_request *req, struct http_response *resp)
{
    const struct peer_call *call = req->ctx;
    struct fleet *fl = call->fl;
    if (!base_begin(fl)) {
        serve_refuse(req, resp, 503, "other regions are being sent the whole state: try again");
        return;
    }
    AUTO_BUF struct buf base;
    buf_init(&base, FLEET_BASE_MAX_BYTES);
    int rc = control_feed_base_write(fl->o.feed, &base);
    if (!rc)
        rc = base_answer(fl, &base, resp);
    if (!rc)
        return;
    base_end(fl);
    serve_refuse(req, resp, 503, err_text(rc));
}

// ---- the carrier ----

void fleet_carrier_poke(void *fleet)
{
    struct fleet *fl = fleet;
    pthread_mutex_lock(&fl->carry_lock);
    fl->carry_due = true;
    pthread_cond_signal(&fl->carry_wake);
    pthread_mutex_unlock(&fl->carry_lock);
}

static bool is_closed(struct poll *p)
{
    pthread_mutex_lock(&p->fl->carry_lock);
    bool closed = p->closed;
    pthread_mutex_unlock(&p->fl->carry_lock);
    return closed;
}

// Answers it, if there is something. True: it was, or nobody waits for it any more. The caller is
// alone with the list.
static bool poll_serve(struct poll *p, const struct control_place *own, const struct beat *beat)
{
    struct fleet *fl = p->fl;
    bool over = clock_mono_ms() >= p->until_ms || atomic_load(&fl->stopping);
    bool news = control_place_compare(own, &p->after) > 0 || beat->time_ms > p->beat_ms;
    if (!over && !news)
        return is_closed(p);
    AUTO_BUF struct buf body;
    buf_init(&body, BODY_BYTES);
    // whatever went wrong is said to the reader's next request
    int rc = gather(fl, p, over, &body);
    if (!rc && !body.n && !over)
        return is_closed(p);
    pthread_mutex_lock(&fl->carry_lock);
    if (!rc) {
        struct buf empty = p->body;
        p->body = body;
        body = empty;
    }
    p->answered = true;
    pthread_mutex_unlock(&fl->carry_lock);
    http_stream_wake(p->handle);
    return true;
}

// Takes the list, serves it without a lock, and puts back who still waits.
static void polls_serve(struct fleet *fl)
{
    struct heard_own own;
    struct beat beat = {.time_ms = 0};
    fleet_own_get(fl, &own);
    (void)fleet_beat_get(fl, &beat);
    pthread_mutex_lock(&fl->carry_lock);
    struct poll *list = take_ptr(fl->polls), *rest = NULL;
    pthread_mutex_unlock(&fl->carry_lock);
    while (list) {
        struct poll *p = list;
        list = p->next;
        if (!poll_serve(p, &own.place, &beat)) {
            p->next = rest;
            rest = p;
            continue;
        }
        pthread_mutex_lock(&fl->carry_lock);
        bool last = poll_drop(p);
        pthread_mutex_unlock(&fl->carry_lock);
        if (last)
            poll_free(p);
    }
    pthread_mutex_lock(&fl->carry_lock);
    while (rest) {
        struct poll *p = rest;
        rest = p->next;
        p->next = fl->polls;
        fl->polls = p;
    }
    pthread_mutex_unlock(&fl->carry_lock);
}

// False: there is none to make now.
static bool beat_make(struct fleet *fl)
{
    struct control_view v;
    struct beat b;
    control_feed_view(fl->o.feed, &v);
    static struct log_limit lim = LOG_LIMIT(60000);
    bool due = v.we_write && v.confirmed;
    int rc = 0;
    if (due)
        rc = beat_sign(fl->o.keys, &v.place, clock_wall_ms(), &b);
    control_view_done(&v);
    if (rc)
        log_limited(&lim, LOG_ERROR,
                    "fleet: this region writes the control feed and cannot sign with its control "
                    "key: %s",
                    err_text(rc));
    else if (due)
        (void)fleet_beat_take(fl, &b, clock_mono_ms());
    return due;
}

static void carrier_wait(struct fleet *fl)
{
    pthread_mutex_lock(&fl->carry_lock);
    if (!fl->carry_due && !atomic_load(&fl->stopping))
        wait_cond(&fl->carry_wake, &fl->carry_lock, FLEET_LOOK_MS);
    fl->carry_due = false;
    pthread_mutex_unlock(&fl->carry_lock);
}

void fleet_polls_drop(struct fleet *fl)
{
    while (fl->polls) {
        struct poll *p = fl->polls;
        fl->polls = p->next;
        if (poll_drop(p)) // the servers have ended: nothing else holds it
            poll_free(p);
    }
}

void *fleet_carrier_main(void *fleet)
{
    struct fleet *fl = fleet;
    int64_t beat_at = 0;
    while (!atomic_load(&fl->stopping)) {
        carrier_wait(fl);
        fleet_advanced(fl);
        fleet_confirm_look(fl);
        fleet_lanes_look(fl);
        if (clock_mono_ms() >= beat_at && beat_make(fl))
            beat_at = clock_mono_ms() + fl->o.beat_ms;
        polls_serve(fl);
    }
    polls_serve(fl); // all are answered now
    return NULL;
}
