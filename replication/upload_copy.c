// SPDX-License-Identifier: Apache-2.0
// Copies of uploads that run in another region; see upload_copy.h. upload_copy_* run on the work
// pool, the rest on the copies' own threads.
#include "replication/upload_copy.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "replication/ahead.h"
#include "replication/bandwidth.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"
#include "store/publish.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES (128u << 10)
// what counts against the bound at once, while the size is not known
#define WINDOW_BYTES (4u << 20)
// so much is left for the disk to do at the end
#define SYNC_BYTES (16u << 20)
// a client that sends so slowly gains nothing by a copy
#define IDLE_MS 30000
// so long after the end of its bytes the digest may come
#define WORD_MS 5000
#define HEX_MAX 64

struct copy {
    struct upload_copies *all;
    // of all->first; under the lock
    struct copy *next;
    struct pool_job job;
    char *registry, *repository, *origin, *upload;
    // it must end
    _Atomic bool stop;

    // The copy's own thread's.

    struct blob_upload *file;
    struct space_charge charge;
    uint64_t bytes, synced;

    // Under all->lock.

    // of the bound, until its size is noted
    uint64_t taken;
    // bytes that are kept, or are about to be
    uint64_t claimed;
    // its size is, and the copy ends that note
    bool noted;
    bool known;
    struct digest digest;
    uint64_t size;
    // of the digest; it is led by this copy
    struct flight *flight;
};

struct upload_copies {
    struct replicator *r;
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // Under the lock.

    bool drains;
    size_t n;
    struct copy *first;
};

bool upload_copy_id_ok(const char *id, const char *origin)
{
    size_t n = strlen(origin);
    if (strncmp(id, origin, n) != 0 || id[n] != '.')
        return false;
    const char *hex = id + n + 1;
    size_t n_hex = strspn(hex, "0123456789abcdef");
    return n_hex > 0 && n_hex <= HEX_MAX && !hex[n_hex];
}

int upload_copies_new(struct replicator *r, struct upload_copies **out)
{
    const struct pool_options o = {
        .name = "copies", .n_threads = UPLOAD_COPIES_MAX, .max_waiting = UPLOAD_COPIES_MAX};
    struct upload_copies *all = mem_zalloc(sizeof *all);
    if (!all)
        return ERR_NOMEM;
    all->r = r;
    pthread_mutex_init(&all->lock, NULL);
    wait_cond_init(&all->changed);
    all->pool = pool_new(&o);
    if (!all->pool) {
        upload_copies_free(all);
        return ERR_NOMEM;
    }
    *out = all;
    return 0;
}

void upload_copies_drain(struct upload_copies *all)
{
    pthread_mutex_lock(&all->lock);
    all->drains = true;
    for (struct copy *c = all->first; c; c = c->next)
        c->stop = true;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
}

void upload_copies_stop(struct upload_copies *all)
{
    if (!all)
        return;
    upload_copies_drain(all);
    pool_free(take_ptr(all->pool));
}

