// SPDX-License-Identifier: Apache-2.0
// Copies of uploads that run in another region; see upload_copy.h. upload_copy_* run on the work
// pool, the rest on the copies' own threads.
#include "replication/upload_copy.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/ahead.h"
#include "replication/replication_priv.h"
#include "replication/upload_copy_priv.h"
#include "store/publish.h"

#include <assert.h>
#include <string.h>

// so long after the end of its bytes the digest may come
#define WORD_MS 5000
#define HEX_MAX 64

static bool is_hex(const char *text)
{
    size_t n = strspn(text, "0123456789abcdef");
    return n > 0 && n <= HEX_MAX && !text[n];
}

bool upload_copy_id_ok(const char *id, const char *origin)
{
    size_t n = strlen(origin);
    if (strncmp(id, origin, n) != 0 || id[n] != '.')
        return false;
    return is_hex(id + n + 1);
}

// Named as an upload of another region.
static bool is_others(const char *id, const char *self)
{
    size_t n = strlen(self);
    const char *dot = strchr(id, '.');
    if (!dot || !is_hex(dot + 1))
        return false;
    return (size_t)(dot - id) != n || strncmp(id, self, n) != 0;
}

// It has a row, or may get one; or nobody can tell now.
static bool is_no_copy(void *ctx, const char *id)
{
    const struct replicator *r = ctx;
    struct upload_row row;
    struct arena a;
    if (!is_others(id, r->o.region))
        return true;
    arena_init(&a, 16 << 10);
    int rc = meta_upload_get(r->o.meta, id, &a, &row);
    arena_done(&a);
    return rc != ERR_NOTFOUND;
}

// They count against no bound any more. A process that still runs has its own ones open.
static void left_drop(struct replicator *r)
{
    size_t n;
    int rc = blob_uploads_drop(r->o.blobs, is_no_copy, r, &n);
    if (rc)
        log_warn("replication: copies of uploads that were left could not be removed: %s; they are "
                 "in ten minutes",
                 err_text(rc));
    else if (n)
        log_info("replication: removed %zu copies of uploads that were left", n);
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
    left_drop(r);
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

// --- on the copy's thread ---

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

// The topology may have changed since the copy was begun.
static bool may_be_here(struct copy *c)
{
    struct replicator *r = c->all->r;
    struct topology *t = snapshot_get(r->o.topology);
    const struct region *origin = NULL;
    const struct registry *reg = NULL;
    if (t)
        origin = topology_region(t, c->origin);
    if (origin)
        reg = shared_registry(r, t, origin, c->registry);
    bool may = reg && r->o.fence(t, reg, c->repository, r->o.region);
    snapshot_unref(t);
    return may;
}

static int publish(struct copy *c, const struct digest *d)
{
    struct replicator *r = c->all->r;
    if (!may_be_here(c))
        return ERR_DENIED;
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
        rc = copy_stream(c);
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

// One more may run. Under the lock.
static bool has_place(const struct upload_copies *all, const struct upload_copy_key *key)
{
    size_t of_registry = 0, of_region = 0;
    for (const struct copy *c = all->first; c; c = c->next) {
        of_registry += strcmp(c->registry, key->registry) == 0;
        of_region += strcmp(c->origin, key->origin) == 0;
    }
    return all->n < UPLOAD_COPIES_MAX && of_registry < UPLOAD_COPIES_OF_REGISTRY &&
           of_region < UPLOAD_COPIES_OF_REGION;
}

// Under the lock: takes over `c`, unless one of that name runs.
static int copy_add(struct upload_copies *all, struct copy *c, const struct upload_copy_key *key)
{
    if (all->drains)
        return ERR_CANCELED;
    if (copy_find(all, key))
        return ERR_EXISTS;
    if (!has_place(all, key)) // invariant 2
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
