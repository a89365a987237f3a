// SPDX-License-Identifier: Apache-2.0
// Slots: a question under way, from its ticket to its answer. See forward_priv.h.
#include "resolver/forward/forward_priv.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

struct slot *slot_take(struct forwarder *f, const struct ask *a)
{
    assert(f->n_active < FORWARD_MAX);
    uint32_t i = f->active[f->n_active];
    struct slot *s = &f->slots[i];
    uint32_t generation = s->generation;
    memset(s, 0, sizeof *s);
    s->generation = generation;
    s->ask = *a;
    s->at = f->n_active++;
    s->fd = -1;
    s->upstream = -1;
    s->give_up_ms = clock_mono_ms() + FORWARD_GIVE_UP_MS;
    return s;
}

void slot_close(struct forwarder *f, struct slot *s)
{
    if (s->fd >= 0)
        close(s->fd); // leaves the epoll set with it
    s->fd = -1;
    s->generation++;
    if (s->tcp) {
        free(take_ptr(s->tcp));
        f->n_tcp--;
    }
}

static void slot_give_back(struct forwarder *f, struct slot *s)
{
    uint32_t self = (uint32_t)(s - f->slots);
    assert(s->at < f->n_active && f->active[s->at] == self); // invariant 1
    uint32_t last = f->active[--f->n_active];
    slot_close(f, s);
    f->active[s->at] = last;
    f->slots[last].at = s->at;
    f->active[f->n_active] = self;
}

static void one_less(struct forwarder *f)
{
    atomic_fetch_sub_explicit(&f->under_way, 1, memory_order_relaxed);
}

static void answer_error(const struct ask *a, enum edns_ede why)
{
    uint8_t *p = mem_alloc(FORWARD_ERROR_BYTES);
    if (p)
        pending_answer(a->ticket, p, forward_message_error(&a->query, why, p), NULL);
    else
        pending_fail(a->ticket);
}

void slot_fail(struct forwarder *f, struct slot *s)
{
    forward_count(&f->failed);
    one_less(f);
    enum edns_ede why = EDE_NO_REACHABLE_AUTHORITY;
    if (s->network_error)
        why = EDE_NETWORK_ERROR;
    answer_error(&s->ask, why);
    slot_give_back(f, s);
}

void slot_answer(struct forwarder *f, struct slot *s, const uint8_t *got, size_t n)
{
    size_t cap = s->ask.query.max;
    if (cap < FORWARD_ERROR_BYTES)
        cap = FORWARD_ERROR_BYTES;
    if (cap > n + FORWARD_ERROR_BYTES)
        cap = n + FORWARD_ERROR_BYTES;
    uint8_t *p = mem_alloc(cap);
    forward_count(&f->answered);
    one_less(f);
    if (p)
        pending_answer(s->ask.ticket, p, forward_message_answer(&s->ask.query, got, n, p, cap),
                       &s->ask.settings.upstreams[s->upstream]);
    else
        pending_fail(s->ask.ticket);
    slot_give_back(f, s);
}

void ask_refuse(struct forwarder *f, const struct ask *a)
{
    forward_count(&f->limited);
    one_less(f);
    answer_error(a, EDE_OTHER);
}
