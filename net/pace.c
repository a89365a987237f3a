// SPDX-License-Identifier: Apache-2.0
// The account of a body's sender; see pace.h. Pure.
#include "net/pace.h"

struct pace pace_begin(const struct pace_rule *rule, int64_t now_us)
{
    int64_t full_us = (int64_t)rule->full_ms * 1000;
    return (struct pace){.rule = *rule, .until_us = rule->bytes_s ? now_us + full_us : INT64_MAX};
}

void pace_bytes(struct pace *p, uint64_t n, int64_t now_us)
{
    if (!p->rule.bytes_s)
        return;
    int64_t full_us = (int64_t)p->rule.full_ms * 1000, most_us = now_us + full_us;
    // so many bytes pay for all of it
    uint64_t fills = (uint64_t)full_us * p->rule.bytes_s / 1000000;
    int64_t paid_us = full_us;
    if (n <= fills)
        paid_us = (int64_t)(n * 1000000 / p->rule.bytes_s);
    if (p->until_us + paid_us < most_us)
        p->until_us = p->until_us + paid_us;
    else
        p->until_us = most_us;
}

void pace_pause(struct pace *p, int64_t for_us)
{
    if (p->rule.bytes_s)
        p->until_us += for_us;
}

bool pace_over(const struct pace *p, int64_t now_us)
{
    return now_us >= p->until_us;
}
