// SPDX-License-Identifier: Apache-2.0
// Who fetches which range of a blob, and one range of it; see ranges.h. On the thread of any stream.
#include "content/ranges_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

#define PIECE_BYTES (128u << 10)

bool run_take(struct ranges *rs, struct run *out)
{
    struct run r = {0};
    pthread_mutex_lock(&rs->lock);
    size_t n_free = rs->n_chunks - rs->n_here - rs->n_taken;
    size_t most = n_free / (2 * rs->get->want->streams);
    if (most < RUN_MIN)
        most = RUN_MIN;
    if (most > RUN_MAX)
        most = RUN_MAX;
    if (n_free)
        while (rs->states[r.first] != CHUNK_FREE)
            r.first++;
    while (n_free && r.n < most && r.first + r.n < rs->n_chunks &&
           rs->states[r.first + r.n] == CHUNK_FREE)
        rs->states[r.first + r.n++] = CHUNK_TAKEN;
    rs->n_taken += r.n;
    pthread_mutex_unlock(&rs->lock);
    *out = r;
    return r.n > 0;
}

// Gives back what did not come of it.
static void run_leave(struct ranges *rs, const struct run *r)
{
    pthread_mutex_lock(&rs->lock);
    for (size_t i = r->first; i < r->first + r->n; i++) {
        if (rs->states[i] != CHUNK_TAKEN)
            continue;
        rs->states[i] = CHUNK_FREE;
        rs->n_taken--;
    }
    pthread_cond_broadcast(&rs->changed);
    pthread_mutex_unlock(&rs->lock);
}

static void chunk_came(struct ranges *rs, size_t i, size_t source)
{
    blob_upload_chunk_done(rs->get->upload, i);
    pthread_mutex_lock(&rs->lock);
    assert(rs->states[i] == CHUNK_TAKEN); // invariant 2
    rs->states[i] = CHUNK_HERE;
    rs->givers[i] = (uint8_t)source;
    rs->n_taken--;
    rs->n_here++;
    rs->bytes_here += chunk_end(rs, i) - chunk_at(i);
    pthread_cond_broadcast(&rs->changed);
    pthread_mutex_unlock(&rs->lock);
}

int ranges_own_failed(struct ranges *rs, int rc)
{
    pthread_mutex_lock(&rs->lock);
    if (!rs->own_rc)
        rs->own_rc = rc;
    pthread_mutex_unlock(&rs->lock);
    return rc;
}

int ranges_own_error(struct ranges *rs)
{
    pthread_mutex_lock(&rs->lock);
    int rc = rs->own_rc;
    pthread_mutex_unlock(&rs->lock);
    return rc;
}

// The charge is the want's: one stream at a time.
static int grow(struct ranges *rs, size_t n)
{
    pthread_mutex_lock(&rs->lock);
    int rc = space_grow(rs->get->want->charge, n);
    if (!rc)
        space_spend(rs->get->want->charge, n);
    pthread_mutex_unlock(&rs->lock);
    return rc;
}

static int piece_keep(struct ranges *rs, uint64_t at, const uint8_t *p, size_t n, size_t source)
{
    int rc = grow(rs, n);
    if (!rc)
        rc = blob_upload_put(rs->get->upload, at, p, n);
    if (rc)
        return ranges_own_failed(rs, rc);
    for (size_t i = (size_t)(at / BLOB_CHUNK_BYTES); chunk_at(i) < at + n; i++)
        if (chunk_end(rs, i) <= at + n && i + 1 < rs->n_chunks)
            chunk_came(rs, i, source);
    return 0;
}

// The range ends where it should. The last chunk counts only now: behind it the blob ends too, or
// has another size than was said: for that the word of the leader's source counts alone.
static int body_end(struct ranges *rs, size_t source, struct source_body *body, const struct run *r,
                    between_fn between, char error[CONTENT_TEXT_SIZE])
{
    struct source *s = rs->get->want->sources[source];
    uint8_t byte;
    bool last = r->first + r->n == rs->n_chunks;
    ssize_t more = source_read(s, body, &byte, 1, error);
    if (more < 0)
        return (int)more;
    if (!more && last)
        chunk_came(rs, rs->n_chunks - 1, source);
    if (!more)
        return 0;
    if (last && between)
        return ERR_UNSUPPORTED;
    snprintf(error, CONTENT_TEXT_SIZE, "%s: blob: it gives more than the range", source_name(s));
    return ERR_PROTO;
}

static int body_keep(struct ranges *rs, size_t source, struct source_body *body,
                     const struct run *r, between_fn between, char error[CONTENT_TEXT_SIZE])
{
    struct source *s = rs->get->want->sources[source];
    uint64_t end = chunk_end(rs, r->first + r->n - 1);
    AUTO_FREE uint8_t *piece = mem_alloc(PIECE_BYTES);
    if (!piece)
        return ERR_NOMEM;
    for (uint64_t at = chunk_at(r->first); at < end;) {
        size_t most = PIECE_BYTES;
        if (end - at < most)
            most = (size_t)(end - at);
        ssize_t n = source_read(s, body, piece, most, error);
        if (n == 0) // the blob is shorter than was said
            return ERR_UNSUPPORTED;
        if (n < 0)
            return (int)n;
        int rc = piece_keep(rs, at, piece, (size_t)n, source);
        if (!rc && between)
            rc = between(rs);
        if (rc)
            return rc;
        at += (uint64_t)n;
    }
    return body_end(rs, source, body, r, between, error);
}

struct content_ask ranges_ask(const struct ranges *rs)
{
    const struct content_want *w = rs->get->want;
    return (struct content_ask){.kind = CONTENT_BLOB,
                                .registry = w->registry,
                                .repository = w->repository,
                                .digest = w->digest,
                                .urgent = flight_urgent(rs->get->flight)};
}

int run_fetch(struct ranges *rs, size_t source, const struct run *r, between_fn between,
              const _Atomic bool *stop, char error[CONTENT_TEXT_SIZE])
{
    struct source *s = rs->get->want->sources[source];
    struct content_ask ask = ranges_ask(rs);
    struct source_body *body = NULL;
    uint64_t from = 0;
    ask.from = chunk_at(r->first);
    if (r->first + r->n < rs->n_chunks) // else to its end, wherever that is
        ask.to = chunk_end(rs, r->first + r->n - 1);
    int rc = source_open(s, &ask, stop, &body, &from, error);
    if (rc == ERR_RANGE)
        rc = ERR_UNSUPPORTED;
    if (!rc) {
        if (between)
            streams_offer(rs, source); // invariant 1
        if (from == ask.from)
            rc = body_keep(rs, source, body, r, between, error);
        else
            rc = ERR_UNSUPPORTED;
        source_close(s, body);
    }
    run_leave(rs, r);
    return rc;
}
