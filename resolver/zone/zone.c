// SPDX-License-Identifier: Apache-2.0
// fe.D as a frozen zone in canonical order; see zone.h. Built by the zone maintainer's thread, read
// by any.
#include "resolver/zone/zone.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/frontend.h"
#include "resolver/packet/wire.h"

#include <string.h>

#define LABELS_MAX 128 // of one octet each, in a name of 255

static uint8_t lower(uint8_t c)
{
    return (uint8_t)(c | ((uint8_t)(c - 'A') < 26) << 5);
}

static size_t label_starts(const uint8_t *name, size_t n, uint8_t out[LABELS_MAX])
{
    size_t k = 0;
    for (size_t at = 0; at < n && name[at] && k < LABELS_MAX; at += 1u + name[at])
        out[k++] = (uint8_t)at;
    return k;
}

static int label_compare(const uint8_t *a, const uint8_t *b)
{
    size_t least;
    if (a[0] < b[0])
        least = a[0];
    else
        least = b[0];
    for (size_t i = 1; i <= least; i++) {
        int d = lower(a[i]) - lower(b[i]);
        if (d)
            return d;
    }
    return a[0] - b[0];
}

int zone_name_compare(const uint8_t *a, size_t a_n, const uint8_t *b, size_t b_n)
{
    uint8_t at_a[LABELS_MAX], at_b[LABELS_MAX];
    size_t i = label_starts(a, a_n, at_a), k = label_starts(b, b_n, at_b);
    while (i && k) {
        int d = label_compare(a + at_a[--i], b + at_b[--k]);
        if (d)
            return d;
    }
    return (i > 0) - (k > 0);
}

// RFC 4034 section 6.3.
static int rdata_compare(const struct zone_rr *a, const struct zone_rr *b)
{
    size_t least;
    if (a->rdata_n < b->rdata_n)
        least = a->rdata_n;
    else
        least = b->rdata_n;
    int d = 0;
    if (least)
        d = memcmp(a->rdata, b->rdata, least);
    if (d)
        return d;
    return a->rdata_n - b->rdata_n;
}

static int key_compare(const struct zone_rr *a, const uint8_t *owner, size_t n, uint16_t type)
{
    int d = zone_name_compare(a->owner, a->owner_n, owner, n);
    if (d)
        return d;
    return a->type - type;
}

int zone_rr_compare(const struct zone_rr *a, const struct zone_rr *b)
{
    int d = key_compare(a, b->owner, b->owner_n, b->type);
    if (d)
        return d;
    return rdata_compare(a, b);
}

static int rr_order(const void *a, const void *b)
{
    return zone_rr_compare(a, b);
}

// How many records stand before the first that is not less than (owner, type).
static size_t lower_bound(const struct zone *z, const uint8_t *owner, size_t n, uint16_t type)
{
    size_t low = 0, left = z->n_rrs;
    while (left) {
        size_t half = left / 2;
        if (key_compare(&z->rrs[low + half], owner, n, type) < 0) {
            low += half + 1;
            left -= half + 1;
        } else {
            left = half;
        }
    }
    return low;
}

