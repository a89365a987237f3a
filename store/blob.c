// SPDX-License-Identifier: Apache-2.0
// The rules of blobs above any backend; see blob.h. Called on the pool.
#include "store/blob.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/blob_backend.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEFT_OVER_MS 600000
#define ID_MAX 128
#define PIECE_BYTES (1u << 20)
#define PACE_MS 100 // a reader that is held back looks so often whether it must stop

static int digest_check(const struct digest *d)
{
    return digest_ok(d) ? 0 : ERR_UNSUPPORTED;
}

static bool id_ok(const char *id)
{
    size_t n = strnlen(id, ID_MAX + 1);
    if (n == 0 || n > ID_MAX || id[0] == '.')
        return false;
    return strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n;
}

void blob_store_init(struct blob_store *bs, const struct blob_backend *backend)
{
    bs->backend = backend;
    pthread_mutex_init(&bs->retired.lock, NULL);
}

void blob_store_close(struct blob_store *bs)
{
    if (!bs)
        return;
    blob_retired_remove(bs, INT64_MAX);
    pthread_mutex_destroy(&bs->retired.lock);
    bs->backend->close(bs);
}

bool blob_store_writable(struct blob_store *bs, uint64_t *out_free_bytes)
{
    return bs->backend->writable(bs, out_free_bytes);
}

// --- blobs ---

bool blob_generation_ok(const char *generation)
{
    size_t n = strnlen(generation, BLOB_GENERATION_SIZE);
    if (n == 0)
        return true;
    return n == BLOB_GENERATION_SIZE - 1 && strspn(generation, "0123456789abcdef") == n;
}

bool blob_name_equal(const struct blob_name *a, const struct blob_name *b)
{
    return digest_equal(&a->digest, &b->digest) && strcmp(a->generation, b->generation) == 0;
}

static int name_check(const struct blob_name *name)
{
    if (!blob_generation_ok(name->generation))
        return ERR_INVAL;
    return digest_check(&name->digest);
}

int blob_stat(struct blob_store *bs, const struct blob_name *name, uint64_t *out_size)
{
    int rc = name_check(name);
    if (rc)
        return rc;
    return bs->backend->stat(bs, name, out_size);
}

static int one_remove(struct blob_store *bs, const struct blob_name *name, bool unnamed)
{
    int rc = name_check(name);
    if (rc)
        return rc;
    rc = bs->backend->remove(bs, name, unnamed);
    atomic_fetch_add(&bs->n_removals, 1);
    return rc;
}

int blob_remove(struct blob_store *bs, const struct blob_name *name)
{
    return one_remove(bs, name, false);
}

int blob_remove_unnamed(struct blob_store *bs, const struct blob_name *name)
{
    return one_remove(bs, name, true);
}

uint64_t blob_removals(const struct blob_store *bs)
{
    return atomic_load(&bs->n_removals);
}

// Takes the first one off the list, if its time has come or the list is full. Under no lock.
static bool retired_take(struct blob_store *bs, int64_t now_ms, struct blob_name *out)
{
    struct blob_retired *r = &bs->retired;
    pthread_mutex_lock(&r->lock);
    bool due = r->n > 0 && r->list[r->first].due_ms <= now_ms;
    if (due || r->n == BLOB_RETIRED_MAX) {
        *out = r->list[r->first].name;
        r->first = (r->first + 1) % BLOB_RETIRED_MAX;
        r->n--;
        due = true;
    }
    pthread_mutex_unlock(&r->lock);
    return due;
}

void blob_retired_remove(struct blob_store *bs, int64_t now_mono_ms)
{
    struct blob_name name;
    while (retired_take(bs, now_mono_ms, &name))
        (void)blob_remove(bs, &name); // what stays is swept
}

void blob_retire(struct blob_store *bs, const struct blob_name *name)
{
    struct blob_retired *r = &bs->retired;
    int64_t now_ms = clock_mono_ms();
    blob_retired_remove(bs, now_ms);
    pthread_mutex_lock(&r->lock);
    if (r->n < BLOB_RETIRED_MAX) { // else others were faster: it is swept
        size_t last = (r->first + r->n++) % BLOB_RETIRED_MAX;
        r->list[last].name = *name;
        r->list[last].due_ms = now_ms + BLOB_RETIRE_MS;
    }
    pthread_mutex_unlock(&r->lock);
}

