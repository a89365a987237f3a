// SPDX-License-Identifier: Apache-2.0
// The least rate of a request's body, as an account of time, so that bursts and short stalls of
// honest clients survive. The account begins full and runs down as time goes by. Each byte pays in
// the time that it may take at the least rate, up to a full account. An empty account means that
// the body came too slowly: over that time it stayed below the rate on average. Pure; times are of
// the monotonic clock, in microseconds.
//
//   struct pace p = pace_begin(&(struct pace_rule){512, 30000}, now_us);
//   pace_bytes(&p, n, now_us);            // n more came
//   pace_pause(&p, for_us);               // the server did not read for so long
//   if (pace_over(&p, now_us)) …408…      // p.until_us is when to look again
#ifndef MERIDIAN_NET_PACE_H
#define MERIDIAN_NET_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace_rule {
    // 0: no such limit
    unsigned bytes_s;
    // of the account
    unsigned full_ms;
};

struct pace {
    struct pace_rule rule;
    // the account is empty then; INT64_MAX: never
    int64_t until_us;
};

struct pace pace_begin(const struct pace_rule *rule, int64_t now_us);
void pace_bytes(struct pace *p, uint64_t n, int64_t now_us);
void pace_pause(struct pace *p, int64_t for_us);
bool pace_over(const struct pace *p, int64_t now_us);

#endif
