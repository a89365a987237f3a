// SPDX-License-Identifier: Apache-2.0
// See thread.h.
#include "base/thread.h"

#include "base/err.h"

#include <signal.h>
#include <sys/resource.h>

#define NICE 10

int thread_start(pthread_t *t, void *(*main)(void *), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = pthread_create(t, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e)
        return err_from_errno(e);
    return 0;
}

void thread_step_back(void)
{
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICE);
}
