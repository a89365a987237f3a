// SPDX-License-Identifier: Apache-2.0
// See connection_step.h.
#include "lifecycle/connection_step.h"

#include "base/err.h"
#include "lifecycle/caches.h"

#include <string.h>

// Clocks that differ, answers on their way.
#define REST_MORE_S 60

int phase_record(const struct plan_ctx *x, struct phase *p, const struct control_record *r)
{
    struct control_record *all = arena_array(x->arena, p->n_records + 1, sizeof *all);
    size_t at = 0;
    if (!all)
        return ERR_NOMEM;
    if (p->n_records)
        memcpy(all, p->records, p->n_records * sizeof *all);
    while (at < p->n_records && strcmp(all[at].key, r->key) != 0)
        at++;
    all[at] = *r;
    if (at == p->n_records)
        p->n_records++;
    p->records = all;
    return 0;
}

int phase_connection(const struct plan_ctx *x, struct phase *p, const struct connection *c)
{
    struct control_record r;
    int rc = connection_record(c, x->arena, &r);
    if (!rc)
        rc = phase_record(x, p, &r);
    return rc;
}

uint32_t private_rest_s(const struct plan_ctx *x)
{
    // TTLs that were shortened since count as the longest that was handed out
    uint32_t held_s = caches_hold_s(x), private_s = x->t->ttl.private_;
    if (held_s > ttls_cached_s(&x->t->ttl))
        private_s = held_s;
    return private_s + REST_MORE_S;
}
