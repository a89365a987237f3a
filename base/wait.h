// SPDX-License-Identifier: Apache-2.0
// Waiting on a condition variable with a limit, on the monotonic clock, and the delay before
// another try.
//
//   wait_cond_init(&cond);
//   while (!ready)
//       wait_cond(&cond, &lock, 200);             // under the lock; 200 ms at most
//   retry_at = clock_mono_ms() + wait_backoff_ms(n_failures, 500, 15000);
//
// Threads: as pthread_cond_timedwait(3); nothing is kept here.
#ifndef MERIDIAN_BASE_WAIT_H
#define MERIDIAN_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

// Every condition variable that wait_cond takes is made by this. pthread_cond_destroy ends it.
void wait_cond_init(pthread_cond_t *c);
// Returns when somebody signals, after `ms`, or for no reason.
void wait_cond(pthread_cond_t *c, pthread_mutex_t *m, int64_t ms);
// False: nobody signalled for `us`. On the kernel's clock, whatever a test has set.
bool wait_cond_us(pthread_cond_t *c, pthread_mutex_t *m, int64_t us);
// `first_ms` doubled `failures` times, at most max_ms, times 0.5 to 1.0 by chance, so that many
// callers do not come back at the same moment.
int64_t wait_backoff_ms(unsigned failures, int64_t first_ms, int64_t max_ms);

#endif