int blob_walk(struct blob_store *bs, struct blob_walk *at, struct blob_name *out, size_t max,
              size_t *out_n)
{
    *out_n = 0;
    if (at->ended)
        return 0;
    return bs->backend->walk(bs, at, out, max, out_n);
}

int blob_put(struct blob_store *bs, const void *p, size_t n, struct blob_name *out)
{
    static _Atomic unsigned n_puts;
    struct digest d;
    struct blob_name name;
    char id[64];
    struct blob_upload *u;
    int rc = digest_of(DIGEST_SHA256, p, n, &d);
    if (rc)
        return rc;
    snprintf(id, sizeof id, "put-%lx-%llx-%x", (long)getpid(), (unsigned long long)clock_mono_us(),
             n_puts++);
    rc = blob_upload_open(bs, id, &u);
    if (rc)
        return rc;
    rc = blob_upload_write(u, p, n);
    if (!rc)
        rc = blob_upload_commit(u, &d, &name, NULL);
    blob_upload_close(u);
    (void)blob_upload_discard(bs, id); // nobody resumes it
    if (!rc)
        *out = name;
    return rc;
}

int blob_reader_open(struct blob_store *bs, const struct blob_name *name, struct blob_reader **out)
{
    int rc = name_check(name);
    if (rc)
        return rc;
    return bs->backend->reader_open(bs, name, out);
}

uint64_t blob_reader_size(const struct blob_reader *r)
{
    return r->size;
}

int blob_reader_read(struct blob_reader *r, uint64_t at, void *p, size_t cap, size_t *out_n)
{
    return r->backend->reader_read(r, at, p, cap, out_n);
}

void blob_reader_close(struct blob_reader *r)
{
    if (r)
        r->backend->reader_close(r);
}

int blob_follow_open(struct blob_store *bs, const char *id, struct blob_reader **out)
{
    if (!id_ok(id))
        return ERR_INVAL;
    if (!bs->backend->follow_open)
        return ERR_UNSUPPORTED;
    return bs->backend->follow_open(bs, id, out);
}

int blob_follow_look(struct blob_reader *r, enum blob_growth *out)
{
    return r->backend->follow_look(r, out);
}

int blob_serve(struct blob_store *bs, const struct blob_serve_want *want, struct blob_serve *out)
{
    int rc = name_check(want->name);
    if (rc)
        return rc;
    return bs->backend->serve(bs, want, out);
}

// --- growing blobs ---

static int growing_open(struct blob_store *bs, enum blob_area area, const char *name,
                        enum digest_alg alg, struct blob_upload **out)
{
    struct blob_upload *u;
    int rc = bs->backend->upload_open(bs, area, name, &u);
    if (rc)
        return rc;
    u->alg = alg;
    *out = u;
    return 0;
}

int blob_upload_open(struct blob_store *bs, const char *id, struct blob_upload **out)
{
    if (!id_ok(id))
        return ERR_INVAL;
    return growing_open(bs, BLOB_AREA_UPLOADS, id, DIGEST_SHA256, out);
}

static int partial_name(const struct digest *d, char out[BLOB_NAME_SIZE])
{
    char hex[DIGEST_HEX_SIZE];
    int rc = digest_check(d);
    if (rc)
        return rc;
    hex_format(d->b, d->n, hex);
    snprintf(out, BLOB_NAME_SIZE, "%s-%s", digest_alg_name((enum digest_alg)d->alg), hex);
    return 0;
}

int blob_partial_open(struct blob_store *bs, const struct digest *d, struct blob_upload **out)
{
    char name[BLOB_NAME_SIZE];
    int rc = partial_name(d, name);
    if (rc)
        return rc;
    return growing_open(bs, BLOB_AREA_PARTIALS, name, (enum digest_alg)d->alg, out);
}

uint64_t blob_partial_size(struct blob_store *bs, const struct digest *d)
{
    char name[BLOB_NAME_SIZE];
    if (partial_name(d, name))
        return 0;
    return bs->backend->partial_size(bs, name);
}

