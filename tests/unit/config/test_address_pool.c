// SPDX-License-Identifier: Apache-2.0
// config/address_pool: what a pool can give, what is given next, and what would do; by hand, and
// against a pool that is walked address by address.
#include "config/address_pool.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct ip ip_of(const char *text)
{
    struct ip ip;
    ck_assert_msg(!ip_parse(text, &ip), "%s", text);
    return ip;
}

struct fixture {
    struct address_pool pool;
    struct cidr exclude[8];
    struct ip held[256];
    size_t n_held;
};

static size_t words(const char *text, char out[64][IP_TEXT_SIZE + 4])
{
    size_t n = 0;
    for (const char *p = text; *p; p += strspn(p, " ")) {
        size_t length = strcspn(p, " ");
        ck_assert(length < sizeof out[0] && n < 64);
        snprintf(out[n++], sizeof out[0], "%.*s", (int)length, p);
        p += length;
    }
    return n;
}

static void fill(struct fixture *f, const char *subnet, unsigned first, unsigned last,
                 const char *exclude, const char *held)
{
    char w[64][IP_TEXT_SIZE + 4];
    *f = (struct fixture){.pool = {.name = "p", .reserved_first = first, .reserved_last = last}};
    ck_assert_int_eq(cidr_parse(subnet, &f->pool.subnet), 0);
    size_t n = words(exclude, w);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(cidr_parse(w[i], &f->exclude[i]), 0);
    f->pool.exclude = f->exclude;
    f->pool.n_exclude = cidr_set_make(f->exclude, n);
    n = words(held, w);
    for (size_t i = 0; i < n; i++)
        f->held[i] = ip_of(w[i]);
    f->n_held = ip_set_make(f->held, n);
}

static const char *taken(const struct fixture *f, size_t want)
{
    static char text[1024];
    struct ip out[64];
    char one[IP_TEXT_SIZE];
    size_t n = address_pool_take(&f->pool, f->held, f->n_held, out, want), at = 0;
    text[0] = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " " : "",
                               ip_format(&out[i], one));
    return text;
}

