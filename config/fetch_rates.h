// SPDX-License-Identifier: Apache-2.0
// How many bytes a second a region may fetch from the others: the section `fetch` of the node file.
//
//   fetch:
//     rate: 50MiB                           # a second, from all regions together
//     rate_per_region: 20MiB                # from each
//     times: [mon-fri 08:00-18:00 5MiB]     # instead of `rate`, in UTC; the first that fits counts
//
// A time is [DAY[-DAY]] HH:MM-HH:MM RATE. One whose end is not after its beginning goes on to the next
// day; 24:00 is the end of a day. A rate of 0 is no limit. Pure, any thread.
#ifndef MERIDIAN_CONFIG_FETCH_RATES_H
#define MERIDIAN_CONFIG_FETCH_RATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_TIMES_MAX 32
// Less than that starves a stream: its other end would take it for dead.
#define FETCH_RATE_MIN (256u << 10)

struct fetch_time {
    // a bit for each day on which it begins, Monday first
    unsigned days;
    // minutes of the day; to <= from: of the next day
    unsigned from, to;
    uint64_t rate;
};

struct fetch_rates {
    // bytes a second; 0: no limit
    uint64_t rate, rate_per_region;
    struct fetch_time times[FETCH_TIMES_MAX];
    size_t n_times;
};

bool fetch_time_parse(const char *text, struct fetch_time *out);
bool fetch_rate_ok(uint64_t rate); // 0, or not too little
// What may come from all regions together at that time.
uint64_t fetch_rate_at(const struct fetch_rates *r, int64_t wall_ms);

#endif
