// SPDX-License-Identifier: Apache-2.0
// Impaired registries; see impairment.h.
#include "daemon/impairment.h"

#include "base/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_MS 60000
#define IMPAIRED_MS 60000
#define DOUBLINGS 4
#define FORGET_MS (30 * 60000)

void impairment_init(struct impairment *m)
{
    memset(m, 0, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
}

static struct impaired *find(struct impairment *m, const char *label)
{
    for (size_t i = 0; i < m->n; i++)
        if (!strcmp(m->list[i].label, label))
            return &m->list[i];
    return NULL;
}

static void forget(struct impairment *m, int64_t now)
{
    for (size_t i = 0; i < m->n;)
        if (now - m->list[i].last_ms > FORGET_MS && now >= m->list[i].impaired_until_ms)
            m->list[i] = m->list[--m->n];
        else
            i++;
}

void impairment_fault(struct impairment *m, const char *label, int64_t now)
{
    bool told = false;
    pthread_mutex_lock(&m->lock);
    forget(m, now);
    struct impaired *x = find(m, label);
    if (!x && m->n < IMPAIRMENT_MAX) {
        x = &m->list[m->n++];
        *x = (struct impaired){.since_ms = now};
        snprintf(x->label, sizeof x->label, "%s", label);
    }
    if (x && now - x->since_ms > WINDOW_MS) {
        x->since_ms = now;
        x->n_faults = 0;
    }
    if (x) {
        x->last_ms = now;
        x->n_faults++;
    }
    if (x && x->n_faults >= IMPAIRMENT_FAULTS && now >= x->impaired_until_ms) {
        x->impaired_until_ms =
            now + ((int64_t)IMPAIRED_MS << (x->n_times < DOUBLINGS ? x->n_times : DOUBLINGS));
        x->n_times++;
        x->n_faults = 0;
        x->since_ms = now;
        told = true;
    }
    pthread_mutex_unlock(&m->lock);
    if (told)
        log_error("daemon: registry %s is impaired here: its content gives errors; clients are "
                  "sent elsewhere",
                  label);
}

size_t impairment_list(struct impairment *m, int64_t now,
                       char out[IMPAIRMENT_MAX][HOSTNAME_LABEL_SIZE])
{
    size_t n = 0;
    pthread_mutex_lock(&m->lock);
    forget(m, now);
    for (size_t i = 0; i < m->n; i++)
        if (now < m->list[i].impaired_until_ms)
            memcpy(out[n++], m->list[i].label, sizeof m->list[i].label);
    pthread_mutex_unlock(&m->lock);
    return n;
}
