// SPDX-License-Identifier: Apache-2.0
// Clocks; see clock.h.
#include "base/clock.h"

#include "base/clock_test.h"
#include "base/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

static _Atomic int virtual_on;
static _Atomic int64_t virtual_wall_ms, virtual_mono_ms;

static int64_t read_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    if (atomic_load(&virtual_on))
        return atomic_load(&virtual_wall_ms);
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_us(void)
{
    if (atomic_load(&virtual_on))
        return atomic_load(&virtual_mono_ms) * 1000;
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_kernel_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

void clock_sleep_ms(int64_t ms)
{
    if (atomic_load(&virtual_on)) {
        clock_virtual_advance(ms);
        return;
    }
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&ts, &ts) && errno == EINTR)
        ;
}

enum clock_kernel clock_kernel_state(void)
{
    struct timex t = {.modes = 0}; // only asks
    int state = adjtimex(&t);
    if (state < 0)
        return CLOCK_KERNEL_UNKNOWN;
    if (state == TIME_ERROR || (t.status & STA_UNSYNC))
        return CLOCK_KERNEL_UNSYNCHRONISED;
    return CLOCK_KERNEL_SYNCHRONISED;
}

void clock_virtual_set(int64_t wall_ms)
{
    atomic_store(&virtual_wall_ms, wall_ms);
    atomic_store(&virtual_mono_ms, 1000000);
    atomic_store(&virtual_on, 1);
}

void clock_virtual_advance(int64_t ms)
{
    atomic_fetch_add(&virtual_wall_ms, ms);
    atomic_fetch_add(&virtual_mono_ms, ms);
}

void clock_virtual_jump_wall(int64_t ms)
{
    atomic_fetch_add(&virtual_wall_ms, ms);
}

void clock_virtual_off(void)
{
    atomic_store(&virtual_on, 0);
}

const char *clock_format(int64_t wall_ms, char buf[CLOCK_TEXT_SIZE])
{
    int64_t sec = wall_ms / 1000, ms = wall_ms % 1000;
    if (ms < 0) {
        sec--;
        ms += 1000;
    }
    time_t t = (time_t)sec;
    struct tm tm;
    if (!gmtime_r(&t, &tm)) {
        snprintf(buf, CLOCK_TEXT_SIZE, "invalid-time");
        return buf;
    }
    size_t n = strftime(buf, CLOCK_TEXT_SIZE - 6, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, CLOCK_TEXT_SIZE - n, ".%03dZ", (int)ms);
    return buf;
}

const char *clock_format_s(int64_t wall_s, char buf[CLOCK_TEXT_SIZE])
{
    time_t t = (time_t)wall_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(buf, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(buf, CLOCK_TEXT_SIZE, "invalid-time");
    return buf;
}

// What reads back as it was written is a time that exists.
int clock_parse_s(const char *text, int64_t *out_wall_s)
{
    struct tm tm = {0};
    char again[CLOCK_TEXT_SIZE];
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end || strlen(text) != 20)
        return ERR_INVAL;
    int64_t at = (int64_t)timegm(&tm);
    if (at < 0 || strcmp(clock_format_s(at, again), text) != 0)
        return ERR_INVAL;
    *out_wall_s = at;
    return 0;
}

uint64_t hlc_next(struct hlc *h, int64_t wall_ms)
{
    uint64_t wall = hlc_from_wall(wall_ms > 0 ? wall_ms : 0);
    if (wall > h->last)
        h->last = wall;
    else
        h->last = h->last + 1;
    return h->last;
}
