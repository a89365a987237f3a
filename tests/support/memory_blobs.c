// SPDX-License-Identifier: Apache-2.0
// Blobs in memory; see memory_blobs.h.
#include "tests/support/memory_blobs.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/blob_backend.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

// Bytes that readers share with the blob of which they were read.
struct content {
    size_t n_refs, n;
    uint8_t b[];
};

struct object {
    struct object *next;
    // of a damaged one without its generation
    struct blob_name name;
    struct content *content;
};

// A place from which an upload can go on, and the digest's state there.
struct point {
    struct point *lower;
    uint64_t at;
    EVP_MD_CTX *state;
};

// What is stored of a growing blob.
struct growing {
    struct growing *next;
    enum blob_area area;
    char name[BLOB_NAME_SIZE];
    // by whom it is open
    struct memory_store *opener;
    int64_t touched_ms;
    uint8_t *b;
    // highest first; there is always one at 0
    struct point *points;
};

struct outcome {
    struct outcome *next;
    char id[BLOB_NAME_SIZE];
    struct blob_name name;
    int64_t at_ms;
};

struct memory_blobs {
    pthread_mutex_t lock;
    struct object *objects, *damaged;
    struct growing *growing;
    struct outcome *outcomes;
};

struct memory_store {
    struct blob_store base;
    struct memory_blobs *m;
};

struct memory_upload {
    struct blob_upload base;
    struct memory_store *s;
    struct growing *g;
    // g->b grows with it
    EVP_MD_CTX *running;
    // ERR_CLOSED after the commit
    int dead;
};

struct memory_reader {
    struct blob_reader base;
    struct memory_blobs *m;
    struct content *content;
};

static struct memory_blobs *lock(struct blob_store *bs)
{
    struct memory_blobs *m = ((struct memory_store *)bs)->m;
    pthread_mutex_lock(&m->lock);
    return m;
}

static void unlock(struct memory_blobs *m)
{
    pthread_mutex_unlock(&m->lock);
}

// --- objects ---

static void content_unref(struct content *c)
{
    if (c && --c->n_refs == 0)
        free(c);
}

static struct content *content_new(const void *p, size_t n)
{
    struct content *c = mem_alloc(sizeof *c + n);
    if (!c)
        return NULL;
    c->n_refs = 1;
    c->n = n;
    if (n)
        memcpy(c->b, p, n);
    return c;
}

static struct object **object_at(struct object **list, const struct blob_name *name)
{
    while (*list && !blob_name_equal(&(*list)->name, name))
        list = &(*list)->next;
    return list;
}

static struct blob_name damaged_name(const struct digest *d)
{
    return (struct blob_name){.digest = *d};
}

static bool object_drop(struct object **list, const struct blob_name *name)
{
    struct object **at = object_at(list, name);
    struct object *o = *at;
    if (!o)
        return false;
    *at = o->next;
    content_unref(o->content);
    free(o);
    return true;
}

// Takes the reference to `c` (may be NULL).
static int object_put(struct object **list, const struct blob_name *name, struct content *c)
{
    struct object *o = *object_at(list, name);
    if (!o) {
        o = mem_zalloc(sizeof *o);
        if (!o) {
            content_unref(c);
            return ERR_NOMEM;
        }
        o->name = *name;
        o->next = *list;
        *list = o;
    }
    content_unref(o->content);
    o->content = c;
    return 0;
}

static int op_stat(struct blob_store *bs, const struct blob_name *name, uint64_t *out_size)
{
    struct memory_blobs *m = lock(bs);
    const struct object *o = *object_at(&m->objects, name);
    if (o)
        *out_size = o->content->n;
    unlock(m);
    return o ? 0 : ERR_NOTFOUND;
}

static int op_remove(struct blob_store *bs, const struct blob_name *name, bool unnamed)
{
    (void)unnamed; // nobody holds
    struct memory_blobs *m = lock(bs);
    bool was = object_drop(&m->objects, name);
    unlock(m);
    return was ? 0 : ERR_NOTFOUND;
}

// A new one comes first in the list, so that it shifts the places behind it.
static int op_walk(struct blob_store *bs, struct blob_walk *at, struct blob_name *out, size_t max,
                   size_t *out_n)
{
    struct memory_blobs *m = lock(bs);
    size_t n_all = 0;
    for (const struct object *o = m->objects; o; o = o->next) {
        if (n_all++ < at->skip || *out_n == max)
            continue;
        out[(*out_n)++] = o->name;
    }
    at->skip += *out_n;
    at->ended = at->skip >= n_all;
    unlock(m);
    return 0;
}

