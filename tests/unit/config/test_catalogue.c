// SPDX-License-Identifier: Apache-2.0
// config/catalogue: what it finds is what the topology's own lists say, for every registry, region
// and client.
#include "config/catalogue.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

#define REGIONS                                                                                   \
    "version: 1\ndomain: example.io\nregions:\n"                                                  \
    "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s1, ipv4: [192.0.2.1] }] }\n"           \
    "  - { name: eastus, peer: 10.0.0.2:8443, stamps: [{ name: s1, ipv4: [192.0.2.2] }, { name: " \
    "s-2, ipv4: "                                                                                 \
    "[192.0.2.3] }] }\n"                                                                          \
    "  - { name: southeastasia2, peer: 10.0.0.3:8443, stamps: [{ name: s1, ipv4: [192.0.2.4] }] " \
    "}\n"                                                                                         \
    "name_servers: [s1.a]\n"

static struct topology *parse_ok(struct buf *text)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    int rc = topology_parse(buf_cstr(text), text->n, "t.yaml", &d, &t);
    ck_assert_msg(rc == 0, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

static uint32_t seed = 20;
static unsigned rnd(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static void check_registry(const struct topology *t, const struct registry *r)
{
    const struct catalogue_registry *c = catalogue_find(t->catalogue, r->label, strlen(r->label));
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_eq(catalogue_full(t->catalogue, c), r);
    ck_assert_uint_eq(c->replicas, r->replica_set);
    ck_assert_uint_eq(c->label_n, strlen(r->label));
    ck_assert_mem_eq(catalogue_label(c), r->label, c->label_n);
    ck_assert_int_eq(!(c->flags & CATALOGUE_REGIONAL), !r->regional_endpoints);
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *rep = &r->replicas[i];
        ck_assert_uint_eq(catalogue_stamp(c, rep->region), rep->stamp);
        ck_assert_int_eq(c->open >> rep->region & 1, rep->global_routing && !rep->drained);
    }
    ck_assert_ptr_eq(topology_registry(t, r->name), r);
    ck_assert_ptr_eq(topology_by_label(t, r->label), r);
}

START_TEST(registries_are_found_by_label_and_by_name)
{
    static const char *const stamps[] = {"s1", "s-2", "s1"}, *const regions[] = {"a", "eastus",
                                                                                 "southeastasia2"};
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, REGIONS "registries:\n");
    for (unsigned i = 0; i < 3000; i++) {
        buf_printf(&b, "  - name: reg%.*s%u\n", (int)rnd(30), "abcdefghijklmnopqrstuvwxyz01234", i);
        if (rnd(3) == 0)
            buf_printf(&b, "    hash: abcdefgh%08u\n", rnd(10000000));
        buf_printf(&b, "    regional_endpoints: %s\n    replicas:\n",
                   rnd(2) ? "enabled" : "disabled");
        unsigned on = rnd(3);
        for (unsigned r = 3; r-- > 0;)
            if (r == on || rnd(2))
                buf_printf(&b,
                           "      - { region: %s, stamp: %s, global_routing: %s, drained: %s }\n",
                           regions[r], stamps[r], r == on || rnd(2) ? "true" : "false",
                           rnd(4) ? "false" : "true");
    }
    struct topology *t = parse_ok(&b);
    ck_assert_uint_eq(t->n_registries, 3000);
    const struct registry **all = topology_sorted(t);
    for (size_t i = 0; i < t->n_registries; i++) {
        const struct registry *r = all[i];
        check_registry(t, r);
        // Neither a part of a label nor more than it.
        size_t n = strlen(r->label);
        const struct catalogue_registry *shorter = catalogue_find(t->catalogue, r->label, n - 1);
        ck_assert(!shorter || catalogue_full(t->catalogue, shorter) != r);
        if (*r->hash)
            ck_assert(topology_by_label(t, r->name) != r);
    }
    free(all);
    ck_assert_ptr_null(topology_registry(t, "nosuch"));
    ck_assert_ptr_null(topology_registry(
        t, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"));
    ck_assert_ptr_null(catalogue_find(t->catalogue, "", 0));
    snapshot_unref(t);
}
END_TEST

static void count_is(const struct catalogue *c, size_t want)
{
    struct catalogue_iter it = {0}, all = {0};
    const struct catalogue_registry *r;
    size_t n = 0, walked = 0;
    ck_assert_uint_eq(catalogue_count_private(c), want);
    while ((r = catalogue_next_private(c, &it))) {
        ck_assert(r->flags & CATALOGUE_ENDPOINTS);
        n++;
    }
    ck_assert_uint_eq(n, want);
    ck_assert_ptr_null(catalogue_next_private(c, &it));
    while ((r = catalogue_next(c, &all)))
        walked += (r->flags & CATALOGUE_ENDPOINTS) != 0;
    ck_assert_uint_eq(walked, want);
}

static void put_as(struct catalogue *c, const char *name, const struct registry *endpoints_of)
{
    struct registry_room room;
    struct registry r;
    catalogue_expand(catalogue_find_name(c, name), &room, &r);
    r.n_private_endpoints = 0;
    if (endpoints_of) {
        r.private_endpoints = endpoints_of->private_endpoints;
        r.n_private_endpoints = endpoints_of->n_private_endpoints;
    }
    ck_assert_int_eq(catalogue_put(c, &r), 0);
}

START_TEST(registries_with_private_endpoints_are_counted)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, REGIONS "views:\n  - { name: corp, sources: [10.1.0.0/16] }\nregistries:\n");
    for (unsigned i = 0; i < 500; i++)
        buf_printf(&b, "  - { name: regs%u, replicas: [{ region: a }] }\n", i);
    AUTO_FREE char *none = mem_strdup(buf_cstr(&b));
    buf_str(&b, "private_endpoints:\n");
    for (unsigned i = 0; i < 15; i++)
        buf_printf(&b,
                   "  - { name: pe%u, registry: regs%u, view: corp, addresses: { registry: "
                   "10.1.0.%u } }\n",
                   i, i * 7, i + 1);
    struct topology *t = parse_ok(&b), *plain;
    count_is(t->catalogue, 15);
    struct catalogue *c = catalogue_copy(t->catalogue);
    ck_assert_ptr_nonnull(c);
    count_is(c, 15);
    const struct registry *with = topology_registry(t, "regs7");
    put_as(c, "regs1", with);
    count_is(c, 16);
    put_as(c, "regs1", with); // again
    count_is(c, 16);
    put_as(c, "regs7", NULL);
    count_is(c, 15);
    put_as(c, "regs2", NULL);
    count_is(c, 15);
    ck_assert_int_eq(catalogue_remove(c, "regs1"), 0);
    ck_assert_int_eq(catalogue_remove(c, "regs2"), 0);
    ck_assert_int_eq(catalogue_remove(c, "regs1"), ERR_NOTFOUND);
    count_is(c, 14);
    count_is(t->catalogue, 15); // what it was copied from stays
    catalogue_free(c);
    snapshot_unref(t);
    buf_clear(&b);
    buf_str(&b, none);
    plain = parse_ok(&b);
    count_is(plain->catalogue, 0);
    snapshot_unref(plain);
}
END_TEST

