// SPDX-License-Identifier: Apache-2.0
// resolver/transfer, zone_history, zone_file and zone_maintainer: what a secondary ends up with,
// message by message, is the zone; who may not has nothing; versions outlive the process.
#include "resolver/answer/transfer.h"

#include "base/err.h"
#include "base/fd.h"
#include "resolver/packet/wire.h"
#include "resolver/zone/zone_file.h"
#include "resolver/zone/zone_maintainer.h"
#include "tests/support/check_main.h"
#include "tests/support/torture.h"
#include "tests/unit/resolver/fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define T_IXFR 251
#define T_AXFR 252

static char big[200000];

// `n_stamps` stamps of six addresses; the address of the first is the version's.
static struct topology *topology(unsigned version, int n_stamps, const char *more)
{
    size_t n = (size_t)snprintf(
        big, sizeof big,
        "version: %u\ndomain: example.io\nregions:\n  - name: eastus\n    peer: 192.0.2.1:8443\n"
        "    stamps:\n      - { name: eus-1, ipv4: [192.0.2.%u] }\n",
        version, version % 250 + 1);
    for (int i = 0; i < n_stamps; i++)
        n += (size_t)snprintf(
            big + n, sizeof big - n,
            "      - { name: s-%d, ipv4: [10.0.%d.1, 10.0.%d.2, 10.0.%d.3], ipv6: [\"fd00::%x:1\", "
            "\"fd00::%x:2\", \"fd00::%x:3\"] }\n",
            i, i, i, i, i, i, i);
    snprintf(big + n, sizeof big - n,
             "name_servers: [eus-1.eastus]\nregistries: [{ name: contoso, replicas: [{ region: "
             "eastus }] }]\n%s",
             more);
    return fixture_parse(big);
}

static const char allow[] = "transfer: { allow: [192.0.2.0/24] }\n";

static struct zone *zone_of(unsigned version, int n_stamps)
{
    struct topology *t = topology(version, n_stamps, "");
    struct zone *z;
    ck_assert_int_eq(zone_frontend_new(t, version, &z), 0);
    snapshot_unref(t);
    return z;
}

static struct zone_history *history_to(unsigned first, unsigned last, int n_stamps)
{
    struct zone_history *h = NULL;
    for (unsigned v = first; v <= last; v++) {
        struct zone *z = zone_of(v, n_stamps);
        struct zone_history *next;
        ck_assert_int_eq(zone_history_new(z, h, &next), 0);
        snapshot_unref(z);
        snapshot_unref(h);
        h = next;
    }
    return h;
}

static size_t query_of(uint8_t *q, const char *name, uint16_t type, int64_t serial)
{
    size_t n = fixture_query(q, name, type, -1);
    if (serial < 0)
        return n;
    static const uint8_t head[] = {0xc0, 12, 0, T_SOA, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0};
    q[9] = 1;
    memcpy(q + n, head, sizeof head);
    n += sizeof head;
    for (int i = 0; i < 4; i++)
        q[n++] = (uint8_t)(serial >> (24 - 8 * i));
    memset(q + n, 0, 16);
    return n + 16;
}

struct got { // a transfer as a secondary sees it
    ldns_rr_list *rrs;
    int rcode, n_messages;
    bool failed;
};

static struct got transfer(const struct answer_context *c, const char *name, uint16_t type,
                           int64_t serial)
{
    static uint8_t out[ANSWER_TCP_MAX];
    uint8_t q[512];
    struct got g = {.rrs = ldns_rr_list_new()};
    struct transfer *x;
    struct answer_info info;
    size_t n = query_of(q, name, type, serial), len;
    ck_assert_uint_eq(answer_packet(c, q, n, out, sizeof out, &info), 0);
    ck_assert(info.transfer);
    ck_assert_int_eq(transfer_begin(c, q, n, false, &x), 0);
    while ((len = transfer_next(x, out, sizeof out, c->now_s))) {
        ldns_pkt *pkt = NULL;
        ck_assert_int_eq(ldns_wire2pkt(&pkt, out, len), LDNS_STATUS_OK);
        ck_assert_uint_eq(ldns_pkt_id(pkt), 0x1234);
        ck_assert_uint_eq(ldns_pkt_qdcount(pkt), g.n_messages == 0);
        ck_assert_uint_le(len, 16384);
        if (g.n_messages++ == 0)
            g.rcode = ldns_pkt_get_rcode(pkt);
        ck_assert_int_eq(ldns_pkt_aa(pkt), g.rcode == 0);
        for (size_t i = 0; i < ldns_pkt_ancount(pkt); i++)
            ldns_rr_list_push_rr(g.rrs, ldns_rr_clone(ldns_rr_list_rr(ldns_pkt_answer(pkt), i)));
        ldns_pkt_free(pkt);
    }
    g.failed = transfer_failed(x);
    ck_assert_int_eq(transfer_rcode(x), g.rcode);
    transfer_free(x);
    return g;
}