static int op_serve(struct blob_store *bs, const struct blob_serve_want *want,
                    struct blob_serve *out)
{
    uint64_t size;
    char text[DIGEST_TEXT_SIZE];
    int rc = op_stat(bs, want->name, &size);
    if (rc)
        return rc;
    if (size != want->size)
        return ERR_DIGEST;
    int64_t expires_ms = clock_wall_ms() + MEMORY_BLOBS_URL_MS;
    const char *url = arena_printf(want->arena, MEMORY_BLOBS_URL "%s?method=%s&expires=%lld",
                                   strchr(digest_format(&want->name->digest, text), ':') + 1,
                                   want->head ? "HEAD" : "GET", (long long)expires_ms / 1000);
    if (!url)
        return ERR_NOMEM;
    out->kind = BLOB_SERVE_URL;
    out->url = url;
    out->url_expires_ms = expires_ms;
    return 0;
}

static int op_reader_open(struct blob_store *bs, const struct blob_name *name,
                          struct blob_reader **out)
{
    struct memory_reader *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    struct memory_blobs *m = lock(bs);
    const struct object *o = *object_at(&m->objects, name);
    if (o) {
        r->content = o->content;
        r->content->n_refs++;
    }
    unlock(m);
    if (!r->content) {
        free(r);
        return ERR_NOTFOUND;
    }
    r->m = m;
    r->base = (struct blob_reader){.backend = bs->backend, .size = r->content->n};
    *out = &r->base;
    return 0;
}

static int op_reader_read(struct blob_reader *br, uint64_t at, void *p, size_t cap, size_t *out_n)
{
    const struct content *c = ((struct memory_reader *)br)->content;
    size_t left = at < c->n ? c->n - (size_t)at : 0;
    size_t n = left < cap ? left : cap;
    if (n)
        memcpy(p, c->b + at, n);
    *out_n = n;
    return 0;
}

static void op_reader_close(struct blob_reader *br)
{
    struct memory_reader *r = (struct memory_reader *)br;
    pthread_mutex_lock(&r->m->lock);
    content_unref(r->content);
    unlock(r->m);
    free(r);
}

// --- growing blobs ---

static EVP_MD_CTX *state_copy(const EVP_MD_CTX *of)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = false;
    if (c && of)
        ok = EVP_MD_CTX_copy_ex(c, of);
    else if (c)
        ok = EVP_DigestInit_ex(c, EVP_sha256(), NULL);
    if (!ok) {
        EVP_MD_CTX_free(c);
        return NULL;
    }
    return c;
}

static void points_above(struct growing *g, uint64_t at)
{
    while (g->points && g->points->at > at) {
        struct point *p = g->points;
        g->points = p->lower;
        EVP_MD_CTX_free(p->state);
        free(p);
    }
}

static int point_add(struct growing *g, uint64_t at, const EVP_MD_CTX *state)
{
    if (g->points && g->points->at == at)
        return 0;
    struct point *p = mem_zalloc(sizeof *p);
    EVP_MD_CTX *copy = p ? state_copy(state) : NULL;
    if (!copy) {
        free(p);
        return ERR_NOMEM;
    }
    *p = (struct point){.lower = g->points, .at = at, .state = copy};
    g->points = p;
    return 0;
}

static void growing_free(struct growing *g)
{
    while (g->points) {
        struct point *p = g->points;
        g->points = p->lower;
        EVP_MD_CTX_free(p->state);
        free(p);
    }
    free(g->b);
    free(g);
}

static struct growing **growing_at(struct memory_blobs *m, enum blob_area area, const char *name)
{
    struct growing **at = &m->growing;
    while (*at && ((*at)->area != area || strcmp((*at)->name, name) != 0))
        at = &(*at)->next;
    return at;
}

static int growing_make(struct memory_blobs *m, enum blob_area area, const char *name,
                        struct growing **out)
{
    struct growing *g = *growing_at(m, area, name);
    if (!g) {
        g = mem_zalloc(sizeof *g);
        if (!g)
            return ERR_NOMEM;
        g->area = area;
        g->touched_ms = clock_wall_ms();
        snprintf(g->name, sizeof g->name, "%s", name);
        int rc = point_add(g, 0, NULL);
        if (rc) {
            growing_free(g);
            return rc;
        }
        g->next = m->growing;
        m->growing = g;
    }
    *out = g;
    return g->opener ? ERR_BUSY : 0;
}