// Owners come from the topology, not from clients: no key is needed.
static uint64_t owner_hash(const uint8_t *p, size_t n)
{
    uint64_t h = n, w = 0;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    w = 0;
    memcpy(&w, p, n);
    h = (h ^ w) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

size_t zone_owner(const struct zone *z, const uint8_t *owner, size_t n, const struct zone_rr **out)
{
    for (size_t i = owner_hash(owner, n);; i++) {
        uint32_t place = z->index[i & z->index_mask];
        if (!place)
            return 0;
        const struct zone_rr *first = &z->rrs[place - 1], *r = first, *end = z->rrs + z->n_rrs;
        if (first->owner_n != n || memcmp(first->owner, owner, n))
            continue;
        while (r < end && r->owner == first->owner) // shared by all its records
            r++;
        *out = first;
        return (size_t)(r - first);
    }
}

size_t zone_rrset(const struct zone *z, const uint8_t *owner, size_t n, uint16_t type,
                  const struct zone_rr **out)
{
    const struct zone_rr *all;
    size_t left = zone_owner(z, owner, n, &all), found = 0;
    for (; left && all->type != type; left--)
        all++;
    while (found < left && all[found].type == type)
        found++;
    if (found)
        *out = all;
    return found;
}

const struct zone_rr *zone_at_or_before(const struct zone *z, const uint8_t *name, size_t n)
{
    size_t at = lower_bound(z, name, n, 0);
    if (at < z->n_rrs && !zone_name_compare(z->rrs[at].owner, z->rrs[at].owner_n, name, n))
        return &z->rrs[at];
    if (at == 0)
        return NULL; // before the apex: not a name of this zone
    const struct zone_rr *last = &z->rrs[at - 1];
    return &z->rrs[lower_bound(z, last->owner, last->owner_n, 0)];
}

const struct zone_rr *zone_soa(const struct zone *z)
{
    const struct zone_rr *soa = NULL;
    zone_rrset(z, z->apex, z->apex_n, DNS_SOA, &soa);
    return soa;
}

// ---- building ----

static void zone_free(void *self)
{
    struct zone *z = self;
    arena_done(&z->arena);
    free(z);
}

static bool at_or_below(const uint8_t *owner, size_t n, const uint8_t *apex, size_t apex_n)
{
    size_t at = 0;
    while (at < n && n - at > apex_n)
        at += 1u + owner[at];
    return n - at == apex_n && !memcmp(owner + at, apex, apex_n);
}

static bool soa_ok(const struct zone *z)
{
    const struct zone_rr *soa;
    if (zone_rrset(z, z->apex, z->apex_n, DNS_SOA, &soa) != 1 ||
        soa->rdata_n < SOA_TIMERS_BYTES + 2)
        return false;
    const uint8_t *p = soa->rdata + soa->rdata_n - SOA_TIMERS_BYTES;
    return ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) == z->serial;
}

// `before`: the record before it, whose owner is shared when it is the same; or NULL.
static bool rr_copy(struct zone *z, const struct zone_rr *from, const struct zone_rr *before,
                    struct zone_rr *to)
{
    bool same = before && before->owner_n == from->owner_n &&
                !memcmp(before->owner, from->owner, from->owner_n);
    struct zone_rr rr = *from;
    if (same)
        rr.owner = before->owner;
    else
        rr.owner = arena_copy(&z->arena, from->owner, from->owner_n);
    if (from->rdata_n)
        rr.rdata = arena_copy(&z->arena, from->rdata, from->rdata_n);
    else
        rr.rdata = (const uint8_t *)"";
    *to = rr;
    return rr.owner && rr.rdata;
}

static int index_fill(struct zone *z)
{
    size_t cap = 2; // never full
    while (cap < 2 * z->n_rrs)
        cap *= 2;
    uint32_t *index = arena_array(&z->arena, cap, sizeof *index);
    if (!index || z->n_rrs > UINT32_MAX / 4)
        return ERR_NOMEM;
    memset(index, 0, cap * sizeof *index);
    for (size_t i = 0; i < z->n_rrs; i++) {
        const struct zone_rr *r = &z->rrs[i];
        if (i && r->owner == r[-1].owner)
            continue;
        size_t at = owner_hash(r->owner, r->owner_n);
        while (index[at & (cap - 1)])
            at++;
        index[at & (cap - 1)] = (uint32_t)i + 1;
    }
    z->index = index;
    z->index_mask = cap - 1;
    return 0;
}

static int fill(struct zone *z, const uint8_t *apex, const struct zone_rr *rrs, size_t n)
{
    struct zone_rr *all = arena_array(&z->arena, n, sizeof *all);
    size_t kept = 0;
    z->apex = arena_copy(&z->arena, apex, z->apex_n);
    if (!all || !z->apex)
        return ERR_NOMEM;
    if (n)
        memcpy(all, rrs, n * sizeof *all);
    qsort(all, n, sizeof *all, rr_order);
    for (size_t i = 0; i < n; i++) {
        struct zone_rr rr = all[i];
        if (!at_or_below(rr.owner, rr.owner_n, apex, z->apex_n) ||
            (rr.type == DNS_SOA && rr.owner_n != z->apex_n))
            return ERR_INVAL;
        if (kept && !zone_rr_compare(&all[kept - 1], &rr))
            continue;
        if (!rr_copy(z, &rr, kept ? &all[kept - 1] : NULL, &all[kept]))
            return ERR_NOMEM;
        kept++;
    }
    z->rrs = all;
    z->n_rrs = kept;
    int rc = index_fill(z);
    if (rc)
        return rc;
    if (soa_ok(z))
        return 0;
    return ERR_INVAL;
}