static uint32_t serial_at(const struct got *g, size_t i)
{
    const ldns_rr *rr = ldns_rr_list_rr(g->rrs, i);
    return ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA ? ldns_rdf2native_int32(ldns_rr_rdf(rr, 2)) : 0;
}

static struct answer_context context(const struct topology *t, const struct zone_history *h)
{
    return (struct answer_context){.topology = t,
                                   .transport = ANSWER_TCP,
                                   .source = fixture_ip("192.0.2.99"),
                                   .history = h,
                                   .frontend = h ? h->zone : NULL,
                                   .now_s = 1700000000};
}

START_TEST(test_axfr_is_the_zone)
{
    struct topology *t = topology(3, 200, allow);
    struct zone_history *h = history_to(1, 3, 200);
    const struct answer_context c = context(t, h);
    struct got g = transfer(&c, "FE.example.io", T_AXFR, -1);
    size_t n = ldns_rr_list_rr_count(g.rrs);
    ck_assert(!g.failed && g.rcode == 0);
    ck_assert_int_gt(g.n_messages, 1);
    ck_assert_uint_eq(n, h->zone->n_rrs + 1);
    ck_assert(serial_at(&g, 0) == 3 && serial_at(&g, n - 1) == 3);
    for (size_t i = 1; i + 1 < n; i++)
        ck_assert_uint_eq(serial_at(&g, i), 0);
    ldns_rr_list_deep_free(g.rrs);
    g = transfer(&c, "fe.example.io", T_IXFR, 77); // ahead of us: as it is
    ck_assert_uint_eq(ldns_rr_list_rr_count(g.rrs), 1);
    ldns_rr_list_deep_free(g.rrs);
    g = transfer(&c, "fe.example.io", T_IXFR, 4294967295); // before us, and not held: all
    ck_assert_uint_eq(ldns_rr_list_rr_count(g.rrs), h->zone->n_rrs + 1);
    ldns_rr_list_deep_free(g.rrs);
    snapshot_unref(h);
    snapshot_unref(t);
}
END_TEST

START_TEST(test_ixfr_from_each_version)
{
    struct topology *t = topology(5, 20, allow);
    struct zone_history *h = history_to(1, 5, 20);
    const struct answer_context c = context(t, h);
    for (uint32_t from = 1; from < 5; from++) {
        struct got g = transfer(&c, "fe.example.io", T_IXFR, from);
        ck_assert_uint_eq(ldns_rr_list_rr_count(g.rrs), 6);
        const uint32_t serials[] = {5, from, 0, 5, 0, 5};
        for (size_t i = 0; i < 6; i++)
            ck_assert_uint_eq(serial_at(&g, i), serials[i]);
        char want[64];
        snprintf(want, sizeof want, "192.0.2.%u", from + 1);
        char *old = ldns_rdf2str(ldns_rr_a_address(ldns_rr_list_rr(g.rrs, 2)));
        char *new = ldns_rdf2str(ldns_rr_a_address(ldns_rr_list_rr(g.rrs, 4)));
        ck_assert_str_eq(old, want);
        ck_assert_str_eq(new, "192.0.2.6");
        free(old);
        free(new);
        ldns_rr_list_deep_free(g.rrs);
    }
    snapshot_unref(h);
    snapshot_unref(t);
}
END_TEST

START_TEST(test_who_is_refused)
{
    static const struct {
        const char *name, *source, *settings;
        int rcode;
    } rows[] = {
        {"fe.example.io", "192.0.2.99", allow, 0},
        {"fe.example.io", "198.51.100.1", allow, DNS_REFUSED},
        {"fe.example.io", "192.0.2.99", "", DNS_REFUSED},
        // not signed
        {"fe.example.io", "192.0.2.99", "transfer: { tsig_keys: [k] }\n", DNS_REFUSED},
        {"example.io", "192.0.2.99", allow, DNS_REFUSED},
        {"eus-1.eastus.fe.example.io", "192.0.2.99", allow, DNS_NOTAUTH},
        {"example.com", "192.0.2.99", allow, DNS_NOTAUTH},
    };
    struct zone_history *h = history_to(1, 2, 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct topology *t = topology(2, 3, rows[i].settings);
        struct answer_context c = context(t, h);
        c.source = fixture_ip(rows[i].source);
        struct got g = transfer(&c, rows[i].name, T_AXFR, -1);
        ck_assert_msg(g.rcode == rows[i].rcode, "%zu: rcode %d", i, g.rcode);
        ck_assert_uint_eq(ldns_rr_list_rr_count(g.rrs), g.rcode ? 0 : h->zone->n_rrs + 1);
        ck_assert_int_eq(g.n_messages, 1);
        ldns_rr_list_deep_free(g.rrs);
        snapshot_unref(t);
    }
    struct topology *t = topology(2, 3, allow);
    const struct answer_context c = context(t, h);
    struct got g = transfer(&c, "fe.example.io", T_IXFR, -1); // without a SOA
    ck_assert_int_eq(g.rcode, DNS_FORMERR);
    ldns_rr_list_deep_free(g.rrs);
    struct transfer *x;
    uint8_t q[512], out[1232];
    size_t n = query_of(q, "fe.example.io", T_AXFR, -1);
    ck_assert_int_eq(transfer_begin(&c, q, n, true, &x), 0); // too many at once
    ck_assert_int_eq(transfer_rcode(x), DNS_SERVFAIL);
    ck_assert_uint_ge(transfer_next(x, out, sizeof out, 0), 12);
    ck_assert_uint_eq(transfer_next(x, out, sizeof out, 0), 0);
    transfer_free(x);
    snapshot_unref(h);
    snapshot_unref(t);
}
END_TEST

