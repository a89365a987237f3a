// SPDX-License-Identifier: Apache-2.0
// The only place that reads the time: wall, monotonic, and hybrid logical. Nothing else calls
// clock_gettime or time(). A test may put the process on a virtual clock
// (base/clock_test.h).
//
//   int64_t until_ms = clock_mono_ms() + 500;         // intervals: monotonic
//   uint64_t stamp = hlc_next(&h, clock_wall_ms());   // order of writes: hybrid
//
// The hybrid logical stamp is a uint64: 48 bits of Unix milliseconds, then 16 bits of counter.
// Stamps from one `struct hlc` strictly increase, also when the wall clock jumps back. After a
// restart the owner seeds it with the highest stored stamp: the next one is max(stored + 1, wall).
#ifndef MERIDIAN_BASE_CLOCK_H
#define MERIDIAN_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_ms(void); // Unix time
int64_t clock_mono_ms(void); // for intervals; no relation to the wall
int64_t clock_mono_us(void);
// The kernel's own monotonic clock, also while a virtual one is set: for deadlines that the kernel
// keeps (base/wait.h), and for nothing else.
int64_t clock_kernel_mono_us(void);
// The wall clock less the monotonic one: it changes when the wall clock is set, by so much, and little
// else. To within a millisecond.
int64_t clock_base_us(void);
void clock_sleep_ms(int64_t ms); // on the virtual clock: advances it and returns

// Does a time service (NTP, PTP) discipline the kernel's clock? adjtimex(2).
enum clock_kernel {
    CLOCK_KERNEL_UNKNOWN, // the kernel does not say
    CLOCK_KERNEL_SYNCHRONISED,
    CLOCK_KERNEL_UNSYNCHRONISED
};
enum clock_kernel clock_kernel_state(void);

#define CLOCK_TEXT_SIZE 32
// RFC 3339 in UTC with milliseconds, "2026-11-23T19:58:50.123Z"; returns buf.
const char *clock_format(int64_t wall_ms, char buf[CLOCK_TEXT_SIZE]);
// The same of whole seconds, as documents have it: "2026-11-23T19:58:50Z".
const char *clock_format_s(int64_t wall_s, char buf[CLOCK_TEXT_SIZE]);
// Reads that form, and no other; from 1970 on. ERR_INVAL.
int clock_parse_s(const char *text, int64_t *out_wall_s);

struct hlc { // not thread-safe: its owner (the metadata writer) serialises
    uint64_t last;
};

uint64_t hlc_next(struct hlc *h, int64_t wall_ms); // mint: greater than all before
static inline int64_t hlc_wall_ms(uint64_t stamp)
{
    return (int64_t)(stamp >> 16);
}
static inline uint64_t hlc_from_wall(int64_t wall_ms)
{
    return (uint64_t)wall_ms << 16;
}
// The highest stamp that is no further ahead of the wall clock than `skew_ms`.
static inline uint64_t hlc_limit(int64_t wall_ms, uint32_t skew_ms)
{
    return hlc_from_wall((wall_ms > 0 ? wall_ms : 0) + skew_ms) | 0xffff;
}

#endif
