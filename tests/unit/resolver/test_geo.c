// SPDX-License-Identifier: Apache-2.0
// resolver/geo*: distances, the latency file, MaxMind databases (whole, damaged, without
// locations), what is compiled of them, and how it is kept up.
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "resolver/route/geo_build.h"
#include "resolver/route/geo_latency.h"
#include "resolver/route/geo_maxmind.h"
#include "resolver/route/geo_rank.h"
#include "resolver/route/geo_watch.h"
#include "resolver/route/route.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static uint32_t seed = 20261125;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

#define REGION(name, n, location)                               \
    "  - { name: " name ", peer: 192.0.2." n ":8443, " location \
    " stamps: [{name: s, ipv4: [192.0.2." n "]}] }\n"
#define HEAD "version: 1\ndomain: example.io\nregions:\n"
#define TAIL                                                                             \
    "name_servers: [s.virginia]\nregistries:\n  - { name: contoso, replicas: [{region: " \
    "virginia}, {region: ireland}, "                                                     \
    "{region: singapore}] }\n"
#define REGIONS                                            \
    REGION("virginia", "1", "location: \"38.95,-77.45\",") \
    REGION("ireland", "2", "location: \"53.35,-6.26\",")   \
    REGION("singapore", "3", "location: \"1.35,103.82\",")

static struct topology *topology_with(const char *regions, const char *routing)
{
    char text[4096];
    snprintf(text, sizeof text, HEAD "%s" TAIL "routing: { %s }\n", regions, routing);
    return fixture_parse(text);
}

// ---- distances ----

static double exact_km(double lat1, double lon1, double lat2, double lon2)
{
    const double r = 3.14159265358979323846 / 180;
    double a = sin((lat2 - lat1) * r / 2), b = sin((lon2 - lon1) * r / 2);
    double h = a * a + cos(lat1 * r) * cos(lat2 * r) * b * b;
    return 2 * 6371 * asin(sqrt(h < 1 ? h : 1));
}

START_TEST(distances_are_right_to_a_kilometre)
{
    static struct geo_globe g;
    geo_globe_init(&g);
    for (int i = 0; i < 20000; i++) {
        int32_t p[4] = {(int32_t)rnd(1800001) - 900000, (int32_t)rnd(3600001) - 1800000};
        bool near = rnd(2);
        p[2] = near ? p[0] + (int32_t)rnd(2000) - 1000 : (int32_t)rnd(1800001) - 900000;
        p[3] = near ? p[1] + (int32_t)rnd(2000) - 1000 : (int32_t)rnd(3600001) - 1800000;
        for (int k = 0; k < 4; k++) {
            int32_t most = k % 2 ? 1800000 : 900000;
            p[k] = p[k] > most ? most : p[k] < -most ? -most : p[k];
        }
        struct geo_point a = geo_point_at(p[0], p[1]), b = geo_point_at(p[2], p[3]);
        double want = exact_km(p[0] / 1e4, p[1] / 1e4, p[2] / 1e4, p[3] / 1e4);
        ck_assert_msg(fabs(geo_km(&g, &a, &b) - want) < 0.6, "%d,%d to %d,%d: %u, not %f", p[0],
                      p[1], p[2], p[3], geo_km(&g, &a, &b), want);
        ck_assert_uint_eq(geo_km(&g, &a, &b), geo_km(&g, &b, &a));
        ck_assert_uint_eq(geo_km(&g, &a, &a), 0);
    }
    struct geo_point north = geo_point_at(900000, 0), south = geo_point_at(-900000, 1234567);
    ck_assert_uint_eq(geo_km(&g, &north, &south), 20015);
}
END_TEST

START_TEST(tiers_hold_what_is_within_the_margin_of_their_nearest)
{
    struct geo_ranks r;
    ck_assert_int_eq(geo_ranks_init(&r), 0);
    struct geo_measure m[] = {{4, 30}, {1, 10}, {0, 15}, {2, 16}, {3, 21}, {5, 100}};
    ck_assert_uint_eq(geo_rank(&r, GEO_LATENCY, m, 6, 5), 1);
    // 10 15 | 16 21 | 30 | 100
    ck_assert_mem_eq(r.list[0].order, ((uint8_t[]){0, 1, 2, 3, 4, 5}), 6);
    ck_assert_uint_eq(r.list[0].tiers, 1 | 4 | 16 | 32);
    struct geo_measure same[] = {{1, 11}, {0, 16}, {3, 40}, {2, 40}, {4, 1000}, {5, 2000}},
                       other[] = {{1, 1}};
    ck_assert_uint_eq(geo_rank(&r, GEO_LATENCY, same, 6, 5), 1);
    ck_assert_uint_eq(geo_rank(&r, GEO_MAXMIND, same, 6, 5), 2);
    ck_assert_uint_eq(geo_rank(&r, GEO_LATENCY, other, 1, 5), 3);
    geo_ranks_done(&r);
}
END_TEST

