// SPDX-License-Identifier: Apache-2.0
// base/thread: which signals a thread takes, and that it lets others go first.
#include "base/thread.h"

#include "tests/support/check_main.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

struct seen {
    sigset_t blocked;
    int before, after;
};

static void *look(void *arg)
{
    struct seen *s = arg;
    pthread_sigmask(SIG_BLOCK, NULL, &s->blocked);
    s->before = getpriority(PRIO_PROCESS, 0);
    thread_step_back();
    s->after = getpriority(PRIO_PROCESS, 0);
    return NULL;
}

START_TEST(a_thread_takes_no_signals_and_steps_back_alone)
{
    struct seen s;
    sigset_t mine;
    pthread_t t;
    int own = getpriority(PRIO_PROCESS, (id_t)getpid()), back = own + 10 < 19 ? own + 10 : 19;
    ck_assert_int_eq(thread_start(&t, look, &s), 0);
    pthread_join(t, NULL);
    ck_assert(sigismember(&s.blocked, SIGTERM) && sigismember(&s.blocked, SIGPIPE));
    ck_assert(!sigismember(&s.blocked, SIGSYS));
    ck_assert_int_eq(s.before, own);
    ck_assert_int_eq(s.after, back);
    ck_assert_int_eq(getpriority(PRIO_PROCESS, (id_t)getpid()), own);
    pthread_sigmask(SIG_BLOCK, NULL, &mine);
    ck_assert(!sigismember(&mine, SIGTERM)); // the starter's are as they were
}
END_TEST

CHECK_MAIN("base/thread", a_thread_takes_no_signals_and_steps_back_alone)
