// SPDX-License-Identifier: Apache-2.0
// Reading the control feed from other regions, one poll after the other. Two lanes, a thread each.
// Lane 0 reads from the writer region, and from nobody where this region is the writer. Lane 1 reads
// from the others in turn while no beat has come for a while, and from a region that says that it has
// more than we: so a change gets around a way that is cut, a takeover reaches those that still follow
// the old writer, and a writer whose disk was restored takes back what it had written.
//
// A poll says where this node is, and so is its word that it stored that far. What comes is judged and
// stored by the feed (control/feed.h), whoever relays it.
#include "fleet/fleet_priv.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/wait.h"
#include "config/topology_control.h"
#include "control/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define POLL_IDLE_MS 5000  // it is given up when nothing comes for so long
#define BASE_IDLE_MS 20000 // a large one is made first
// From others than the writer: also when something comes, and no end. One that sends without end
// keeps nobody from being read.
#define POLL_WHOLE_MS 60000
#define BASE_WHOLE_MS 600000
// A beat is as old as the poll that it answers, which waited for it; the next one is asked for then.
#define LATE_BEATS 3
#define RETRY_MS 100
#define RETRY_MAX_MS 1500
#define ANSWER_BYTES (2 * (size_t)CONTROL_ENTRY_MAX_BYTES)

// ---- what comes ----

