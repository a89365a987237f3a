// SPDX-License-Identifier: Apache-2.0
// Copies ahead of manifests, noted until it is known what came of them; see ahead.h.
#include "replication/ahead.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/htab.h"
#include "base/mem.h"
#include "store/meta.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define LOOK_MS 1000
// of one look: each is a statement or two
#define LOOK_MAX 128
#define KEY_MAX 768

struct tally { // of one registry and origin
    struct tally *next;
    struct ahead_view view;
    char key[];
};

struct copy {
    // a queue: who was looked at goes to its end
    struct copy *next, *prev;
    struct tally *tally;
    struct digest digest;
    uint64_t size;
    // who makes it: each calls ahead_end
    unsigned n_makers;
    bool here;
    size_t key_n;
    char key[];
};

// "registry\0repository\0" and the digest's bytes; 0: it is too long.
static size_t key_of(const struct ahead_key *k, char out[KEY_MAX])
{
    size_t registry = strlen(k->registry) + 1, repository = strlen(k->repository) + 1;
    size_t n = registry + repository + k->digest.n;
    if (n > KEY_MAX)
        return 0;
    memcpy(out, k->registry, registry);
    memcpy(out + registry, k->repository, repository);
    memcpy(out + registry + repository, k->digest.b, k->digest.n);
    return n;
}

struct ahead {
    uint64_t max_bytes;
    // the dispatcher's
    int64_t look_mono;
    pthread_mutex_t lock;

    // Under the lock.

    // of all
    struct ahead_view all;
    struct htab *copies, *tallies;
    struct tally *first_tally;
    struct copy *first, *last;
};

int ahead_new(uint64_t max_bytes, struct ahead **out)
{
    struct ahead *a = mem_zalloc(sizeof *a);
    if (!a)
        return ERR_NOMEM;
    pthread_mutex_init(&a->lock, NULL);
    a->max_bytes = max_bytes;
    if (!max_bytes)
        a->max_bytes = AHEAD_BYTES;
    a->copies = htab_new();
    a->tallies = htab_new();
    if (!a->copies || !a->tallies) {
        ahead_free(a);
        return ERR_NOMEM;
    }
    *out = a;
    return 0;
}

