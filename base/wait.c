// SPDX-License-Identifier: Apache-2.0
// Waiting with a limit; see wait.h.
#include "base/wait.h"

#include "base/clock.h"
#include "base/digest.h"

#include <errno.h>
#include <time.h>

void wait_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

void wait_cond(pthread_cond_t *c, pthread_mutex_t *m, int64_t ms)
{
    int64_t at = clock_mono_ms() + (ms < 0 ? 0 : ms);
    struct timespec ts = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
    pthread_cond_timedwait(c, m, &ts);
}

bool wait_cond_us(pthread_cond_t *c, pthread_mutex_t *m, int64_t us)
{
    int64_t at = clock_kernel_mono_us() + us;
    struct timespec ts = {.tv_sec = at / 1000000, .tv_nsec = at % 1000000 * 1000};
    return pthread_cond_timedwait(c, m, &ts) != ETIMEDOUT;
}

int64_t wait_backoff_ms(unsigned failures, int64_t first_ms, int64_t max_ms)
{
    int64_t ms = first_ms;
    for (unsigned i = 0; i < failures && ms < max_ms; i++)
        ms *= 2;
    if (ms > max_ms)
        ms = max_ms;
    uint16_t chance = 0;
    random_bytes(&chance, sizeof chance); // without it: half, which is in range
    return ms / 2 + ms * chance / 2 / 65536;
}
