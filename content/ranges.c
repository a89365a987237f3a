// SPDX-License-Identifier: Apache-2.0
// A blob in several streams; see ranges.h.
#include "content/ranges_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"

#include <assert.h>
#include <string.h>

#define LOOK_MS 100
// So many bytes may have to be fetched again after a kill.
#define SYNC_BYTES (64u << 20)
// The leader digests so much for each piece that it fetches: others bring more than it does.
#define DIGEST_BYTES (2u << 20)

static void ranges_destroy(struct ranges *rs)
{
    pthread_cond_destroy(&rs->changed);
    pthread_mutex_destroy(&rs->lock);
    free(rs->sums);
    free(rs->givers);
    free(rs);
}

void ranges_leave(struct ranges *rs)
{
    assert(rs->refs > 0);
    bool last = --rs->refs == 0;
    pthread_mutex_unlock(&rs->lock);
    if (last)
        ranges_destroy(rs);
}

static bool is_wanted(const struct blob_get *g)
{
    const struct content_want *w = g->want;
    uint64_t here = blob_upload_size(g->upload);
    if (w->streams < 2 || !g->content->streams || w->n_sources >= GIVER_NONE)
        return false;
    return w->size <= BLOB_SPREAD_MAX && here < w->size &&
           w->size - here >= 2ull * RUN_MIN * BLOB_CHUNK_BYTES;
}

// What an earlier fetch has left.
static void look_here(struct ranges *rs)
{
    for (size_t i = 0; i < rs->n_chunks; i++) {
        if (!blob_upload_chunk_there(rs->get->upload, i))
            continue;
        rs->states[i] = CHUNK_HERE;
        rs->n_here++;
        rs->bytes_here += chunk_end(rs, i) - chunk_at(i);
    }
    rs->synced_at = rs->bytes_here;
}

int ranges_new(struct blob_get *g, struct ranges **out)
{
    if (!is_wanted(g))
        return ERR_UNSUPPORTED;
    size_t n = (size_t)((g->want->size + BLOB_CHUNK_BYTES - 1) / BLOB_CHUNK_BYTES);
    int rc = blob_upload_spread(g->upload, g->want->size);
    if (rc)
        return rc;
    struct ranges *rs = mem_zalloc(sizeof *rs + n);
    if (!rs)
        return ERR_NOMEM;
    pthread_mutex_init(&rs->lock, NULL);
    wait_cond_init(&rs->changed);
    rs->get = g;
    rs->whole = g->want->size;
    rs->n_chunks = n;
    rs->refs = 1;
    rs->givers = mem_alloc(n);
    if (!rs->givers) {
        ranges_destroy(rs);
        return ERR_NOMEM;
    }
    memset(rs->givers, GIVER_NONE, n);
    look_here(rs);
    *out = rs;
    return 0;
}

uint64_t ranges_bytes(struct ranges *rs)
{
    pthread_mutex_lock(&rs->lock);
    uint64_t here = rs->bytes_here;
    pthread_mutex_unlock(&rs->lock);
    return here;
}

bool ranges_fresh(struct ranges *rs)
{
    return ranges_bytes(rs) > rs->synced_at;
}

// --- the leader ---

static void note_progress(struct ranges *rs)
{
    struct blob_get *g = rs->get;
    flight_arrived(g->flight, blob_upload_size(g->upload));
    if (g->want->arrived)
        g->want->arrived(g->want->ctx, ranges_bytes(rs));
}

// Digests what is there in order, makes it durable now and then, and tells how far it came.
static int leader_between(struct ranges *rs)
{
    struct blob_upload *u = rs->get->upload;
    pthread_mutex_lock(&rs->lock);
    uint64_t here = rs->bytes_here;
    int rc = rs->own_rc;
    pthread_mutex_unlock(&rs->lock);
    if (!rc)
        rc = blob_upload_digest(u, DIGEST_BYTES);
    if (!rc && here - rs->synced_at >= SYNC_BYTES) {
        rs->synced_at = here;
        rc = blob_upload_sync(u);
    }
    if (rc)
        return ranges_own_failed(rs, rc);
    note_progress(rs);
    if (!blob_get_goes_on(rs->get))
        return ERR_CANCELED;
    return 0;
}

// They end soon, begin no more, and give back what they took. Under the lock.
static void others_end(struct ranges *rs)
{
    rs->stop = true;
    while (rs->n_running)
        wait_cond(&rs->changed, &rs->lock, LOOK_MS);
}

// Waits for what other streams fetch. `*since_mono`: when a chunk came last, or the wait began (0);
// `*n_here`: how many were there then.
static int others_wait(struct ranges *rs, int64_t *since_mono, size_t *n_here)
{
    const _Atomic bool *stop = blob_get_stop(rs->get);
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&rs->lock);
    if (!*since_mono || rs->n_here != *n_here) {
        *since_mono = now;
        *n_here = rs->n_here;
    }
    if (rs->n_taken && now - *since_mono >= rs->get->content->stall_ms)
        others_end(rs); // invariant 5
    else if (rs->n_taken)
        wait_cond(&rs->changed, &rs->lock, LOOK_MS);
    pthread_mutex_unlock(&rs->lock);
    if (*stop)
        return ERR_CANCELED;
    return leader_between(rs);
}

bool ranges_all_here(struct ranges *rs)
{
    pthread_mutex_lock(&rs->lock);
    bool all = rs->n_here == rs->n_chunks;
    pthread_mutex_unlock(&rs->lock);
    return all;
}

// From this source, until all is there and digested.
static int fetch_all(struct ranges *rs, size_t source, char error[CONTENT_TEXT_SIZE])
{
    struct blob_get *g = rs->get;
    struct run r;
    int64_t since_mono = 0;
    size_t n_here = 0;
    int rc = 0;
    while (!rc && (!ranges_all_here(rs) || blob_upload_size(g->upload) < rs->whole)) {
        if (run_take(rs, &r)) {
            rc = run_fetch(rs, source, &r, leader_between, blob_get_stop(g), error);
            since_mono = 0;
        } else {
            rc = others_wait(rs, &since_mono, &n_here);
        }
    }
    return rc;
}

int ranges_get(struct ranges *rs, size_t source, char error[CONTENT_TEXT_SIZE])
{
    rs->leads = source;
    int rc = fetch_all(rs, source, error);
    int own = ranges_own_error(rs);
    if (own)
        return blob_get_own_failed(rs->get, own);
    if (rc)
        return rc;
    rs->get->giver = ranges_giver(rs);
    return blob_get_commit(rs->get);
}

void ranges_end(struct ranges *rs)
{
    pthread_mutex_lock(&rs->lock);
    rs->closed = true;
    others_end(rs);
    pthread_mutex_unlock(&rs->lock);
}

void ranges_free(struct ranges *rs)
{
    if (!rs)
        return;
    assert(rs->closed); // invariant 3
    pthread_mutex_lock(&rs->lock);
    ranges_leave(rs);
}
