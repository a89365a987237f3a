// SPDX-License-Identifier: Apache-2.0
// HTTP client over one libcurl multi loop; see fetch.h, and fetch_priv.h for its invariants.
#include "net/fetch_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define FETCH_HEADERS_MAX (64 << 10)
#define SILENT "the region went silent"

// --- one request ---

static void fetch_free(struct fetch *h)
{
    if (!h)
        return;
    if (h->easy)
        curl_easy_cleanup(h->easy);
    curl_slist_free_all(h->headers);
    curl_slist_free_all(h->connect_to);
    fetch_result_done(&h->result);
    free(h->body);
    free(h->pins);
    free(h->peer);
    free(h);
}

static void fetch_finish(struct fetch *h, int err, const char *message)
{
    struct fetcher *f = h->fetcher;
    assert((f->running == h) == !h->prev);
    if (h->prev)
        h->prev->next = h->next;
    else
        f->running = h->next;
    if (h->next)
        h->next->prev = h->prev;
    curl_multi_remove_handle(f->multi, h->easy);
    struct fetch_result *r = &h->result;
    r->err = err;
    if (err)
        snprintf(r->message, sizeof r->message, "%s",
                 message && *message ? message : err_text(err));
    r->elapsed_ms = clock_mono_ms() - h->started_ms;
    h->done(h->ctx, r);
    fetch_free(h);
}

// --- the loop ---

static void loop_completed(struct fetcher *f)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(f->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct fetch *h = NULL;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&h);
        char text[sizeof h->result.message];
        const char *message;
        int err = fetch_outcome(h, code, text, sizeof text, &message);
        fetch_finish(h, err, message);
    }
}

static void loop_losses(struct fetcher *f)
{
    unsigned n = atomic_load(&f->n_losses);
    if (n == f->n_losses_seen)
        return;
    f->n_losses_seen = n;
    for (struct fetch *h = f->running, *next; h; h = next) {
        next = h->next;
        if (fetch_lost(f, h))
            fetch_finish(h, ERR_UNREACHABLE, SILENT);
    }
}

// Flags set by other threads, and idle time. Returns how long the loop may sleep.
static int loop_attend(struct fetcher *f)
{
    int64_t now = clock_mono_ms(), wait = 1000;
    for (struct fetch *h = f->running, *next; h; h = next) {
        next = h->next;
        if (atomic_load(&h->cancel)) {
            fetch_finish(h, ERR_CANCELED, NULL);
            continue;
        }
        if (h->paused && atomic_exchange(&h->resume, false)) {
            h->paused = false;
            h->last_byte_ms = now;
            curl_easy_pause(h->easy, CURLPAUSE_CONT); // may deliver at once, and pause again
            wait = 0;
        }
        if (!h->idle_timeout_ms || h->paused)
            continue;
        int64_t left = h->last_byte_ms + h->idle_timeout_ms - now;
        if (left <= 0)
            fetch_finish(h, ERR_TIMEOUT, "nothing came for too long");
        else if (left < wait)
            wait = left;
    }
    return (int)wait;
}

static void loop_accept(struct fetcher *f, struct fetch *h)
{
    while (h) {
        struct fetch *next = h->next;
        h->prev = NULL;
        h->next = f->running;
        // The analyser thinks that curl's calls may put back what fetch_finish took out of the
        // list.
        if (h->next)
            h->next->prev = h; // NOLINT(clang-analyzer-unix.Malloc)
        f->running = h;
        h->last_byte_ms = clock_mono_ms();
        if (curl_multi_add_handle(f->multi, h->easy))
            fetch_finish(h, ERR_NOMEM, NULL);
        else if (fetch_lost(f, h))
            fetch_finish(h, ERR_UNREACHABLE, SILENT);
        h = next;
    }
}

