// SPDX-License-Identifier: Apache-2.0
// When a region was heard last; see silence.h. Pure.
#include "replication/silence.h"

#include <assert.h>

#define MISSED_SILENT 2
#define MISSED_AWAY 3

void silence_init(struct silence *s)
{
    *s = (struct silence){.beat_ms = FEED_BEAT_OLD_MS};
}

void silence_heard(struct silence *s, int64_t now_mono)
{
    if (s->heard_mono != INT64_MAX)
        s->heard_mono = now_mono;
}

void silence_deaf(struct silence *s)
{
    s->heard_mono = INT64_MAX;
}

void silence_listen(struct silence *s, int64_t now_mono)
{
    if (s->heard_mono == INT64_MAX)
        s->heard_mono = now_mono;
}

int64_t silence_ms(const struct silence *s, int64_t now_mono)
{
    int64_t heard = s->heard_mono;
    if (!s->expected || !heard)
        return 0;
    if (heard >= now_mono) // also INT64_MAX
        return 0;
    return now_mono - heard;
}

bool silence_is_silent(const struct silence *s, int64_t now_mono)
{
    return silence_ms(s, now_mono) >= MISSED_SILENT * (int64_t)s->beat_ms + FEED_SLACK_MS;
}

int64_t silence_patience_ms(const struct silence *s)
{
    assert(s->beat_ms);
    return MISSED_AWAY * (int64_t)s->beat_ms + FEED_SLACK_MS;
}
