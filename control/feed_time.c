// SPDX-License-Identifier: Apache-2.0
// The time of a control feed: by which clock entries are dated, and what is wrong with it; see feed.h
// and docs/control-feed.md, Time.
#include "control/feed_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

static int64_t later(int64_t a, int64_t b)
{
    if (a > b)
        return a;
    return b;
}

static enum control_clock clock_of(const struct control_feed *f, char why[FEED_WHY_SIZE])
{
    *why = '\0';
    if (!f->o.clock)
        return CONTROL_CLOCK_FINE;
    return f->o.clock(f->o.clock_ctx, why, FEED_WHY_SIZE);
}

int feed_clock_judge(const struct control_feed *f, const struct control_draft *d, struct diag *diag)
{
    char why[FEED_WHY_SIZE];
    if (!d->change.n || clock_of(f, why) != CONTROL_CLOCK_WRONG)
        return 0;
    diag_add(
        diag, NULL, 0,
        "the writer %s changes no registries, private endpoints or names by its clock, which is "
        "far from the other regions': %s. Set it right (NTP), or let another region take over "
        "(meridian control takeover); revocations are taken meanwhile",
        f->region, *why ? why : "its clock is wrong");
    return ERR_BUSY;
}

// Where nothing has been dated yet, there is nothing to stand still at.
static int64_t sure_ms(const struct control_feed *f, const struct control_state *s)
{
    char why[FEED_WHY_SIZE];
    int64_t wall = clock_wall_ms();
    if (s->time_ms && clock_of(f, why) != CONTROL_CLOCK_FINE)
        return s->time_ms;
    return wall;
}

int64_t feed_date(const struct control_feed *f, const struct control_state *s)
{
    return later(sure_ms(f, s), s->time_ms);
}

int64_t feed_date_takeover(const struct control_feed *f, const struct control_state *s)
{
    int64_t sure = sure_ms(f, s);
    if (s->time_ms - sure > CONTROL_TIME_AHEAD_MS)
        return sure;
    return later(sure, s->time_ms);
}

int64_t control_feed_now(struct control_feed *f)
{
    struct control_state *s = control_feed_state(f);
    int64_t sure = sure_ms(f, s);
    snapshot_unref(s);
    return sure;
}

// ---- the feed's time is ahead ----

static char *ahead_text(const struct control_state *s)
{
    char time[CLOCK_TEXT_SIZE];
    const char *writer = control_state_writer(s)->name;
    return mem_printf(
        "the time of the control feed, %s, is ahead of this node's clock: a writer's "
        "clock was ahead. What is kept for a time (reserved names, revoked tokens) may "
        "go too early. See to the clock of %s (NTP), then let the root key set the time "
        "right: meridian control takeover %s",
        clock_format(s->time_ms, time), writer, writer);
}

void feed_look_time(struct control_feed *f)
{
    char why[FEED_WHY_SIZE];
    struct control_state *s = control_feed_state(f);
    int64_t ahead_ms = s->time_ms - clock_wall_ms();
    char *alarm = NULL;
    if (ahead_ms > CONTROL_TIME_AHEAD_MS && clock_of(f, why) == CONTROL_CLOCK_FINE)
        alarm = ahead_text(s);
    feed_alarm(f, FEED_ALARM_TIME, alarm);
    snapshot_unref(s);
}
