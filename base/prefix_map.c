// SPDX-License-Identifier: Apache-2.0
// Prefixes as disjoint ranges; see prefix_map.h.
//
// Invariants
// 1. Ranges are sorted, the first begins at zero, and no two neighbours have the same value (but
//    for the two parts that IPv6 falls into around the mapped IPv4).
// 2. Prefixes nest or are disjoint, so that a sweep in the order of their starts needs one stack.
#include "base/prefix_map.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

#define LAYERS 4
#define INDEX_FROM 64 // ranges
#define INDEX_SLOTS 65536
#define V4_WINDOW ((uint64_t)0xffff << 32)      // lo of ::ffff:0:0
#define V4_WINDOW_END ((uint64_t)0x10000 << 32) // and of the first address after it
#define V6_SHIFT 45                             // of hi: bits 3 to 18

struct range {
    struct prefix_key from;
    uint32_t value;
};

struct sweep {
    struct range *ranges;
    size_t n;
    struct {
        const struct prefix_entry *e;
        // in force while this is the innermost: perhaps that of a higher layer around it
        uint32_t value;
        uint8_t layer;
    } open[129 * LAYERS];
    size_t depth;
};

static struct prefix_key key_of(const struct ip *ip)
{
    uint64_t x[2];
    memcpy(x, ip->b, sizeof x);
    return (struct prefix_key){__builtin_bswap64(x[0]), __builtin_bswap64(x[1])};
}

static bool key_not_after(struct prefix_key a, struct prefix_key b)
{
    return a.hi < b.hi || (a.hi == b.hi && a.lo <= b.lo);
}

