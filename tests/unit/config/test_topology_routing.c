// SPDX-License-Identifier: Apache-2.0
// config/topology_routing: orders with tiers, weights, locations, and the paths of measurements.
#include "base/bytes.h"
#include "config/catalogue.h"
#include "config/topology.h"
#include "tests/support/check_main.h"

#include <string.h>

#define REGIONS                                                                                    \
    "version: 1\ndomain: example.io\nregions:\n"                                                   \
    "  - {name: a, peer: 192.0.2.1:8443, location: \"37.37, -79.82\", stamps: [{name: a-1, ipv4: " \
    "[192.0.2.1]}]}\n"                                                                             \
    "  - {name: b, peer: 192.0.2.2:8443, location: \"-90,180\", stamps: [{name: b-1, ipv4: "       \
    "[192.0.2.2]}]}\n"                                                                             \
    "  - {name: c, peer: 192.0.2.3:8443, stamps: [{name: c-1, ipv4: [192.0.2.3]}]}\n"              \
    "name_servers: [a-1.a]\n"

static struct topology *parse_at(const char *text, const char *source)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    if (topology_parse(text, strlen(text), source, &d, &t))
        diag_print(&d, stderr);
    ck_assert_ptr_nonnull(t);
    diag_done(&d);
    return t;
}

START_TEST(orders_have_tiers)
{
    struct topology *t = parse_at(REGIONS "routing:\n  order: [b+c]\n  overrides:\n"
                                          "    - { clients: 198.51.100.0/24, order: [c, a+b] }\n",
                                  "t.yaml");
    ck_assert_mem_eq(t->routing_order, "\1\2\0", 3);
    ck_assert_uint_eq(t->routing_tiers, 1 | 4);
    ck_assert_mem_eq(t->overrides[0].order, "\2\0\1", 3);
    ck_assert_uint_eq(t->overrides[0].tiers, 1 | 2);
    snapshot_unref(t);
}
END_TEST

START_TEST(without_words_each_region_is_a_tier)
{
    struct topology *t = parse_at(REGIONS, "t.yaml");
    ck_assert_mem_eq(t->routing_order, "\0\1\2", 3);
    ck_assert_uint_eq(t->routing_tiers, 7);
    ck_assert_ptr_null(t->routing.latency_file);
    ck_assert_ptr_null(t->routing.maxmind_file);
    ck_assert_uint_eq(t->routing.latency_margin_ms, 5);
    ck_assert_uint_eq(t->routing.distance_margin_km, 100);
    snapshot_unref(t);
}
END_TEST

START_TEST(locations_are_read_in_ten_thousandths)
{
    struct topology *t = parse_at(REGIONS, "t.yaml");
    ck_assert(t->regions[0].has_location && t->regions[1].has_location &&
              !t->regions[2].has_location);
    ck_assert_int_eq(t->regions[0].latitude, 373700);
    ck_assert_int_eq(t->regions[0].longitude, -798200);
    ck_assert_int_eq(t->regions[1].latitude, -900000);
    ck_assert_int_eq(t->regions[1].longitude, 1800000);
    snapshot_unref(t);
}
END_TEST

START_TEST(paths_are_relative_to_the_document)
{
    static const char files[] =
        REGIONS "routing: { latency_file: ms.csv, maxmind_file: /var/lib/GeoIP/City.mmdb, "
                "latency_margin: 1s, distance_margin_km: 0 }\n";
    struct topology *t = parse_at(files, "/etc/meridian/t.yaml");
    ck_assert_str_eq(t->routing.latency_file, "/etc/meridian/ms.csv");
    ck_assert_str_eq(t->routing.maxmind_file, "/var/lib/GeoIP/City.mmdb");
    ck_assert_uint_eq(t->routing.latency_margin_ms, 1000);
    ck_assert_uint_eq(t->routing.distance_margin_km, 0);
    snapshot_unref(t);
    t = parse_at(files, "t.yaml");
    ck_assert_str_eq(t->routing.latency_file, "ms.csv");
    snapshot_unref(t);
}
END_TEST

START_TEST(weights_are_of_replicas)
{
    struct topology *t =
        parse_at(REGIONS "registries:\n"
                         "  - {name: alpha, replicas: [{region: a, weight: 0}, {region: c}]}\n"
                         "  - {name: bravo, replicas: [{region: a}, {region: b, weight: 100}]}\n",
                 "t.yaml");
    const struct catalogue_registry *r = catalogue_find(t->catalogue, "alpha", 5);
    const uint8_t *w = catalogue_weights(t->catalogue, r);
    ck_assert_ptr_nonnull(w);
    ck_assert_uint_eq(w[0], 0);
    ck_assert_uint_eq(w[2], 100);
    ck_assert_ptr_null(catalogue_weights(t->catalogue, catalogue_find(t->catalogue, "bravo", 5)));
    snapshot_unref(t);
}
END_TEST

START_TEST(what_is_wrong_is_said)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {REGIONS "routing: { order: [a+b, b] }\n", "region b is named twice"},
        {REGIONS "routing: { order: [a++b] }\n", "unknown region"},
        {REGIONS "routing: { order: [a+] }\n", "unknown region"},
        {REGIONS "routing: { order: [+] }\n", "unknown region"},
        {REGIONS "routing: { latency_file: \"\" }\n", "latency_file"},
        {REGIONS "routing: { maxmind_file: geo/ }\n", "maxmind_file"},
        {REGIONS "registries: [{name: alpha, replicas: [{region: a, weight: 101}]}]\n", "weight"},
        {"version: 1\ndomain: example.io\nregions: [{name: a, location: \"91,0\", stamps: [{name: "
         "a-1, ipv4: "
         "[192.0.2.1]}]}]\nname_servers: [a-1.a]\n",
         "location"},
        {"version: 1\ndomain: example.io\nregions: [{name: a, location: \"1.,0\", stamps: [{name: "
         "a-1, ipv4: "
         "[192.0.2.1]}]}]\nname_servers: [a-1.a]\n",
         "location"},
        {"version: 1\ndomain: example.io\nregions: [{name: a, location: \"1,180.0001\", stamps: "
         "[{name: a-1, ipv4: "
         "[192.0.2.1]}]}]\nname_servers: [a-1.a]\n",
         "location"},
        {"version: 1\ndomain: example.io\nregions: [{name: a, stamps: [{name: a-1, ipv4: "
         "[192.0.2.1]}]}]\n"
         "name_servers: [a-1.a]\nrouting: { maxmind_file: x.mmdb }\n",
         "without a location"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct diag d;
        struct topology *t = NULL;
        char *said = NULL;
        size_t n = 0;
        diag_init(&d);
        ck_assert_msg(topology_parse(rows[i].text, strlen(rows[i].text), "t.yaml", &d, &t),
                      "row %zu", i);
        FILE *f = open_memstream(&said, &n);
        diag_print(&d, f);
        fclose(f);
        ck_assert_msg(strstr(said, rows[i].says), "row %zu: %s", i, said);
        free(said);
        diag_done(&d);
    }
}
END_TEST

CHECK_MAIN("config/topology_routing", orders_have_tiers, without_words_each_region_is_a_tier,
           locations_are_read_in_ten_thousandths, paths_are_relative_to_the_document,
           weights_are_of_replicas, what_is_wrong_is_said)
