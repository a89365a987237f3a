// SPDX-License-Identifier: Apache-2.0
// Addresses of a pool; see address_pool.h. An address is a number here, the mapped form as a whole, and a
// pool is the numbers from its first to its last, with holes where something is excluded.
#include "config/address_pool.h"

#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 number;

#define MAPPED_BITS 96 // in front of an IPv4 address

struct span { // first to last, both in it; none when last is below first
    number first, last;
};

static number number_of(const struct ip *ip)
{
    number n = 0;
    for (size_t i = 0; i < sizeof ip->b; i++)
        n = n << 8 | ip->b[i];
    return n;
}

static struct ip ip_of(number n)
{
    struct ip ip;
    for (size_t i = sizeof ip.b; i-- > 0; n >>= 8)
        ip.b[i] = (uint8_t)n;
    return ip;
}

static uint64_t counted(number n)
{
    if (n > ADDRESSES_MANY)
        return ADDRESSES_MANY;
    return (uint64_t)n;
}

static struct span span_of(const struct cidr *c)
{
    struct span s = {.first = number_of(&c->ip)};
    s.last = s.first;
    if (c->bits < 128)
        s.last += ~(number)0 >> c->bits;
    return s;
}

static bool is_empty(const struct span *s)
{
    return s->last < s->first;
}

static const struct span nothing = {1, 0};

// What is left of the subnet without its ends.
static struct span given_of(const struct address_pool *p)
{
    struct span s = span_of(&p->subnet);
    number size = s.last - s.first; // one less
    if ((number)p->reserved_first + p->reserved_last > size)
        return nothing;
    s.first += p->reserved_first;
    s.last -= p->reserved_last;
    return s;
}

static number common(const struct span *a, const struct span *b)
{
    number first = a->first > b->first ? a->first : b->first;
    number last = a->last < b->last ? a->last : b->last;
    if (last < first)
        return 0;
    return last - first + 1;
}

// ---- sets of addresses ----

static int by_address(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ip));
}

size_t ip_set_make(struct ip *list, size_t n)
{
    size_t kept = 0;
    if (!n)
        return 0;
    qsort(list, n, sizeof *list, by_address);
    for (size_t i = 0; i < n; i++)
        if (!kept || !ip_equal(&list[kept - 1], &list[i]))
            list[kept++] = list[i];
    return kept;
}

bool ip_set_contains(const struct ip *set, size_t n, const struct ip *ip)
{
    return n && bsearch(ip, set, n, sizeof *set, by_address);
}

// ---- counting ----

uint64_t address_pool_usable(const struct address_pool *p)
{
    const struct span given = given_of(p);
    if (is_empty(&given))
        return 0;
    number n = given.last - given.first + 1;
    for (size_t i = 0; i < p->n_exclude; i++) {
        const struct span hole = span_of(&p->exclude[i]);
        n -= common(&given, &hole);
    }
    return counted(n);
}

bool address_pool_may_give(const struct address_pool *p, const struct ip *ip)
{
    const struct span given = given_of(p);
    number n = number_of(ip);
    if (is_empty(&given) || n < given.first || n > given.last)
        return false;
    return !cidr_set_contains(p->exclude, p->n_exclude, ip);
}

uint64_t address_pool_free(const struct address_pool *p, const struct ip *held, size_t n_held)
{
    uint64_t n = address_pool_usable(p);
    for (size_t i = 0; i < n_held && n; i++)
        n -= address_pool_may_give(p, &held[i]);
    return n;
}

// ---- giving ----

// The end of the hole that the address lies in; false: it lies in none.
static bool in_hole(const struct address_pool *p, number at, number *out_last)
{
    for (size_t i = 0; i < p->n_exclude; i++) {
        const struct span hole = span_of(&p->exclude[i]);
        if (at < hole.first || at > hole.last)
            continue;
        *out_last = hole.last;
        return true;
    }
    return false;
}

size_t address_pool_take(const struct address_pool *p, const struct ip *held, size_t n_held,
                         struct ip *out, size_t want)
{
    const struct span given = given_of(p);
    size_t n = 0;
    if (is_empty(&given))
        return 0;
    for (number at = given.first; n < want && at <= given.last; at++) {
        number last;
        if (in_hole(p, at, &last)) {
            if (last >= given.last)
                break;
            at = last;
            continue;
        }
        const struct ip ip = ip_of(at);
        if (!ip_set_contains(held, n_held, &ip))
            out[n++] = ip;
        if (at == given.last) // the last of all numbers has none after it
            break;
    }
    return n;
}

// ---- what would do ----

static struct cidr widened(const struct cidr *c, uint8_t bits)
{
    struct cidr w = {c->ip, bits};
    for (unsigned i = bits; i < 128; i++)
        w.ip.b[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
    return w;
}

int address_pool_prefix_for(const struct address_pool *p, const struct ip *held, size_t n_held,
                            uint64_t need)
{
    unsigned family = ip_is_v4(&p->subnet.ip) ? MAPPED_BITS : 0;
    for (unsigned bits = p->subnet.bits; bits-- > family;) {
        struct address_pool wider = *p;
        wider.subnet = widened(&p->subnet, (uint8_t)bits);
        if (address_pool_free(&wider, held, n_held) >= need)
            return (int)(bits - family);
    }
    return -1;
}
