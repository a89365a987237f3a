// SPDX-License-Identifier: Apache-2.0
// control/regions: a region comes into a document and goes from it, and all else stays as it was.
#include "control/regions.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/identity_list.h"
#include "tests/support/check_main.h"

#include <string.h>

#define FINGERPRINT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char document[] =
    "# ours\nversion: 7\ndomain: example.io\nregions:\n"
    "  # the first\n"
    "  - name: a\n    peer: 10.0.0.1:8443\n    location: 52.3700, 4.9000\n"
    "    stamps: [{ name: s1, ipv4: [192.0.2.1], ipv6: [\"2001:db8::1\"] }]\n"
    "  - { name: b, peer: 10.0.0.2:8443, probe: tcp, stamps: [{ name: s1, ipv4: [192.0.2.2] }] }\n"
    "name_servers: [s1.a, s1.b]\n"
    "# how clients are led\nrouting:\n  order: [b, a]\n"
    "  overrides: [{ clients: 10.1.0.0/16, order: [a+b] }, { clients: 10.2.0.0/16, order: [b] }]\n"
    "identities:\n  a:\n    peer_fingerprints: [\"" FINGERPRINT "\"]\n"
    "registries:\n  - { name: contoso, replicas: [{ region: a }] } # a tenant\n"
    "views:\n  - { name: corp, sources: [10.1.0.0/16] }\n";

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 1 << 20);
}

static void teardown(void)
{
    arena_done(&arena);
}

static struct topology *parsed(const struct buf *b)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    int rc = topology_parse(b->p, b->n, "topology", &d, &t);
    if (rc)
        diag_print(&d, stderr);
    ck_assert_int_eq(rc, 0);
    diag_done(&d);
    return t;
}

static struct region_row row(void)
{
    static struct ip v4, v6;
    struct region_row r = {.name = "c", .stamp = "c-1", .ipv4 = &v4, .n_ipv4 = 1};
    ck_assert_int_eq(ip_parse("192.0.2.3", &v4), 0);
    ck_assert_int_eq(ip_parse("2001:db8::3", &v6), 0);
    r.ipv6 = &v6;
    r.n_ipv6 = 1;
    ck_assert_int_eq(endpoint_parse("10.0.0.3:8443", 0, &r.peer), 0);
    r.location = "1.5, 2.5";
    return r;
}

static struct buf added(const struct region_row *r)
{
    struct buf out;
    buf_init(&out, 0);
    ck_assert_int_eq(regions_add(document, sizeof document - 1, r, &arena, &out), 0);
    return out;
}

START_TEST(a_region_comes_last_and_the_others_stay)
{
    setup();
    struct region_row r = row();
    AUTO_BUF struct buf out = added(&r);
    struct topology *t = parsed(&out);
    ck_assert_uint_eq(t->n_regions, 3);
    const struct region *a = topology_region(t, "a"), *b = topology_region(t, "b"),
                        *c = topology_region(t, "c");
    ck_assert(a->has_location && a->latitude == 523700 && a->longitude == 49000);
    ck_assert_uint_eq(a->stamps[0].n_ipv6, 1);
    ck_assert_int_eq(b->probe, PROBE_TCP);
    ck_assert(c->index == 2 && c->has_location && c->peer.port == 8443);
    ck_assert(c->stamps[0].n_ipv4 == 1 && c->stamps[0].n_ipv6 == 1);
    ck_assert_str_eq(a->peer_fingerprints[0], FINGERPRINT);
    ck_assert_uint_eq(t->n_name_servers, 2);
    ck_assert_ptr_nonnull(strstr(out.p, "# ours"));
    ck_assert_ptr_nonnull(strstr(out.p, "# a tenant"));
    ck_assert_ptr_nonnull(strstr(out.p, "# how clients are led"));
    snapshot_unref(t);
    teardown();
}
END_TEST

START_TEST(it_may_serve_names_from_the_start)
{
    setup();
    struct region_row r = row();
    r.name_server = true;
    AUTO_BUF struct buf out = added(&r);
    struct topology *t = parsed(&out);
    ck_assert_uint_eq(t->n_name_servers, 3);
    ck_assert_uint_eq(t->name_servers[2].region, 2);
    snapshot_unref(t);
    teardown();
}
END_TEST