START_TEST(a_hint_is_blind_to_case)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, REGIONS);
    struct topology *t = parse_ok(&b);
    const uint8_t lower[] = "contoso-abcdefgh01234567", mixed[] = "ConToso-ABCdefgh01234567";
    for (size_t n = 0; n < sizeof lower; n++) {
        uint64_t h = catalogue_hint(t->catalogue, lower, n);
        ck_assert_uint_eq(h, catalogue_hint(t->catalogue, mixed, n));
        catalogue_hint_follow(t->catalogue, h);
    }
    ck_assert_uint_ne(catalogue_hint(t->catalogue, lower, 7),
                      catalogue_hint(t->catalogue, lower, 8));
    snapshot_unref(t);
}
END_TEST

START_TEST(labels_of_regions_and_stamps)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, REGIONS);
    struct topology *t = parse_ok(&b);
    const struct catalogue *c = t->catalogue;
    ck_assert_uint_eq(c->apex_n, 12);
    ck_assert_mem_eq(c->apex, "\7example\2io", 12);
    for (size_t i = 0; i < t->n_regions; i++)
        ck_assert_int_eq(catalogue_region_find(c, t->regions[i].name, strlen(t->regions[i].name)),
                         (int)i);
    ck_assert_int_eq(catalogue_region_find(c, "east", 4), -1);
    ck_assert_int_eq(catalogue_region_find(c, "eastus2", 7), -1);
    ck_assert_int_eq(catalogue_region_find(c, "", 0), -1);
    struct catalogue_labels fe = c->regions[1].frontends[1];
    ck_assert_uint_eq(fe.n, 14);
    ck_assert_mem_eq(fe.p, "\3s-2\6eastus\2fe", 14);
    ck_assert_uint_eq(c->regions[2].first_stamp, 3);
    ck_assert_uint_eq(c->n_stamps, 4);
    snapshot_unref(t);
}
END_TEST

