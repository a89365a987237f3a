// SPDX-License-Identifier: Apache-2.0
// See members.h. One thread, one lock.
#include "daemon/members.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/wait.h"
#include "daemon/private_edge.h"
#include "daemon/supervisor_ipc.h"

#define RETRY_MS 2000

void members_init(struct members *m, struct app *app)
{
    *m = (struct members){.app = app};
    pthread_mutex_init(&m->lock, NULL);
    wait_cond_init(&m->wake);
}

// ---- for the supervisor ----

// ERR_…: it is to be tried again.
static int leave(struct members *m, bool *out_changed)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    struct app *app = m->app;
    struct topology *t = snapshot_get(app->topology);
    int rc = private_edge_write(app->paths->private_edge, t, app->node->region, out_changed);
    snapshot_unref(t);
    if (rc)
        log_limited(&lim, LOG_WARN,
                    "daemon: %s: it cannot be written, the edge keeps the addresses of private "
                    "endpoints that it has: %s",
                    app->paths->private_edge, err_text(rc));
    return rc;
}

void members_leave(struct members *m)
{
    bool changed;
    if (leave(m, &changed))
        members_wake(m);
}

// ---- the thread ----

static bool turn(struct members *m)
{
    bool changed = false;
    if (leave(m, &changed))
        return false;
    if (changed && ipc_send(m->app->ipc_fd, &(struct ipc_message){.kind = IPC_RELOAD}))
        log_warn("daemon: the supervisor did not take the word to reload the edge");
    return true;
}

static void *members_main(void *ctx)
{
    struct members *m = ctx;
    pthread_mutex_lock(&m->lock);
    while (!m->stopping) {
        if (!m->due) {
            wait_cond(&m->wake, &m->lock, RETRY_MS);
            continue;
        }
        m->due = false;
        pthread_mutex_unlock(&m->lock);
        bool done = turn(m);
        pthread_mutex_lock(&m->lock);
        int64_t until_ms = clock_mono_ms() + (done ? MEMBERS_REST_MS : RETRY_MS);
        m->due = m->due || !done;
        while (!m->stopping && clock_mono_ms() < until_ms)
            wait_cond(&m->wake, &m->lock, until_ms - clock_mono_ms());
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

int members_start(struct members *m)
{
    if (pthread_create(&m->thread, NULL, members_main, m))
        return ERR_NOMEM;
    m->runs = true;
    return 0;
}

void members_wake(struct members *m)
{
    pthread_mutex_lock(&m->lock);
    m->due = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

void members_stop(struct members *m)
{
    if (!m->runs)
        return;
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    m->runs = false;
}
