// SPDX-License-Identifier: Apache-2.0
// See keep.h. `waiting` and `stop` are touched under the lock only.
#include "config/keep.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "config/compiled.h"

struct keep {
    char *path;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct topology *waiting;
    bool stop;
};

void keep_write(const char *path, const struct topology *t, const struct buf *text)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    int rc = compiled_format(t, &out);
    const struct buf *b = rc == ERR_UNSUPPORTED ? text : &out;
    if (b)
        rc = b->err ? b->err : file_write_atomic(path, buf_cstr(b), b->n, 0600);
    if (rc)
        log_warn("config: cannot keep the last good topology at %s: %s", path, err_text(rc));
}

static void *keep_main(void *arg)
{
    struct keep *k = arg;
    thread_step_back();
    pthread_mutex_lock(&k->lock);
    for (;;) {
        struct topology *t = take_ptr(k->waiting);
        if (t) {
            pthread_mutex_unlock(&k->lock);
            keep_write(k->path, t, NULL);
            snapshot_unref(t);
            pthread_mutex_lock(&k->lock);
        } else if (k->stop) {
            break;
        } else {
            pthread_cond_wait(&k->news, &k->lock);
        }
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

int keep_start(const char *path, struct keep **out)
{
    struct keep *k = mem_zalloc(sizeof *k);
    if (!k)
        return ERR_NOMEM;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->news, NULL);
    k->path = mem_strdup(path);
    int rc = k->path ? thread_start(&k->thread, keep_main, k) : ERR_NOMEM;
    k->running = !rc;
    if (rc)
        keep_stop(k);
    else
        *out = k;
    return rc;
}

void keep_offer(struct keep *k, struct topology *t)
{
    struct topology *mine = snapshot_ref(t);
    pthread_mutex_lock(&k->lock);
    struct topology *before = k->waiting;
    k->waiting = mine;
    pthread_cond_signal(&k->news);
    pthread_mutex_unlock(&k->lock);
    snapshot_unref(before);
}

void keep_stop(struct keep *k)
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
