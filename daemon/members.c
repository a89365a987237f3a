// SPDX-License-Identifier: Apache-2.0
// See members.h. One thread, one lock.
#include "daemon/members.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/wait.h"
#include "daemon/members_heard.h"
#include "daemon/private_edge.h"
#include "daemon/supervisor_ipc.h"

#define RETRY_MS 2000

// What was heard in one round counts until it was heard in the next, and is in a report that may be some
// seconds old.
_Static_assert(MEMBERS_REST_MS + PROBE_EVERY_MS + MEMBER_ROUND_MS <= MEMBERS_HEARD_MS / 2,
               "a round of probes takes too long for what it hears");

void members_init(struct members *m, struct app *app)
{
    *m = (struct members){.app = app};
    pthread_mutex_init(&m->lock, NULL);
    wait_cond_init(&m->wake);
    member_probes_init(&m->probes, app);
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

// Reports of what was heard are read by the engine of operations, which only the control feed has. A
// resolver alone has no full topology.
static bool asks(const struct app *app)
{
    return app->feed && app->node->roles != ROLE_RESOLVER;
}

// False: something is to be tried again.
static bool look(struct members *m)
{
    bool changed = false;
    int rc = leave(m, &changed);
    m->owes_reload |= !rc && changed;
    if (m->owes_reload) {
        int sent = ipc_send(m->app->ipc_fd, &(struct ipc_message){.kind = IPC_RELOAD});
        m->owes_reload = sent != 0;
        if (sent) {
            log_warn("daemon: the supervisor did not take the word to reload the edge");
            rc = sent;
        }
    }
    if (asks(m->app) && member_probes_collect(&m->probes))
        rc = ERR_NOMEM;
    return !rc;
}

// Under the lock. At most so long.
static void rest(struct members *m, int64_t ms)
{
    int64_t until_ms = clock_mono_ms() + ms;
    while (!m->stopping && clock_mono_ms() < until_ms)
        wait_cond(&m->wake, &m->lock, until_ms - clock_mono_ms());
}

// Under the lock, which it lets go meanwhile: what is to be done now.
static void turn(struct members *m)
{
    bool due = m->due, done = true;
    m->due = false;
    pthread_mutex_unlock(&m->lock);
    if (due)
        done = look(m);
    if (member_probes_any(&m->probes))
        member_probes_round(&m->probes);
    pthread_mutex_lock(&m->lock);
    m->due = m->due || !done;
    rest(m, done ? MEMBERS_REST_MS : RETRY_MS);
}

static void *members_main(void *ctx)
{
    struct members *m = ctx;
    pthread_mutex_lock(&m->lock);
    while (!m->stopping) {
        int64_t until_ms = clock_mono_ms() + PROBE_EVERY_MS;
        while (!m->stopping && !m->due && clock_mono_ms() < until_ms)
            wait_cond(&m->wake, &m->lock, until_ms - clock_mono_ms());
        if (!m->stopping && (m->due || member_probes_any(&m->probes)))
            turn(m);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

void *members_report(struct members *m)
{
    if (!m)
        return NULL;
    return member_probes_json(&m->probes);
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
    member_probes_stop(&m->probes);
    pthread_join(m->thread, NULL);
    m->runs = false;
    member_probes_done(&m->probes);
}