static bool key_equal(struct prefix_key a, struct prefix_key b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

// The first address after the prefix. False: there is none.
static bool prefix_end(const struct cidr *c, struct prefix_key *out)
{
    struct prefix_key k = key_of(&c->ip);
    if (c->bits == 0)
        return false;
    if (c->bits > 64) {
        k.lo += (uint64_t)1 << (128 - c->bits);
        k.hi += k.lo == 0;
    } else {
        k.hi += (uint64_t)1 << (64 - c->bits);
    }
    if (k.hi == 0 && k.lo == 0)
        return false;
    *out = k;
    return true;
}

static int by_start(const void *a, const void *b)
{
    const struct prefix_entry *x = a, *y = b;
    int c = memcmp(x->cidr.ip.b, y->cidr.ip.b, 16);
    if (!c)
        c = (int)x->cidr.bits - (int)y->cidr.bits; // the wider one first: the narrower lies inside
    if (c)
        return c;
    return (int)x->layer - (int)y->layer;
}

static void range_add(struct sweep *s, struct prefix_key from, uint32_t value)
{
    if (s->n && key_equal(s->ranges[s->n - 1].from, from))
        s->n--;
    if (!s->n || s->ranges[s->n - 1].value != value)
        s->ranges[s->n++] = (struct range){from, value};
}

static uint32_t value_in_force(const struct sweep *s)
{
    if (s->depth)
        return s->open[s->depth - 1].value;
    return 0;
}

static void open_entry(struct sweep *s, const struct prefix_entry *e)
{
    bool wins = !s->depth || e->layer >= s->open[s->depth - 1].layer;
    s->open[s->depth].e = e;
    if (wins) {
        s->open[s->depth].value = e->value;
        s->open[s->depth].layer = e->layer;
    } else {
        s->open[s->depth].value = s->open[s->depth - 1].value;
        s->open[s->depth].layer = s->open[s->depth - 1].layer;
    }
    s->depth++;
    range_add(s, key_of(&e->cidr.ip), value_in_force(s));
}

static void sweep(struct sweep *s, const struct prefix_entry *e, size_t n)
{
    struct prefix_key at = {0, 0}, end;
    range_add(s, at, 0);
    for (size_t k = 0; k <= n; k++) {
        if (k < n)
            at = key_of(&e[k].cidr.ip);
        // Close what ends before the next one begins; after the last, all that end at all.
        while (s->depth && prefix_end(&s->open[s->depth - 1].e->cidr, &end) &&
               (k == n || key_not_after(end, at))) {
            s->depth--;
            range_add(s, end, value_in_force(s));
        }
        if (k < n && s->depth < ARRAY_LEN(s->open))
            open_entry(s, &e[k]);
    }
}

static bool in_v4(struct prefix_key k)
{
    return k.hi == 0 && k.lo >= V4_WINDOW && k.lo < V4_WINDOW_END;
}

// The last of n sorted starts that is not after `at`; the first one never is.
static uint32_t find4(const uint32_t *from, uint32_t n, uint32_t at)
{
    uint32_t low = 0;
    while (n > 1) {
        uint32_t half = n / 2;
        if (from[low + half] <= at)
            low += half;
        n -= half;
    }
    return low;
}

static uint32_t find6(const struct prefix_key *from, uint32_t n, struct prefix_key at)
{
    uint32_t low = 0;
    while (n > 1) {
        uint32_t half = n / 2;
        if (key_not_after(from[low + half], at))
            low += half;
        n -= half;
    }
    return low;
}

static int build_indexes(struct arena *a, struct prefix_map *m)
{
    if (m->n4 >= INDEX_FROM) {
        uint32_t *x = arena_array(a, INDEX_SLOTS + 1, sizeof *x);
        if (!x)
            return ERR_NOMEM;
        for (uint32_t i = 0, r = 0; i < INDEX_SLOTS; i++) {
            while (r + 1 < m->n4 && m->from4[r + 1] <= i << 16)
                r++;
            x[i] = r;
        }
        x[INDEX_SLOTS] = m->n4 - 1;
        m->index4 = x;
    }
    if (m->n6 >= INDEX_FROM) {
        uint32_t *x = arena_array(a, INDEX_SLOTS + 1, sizeof *x);
        if (!x)
            return ERR_NOMEM;
        for (uint32_t i = 0, r = 0; i <= INDEX_SLOTS; i++) {
            struct prefix_key k = {((uint64_t)1 << 61) + ((uint64_t)i << V6_SHIFT), 0};
            while (r + 1 < m->n6 && key_not_after(m->from6[r + 1], k))
                r++;
            x[i] = r;
        }
        m->index6 = x;
    }
    return 0;
}

// The value in force at a key.
static uint32_t value_at(const struct range *r, size_t n, struct prefix_key k)
{
    size_t low = 0;
    while (n > 1) {
        size_t half = n / 2;
        if (key_not_after(r[low + half].from, k))
            low += half;
        n -= half;
    }
    return r[low].value;
}

static int split(struct arena *a, const struct range *r, size_t n, struct prefix_map *out)
{
    static const struct prefix_key v4 = {0, V4_WINDOW}, after_v4 = {0, V4_WINDOW_END};
    struct prefix_map m = {0};
    size_t n4 = 1; // one more than needed when a range begins with the window
    for (size_t i = 0; i < n; i++)
        n4 += in_v4(r[i].from);
    size_t n6 = n - n4 + 3;
    uint32_t *from4 = arena_array(a, n4, sizeof *from4),
             *value4 = arena_array(a, n4, sizeof *value4);
    struct prefix_key *from6 = arena_array(a, n6, sizeof *from6);
    uint32_t *value6 = arena_array(a, n6, sizeof *value6);
    if (!from4 || !value4 || !from6 || !value6)
        return ERR_NOMEM;
    from4[0] = 0;
    value4[m.n4++] = value_at(r, n, v4);
    bool crossed = false;
    for (size_t i = 0; i < n; i++) {
        if (in_v4(r[i].from)) {
            if (r[i].from.lo > V4_WINDOW) {
                from4[m.n4] = (uint32_t)r[i].from.lo;
                value4[m.n4++] = r[i].value;
            }
            continue;
        }
        if (!crossed && key_not_after(after_v4, r[i].from)) {
            crossed = true;
            if (!key_equal(r[i].from, after_v4)) {
                from6[m.n6] = after_v4;
                value6[m.n6++] = value_at(r, n, after_v4);
            }
        }
        from6[m.n6] = r[i].from;
        value6[m.n6++] = r[i].value;
    }
    if (!crossed) {
        from6[m.n6] = after_v4;
        value6[m.n6++] = value_at(r, n, after_v4);
    }
    m.from4 = from4;
    m.value4 = value4;
    m.from6 = from6;
    m.value6 = value6;
    int rc = build_indexes(a, &m);
    if (!rc)
        *out = m;
    return rc;
}

int prefix_map_build(struct arena *a, struct prefix_entry *entries, size_t n,
                     struct prefix_map *out)
{
    AUTO_FREE struct sweep *s = mem_zalloc(sizeof *s);
    AUTO_FREE struct range *ranges = mem_zalloc_array(2 * n + 1, sizeof *ranges);
    if (!s || !ranges || n > UINT32_MAX / 4)
        return ERR_NOMEM;
    if (n)
        qsort(entries, n, sizeof *entries, by_start);
    s->ranges = ranges;
    sweep(s, entries, n);
    return split(a, s->ranges, s->n, out);
}

static uint32_t at4(const struct prefix_map *m, uint32_t at)
{
    if (!m->index4)
        return find4(m->from4, m->n4, at);
    uint32_t low = m->index4[at >> 16];
    return low + find4(m->from4 + low, m->index4[(at >> 16) + 1] - low + 1, at);
}

static uint32_t at6(const struct prefix_map *m, struct prefix_key at)
{
    if (!m->index6 || at.hi >> 61 != 1)
        return find6(m->from6, m->n6, at);
    uint32_t slot = at.hi >> V6_SHIFT & (INDEX_SLOTS - 1), low = m->index6[slot];
    return low + find6(m->from6 + low, m->index6[slot + 1] - low + 1, at);
}

uint32_t prefix_map_get(const struct prefix_map *m, const struct ip *ip)
{
    struct prefix_key k = key_of(ip);
    if (in_v4(k))
        return m->value4[at4(m, (uint32_t)k.lo)];
    return m->value6[at6(m, k)];
}

// How many bits a prefix around `at` must have so that it does not hold `other`.
static uint8_t bits_without(struct prefix_key at, struct prefix_key other)
{
    uint64_t hi = at.hi ^ other.hi, lo = at.lo ^ other.lo;
    if (hi)
        return (uint8_t)(1 + __builtin_clzll(hi));
    if (lo)
        return (uint8_t)(65 + __builtin_clzll(lo));
    return 128;
}

static uint8_t most(uint8_t a, uint8_t b)
{
    if (a > b)
        return a;
    return b;
}

static struct prefix_key key_before(struct prefix_key k)
{
    return (struct prefix_key){k.hi - (k.lo == 0), k.lo - 1};
}

uint8_t prefix_map_depth(const struct prefix_map *m, const struct ip *ip)
{
    struct prefix_key k = key_of(ip);
    if (m->n4 == 1 && m->n6 == 2 && m->value4[0] == m->value6[0] && m->value6[0] == m->value6[1])
        return 0;
    if (in_v4(k)) {
        uint32_t i = at4(m, (uint32_t)k.lo);
        uint8_t bits = 96;
        if (i > 0)
            bits = most(bits, bits_without(k, (struct prefix_key){0, V4_WINDOW + m->from4[i] - 1}));
        if (i + 1 < m->n4)
            bits = most(bits, bits_without(k, (struct prefix_key){0, V4_WINDOW + m->from4[i + 1]}));
        return bits;
    }
    uint32_t i = at6(m, k);
    uint8_t bits = 0;
    if (m->from6[i].hi || m->from6[i].lo)
        bits = bits_without(k, key_before(m->from6[i]));
    if (i + 1 < m->n6) // the range before the mapped addresses reaches up to them only
        bits = most(bits,
                    bits_without(k, m->from6[i + 1].hi == 0 && m->from6[i + 1].lo == V4_WINDOW_END
                                        ? (struct prefix_key){0, V4_WINDOW}
                                        : m->from6[i + 1]));
    return bits;
}
