// SPDX-License-Identifier: Apache-2.0
// The content of fe.D and its serial; see frontend.h.
#include "config/frontend.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "dns/dnskey.h"

#include <string.h>

enum { TYPE_A = 1, TYPE_NS = 2, TYPE_SOA = 6, TYPE_AAAA = 28, TYPE_DNSKEY = 48 };

// ---- records ----

struct gather {
    const struct topology *t;
    struct arena *a;
    struct frontend_record *list;
    size_t n, cap;
    bool nomem;
};

struct name {
    // NULL: memory ended
    const uint8_t *p;
    size_t n;
};

static void add(struct gather *g, struct name owner, uint16_t type, uint32_t ttl,
                const uint8_t *rdata, size_t n)
{
    if (!owner.p || !rdata || g->n == g->cap) {
        g->nomem = true;
        return;
    }
    g->list[g->n++] =
        (struct frontend_record){owner.p, rdata, (uint16_t)owner.n, (uint16_t)n, type, ttl};
}

// labels + D
static struct name name_of(struct gather *g, struct catalogue_labels labels)
{
    const struct catalogue *c = g->t->catalogue;
    uint8_t *p = arena_alloc(g->a, labels.n + c->apex_n);
    if (!p)
        return (struct name){0};
    memcpy(p, labels.p, labels.n);
    memcpy(p + labels.n, c->apex, c->apex_n);
    return (struct name){p, labels.n + c->apex_n};
}

static struct name apex_of(struct gather *g)
{
    static const uint8_t fe[] = {2, 'f', 'e'};
    return name_of(g, (struct catalogue_labels){fe, sizeof fe});
}

static struct name server_of(struct gather *g, size_t i)
{
    const struct name_server *ns = &g->t->name_servers[i];
    return name_of(g, g->t->catalogue->regions[ns->region].frontends[ns->stamp]);
}

static void add_addresses(struct gather *g, struct name owner, const struct ip *ips, size_t n_ips)
{
    for (size_t i = 0; i < n_ips; i++) {
        size_t bytes = 16;
        if (ip_is_v4(&ips[i]))
            bytes = 4;
        add(g, owner, bytes == 4 ? TYPE_A : TYPE_AAAA, g->t->ttl.frontend, ips[i].b + 16 - bytes,
            bytes);
    }
}

static void add_stamps(struct gather *g, const struct region *r)
{
    for (size_t i = 0; i < r->n_stamps; i++) {
        const struct stamp *s = &r->stamps[i];
        struct name owner = name_of(g, g->t->catalogue->regions[r->index].frontends[i]);
        add_addresses(g, owner, s->ipv4, s->n_ipv4);
        add_addresses(g, owner, s->ipv6, s->n_ipv6);
    }
}

static void add_static(struct gather *g, const struct static_name *s)
{
    struct name owner = name_of(g, (struct catalogue_labels){s->labels, s->labels_n});
    for (size_t i = 0; i < s->n_records; i++)
        add(g, owner, s->records[i].type, g->t->static_ttl, s->records[i].rdata,
            s->records[i].rdata_n);
}

static void add_all(struct gather *g)
{
    const struct topology *t = g->t;
    struct name apex = apex_of(g);
    for (size_t i = 0; i < t->n_name_servers; i++) {
        struct name server = server_of(g, i);
        add(g, apex, TYPE_NS, t->ttl.ns, server.p, server.n);
    }
    for (size_t i = 0; i < t->n_regions; i++)
        add_stamps(g, &t->regions[i]);
    for (size_t i = 0; i < t->n_statics; i++)
        if (t->statics[i].in_frontend)
            add_static(g, &t->statics[i]);
}

static size_t count_records(const struct topology *t)
{
    size_t n = t->n_name_servers;
    for (size_t i = 0; i < t->n_regions; i++)
        for (size_t k = 0; k < t->regions[i].n_stamps; k++)
            n += t->regions[i].stamps[k].n_ipv4 + t->regions[i].stamps[k].n_ipv6;
    for (size_t i = 0; i < t->n_statics; i++) {
        if (t->statics[i].in_frontend)
            n += t->statics[i].n_records;
    }
    return n;
}

static int gather_init(struct gather *g, const struct topology *t, struct arena *a, size_t more)
{
    *g = (struct gather){.t = t, .a = a, .cap = count_records(t) + more};
    g->list = arena_array(a, g->cap, sizeof *g->list);
    if (g->list)
        add_all(g);
    if (g->list && !g->nomem)
        return 0;
    return ERR_NOMEM;
}

int frontend_records(const struct topology *t, struct arena *a, const struct frontend_record **out,
                     size_t *out_n)
{
    struct gather g;
    int rc = gather_init(&g, t, a, 0);
    if (rc)
        return rc;
    *out = g.list;
    *out_n = g.n;
    return 0;
}

// ---- the digest ----

static void put(struct buf *b, uint32_t v, size_t n_bytes)
{
    uint8_t p[4];
    for (size_t i = 0; i < n_bytes; i++)
        p[i] = (uint8_t)(v >> (8 * (n_bytes - 1 - i)));
    buf_add(b, p, n_bytes);
}

static const uint8_t *kept(struct gather *g, const struct buf *b)
{
    if (b->err)
        return NULL;
    return arena_copy(g->a, b->p, b->n);
}

