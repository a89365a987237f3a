// SPDX-License-Identifier: Apache-2.0
// The simulation's time, events and network; see sixty_priv.h.
#include "tests/unit/replication/sixty_priv.h"

#include "base/mem.h"

#include <check.h>
#include <stdlib.h>

int64_t __wrap_clock_mono_ms(void);
int64_t sim_now_us;

int64_t __wrap_clock_mono_ms(void)
{
    return sim_now_us / US;
}

// --- events, by time ---

static bool is_earlier(const struct event *a, const struct event *b)
{
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us;
    return a->n < b->n;
}

void sim_later(struct sim *s, int64_t at_us, struct event e)
{
    if (s->n_heap == s->cap_heap) {
        s->cap_heap = s->cap_heap ? 2 * s->cap_heap : 1024;
        s->heap = mem_realloc(s->heap, s->cap_heap * sizeof *s->heap);
        ck_assert_ptr_nonnull(s->heap);
    }
    e.at_us = at_us;
    e.n = s->n_events++;
    size_t i = s->n_heap++;
    for (; i && is_earlier(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

struct event sim_event_take(struct sim *s)
{
    struct event first = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;
    for (size_t k = 1; k < s->n_heap; k = 2 * i + 1) {
        if (k + 1 < s->n_heap && is_earlier(&s->heap[k + 1], &s->heap[k]))
            k++;
        if (!is_earlier(&s->heap[k], &last))
            break;
        s->heap[i] = s->heap[k];
        i = k;
    }
    s->heap[i] = last;
    return first;
}

// --- the network ---

int64_t sim_delay_us(const struct sim *s, size_t a, size_t b)
{
    int64_t d = llabs((int64_t)s->map.members[a].longitude - s->map.members[b].longitude);
    if (d > 1800000)
        d = 3600000 - d;
    return US + d / 20; // up to 91 ms
}

bool sim_way(const struct sim *s, size_t a, size_t b)
{
    return !s->cut[a] && !s->cut[b];
}

int64_t sim_sent_us(struct sim *s, size_t from, size_t to, uint64_t bytes)
{
    struct sim_region *a = &s->regions[from], *b = &s->regions[to];
    int64_t took = (int64_t)(bytes / BYTES_PER_US);
    int64_t begin = a->out_us > sim_now_us ? a->out_us : sim_now_us;
    a->out_us = begin + took;
    int64_t there = a->out_us + sim_delay_us(s, from, to);
    if (there < b->in_us + took)
        there = b->in_us + took;
    b->in_us = there;
    return there;
}

int64_t sim_said_us(struct sim *s, size_t from, size_t to, uint64_t bytes)
{
    s->regions[from].tally.other_bytes += bytes;
    return sim_now_us + sim_delay_us(s, from, to);
}