// ---- the latency file ----

START_TEST(good_lines_are_read)
{
    static const char text[] =
        "network,region,latency_ms\r\n# measured\n\n198.51.100.0/24,ireland,12.5\n"
        "198.51.100.0/24,virginia,80\r\n2001:db8::/32,ireland,0.125\n192.0.2.7,virginia,60000\n"
        "10.0.0.0/8,mars,3\n0.0.0.0/0,singapore,59999.999";
    struct topology *t = topology_with(REGIONS, "");
    struct geo_latencies l;
    ck_assert_int_eq(geo_latency_parse(text, sizeof text - 1, "ms.csv", t, NULL, &l), 0);
    ck_assert_uint_eq(l.n, 5);
    ck_assert_uint_eq(l.n_unknown, 1);
    ck_assert_uint_eq(l.unknown_line, 8);
    ck_assert_uint_eq(l.rows[0].us, 59999999);
    ck_assert_uint_eq(l.rows[0].net.bits, 96);
    ck_assert_uint_eq(l.rows[1].us, 60000000);
    ck_assert_uint_eq(l.rows[1].net.bits, 128);
    ck_assert(l.rows[2].region == 0 && l.rows[2].us == 80000 && l.rows[2].line == 5);
    ck_assert(l.rows[3].region == 1 && l.rows[3].us == 12500 && l.rows[3].line == 4);
    ck_assert(l.rows[4].us == 125 && l.rows[4].net.bits == 32);
    geo_latencies_done(&l);
    ck_assert_int_eq(geo_latency_parse("", 0, "ms.csv", t, NULL, &l), 0);
    ck_assert_uint_eq(l.n, 0);
    snapshot_unref(t);
}
END_TEST

START_TEST(bad_lines_are_told_each)
{
    static const char *const bad[] = {
        "198.51.100.0/24",
        "198.51.100.0/24,ireland",
        "198.51.100.0/24,ireland,",
        "198.51.100.0/24,ireland,1,2",
        "198.51.100.1/24,ireland,1",
        "198.51.100.0/33,ireland,1",
        "nowhere,ireland,1",
        ",ireland,1",
        "198.51.100.0/24,,1",
        "198.51.100.0/24,Ireland,1",
        "198.51.100.0/24, ireland,1",
        "198.51.100.0/24,ireland,-1",
        "198.51.100.0/24,ireland,1.",
        "198.51.100.0/24,ireland,1.2345",
        "198.51.100.0/24,ireland,.5",
        "198.51.100.0/24,ireland,60000.001",
        "198.51.100.0/24,ireland,60001",
        "198.51.100.0/24,ireland,99999999999999999999",
        "198.51.100.0/24,ireland,1e3",
        "198.51.100.0/24,ireland,1 ",
        "network,region,latency_ms", // not on the first line
    };
    struct topology *t = topology_with(REGIONS, "");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_BUF struct buf b;
        struct diag d;
        struct geo_latencies l;
        diag_init(&d);
        buf_init(&b, 4096);
        buf_printf(&b, "# first\n192.0.2.0/24,virginia,1\n%s\n", bad[i]);
        ck_assert_msg(geo_latency_parse(buf_cstr(&b), b.n, "ms.csv", t, &d, &l) == ERR_INVAL, "%s",
                      bad[i]);
        ck_assert_uint_eq(diag_count(&d), 1);
        ck_assert_msg(!strncmp(d.lines[0], "ms.csv:3: ", 10), "%s", d.lines[0]);
        diag_done(&d);
    }
    static const char twice[] =
        "192.0.2.0/24,virginia,1\n192.0.2.0/24,ireland,1\n192.0.2.0/24,virginia,2\n",
                      nul[] = "192.0.2.0/24,virginia,1\0\n";
    struct geo_latencies l;
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(geo_latency_parse(twice, sizeof twice - 1, "ms.csv", t, &d, &l), ERR_INVAL);
    ck_assert_str_eq(d.lines[0], "ms.csv:3: 192.0.2.0/24 and virginia stand on line 1 already");
    ck_assert_int_eq(geo_latency_parse(nul, sizeof nul - 1, "ms.csv", t, &d, &l), ERR_INVAL);
    diag_done(&d);
    snapshot_unref(t);
}
END_TEST