int zone_new(const uint8_t *apex, size_t apex_n, uint32_t serial, bool is_signed,
             const struct zone_rr *rrs, size_t n, struct zone **out)
{
    struct zone *z = mem_zalloc(sizeof *z);
    if (!z)
        return ERR_NOMEM;
    snapshot_head_init(&z->head, zone_free);
    arena_init(&z->arena, 0);
    z->apex_n = apex_n;
    z->serial = serial;
    z->is_signed = is_signed;
    int rc = fill(z, apex, rrs, n);
    if (rc)
        snapshot_unref(z);
    else
        *out = z;
    return rc;
}

static bool zone_same(const struct zone *a, const struct zone *b)
{
    if (a->serial != b->serial || a->is_signed != b->is_signed)
        return false;
    if (a->apex_n != b->apex_n || memcmp(a->apex, b->apex, a->apex_n) != 0)
        return false;
    if (a->n_rrs != b->n_rrs)
        return false;
    for (size_t i = 0; i < a->n_rrs; i++) {
        if (a->rrs[i].ttl != b->rrs[i].ttl)
            return false;
        if (zone_rr_compare(&a->rrs[i], &b->rrs[i]))
            return false;
    }
    return true;
}

// ---- fe.D of a topology ----

// "fe." + D
static const uint8_t *apex_of(const struct catalogue *c, struct arena *a, size_t *out_n)
{
    uint8_t *apex = arena_alloc(a, 3 + c->apex_n);
    if (!apex)
        return NULL;
    memcpy(apex, "\2fe", 3);
    memcpy(apex + 3, c->apex, c->apex_n);
    *out_n = 3 + c->apex_n;
    return apex;
}

static bool soa_of(const struct topology *t, struct arena *a, uint32_t serial, const uint8_t *apex,
                   size_t apex_n, struct zone_rr *out)
{
    uint8_t rdata[2 * DNS_NAME_MAX + SOA_TIMERS_BYTES], mailbox[DNS_NAME_MAX];
    const struct name_server *ns = &t->name_servers[0];
    const struct catalogue_labels *server = &t->catalogue->regions[ns->region].frontends[ns->stamp];
    size_t mailbox_n = dns_name_from_mailbox(t->hostmaster, mailbox);
    struct dns_writer w;
    dns_writer_init(&w, rdata, sizeof rdata);
    dns_write_bytes(&w, server->p, server->n);
    dns_write_bytes(&w, t->catalogue->apex, t->catalogue->apex_n);
    if (mailbox_n)
        dns_write_bytes(&w, mailbox, mailbox_n);
    else
        dns_write_bytes(&w, apex, apex_n); // as in answers
    dns_write_u32(&w, serial);
    dns_write_u32(&w, SOA_REFRESH_S);
    dns_write_u32(&w, SOA_RETRY_S);
    dns_write_u32(&w, SOA_EXPIRE_S);
    dns_write_u32(&w, t->ttl.negative);
    const uint8_t *copy = arena_copy(a, rdata, w.n);
    *out = (struct zone_rr){apex, copy, (uint16_t)apex_n, (uint16_t)w.n, DNS_SOA, t->ttl.soa};
    return copy != NULL;
}

static int frontend_new(const struct topology *t, uint32_t serial, struct arena *a,
                        struct zone **out)
{
    const struct frontend_record *list = NULL;
    size_t n = 0, apex_n = 0;
    int rc = frontend_records(t, a, &list, &n);
    const uint8_t *apex = NULL;
    if (!rc)
        apex = apex_of(t->catalogue, a, &apex_n);
    struct zone_rr *rrs = NULL;
    if (apex)
        rrs = arena_array(a, n + 1, sizeof *rrs);
    if (!rrs || !soa_of(t, a, serial, apex, apex_n, &rrs[n]))
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct frontend_record *r = &list[i];
        rrs[i] = (struct zone_rr){r->owner, r->rdata, r->owner_n, r->rdata_n, r->type, r->ttl};
    }
    return zone_new(apex, apex_n, serial, false, rrs, n + 1, out);
}

int zone_frontend_new(const struct topology *t, uint32_t serial, struct zone **out)
{
    struct arena a;
    arena_init(&a, 0);
    int rc = frontend_new(t, serial, &a, out);
    arena_done(&a);
    return rc;
}

int zone_frontend(const struct topology *t, const struct zone *last, int64_t now_s,
                  struct zone **out)
{
    struct zone *z;
    int rc = zone_frontend_new(t, (uint32_t)frontend_serial(t, now_s), &z);
    if (rc)
        return rc;
    if (last && zone_same(last, z)) {
        snapshot_unref(z);
        z = snapshot_ref((void *)last); // only its count changes
    }
    *out = z;
    return 0;
}