void upload_copies_free(struct upload_copies *all)
{
    if (!all)
        return;
    upload_copies_stop(all);
    assert(!all->first);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

static void copy_free(struct copy *c)
{
    free(c->registry);
    free(c->repository);
    free(c->origin);
    free(c->upload);
    free(c);
}

static int copy_new(struct upload_copies *all, const struct upload_copy_key *key, struct copy **out)
{
    struct copy *c = mem_zalloc(sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->all = all;
    c->registry = mem_strdup(key->registry);
    c->repository = mem_strdup(key->repository);
    c->origin = mem_strdup(key->origin);
    c->upload = mem_strdup(key->upload);
    if (!c->registry || !c->repository || !c->origin || !c->upload) {
        copy_free(c);
        return ERR_NOMEM;
    }
    *out = c;
    return 0;
}

// Under the lock. The id says the origin too.
static struct copy *copy_find(const struct upload_copies *all, const struct upload_copy_key *key)
{
    struct copy *c = all->first;
    while (c && (strcmp(c->upload, key->upload) != 0 || strcmp(c->registry, key->registry) != 0 ||
                 strcmp(c->repository, key->repository) != 0))
        c = c->next;
    return c;
}

// --- the bytes; on the copy's thread ---

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

static int body_keep(struct copy *c, struct response_reader *from)
{
    AUTO_FREE uint8_t *piece = mem_alloc(PIECE_BYTES);
    if (!piece)
        return ERR_NOMEM;
    struct peer *p = peers_find(c->all->r->peers, c->origin);
    int status = response_reader_status(from, PEER_ANSWER_MS);
    if (status < 0)
        return status;
    if (status != 200)
        return ERR_NOTFOUND;
    for (;;) {
        ssize_t n = response_reader_read(from, piece, PIECE_BYTES, IDLE_MS);
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

// Asks the origin for the upload, and keeps what comes until it ends. 0: it ended as it should.
static int stream_keep(struct copy *c)
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
        d.q.idle_timeout_ms = IDLE_MS;
        rc = response_reader_open(r->o.fetcher, &d.q, &c->stop, &from);
    }
    snapshot_unref(t); // the request has copied what it needs
    if (rc)
        return rc;
    rc = body_keep(c, from);
    response_reader_close(from);
    return rc;
}

// All bytes are here: of what? ERR_TIMEOUT: nobody says.
static int word_wait(struct copy *c, struct digest *out)
{
    struct upload_copies *all = c->all;
    int64_t until = clock_mono_ms() + WORD_MS;
    int rc = 0;
    pthread_mutex_lock(&all->lock);
    while (!c->known && !c->stop) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0)
            break;
        wait_cond(&all->changed, &all->lock, left);
    }
    if (c->stop)
        rc = ERR_CANCELED;
    else if (!c->known)
        rc = ERR_TIMEOUT;
    else if (c->size != c->bytes)
        rc = ERR_TRUNC;
    else
        *out = c->digest;
    pthread_mutex_unlock(&all->lock);
    return rc;
}

static int publish(struct copy *c, const struct digest *d)
{
    struct replicator *r = c->all->r;
    struct blob_name name;
    struct lease_result result;
    struct lease_add add = {.registry = c->registry,
                            .repository = c->repository,
                            .digest = *d,
                            .published = &name,
                            .peer = c->origin};
    int rc = blob_upload_commit(c->file, d, &name, &add.size); // invariant 1
    if (!rc)
        rc = blob_publish(r->o.blobs, r->o.meta, &add, &result);
    room_wrote(r->room, rc);
    return rc;
}

static int copy_make(struct copy *c)
{
    struct replicator *r = c->all->r;
    struct digest d;
    int rc = blob_upload_open(r->o.blobs, c->upload, &c->file);
    if (!rc)
        rc = blob_upload_truncate(c->file); // what an earlier process left
    if (!rc)
        rc = space_take(r->o.space, 0, &c->charge);
    if (!rc)
        rc = stream_keep(c);
    if (!rc)
        rc = word_wait(c, &d);
    if (!rc)
        rc = publish(c, &d);
    space_return(&c->charge);
    if (c->file)
        blob_upload_drop(take_ptr(c->file));          // a blob of it keeps its bytes
    (void)blob_upload_discard(r->o.blobs, c->upload); // the note of what it became
    return rc;
}

// --- their life ---

// Under the lock.
static void copy_unlink(struct copy *c)
{
    struct copy **at = &c->all->first;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->all->n--;
}

static struct ahead_key ahead_key_of(const struct copy *c)
{
    return (struct ahead_key){.registry = c->registry,
                              .repository = c->repository,
                              .digest = c->digest,
                              .origin = c->origin};
}

