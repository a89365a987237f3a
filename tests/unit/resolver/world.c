// SPDX-License-Identifier: Apache-2.0
// Worlds at random; see world.h.
#include "tests/unit/resolver/world.h"

#include "base/bytes.h"
#include "base/fd.h"
#include "base/mem.h"
#include "resolver/route/geo_build.h"
#include "tests/unit/resolver/fixture.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t state;
static int family; // that networks are of: 4, 6, or 0 for both

void world_seed(uint32_t seed)
{
    state = seed;
}

uint32_t world_rnd(uint32_t n) // splitmix64
{
    uint64_t x = state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((x ^ x >> 31) >> 32) % n;
}

#define rnd world_rnd

// ---- addresses ----

static void set_bit(struct ip *ip, unsigned at, bool on)
{
    ip->b[at / 8] = (uint8_t)((ip->b[at / 8] & ~(0x80 >> at % 8)) | (on ? 0x80 >> at % 8 : 0));
}

struct cidr world_cut(const struct ip *ip, uint8_t bits)
{
    struct cidr c = {*ip, bits};
    for (unsigned i = bits; i < 128; i++)
        set_bit(&c.ip, i, false);
    return c;
}

struct ip world_ip_in(const struct cidr *net)
{
    struct ip ip = net->ip;
    unsigned how = rnd(4); // its first, its last, any
    for (unsigned i = net->bits; i < 128; i++)
        set_bit(&ip, i, how > 1 ? rnd(2) : how);
    return ip;
}

struct ip world_ip(void)
{
    static const char *const hot[] = {"198.51.100.77",  "203.0.113.9", "8.8.8.8",
                                      "198.51.64.1",    "2001:db8::1", "2a00:1450:4001::7",
                                      "2001:db8:0:1::", "172.16.5.9",  "fd00:1::5"};
    struct ip ip = fixture_ip(hot[rnd(ARRAY_LEN(hot))]);
    bool v4 = ip_is_v4(&ip);
    // More often near it than far: it must meet others in networks of all lengths.
    struct cidr near = world_cut(&ip, (uint8_t)(v4 ? 96 + 8 + rnd(25) : 16 + rnd(113)));
    return world_ip_in(&near);
}

struct cidr world_net(void)
{
    struct ip ip = world_ip();
    bool v4 = ip_is_v4(&ip);
    for (; family && v4 != (family == 4); v4 = ip_is_v4(&ip))
        ip = world_ip();
    return world_cut(&ip, (uint8_t)(v4 ? 97 + rnd(32) : rnd(3) ? 4 + rnd(61) : 4 + rnd(125)));
}

// ---- topologies ----

// "[r3, r0+r1]" of some or all regions.
static void put_order(struct buf *b, unsigned n_regions, bool all)
{
    uint8_t order[TOPOLOGY_MAX_REGIONS];
    for (unsigned i = 0; i < n_regions; i++)
        order[i] = (uint8_t)i;
    for (unsigned i = n_regions; i > 1; i--) {
        unsigned k = rnd(i);
        uint8_t x = order[i - 1];
        order[i - 1] = order[k];
        order[k] = x;
    }
    unsigned n = all ? n_regions : 1 + rnd(n_regions), tie = rnd(4);
    buf_printf(b, "[r%u", order[0]);
    for (unsigned i = 1; i < n; i++)
        buf_printf(b, "%sr%u", rnd(4) < tie ? "+" : ", ", order[i]);
    buf_str(b, "]");
}

// `lost`: one that is called otherwise, or -1.
static void put_regions(struct buf *b, unsigned n_regions, const char *const *places, bool reversed,
                        int lost)
{
    buf_str(b, "version: 1\ndomain: example.io\nhostmaster: h@example.io\nregions:\n");
    for (unsigned k = 0; k < n_regions; k++) {
        unsigned i = reversed ? n_regions - 1 - k : k;
        buf_printf(b, "  - name: %s%u\n    peer: 10.%u.0.1:8443\n", (int)i == lost ? "gone" : "r",
                   i, i);
        if (places[i])
            buf_printf(b, "    location: \"%s\"\n", places[i]);
        buf_printf(b,
                   "    stamps: [{ name: a, ipv4: [10.%u.0.1] }, { name: b, ipv4: [10.%u.0.2] }]\n",
                   i, i);
    }
    buf_printf(b, "name_servers: [a.%s0]\n", lost == 0 ? "gone" : "r");
}