int blob_partials_drop(struct blob_store *bs, size_t *out_n, uint64_t *out_bytes)
{
    *out_n = 0;
    *out_bytes = 0;
    return bs->backend->partials_drop(bs, out_n, out_bytes);
}

int blob_partials_bound(struct blob_store *bs, uint64_t max_bytes, size_t *out_n,
                        uint64_t *out_bytes, uint64_t *out_held)
{
    *out_n = 0;
    *out_bytes = 0;
    *out_held = 0;
    if (!bs->backend->partials_bound)
        return 0;
    return bs->backend->partials_bound(bs, max_bytes, out_n, out_bytes, out_held);
}

uint64_t blob_upload_size(const struct blob_upload *u)
{
    return u->size;
}

uint64_t blob_upload_resume_at(const struct blob_upload *u)
{
    assert(u->resume_at <= u->size);
    return u->resume_at;
}

int blob_upload_write(struct blob_upload *u, const void *p, size_t n)
{
    return u->backend->upload_write(u, p, n);
}

int blob_upload_sync(struct blob_upload *u)
{
    int rc = u->backend->upload_sync(u);
    assert(rc || u->resume_at == u->size);
    return rc;
}

void blob_upload_expect(struct blob_upload *u, enum digest_alg alg)
{
    u->alg = alg;
}

int blob_upload_trim(struct blob_upload *u, uint64_t size)
{
    int rc = u->backend->upload_trim(u, size);
    assert(rc || u->size == size);
    return rc;
}

int blob_upload_truncate(struct blob_upload *u)
{
    return blob_upload_trim(u, 0);
}

int blob_upload_spread(struct blob_upload *u, uint64_t whole)
{
    if (!u->backend->upload_spread)
        return ERR_UNSUPPORTED;
    return u->backend->upload_spread(u, whole);
}

int blob_upload_put(struct blob_upload *u, uint64_t at, const void *p, size_t n)
{
    return u->backend->upload_put(u, at, p, n);
}

void blob_upload_chunk_done(struct blob_upload *u, size_t chunk)
{
    u->backend->upload_chunk_done(u, chunk);
}

bool blob_upload_chunk_there(struct blob_upload *u, size_t chunk)
{
    return u->backend->upload_chunk_there(u, chunk);
}

int blob_upload_digest(struct blob_upload *u, uint64_t max)
{
    return u->backend->upload_digest(u, max);
}

int blob_upload_read(struct blob_upload *u, uint64_t at, void *p, size_t n)
{
    return u->backend->upload_read(u, at, p, n);
}

int blob_upload_commit(struct blob_upload *u, const struct digest *expected, struct blob_name *out,
                       uint64_t *out_size)
{
    struct blob_name name = {.digest = *expected};
    int rc = digest_check(expected);
    if (rc)
        return rc;
    rc = random_hex(name.generation, BLOB_GENERATION_BYTES); // invariant 4
    if (rc)
        return rc;
    u->alg = (enum digest_alg)expected->alg;
    rc = u->backend->upload_commit(u, &name);
    if (rc)
        return rc;
    if (out)
        *out = name;
    if (out_size)
        *out_size = u->size;
    return 0;
}

int blob_upload_outcome(struct blob_store *bs, const char *id, struct blob_name *out)
{
    if (!id_ok(id))
        return ERR_INVAL;
    return bs->backend->upload_outcome(bs, id, out);
}

void blob_upload_close(struct blob_upload *u)
{
    if (u)
        u->backend->upload_close(u, false);
}

void blob_upload_drop(struct blob_upload *u)
{
    if (u)
        u->backend->upload_close(u, true);
}

bool blob_upload_elsewhere(struct blob_store *bs, const char *id)
{
    if (!id_ok(id))
        return false;
    return bs->backend->upload_elsewhere(bs, id);
}

int blob_upload_discard(struct blob_store *bs, const char *id)
{
    if (!id_ok(id))
        return ERR_INVAL;
    return bs->backend->upload_discard(bs, id);
}