static void *loop_thread(void *arg)
{
    struct fetcher *f = arg;
    pthread_setname_np(pthread_self(), f->name);
    for (;;) {
        pthread_mutex_lock(&f->lock);
        struct fetch *news = take_ptr(f->inbox);
        bool stop = f->stop;
        pthread_mutex_unlock(&f->lock);
        loop_accept(f, news);
        if (stop)
            break;
        int running;
        curl_multi_perform(f->multi, &running);
        loop_completed(f);
        loop_losses(f);
        int wait = loop_attend(f);
        curl_multi_poll(f->multi, NULL, 0, wait, NULL);
    }
    while (f->running)
        // As above. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
        fetch_finish(f->running, ERR_CANCELED, NULL);
    return NULL;
}

// --- what callers use ---

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int fetcher_new(struct fetcher **out)
{
    return fetcher_new_named("fetch", out);
}

int fetcher_new_named(const char *thread, struct fetcher **out)
{
    pthread_once(&curl_once, curl_start);
    struct fetcher *f = mem_zalloc(sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->name = thread;
    f->multi = curl_multi_init();
    pthread_mutex_init(&f->lock, NULL);
    if (!f->multi || pthread_create(&f->thread, NULL, loop_thread, f)) {
        if (f->multi)
            curl_multi_cleanup(f->multi);
        pthread_mutex_destroy(&f->lock);
        free(f);
        return ERR_NOMEM;
    }
    *out = f;
    return 0;
}

void fetcher_set_suspect(struct fetcher *f,
                         void (*suspect)(void *ctx, const char *peer, char *out, size_t cap),
                         void *ctx)
{
    f->suspect = suspect;
    f->suspect_ctx = ctx;
}

void fetcher_free(struct fetcher *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    curl_multi_wakeup(f->multi);
    pthread_join(f->thread, NULL);
    curl_multi_cleanup(f->multi);
    fetch_losses_free(f);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static bool url_ok(const struct fetch_request *q)
{
    return q->url && (!strncmp(q->url, "https://", 8) ||
                      ((q->unix_socket || q->connect_only) && !strncmp(q->url, "http://", 7)));
}

int fetch_start(struct fetcher *f, const struct fetch_request *q,
                void (*done)(void *ctx, struct fetch_result *r), struct fetch **out_handle)
{
    if (!url_ok(q) || (!q->timeout_ms && !q->idle_timeout_ms))
        return ERR_INVAL;
    struct fetch *h = mem_zalloc(sizeof *h);
    if (!h)
        return ERR_NOMEM;
    h->fetcher = f;
    if (q->max_bytes)
        h->max_bytes = q->max_bytes;
    else
        h->max_bytes = 1 << 20;
    h->idle_timeout_ms = q->idle_timeout_ms;
    h->on_data = q->on_data;
    h->on_headers = q->on_headers;
    h->ctx = q->ctx;
    h->done = done;
    h->started_ms = clock_mono_ms();
    buf_init(&h->result.body, 0);
    buf_init(&h->result.headers, FETCH_HEADERS_MAX);
    h->easy = curl_easy_init();
    int rc = ERR_NOMEM;
    if (h->easy)
        rc = fetch_setup(h, q);
    if (rc) {
        fetch_free(h);
        return rc;
    }
    if (out_handle)
        *out_handle = h; // before the loop can see it: done may come at once
    pthread_mutex_lock(&f->lock);
    bool stopped = f->stop;
    if (!stopped) {
        h->next = f->inbox;
        f->inbox = h;
    }
    pthread_mutex_unlock(&f->lock);
    if (stopped) {
        fetch_free(h);
        return ERR_CLOSED;
    }
    curl_multi_wakeup(f->multi);
    return 0;
}

void fetch_cancel(struct fetcher *f, struct fetch *h)
{
    atomic_store(&h->cancel, true);
    curl_multi_wakeup(f->multi);
}

void fetch_resume(struct fetcher *f, struct fetch *h)
{
    atomic_store(&h->resume, true);
    curl_multi_wakeup(f->multi);
}
