// SPDX-License-Identifier: Apache-2.0
// Keys opened and apex RRsets signed; see dnssec.h. On the zone maintainer's thread.
#include "resolver/sign/dnssec.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/frontend.h"
#include "resolver/packet/wire.h"
#include "resolver/sign/dnssec_priv.h"

#include <string.h>

int64_t dnssec_period(int64_t now_s)
{
    return now_s / FRONTEND_PERIOD_S;
}

static void dnssec_free(void *self)
{
    struct dnssec *d = self;
    snapshot_unref(d->zone);
    for (size_t i = 0; i < d->n_keys; i++)
        dns_key_free(d->keys[i]);
    arena_done(&d->arena);
    free(d);
}

// ---- one signature ----

int dnssec_sign(struct dnssec_signing *g, const struct dnssec_key *k, struct rrset *s)
{
    uint8_t data[SIGNER_DATA_MAX * 2], sig[DNS_SIGNATURE_BYTES];
    size_t n = rrset_to_sign(s, &k->by, g->times, data, sizeof data);
    struct signer_what w = {.data = data,
                            .n = n,
                            .key = k->key,
                            .key_uid = k->uid,
                            .expires_s = (uint32_t)g->times.expiration};
    if (n == 0)
        return ERR_TOOBIG;
    if (!signer_get(g->memo, SIGNER_POSITIVE, &w, sig)) {
        int rc = dns_key_sign(k->key, data, n, sig);
        if (rc)
            return rc;
        signer_put(g->memo, SIGNER_POSITIVE, &w, sig);
    }
    size_t head = RRSIG_HEAD_BYTES + k->by.apex_n;
    uint8_t *rdata = arena_alloc(g->arena, head + sizeof sig);
    const uint8_t *owner = arena_copy(g->arena, s->owner, s->owner_n);
    if (!rdata || !owner)
        return ERR_NOMEM;
    memcpy(rdata, data, head);
    memcpy(rdata + head, sig, sizeof sig);
    return dnssec_add(g, (struct zone_rr){owner, rdata, (uint16_t)s->owner_n,
                                          (uint16_t)(head + sizeof sig), DNS_RRSIG, s->ttl});
}

int dnssec_add(struct dnssec_signing *g, struct zone_rr rr)
{
    if (g->n == g->cap)
        return ERR_TOOBIG;
    g->rrs[g->n++] = rr;
    return 0;
}

int dnssec_sign_all(struct dnssec_signing *g, const struct dnssec_key *keys, size_t n_keys,
                    const struct zone_rr *rrs, size_t n)
{
    struct rdata rdata[RRSET_MAX];
    if (n > RRSET_MAX)
        return ERR_TOOBIG;
    for (size_t i = 0; i < n; i++)
        rdata[i] = (struct rdata){rrs[i].rdata, rrs[i].rdata_n};
    struct rrset s = {rrs->owner, rrs->owner_n, rrs->type, rrs->ttl, rdata, n};
    rrset_sort(&s);
    int rc = 0;
    for (size_t i = 0; i < n_keys && !rc; i++)
        rc = dnssec_sign(g, &keys[i], &s);
    return rc;
}

// ---- keys ----

static int open_keys(struct dnssec *d, const struct topology *t, const char *dir, struct diag *diag)
{
    int rc = 0;
    for (size_t i = 0; i < t->dnssec.n_keys; i++) {
        const struct dnskey *k = &t->dnssec.keys[i];
        if (!dnskey_signs_zone(k) && !dnskey_signs_keys(k))
            continue; // its private half is not needed yet, or any more
        int one = dns_key_open(dir, k, diag, &d->keys[d->n_keys]);
        d->n_keys += !one;
        if (!rc)
            rc = one;
    }
    return rc;
}

static uint64_t uid_of(const struct dnskey *k)
{
    uint8_t sum[SHA256_BYTES];
    uint64_t uid;
    sha256(k->public, k->public_n, sum);
    memcpy(&uid, sum, sizeof uid);
    return uid;
}

static int choose_keys(struct dnssec *d, struct dnssec_zone *z, const struct topology *t,
                       enum dnskey_zone zone)
{
    struct dnssec_key *by_zone = arena_array(&d->arena, DNSSEC_SIGNERS_MAX, sizeof *by_zone);
    struct dnssec_key *by_keys = arena_array(&d->arena, DNSSEC_SIGNERS_MAX, sizeof *by_keys);
    if (!by_zone || !by_keys)
        return ERR_NOMEM;
    size_t opened = 0;
    for (size_t i = 0; i < t->dnssec.n_keys; i++) {
        const struct dnskey *k = &t->dnssec.keys[i];
        if (!dnskey_signs_zone(k) && !dnskey_signs_keys(k))
            continue;
        struct dnssec_key key = {
            d->keys[opened++], uid_of(k), {(uint8_t)k->algorithm, k->tag, z->apex, z->apex_n}};
        if (k->zone != zone)
            continue;
        if (z->n_zone_keys == DNSSEC_SIGNERS_MAX || z->n_key_keys == DNSSEC_SIGNERS_MAX)
            return ERR_TOOBIG;
        if (dnskey_signs_zone(k))
            by_zone[z->n_zone_keys++] = key;
        if (dnskey_signs_keys(k))
            by_keys[z->n_key_keys++] = key;
    }
    z->zone_keys = by_zone;
    z->key_keys = by_keys;
    return 0;
}