// Over UDP: AXFR does not exist, IXFR is answered with the SOA.
START_TEST(test_over_udp)
{
    struct topology *t = topology(2, 3, allow);
    struct zone_history *h = history_to(1, 2, 3);
    struct answer_context c = context(t, h);
    uint8_t q[512], out[1232];
    struct answer_info info;
    c.transport = ANSWER_UDP;
    size_t n = query_of(q, "fe.example.io", T_IXFR, 1);
    ck_assert_uint_gt(answer_packet(&c, q, n, out, sizeof out, &info), 12);
    ck_assert(info.rcode == 0 && !info.transfer && out[7] == 1 && !(out[2] & 2));
    n = query_of(q, "example.io", T_IXFR, 1);
    answer_packet(&c, q, n, out, sizeof out, &info);
    ck_assert_int_eq(info.rcode, DNS_REFUSED);
    n = query_of(q, "fe.example.io", T_AXFR, -1);
    answer_packet(&c, q, n, out, sizeof out, &info);
    ck_assert_int_eq(info.rcode, DNS_REFUSED);
    c.source = fixture_ip("198.51.100.1");
    n = query_of(q, "fe.example.io", T_IXFR, 1);
    answer_packet(&c, q, n, out, sizeof out, &info);
    ck_assert_int_eq(info.rcode, DNS_REFUSED);
    snapshot_unref(h);
    snapshot_unref(t);
}
END_TEST

START_TEST(test_history_is_bounded_and_in_order)
{
    struct zone_history *h = history_to(1, ZONE_HISTORY_MAX + 5, 2), *next;
    ck_assert_uint_eq(h->n_past, ZONE_HISTORY_MAX);
    ck_assert_ptr_nonnull(zone_history_from(h, 5));
    ck_assert_ptr_null(zone_history_from(h, 4));
    ck_assert_ptr_null(zone_history_from(h, h->zone->serial));
    struct zone *older = zone_of(10, 2);
    ck_assert_int_eq(zone_history_new(older, h, &next), 0); // as if the topology had gone back
    ck_assert_uint_eq(next->n_past, 5);                     // 5 to 9: nothing that is not older
    snapshot_unref(next);
    snapshot_unref(older);
    snapshot_unref(h);
    ck_assert(zone_serial_less(1, 2) && !zone_serial_less(2, 1) && !zone_serial_less(2, 2));
    ck_assert(zone_serial_less(4294967295, 0) && !zone_serial_less(0, 4294967295));
}
END_TEST

static int history_one(void *ctx)
{
    struct zone_history *h, *next = NULL;
    struct zone **zones = ctx;
    int rc = zone_history_new(zones[0], NULL, &h);
    if (rc)
        return rc;
    rc = zone_history_new(zones[1], h, &next);
    snapshot_unref(next);
    snapshot_unref(h);
    return rc;
}

START_TEST(test_history_without_memory)
{
    struct zone *zones[] = {zone_of(1, 3), zone_of(2, 3)};
    ck_assert_int_gt(torture(history_one, zones), 3);
    snapshot_unref(zones[0]);
    snapshot_unref(zones[1]);
}
END_TEST

// ---- files ----

static char dir[64];

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/meridian-zones.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