// ---- MaxMind ----

struct expected {
    const char *ip;
    // 0: none
    int32_t latitude;
};

START_TEST(places_are_found_as_they_were_written)
{
    static const struct expected rows[] = {
        {"198.51.0.1", 407128},  {"198.51.100.1", 515074},     {"198.51.100.200", 13521},
        {"203.0.113.1", 0},      {"203.0.113.65", -338688},    {"192.0.2.1", 0},
        {"2001:db8::1", 488566}, {"2001:db8:9000::1", 356762}, {"2a00:1450::1", 525200},
        {"fe80::1", 0},
    };
    struct geo_maxmind *m;
    ck_assert_int_eq(geo_maxmind_open(TEST_MMDB, NULL, &m), 0);
    ck_assert_uint_eq(geo_maxmind_built_s(m), 1795000000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip ip = fixture_ip(rows[i].ip);
        struct geo_place p;
        int rc = geo_maxmind_find(m, &ip, &p);
        ck_assert_msg(rc == (rows[i].latitude ? 0 : ERR_NOTFOUND), "%s", rows[i].ip);
        ck_assert_msg(rc || (p.latitude == rows[i].latitude && cidr_contains(&p.net, &ip)), "%s",
                      rows[i].ip);
    }
    geo_maxmind_close(m);
}
END_TEST

static const char *source_of(const struct geo *g, const char *ip, uint8_t *out_first)
{
    struct ip x = fixture_ip(ip);
    const struct geo_ranking *r = geo_lookup(g, &x);
    if (!r)
        return "none";
    *out_first = r->order[0];
    return r->source == GEO_LATENCY ? "latency" : "maxmind";
}

static void write_file(const char *path, const char *text)
{
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0644), 0);
}

