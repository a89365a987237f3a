// SPDX-License-Identifier: Apache-2.0
// Uploads at rest between requests; see open_uploads.h. A list: it holds a few hundred at most, and
// a look through it costs less than the write that follows.
#include "registry/open_uploads.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct handle {
    // older, newer
    struct handle *prev, *next;
    struct blob_upload *u;
    // mono
    int64_t parked_ms;
    char id[];
};

static void unlink_handle(struct open_uploads *h, struct handle *e)
{
    assert(h->n);
    if (e->prev)
        e->prev->next = e->next;
    else
        h->oldest = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        h->newest = e->prev;
    h->n--;
    assert(!h->oldest == !h->n);
}

static void close_handle(struct open_uploads *h, struct handle *e)
{
    unlink_handle(h, e);
    blob_upload_close(e->u);
    free(e);
}

static void close_oldest(struct open_uploads *h)
{
    assert(!h->oldest->prev);
    close_handle(h, h->oldest);
}

static struct handle *find(struct open_uploads *h, const char *id)
{
    struct handle *e = h->newest;
    while (e && strcmp(e->id, id) != 0)
        e = e->prev;
    return e;
}

static void sweep(struct open_uploads *h, int64_t now_ms)
{
    while (h->oldest && now_ms - h->oldest->parked_ms > HANDLES_IDLE_MS)
        close_oldest(h);
}

void open_uploads_init(struct open_uploads *h)
{
    *h = (struct open_uploads){.max = HANDLES_MAX};
    pthread_mutex_init(&h->lock, NULL);
}

void open_uploads_open_after(struct open_uploads *h, unsigned ms)
{
    pthread_mutex_lock(&h->lock);
    h->closed = ms > 0;
    h->opens_ms = clock_mono_ms() + ms;
    pthread_mutex_unlock(&h->lock);
}

void open_uploads_done(struct open_uploads *h)
{
    while (h->oldest)
        close_oldest(h);
    pthread_mutex_destroy(&h->lock);
}

void open_uploads_close(struct open_uploads *h)
{
    pthread_mutex_lock(&h->lock);
    h->closed = true;
    h->opens_ms = 0;
    while (h->oldest)
        close_oldest(h);
    pthread_mutex_unlock(&h->lock);
}

struct blob_upload *open_uploads_take(struct open_uploads *h, const char *id)
{
    struct blob_upload *u = NULL;
    pthread_mutex_lock(&h->lock);
    struct handle *e = find(h, id);
    if (e) {
        unlink_handle(h, e);
        u = e->u;
        free(e);
        h->n_reused++;
    }
    pthread_mutex_unlock(&h->lock);
    return u;
}

void open_uploads_park(struct open_uploads *h, const char *id, struct blob_upload *u)
{
    size_t n = strlen(id) + 1;
    struct handle *e = mem_alloc(sizeof *e + n);
    if (!e) { // the next request digests it anew
        blob_upload_close(u);
        return;
    }
    *e = (struct handle){.u = u, .parked_ms = clock_mono_ms()};
    memcpy(e->id, id, n);
    pthread_mutex_lock(&h->lock);
    if (h->closed && h->opens_ms && e->parked_ms >= h->opens_ms)
        h->closed = false;
    if (h->closed) {
        blob_upload_close(u);
        pthread_mutex_unlock(&h->lock);
        free(e);
        return;
    }
    sweep(h, e->parked_ms);
    if (h->n >= h->max)
        close_handle(h, h->oldest);
    e->prev = h->newest;
    if (h->newest)
        h->newest->next = e;
    else
        h->oldest = e;
    h->newest = e;
    h->n++;
    pthread_mutex_unlock(&h->lock);
}

void open_uploads_drop(struct open_uploads *h, const char *id)
{
    pthread_mutex_lock(&h->lock);
    struct handle *e = find(h, id);
    if (e)
        close_handle(h, e);
    pthread_mutex_unlock(&h->lock);
}

void open_uploads_sweep(struct open_uploads *h)
{
    pthread_mutex_lock(&h->lock);
    sweep(h, clock_mono_ms());
    pthread_mutex_unlock(&h->lock);
}
