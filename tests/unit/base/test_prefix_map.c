// SPDX-License-Identifier: Apache-2.0
// base/prefix_map: what a lookup finds is what going through all prefixes finds, for any of them;
// depths are neither too short nor longer than needed.
#include "base/prefix_map.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <stdlib.h>
#include <string.h>

static uint32_t seed = 20261124;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static struct ip masked(struct ip ip, unsigned bits)
{
    for (unsigned i = bits; i < 128; i++)
        ip.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return ip;
}

static struct ip random_ip(void)
{
    static const char *const near[] = {"::ffff:10.0.0.0", "2001:db8::", "2a00::", "fe80::", "::"};
    struct ip ip;
    unsigned from = rnd(4) ? 12 : 0;
    ck_assert_int_eq(ip_parse(near[rnd(5)], &ip), 0);
    if (!from && rnd(2))
        from = 2 + rnd(14);
    for (unsigned i = from; i < 16; i++)
        ip.b[i] = (uint8_t)rnd(rnd(2) ? 4 : 256);
    return ip;
}

static uint32_t by_list(const struct prefix_entry *e, size_t n, const struct ip *ip)
{
    const struct prefix_entry *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (cidr_contains(&e[i].cidr, ip) &&
            (!best || e[i].layer > best->layer ||
             (e[i].layer == best->layer && e[i].cidr.bits > best->cidr.bits)))
            best = &e[i];
    return best ? best->value : 0;
}

// Depth: the first and last address of the prefix have the value too; random ones in it as well;
// and a prefix of one bit less has another value somewhere that the list knows of.
static void check_depth(const struct prefix_map *m, const struct prefix_entry *e, size_t n,
                        const struct ip *ip)
{
    uint8_t bits = prefix_map_depth(m, ip);
    uint32_t v = prefix_map_get(m, ip);
    struct cidr around = {masked(*ip, bits), bits};
    for (size_t i = 0; i < n; i++) // each prefix that begins in it must not change the value
        if (cidr_contains(&around, &e[i].cidr.ip))
            ck_assert_uint_eq(by_list(e, n, &e[i].cidr.ip), v);
    for (int i = 0; i < 20; i++) {
        struct ip x = *ip;
        for (unsigned k = bits; k < 128; k++)
            if (rnd(2))
                x.b[k / 8] ^= (uint8_t)(0x80 >> k % 8);
        ck_assert_uint_eq(prefix_map_get(m, &x), v);
    }
    if (bits == 0 || bits == 96)
        return; // at 96 the mapped addresses end, whatever is around them
    struct cidr wider = {masked(*ip, bits - 1u), (uint8_t)(bits - 1)};
    bool differs =
        cidr_contains(&wider, &(struct ip){{0}}) && by_list(e, n, &(struct ip){{0}}) != v;
    differs |= by_list(e, n, &wider.ip) != v;
    static const struct ip v4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    differs |= cidr_contains(&wider, &v4);
    for (size_t i = 0; i < n && !differs; i++) {
        struct ip last = e[i].cidr.ip; // the first after it
        int k = 15;
        for (unsigned b = e[i].cidr.bits; b < 128; b++)
            last.b[b / 8] |= (uint8_t)(0x80 >> b % 8);
        while (k >= 0 && ++last.b[k] == 0)
            k--;
        differs = (cidr_contains(&wider, &e[i].cidr.ip) && by_list(e, n, &e[i].cidr.ip) != v) ||
                  (k >= 0 && cidr_contains(&wider, &last) && by_list(e, n, &last) != v);
    }
    ck_assert_msg(differs, "a prefix of %u bits would do", bits - 1u);
}

START_TEST(lookups_find_what_a_list_finds)
{
    static const size_t sizes[] = {0, 1, 2, 5, 20, 100, 400};
    for (int round = 0; round < 60; round++) {
        size_t n = sizes[rnd(7)];
        struct arena a;
        struct prefix_map m;
        struct prefix_entry *e = calloc(n + 1, sizeof *e), *copy = calloc(n + 1, sizeof *e);
        arena_init(&a, 0);
        for (size_t i = 0; i < n;) {
            struct cidr c = {.ip = random_ip(),
                             .bits = (uint8_t)(rnd(8) ? 96 + rnd(33) : rnd(129))};
            c.ip = masked(c.ip, c.bits);
            e[i] = (struct prefix_entry){c, (uint8_t)rnd(3), 1 + rnd(5)};
            bool twice = false;
            for (size_t k = 0; k < i; k++)
                twice |= !memcmp(&e[k].cidr, &c, sizeof c) && e[k].layer == e[i].layer;
            i += !twice;
        }
        memcpy(copy, e, n * sizeof *e);
        ck_assert_int_eq(prefix_map_build(&a, copy, n, &m), 0);
        for (int i = 0; i < 400; i++) {
            struct ip ip = n && rnd(2) ? e[rnd((uint32_t)n)].cidr.ip : random_ip();
            if (rnd(4) == 0) // just before it
                for (int k = 15; k >= 0 && ip.b[k]-- == 0; k--)
                    ;
            ck_assert_uint_eq(prefix_map_get(&m, &ip), by_list(e, n, &ip));
            check_depth(&m, e, n, &ip);
        }
        arena_done(&a);
        free(e);
        free(copy);
    }
}
END_TEST

START_TEST(everything_alike_has_no_depth)
{
    struct prefix_entry e[] = {{.cidr = {{{0}}, 0}, .value = 9}, {.cidr = {{{0}}, 32}, .value = 9}};
    struct ip v4, v6;
    struct arena a;
    struct prefix_map m;
    ck_assert_int_eq(ip_parse("192.0.2.1", &v4), 0);
    ck_assert_int_eq(ip_parse("2001:db8::1", &v6), 0);
    for (size_t n = 0; n <= 2; n++) {
        arena_init(&a, 0);
        ck_assert_int_eq(prefix_map_build(&a, e, n, &m), 0);
        ck_assert_uint_eq(prefix_map_get(&m, &v4), n ? 9 : 0);
        ck_assert_uint_eq(prefix_map_depth(&m, &v4), 0);
        ck_assert_uint_eq(prefix_map_depth(&m, &v6), 0);
        arena_done(&a);
    }
}
END_TEST

START_TEST(no_memory_is_said)
{
    struct prefix_entry e[200];
    struct prefix_map m;
    int rc = ERR_NOMEM;
    for (uint32_t i = 0; i < 200; i++)
        e[i] = (struct prefix_entry){.cidr = {{{0x20, 1, (uint8_t)i}}, 24}, .value = 1 + i};
    for (int at = 1; rc; at++) {
        struct arena a;
        arena_init(&a, 0);
        mem_fault_after(at);
        rc = prefix_map_build(&a, e, 200, &m);
        bool hit = mem_fault_hits();
        mem_fault_after(0);
        ck_assert_int_eq(rc, hit ? ERR_NOMEM : 0);
        arena_done(&a);
    }
}
END_TEST

CHECK_MAIN("base/prefix_map", lookups_find_what_a_list_finds, everything_alike_has_no_depth,
           no_memory_is_said)