static void growing_drop(struct memory_blobs *m, struct growing *g)
{
    struct growing **at = growing_at(m, g->area, g->name);
    assert(*at == g);
    *at = g->next;
    growing_free(g);
}

static int op_upload_open(struct blob_store *bs, enum blob_area area, const char *name,
                          struct blob_upload **out)
{
    struct memory_upload *u = mem_zalloc(sizeof *u);
    if (!u)
        return ERR_NOMEM;
    struct memory_blobs *m = lock(bs);
    int rc = growing_make(m, area, name, &u->g);
    if (!rc) {
        u->running = state_copy(u->g->points->state);
        if (!u->running)
            rc = ERR_NOMEM;
    }
    if (!rc)
        u->g->opener = (struct memory_store *)bs;
    unlock(m);
    if (rc) {
        free(u);
        return rc;
    }
    uint64_t at = u->g->points->at;
    u->s = (struct memory_store *)bs;
    u->base = (struct blob_upload){.backend = bs->backend, .size = at, .resume_at = at};
    *out = &u->base;
    return 0;
}

static int op_upload_write(struct blob_upload *bu, const void *p, size_t n)
{
    struct memory_upload *u = (struct memory_upload *)bu;
    if (u->dead)
        return u->dead;
    if (bu->size > INT64_MAX - n)
        return ERR_TOOBIG;
    uint8_t *b = mem_realloc(u->g->b, bu->size + n + 1);
    if (!b)
        return ERR_NOMEM;
    if (n)
        memcpy(b + bu->size, p, n);
    u->g->b = b;
    u->g->touched_ms = clock_wall_ms();
    EVP_DigestUpdate(u->running, p, n);
    bu->size += n;
    return 0;
}

static int op_upload_sync(struct blob_upload *bu)
{
    struct memory_upload *u = (struct memory_upload *)bu;
    if (u->dead)
        return u->dead;
    int rc = point_add(u->g, bu->size, u->running);
    if (rc)
        return rc;
    bu->resume_at = bu->size;
    return 0;
}

static const struct point *point_of(const struct growing *g, uint64_t at)
{
    const struct point *p = g->points;
    while (p && p->at != at)
        p = p->lower;
    return p;
}

static int op_upload_trim(struct blob_upload *bu, uint64_t size)
{
    struct memory_upload *u = (struct memory_upload *)bu;
    if (u->dead)
        return u->dead;
    if (size > bu->size)
        return ERR_RANGE;
    if (size == bu->size)
        return op_upload_sync(bu);
    const struct point *p = point_of(u->g, size);
    if (!p)
        return ERR_INVAL;
    EVP_MD_CTX *state = state_copy(p->state);
    if (!state)
        return ERR_NOMEM;
    EVP_MD_CTX_free(u->running);
    u->running = state;
    points_above(u->g, size);
    bu->size = size;
    bu->resume_at = size;
    return 0;
}

static int outcome_note(struct memory_blobs *m, const char *id, const struct blob_name *as)
{
    struct outcome *o = m->outcomes;
    while (o && strcmp(o->id, id) != 0)
        o = o->next;
    if (!o) {
        o = mem_zalloc(sizeof *o);
        if (!o)
            return ERR_NOMEM;
        snprintf(o->id, sizeof o->id, "%s", id);
        o->next = m->outcomes;
        m->outcomes = o;
    }
    o->name = *as;
    o->at_ms = clock_wall_ms();
    return 0;
}

static int verify(struct memory_upload *u, const struct digest *expected)
{
    struct digest is = {.alg = DIGEST_SHA256, .n = SHA256_BYTES};
    if (u->base.alg != DIGEST_SHA256) {
        int rc = digest_of(u->base.alg, u->g->b, u->base.size, &is);
        if (rc)
            return rc;
        return digest_equal(&is, expected) ? 0 : ERR_DIGEST;
    }
    EVP_MD_CTX *last = state_copy(u->running);
    bool ok = last && EVP_DigestFinal_ex(last, is.b, NULL);
    EVP_MD_CTX_free(last);
    if (!ok)
        return ERR_NOMEM;
    return digest_equal(&is, expected) ? 0 : ERR_DIGEST;
}

