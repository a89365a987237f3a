// SPDX-License-Identifier: Apache-2.0
// What sixty regions do; see sixty.h.
#include "tests/unit/replication/sixty.h"

#include "base/err.h"
#include "base/mem.h"
#include "replication/dial.h"
#include "replication/feed_line.h"
#include "replication/peer_source.h"
#include "tests/unit/replication/sixty_priv.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- who is heard ---

struct seen { // a source's context
    struct sim_region *by;
    size_t whom;
};

static bool is_away(void *ctx)
{
    const struct seen *v = ctx;
    return v->by->away[v->whom];
}

static const struct source_ops ops = {.away = is_away};
static struct seen seen[SIXTY][SIXTY];

static void heard_by(const struct sim *s, size_t who, bool out[SIXTY])
{
    for (size_t i = 0; i < SIXTY; i++)
        out[i] = i == who || source_ready(s->regions[who].source[i], UINT_MAX);
}

size_t sim_relay(struct sim *s, size_t origin, size_t region)
{
    bool heard[SIXTY];
    heard_by(s, region, heard);
    return relay_of(&s->map, origin, region, heard);
}

// --- one blob ---

static void fetch_step(struct sim *s, size_t at, size_t blob);

static void all_of(struct sim *s, size_t at, size_t first, struct fetch *f)
{
    struct near_source list[SIXTY];
    size_t n = 0;
    list[n++] = (struct near_source){.source = s->regions[at].source[first],
                                     .ms = sim_delay_us(s, at, first) / US};
    for (size_t i = 0; i < SIXTY; i++)
        if (i != at && i != first)
            list[n++] = (struct near_source){.source = s->regions[at].source[i],
                                             .ms = sim_delay_us(s, at, i) / US};
    near_order(list, n, 1);
    for (size_t i = 0; i < n; i++)
        f->list[i] = (uint8_t)relay_find(&s->map, source_name(list[i].source));
    f->n = n;
    f->n_relays = 0;
    f->next = 0;
}

static void fetch_begin(struct sim *s, size_t at, size_t blob, size_t teller)
{
    struct fetch *f = &s->regions[at].fetch[blob];
    bool heard[SIXTY];
    if (f->runs || s->regions[at].has[blob])
        return;
    *f = (struct fetch){.runs = true, .teller = teller};
    if (teller != SIXTY) { // who told of it has it
        all_of(s, at, teller, f);
    } else {
        heard_by(s, at, heard);
        f->n = f->n_relays = relay_tries(&s->map, s->origin, at, heard, f->list);
        if (!f->n)
            all_of(s, at, s->origin, f);
    }
    fetch_step(s, at, blob);
}

static size_t n_running(const struct sim_region *r)
{
    size_t n = 0;
    for (size_t i = 0; i < SIM_BLOBS_MAX; i++)
        n += r->fetch[i].runs;
    return n;
}

// The job goes on: what lacks is asked for, small ones first, as long as no relay keeps it waiting.
static void work(struct sim *s, size_t at)
{
    struct sim_region *r = &s->regions[at];
    size_t n_here = 0;
    for (size_t i = 0; i < s->n_blobs; i++) {
        n_here += r->has[i];
        if (r->job && !r->waits && n_running(r) < N_RUNNING)
            fetch_begin(s, at, i, SIXTY);
    }
    if (r->job && !r->done && n_here == s->n_blobs) {
        r->done = true;
        r->visible_us = sim_now_us;
    }
}

static void look_again(struct sim *s, size_t at, int64_t ms)
{
    struct sim_region *r = &s->regions[at];
    if (r->waits)
        return;
    r->waits = true;
    sim_later(s, sim_now_us + ms * US, (struct event){.what = EV_WORK, .at = at});
}

