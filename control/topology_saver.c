// SPDX-License-Identifier: Apache-2.0
// See topology_saver.h. `waiting` and `stop` are touched under the lock only.
#include "control/topology_saver.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "control/compiled.h"

#include <errno.h>
#include <time.h>

struct topology_saver {
    char *path;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct topology *waiting;
    bool stop;
};

int topology_saver_write(const char *path, const struct topology *t, const struct buf *text)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    int rc = compiled_format(t, &out);
    const struct buf *b = text;
    if (rc != ERR_UNSUPPORTED)
        b = &out;
    if (b) {
        if (b->err)
            rc = b->err;
        else
            rc = file_write_atomic(path, buf_cstr(b), b->n, 0600);
    }
    static struct log_limit limit = LOG_LIMIT(60000);
    if (rc)
        log_limited(&limit, LOG_WARN, "config: cannot keep the last good topology at %s: %s", path,
                    err_text(rc));
    return rc;
}

// Under the lock. It waits for its next turn, unless a newer one does.
static void again(struct topology_saver *k, struct topology *t)
{
    int64_t until = clock_mono_ms() + TOPOLOGY_SAVER_RETRY_MS;
    struct timespec ts = {until / 1000, until % 1000 * 1000000};
    while (!k->waiting && !k->stop && pthread_cond_timedwait(&k->news, &k->lock, &ts) != ETIMEDOUT)
        ;
    if (!k->waiting && !k->stop)
        k->waiting = snapshot_ref(t);
}

static void *topology_saver_main(void *arg)
{
    struct topology_saver *k = arg;
    thread_step_back();
    pthread_mutex_lock(&k->lock);
    for (;;) {
        struct topology *t = take_ptr(k->waiting);
        if (t) {
            pthread_mutex_unlock(&k->lock);
            int rc = topology_saver_write(k->path, t, NULL);
            pthread_mutex_lock(&k->lock);
            if (rc && rc != ERR_UNSUPPORTED)
                again(k, t);
            snapshot_unref(t);
        } else if (k->stop) {
            break;
        } else {
            pthread_cond_wait(&k->news, &k->lock);
        }
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

int topology_saver_start(const char *path, struct topology_saver **out)
{
    struct topology_saver *k = mem_zalloc(sizeof *k);
    if (!k)
        return ERR_NOMEM;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->news, &attr);
    pthread_condattr_destroy(&attr);
    k->path = mem_strdup(path);
    int rc = ERR_NOMEM;
    if (k->path)
        rc = thread_start(&k->thread, topology_saver_main, k);
    k->running = !rc;
    if (rc)
        topology_saver_stop(k);
    else
        *out = k;
    return rc;
}

void topology_saver_offer(struct topology_saver *k, struct topology *t)
{
    struct topology *mine = snapshot_ref(t);
    pthread_mutex_lock(&k->lock);
    struct topology *before = k->waiting;
    k->waiting = mine;
    pthread_cond_signal(&k->news);
    pthread_mutex_unlock(&k->lock);
    snapshot_unref(before);
}

void topology_saver_stop(struct topology_saver *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->stop = true;
    pthread_cond_signal(&k->news);
    pthread_mutex_unlock(&k->lock);
    if (k->running)
        pthread_join(k->thread, NULL);
    snapshot_unref(k->waiting);
    pthread_cond_destroy(&k->news);
    pthread_mutex_destroy(&k->lock);
    free(k->path);
    free(k);
}