void ahead_free(struct ahead *a)
{
    if (!a)
        return;
    for (struct copy *c = a->first, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    for (struct tally *t = a->first_tally, *next; t; t = next) {
        next = t->next;
        free(t);
    }
    htab_free(a->copies);
    htab_free(a->tallies);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

// --- notes; under the lock ---

static void enqueue(struct ahead *a, struct copy *c)
{
    c->next = NULL;
    c->prev = a->last;
    if (a->last)
        a->last->next = c;
    else
        a->first = c;
    a->last = c;
}

static void dequeue(struct ahead *a, struct copy *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        a->first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        a->last = c->prev;
}

static int copy_new(const struct ahead_key *k, uint64_t size, struct copy **out)
{
    char key[KEY_MAX];
    size_t n = key_of(k, key);
    if (!n)
        return ERR_TOOBIG;
    struct copy *c = mem_zalloc(sizeof *c + n);
    if (!c)
        return ERR_NOMEM;
    c->digest = k->digest;
    c->size = size;
    c->key_n = n;
    memcpy(c->key, key, n);
    *out = c;
    return 0;
}

static const char *registry_of(const struct copy *c)
{
    return c->key;
}

static const char *repository_of(const struct copy *c)
{
    return c->key + strlen(c->key) + 1;
}

// "registry\0origin\0"; 0: it is too long to be one.
static size_t tally_key(const char *registry, const char *origin, char out[KEY_MAX])
{
    int n = snprintf(out, KEY_MAX, "%s%c%s", registry, '\0', origin);
    return n > 0 && n < KEY_MAX ? (size_t)n + 1 : 0;
}

// NULL: nothing was told of yet. Under the lock.
static struct tally *tally_find(struct ahead *a, const char *registry, const char *origin)
{
    char key[KEY_MAX];
    size_t n = tally_key(registry, origin, key);
    if (!n)
        return NULL;
    return htab_get(a->tallies, key, n);
}

// Makes it on the first call; NULL: no memory.
static struct tally *tally_get(struct ahead *a, const char *registry, const char *origin)
{
    char key[KEY_MAX];
    size_t n = tally_key(registry, origin, key);
    struct tally *t = n ? htab_get(a->tallies, key, n) : NULL;
    if (t || !n)
        return t;
    t = mem_zalloc(sizeof *t + n);
    if (!t)
        return NULL;
    memcpy(t->key, key, n);
    if (htab_put(a->tallies, key, n, t)) {
        free(t);
        return NULL;
    }
    t->next = a->first_tally;
    a->first_tally = t;
    return t;
}

static void waits(struct ahead_view *v, uint64_t size)
{
    v->waiting++;
    v->waiting_bytes += size;
}

static void waits_no_more(struct ahead_view *v, uint64_t size)
{
    assert(v->waiting > 0 && v->waiting_bytes >= size);
    v->waiting--;
    v->waiting_bytes -= size;
}

// Forgets it.
static void copy_remove(struct ahead *a, struct copy *c)
{
    waits_no_more(&a->all, c->size);
    waits_no_more(&c->tally->view, c->size);
    htab_del(a->copies, c->key, c->key_n);
    dequeue(a, c);
    free(c);
}

// Under the lock. `taken`: of all that is counted, what n bytes stand for.
static bool fits(const struct ahead *a, uint64_t n, uint64_t taken)
{
    return n <= a->max_bytes - (a->all.waiting_bytes - taken);
}

static void give(struct ahead *a, struct tally *t, uint64_t n)
{
    assert(t && t->view.waiting_bytes >= n); // it was taken
    a->all.waiting_bytes -= n;
    t->view.waiting_bytes -= n;
}

// Under the lock.
static void refused(struct ahead *a, struct tally *t)
{
    a->all.n_refused++;
    t->view.n_refused++;
}

// What is noted already.
static int copy_join(struct copy *had, uint64_t size)
{
    if (had->size < size)
        return ERR_CONFLICT; // it would bring more than was counted
    if (!had->n_makers)
        return ERR_EXISTS;
    had->n_makers++;
    return 0;
}

// Takes over `c`.
static int copy_note(struct ahead *a, struct copy *c, uint64_t taken)
{
    int rc = 0;
    if (a->all.waiting == AHEAD_MAX || !fits(a, c->size, taken))
        rc = ERR_FULL; // invariant 2
    else
        rc = htab_put(a->copies, c->key, c->key_n, c);
    if (rc == ERR_FULL)
        refused(a, c->tally);
    if (rc) {
        free(c);
        return rc;
    }
    c->n_makers = 1;
    waits(&a->all, c->size);
    waits(&c->tally->view, c->size);
    enqueue(a, c);
    return 0;
}

int ahead_note_taken(struct ahead *a, const struct ahead_key *key, uint64_t size, uint64_t taken)
{
    struct copy *c;
    int rc = copy_new(key, size, &c);
    if (rc)
        return rc;
    pthread_mutex_lock(&a->lock);
    struct copy *had = htab_get(a->copies, c->key, c->key_n);
    struct tally *t = tally_get(a, key->registry, key->origin);
    c->tally = t;
    if (had || !t) {
        free(c);
        rc = ERR_NOMEM;
        if (had)
            rc = copy_join(had, size);
    } else {
        rc = copy_note(a, c, taken);
    }
    if (!rc && taken)
        give(a, t, taken);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

int ahead_note(struct ahead *a, const struct ahead_key *key, uint64_t size)
{
    return ahead_note_taken(a, key, size, 0);
}

void ahead_end(struct ahead *a, const struct ahead_key *key, int rc)
{
    char text[KEY_MAX];
    size_t n = key_of(key, text);
    pthread_mutex_lock(&a->lock);
    struct copy *c = htab_get(a->copies, text, n);
    assert(c && c->n_makers > 0); // invariant 1: who took part in it ends that, once
    c->n_makers--;
    if (!rc && !c->here) {
        c->here = true;
        a->all.copied_bytes += c->size;
        c->tally->view.copied_bytes += c->size;
    }
    if (!c->here && !c->n_makers)
        copy_remove(a, c);
    pthread_mutex_unlock(&a->lock);
}

// --- of uploads that run ---

int ahead_take(struct ahead *a, const char *registry, const char *origin, uint64_t n)
{
    int rc = 0;
    pthread_mutex_lock(&a->lock);
    struct tally *t = tally_get(a, registry, origin);
    if (!t)
        rc = ERR_NOMEM;
    else if (!fits(a, n, 0))
        rc = ERR_FULL; // invariant 2
    if (rc == ERR_FULL)
        refused(a, t);
    if (!rc) {
        a->all.waiting_bytes += n;
        t->view.waiting_bytes += n;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

void ahead_give(struct ahead *a, const char *registry, const char *origin, uint64_t n)
{
    if (!n)
        return;
    pthread_mutex_lock(&a->lock);
    give(a, tally_find(a, registry, origin), n);
    pthread_mutex_unlock(&a->lock);
}

void ahead_lost(struct ahead *a, const char *registry, const char *origin, uint64_t n)
{
    pthread_mutex_lock(&a->lock);
    struct tally *t = tally_find(a, registry, origin);
    if (t && n) {
        a->all.copied_bytes += n;
        a->all.wasted_bytes += n;
        t->view.copied_bytes += n;
        t->view.wasted_bytes += n;
    }
    pthread_mutex_unlock(&a->lock);
}

// --- what became of them ---

static void used(struct ahead_view *v, uint64_t size)
{
    v->used_bytes += size;
}

static void wasted(struct ahead_view *v, uint64_t size)
{
    v->wasted_bytes += size;
}

// The next that is here; it goes to the queue's end. `n`: how many may be passed over. Under the
// lock.
static struct copy *copy_next(struct ahead *a, uint64_t *n)
{
    while (*n) {
        struct copy *c = a->first;
        --*n;
        dequeue(a, c);
        enqueue(a, c);
        if (c->here && !c->n_makers)
            return c;
    }
    return NULL;
}

// No other thread forgets a copy that is here and that nobody makes, or takes part in it: it may be
// looked at without the lock.
static void copy_look(struct ahead *a, struct meta *m, struct copy *c)
{
    struct blob_here here;
    int rc = meta_blob_look(m, registry_of(c), repository_of(c), &c->digest, &here);
    bool is_used = !rc && here.linked, is_wasted = rc == ERR_NOTFOUND;
    if (!is_used && !is_wasted) // it waits, or the store cannot tell now
        return;
    pthread_mutex_lock(&a->lock);
    void (*count)(struct ahead_view *, uint64_t) = is_used ? used : wasted;
    count(&a->all, c->size);
    count(&c->tally->view, c->size);
    copy_remove(a, c);
    pthread_mutex_unlock(&a->lock);
}

void ahead_look(struct ahead *a, struct meta *m)
{
    int64_t now = clock_mono_ms();
    if (now - a->look_mono < LOOK_MS)
        return;
    a->look_mono = now;
    pthread_mutex_lock(&a->lock);
    uint64_t n = a->all.waiting;
    pthread_mutex_unlock(&a->lock);
    for (size_t i = 0; i < LOOK_MAX; i++) {
        pthread_mutex_lock(&a->lock);
        if (n > a->all.waiting) // some failed meanwhile
            n = a->all.waiting;
        struct copy *c = copy_next(a, &n);
        pthread_mutex_unlock(&a->lock);
        if (!c)
            return;
        copy_look(a, m, c);
    }
}

void ahead_view(struct ahead *a, const char *registry, const char *origin, struct ahead_view *out)
{
    *out = (struct ahead_view){0};
    pthread_mutex_lock(&a->lock);
    const struct tally *t = tally_find(a, registry, origin);
    if (t)
        *out = t->view;
    pthread_mutex_unlock(&a->lock);
}

void ahead_metrics(struct ahead *a, struct buf *out)
{
    pthread_mutex_lock(&a->lock);
    const struct ahead_view v = a->all;
    pthread_mutex_unlock(&a->lock);
    exposition_single(out, "meridian_replication_ahead_bytes", "gauge",
                      "Bytes of blobs that were copied ahead and wait for a manifest.",
                      (double)v.waiting_bytes);
    exposition_single(out, "meridian_replication_ahead_copied_bytes_total", "counter",
                      "Bytes of blobs that were copied ahead of their manifest.",
                      (double)v.copied_bytes);
    exposition_single(out, "meridian_replication_ahead_used_bytes_total", "counter",
                      "Of these, those to which a manifest came to refer.", (double)v.used_bytes);
    exposition_single(out, "meridian_replication_ahead_wasted_bytes_total", "counter",
                      "Of these, those whose lease ended before.", (double)v.wasted_bytes);
    exposition_single(out, "meridian_replication_ahead_refused_total", "counter",
                      "Copies ahead that were not begun: so many bytes wait already.",
                      (double)v.n_refused);
}