int blob_uploads_expire(struct blob_store *bs, int64_t older_than_wall_ms,
                        bool (*known)(void *ctx, const char *id), void *ctx, size_t *out_removed)
{
    size_t n = 0;
    int64_t uploads_ms = older_than_wall_ms;
    int64_t left_over_ms = clock_wall_ms() - LEFT_OVER_MS;
    if (known && uploads_ms < left_over_ms)
        uploads_ms = left_over_ms;
    int rc = bs->backend->expire(bs, BLOB_AREA_UPLOADS, uploads_ms, known, ctx, &n);
    int rc2 = bs->backend->expire(bs, BLOB_AREA_PARTIALS, older_than_wall_ms, NULL, NULL, &n);
    if (out_removed)
        *out_removed = n;
    return rc ? rc : rc2;
}

int blob_uploads_drop(struct blob_store *bs, bool (*keep)(void *ctx, const char *id), void *ctx,
                      size_t *out_removed)
{
    *out_removed = 0;
    return bs->backend->expire(bs, BLOB_AREA_UPLOADS, INT64_MAX, keep, ctx, out_removed);
}

// --- damage ---

static bool is_told(const _Atomic bool *stop)
{
    return stop && *stop;
}

// Holds the reader back to so many bytes a second since `began_ms`, or until it is told to stop.
static void pace(int64_t began_ms, uint64_t n_read, uint64_t bytes_per_s, const _Atomic bool *stop)
{
    if (!bytes_per_s)
        return;
    int64_t due_ms = began_ms + (int64_t)(n_read * 1000 / bytes_per_s);
    while (!is_told(stop)) {
        int64_t left_ms = due_ms - clock_mono_ms();
        if (left_ms <= 0)
            return;
        clock_sleep_ms(left_ms < PACE_MS ? left_ms : PACE_MS);
    }
}

static int hash_all(struct blob_reader *r, uint64_t bytes_per_s, const _Atomic bool *stop,
                    struct hasher *h)
{
    AUTO_FREE char *piece = mem_alloc(PIECE_BYTES);
    if (!piece)
        return ERR_NOMEM;
    int64_t began = clock_mono_ms();
    for (uint64_t at = 0;;) {
        size_t n;
        int rc = blob_reader_read(r, at, piece, PIECE_BYTES, &n);
        if (rc)
            return rc;
        if (!n)
            return 0;
        hasher_update(h, piece, n);
        at += n;
        pace(began, at, bytes_per_s, stop);
        if (is_told(stop))
            return ERR_CANCELED;
    }
}

static int digest_of_reader(struct blob_reader *r, enum digest_alg alg, uint64_t bytes_per_s,
                            const _Atomic bool *stop, struct digest *out)
{
    struct hasher *h = hasher_new(alg);
    if (!h)
        return ERR_NOMEM;
    int rc = hash_all(r, bytes_per_s, stop, h);
    if (!rc)
        rc = hasher_final(h, out);
    hasher_free(h);
    return rc;
}

int blob_verify(struct blob_store *bs, const struct blob_name *name, uint64_t bytes_per_s,
                const _Atomic bool *stop)
{
    struct blob_reader *r;
    struct digest is;
    int rc = blob_reader_open(bs, name, &r);
    if (rc)
        return rc;
    rc = digest_of_reader(r, (enum digest_alg)name->digest.alg, bytes_per_s, stop, &is);
    blob_reader_close(r);
    if (rc || digest_equal(&is, &name->digest))
        return rc;
    rc = bs->backend->set_aside(bs, name);
    atomic_fetch_add(&bs->n_removals, 1);
    return rc ? rc : ERR_DIGEST;
}

int blob_damaged_note(struct blob_store *bs, const struct digest *d)
{
    return bs->backend->damaged_note(bs, d);
}

int blob_damaged_list(struct blob_store *bs, struct digest *out, size_t max, size_t *out_n)
{
    *out_n = 0;
    return bs->backend->damaged_list(bs, out, max, out_n);
}

int blob_damaged_release(struct blob_store *bs, const struct digest *d)
{
    return bs->backend->damaged_release(bs, d);
}

int blob_damaged_forget(struct blob_store *bs, const struct digest *d)
{
    return bs->backend->damaged_forget(bs, d);
}
