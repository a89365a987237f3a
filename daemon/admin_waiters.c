// SPDX-License-Identifier: Apache-2.0
// See admin_waiters.h.
#include "daemon/admin_waiters.h"

#include "base/err.h"

#include <string.h>

static int place_for(const struct admin_waiters *w, const char *caller, size_t *out)
{
    size_t own = 0, all = 0;
    for (size_t i = 0; i < ADMIN_WAITERS_MAX; i++) {
        if (!w->callers[i]) {
            *out = i;
            continue;
        }
        all++;
        own += !strcmp(w->callers[i], caller);
    }
    if (own >= w->max_of_one)
        return ERR_QUOTA;
    if (all >= w->max || all >= ADMIN_WAITERS_MAX)
        return ERR_BUSY;
    return 0;
}

int admin_wait_begin(struct admin_waiters *w, const char *caller)
{
    size_t at = 0;
    pthread_mutex_lock(&w->lock);
    int rc = place_for(w, caller, &at);
    if (!rc)
        w->callers[at] = caller;
    pthread_mutex_unlock(&w->lock);
    return rc;
}

void admin_wait_end(struct admin_waiters *w, const char *caller)
{
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < ADMIN_WAITERS_MAX; i++)
        if (w->callers[i] == caller) {
            w->callers[i] = NULL;
            break;
        }
    pthread_mutex_unlock(&w->lock);
}