static int publish(struct memory_upload *u, const struct blob_name *as)
{
    struct memory_blobs *m = u->s->m;
    struct content *c = content_new(u->g->b, u->base.size);
    if (!c)
        return ERR_NOMEM;
    if (u->g->area == BLOB_AREA_UPLOADS) {
        int rc = outcome_note(m, u->g->name, as);
        if (rc) {
            content_unref(c);
            return rc;
        }
    }
    int rc = object_put(&m->objects, as, c);
    if (rc)
        return rc;
    growing_drop(m, u->g);
    u->g = NULL;
    u->dead = ERR_CLOSED;
    return 0;
}

static int op_upload_commit(struct blob_upload *bu, const struct blob_name *as)
{
    struct memory_upload *u = (struct memory_upload *)bu;
    if (u->dead)
        return u->dead;
    int rc = verify(u, &as->digest);
    if (rc)
        return rc;
    struct memory_blobs *m = lock(&u->s->base);
    rc = publish(u, as);
    unlock(m);
    return rc;
}

static void op_upload_close(struct blob_upload *bu, bool drop)
{
    struct memory_upload *u = (struct memory_upload *)bu;
    struct memory_blobs *m = lock(&u->s->base);
    if (u->g && drop)
        growing_drop(m, u->g);
    else if (u->g)
        u->g->opener = NULL;
    unlock(m);
    EVP_MD_CTX_free(u->running);
    free(u);
}

static int op_upload_outcome(struct blob_store *bs, const char *id, struct blob_name *out)
{
    struct memory_blobs *m = lock(bs);
    const struct outcome *o = m->outcomes;
    while (o && strcmp(o->id, id) != 0)
        o = o->next;
    if (o)
        *out = o->name;
    unlock(m);
    return o ? 0 : ERR_NOTFOUND;
}

static bool op_upload_elsewhere(struct blob_store *bs, const char *id)
{
    struct memory_blobs *m = lock(bs);
    const struct growing *g = *growing_at(m, BLOB_AREA_UPLOADS, id);
    bool elsewhere = g && g->opener && &g->opener->base != bs;
    unlock(m);
    return elsewhere;
}

static void outcome_drop(struct outcome **at)
{
    struct outcome *o = *at;
    *at = o->next;
    free(o);
}

static int op_upload_discard(struct blob_store *bs, const char *id)
{
    struct memory_blobs *m = lock(bs);
    struct growing *g = *growing_at(m, BLOB_AREA_UPLOADS, id);
    if (g && g->opener) {
        unlock(m);
        return ERR_BUSY;
    }
    if (g)
        growing_drop(m, g);
    struct outcome **at = &m->outcomes;
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    if (*at)
        outcome_drop(at);
    unlock(m);
    return 0;
}

static uint64_t op_partial_size(struct blob_store *bs, const char *name)
{
    struct memory_blobs *m = lock(bs);
    const struct growing *g = *growing_at(m, BLOB_AREA_PARTIALS, name);
    uint64_t n = g ? g->points->at : 0;
    unlock(m);
    return n;
}

static int op_partials_drop(struct blob_store *bs, size_t *out_n, uint64_t *out_bytes)
{
    struct memory_blobs *m = lock(bs);
    struct growing *next;
    for (struct growing *g = m->growing; g; g = next) {
        next = g->next;
        if (g->area != BLOB_AREA_PARTIALS || g->opener)
            continue;
        ++*out_n;
        *out_bytes += g->points->at;
        growing_drop(m, g);
    }
    unlock(m);
    return 0;
}

struct expiry {
    int64_t older_than_ms;
    bool (*known)(void *ctx, const char *id);
    void *ctx;
};

static bool is_abandoned(const struct expiry *x, const char *id, int64_t touched_ms)
{
    if (touched_ms >= x->older_than_ms)
        return false;
    return !x->known || !x->known(x->ctx, id);
}

static int op_expire(struct blob_store *bs, enum blob_area area, int64_t older_than_wall_ms,
                     bool (*known)(void *ctx, const char *id), void *ctx, size_t *n_removed)
{
    const struct expiry x = {older_than_wall_ms, known, ctx};
    struct memory_blobs *m = lock(bs);
    struct growing *next;
    for (struct growing *g = m->growing; g; g = next) {
        next = g->next;
        if (g->area != area || g->opener || !is_abandoned(&x, g->name, g->touched_ms))
            continue;
        growing_drop(m, g);
        ++*n_removed;
    }
    struct outcome **at = &m->outcomes;
    while (area == BLOB_AREA_UPLOADS && *at) {
        if (!is_abandoned(&x, (*at)->id, (*at)->at_ms)) {
            at = &(*at)->next;
            continue;
        }
        outcome_drop(at);
        ++*n_removed;
    }
    unlock(m);
    return 0;
}

