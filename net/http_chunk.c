// SPDX-License-Identifier: Apache-2.0
// The bytes of a body between the HTTP thread and its sink: full pieces, whatever pieces the
// network brings, and a few of them kept for the next body, since the memory of a piece is touched
// anew after each malloc. Queue and take under exchange.lock; give on any thread.
#include "net/http_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

static struct http_chunk *spare_take(struct http_server *s)
{
    pthread_mutex_lock(&s->spare_lock);
    struct http_chunk *c = s->spare;
    if (c) {
        s->spare = c->next;
        s->n_spare--;
    }
    pthread_mutex_unlock(&s->spare_lock);
    return c;
}

void http_chunk_give(struct http_server *s, struct http_chunk *c)
{
    atomic_fetch_sub(&s->uploads_bytes, c->n);
    pthread_mutex_lock(&s->spare_lock);
    bool keep = c->cap == HTTP_CHUNK_BYTES && s->n_spare < HTTP_SPARE_MAX;
    if (keep) {
        c->next = s->spare;
        s->spare = c;
        s->n_spare++;
    }
    pthread_mutex_unlock(&s->spare_lock);
    if (!keep)
        free(c);
}

void http_spare_free(struct http_server *s)
{
    for (struct http_chunk *c; (c = spare_take(s));)
        free(c);
}

// As large as what is still to come, if that is known.
static size_t cap_of(const struct http_exchange *ex, size_t n)
{
    int64_t length = ex->req.content_length;
    uint64_t left = HTTP_CHUNK_BYTES;
    if (length >= 0)
        left = (uint64_t)length - ex->received_bytes;
    if (left < n)
        return n;
    if (left < HTTP_CHUNK_BYTES)
        return (size_t)left;
    return HTTP_CHUNK_BYTES;
}

static struct http_chunk *chunk_new(struct http_exchange *ex, size_t n)
{
    size_t cap = cap_of(ex, n);
    struct http_chunk *c = NULL;
    if (cap == HTTP_CHUNK_BYTES)
        c = spare_take(ex->server);
    if (!c)
        c = mem_alloc(sizeof *c + cap);
    if (c)
        *c = (struct http_chunk){.cap = cap};
    return c;
}

static void chunk_fill(struct http_exchange *ex, struct http_chunk *c, const char *data, size_t n)
{
    assert(n <= c->cap - c->n);
    memcpy(c->data + c->n, data, n);
    c->n += n;
    ex->queued_bytes += n;
    ex->received_bytes += n;
}

int http_chunks_queue(struct http_exchange *ex, const char *data, size_t n)
{
    struct http_chunk *last = ex->tail, *more = NULL;
    size_t fits = last ? last->cap - last->n : 0;
    if (fits > n)
        fits = n;
    if (fits < n && !(more = chunk_new(ex, n - fits)))
        return ERR_NOMEM;
    if (fits)
        chunk_fill(ex, last, data, fits);
    if (!more)
        return 0;
    if (last)
        last->next = more;
    else
        ex->head = more;
    ex->tail = more;
    chunk_fill(ex, more, data + fits, n - fits);
    return 0;
}

struct http_chunk *http_chunks_take(struct http_exchange *ex)
{
    struct http_chunk *c = ex->head;
    assert(ex->queued_bytes >= c->n); // invariant 3
    ex->head = c->next;
    if (!ex->head)
        ex->tail = NULL;
    return c;
}