// All of the list were asked.
static void fetch_end(struct sim *s, size_t at, size_t blob)
{
    struct sim_region *r = &s->regions[at];
    struct fetch *f = &r->fetch[blob];
    if (f->n_relays) {
        int rc = f->absent ? ERR_NOTFOUND : ERR_UNREACHABLE;
        if (f->absent && !r->absent_us)
            r->absent_us = sim_now_us;
        int64_t age_ms = (sim_now_us - r->absent_us) / US;
        if (relay_next(rc, age_ms, relay_patience_ms(0, s->bytes[blob])) == RELAY_ASK_ORIGIN) {
            all_of(s, at, s->origin, f);
            fetch_step(s, at, blob);
            return;
        }
        f->runs = false;
        look_again(s, at, relay_look_ms(age_ms));
        return;
    }
    f->runs = false;
    if (r->job)
        look_again(s, at, RETRY_MS);
}

// Asks the next one that may be asked.
static void fetch_step(struct sim *s, size_t at, size_t blob)
{
    struct fetch *f = &s->regions[at].fetch[blob];
    int64_t again;
    while (f->next < f->n) {
        size_t of = f->list[f->next++];
        if (source_enter(s->regions[at].source[of], UINT_MAX, &again) != SOURCE_READY)
            continue;
        struct event e = {.what = EV_ASKED, .at = of, .from = at, .blob = blob};
        if (sim_way(s, at, of)) {
            sim_later(s, sim_said_us(s, at, of, ASK_BYTES), e);
            return;
        }
        e = (struct event){
            .what = EV_ANSWERED, .at = at, .from = of, .blob = blob, .rc = ERR_UNREACHABLE};
        sim_later(s, sim_now_us + PEER_CONNECT_MS * US, e);
        return;
    }
    fetch_end(s, at, blob);
}

static void asked(struct sim *s, const struct event *e)
{
    struct sim_region *r = &s->regions[e->at];
    struct event answer = {.what = EV_ANSWERED, .at = e->from, .from = e->at, .blob = e->blob};
    r->tally.n_requests++;
    r->tally.n_askers += !r->asked_by[e->from];
    r->asked_by[e->from] = true;
    if (r->has[e->blob]) {
        r->tally.blob_bytes += s->bytes[e->blob];
        sim_later(s, sim_sent_us(s, e->at, e->from, s->bytes[e->blob]), answer);
        return;
    }
    answer.rc = ERR_NOTFOUND;
    r->tally.n_absent++;
    sim_later(s, sim_said_us(s, e->at, e->from, ASK_BYTES), answer);
}

static void tell(struct sim *s, size_t from, size_t blob, bool may_be_later)
{
    bool heard[SIXTY];
    heard_by(s, from, heard);
    for (size_t to = 0; to < SIXTY; to++) {
        enum relay_word word = relay_word(&s->map, s->origin, from, to, may_be_later, heard);
        if (word == RELAY_SAY_NOTHING || !source_ready(s->regions[from].source[to], UINT_MAX))
            continue;
        s->regions[from].tally.n_offers_out++;
        int64_t there = sim_said_us(s, from, to, OFFER_BYTES);
        struct event e = {.what = EV_OFFER, .at = to, .from = from, .blob = blob, .rc = word};
        if (sim_way(s, from, to))
            sim_later(s, there, e);
    }
}

static void answered(struct sim *s, const struct event *e)
{
    struct sim_region *r = &s->regions[e->at];
    struct fetch *f = &r->fetch[e->blob];
    if (e->rc != ERR_UNREACHABLE && e->rc != ERR_TIMEOUT && !sim_way(s, e->at, e->from)) {
        struct event lost = *e; // it never comes
        lost.rc = ERR_TIMEOUT;
        sim_later(s, sim_now_us + SOURCE_IDLE_MS * US, lost);
        return;
    }
    source_leave(r->source[e->from], e->rc);
    if (e->rc) {
        f->absent |= e->rc == ERR_NOTFOUND && f->n_relays;
        fetch_step(s, e->at, e->blob);
        return;
    }
    r->has[e->blob] = true;
    f->runs = false;
    if (f->teller == s->origin)
        tell(s, e->at, e->blob, true);
    work(s, e->at);
}