START_TEST(what_it_can_give)
{
    static const struct {
        const char *subnet;
        unsigned first, last;
        const char *exclude, *held;
        uint64_t usable, left;
        const char *next;
    } cases[] = {
        {"10.4.0.0/27", 4, 1, "", "", 27, 27, "10.4.0.4 10.4.0.5 10.4.0.6"},
        {"10.4.0.0/27", 4, 1, "10.4.0.9 10.4.0.16/30", "", 22, 22, "10.4.0.4 10.4.0.5 10.4.0.6"},
        // what is excluded at its reserved ends counts once
        {"10.4.0.0/27", 4, 1, "10.4.0.0/30 10.4.0.31", "", 27, 27, "10.4.0.4 10.4.0.5 10.4.0.6"},
        {"10.4.0.0/27", 4, 1, "10.4.0.4/30", "10.4.0.9 10.4.0.8", 23, 21,
         "10.4.0.10 10.4.0.11 10.4.0.12"},
        // what is held elsewhere, reserved or excluded does not count
        {"10.4.0.0/29", 4, 1, "10.4.0.6", "10.4.0.4 10.4.0.4 10.4.0.1 10.4.0.6 10.5.0.5", 2, 1,
         "10.4.0.5"},
        {"10.4.0.0/29", 4, 1, "", "10.4.0.4 10.4.0.5 10.4.0.6", 3, 0, ""},
        {"10.4.0.0/30", 4, 1, "", "", 0, 0, ""},
        {"10.4.0.0/30", 0, 4, "", "", 0, 0, ""},
        {"10.4.0.0/30", 0, 0, "", "", 4, 4, "10.4.0.0 10.4.0.1 10.4.0.2"},
        {"10.4.0.7", 0, 0, "", "", 1, 1, "10.4.0.7"},
        {"10.4.0.0/28", 0, 0, "10.4.0.0/28", "", 0, 0, ""},
        {"10.4.0.0/28", 0, 0, "10.4.0.2/31 10.4.0.4/30 10.4.0.8/29", "", 2, 2, "10.4.0.0 10.4.0.1"},
        {"fd00::/120", 4, 1, "", "fd00::4", 251, 250, "fd00::5 fd00::6 fd00::7"},
        {"fd00::/64", 4, 1, "fd00::4/126", "", ADDRESSES_MANY, ADDRESSES_MANY,
         "fd00::8 fd00::9 fd00::a"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", 0, 0, "", "", 2, 2,
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        fill(&f, cases[i].subnet, cases[i].first, cases[i].last, cases[i].exclude, cases[i].held);
        uint64_t usable = address_pool_usable(&f.pool);
        uint64_t left = address_pool_free(&f.pool, f.held, f.n_held);
        ck_assert_msg(usable == cases[i].usable && left == cases[i].left, "%zu: %llu, %llu", i,
                      (unsigned long long)usable, (unsigned long long)left);
        ck_assert_msg(!strcmp(taken(&f, 3), cases[i].next), "%zu: %s", i, taken(&f, 3));
    }
}
END_TEST

START_TEST(the_prefix_that_would_do)
{
    static const struct {
        const char *subnet, *exclude, *held;
        uint64_t need;
        int want;
    } cases[] = {
        // 8 addresses, 5 of them reserved; 3 held, 3 more are needed
        {"10.9.0.0/29", "", "10.9.0.4 10.9.0.5 10.9.0.6", 3, 28},
        {"10.9.0.0/29", "", "10.9.0.4 10.9.0.5 10.9.0.6", 9, 27},
        // what is excluded and held in the wider one counts too
        {"10.9.0.0/29", "10.9.0.8/29", "10.9.0.4", 4, 27},
        {"10.9.0.8/29", "", "10.9.0.4 10.9.0.5 10.9.0.6 10.9.0.7", 10, 27},
        {"10.0.0.0/8", "", "", ADDRESSES_MANY, -1},
        {"fd00::/125", "", "", 4, 124},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        fill(&f, cases[i].subnet, 4, 1, cases[i].exclude, cases[i].held);
        int got = address_pool_prefix_for(&f.pool, f.held, f.n_held, cases[i].need);
        ck_assert_msg(got == cases[i].want, "%zu: %d", i, got);
    }
}
END_TEST

static uint32_t seed = 15;

static unsigned dice(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static struct ip v4(unsigned last)
{
    char text[IP_TEXT_SIZE];
    snprintf(text, sizeof text, "10.4.0.%u", last);
    return ip_of(text);
}

// A pool in 10.4.0.0/24, walked by hand.
START_TEST(it_is_as_if_walked)
{
    for (int round = 0; round < 3000; round++) {
        struct fixture f = {.pool = {.name = "p"}};
        bool gives[256], held[256] = {false};
        unsigned bits = 24 + dice(8), base = dice(1u << (bits - 24)) << (32 - bits);
        unsigned size = 1u << (32 - bits), n_exclude = dice(4);
        f.pool.subnet = (struct cidr){v4(base), (uint8_t)(96 + bits)};
        f.pool.reserved_first = dice(6);
        f.pool.reserved_last = dice(4);
        for (unsigned i = 0; i < 256; i++)
            gives[i] = i >= base + f.pool.reserved_first &&
                       i + f.pool.reserved_last < base + size && i < base + size;
        for (unsigned i = 0; i < n_exclude; i++) {
            unsigned hole_bits = bits + dice(33 - bits);
            unsigned at = base + (dice(size) & ~((1u << (32 - hole_bits)) - 1));
            f.exclude[i] = (struct cidr){v4(at), (uint8_t)(96 + hole_bits)};
            for (unsigned k = at; k < at + (1u << (32 - hole_bits)); k++)
                gives[k] = false;
        }
        f.pool.exclude = f.exclude;
        f.pool.n_exclude = cidr_set_make(f.exclude, n_exclude);
        for (unsigned i = dice(200); i-- > 0;) {
            unsigned at = dice(256);
            held[at] = true;
            f.held[f.n_held++] = v4(at);
        }
        f.n_held = ip_set_make(f.held, f.n_held);
        uint64_t usable = 0, left = 0;
        struct ip lowest[256], got[256];
        for (unsigned i = 0; i < 256; i++) {
            struct ip ip = v4(i);
            usable += gives[i];
            ck_assert_int_eq(address_pool_may_give(&f.pool, &ip), gives[i]);
            ck_assert_int_eq(ip_set_contains(f.held, f.n_held, &ip), held[i]);
            if (gives[i] && !held[i])
                lowest[left++] = ip;
        }
        ck_assert_uint_eq(address_pool_usable(&f.pool), usable);
        ck_assert_uint_eq(address_pool_free(&f.pool, f.held, f.n_held), left);
        unsigned want = dice(12);
        size_t n = address_pool_take(&f.pool, f.held, f.n_held, got, want);
        ck_assert_uint_eq(n, left < want ? left : want);
        ck_assert(!n || !memcmp(got, lowest, n * sizeof *got));
    }
}
END_TEST

// ---- in a document ----

#define HEAD                                                                               \
    "version: 1\ndomain: example.io\nregions:\n"                                           \
    "  - { name: a, peer: 10.0.0.1:1, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n"        \
    "name_servers: [s.a]\nregistries:\n  - { name: contoso, replicas: [{ region: a }] }\n" \
    "views:\n"

static struct topology *parsed(const char *views)
{
    struct diag d;
    struct topology *t = NULL;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, HEAD "%s", views);
    diag_init(&d);
    int rc = topology_parse(b.p, b.n, "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

START_TEST(a_view_has_pools_and_an_owner)
{
    struct topology *t = parsed(
        "  - name: corp\n    sources: [10.4.0.0/16]\n    owner: ada\n    pools:\n"
        "      - { name: corp-pool, subnet: 10.4.0.0/27 }\n"
        "      - { name: more, subnet: [10.4.1.0/24], reserved_first: 10, reserved_last: 0,\n"
        "          exclude: 10.4.1.64/26, answered_by: balancer }\n"
        "  - { name: lab, sources: [10.5.0.0/16] }\n");
    const struct view *v = NULL;
    const struct address_pool *p = topology_pool(t, "corp-pool", &v);
    ck_assert_str_eq(v->name, "corp");
    ck_assert_str_eq(v->owner, "ada");
    ck_assert(p->reserved_first == 4 && p->reserved_last == 1);
    ck_assert_uint_eq(p->answered_by, ANSWERED_BY_EDGE);
    ck_assert_uint_eq(address_pool_usable(p), 27);
    p = topology_pool(t, "more", NULL);
    ck_assert_uint_eq(p->answered_by, ANSWERED_BY_BALANCER);
    ck_assert_uint_eq(address_pool_usable(p), 256 - 10 - 64);
    ck_assert_ptr_null(topology_pool(t, "less", NULL));
    ck_assert_str_eq(topology_view(t, "lab")->owner, "");
    ck_assert_uint_eq(topology_view(t, "lab")->n_pools, 0);
    ck_assert_ptr_null(topology_view(t, "public"));
    snapshot_unref(t);
}
END_TEST

// Networks that two views' own listeners tell apart have nothing to do with each other.
START_TEST(views_with_listeners_may_have_the_same_pool)
{
    struct topology *t =
        parsed("  - { name: plant, listeners: ['172.16.1.53:53'], networks: [10.1.0.0/16], pools: "
               "[{ name: p, subnet: 10.1.0.0/27 }] }\n"
               "  - { name: office, listeners: ['172.16.2.53:53'], networks: [10.1.0.0/16], pools: "
               "[{ name: o, subnet: 10.1.0.0/27 }, { name: q, subnet: 10.1.0.32/27 }] }\n");
    ck_assert_ptr_ne(topology_pool(t, "p", NULL), topology_pool(t, "o", NULL));
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("config/address_pool", what_it_can_give, the_prefix_that_would_do, it_is_as_if_walked,
           a_view_has_pools_and_an_owner, views_with_listeners_may_have_the_same_pool)
