// SPDX-License-Identifier: Apache-2.0
// The silence of one other region: when it was heard last, and from when on it counts as silent,
// and as away. A feed's stream carries something every `beat_ms`. Beats decide, and not how long a
// single request takes: a region may sync ten gigabytes before it answers, and beats meanwhile.
//
//   silence_heard(&s, clock_mono_ms());
//   if (silence_ms(&s, clock_mono_ms()) >= silence_patience_ms(&s)) …     // it counts as away
//
// A value, guarded by its owner's lock (replication/peer.h); `heard_mono` alone is also written by
// the fetcher's thread. Times are of the monotonic clock.
#ifndef MERIDIAN_REPLICATION_SILENCE_H
#define MERIDIAN_REPLICATION_SILENCE_H

#include <stdbool.h>
#include <stdint.h>

#define FEED_BEAT_MS 2000      // a feed says something at least so often
#define FEED_BEAT_OLD_MS 15000 // one that does not say how often
#define FEED_SLACK_MS 500      // a beat that is late by so much is missed

struct silence {
    // Its last bytes (response_reader_watch). 0: none since the start. INT64_MAX: nothing is to be
    // heard of it now, because this region does not listen.
    _Atomic int64_t heard_mono;
    // how often it says something
    unsigned beat_ms;
    // it is to be heard at all: the two regions share a registry
    bool expected;
};

void silence_init(struct silence *s);
// Something of it came in. Changes nothing while this region does not listen.
void silence_heard(struct silence *s, int64_t now_mono);
// Nothing is to be heard until silence_listen.
void silence_deaf(struct silence *s);
void silence_listen(struct silence *s, int64_t now_mono);
// How long nothing was heard of it that should have been; 0 when nothing is to be heard.
int64_t silence_ms(const struct silence *s, int64_t now_mono);
// The second beat in a row is missed.
bool silence_is_silent(const struct silence *s, int64_t now_mono);
// After so much silence, three missed beats, it counts as away.
int64_t silence_patience_ms(const struct silence *s);

#endif