static void put_registries(struct buf *b, unsigned n_regions)
{
    buf_str(b, "registries:\n");
    for (unsigned j = 0; j < 5; j++) {
        unsigned on = rnd(n_regions), spread = 1 + rnd(5), off = 2 + rnd(6), drained = 2 + rnd(6);
        buf_printf(b, "  - name: regaa%u\n    regional_endpoints: %s\n%s    replicas:\n", j,
                   j < 2 || rnd(2) ? "enabled" : "disabled",
                   rnd(3) ? "" : "    hash: abcdefgh01234567\n");
        for (unsigned i = 0; i < n_regions; i++) {
            static const unsigned weights[] = {100, 100, 100, 50, 1, 0, 0};
            unsigned weight = rnd(4) ? weights[rnd(ARRAY_LEN(weights))] : rnd(101);
            unsigned stamp = rnd(2);
            if (i != on && !rnd(spread))
                continue;
            buf_printf(
                b, "      - { region: r%u, stamp: %c, global_routing: %s, drained: %s, weight: %u",
                i, "ab"[stamp], i == on || rnd(off) ? "true" : "false",
                rnd(drained) ? "false" : "true", weight);
            if (!rnd(3)) // it has moved, or is to
                buf_printf(b, ", stamp_was: %c, stamp_since: \"%s\"", "ba"[stamp],
                           rnd(2) ? "2001-01-01T00:00:00Z" : "2126-01-01T00:00:00Z");
            buf_str(b, " }\n");
        }
    }
}

static void put_routing(struct buf *b, unsigned n_regions, const char *files)
{
    struct cidr seen[8];
    unsigned n = rnd(9);
    char text[CIDR_TEXT_SIZE];
    buf_str(b, "routing:\n  order: ");
    put_order(b, n_regions, rnd(2));
    buf_printf(b, "\n%s", files);
    if (n)
        buf_str(b, "  overrides:\n");
    for (unsigned i = 0, k; i < n; i++) {
        seen[i] = world_net();
        for (k = 0; memcmp(&seen[k], &seen[i], sizeof seen[k]); k++)
            ;
        if (k < i) {
            seen[i].bits = 0; // there can be one rule for each only
            continue;
        }
        buf_printf(b, "    - { clients: \"%s\", order: ", cidr_format(&seen[i], text));
        put_order(b, n_regions, false);
        buf_str(b, " }\n");
    }
}

static void put_private(struct buf *b, const struct topology *without)
{
    const struct registry *r = topology_registry(without, "regaa0");
    buf_str(b, "views: [{ name: corp, sources: [10.9.0.0/16] }]\nprivate_endpoints:\n"
               "  - { name: pe, registry: regaa0, view: corp, addresses: { registry: 10.99.0.1");
    for (size_t i = 0; i < r->n_replicas; i++) // what is left out goes on to the public frontend
        if (rnd(2))
            buf_printf(b, ", registry_%s: 10.%u.0.1", without->regions[r->replicas[i].region].name,
                       100u + r->replicas[i].region);
    buf_str(b, " } }\n");
}

// ---- files ----

static void write_latencies(const char *dir, unsigned n_regions)
{
    AUTO_BUF struct buf b;
    struct cidr seen[24];
    char text[CIDR_TEXT_SIZE], path[256];
    buf_init(&b, 1 << 20);
    for (unsigned i = 0, k, n = 1 + rnd(24); i < n; i++) {
        seen[i] = world_net();
        for (k = 0; memcmp(&seen[k], &seen[i], sizeof seen[k]); k++)
            ;
        for (unsigned r = 0; r < n_regions && k == i; r++)
            if (rnd(4))
                buf_printf(&b, "%s,r%u,%u.%u\n", cidr_format(&seen[i], text), r, rnd(30),
                           rnd(2) * 5);
    }
    snprintf(path, sizeof path, "%s/ms.csv", dir);
    ck_assert_int_eq(file_write_atomic(path, buf_cstr(&b), b.n, 0600), 0);
}

static void write_places(const char *dir)
{
    AUTO_BUF struct buf b;
    char text[CIDR_TEXT_SIZE], path[256], command[1024];
    buf_init(&b, 1 << 20);
    for (unsigned i = 0, n = 1 + rnd(20); i < n; i++) {
        struct cidr net = world_net();
        buf_printf(&b, "%s ", cidr_format(&net, text));
        if (i == 0 || rnd(5))
            buf_printf(&b, "%d.25 %d.5\n", (int)rnd(179) - 89, (int)rnd(359) - 179);
        else
            buf_str(&b, "-\n");
    }
    snprintf(path, sizeof path, "%s/places.txt", dir);
    ck_assert_int_eq(file_write_atomic(path, buf_cstr(&b), b.n, 0600), 0);
    snprintf(command, sizeof command, "%s %s/places.mmdb %s", TEST_MMDB_PY, dir, path);
    ck_assert_int_eq(system(command), 0);
}

// ---- the whole ----

