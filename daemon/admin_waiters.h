// SPDX-License-Identifier: Apache-2.0
// Who waits at the admin API for the end of an operation. A wait holds a thread, of which the admin
// listener has few (daemon/worker_rooms.c): so there are only so many at once, and so many of one
// caller.
//
//   rc = admin_wait_begin(&waiters, "watcher");
//   if (rc) …429 for ERR_QUOTA, 503 for ERR_BUSY…
//   …
//   admin_wait_end(&waiters, "watcher");
//
// Any thread.
#ifndef MERIDIAN_DAEMON_ADMIN_WAITERS_H
#define MERIDIAN_DAEMON_ADMIN_WAITERS_H

#include <pthread.h>
#include <stddef.h>

#define ADMIN_WAITERS_MAX 16

struct admin_waiters {
    // at once, ADMIN_WAITERS_MAX at most; of one caller
    size_t max, max_of_one;
    pthread_mutex_t lock;
    // of those who wait; borrowed until admin_wait_end. NULL: nobody.
    const char *callers[ADMIN_WAITERS_MAX];
};
#define ADMIN_WAITERS_INIT(all, one)             \
    {                                            \
        (all), (one), PTHREAD_MUTEX_INITIALIZER, \
        {                                        \
            NULL                                 \
        }                                        \
    }

// `caller` lives until the end. ERR_QUOTA: so many of that caller wait already; ERR_BUSY: so many in all.
int admin_wait_begin(struct admin_waiters *w, const char *caller);
// As `caller`, the same pointer as at the beginning.
void admin_wait_end(struct admin_waiters *w, const char *caller);

#endif
