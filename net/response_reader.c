// SPDX-License-Identifier: Apache-2.0
// Pulled response bodies; see response_reader.h. The callbacks run on the fetcher's thread, all
// else on the owner's.
//
// Invariants
//   1. `finished` becomes true once, and no callback comes after it; until then `handle`, once it is
//      known, may be canceled and resumed.
//   2. A reader is freed when both the owner and the fetcher have let it go, and not before.
//   3. A running request that is paused has bytes that the owner did not read yet: reading them
//      resumes it.
#include "net/response_reader.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"

#include <assert.h>
#include <string.h>

#define STOP_LOOK_MS 100
#define ERROR_BODY_MAX (64u << 10)

struct response_reader {
    struct fetcher *fetcher;
    const _Atomic bool *stop;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // valid until `finished`
    struct fetch *handle;
    struct buf data;
    // NULL: nobody asks
    _Atomic int64_t *heard_mono;
    bool paused, finished, closed;
    int status, err;
    // as the fetcher left it; the owner's copy
    char message[256], said[256];
    // owner and fetcher
    unsigned refs;
};

static void response_reader_unref(struct response_reader *f)
{
    pthread_mutex_lock(&f->lock);
    assert(f->refs > 0); // invariant 2
    bool last = --f->refs == 0;
    pthread_mutex_unlock(&f->lock);
    if (!last)
        return;
    buf_done(&f->data);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

// Under the lock.
static void heard(struct response_reader *f, int64_t when)
{
    if (f->heard_mono)
        *f->heard_mono = when;
}

static int on_data(void *ctx, struct fetch *h, const uint8_t *p, size_t n)
{
    struct response_reader *f = ctx;
    int rc = 0;
    pthread_mutex_lock(&f->lock);
    f->handle = h;
    if (f->closed) {
        rc = ERR_CANCELED;
    } else if (f->data.n && f->data.n + n > RESPONSE_READER_BYTES) {
        f->paused = true;
        heard(f, INT64_MAX);
        rc = ERR_BUSY; // the same bytes come again after fetch_resume
    } else {
        buf_add(&f->data, p, n);
        rc = f->data.err;
        heard(f, clock_mono_ms());
        pthread_cond_signal(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static void on_headers(void *ctx, struct fetch *h, int status)
{
    struct response_reader *f = ctx;
    pthread_mutex_lock(&f->lock);
    f->handle = h;
    f->status = status;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void on_done(void *ctx, struct fetch_result *r)
{
    struct response_reader *f = ctx;
    pthread_mutex_lock(&f->lock);
    assert(!f->finished); // invariant 1
    f->finished = true;
    f->handle = NULL;
    f->err = r->err;
    if (r->status)
        f->status = r->status;
    memcpy(f->message, r->message, sizeof f->message);
    f->message[sizeof f->message - 1] = '\0';
    if (!r->err && r->body.n && r->body.n <= ERROR_BODY_MAX)
        buf_add(&f->data, r->body.p, r->body.n);
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    response_reader_unref(f);
}

int response_reader_open(struct fetcher *fetcher, const struct fetch_request *q,
                         const _Atomic bool *stop, struct response_reader **out)
{
    struct response_reader *f = mem_zalloc(sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->fetcher = fetcher;
    f->stop = stop;
    f->refs = 2;
    pthread_mutex_init(&f->lock, NULL);
    wait_cond_init(&f->changed);
    // one delivery may go past the mark where it pauses
    buf_init(&f->data, 2 * RESPONSE_READER_BYTES);
    struct fetch_request mine = *q;
    mine.on_data = on_data;
    mine.on_headers = on_headers;
    mine.ctx = f;
    if (!mine.max_bytes)
        mine.max_bytes = ERROR_BODY_MAX;
    struct fetch *handle = NULL;
    pthread_mutex_lock(&f->lock); // callbacks wait until the handle is known
    int rc = fetch_start(fetcher, &mine, on_done, &handle);
    if (!rc)
        f->handle = handle;
    else
        f->refs = 1;
    pthread_mutex_unlock(&f->lock);
    if (rc) {
        response_reader_unref(f);
        return rc;
    }
    *out = f;
    return 0;
}

void response_reader_watch(struct response_reader *f, _Atomic int64_t *heard_mono)
{
    pthread_mutex_lock(&f->lock);
    f->heard_mono = heard_mono;
    pthread_mutex_unlock(&f->lock);
}

// Waits, under the lock, until something changed or the deadline passed. ERR_TIMEOUT, ERR_CANCELED.
static int wait_change(struct response_reader *f, int64_t deadline_ms)
{
    assert(!f->paused); // invariant 3: nothing would come
    int64_t now = clock_mono_ms();
    if (*f->stop)
        return ERR_CANCELED;
    if (now >= deadline_ms)
        return ERR_TIMEOUT;
    int64_t left = deadline_ms - now;
    if (left > STOP_LOOK_MS)
        left = STOP_LOOK_MS;
    wait_cond(&f->changed, &f->lock, left);
    return 0;
}

int response_reader_status(struct response_reader *f, int wait_ms)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    int rc = 0;
    pthread_mutex_lock(&f->lock);
    while (!rc && !f->status && !f->finished)
        rc = wait_change(f, deadline);
    if (!rc) {
        // what came before it broke counts
        if (f->status)
            rc = f->status;
        else if (f->err)
            rc = f->err;
        else
            rc = ERR_PROTO;
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

ssize_t response_reader_read(struct response_reader *f, void *to, size_t cap, int wait_ms)
{
    int64_t deadline = clock_mono_ms() + wait_ms;
    ssize_t got = 0;
    pthread_mutex_lock(&f->lock);
    while (!got && !f->data.n && !f->finished)
        got = wait_change(f, deadline);
    if (!got && f->data.n) {
        size_t n = cap;
        if (f->data.n < cap)
            n = f->data.n;
        memcpy(to, f->data.p, n);
        buf_consume(&f->data, n);
        got = (ssize_t)n;
        if (f->paused && !f->finished && f->data.n < RESPONSE_READER_BYTES / 2) {
            f->paused = false;
            heard(f, clock_mono_ms());
            fetch_resume(f->fetcher, f->handle);
        }
    } else if (!got) {
        got = f->err;
    }
    pthread_mutex_unlock(&f->lock);
    return got;
}

const char *response_reader_message(struct response_reader *f)
{
    pthread_mutex_lock(&f->lock); // it may still be running
    memcpy(f->said, f->message, sizeof f->said);
    pthread_mutex_unlock(&f->lock);
    return f->said;
}

void response_reader_close(struct response_reader *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    assert(!f->closed); // invariant 2
    f->closed = true;
    if (f->paused)
        heard(f, clock_mono_ms());
    f->heard_mono = NULL;
    if (!f->finished && f->handle)
        fetch_cancel(f->fetcher, f->handle);
    pthread_mutex_unlock(&f->lock);
    response_reader_unref(f);
}
