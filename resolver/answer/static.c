// SPDX-License-Identifier: Apache-2.0
// Records that stand in the topology word for word (config/topology.h): D's own, and those of ACME
// challenges. See answer_priv.h.
#include "resolver/answer/priv.h"

#include <string.h>

bool answer_add_static(struct answer *a, const struct static_name *s)
{
    const struct static_record *r;
    uint16_t type = a->q->type;
    if (type == DNS_ANY) // one RRset: RFC 8482 section 4.1
        type = s->records[0].type;
    size_t n = static_records(s, type, &r);
    a->bulky = true;
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = dns_write_rr_at(&a->w, a->owner_at, r[i].type, a->t->static_ttl, r[i].rdata_n);
        if (p)
            memcpy(p, r[i].rdata, r[i].rdata_n);
        a->n_answer++;
    }
    return n > 0;
}

const struct static_name *answer_static_of(const struct answer *a)
{
    static const char word[] = "_acme-challenge";
    size_t n = a->q->name_n - a->t->catalogue->apex_n;
    if (!a->t->n_statics || (n && a->q->name[0] != sizeof word - 1))
        return NULL;
    return topology_static(a->t, a->q->name, n);
}
