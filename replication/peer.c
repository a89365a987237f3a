// SPDX-License-Identifier: Apache-2.0
// One other region; see peer.h.
#include "replication/peer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "content/source.h"
#include "replication/bandwidth.h"
#include "replication/lock.h"
#include "replication/peer_source.h"
#include "replication/silence_watch.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// an inbound contact after so long without one says that the region is back
#define CONTACT_QUIET_MS 3000
#define CONTACT_TRY_MS 500 // a connection takes so long at most where nothing is lost

struct peer {
    // its reader's alone
    bool is_short;
    int64_t joined_mono;
    unsigned n_gaps_judged;
    struct replicator *r;
    char name[HOSTNAME_REGION_SIZE];
    struct source *source;
    struct bandwidth_line line;
    struct mark_claim *claim;
    // what the reader waits for is given up
    _Atomic bool hang_up;

    struct lock lock;
    struct silence silence;
    bool connected, caught_up, diverged;
    // it was read since the start
    bool met;
    // its feed was asked for, and the answer is awaited
    bool trying;
    // its stream was given up for silence since that was judged last
    bool missed;
    bool away;
    bool sealed, sealed_whole, sealed_more, disowns;
    // it was heard once, and that was told
    bool known;
    // it did not even answer, the last time
    bool unreached;
    unsigned n_failures, n_seen, n_contacts, n_wakes;
    // wall; 0: never
    int64_t last_contact_ms;
    // when its feed was last asked for; when it last asked us something
    int64_t try_mono, contact_mono;
    char last_error[ERROR_TEXT_SIZE];
    // what it left out; "" nothing since it was caught up
    char gap[ERROR_TEXT_SIZE];
    unsigned n_gaps;
    int stuck;
    uint64_t n_malformed, n_forged;
    // of the last one that was forged; "" none was
    char forged[ERROR_TEXT_SIZE];
    uint64_t ahead;
    int64_t ahead_since_ms;
};