static char *temp_folder(void)
{
    static char dir[64];
    snprintf(dir, sizeof dir, "/tmp/test-geo-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    return dir;
}

START_TEST(latency_stands_above_distance)
{
    char *dir = temp_folder(), csv[128], routing[512];
    uint8_t first = 9;
    struct geo *g;
    snprintf(csv, sizeof csv, "%s/ms.csv", dir);
    write_file(
        csv,
        "198.51.0.0/17,singapore,10\n198.51.0.0/17,ireland,30\n2001:db8:8000::/40,virginia,3\n");
    snprintf(routing, sizeof routing, "latency_file: %s, maxmind_file: %s", csv, TEST_MMDB);
    struct topology *t = topology_with(REGIONS, routing);
    ck_assert_int_eq(geo_build(t, NULL, &g), 0);
    ck_assert_str_eq(source_of(g, "198.51.7.1", &first), "latency");
    ck_assert_uint_eq(first, 2);
    // also where MaxMind's network is longer
    ck_assert_str_eq(source_of(g, "198.51.100.1", &first), "latency");
    ck_assert_str_eq(source_of(g, "198.51.200.1", &first), "maxmind"); // New York
    ck_assert_uint_eq(first, 0);
    ck_assert_str_eq(source_of(g, "203.0.113.1", &first), "none");
    ck_assert_str_eq(source_of(g, "203.0.113.65", &first), "maxmind"); // Sydney
    ck_assert_uint_eq(first, 2);
    ck_assert_str_eq(source_of(g, "2001:db8::1", &first), "maxmind"); // Paris
    ck_assert_uint_eq(first, 1);
    ck_assert_str_eq(source_of(g, "2001:db8:8000::1", &first), "latency");
    ck_assert_str_eq(source_of(g, "2002:c633:6401::1", &first), "none"); // IPv4 in IPv6 is no place
    ck_assert_str_eq(source_of(g, "::ffff:192.0.2.1", &first), "none");
    snapshot_unref(g);
    snapshot_unref(t);
    dir_remove_tree(dir);
}
END_TEST

START_TEST(a_view_translates_regions_by_name)
{
    struct topology *t = topology_with(REGIONS, "maxmind_file: " TEST_MMDB);
    struct topology *later = fixture_parse(HEAD REGION("brazil", "4", "") REGION(
        "singapore", "3", "") REGION("virginia", "1", "") "name_servers: [s.virginia]\n");
    struct geo *g;
    struct geo_view v;
    ck_assert_int_eq(geo_build(t, NULL, &g), 0);
    geo_view_set(&v, g, t);
    ck_assert(v.same);
    geo_view_set(&v, g, later);
    ck_assert(!v.same && v.region[0] == 2 && v.region[1] == REGION_NONE && v.region[2] == 1);
    geo_view_set(&v, NULL, t);
    ck_assert_ptr_null(v.geo);
    snapshot_unref(g);
    snapshot_unref(later);
    snapshot_unref(t);
}
END_TEST

START_TEST(routes_follow_what_was_measured)
{
    static const struct {
        const char *client, *chosen, *placed;
        region_set down;
    } rows[] = {
        {"198.51.7.1", "virginia", "distance", 0},
        {"198.51.100.1", "ireland", "distance", 0},
        {"198.51.100.200", "singapore", "distance", 0},
        {"203.0.113.65", "singapore", "distance", 0},
        {"192.0.2.9", "virginia", "order", 0},
        {"198.51.100.1", "virginia", "distance", 2},
        {"198.51.100.1", "singapore", "distance", 3},
    };
    struct topology *t = topology_with(REGIONS, "maxmind_file: " TEST_MMDB);
    const struct catalogue_registry *r = catalogue_find(t->catalogue, "contoso", 7);
    struct geo *g;
    struct geo_view v;
    ck_assert_int_eq(geo_build(t, NULL, &g), 0);
    geo_view_set(&v, g, t);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct health_verdicts *health = fixture_verdicts(t, rows[i].down);
        struct route_context c = {.topology = t, .health = health, .geo = &v};
        struct ip ip = fixture_ip(rows[i].client);
        struct route_client client = client_of_source(&ip);
        struct route all;
        struct route_choice to;
        route_decide(&c, r, &client, &all);
        ck_assert(route_pick(&c, r, &client, &to));
        ck_assert_str_eq(t->regions[to.region].name, rows[i].chosen);
        ck_assert_uint_eq(all.steps[all.chosen].region, to.region);
        ck_assert_str_eq(route_placed_name((enum route_placed)all.steps[all.chosen].placed),
                         rows[i].placed);
        snapshot_unref(health);
    }
    snapshot_unref(g);
    snapshot_unref(t);
}
END_TEST

// Whatever the bytes: built, or refused with a reason.
START_TEST(damaged_databases_are_refused_or_read)
{
    char *dir = temp_folder(), path[128], routing[256];
    struct buf whole AUTO_BUF;
    unsigned refused = 0;
    buf_init(&whole, 0);
    ck_assert_int_eq(file_read(TEST_MMDB, 1 << 20, &whole), 0);
    snprintf(path, sizeof path, "%s/x.mmdb", dir);
    snprintf(routing, sizeof routing, "maxmind_file: %s", path);
    struct topology *t = topology_with(REGIONS, routing);
    for (unsigned i = 0; i < 1500; i++) {
        char *copy = mem_alloc(whole.n);
        size_t n = i < 300 ? rnd((uint32_t)whole.n + 1) : whole.n;
        memcpy(copy, whole.p, whole.n);
        for (unsigned k = i < 300 ? 0 : 1 + rnd(8); k; k--)
            copy[rnd((uint32_t)whole.n)] = (char)rnd(256);
        ck_assert_int_eq(file_write_atomic(path, copy, n, 0644), 0);
        free(copy);
        struct diag d;
        struct geo *g = NULL;
        diag_init(&d);
        int rc = geo_build(t, &d, &g);
        ck_assert(!rc == !!g);
        ck_assert(!rc || diag_count(&d));
        refused += rc != 0;
        snapshot_unref(g);
        diag_done(&d);
    }
    ck_assert_msg(refused > 200, "%u", refused);
    snapshot_unref(t);
    dir_remove_tree(dir);
}
END_TEST

