// SPDX-License-Identifier: Apache-2.0
// The bytes of an upload that is copied from another region, as they come; see upload_copy.h. On the
// copies' own threads.
#include "replication/upload_copy_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/ahead.h"
#include "replication/bandwidth.h"
#include "replication/copy_pace.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/relay.h"

#include <stdio.h>

#define PIECE_BYTES (128u << 10)
// what counts against the bound at once, while the size is not known
#define WINDOW_BYTES (4u << 20)
// so much is left for the disk to do at the end
#define SYNC_BYTES (16u << 20)
// a stream that says nothing for so long is given up
#define IDLE_MS 30000
// between two looks at whether it must end
#define LOOK_MS 500

// Room for that many bytes in all. Under the lock.
static int bytes_count(struct copy *c, uint64_t bytes)
{
    int rc = 0;
    if (c->noted && bytes > c->size)
        return ERR_TOOBIG; // no more than the upload has become
    if (c->noted || bytes <= c->taken)
        return 0;
    rc = ahead_take(c->all->r->ahead, c->registry, c->origin, WINDOW_BYTES);
    if (!rc)
        c->taken += WINDOW_BYTES;
    return rc;
}

static int bound_take(struct copy *c, size_t n)
{
    struct upload_copies *all = c->all;
    pthread_mutex_lock(&all->lock);
    int rc = bytes_count(c, c->bytes + n);
    if (!rc)
        c->claimed = c->bytes + n;
    pthread_mutex_unlock(&all->lock);
    return rc;
}

static int keep(struct copy *c, const uint8_t *p, size_t n)
{
    int rc = bound_take(c, n);
    if (!rc)
        rc = space_grow(&c->charge, n);
    if (!rc)
        rc = blob_upload_write(c->file, p, n);
    if (rc)
        return rc;
    space_spend(&c->charge, n);
    c->bytes += n;
    if (c->bytes - c->synced < SYNC_BYTES)
        return 0;
    c->synced = c->bytes;
    return blob_upload_sync(c->file);
}

// A client may wait for the blob, once it is known which one it is. The flight lasts as long as the
// copy.
static const _Atomic bool *urgent_of(struct copy *c)
{
    const _Atomic bool *urgent = NULL;
    pthread_mutex_lock(&c->all->lock);
    if (c->flight)
        urgent = flight_urgent(c->flight);
    pthread_mutex_unlock(&c->all->lock);
    return urgent;
}

// Its digest is said, so that others wait for it.
static bool is_known(struct copy *c)
{
    pthread_mutex_lock(&c->all->lock);
    bool known = c->known;
    pthread_mutex_unlock(&c->all->lock);
    return known;
}

// The next bytes, as response_reader_read. ERR_TIMEOUT: nothing comes, or too little.
static ssize_t piece_read(struct copy *c, struct response_reader *from, struct copy_pace *pace,
                          uint8_t *piece)
{
    const struct replicator *r = c->all->r;
    int64_t silent_ms = 0;
    for (;;) {
        int64_t began = clock_mono_ms();
        ssize_t n = response_reader_read(from, piece, PIECE_BYTES, LOOK_MS);
        int64_t ms = clock_mono_ms() - began;
        if (n <= 0 && n != ERR_TIMEOUT)
            return n;
        size_t came = 0;
        if (n > 0)
            came = (size_t)n;
        if (is_known(c))
            copy_pace_known(pace, relay_patience_ms(r->o.relay_patience_ms, 0));
        silent_ms += ms;
        if (c->stop)
            return ERR_CANCELED;
        if (copy_pace_is_slow(pace, ms, came))
            return ERR_TIMEOUT;
        if (came)
            return n;
        if (silent_ms >= IDLE_MS)
            return ERR_TIMEOUT;
    }
}

static int body_keep(struct copy *c, struct response_reader *from)
{
    AUTO_FREE uint8_t *piece = mem_alloc(PIECE_BYTES);
    if (!piece)
        return ERR_NOMEM;
    struct peer *p = peers_find(c->all->r->peers, c->origin);
    struct copy_pace pace = {0};
    int status = response_reader_status(from, PEER_ANSWER_MS);
    if (status < 0)
        return status;
    if (status != 200)
        return ERR_NOTFOUND;
    for (;;) {
        ssize_t n = piece_read(c, from, &pace, piece);
        if (n <= 0)
            return (int)n;
        int rc = keep(c, piece, (size_t)n);
        if (!rc && p)
            rc = bandwidth_take(c->all->r->bandwidth, peer_line(p), (size_t)n, urgent_of(c),
                                &c->stop);
        if (rc)
            return rc;
    }
}

int copy_stream(struct copy *c)
{
    struct replicator *r = c->all->r;
    char target[768];
    struct dial d;
    struct response_reader *from;
    struct topology *t = snapshot_get(r->o.topology);
    snprintf(target, sizeof target, "/replication/v1/upload?registry=%s&repository=%s&upload=%s",
             c->registry, c->repository, c->upload);
    int rc = ERR_UNREACHABLE;
    if (t)
        rc = peer_dial(&r->dialer, t, c->origin, target, NULL, &d);
    if (!rc) {
        d.q.idle_timeout_ms = 2 * IDLE_MS; // body_keep looks first
        rc = response_reader_open(r->o.fetcher, &d.q, &c->stop, &from);
    }
    snapshot_unref(t); // the request has copied what it needs
    if (rc)
        return rc;
    rc = body_keep(c, from);
    response_reader_close(from);
    return rc;
}