int peer_new(struct replicator *r, const char *region, struct peer **out)
{
    struct peer *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    p->r = r;
    lock_init(&p->lock, LOCK_PEER);
    silence_init(&p->silence);
    int n = snprintf(p->name, sizeof p->name, "%s", region);
    int rc = 0;
    if (n >= (int)sizeof p->name)
        rc = ERR_TOOBIG;
    if (!rc)
        rc = mark_claim_new(&p->claim);
    if (!rc)
        rc = peer_source_new(p, &p->source);
    if (rc) {
        peer_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void peer_free(struct peer *p)
{
    if (!p)
        return;
    source_free(p->source);
    mark_claim_free(p->claim);
    lock_done(&p->lock);
    free(p);
}

const char *peer_name(const struct peer *p)
{
    return p->name;
}

struct replicator *peer_replicator(const struct peer *p)
{
    return p->r;
}

struct bandwidth_line *peer_line(struct peer *p)
{
    return &p->line;
}

struct source *peer_source(const struct peer *p)
{
    return p->source;
}

struct mark_claim *peer_claim(const struct peer *p)
{
    return p->claim;
}

// --- contacts ---

// Does the reader wait for something that TCP will bring late or never, now that the region is seen
// to be there? Only the first inbound contact after a while says so: where the way is open in one
// direction alone, inbound contacts come all the time. Under the lock.
static bool waits_in_vain(const struct peer *p, int64_t now)
{
    if (now - p->contact_mono < CONTACT_QUIET_MS)
        return false;
    if (p->connected)
        return silence_ms(&p->silence, now) > p->silence.beat_ms + FEED_SLACK_MS;
    return p->trying && now - p->try_mono > CONTACT_TRY_MS;
}

void peer_inbound_contact(struct peer *p)
{
    int64_t now = clock_mono_ms();
    lock_take(&p->lock);
    if (waits_in_vain(p, now))
        p->hang_up = true;
    // one that refuses us may ask all the time
    bool back = now - p->contact_mono >= CONTACT_QUIET_MS;
    p->contact_mono = now;
    if (!p->connected && (p->unreached || back)) {
        p->n_contacts++;
        lock_wake(&p->lock);
    }
    lock_give(&p->lock);
}

// Under the lock: peer_try_begin, which clears the flag, either comes before or knows the reason.
void peer_hang_up(struct peer *p)
{
    lock_take(&p->lock);
    p->hang_up = true;
    lock_give(&p->lock);
}

void peer_wake(struct peer *p)
{
    lock_take(&p->lock);
    p->n_wakes++;
    lock_wake(&p->lock);
    lock_give(&p->lock);
}

void peer_seen(struct peer *p)
{
    lock_take(&p->lock);
    p->last_contact_ms = clock_wall_ms();
    silence_heard(&p->silence, clock_mono_ms());
    p->n_seen++;
    bool news = p->away || !p->known;
    lock_give(&p->lock);
    if (news)
        silence_watch_kick(p->r->silence);
}

void peer_failed(struct peer *p, const char *fmt, ...)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    char text[ERROR_TEXT_SIZE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    lock_take(&p->lock);
    p->n_failures++;
    p->ahead = 0;
    p->stuck = 0;
    memcpy(p->last_error, text, sizeof text);
    lock_give(&p->lock);
    if (!life_stopping(p->r->life))
        log_limited(&limit, LOG_WARN, "replication: feed of %s: %s", p->name, text);
}

// --- looks ---

bool peer_is_away(struct peer *p)
{
    lock_take(&p->lock);
    bool away = p->away || p->sealed;
    lock_give(&p->lock);
    return away;
}

bool peer_disowns(struct peer *p)
{
    lock_take(&p->lock);
    bool disowns = p->disowns;
    lock_give(&p->lock);
    return disowns;
}

void peer_look(struct peer *p, struct peer_view *out)
{
    int64_t now = clock_mono_ms();
    lock_take(&p->lock);
    assert(p->connected || !p->caught_up); // invariant 2
    *out = (struct peer_view){
        .connected = p->connected,
        .caught_up = p->caught_up,
        .diverged = p->diverged || p->n_gaps >= PEER_GAPS_TOLD,
        .failing = p->n_failures > 0,
        .sealed = p->sealed,
        .sealed_whole = p->sealed_whole,
        .sealed_more = p->sealed_more,
        .ahead = p->ahead != 0,
        .ahead_since_ms = p->ahead_since_ms,
        .silent = silence_is_silent(&p->silence, now),
        .silence_ms = silence_ms(&p->silence, now),
        .stuck = p->stuck,
        .n_malformed = p->n_malformed,
        .n_forged = p->n_forged,
        .last_contact_ms = p->last_contact_ms,
    };
    memcpy(out->last_error, p->last_error, sizeof out->last_error);
    memcpy(out->forged, p->forged, sizeof out->forged);
    if (!*out->last_error && p->n_gaps >= PEER_GAPS_TOLD)
        memcpy(out->last_error, p->gap, sizeof out->last_error);
    lock_give(&p->lock);
}

enum peer_turn peer_judge_silence(struct peer *p)
{
    lock_take(&p->lock);
    // The reader may have met silence and then a new connection between two looks: what else runs
    // is lost all the same.
    bool away =
        p->missed || silence_ms(&p->silence, clock_mono_ms()) >= silence_patience_ms(&p->silence);
    bool was_away = p->away;
    bool first = !p->known && p->silence.heard_mono;
    p->missed = false;
    p->away = away; // invariant 1
    if (first)
        p->known = true;
    lock_give(&p->lock);
    if (away != was_away && away)
        return PEER_GONE;
    if (first)
        return away ? PEER_GONE : PEER_MET;
    if (away != was_away)
        return PEER_BACK;
    return PEER_AS_BEFORE;
}

// --- the reader ---

void peer_shares(struct peer *p, bool shares)
{
    lock_take(&p->lock);
    p->silence.expected = shares;
    if (!shares)
        p->silence.heard_mono = 0;
    lock_give(&p->lock);
}

void peer_sealed(struct peer *p, bool sealed, bool whole, bool more)
{
    lock_take(&p->lock);
    p->sealed = sealed;
    p->sealed_whole = whole;
    p->sealed_more = more;
    if (whole) { // whatever was said of it before
        p->n_failures = p->n_gaps = 0;
        p->stuck = 0;
        p->ahead = 0;
        p->last_error[0] = '\0';
    }
    lock_give(&p->lock);
}

void peer_disowned(struct peer *p, bool says)
{
    lock_take(&p->lock);
    p->disowns = says;
    lock_give(&p->lock);
}

void peer_turn_begin(struct peer *p, struct peer_try *out)
{
    lock_take(&p->lock);
    *out = (struct peer_try){.n_contacts = p->n_contacts, .n_seen = p->n_seen};
    lock_give(&p->lock);
}

void peer_turn_end(struct peer *p, const struct peer_try *t, bool broke, struct peer_outcome *out)
{
    lock_take(&p->lock);
    assert(!p->trying);
    p->connected = p->caught_up = false;
    p->unreached = p->n_seen == t->n_seen;
    if (!p->unreached && (!broke || p->stuck))
        silence_deaf(&p->silence); // it answered; nothing is to be heard of it until the next try
    *out = (struct peer_outcome){.unreached = p->unreached,
                                 .stuck = p->stuck != 0,
                                 .n_failures = p->n_failures,
                                 .ahead = p->ahead};
    if (p->n_gaps > out->n_failures) // each greeting forgets the failures, but not these
        out->n_failures = p->n_gaps;
    lock_give(&p->lock);
}

void peer_rest(struct peer *p, const struct peer_try *t, int64_t ms, int64_t contact_ms)
{
    int64_t began = clock_mono_ms();
    lock_take(&p->lock);
    while (!life_stopping(p->r->life)) {
        int64_t rest_ms = ms;
        if (p->n_contacts != t->n_contacts && contact_ms < ms)
            rest_ms = contact_ms; // it is there: no need to wait longer
        int64_t left = began + rest_ms - clock_mono_ms();
        if (left <= 0)
            break;
        lock_wait(&p->lock, left);
    }
    lock_give(&p->lock);
}

unsigned peer_wakes(struct peer *p)
{
    lock_take(&p->lock);
    unsigned n = p->n_wakes;
    lock_give(&p->lock);
    return n;
}

void peer_wait_wake(struct peer *p, unsigned n_wakes, int64_t ms)
{
    lock_take(&p->lock);
    if (p->n_wakes == n_wakes && !life_stopping(p->r->life))
        lock_wait(&p->lock, ms);
    lock_give(&p->lock);
}

void peer_try_begin(struct peer *p, bool hang_up)
{
    lock_take(&p->lock);
    assert(!p->trying);
    p->trying = true;
    p->try_mono = clock_mono_ms();
    silence_listen(&p->silence, p->try_mono);
    p->hang_up = hang_up || life_stopping(p->r->life);
    lock_give(&p->lock);
}

void peer_try_end(struct peer *p)
{
    lock_take(&p->lock);
    p->trying = false;
    lock_give(&p->lock);
}

const _Atomic bool *peer_hang_up_flag(const struct peer *p)
{
    return &p->hang_up;
}

_Atomic int64_t *peer_heard(struct peer *p)
{
    return &p->silence.heard_mono;
}

int64_t peer_learn_beat(struct peer *p, unsigned beat_ms)
{
    lock_take(&p->lock);
    p->silence.beat_ms = beat_ms ? beat_ms : FEED_BEAT_OLD_MS;
    int64_t patience_ms = silence_patience_ms(&p->silence);
    lock_give(&p->lock);
    return patience_ms;
}

bool peer_is_back(struct peer *p)
{
    bool doubted = source_recovered(p->source);
    lock_take(&p->lock);
    bool back = !p->met || p->n_failures || doubted;
    p->met = true;
    lock_give(&p->lock);
    return back;
}

void peer_progress(struct peer *p, bool caught_up, bool complete)
{
    lock_take(&p->lock);
    p->connected = true;
    p->diverged = false;
    p->caught_up = caught_up && complete;
    p->n_failures = 0;
    p->stuck = 0;
    if (caught_up) {
        p->ahead = 0;
        p->n_gaps = 0;
    }
    if (!p->ahead)
        p->last_error[0] = '\0';
    lock_give(&p->lock);
}

void peer_gap(struct peer *p, const char *what)
{
    lock_take(&p->lock);
    p->n_gaps++;
    snprintf(p->gap, sizeof p->gap, "%s", what);
    lock_give(&p->lock);
    peer_failed(p, "%s", what);
}

unsigned peer_gaps(struct peer *p)
{
    lock_take(&p->lock);
    unsigned n = p->n_gaps;
    lock_give(&p->lock);
    return n;
}

void peer_entry_taken(struct peer *p, bool malformed)
{
    lock_take(&p->lock);
    p->ahead = 0;
    p->n_malformed += malformed;
    lock_give(&p->lock);
}

void peer_forged(struct peer *p, const char *why, const struct feed_mark *behind)
{
    lock_take(&p->lock);
    p->n_forged++;
    if (behind)
        snprintf(p->forged, sizeof p->forged, "behind entry %llu of epoch %llu: %s",
                 (unsigned long long)behind->seq, (unsigned long long)behind->epoch, why);
    else
        snprintf(p->forged, sizeof p->forged, "in a snapshot: %s", why);
    lock_give(&p->lock);
}

void peer_diverged(struct peer *p)
{
    lock_take(&p->lock);
    p->diverged = true;
    lock_give(&p->lock);
}

void peer_missed(struct peer *p)
{
    lock_take(&p->lock);
    p->missed = true;
    lock_give(&p->lock);
    silence_watch_kick(p->r->silence);
}

void peer_stuck(struct peer *p, int rc)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    const char *self = p->r->o.region;
    char text[ERROR_TEXT_SIZE] = "";
    if (rc == ERR_NOSPACE)
        snprintf(text, sizeof text,
                 "no space in %s: its disk is full, so nothing that is read can be noted", self);
    else if (rc)
        snprintf(text, sizeof text, "%s cannot note what it reads: %s", self, err_text(rc));
    lock_take(&p->lock);
    bool again = p->stuck == rc;
    p->stuck = rc;
    if (rc)
        silence_deaf(&p->silence); // invariant 3
    if (!again)
        memcpy(p->last_error, text, sizeof text);
    lock_give(&p->lock);
    room_wrote(p->r->room, rc);
    if (rc && !again && !life_stopping(p->r->life))
        log_limited(&limit, LOG_WARN, "replication: feed of %s: %s", p->name, text);
}

void peer_found_short(struct peer *p)
{
    p->is_short = true;
}

bool peer_is_short(const struct peer *p)
{
    return p->is_short;
}

void peer_joined(struct peer *p, int64_t mono)
{
    p->joined_mono = mono;
}

int64_t peer_joined_mono(const struct peer *p)
{
    return p->joined_mono;
}

unsigned peer_gaps_news(struct peer *p)
{
    unsigned n = peer_gaps(p);
    bool news = n != p->n_gaps_judged;
    p->n_gaps_judged = n;
    return news ? n : 0;
}

void peer_clock_ahead(struct peer *p, uint64_t stamp, uint32_t skew_ms)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    char text[ERROR_TEXT_SIZE], at[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    snprintf(text, sizeof text,
             "its next entry is stamped %s, more than %u s ahead of this region's clock: it is "
             "taken at %s, or when %s has repaired its clock",
             clock_format(hlc_wall_ms(stamp), at), skew_ms / 1000,
             clock_format(hlc_wall_ms(stamp) - skew_ms, until), p->name);
    lock_take(&p->lock);
    if (!p->ahead)
        p->ahead_since_ms = clock_wall_ms();
    p->ahead = stamp;
    memcpy(p->last_error, text, sizeof text);
    lock_give(&p->lock);
    log_limited(&limit, LOG_WARN, "replication: feed of %s: %s", p->name, text);
}