static void lane_failed(struct lane *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void lane_failed(struct lane *l, const char *fmt, ...)
{
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    l->failures++;
    struct fleet *fl = l->fl;
    pthread_mutex_lock(&fl->lock);
    fl->words.n_lane_failures++;
    snprintf(fl->words.lane_why, sizeof fl->words.lane_why, "%s", why);
    pthread_mutex_unlock(&fl->lock);
    static struct log_limit lim = LOG_LIMIT(10000);
    if (l->failures > 1) // once is a restart, a reload
        log_limited(&lim, LOG_WARN, "fleet: the control feed cannot be read from %s: %s", l->from,
                    why);
}

static int take_failed(struct lane *l, int rc, const struct diag *d, const char *what)
{
    const char *why = err_text(rc);
    if (d->n)
        why = d->lines[0];
    lane_failed(l, "%s is not taken: %s", what, why);
    return rc;
}

// The last line is a beat, or not. *lines is what stands before it.
static bool cut_beat(struct bytes *lines, struct bytes *out_beat)
{
    static const char begin[] = "{\"beat\"";
    if (!lines->n || lines->p[lines->n - 1] != '\n')
        return false;
    const uint8_t *last = memrchr(lines->p, '\n', lines->n - 1);
    if (last)
        last++;
    else
        last = lines->p;
    size_t n = (size_t)(lines->p + lines->n - last);
    if (n < sizeof begin || memcmp(last, begin, sizeof begin - 1) != 0)
        return false;
    *out_beat = bytes_of(last, n);
    lines->n -= n;
    return true;
}

static int fetch_base(struct lane *l, const struct topology *t);

static int take_lines(struct lane *l, const struct topology *t, struct bytes lines)
{
    struct fleet *fl = l->fl;
    struct diag d;
    size_t n = 0;
    if (!lines.n)
        return 0;
    diag_init(&d);
    int rc = control_feed_take(fl->o.feed, lines, &d, &n);
    if (n) {
        pthread_mutex_lock(&fl->lock);
        fl->words.n_taken += n;
        pthread_mutex_unlock(&fl->lock);
    }
    if (rc && rc != ERR_GAP)
        take_failed(l, rc, &d, "what it sends");
    diag_done(&d);
    if (rc == ERR_GAP)
        return fetch_base(l, t);
    return rc;
}

// When it was asked for, if it is the writer's answer to that; else 0: it may be from any time.
static int64_t asked_for(const struct lane *l, const struct topology *t, const struct beat *b)
{
    if (!t || beat_answers(b, l->nonce, t))
        return 0;
    return l->asked_ms;
}

static int take_beat(struct lane *l, struct bytes line)
{
    struct beat b;
    int rc = beat_parse(line, &b);
    // as it is after the entries that came with it
    struct topology *t = snapshot_get(l->fl->o.topology);
    if (!rc)
        rc = fleet_beat_take(l->fl, &b, asked_for(l, t, &b));
    snapshot_unref(t);
    l->news = rc == 0;
    if (rc == ERR_EXISTS)
        return 0; // by another way already
    // of a writer that is none, or not any more: its region does not know yet
    if (rc)
        lane_failed(l, "its beat does not count: %s", err_text(rc));
    return rc;
}

static int take_answer(struct lane *l, const struct topology *t, struct bytes body)
{
    struct bytes beat = {0};
    bool beats = cut_beat(&body, &beat);
    int rc = take_lines(l, t, body);
    if (!rc && beats)
        rc = take_beat(l, beat);
    if (!rc)
        fleet_advanced(l->fl);
    return rc;
}

// ---- asking ----

// While this node was away a region may have gone over to a certificate that the topology here does
// not name (fleet/peer_roll.h), and nobody else may be left who could say so. What is read here is
// the writer's word or the root key's, whoever relays it, and the question holds no secret; so a node
// that has heard nothing for a while reads from such a region too, if the CA and the name are right.
// Nothing else is believed or given by that certificate.
static bool reads_unnamed(struct lane *l, const struct topology *t, int rc)
{
    const struct region *r = topology_region(t, l->from);
    if (rc != ERR_DENIED || !r || !r->n_peer_fingerprints ||
        fleet_stale_ms(l->fl) < FLEET_UNNAMED_AFTER_MS)
        return false;
    static struct log_limit lim = LOG_LIMIT(10000);
    log_limited(
        &lim, LOG_WARN,
        "fleet: %s shows a certificate that the topology here does not name, and nothing "
        "was heard of the writer lately: the control feed is read from it, and nothing else",
        l->from);
    return true;
}

static int lane_fetch(struct lane *l, const struct topology *t, const char *target,
                      uint32_t idle_ms, uint32_t whole_ms, size_t max_bytes,
                      struct fetch_result *out)
{
    struct fleet_call call;
    memset(out, 0, sizeof *out);
    int rc = fleet_call_make(&l->fl->caller, t, l->from, target, &call);
    if (rc) {
        lane_failed(l, "%s", err_text(rc));
        return rc;
    }
    call.q.idle_timeout_ms = idle_ms;
    if (l->index)
        call.q.timeout_ms = whole_ms;
    call.q.max_bytes = max_bytes;
    call.q.stop = &l->give_up;
    rc = fetch_run(l->fl->o.fetcher, &call.q, out);
    if (reads_unnamed(l, t, rc)) {
        fetch_result_done(out);
        memset(out, 0, sizeof *out);
        call.q.pinned = false;
        call.q.fresh_connection = true;
        rc = fetch_run(l->fl->o.fetcher, &call.q, out);
    }
    if (rc && rc != ERR_CANCELED)
        lane_failed(l, "%s", *out->message ? out->message : err_text(rc));
    return rc;
}

// Does what came say what that region has? Else nobody answered, or what is wrong is wrong here.
static bool is_verdict(const struct lane *l, int rc)
{
    switch (rc) {
    case 0:
    case ERR_AUTH:
    case ERR_CONFLICT:
    case ERR_CORRUPT:
    case ERR_EXISTS:
    case ERR_INVAL:
        return l->answered;
    default:
        return false;
    }
}

static int take_base(struct lane *l, struct bytes base)
{
    struct heard_own before, own;
    struct diag d;
    diag_init(&d);
    fleet_own_get(l->fl, &before);
    int rc = control_feed_base_take(l->fl->o.feed, base, &d);
    if (rc)
        take_failed(l, rc, &d, "the whole state");
    diag_done(&d);
    fleet_own_get(l->fl, &own);
    // when the other lane was quicker, nothing is wrong with it
    if (rc && is_verdict(l, rc) && control_place_same(&before.place, &own.place)) {
        pthread_mutex_lock(&l->fl->lock);
        heard_base_refused(&l->fl->words.heard, l->from, clock_mono_ms());
        pthread_mutex_unlock(&l->fl->lock);
    }
    return rc;
}

static bool base_rests(struct lane *l)
{
    pthread_mutex_lock(&l->fl->lock);
    bool rests = heard_base_rests(&l->fl->words.heard, l->from, clock_mono_ms());
    pthread_mutex_unlock(&l->fl->lock);
    return rests;
}

static int fetch_base(struct lane *l, const struct topology *t)
{
    struct fetch_result r;
    l->answered = false;
    if (base_rests(l)) {
        lane_failed(l, "the whole state that it sent was refused: it is not read again so soon");
        return ERR_BUSY;
    }
    log_info("fleet: this node is too far behind for single changes: the whole state is read from "
             "%s",
             l->from);
    int rc =
        lane_fetch(l, t, FLEET_BASE_PATH, BASE_IDLE_MS, BASE_WHOLE_MS, FLEET_BASE_MAX_BYTES, &r);
    if (!rc && r.status != 200) {
        lane_failed(l, "it was asked for the whole state and answered with status %d", r.status);
        rc = ERR_PROTO;
    }
    if (!rc) {
        l->answered = true;
        rc = take_base(l, bytes_of((const uint8_t *)r.body.p, r.body.n));
    }
    fetch_result_done(&r);
    if (!rc)
        fleet_advanced(l->fl);
    return rc;
}

static int judge_status(struct lane *l, const struct topology *t, int status)
{
    if (status == 410)
        return fetch_base(l, t);
    if (status == 409)
        lane_failed(l, "its log is another one than ours");
    else if (status == 404)
        lane_failed(l,
                    "it does not carry the control feed: files are its source, or its release is "
                    "older");
    else
        lane_failed(l, "it answered with status %d", status);
    return ERR_PROTO;
}

static bool has_entries(struct bytes body)
{
    struct bytes beat;
    (void)cut_beat(&body, &beat);
    return body.n > 0;
}

// What is stored here is what it was, and entries came, or nothing new and at once: the same would be
// sent again, without rest.
static bool stands(struct lane *l, const struct control_place *before, struct bytes body,
                   uint32_t wait_ms)
{
    struct heard_own own;
    fleet_own_get(l->fl, &own);
    if (!control_place_same(&own.place, before))
        return false;
    bool at_once = wait_ms && clock_mono_ms() - l->asked_ms < RETRY_MS;
    return has_entries(body) || (!l->news && at_once);
}

static bool disk_takes_nothing(struct lane *l)
{
    struct heard_own own;
    fleet_own_get(l->fl, &own);
    return control_place_compare(&own.applied, &own.place) > 0;
}

// One poll. 0: it was answered, maybe with nothing. ERR_BUSY: with entries, and the disk takes none.
static int lane_poll(struct lane *l, uint32_t wait_ms)
{
    struct fleet *fl = l->fl;
    char target[CONTROL_PLACE_TEXT_SIZE + 192], at[CONTROL_PLACE_TEXT_SIZE],
        nonce[2 * BEAT_NONCE_BYTES + 1];
    struct heard_own own;
    struct beat b = {.time_ms = 0};
    struct fetch_result r;
    fleet_own_get(fl, &own);
    (void)fleet_beat_get(fl, &b);
    l->answered = l->news = false;
    if (random_bytes(l->nonce, sizeof l->nonce)) {
        lane_failed(l, "the system gives no random bytes");
        return ERR_CRYPTO;
    }
    hex_format(l->nonce, sizeof l->nonce, nonce);
    snprintf(target, sizeof target,
             FLEET_FEED_PATH "?after=%s&beat=%" PRId64 "&nonce=%s&wait_ms=%u",
             control_place_format(&own.place, at), b.time_ms, nonce, wait_ms);
    l->asked_ms = clock_mono_ms();
    struct topology *t = snapshot_get(fl->o.topology);
    bool pauses = false;
    int rc = lane_fetch(l, t, target, POLL_IDLE_MS, POLL_WHOLE_MS, ANSWER_BYTES, &r);
    if (!rc && r.status != 200) {
        rc = judge_status(l, t, r.status);
    } else if (!rc) {
        const struct bytes body = bytes_of((const uint8_t *)r.body.p, r.body.n);
        l->answered = true;
        rc = take_answer(l, t, body);
        pauses = !rc && stands(l, &own.place, body, wait_ms);
    }
    fetch_result_done(&r);
    snapshot_unref(t);
    if (pauses)
        l->failures++;
    else if (!rc)
        l->failures = 0;
    if (pauses && disk_takes_nothing(l))
        rc = ERR_BUSY;
    return rc;
}

// ---- from whom ----

static bool from_set(struct lane *l, const char *region)
{
    pthread_mutex_lock(&l->fl->lock);
    snprintf(l->from, sizeof l->from, "%s", region);
    pthread_mutex_unlock(&l->fl->lock);
    return true;
}

void fleet_lanes_look(struct fleet *fl)
{
    struct lane *l = &fl->lanes[0];
    struct topology *t = snapshot_get(fl->o.topology);
    const struct region *writer = NULL;
    if (t)
        writer = topology_writer(t);
    pthread_mutex_lock(&fl->lock);
    if (writer && l->from[0] && strcmp(l->from, writer->name) != 0)
        atomic_store(&l->give_up, true);
    pthread_mutex_unlock(&fl->lock);
    snapshot_unref(t);
}

static bool writer_choose(struct lane *l, const struct topology *t)
{
    const struct region *writer = topology_writer(t);
    if (!writer || strcmp(writer->name, l->fl->o.region) == 0)
        return false;
    return from_set(l, writer->name);
}

// Who says that it has more than we (heard.h). *out_own: where we were then.
static bool ahead_choose(struct lane *l, struct control_place *out_own)
{
    struct fleet *fl = l->fl;
    struct heard_own own;
    fleet_own_get(fl, &own);
    char region[HOSTNAME_REGION_SIZE] = "";
    pthread_mutex_lock(&fl->lock);
    const struct heard_region *x =
        heard_to_ask(&fl->words.heard, &own.place, clock_mono_ms(), fl->o.silent_ms);
    if (x)
        memcpy(region, x->region, sizeof region);
    pthread_mutex_unlock(&fl->lock);
    *out_own = own.place;
    return *region && from_set(l, region);
}

// It was asked for the later place that it named. When something came meanwhile, from it or by
// another way, what it named then may be here now: nothing is held against it.
static void ahead_judge(struct lane *l, int rc, const struct control_place *before)
{
    struct fleet *fl = l->fl;
    struct heard_own own;
    fleet_own_get(fl, &own);
    bool stood = control_place_same(&own.place, before);
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&fl->lock);
    struct heard *h = &fl->words.heard;
    if (stood && is_verdict(l, rc))
        heard_looked(h, l->from, now);
    else if (stood)
        heard_tried(h, l->from, now);
    pthread_mutex_unlock(&fl->lock);
    fleet_carrier_poke(fl);
}

