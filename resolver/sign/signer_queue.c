// SPDX-License-Identifier: Apache-2.0
// See signer_queue.h. A cell's turn says whose it is: a writer claims a place by moving the tail
// past it, fills the cell, and gives it to readers by its turn; a reader does the same with the
// head, and gives it to the writer one round later.
#include "resolver/sign/signer_queue.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

int signer_queue_init(struct signer_queue *q, size_t cap)
{
    q->cells = mem_zalloc_array(cap, sizeof *q->cells);
    if (!q->cells)
        return ERR_NOMEM;
    q->cap = cap;
    for (size_t i = 0; i < cap; i++)
        atomic_init(&q->cells[i].turn, i);
    return 0;
}

void signer_queue_done(struct signer_queue *q)
{
    free(q->cells);
    q->cells = NULL;
}

size_t signer_queue_n(const struct signer_queue *q)
{
    size_t head = atomic_load_explicit(&q->head, memory_order_relaxed),
           tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    if (tail > head)
        return tail - head;
    return 0;
}

// Moves `end` past a place whose cell has come to `turn` of it. NULL: it has not.
static struct signer_cell *claim(struct signer_queue *q, _Atomic size_t *end, size_t turn,
                                 size_t *out_at)
{
    size_t at = atomic_load_explicit(end, memory_order_relaxed);
    for (;;) {
        struct signer_cell *c = &q->cells[at & (q->cap - 1)];
        size_t now = atomic_load_explicit(&c->turn, memory_order_acquire);
        if ((ptrdiff_t)(now - (at + turn)) < 0)
            return NULL;
        if (now != at + turn) { // another was quicker
            at = atomic_load_explicit(end, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(end, &at, at + 1, memory_order_relaxed,
                                                         memory_order_relaxed)) {
            *out_at = at;
            return c;
        }
    }
}

struct signer_job *signer_queue_begin(struct signer_queue *q, size_t *out_at)
{
    struct signer_cell *c = claim(q, &q->tail, 0, out_at);
    if (c)
        return &c->job;
    return NULL;
}

void signer_queue_end(struct signer_queue *q, size_t at)
{
    atomic_store_explicit(&q->cells[at & (q->cap - 1)].turn, at + 1, memory_order_release);
}

bool signer_queue_take(struct signer_queue *q, struct signer_job *out)
{
    size_t at;
    struct signer_cell *c = claim(q, &q->head, 1, &at);
    if (!c)
        return false;
    memcpy(out, &c->job, offsetof(struct signer_job, data) + c->job.n);
    atomic_store_explicit(&c->turn, at + q->cap, memory_order_release);
    return true;
}