// As the rule says it: the longest prefix that holds the client.
static const struct routing_override *by_list(const struct topology *t, const struct ip *client)
{
    for (size_t i = 0; i < t->n_overrides; i++)
        if (cidr_contains(&t->overrides[i].cidr, client))
            return &t->overrides[i];
    return NULL;
}

static void flip_around(const struct topology *t, struct ip ip)
{
    ck_assert_ptr_eq(catalogue_override(t->catalogue, &ip), by_list(t, &ip));
    for (int step = -1; step <= 1; step += 2) { // the addresses just before and after
        struct ip x = ip;
        for (int k = 15; k >= 0; k--) {
            x.b[k] = (uint8_t)(x.b[k] + step);
            if (x.b[k] != (step < 0 ? 0xff : 0))
                break;
        }
        ck_assert_ptr_eq(catalogue_override(t->catalogue, &x), by_list(t, &x));
    }
}

static bool is_listed(const struct cidr *list, size_t n, const struct cidr *c)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].bits == c->bits && ip_equal(&list[i].ip, &c->ip))
            return true;
    return false;
}

static struct cidr random_cidr(void)
{
    static const char *const wide[] = {
        "::/0", "0.0.0.0/0", "2000::/3", "ffff::/16", "255.255.255.255", "::1", "8000::/1"};
    struct cidr c;
    if (rnd(12) == 0) {
        ck_assert_int_eq(cidr_parse(wide[rnd(sizeof wide / sizeof wide[0])], &c), 0);
        return c;
    }
    bool v4 = rnd(2);
    ck_assert_int_eq(cidr_parse(v4 ? "10.0.0.0/8" : "2001:db8::/32", &c), 0);
    unsigned from = v4 ? 13 : 4, least = v4 ? 104 : 32;
    for (unsigned i = from; i < 16; i++)
        c.ip.b[i] = (uint8_t)(rnd(4) ? rnd(3) * 85 : rnd(256));
    c.bits = (uint8_t)(least + rnd(129 - least));
    for (unsigned i = c.bits; i < 128; i++)
        c.ip.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return c;
}

START_TEST(overrides_are_cut_into_ranges_rightly)
{
    for (int round = 0; round < 60; round++) {
        AUTO_BUF struct buf b;
        struct cidr list[80];
        size_t n = 0;
        buf_init(&b, 0);
        buf_str(&b, REGIONS "routing:\n  overrides:\n");
        for (size_t want = 1 + rnd(79); n < want;) {
            struct cidr c = random_cidr();
            char text[CIDR_TEXT_SIZE];
            if (is_listed(list, n, &c))
                continue;
            list[n++] = c;
            buf_printf(&b, "    - { clients: \"%s\", order: [%s] }\n", cidr_format(&c, text),
                       rnd(2) ? "a" : "eastus");
        }
        struct topology *t = parse_ok(&b);
        ck_assert_uint_eq(t->n_overrides, n);
        for (size_t i = 0; i < n; i++) {
            struct ip last = list[i].ip;
            for (unsigned k = list[i].bits; k < 128; k++)
                last.b[k / 8] |= (uint8_t)(0x80 >> k % 8);
            flip_around(t, list[i].ip);
            flip_around(t, last);
        }
        flip_around(t, (struct ip){{0}});
        snapshot_unref(t);
    }
}
END_TEST

CHECK_MAIN("config/catalogue", registries_are_found_by_label_and_by_name,
           registries_with_private_endpoints_are_counted, a_hint_is_blind_to_case,
           labels_of_regions_and_stamps, overrides_are_cut_into_ranges_rightly)