static bool others_choose(struct lane *l, const struct topology *t)
{
    struct fleet *fl = l->fl;
    const struct region *writer = topology_writer(t);
    pthread_mutex_lock(&fl->lock);
    bool late = !fl->words.confirmed &&
                (!fl->words.has_beat ||
                 clock_mono_ms() - fl->words.beat_ms > LATE_BEATS * (int64_t)fl->o.beat_ms);
    pthread_mutex_unlock(&fl->lock);
    for (size_t tries = 0; late && tries < t->n_regions; tries++) {
        const struct region *r = &t->regions[l->turn++ % t->n_regions];
        if (r != writer && strcmp(r->name, fl->o.region) != 0)
            return from_set(l, r->name);
    }
    return false;
}

// ---- lanes ----

// What a poll asks for. Each is also a region's word of where it is, and is heard before its last one
// is too old to count.
static uint32_t poll_wait_ms(const struct fleet *fl)
{
    return fl->o.silent_ms * 3 / 5;
}

// True: there was something to do.
static bool lane_turn(struct lane *l)
{
    struct fleet *fl = l->fl;
    struct topology *t = snapshot_get(fl->o.topology);
    atomic_store(&l->give_up, atomic_load(&fl->stopping));
    struct control_place before;
    bool ahead = l->index && ahead_choose(l, &before), found = ahead;
    if (t && !l->index)
        found = writer_choose(l, t);
    else if (t && !ahead)
        found = others_choose(l, t);
    snapshot_unref(t);
    if (!found)
        return false;
    if (ahead)
        ahead_judge(l, lane_poll(l, 0), &before);
    else
        (void)lane_poll(l, poll_wait_ms(fl));
    return true;
}

void *fleet_lane_main(void *lane)
{
    struct lane *l = lane;
    struct fleet *fl = l->fl;
    for (;;) {
        uint64_t seen = fleet_changes(fl);
        bool busy = lane_turn(l);
        if (atomic_load(&fl->stopping))
            return NULL;
        if (busy && !l->failures)
            continue;
        bool stop;
        if (busy) // a change is no reason to hurry to who just failed
            stop = fleet_pause(fl, wait_backoff_ms(l->failures - 1, RETRY_MS, RETRY_MAX_MS));
        else
            stop = fleet_rest(fl, seen, FLEET_LOOK_MS);
        if (stop)
            return NULL;
    }
}
