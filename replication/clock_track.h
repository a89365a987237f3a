// SPDX-License-Identifier: Apache-2.0
// What was measured of another region's wall clock: its time was asked for over the network, and
// lay somewhere in the round trip. Samples are kept against our monotonic clock, so that they hold
// when our own wall clock is set; the best of the last few counts. Not thread-safe, pure but for
// its samples.
//
//   struct clock_track t = {0};
//   clock_track_add(&t, their_wall_ms, sent_us, got_us);   // monotonic
//   if (clock_track_get(&t, now_us, wall_less_mono_us, &offset_ms, &error_ms)) …
#ifndef MERIDIAN_REPLICATION_CLOCK_TRACK_H
#define MERIDIAN_REPLICATION_CLOCK_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_SAMPLES 8

struct clock_sample {
    // their wall clock less our monotonic one
    int64_t lead_us;
    // half the round trip, and what a millisecond hides
    int64_t error_us;
    // monotonic
    int64_t at_us;
};

struct clock_track {
    struct clock_sample samples[CLOCK_SAMPLES];
    size_t n, next;
};

// A sample that no older one can be reconciled with shows that their clock was set (or that ours
// stood still): the older ones go. `their_wall_ms` is from 0 to CLOCK_WALL_MAX_MS.
#define CLOCK_WALL_MAX_MS ((int64_t)1 << 47)
void clock_track_add(struct clock_track *t, int64_t their_wall_ms, int64_t sent_us, int64_t got_us);
// The offset (theirs less ours) of the sample that has the smallest error now: errors grow by 1 ms
// a second, the most that two clocks drift apart while they are steered. false: there is no sample.
bool clock_track_get(const struct clock_track *t, int64_t now_us, int64_t wall_less_mono_us,
                     int64_t *out_offset_ms, int64_t *out_error_ms);

#endif