static void copy_end(struct copy *c, int rc)
{
    struct upload_copies *all = c->all;
    struct replicator *r = all->r;
    pthread_mutex_lock(&all->lock);
    copy_unlink(c); // nobody says more of it
    pthread_mutex_unlock(&all->lock);
    ahead_give(r->ahead, c->registry, c->origin, c->taken);
    if (c->noted) {
        const struct ahead_key key = ahead_key_of(c);
        ahead_end(r->ahead, &key, rc);
    }
    if (rc)
        ahead_lost(r->ahead, c->registry, c->origin, c->bytes);
    if (c->flight) { // invariant 3
        flight_end(c->flight, rc);
        flight_leave(c->flight);
        job_queue_kick(r->jobs); // a job that was put off for it may go on
    }
    copy_free(c);
}

static void copy_run(void *arg)
{
    struct copy *c = arg;
    struct replicator *r = c->all->r;
    int rc = ERR_CANCELED;
    if (life_enter(r->life)) {
        if (!c->stop)
            rc = copy_make(c);
        copy_end(c, rc);
        life_leave(r->life);
        return;
    }
    copy_end(c, rc);
}

static void copy_lost(void *arg)
{
    copy_end(arg, ERR_BUSY);
}

// Under the lock: takes over `c`, unless one of that name runs.
static int copy_add(struct upload_copies *all, struct copy *c, const struct upload_copy_key *key)
{
    if (all->drains)
        return ERR_CANCELED;
    if (copy_find(all, key))
        return ERR_EXISTS;
    if (all->n == UPLOAD_COPIES_MAX) // invariant 2
        return ERR_FULL;
    c->next = all->first;
    all->first = c;
    all->n++;
    return 0;
}

int upload_copy_begin(struct upload_copies *all, const struct upload_copy_key *key)
{
    struct copy *c;
    int rc = copy_new(all, key, &c);
    if (rc)
        return rc;
    pthread_mutex_lock(&all->lock);
    rc = copy_add(all, c, key);
    pthread_mutex_unlock(&all->lock);
    if (rc)
        copy_free(c);
    if (rc == ERR_EXISTS)
        return 0;
    if (rc)
        return rc;
    c->job = (struct pool_job){
        .run = copy_run, .lost = copy_lost, .arg = c, .lane = POOL_REGIONS, .name = c->registry};
    rc = pool_submit(all->pool, &c->job);
    if (rc)
        copy_end(c, rc);
    pool_settle(all->pool);
    return rc;
}

// From here on its size is counted, in place of what it took. Under the lock.
static int copy_note(struct copy *c, const struct digest *digest, uint64_t size)
{
    if (size < c->claimed)
        return ERR_TOOBIG; // it cannot be what was copied
    c->digest = *digest;
    const struct ahead_key key = ahead_key_of(c);
    int rc = ahead_note_taken(c->all->r->ahead, &key, size, c->taken);
    if (rc)
        return rc;
    c->taken = 0;
    c->size = size;
    c->noted = true;
    return 0;
}

// Under the lock. From here on whoever wants the blob waits for the copy; unless another fetch of it
// runs already, which comes to its end by itself.
static void copy_lead(struct copy *c, const struct digest *digest, uint64_t size)
{
    struct flight *f;
    bool leads = false;
    if (copy_note(c, digest, size)) { // invariant 4
        c->stop = true;
        return;
    }
    if (flight_join(content_flights(c->all->r->content), digest, FLIGHT_DURABLE, &f, &leads)) {
        c->stop = true;
        return;
    }
    if (!leads) {
        flight_leave(f);
        c->stop = true;
        return;
    }
    c->flight = f;
    c->known = true;
}

void upload_copy_known(struct upload_copies *all, const struct upload_copy_key *key,
                       const struct digest *digest, uint64_t size)
{
    pthread_mutex_lock(&all->lock);
    struct copy *c = copy_find(all, key);
    if (c && !c->known && !c->stop)
        copy_lead(c, digest, size);
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
}

void upload_copy_drop(struct upload_copies *all, const struct upload_copy_key *key)
{
    pthread_mutex_lock(&all->lock);
    struct copy *c = copy_find(all, key);
    if (c)
        c->stop = true;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
}