// --- damage ---

static int op_set_aside(struct blob_store *bs, const struct blob_name *name)
{
    struct memory_blobs *m = lock(bs);
    const struct object *o = *object_at(&m->objects, name);
    const struct blob_name damaged = damaged_name(&name->digest);
    int rc = ERR_NOTFOUND;
    if (o) {
        o->content->n_refs++;
        rc = object_put(&m->damaged, &damaged, o->content);
        if (!rc)
            object_drop(&m->objects, name);
    }
    unlock(m);
    return rc;
}

static int op_damaged_note(struct blob_store *bs, const struct digest *d)
{
    struct memory_blobs *m = lock(bs);
    const struct blob_name damaged = damaged_name(d);
    int rc = 0;
    if (!*object_at(&m->damaged, &damaged))
        rc = object_put(&m->damaged, &damaged, NULL);
    unlock(m);
    return rc;
}

static int op_damaged_list(struct blob_store *bs, struct digest *out, size_t max, size_t *out_n)
{
    struct memory_blobs *m = lock(bs);
    for (const struct object *o = m->damaged; o && *out_n < max; o = o->next)
        out[(*out_n)++] = o->name.digest;
    unlock(m);
    return 0;
}

static int op_damaged_release(struct blob_store *bs, const struct digest *d)
{
    struct memory_blobs *m = lock(bs);
    const struct blob_name damaged = damaged_name(d);
    struct object *o = *object_at(&m->damaged, &damaged);
    if (o)
        content_unref(take_ptr(o->content));
    unlock(m);
    return o ? 0 : ERR_NOTFOUND;
}

static int op_damaged_forget(struct blob_store *bs, const struct digest *d)
{
    struct memory_blobs *m = lock(bs);
    const struct blob_name damaged = damaged_name(d);
    object_drop(&m->damaged, &damaged);
    unlock(m);
    return 0;
}

// --- the store ---

static void op_close(struct blob_store *bs)
{
    free(bs);
}

static bool op_writable(struct blob_store *bs, uint64_t *out_free_bytes)
{
    (void)bs;
    if (out_free_bytes)
        *out_free_bytes = UINT64_MAX;
    return true;
}

static const struct blob_backend memory_backend = {
    .name = "memory",
    .close = op_close,
    .writable = op_writable,
    .stat = op_stat,
    .remove = op_remove,
    .walk = op_walk,
    .serve = op_serve,
    .reader_open = op_reader_open,
    .reader_read = op_reader_read,
    .reader_close = op_reader_close,
    .upload_open = op_upload_open,
    .upload_write = op_upload_write,
    .upload_sync = op_upload_sync,
    .upload_trim = op_upload_trim,
    .upload_commit = op_upload_commit,
    .upload_close = op_upload_close,
    .upload_outcome = op_upload_outcome,
    .upload_elsewhere = op_upload_elsewhere,
    .upload_discard = op_upload_discard,
    .partial_size = op_partial_size,
    .partials_drop = op_partials_drop,
    .expire = op_expire,
    .set_aside = op_set_aside,
    .damaged_note = op_damaged_note,
    .damaged_list = op_damaged_list,
    .damaged_release = op_damaged_release,
    .damaged_forget = op_damaged_forget,
};

struct memory_blobs *memory_blobs_new(void)
{
    struct memory_blobs *m = mem_zalloc(sizeof *m);
    if (m)
        pthread_mutex_init(&m->lock, NULL);
    return m;
}

static void objects_free(struct object *list)
{
    for (struct object *o = list, *next; o; o = next) {
        next = o->next;
        content_unref(o->content);
        free(o);
    }
}

void memory_blobs_free(struct memory_blobs *m)
{
    if (!m)
        return;
    objects_free(m->objects);
    objects_free(m->damaged);
    while (m->growing)
        growing_drop(m, m->growing);
    while (m->outcomes)
        outcome_drop(&m->outcomes);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

int memory_blobs_open(struct memory_blobs *m, struct blob_store **out)
{
    struct memory_store *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    blob_store_init(&s->base, &memory_backend);
    s->m = m;
    *out = &s->base;
    return 0;
}

void memory_blobs_damage(struct memory_blobs *m, const struct blob_name *name)
{
    pthread_mutex_lock(&m->lock);
    const struct object *o = *object_at(&m->objects, name);
    for (size_t i = 0; o && i < o->content->n; i++)
        o->content->b[i] = (uint8_t)~o->content->b[i];
    unlock(m);
}