static void measure(struct world *w, unsigned n_regions, const char *const *places,
                    const char *files, bool older)
{
    AUTO_BUF struct buf b;
    struct topology *t = w->t;
    struct diag d;
    buf_init(&b, 1 << 20);
    if (older) { // compiled for that one; the new one is in force already
        w->lost = rnd(2);
        put_regions(&b, n_regions, places, rnd(4), w->lost ? (int)rnd(n_regions) : -1);
        buf_printf(&b, "routing:\n%s", files);
        t = fixture_parse(buf_cstr(&b));
    }
    diag_init(&d);
    int rc = geo_build(t, &d, &w->geo);
    ck_assert_msg(!rc, "%s", diag_count(&d) ? d.lines[0] : "?");
    diag_done(&d);
    if (older)
        snapshot_unref(t);
}

void world_make(struct world *w)
{
    static const char *const all_places[] = {"38.95,-77.45",  "53.35,-6.26", "1.35,103.82",
                                             "-33.87,151.21", "52.52,13.4",  "48.86,2.35",
                                             "50.1,8.7",      NULL};
    const char *places[8];
    AUTO_BUF struct buf b;
    char files[512] = "", dir[] = "/tmp/world-XXXXXX";
    unsigned n_regions = 1 + rnd(8), n = 0;
    bool latency = rnd(3), maxmind = rnd(2);
    memset(w, 0, sizeof *w);
    family = rnd(6) ? 0 : rnd(2) ? 4 : 6;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    w->dir = strdup(dir);
    for (unsigned i = 0; i < n_regions; i++)
        places[i] = i ? all_places[rnd(ARRAY_LEN(all_places))] : all_places[rnd(7)];
    if (latency) {
        n +=
            (unsigned)snprintf(files, sizeof files,
                               "  latency_file: %s/ms.csv\n  latency_margin: %ums\n", dir, rnd(12));
        write_latencies(dir, n_regions);
    }
    if (maxmind) {
        snprintf(files + n, sizeof files - n,
                 "  maxmind_file: %s/places.mmdb\n  distance_margin_km: %u\n", dir, rnd(3) * 700);
        write_places(dir);
    }
    buf_init(&b, 1 << 20);
    put_regions(&b, n_regions, places, false, -1);
    put_registries(&b, n_regions);
    put_routing(&b, n_regions, files);
    w->t = fixture_parse(buf_cstr(&b));
    if (rnd(2)) {
        put_private(&b, w->t);
        snapshot_unref(w->t);
        w->t = fixture_parse(buf_cstr(&b));
    }
    if (latency || maxmind)
        measure(w, n_regions, places, files, rnd(2));
    geo_view_set(&w->view, w->geo, w->t);
    family = 0; // clients are of both
}

void world_map(struct world *w)
{
    health_map_fill(&w->map, w->verdicts, w->t);
}

static void except(struct world *w, size_t at)
{
    static const char *const labels[] = {"",       "regaa0", "regaa1", "regaa0-abcdefgh01234567",
                                         "regaa2", "regaa3", "nobody0"};
    struct health_exception *e = &w->exceptions[at];
    e->kind = (enum health_exception_kind)rnd(HEALTH_FORCED);
    snprintf(e->region, sizeof e->region, "r%u", rnd(9)); // there may be no such region
    snprintf(e->label, sizeof e->label, "%s", labels[rnd(ARRAY_LEN(labels))]);
}

void world_verdicts(struct world *w)
{
    unsigned bad = rnd(5);
    snapshot_unref(w->verdicts);
    w->verdicts = NULL;
    if (rnd(12)) {
        w->verdicts = fixture_verdicts(w->t, 0);
        struct health_target *list = (struct health_target *)w->verdicts->targets;
        for (size_t i = 0; i < w->verdicts->n_targets; i++) {
            list[i].up = rnd(4) >= bad;
            list[i].is_short = rnd(5) < bad / 2;
            list[i].force = rnd(6) ? HEALTH_AUTO : rnd(2) ? HEALTH_FORCE_UP : HEALTH_FORCE_DOWN;
            list[i].headroom =
                (uint8_t)(rnd(2) ? HEALTH_HEADROOM_FULL : rnd(HEALTH_HEADROOM_FULL + 1));
        }
        w->verdicts->n_exceptions = rnd(2) ? 0 : rnd(WORLD_EXCEPTIONS);
        w->verdicts->exceptions = w->exceptions;
        for (size_t i = 0; i < w->verdicts->n_exceptions; i++)
            except(w, i);
    }
    world_map(w);
}

void world_done(struct world *w)
{
    dir_remove_tree(w->dir);
    free(w->dir);
    snapshot_unref(w->verdicts);
    snapshot_unref(w->geo);
    snapshot_unref(w->t);
}