START_TEST(a_row_without_a_form_is_refused)
{
    setup();
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    struct region_row r = row();
    r.name = "b";
    ck_assert_int_eq(regions_add(document, sizeof document - 1, &r, &arena, &out), ERR_EXISTS);
    r.name = "C";
    ck_assert_int_eq(regions_add(document, sizeof document - 1, &r, &arena, &out), ERR_INVAL);
    r = row();
    r.location = "1\", x: \"2";
    ck_assert_int_eq(regions_add(document, sizeof document - 1, &r, &arena, &out), ERR_INVAL);
    r = row();
    r.n_ipv4 = r.n_ipv6 = 0;
    ck_assert_int_eq(regions_add(document, sizeof document - 1, &r, &arena, &out), ERR_INVAL);
    r = row();
    ck_assert_int_eq(regions_add("[]", 2, &r, &arena, &out), ERR_INVAL);
    ck_assert_int_eq(regions_add("version: [", 10, &r, &arena, &out), ERR_INVAL);
    ck_assert_uint_eq(out.n, 0);
    teardown();
}
END_TEST

START_TEST(what_comes_can_go_and_takes_its_mentions_along)
{
    setup();
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    ck_assert_int_eq(regions_remove(document, sizeof document - 1, "b", &arena, &out), 0);
    struct topology *t = parsed(&out);
    ck_assert_uint_eq(t->n_regions, 1);
    ck_assert_uint_eq(t->n_name_servers, 1);
    ck_assert_ptr_null(strstr(out.p, "10.2.0.0/16")); // led to b alone
    ck_assert_ptr_nonnull(
        strstr(out.p, "\"10.1.0.0/16\", order: [\"a\"]")); // to a, and to b as near
    ck_assert_uint_eq(topology_region(t, "a")->n_peer_fingerprints, 1);
    snapshot_unref(t);
    buf_clear(&out);
    ck_assert_int_eq(regions_remove(document, sizeof document - 1, "c", &arena, &out),
                     ERR_NOTFOUND);
    teardown();
}
END_TEST

START_TEST(adding_and_removing_comes_back_to_the_same)
{
    setup();
    struct region_row r = row();
    r.name_server = true;
    AUTO_BUF struct buf once = added(&r), back, twice, again;
    buf_init(&back, 0);
    buf_init(&twice, 0);
    buf_init(&again, 0);
    ck_assert_int_eq(regions_remove(once.p, once.n, "c", &arena, &back), 0);
    ck_assert_int_eq(regions_add(back.p, back.n, &r, &arena, &twice), 0);
    ck_assert_int_eq(regions_remove(twice.p, twice.n, "c", &arena, &again), 0);
    ck_assert_str_eq(back.p, again.p);
    teardown();
}
END_TEST

START_TEST(what_a_region_is_needed_for_is_said)
{
    setup();
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, document);
    struct topology *t = parsed(&b);
    ck_assert_ptr_nonnull(strstr(regions_why_stays(t, "a", &arena), "contoso"));
    ck_assert_ptr_null(regions_why_stays(t, "b", &arena));
    ck_assert_ptr_nonnull(strstr(regions_why_stays(t, "c", &arena), "no region c"));
    snapshot_unref(t);
    buf_clear(&b);
    buf_str(&b, "version: 7\ndomain: example.io\ncertificates: { ca_region: a }\nregions:\n"
                "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n"
                "  - { name: b, peer: 10.0.0.2:8443, stamps: [{ name: s, ipv4: [192.0.2.2] }] }\n"
                "name_servers: [s.b]\n");
    t = parsed(&b);
    ck_assert_ptr_nonnull(strstr(regions_why_stays(t, "a", &arena), "CA"));
    ck_assert_ptr_nonnull(strstr(regions_why_stays(t, "b", &arena), "DNS"));
    snapshot_unref(t);
    teardown();
}
END_TEST

CHECK_MAIN("control/regions", a_region_comes_last_and_the_others_stay,
           it_may_serve_names_from_the_start, a_row_without_a_form_is_refused,
           what_comes_can_go_and_takes_its_mentions_along,
           adding_and_removing_comes_back_to_the_same, what_a_region_is_needed_for_is_said)