// What the SOA says, but for the serial.
static void add_soa(struct gather *g)
{
    const struct topology *t = g->t;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    struct name server = server_of(g, 0);
    if (server.p)
        buf_add(&b, server.p, server.n);
    buf_str(&b, t->hostmaster);
    put(&b, SOA_REFRESH_S, 4);
    put(&b, SOA_RETRY_S, 4);
    put(&b, SOA_EXPIRE_S, 4);
    put(&b, t->ttl.negative, 4);
    add(g, server.p ? apex_of(g) : server, TYPE_SOA, t->ttl.soa, kept(g, &b), b.n);
}

// A key, and what it signs: signatures are content too.
static void add_key(struct gather *g, const struct dnskey *k)
{
    uint8_t rdata[DNSKEY_RDATA_MAX];
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_add(&b, rdata, dnskey_rdata(k, rdata));
    put(&b, (uint32_t)k->role, 1);
    put(&b, (uint32_t)k->state, 1);
    add(g, apex_of(g), TYPE_DNSKEY, g->t->dnssec.ttl, kept(g, &b), b.n);
}

static int by_content(const void *a, const void *b)
{
    const struct frontend_record *x = a, *y = b;
    int d = (x->owner_n > y->owner_n) - (x->owner_n < y->owner_n);
    if (!d)
        d = memcmp(x->owner, y->owner, x->owner_n);
    if (!d)
        d = (x->type > y->type) - (x->type < y->type);
    if (!d)
        d = (x->rdata_n > y->rdata_n) - (x->rdata_n < y->rdata_n);
    if (!d)
        d = memcmp(x->rdata, y->rdata, x->rdata_n);
    if (d)
        return d;
    return (x->ttl > y->ttl) - (x->ttl < y->ttl);
}

static int digest(const struct topology *t, uint8_t out[SHA256_BYTES])
{
    struct arena a;
    struct gather g;
    AUTO_BUF struct buf b;
    arena_init(&a, 0);
    buf_init(&b, 0);
    int rc = gather_init(&g, t, &a, 1 + t->dnssec.n_keys);
    if (!rc)
        add_soa(&g);
    for (size_t i = 0; !rc && i < t->dnssec.n_keys; i++)
        if (t->dnssec.keys[i].zone == DNSKEY_ZONE_FRONTEND)
            add_key(&g, &t->dnssec.keys[i]);
    if (!rc && !g.nomem)
        qsort(g.list, g.n, sizeof *g.list, by_content);
    for (size_t i = 0; !rc && i < g.n; i++) {
        const struct frontend_record *r = &g.list[i];
        if (i && !by_content(r, r - 1))
            continue; // the same record twice is one (RFC 2181 section 5)
        put(&b, r->owner_n, 2);
        buf_add(&b, r->owner, r->owner_n);
        put(&b, r->type, 2);
        put(&b, r->ttl, 4);
        put(&b, r->rdata_n, 2);
        buf_add(&b, r->rdata, r->rdata_n);
    }
    if (!rc) {
        if (g.nomem)
            rc = ERR_NOMEM;
        else
            rc = b.err;
    }
    if (!rc)
        sha256(b.p, b.n, out);
    arena_done(&a);
    return rc;
}

// ---- the serial ----

bool frontend_pinned(const struct topology *t)
{
    const struct zone_serial *s = &t->frame->serial;
    return s->pin && !memcmp(s->pin_of, s->content, SHA256_BYTES);
}

int frontend_finish(struct topology *t)
{
    struct zone_serial *s = &t->frame->serial;
    int rc = digest(t, s->content);
    if (!rc) {
        if (frontend_pinned(t))
            s->base = s->pin;
        else
            s->base = t->frame->version;
    }
    return rc;
}

uint64_t frontend_serial(const struct topology *t, int64_t now_s)
{
    const struct zone_serial *s = &t->frame->serial;
    return s->base + s->offset + (t->dnssec.n_keys ? (uint64_t)(now_s / FRONTEND_PERIOD_S) : 0);
}

bool frontend_serial_may_follow(const struct topology *before, const struct topology *next,
                                int64_t now_s, char **out_why)
{
    const struct zone_serial *s = &next->frame->serial;
    uint64_t was = frontend_serial(before, now_s), is = frontend_serial(next, now_s);
    bool same = !memcmp(before->frame->serial.content, s->content, SHA256_BYTES);
    if (strcmp(before->domain, next->domain) != 0 || is > was || (is == was && same))
        return true;
    uint64_t unpinned = is - s->base + next->frame->version;
    AUTO_FREE char *cure;
    if (unpinned > was)
        cure =
            mem_strdup("its zone_serial is an old one; `meridian topology pin --renew` mends it");
    else
        cure = mem_printf(
            "keys go, and not by `meridian dns keys withdraw`, or its offset does: "
            "zone_serial needs "
            "an offset of %llu",
            (unsigned long long)(s->offset + was - unpinned + 1 + FRONTEND_SPARE_PERIODS));
    if (cure)
        *out_why = mem_printf("%s: the serial of fe.D would %s from %llu to %llu: %s", next->source,
                              is < was ? "go down" : "stay while its content changes,",
                              (unsigned long long)was, (unsigned long long)is, cure);
    else
        *out_why = NULL;
    return false;
}