// ---- RRsets at the apex ----

static int add_record(struct dnssec *d, struct zone_rr *list, size_t *n,
                      const struct dnssec_zone *z, uint16_t type, uint32_t ttl,
                      const uint8_t *rdata, size_t rdata_n)
{
    const uint8_t *copy = arena_copy(&d->arena, rdata, rdata_n);
    if (!copy)
        return ERR_NOMEM;
    list[(*n)++] =
        (struct zone_rr){z->apex, copy, (uint16_t)z->apex_n, (uint16_t)rdata_n, type, ttl};
    return 0;
}

static int apex_records(struct dnssec *d, struct dnssec_zone *z, const struct topology *t,
                        enum dnskey_zone zone, int64_t now_s, struct signer *memo)
{
    static const uint16_t types[] = {DNS_DNSKEY, DNS_CDS, DNS_CDNSKEY};
    size_t cap = 3 * DNSKEY_KEYS_MAX + 3 * DNSSEC_SIGNERS_MAX;
    struct zone_rr *rrs = arena_array(&d->arena, cap, sizeof *rrs);
    struct zone_rr *ds = arena_array(&d->arena, DNSKEY_KEYS_MAX, sizeof *ds);
    size_t n = 0;
    int rc = ERR_NOMEM;
    if (rrs && ds)
        rc = 0;
    for (size_t type = 0; type < ARRAY_LEN(types) && !rc; type++) {
        size_t first = n;
        for (size_t i = 0; i < t->dnssec.n_keys && !rc; i++) {
            const struct dnskey *k = &t->dnssec.keys[i];
            uint8_t rdata[DNSKEY_RDATA_MAX];
            if (k->zone != zone || (types[type] != DNS_DNSKEY && !dnskey_has_ds(k)))
                continue;
            size_t rdata_n = DNSKEY_DS_BYTES;
            if (types[type] == DNS_CDS)
                dnskey_ds(k, z->apex, z->apex_n, rdata);
            else
                rdata_n = dnskey_rdata(k, rdata);
            rc = add_record(d, rrs, &n, z, types[type], t->dnssec.ttl, rdata, rdata_n);
            // its parent's TTL, when that is D, is the name servers'
            if (!rc && types[type] == DNS_CDS)
                rc = add_record(d, ds, &z->n_ds, z, DNS_DS, t->ttl.ns, rdata, rdata_n);
        }
        struct dnssec_signing g = {memo, rrsig_times(RRSIG_ZONE, NULL, 0, now_s), &d->arena, rrs, n,
                                   cap};
        if (!rc)
            rc = dnssec_sign_all(&g, z->key_keys, z->n_key_keys, rrs + first, n - first);
        n = g.n;
    }
    z->rrs = rrs;
    z->n_rrs = n;
    z->ds = ds;
    return rc;
}

static int zone_init(struct dnssec *d, struct dnssec_zone *z, const struct topology *t,
                     enum dnskey_zone zone, int64_t now_s, struct signer *memo)
{
    const struct catalogue *c = t->catalogue;
    size_t fe = 0;
    if (zone == DNSKEY_ZONE_FRONTEND)
        fe = 3;
    uint8_t *apex = arena_alloc(&d->arena, c->apex_n + 3);
    if (!apex)
        return ERR_NOMEM;
    memcpy(apex, "\2fe", fe);
    memcpy(apex + fe, c->apex, c->apex_n);
    z->apex = apex;
    z->apex_n = c->apex_n + fe;
    int rc = choose_keys(d, z, t, zone);
    if (rc)
        return rc;
    return apex_records(d, z, t, zone, now_s, memo);
}

int dnssec_new(const struct topology *t, const char *keys_dir, int64_t now_s, struct signer *memo,
               const struct zone *last, struct diag *diag, struct dnssec **out)
{
    struct zone *plain = NULL;
    if (!t->dnssec.n_keys)
        return ERR_NOTFOUND;
    struct dnssec *d = mem_zalloc(sizeof *d);
    if (!d)
        return ERR_NOMEM;
    snapshot_head_init(&d->head, dnssec_free);
    arena_init(&d->arena, 0);
    d->version = t->version;
    d->period = dnssec_period(now_s);
    int rc = open_keys(d, t, keys_dir, diag);
    if (!rc)
        rc = zone_init(d, &d->main, t, DNSKEY_ZONE_MAIN, now_s, memo);
    if (!rc)
        rc = zone_init(d, &d->frontend, t, DNSKEY_ZONE_FRONTEND, now_s, memo);
    if (!rc)
        rc = zone_frontend(t, NULL, now_s, &plain);
    if (!rc)
        rc = dnssec_zone_sign(d, plain, last, now_s, memo, &d->zone);
    snapshot_unref(plain);
    if (rc)
        snapshot_unref(d);
    else
        *out = d;
    return rc;
}