// --- the feed ---

static void entries_send(struct sim *s, size_t origin, size_t to, uint64_t after)
{
    for (uint64_t seq = after + 1; seq <= s->n_entries[origin]; seq++)
        sim_later(s, sim_said_us(s, origin, to, ENTRIES_BYTES),
                  (struct event){.what = EV_ENTRY, .at = to, .from = origin, .rc = (int)seq});
}

static void committed(struct sim *s, size_t origin)
{
    struct sim_region *r = &s->regions[origin];
    s->n_entries[origin]++;
    s->since_us = sim_now_us;
    r->job = r->done = true;
    r->visible_us = sim_now_us;
    for (size_t i = 0; i < SIXTY; i++)
        if (i != origin && s->regions[i].stream[origin] && sim_way(s, origin, i))
            entries_send(s, origin, i, s->n_entries[origin] - 1);
}

static void entry(struct sim *s, const struct event *e)
{
    struct sim_region *r = &s->regions[e->at];
    struct feed_mark at = {.epoch = 1, .seq = (uint64_t)e->rc};
    if (!sim_way(s, e->at, e->from) || mark_order(&at, &r->mark[e->from]) <= 0)
        return;
    ck_assert_uint_eq(at.seq, r->mark[e->from].seq + 1); // a mark moves over no hole
    r->mark[e->from] = at;
    r->job = true;
    work(s, e->at);
}

// A stream that broke begins again behind the reader's mark.
static void stream_open(struct sim *s, size_t at, size_t origin)
{
    struct sim_region *r = &s->regions[at];
    char cursor[CURSOR_TEXT_SIZE];
    struct feed_mark after;
    ck_assert_int_eq(cursor_parse(cursor_format(&r->mark[origin], cursor), &after), 0);
    r->stream[origin] = true;
    source_recovered(r->source[origin]);
    entries_send(s, origin, at, after.seq);
}

// One beat of each stream, and what each reader makes of the silence of others.
static void beats(struct sim *s)
{
    for (size_t at = 0; at < SIXTY; at++) {
        struct sim_region *r = &s->regions[at];
        for (size_t origin = 0; origin < SIXTY; origin++) {
            if (origin == at)
                continue;
            struct silence *q = &r->silence[origin];
            if (sim_way(s, at, origin)) {
                if (!r->stream[origin])
                    stream_open(s, at, origin);
                sim_said_us(s, origin, at, s->beat_bytes);
                silence_heard(q, sim_now_us / US);
            }
            r->away[origin] = silence_ms(q, sim_now_us / US) >= silence_patience_ms(q);
            if (r->away[origin])
                r->stream[origin] = false;
        }
    }
    sim_later(s, sim_now_us + FEED_BEAT_MS * US, (struct event){.what = EV_BEATS});
}

// --- from outside ---

static uint64_t beat_bytes(void)
{
    struct feed_mark at = {.epoch = 1, .seq = 1234567};
    const struct feed_progress p = {.at = &at, .topology_version = 57, .caught_up = true};
    AUTO_BUF struct buf b;
    buf_init(&b, 4096);
    ck_assert_int_eq(feed_progress_format(&p, &b), 0);
    return b.n;
}

struct sim *sim_new(unsigned relays_from)
{
    struct sim *s = mem_zalloc(sizeof *s);
    ck_assert_ptr_nonnull(s);
    sim_now_us = 1000 * US;
    s->map.n = SIXTY;
    s->beat_bytes = beat_bytes();
    for (size_t i = 0; i < SIXTY; i++) {
        snprintf(s->names[i], sizeof s->names[i], "r%zu", i);
        s->map.members[i] =
            (struct relay_member){.name = s->names[i],
                                  .placed = true,
                                  .longitude = (int32_t)(i * 37 % 60) * 60000 - 1800000};
    }
    relay_map_make(&s->map, relays_from);
    for (size_t i = 0; i < SIXTY; i++)
        for (size_t k = 0; k < SIXTY; k++) {
            struct sim_region *r = &s->regions[i];
            seen[i][k] = (struct seen){.by = r, .whom = k};
            ck_assert_int_eq(source_new(s->names[k], &ops, &seen[i][k], &r->source[k]), 0);
            silence_init(&r->silence[k]);
            r->silence[k].expected = true;
            r->silence[k].beat_ms = FEED_BEAT_MS;
        }
    sim_later(s, sim_now_us, (struct event){.what = EV_BEATS});
    return s;
}

