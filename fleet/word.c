// SPDX-License-Identifier: Apache-2.0
// What is known of the control feed between the nodes: who stored what, the last beat, how fresh what
// is in force here is, and whether a majority is heard. See fleet_priv.h.
#include "fleet/fleet_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "config/topology_control.h"
#include "control/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_EVERY_MS 60000
#define FRESH_TEXT_MAX 64

// Under the lock: for those who wait.
static void changed(struct fleet *fl)
{
    fl->words.changes++;
    pthread_cond_broadcast(&fl->wake);
}

// ---- how fresh: kept over restarts, so that a node that is cut off does not become fresh by one ----

static int64_t kept_read(const char *path)
{
    AUTO_BUF struct buf text;
    buf_init(&text, FRESH_TEXT_MAX);
    char *end;
    if (file_read(path, FRESH_TEXT_MAX, &text))
        return -1;
    long long ms = strtoll(buf_cstr(&text), &end, 10);
    if (end == buf_cstr(&text) || ms < 0)
        return -1;
    return ms;
}

// The caller holds no lock.
static void kept_write(struct fleet *fl, int64_t wall_ms)
{
    char text[FRESH_TEXT_MAX];
    int n = snprintf(text, sizeof text, "%" PRId64 "\n", wall_ms);
    static struct log_limit lim = LOG_LIMIT(60000);
    int rc = file_write_atomic(fl->fresh_path, text, (size_t)n, 0600);
    if (rc)
        log_limited(&lim, LOG_WARN, "fleet: %s cannot be written: %s", fl->fresh_path,
                    err_text(rc));
}

static int64_t stale_locked(const struct fleet *fl)
{
    return clock_mono_ms() - fl->words.fresh_ms;
}

static void kept_look(struct fleet *fl, bool now)
{
    int64_t wall = clock_wall_ms();
    pthread_mutex_lock(&fl->lock);
    int64_t fresh = wall - stale_locked(fl);
    bool due = fresh > fl->words.kept_ms && (now || fresh - fl->words.kept_ms >= KEEP_EVERY_MS);
    if (due)
        fl->words.kept_ms = fresh;
    pthread_mutex_unlock(&fl->lock);
    if (due)
        kept_write(fl, fresh);
}

void fleet_words_open(struct fleet *fl)
{
    int64_t wall = clock_wall_ms(), kept = kept_read(fl->fresh_path), age = 0;
    if (kept >= 0 && kept < wall)
        age = wall - kept;
    fl->words.fresh_ms = clock_mono_ms() - age;
    fl->words.kept_ms = kept;
    kept_look(fl, true);
}

void fleet_words_close(struct fleet *fl)
{
    if (fl->fresh_path)
        kept_look(fl, true);
}

int64_t fleet_stale_ms(struct fleet *fl)
{
    if (!fl->o.feed)
        return -1;
    pthread_mutex_lock(&fl->lock);
    int64_t ms = stale_locked(fl);
    pthread_mutex_unlock(&fl->lock);
    if (ms < 0)
        return 0;
    return ms;
}

// ---- what is in force here ----

static void own_of(const struct control_view *v, struct heard_own *out)
{
    *out = (struct heard_own){.place = v->place,
                              .applied = v->applied,
                              .epoch_from = v->epoch_from,
                              .root_word = v->root_word,
                              .vouched = v->vouched};
}

void fleet_own_get(struct fleet *fl, struct heard_own *out)
{
    struct control_view v;
    control_feed_view(fl->o.feed, &v);
    own_of(&v, out);
    control_view_done(&v);
}

uint64_t fleet_changes(struct fleet *fl)
{
    pthread_mutex_lock(&fl->lock);
    uint64_t n = fl->words.changes;
    pthread_mutex_unlock(&fl->lock);
    return n;
}

bool fleet_rest(struct fleet *fl, uint64_t seen, int64_t ms)
{
    pthread_mutex_lock(&fl->lock);
    if (!atomic_load(&fl->stopping) && fl->words.changes == seen)
        wait_cond(&fl->wake, &fl->lock, ms);
    bool stopping = atomic_load(&fl->stopping);
    pthread_mutex_unlock(&fl->lock);
    return stopping;
}

