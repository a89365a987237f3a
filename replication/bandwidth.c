// SPDX-License-Identifier: Apache-2.0
// Token buckets of bytes, for all regions and for each; see bandwidth.h. A bucket is one number, the
// time at which all that was taken is paid (the "theoretical arrival time" of the generic cell rate
// algorithm, ITU-T I.371).
#include "replication/bandwidth.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>

#define LOOK_MS 50

struct bandwidth {
    struct fetch_rates rates;
    pthread_mutex_t lock;

    // Under the lock.

    int64_t all_due_us;
};

int bandwidth_new(const struct fetch_rates *rates, struct bandwidth **out)
{
    struct bandwidth *b = mem_zalloc(sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->rates = *rates;
    pthread_mutex_init(&b->lock, NULL);
    *out = b;
    return 0;
}

void bandwidth_free(struct bandwidth *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static bool is_set(const _Atomic bool *flag)
{
    return flag && *flag;
}

// Takes n bytes of a bucket of that rate: when they are due. What is urgent leaves no more debt than
// others may be kept waiting.
static int64_t bucket_take(int64_t *due_us, uint64_t rate, size_t n, bool urgent, int64_t now_us)
{
    if (*due_us < now_us || !rate)
        *due_us = now_us;
    if (!rate)
        return now_us;
    int64_t due = *due_us + (int64_t)((double)n * 1e6 / (double)rate);
    if (urgent && due > now_us + DEBT_MAX_US)
        due = now_us + DEBT_MAX_US;
    if (due > *due_us)
        *due_us = due;
    return *due_us;
}

static int64_t take(struct bandwidth *b, struct bandwidth_line *line, size_t n, bool urgent,
                    int64_t now_us)
{
    uint64_t rate = fetch_rate_at(&b->rates, clock_wall_ms());
    pthread_mutex_lock(&b->lock);
    int64_t due = bucket_take(&b->all_due_us, rate, n, urgent, now_us);
    int64_t line_due = bucket_take(&line->due_us, b->rates.rate_per_region, n, urgent, now_us);
    line->bytes += n;
    pthread_mutex_unlock(&b->lock);
    if (line_due > due)
        return line_due;
    return due;
}

int bandwidth_take(struct bandwidth *b, struct bandwidth_line *line, size_t n,
                   const _Atomic bool *urgent, const _Atomic bool *stop)
{
    int64_t began = clock_mono_us(), now = began;
    int64_t due = take(b, line, n, is_set(urgent), now);
    while (now < due && !is_set(urgent) && !is_set(stop)) {
        int64_t left_ms = (due - now + 999) / 1000;
        clock_sleep_ms(left_ms < LOOK_MS ? left_ms : LOOK_MS);
        now = clock_mono_us();
    }
    if (now > began) {
        pthread_mutex_lock(&b->lock);
        line->waited_us += (uint64_t)(now - began);
        pthread_mutex_unlock(&b->lock);
    }
    if (is_set(stop))
        return ERR_CANCELED;
    return 0;
}

void bandwidth_look(struct bandwidth *b, const struct bandwidth_line *line,
                    struct bandwidth_line *out)
{
    pthread_mutex_lock(&b->lock);
    *out = *line;
    pthread_mutex_unlock(&b->lock);
}

uint64_t bandwidth_rate(struct bandwidth *b)
{
    return fetch_rate_at(&b->rates, clock_wall_ms());
}