START_TEST(no_memory_is_said)
{
    char *dir = temp_folder(), csv[128], routing[512];
    snprintf(csv, sizeof csv, "%s/ms.csv", dir);
    write_file(csv, "198.51.0.0/17,singapore,10\n");
    snprintf(routing, sizeof routing, "latency_file: %s, maxmind_file: %s", csv, TEST_MMDB);
    struct topology *t = topology_with(REGIONS, routing);
    bool done = false;
    for (int at = 1; !done; at++) {
        struct geo *g = NULL;
        mem_fault_after(at);
        int rc = geo_build(t, NULL, &g);
        done = !mem_fault_hits();
        mem_fault_after(0);
        ck_assert_msg(done ? rc == 0 : rc == ERR_NOMEM, "allocation %d: %s", at, err_text(rc));
        snapshot_unref(g);
    }
    snapshot_unref(t);
    dir_remove_tree(dir);
}
END_TEST

// ---- kept up ----

static size_t networks_now(struct geo_watch *w)
{
    struct geo *g = snapshot_get(geo_watch_cell(w));
    size_t n = g ? g->n_latency : 0;
    snapshot_unref(g);
    return n;
}

static void wait_for(struct geo_watch *w, size_t networks, bool error)
{
    char text[256];
    for (int i = 0; i < 2000; i++) {
        geo_watch_error(w, text, sizeof text);
        if (networks_now(w) == networks && !*text == !error)
            return;
        usleep(5000);
    }
    ck_abort_msg("%zu networks, error \"%s\"", networks_now(w), text);
}

START_TEST(files_and_topology_are_watched)
{
    char *dir = temp_folder(), csv[128], routing[512], text[256];
    struct snapshot cell;
    struct geo_watch *w;
    snprintf(csv, sizeof csv, "%s/ms.csv", dir);
    snprintf(routing, sizeof routing, "latency_file: %s", csv);
    write_file(csv, "198.51.0.0/17,singapore,10\n");
    snapshot_init(&cell);
    snapshot_publish(&cell, topology_with(REGIONS, routing));
    ck_assert_int_eq(geo_watch_start(&cell, 20, &w), 0);
    ck_assert_uint_eq(networks_now(w), 1); // before it returns
    write_file(csv, "198.51.0.0/17,singapore,10\n203.0.113.0/24,ireland,1\n");
    wait_for(w, 2, false);
    write_file(csv, "198.51.0.0/17,singapore,10\nrubbish\n"); // kept, and told with the line
    wait_for(w, 2, true);
    geo_watch_error(w, text, sizeof text);
    ck_assert_msg(strstr(text, "ms.csv:2: expected"), "%s", text);
    ck_assert_int_eq(unlink(csv), 0);
    wait_for(w, 2, true);
    write_file(csv,
               "203.0.113.0/24,ireland,1\n203.0.112.0/24,ireland,1\n203.0.111.0/24,ireland,1\n");
    wait_for(w, 3, false);
    snapshot_publish(&cell, topology_with(REGIONS, "")); // the operator takes it out
    wait_for(w, 0, false);
    geo_watch_stop(w);
    snapshot_done(&cell);
    dir_remove_tree(dir);
}
END_TEST

START_TEST(at_the_start_a_bad_file_does_not_spoil_the_other)
{
    struct snapshot cell;
    struct geo_watch *w;
    char text[256];
    snapshot_init(&cell);
    snapshot_publish(
        &cell, topology_with(REGIONS, "latency_file: /nowhere/ms.csv, maxmind_file: " TEST_MMDB));
    ck_assert_int_eq(geo_watch_start(&cell, 20, &w), 0);
    struct geo *g = snapshot_get(geo_watch_cell(w));
    ck_assert_ptr_nonnull(g);
    ck_assert(g->n_maxmind > 0 && !g->n_latency);
    snapshot_unref(g);
    geo_watch_error(w, text, sizeof text);
    ck_assert_msg(strstr(text, "/nowhere/ms.csv"), "%s", text);
    geo_watch_stop(w);
    snapshot_done(&cell);
}
END_TEST

CHECK_MAIN("resolver/geo", distances_are_right_to_a_kilometre,
           tiers_hold_what_is_within_the_margin_of_their_nearest, good_lines_are_read,
           bad_lines_are_told_each, places_are_found_as_they_were_written,
           latency_stands_above_distance, a_view_translates_regions_by_name,
           routes_follow_what_was_measured, damaged_databases_are_refused_or_read,
           no_memory_is_said, files_and_topology_are_watched,
           at_the_start_a_bad_file_does_not_spoil_the_other)