bool fleet_pause(struct fleet *fl, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms, left = ms;
    pthread_mutex_lock(&fl->lock);
    for (; left > 0 && !atomic_load(&fl->stopping); left = until - clock_mono_ms())
        wait_cond(&fl->wake, &fl->lock, left);
    bool stopping = atomic_load(&fl->stopping);
    pthread_mutex_unlock(&fl->lock);
    return stopping;
}

void fleet_topology_look(struct fleet *fl)
{
    struct topology *t = snapshot_get(fl->o.topology);
    pthread_mutex_lock(&fl->lock);
    if (t && t->version != fl->words.heard.topology)
        heard_keep(&fl->words.heard, t, fl->o.region);
    pthread_mutex_unlock(&fl->lock);
    snapshot_unref(t);
}

void fleet_heard(struct fleet *fl, const char *region, const struct control_place *place)
{
    struct heard_own own;
    fleet_own_get(fl, &own);
    fleet_topology_look(fl);
    pthread_mutex_lock(&fl->lock);
    heard_note(&fl->words.heard, region, place, clock_mono_ms());
    changed(fl);
    pthread_mutex_unlock(&fl->lock);
    // a writer that is not sure yet stops for it (heard.h)
    if (control_place_compare(place, &own.place) > 0)
        fleet_carrier_poke(fl);
}

// ---- beats ----

// Under the lock: what is in force here covers what the last beat names.
static void fresh_look(struct fleet *fl, const struct control_place *own)
{
    struct words *w = &fl->words;
    if (w->has_beat && control_place_compare(&w->beat.place, own) <= 0 && w->beat_ms > w->fresh_ms)
        w->fresh_ms = w->beat_ms;
}

// Later than the last one that counted? An answer to a later question is news in any case: the writer's
// clock may have been set back.
static bool is_news(struct fleet *fl, const struct beat *b, int64_t asked_ms)
{
    pthread_mutex_lock(&fl->lock);
    const struct words *w = &fl->words;
    bool news = !w->has_beat || b->time_ms > w->beat.time_ms ||
                b->place.epoch > w->beat.place.epoch || asked_ms > w->beat_ms;
    pthread_mutex_unlock(&fl->lock);
    return news;
}

// As of when its word is. An answer is no older than the question. Others may have been held back on
// their way, by anybody: they are no younger than the wall clocks make them.
static int64_t beat_as_of(const struct beat *b, int64_t asked_ms)
{
    int64_t now = clock_mono_ms(), age = clock_wall_ms() - b->time_ms;
    if (asked_ms)
        return asked_ms;
    if (age < 0)
        return now;
    return now - age;
}

int fleet_beat_take(struct fleet *fl, const struct beat *b, int64_t asked_ms)
{
    if (!is_news(fl, b, asked_ms))
        return ERR_EXISTS;
    struct topology *t = snapshot_get(fl->o.topology);
    int rc = ERR_AUTH;
    if (t)
        rc = beat_verify(b, t);
    snapshot_unref(t);
    if (rc)
        return rc;
    struct heard_own own;
    fleet_own_get(fl, &own);
    pthread_mutex_lock(&fl->lock);
    int64_t as_of = beat_as_of(b, asked_ms);
    // it was said after the one before, and so is no older
    if (!fl->words.has_beat || as_of > fl->words.beat_ms)
        fl->words.beat_ms = as_of;
    fl->words.has_beat = true;
    fl->words.beat = *b;
    fl->words.beat.has_answer = false; // that is for nobody else
    fresh_look(fl, &own.applied);
    changed(fl);
    pthread_mutex_unlock(&fl->lock);
    fleet_carrier_poke(fl);
    return 0;
}

bool fleet_beat_get(struct fleet *fl, struct beat *out)
{
    pthread_mutex_lock(&fl->lock);
    bool there = fl->words.has_beat;
    if (there)
        *out = fl->words.beat;
    pthread_mutex_unlock(&fl->lock);
    return there;
}