void sim_free(struct sim *s)
{
    for (size_t i = 0; i < SIXTY; i++)
        for (size_t k = 0; k < SIXTY; k++)
            source_free(s->regions[i].source[k]);
    free(s->heap);
    free(s);
}

void sim_push(struct sim *s, size_t region, bool anywhere, const uint64_t *blob_bytes, size_t n)
{
    int64_t at = sim_now_us;
    s->origin = region;
    s->anywhere = anywhere;
    s->n_blobs = n;
    for (size_t i = 0; i < n; i++) {
        s->bytes[i] = blob_bytes[i];
        at += (int64_t)(blob_bytes[i] / CLIENT_BYTES_PER_US) + US;
        sim_later(s, at, (struct event){.what = EV_UPLOADED, .at = region, .blob = i});
    }
    sim_later(s, at + US, (struct event){.what = EV_COMMITTED, .at = region});
}

static void happens(struct sim *s, const struct event *e)
{
    struct sim_region *r = &s->regions[e->at];
    switch (e->what) {
    case EV_UPLOADED:
        r->has[e->blob] = true;
        tell(s, e->at, e->blob, !s->anywhere);
        break;
    case EV_COMMITTED:
        committed(s, e->at);
        break;
    case EV_ENTRY:
        entry(s, e);
        break;
    case EV_BEATS:
        beats(s);
        break;
    case EV_OFFER:
        r->tally.n_offers_in++;
        if (e->rc == RELAY_SAY_HERE)
            fetch_begin(s, e->at, e->blob, e->from);
        break;
    case EV_ASKED:
        asked(s, e);
        break;
    case EV_ANSWERED:
        answered(s, e);
        break;
    case EV_WORK:
        r->waits = false;
        work(s, e->at);
        break;
    }
}

void sim_run(struct sim *s, int64_t ms)
{
    int64_t until = sim_now_us + ms * US;
    while (s->n_heap && s->heap[0].at_us <= until) {
        struct event e = sim_event_take(s);
        sim_now_us = e.at_us;
        happens(s, &e);
    }
    sim_now_us = until;
}

void sim_cut(struct sim *s, size_t region, bool cut)
{
    s->cut[region] = cut;
    if (!cut)
        s->since_us = sim_now_us;
}

void sim_count(struct sim *s)
{
    for (size_t i = 0; i < SIXTY; i++) {
        s->regions[i].tally = (struct sim_tally){0};
        memset(s->regions[i].asked_by, 0, sizeof s->regions[i].asked_by);
    }
}

const struct sim_tally *sim_tally(const struct sim *s, size_t region)
{
    return &s->regions[region].tally;
}

int64_t sim_visible_ms(const struct sim *s)
{
    int64_t last = 0;
    for (size_t i = 0; i < SIXTY; i++) {
        const struct sim_region *r = &s->regions[i];
        if (s->cut[i])
            continue;
        if (!r->done)
            return -1;
        if (r->visible_us > last)
            last = r->visible_us;
    }
    return (last - s->since_us) / US;
}

uint64_t sim_mark(const struct sim *s, size_t region, size_t origin)
{
    return s->regions[region].mark[origin].seq;
}

unsigned sim_streams(const struct sim *s, size_t origin)
{
    unsigned n = 0;
    for (size_t i = 0; i < SIXTY; i++)
        n += s->regions[i].stream[origin];
    return n;
}
