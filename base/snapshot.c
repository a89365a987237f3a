// SPDX-License-Identifier: Apache-2.0
// Reference-counted publication; see snapshot.h, which numbers the invariants.
#include "base/snapshot.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

void snapshot_head_init(struct snapshot_head *h, void (*free_fn)(void *self))
{
    atomic_init(&h->refs, 1);
    h->free = free_fn;
}

void *snapshot_ref(void *value)
{
    struct snapshot_head *h = value;
    if (!h)
        return NULL;
    uint32_t before = atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    assert(before > 0 && before < UINT32_MAX); // invariant 1
    return value;
}

void snapshot_unref(void *value)
{
    struct snapshot_head *h = value;
    if (!h)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel);
    assert(before > 0); // invariant 1
    if (before == 1)
        h->free(h);
}

uint32_t snapshot_refs(const void *value)
{
    return atomic_load_explicit(&((struct snapshot_head *)value)->refs, memory_order_acquire);
}

void snapshot_init(struct snapshot *s)
{
    pthread_mutex_init(&s->lock, NULL);
    atomic_init(&s->generation, 0);
    s->current = NULL;
}

void snapshot_done(struct snapshot *s)
{
    snapshot_unref(s->current);
    s->current = NULL;
    pthread_mutex_destroy(&s->lock);
}

static void put(struct snapshot *s, void *value)
{
    pthread_mutex_lock(&s->lock);
    void *old = s->current;
    s->current = value;
    atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
    pthread_mutex_unlock(&s->lock);
    snapshot_unref(old);
}

void snapshot_publish(struct snapshot *s, void *value)
{
    assert(value && snapshot_refs(value) > 0); // invariant 2
    put(s, value);
}

void snapshot_withdraw(struct snapshot *s)
{
    put(s, NULL);
}

void *snapshot_get(struct snapshot *s)
{
    pthread_mutex_lock(&s->lock);
    void *v = snapshot_ref(s->current);
    pthread_mutex_unlock(&s->lock);
    return v;
}

uint64_t snapshot_generation(const struct snapshot *s)
{
    return atomic_load_explicit(&((struct snapshot *)s)->generation, memory_order_acquire);
}

void *snapshot_reader_get(struct snapshot_reader *r, struct snapshot *s)
{
    if (atomic_load_explicit(&s->generation, memory_order_acquire) == r->generation)
        return r->held;
    pthread_mutex_lock(&s->lock);
    void *v = snapshot_ref(s->current);
    uint64_t gen = atomic_load_explicit(&s->generation, memory_order_relaxed);
    pthread_mutex_unlock(&s->lock);
    assert(gen >= r->generation); // invariant 3
    snapshot_unref(r->held);
    r->held = v;
    r->generation = gen;
    return v;
}

void snapshot_reader_done(struct snapshot_reader *r)
{
    snapshot_unref(r->held);
    *r = (struct snapshot_reader){0};
}