bool fleet_beat_answer(struct fleet *fl, const uint8_t nonce[BEAT_NONCE_BYTES], struct beat *b)
{
    struct control_view v;
    control_feed_view(fl->o.feed, &v);
    bool writes = v.we_write && v.confirmed;
    control_view_done(&v);
    pthread_mutex_lock(&fl->lock);
    bool fresh = clock_mono_ms() - fl->words.beat_ms <= 2 * (int64_t)fl->o.beat_ms;
    pthread_mutex_unlock(&fl->lock);
    return writes && fresh && beat_answer(fl->o.keys, nonce, b) == 0;
}

void fleet_advanced(struct fleet *fl)
{
    struct heard_own own;
    fleet_own_get(fl, &own);
    pthread_mutex_lock(&fl->lock);
    fresh_look(fl, &own.applied);
    changed(fl);
    pthread_mutex_unlock(&fl->lock);
}

// ---- the writer's confirmation ----

static void confirmation_said(struct fleet *fl, bool confirmed, const char *region)
{
    if (confirmed)
        log_info("fleet: a majority of the regions is heard: %s writes the control feed", region);
    else
        log_warn("fleet: no majority of the regions is heard: %s takes no changes", region);
    (void)fl;
}

void fleet_confirm_look(struct fleet *fl)
{
    struct control_view v;
    control_feed_view(fl->o.feed, &v);
    fleet_topology_look(fl);
    struct heard_own own;
    own_of(&v, &own);
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&fl->lock);
    struct words *w = &fl->words;
    bool was = w->confirmed;
    bool heard = heard_confirms(&w->heard, &own, now, fl->o.silent_ms);
    w->confirmed = v.we_write && heard;
    bool confirmed = w->confirmed;
    if (confirmed)
        w->fresh_ms = now;
    if (confirmed || !v.we_write)
        w->unconfirmed_ms = 0;
    else if (!w->unconfirmed_ms)
        w->unconfirmed_ms = now;
    pthread_mutex_unlock(&fl->lock);
    if (was != confirmed && v.we_write)
        confirmation_said(fl, confirmed, fl->o.region);
    if (confirmed != v.confirmed)
        control_feed_confirm(fl->o.feed, confirmed);
    control_view_done(&v);
    kept_look(fl, false);
}

// ---- who stored what ----

int fleet_stored(struct fleet *fl, const struct control_place *p, struct fleet_stored *out)
{
    struct heard_own own;
    struct heard_stored s;
    if (!fl->o.feed || !control_feed_has(fl->o.feed, p))
        return ERR_NOTFOUND;
    fleet_own_get(fl, &own);
    fleet_topology_look(fl);
    pthread_mutex_lock(&fl->lock);
    heard_stored_by(&fl->words.heard, &own, p, clock_mono_ms(), fl->o.silent_ms, &s);
    uint64_t version = fl->words.heard.topology;
    pthread_mutex_unlock(&fl->lock);
    *out = (struct fleet_stored){.stored = s.stored,
                                 .behind = s.behind,
                                 .away = s.away,
                                 .unheard = s.unheard,
                                 .majority = s.majority,
                                 .topology = version};
    return 0;
}

static bool is_there(const struct fleet_stored *s, enum fleet_until until)
{
    if (until == FLEET_MAJORITY)
        return s->majority;
    return s->majority && !s->behind;
}

int fleet_wait(struct fleet *fl, const struct control_place *p, enum fleet_until until, int64_t ms,
               struct fleet_stored *out)
{
    int64_t end = clock_mono_ms() + ms;
    for (;;) {
        uint64_t seen = fleet_changes(fl); // before the look: what comes in between is not missed
        int rc = fleet_stored(fl, p, out);
        if (rc || is_there(out, until))
            return rc;
        int64_t left = end - clock_mono_ms();
        if (left <= 0)
            return ERR_TIMEOUT;
        if (left > FLEET_LOOK_MS)
            left = FLEET_LOOK_MS;
        if (fleet_rest(fl, seen, left))
            return ERR_CANCELED;
    }
}

void *fleet_regions_json(struct fleet *fl, region_set set)
{
    struct topology *t = snapshot_get(fl->o.topology);
    json_t *list = json_array();
    for (size_t i = 0; t && i < t->n_regions; i++)
        if (set & (region_set)1 << t->regions[i].index)
            json_array_append_new(list, json_string(t->regions[i].name));
    snapshot_unref(t);
    return list;
}
