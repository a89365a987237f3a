// SPDX-License-Identifier: Apache-2.0
// Canonical forms; see rrset.h.
#include "resolver/zone/rrset.h"

#include "config/frontend.h"
#include "resolver/packet/wire.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define HOUR_S 3600
#define DAY_S 86400

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

void name_lower(uint8_t *out, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) // a length octet is below 'A'
        out[i] = (uint8_t)(from[i] | ((uint8_t)(from[i] - 'A') < 26) << 5);
}

size_t name_labels(const uint8_t *name, size_t n)
{
    size_t labels = 0;
    for (size_t at = 0; at < n && name[at]; at += 1u + name[at])
        labels++;
    return labels;
}

bool name_is_wildcard(const uint8_t *name, size_t n)
{
    return n > 2 && name[0] == 1 && name[1] == '*';
}

// ---- times ----

// Spreads the windows of names over a period; the same on every node, whatever its byte order.
static uint32_t spread(const uint8_t *owner, size_t n)
{
    uint64_t h = n, w = 0;
    for (; n >= 8; n -= 8, owner += 8) {
        memcpy(&w, owner, 8);
        h = (h ^ le64toh(w)) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    w = 0;
    memcpy(&w, owner, n);
    h = (h ^ le64toh(w)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

// Inlined with constants below: it runs for every signature of every answer, and divisions by
// constants are cheap.
static inline struct rrsig_times window(int64_t period, int64_t windows, uint32_t spread,
                                        int64_t now_s)
{
    int64_t since = (now_s + (int64_t)(spread % (uint32_t)period)) % period, begin = now_s - since;
    return (struct rrsig_times){begin - HOUR_S, begin + windows * period, period,
                                since < period / 2};
}

struct rrsig_times rrsig_times(enum rrsig_life life, const uint8_t *owner, size_t n, int64_t now_s)
{
    switch (life) {
    case RRSIG_SHORT:
        return window(HOUR_S / 3, 3, spread(owner, n), now_s);
    case RRSIG_LONG:
        return window(DAY_S, 4, spread(owner, n), now_s);
    default:
        return window(FRONTEND_PERIOD_S, 4, 0, now_s);
    }
}

struct rrsig_times rrsig_times_before(struct rrsig_times t)
{
    t.inception -= t.period;
    t.expiration -= t.period;
    return t;
}

// ---- octets to sign ----

// RFC 4034 section 3.1.3: an asterisk that comes first is not counted.
static uint8_t rrsig_labels(const uint8_t *owner, size_t n)
{
    return (uint8_t)(name_labels(owner, n) - name_is_wildcard(owner, n));
}

static int rdata_compare(const struct rdata *a, const struct rdata *b)
{
    int d = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);
    if (d)
        return d;
    return a->n - b->n;
}

void rrset_sort(struct rrset *s) // few, and mostly sorted
{
    for (size_t i = 1; i < s->n; i++)
        for (size_t k = i; k && rdata_compare(&s->rdata[k - 1], &s->rdata[k]) > 0; k--) {
            struct rdata x = s->rdata[k];
            s->rdata[k] = s->rdata[k - 1];
            s->rdata[k - 1] = x;
        }
}

void rrset_retime(uint8_t *to_sign, struct rrsig_times t)
{
    put32(to_sign + 8, (uint32_t)t.expiration);
    put32(to_sign + 12, (uint32_t)t.inception);
}

size_t rrset_to_sign(const struct rrset *s, const struct rrsig_signer *by, struct rrsig_times t,
                     uint8_t *out, size_t cap)
{
    size_t n = RRSIG_HEAD_BYTES + by->apex_n, each = s->owner_n + 10;
    if (n > cap)
        return 0;
    put16(out, s->type);
    out[2] = by->algorithm;
    out[3] = rrsig_labels(s->owner, s->owner_n);
    put32(out + 4, s->ttl);
    rrset_retime(out, t);
    put16(out + 16, by->tag);
    memcpy(out + RRSIG_HEAD_BYTES, by->apex, by->apex_n);
    for (size_t i = 0; i < s->n; i++) {
        const struct rdata *r = &s->rdata[i];
        if (each + r->n > cap - n)
            return 0;
        uint8_t *p = out + n;
        memcpy(p, s->owner, s->owner_n);
        p += s->owner_n;
        put16(p, s->type);
        put16(p + 2, DNS_IN);
        put32(p + 4, s->ttl);
        put16(p + 8, r->n);
        memcpy(p + 10, r->p, r->n);
        n += each + r->n;
    }
    return n;
}

// ---- NSEC ----

#define NSEC_WINDOWS_MAX 2 // dns/types.h knows no type above 511
#define NSEC_WINDOW_BYTES 34

size_t nsec_rdata(const uint8_t *next, size_t next_n, dns_type_set types, uint8_t *out, size_t cap)
{
    uint16_t list[DNS_N_TYPES];
    size_t n_types = dns_type_list(types, list), n = next_n;
    if (next_n + NSEC_WINDOWS_MAX * NSEC_WINDOW_BYTES > cap)
        return 0;
    memcpy(out, next, next_n);
    for (size_t i = 0; i < n_types;) {
        uint8_t window = (uint8_t)(list[i] >> 8), bits[32] = {0};
        size_t octets = 0;
        assert(window < NSEC_WINDOWS_MAX);
        for (; i < n_types && list[i] >> 8 == window; i++) {
            size_t low = list[i] & 0xff;
            bits[low / 8] |= (uint8_t)(0x80 >> low % 8);
            octets = low / 8 + 1;
        }
        out[n] = window;
        out[n + 1] = (uint8_t)octets;
        memcpy(out + n + 2, bits, octets);
        n += 2 + octets;
    }
    return n;
}

size_t nsec_next_name(const uint8_t *name, size_t n, uint8_t out[256])
{
    size_t first = name[0];
    if (n + 2 <= DNS_NAME_MAX) {
        out[0] = 1;
        out[1] = 0;
        memcpy(out + 2, name, n);
        return n + 2;
    }
    // nothing can stand below it: the next is one octet longer
    if (n + 1 <= DNS_NAME_MAX && first < 63) {
        memcpy(out + 1, name, n);
        out[0] = (uint8_t)(first + 1);
        memmove(out + 1, out + 2, first);
        out[1 + first] = 0;
        return n + 1;
    }
    while (first && name[first] == 0xff) // cannot grow: shorten, then grow what is before it
        first--;
    if (!first)
        return 0;
    out[0] = (uint8_t)first;
    memcpy(out + 1, name + 1, first);
    // never an upper-case letter
    if (name[first] == 'A' - 1)
        out[first] = 'Z' + 1;
    else
        out[first] = (uint8_t)(name[first] + 1);
    memcpy(out + 1 + first, name + 1 + name[0], n - 1 - name[0]);
    return n - name[0] + first;
}
