// SPDX-License-Identifier: Apache-2.0
// Waiting with a limit on a condition variable, on the monotonic clock. For the threads of this
// room.
#ifndef MERIDIAN_REPLICATION_WAIT_H
#define MERIDIAN_REPLICATION_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void wait_cond_init(pthread_cond_t *c);
// returns when signalled, after ms, or for no reason
void wait_cond(pthread_cond_t *c, pthread_mutex_t *m, int64_t ms);
// Backoff: first_ms doubled `failures` times, at most max_ms, times 0.5 to 1.0 by chance, so that
// many do not come back as one.
int64_t wait_backoff_ms(unsigned failures, int64_t first_ms, int64_t max_ms);

#endif
