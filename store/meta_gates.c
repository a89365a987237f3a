// SPDX-License-Identifier: Apache-2.0
// Whether writes are open: a gate per reason, so that one that ends does not open what another one
// closed; see meta.h. On any thread, under m->lock.
#include "store/meta.h"

#include "store/meta_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void meta_gate_close(struct meta *m, enum meta_gate gate, const char *why)
{
    assert(gate < META_GATE_STAMPS && why && *why); // that one follows the clocks (meta_clock.c)
    pthread_mutex_lock(&m->lock);
    m->gates[gate].closed = true;
    snprintf(m->gates[gate].why, META_WHY_SIZE, "%s", why);
    pthread_mutex_unlock(&m->lock);
}

void meta_gate_open(struct meta *m, enum meta_gate gate)
{
    assert(gate < META_GATE_STAMPS);
    pthread_mutex_lock(&m->lock);
    m->gates[gate].closed = false;
    pthread_mutex_unlock(&m->lock);
}

bool meta_gate_is_closed(struct meta *m, enum meta_gate gate)
{
    assert(gate < META_N_GATES);
    pthread_mutex_lock(&m->lock);
    clock_gate_look(m);
    bool closed = m->gates[gate].closed;
    pthread_mutex_unlock(&m->lock);
    return closed;
}

bool gates_closed(struct meta *m)
{
    clock_gate_look(m);
    for (int g = 0; g < META_N_GATES; g++)
        if (m->gates[g].closed)
            return true;
    return false;
}

// The sentences of the closed gates; "" when all are open.
static void sentences(struct meta *m, char *out, size_t cap)
{
    size_t n = 0;
    clock_gate_look(m);
    out[0] = '\0';
    for (int g = 0; g < META_N_GATES; g++)
        if (m->gates[g].closed)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "; " : "", m->gates[g].why);
    assert(n < cap);
}

const char *meta_closed_why(struct meta *m, struct arena *a)
{
    char text[META_N_GATES * (META_WHY_SIZE + 2)];
    pthread_mutex_lock(&m->lock);
    sentences(m, text, sizeof text);
    pthread_mutex_unlock(&m->lock);
    if (!text[0])
        return NULL;
    const char *why = arena_strdup(a, text);
    if (why) // no memory for the sentence: closed all the same
        return why;
    return "closed";
}