START_TEST(test_files)
{
    struct zone *loaded[ZONE_HISTORY_MAX];
    struct zone_history *h = history_to(1, 4, 3);
    size_t n = 0;
    char path[300];
    make_dir();
    for (size_t i = 0; i < h->n_past; i++)
        ck_assert_int_eq(zone_file_save(dir, h->past[i]), 0);
    ck_assert_int_eq(zone_file_save(dir, h->zone), 0);
    snprintf(path, sizeof path, "%s/fe-9.zone", dir); // damaged
    ck_assert_int_eq(
        file_write_atomic(path, "MZONE\0\0\1 and no more than that, which is not enough", 50, 0600),
        0);
    ck_assert_int_eq(zone_file_load_all(dir, loaded, ZONE_HISTORY_MAX, &n), 0);
    ck_assert_uint_eq(n, 4);
    for (size_t i = 0; i < n; i++) {
        const struct zone *want = i ? h->past[i - 1] : h->zone;
        ck_assert_uint_eq(loaded[i]->serial, 4 - i);
        ck_assert_uint_eq(loaded[i]->n_rrs, want->n_rrs);
        for (size_t k = 0; k < want->n_rrs; k++) {
            ck_assert_int_eq(zone_rr_compare(&loaded[i]->rrs[k], &want->rrs[k]), 0);
            ck_assert_uint_eq(loaded[i]->rrs[k].ttl, want->rrs[k].ttl);
        }
        snapshot_unref(loaded[i]);
    }
    ck_assert_int_eq(zone_file_load_all(dir, loaded, 2, &n), 0); // the newest of more than fit
    ck_assert(n == 2 && loaded[0]->serial == 4 && loaded[1]->serial == 3);
    snapshot_unref(loaded[0]);
    snapshot_unref(loaded[1]);
    snapshot_unref(h);
    h = history_to(3, 4, 3);
    zone_file_prune(dir, h);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(zone_file_load_all(dir, loaded, ZONE_HISTORY_MAX, &n), 0);
    ck_assert_uint_eq(n, 2);
    snapshot_unref(loaded[0]);
    snapshot_unref(loaded[1]);
    snapshot_unref(h);
    dir_remove_tree(dir);
    ck_assert_int_eq(zone_file_load_all(dir, loaded, ZONE_HISTORY_MAX, &n), ERR_NOTFOUND);
}
END_TEST

START_TEST(test_any_damage_is_noticed)
{
    struct zone *z = zone_of(1, 2), *again = NULL;
    struct buf b AUTO_BUF;
    buf_init(&b, 0);
    zone_format(z, &b);
    ck_assert_int_eq(b.err, 0);
    ck_assert_int_eq(zone_parse(b.p, b.n, &again), 0);
    snapshot_unref(again);
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= 0x20;
        ck_assert_int_ne(zone_parse(b.p, b.n, &again), 0);
        b.p[i] ^= 0x20;
        ck_assert_int_ne(zone_parse(b.p, i, &again), 0);
    }
    snapshot_unref(z);
}
END_TEST

// ---- the zone maintainer ----

static struct frontend *wait_for(struct snapshot *cell, uint32_t serial)
{
    for (int i = 0; i < 2000; i++) {
        struct frontend *f = snapshot_get(cell);
        if (f && f->history->zone->serial == serial)
            return f;
        snapshot_unref(f);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    ck_abort_msg("no version %u in ten seconds", serial);
    return NULL;
}

START_TEST(test_keeper)
{
    struct snapshot topology_cell, frontend_cell;
    struct zone_maintainer *k;
    snapshot_init(&topology_cell);
    snapshot_init(&frontend_cell);
    make_dir();
    const struct zone_maintainer_options o = {
        .topology = &topology_cell, .frontend = &frontend_cell, .zones_dir = dir, .tsig_dir = dir};
    snapshot_publish(&topology_cell, topology(1, 10, allow));
    ck_assert_int_eq(zone_maintainer_start(&o, &k), 0);
    struct frontend *f = snapshot_get(&frontend_cell); // there at once
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(f->history->zone->serial, 1);
    snapshot_unref(f);
    snapshot_publish(&topology_cell, topology(2, 10, allow));
    zone_maintainer_poke(k);
    f = wait_for(&frontend_cell, 2);
    ck_assert_ptr_nonnull(zone_history_from(f->history, 1));
    snapshot_unref(f);
    zone_maintainer_stop(k);

    snapshot_publish(&topology_cell, topology(3, 10, allow)); // changed while nobody looked
    ck_assert_int_eq(zone_maintainer_start(&o, &k), 0);
    f = wait_for(&frontend_cell, 3);
    ck_assert(zone_history_from(f->history, 1) && zone_history_from(f->history, 2));
    ck_assert_uint_eq(zone_history_from(f->history, 1)->n_added, 1);
    snapshot_unref(f);
    zone_maintainer_stop(k);
    snapshot_done(&frontend_cell);
    snapshot_done(&topology_cell);
    dir_remove_tree(dir);
}
END_TEST

CHECK_MAIN("resolver/transfer", test_axfr_is_the_zone, test_ixfr_from_each_version,
           test_who_is_refused, test_over_udp, test_history_is_bounded_and_in_order,
           test_history_without_memory, test_files, test_any_damage_is_noticed, test_keeper)
