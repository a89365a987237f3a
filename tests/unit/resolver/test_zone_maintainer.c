// SPDX-License-Identifier: Apache-2.0
// resolver/zone/zone_maintainer: what leaves fe.D alone costs no zone, no file, no version and no
// message; counted.
#include "resolver/zone/zone_maintainer.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/frontend.h"
#include "control/changer.h"
#include "resolver/zone/zone.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define N_CHANGES 1000

struct lab {
    char dir[40];
    struct snapshot topology, frontend;
    struct zone_maintainer *zone_maintainer;
    _Atomic int n_builds;
    // where notifications arrive
    int secondary;
    unsigned port;
};

static int count_build(void *ctx, const struct topology *t, const struct zone *last, int64_t now_s,
                       struct zone **out, int64_t *out_again_s)
{
    *out_again_s = 0;
    int rc = zone_frontend(t, last, now_s, out);
    atomic_fetch_add(&((struct lab *)ctx)->n_builds, 1);
    return rc;
}

static struct topology *document(const struct lab *lab, unsigned version, unsigned address,
                                 const char *more)
{
    char text[1000];
    snprintf(text, sizeof text,
             "version: %u\ndomain: example.io\nregions:\n  - {name: eastus, stamps: [{name: eus-1, "
             "ipv4: "
             "[192.0.2.%u]}]}\nname_servers: [eus-1.eastus]\ntransfer: {allow: [127.0.0.1], "
             "notify: [{address: "
             "'127.0.0.1:%u'}]}\n%s",
             version, address, lab->port, more);
    return fixture_parse(text);
}

static void setup(struct lab *lab)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    memset(lab, 0, sizeof *lab);
    snapshot_init(&lab->topology);
    snapshot_init(&lab->frontend);
    strcpy(lab->dir, "/tmp/zone_maintainer.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(lab->dir));
    lab->secondary = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(lab->secondary, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(getsockname(lab->secondary, (struct sockaddr *)&at, &n), 0);
    lab->port = ntohs(at.sin_port);
}

static void teardown(struct lab *lab)
{
    zone_maintainer_stop(lab->zone_maintainer);
    close(lab->secondary);
    snapshot_done(&lab->frontend);
    snapshot_done(&lab->topology);
    dir_remove_tree(lab->dir);
}

static void start(struct lab *lab)
{
    const struct zone_maintainer_options o = {.topology = &lab->topology,
                                              .frontend = &lab->frontend,
                                              .zones_dir = lab->dir,
                                              .tsig_dir = lab->dir,
                                              .builder = {count_build, lab}};
    ck_assert_int_eq(zone_maintainer_start(&o, &lab->zone_maintainer), 0);
}

static void put(struct lab *lab, struct topology *t)
{
    snapshot_publish(&lab->topology, t);
    zone_maintainer_poke(lab->zone_maintainer);
}

static int count_files(const struct lab *lab)
{
    DIR *d = opendir(lab->dir);
    int n = 0;
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

// The next message; it is answered. Returns the serial in it.
static uint32_t told(struct lab *lab)
{
    uint8_t p[1024];
    struct sockaddr_in from;
    socklen_t from_n = sizeof from;
    ldns_pkt *pkt = NULL;
    ck_assert_int_eq(poll(&(struct pollfd){.fd = lab->secondary, .events = POLLIN}, 1, 10000), 1);
    ssize_t n = recvfrom(lab->secondary, p, sizeof p, 0, (struct sockaddr *)&from, &from_n);
    ck_assert_int_gt(n, 12);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, p, (size_t)n), LDNS_STATUS_OK);
    ck_assert_int_eq(ldns_pkt_get_opcode(pkt), LDNS_PACKET_NOTIFY);
    const ldns_rr *soa = ldns_rr_list_rr(ldns_pkt_answer(pkt), 0);
    ck_assert_ptr_nonnull(soa);
    uint32_t serial = ldns_rdf2native_int32(ldns_rr_rdf(soa, 2));
    ldns_pkt_free(pkt);
    p[2] |= 0x80;
    ck_assert_int_eq(sendto(lab->secondary, p, (size_t)n, 0, (struct sockaddr *)&from, from_n), n);
    return serial;
}

// besides the cell and ours, the zone maintainer has a reference
static void wait_until_seen(const struct topology *t)
{
    for (int i = 0; i < 2000 && snapshot_refs(t) != 3; i++)
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    ck_assert_int_eq(snapshot_refs(t), 3);
}

static void wait_for_builds(struct lab *lab, int n)
{
    for (int i = 0; i < 2000 && atomic_load(&lab->n_builds) < n; i++)
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    ck_assert_int_eq(atomic_load(&lab->n_builds), n);
}

static struct topology *changed(struct changer *c, const struct topology *t, unsigned version)
{
    char text[200];
    struct topology *next = NULL;
    int n = snprintf(text, sizeof text,
                     "version: %u\nregistries: [{name: tenant%u, replicas: [{region: eastus}]}]\n",
                     version, version % 40);
    ck_assert_int_eq(changer_apply(c, t, text, (size_t)n, "c", 1, NULL, &next), 0);
    return next;
}

static void expect(struct lab *lab, int builds, int files, uint32_t serial, size_t past)
{
    struct frontend *f = snapshot_get(&lab->frontend);
    ck_assert_int_eq(atomic_load(&lab->n_builds), builds);
    ck_assert_int_eq(count_files(lab), files);
    ck_assert_uint_eq(f->history->zone->serial, serial);
    ck_assert_uint_eq(f->history->n_past, past);
    snapshot_unref(f);
}

START_TEST(changes_of_registries_cost_nothing)
{
    struct lab lab;
    struct changer *c = changer_new();
    setup(&lab);
    struct topology *t = document(&lab, 1, 1, ""), *early = NULL;
    snapshot_publish(&lab.topology, snapshot_ref(t));
    start(&lab);
    ck_assert_uint_eq(told(&lab), 1);
    expect(&lab, 1, 1, 1, 0);
    for (unsigned v = 2; v < 2 + N_CHANGES; v++) {
        struct topology *next = changed(c, t, v);
        snapshot_unref(t);
        t = next;
        if (v == 2)
            early = snapshot_ref(t);
        put(&lab, snapshot_ref(t));
        if (v % 100 == 0)
            wait_until_seen(t); // that they come in one go is not what this is about
    }
    wait_until_seen(t);
    expect(&lab, 1, 1, 1, 0);
    ck_assert_uint_eq(snapshot_generation(&lab.frontend), 1);
    ck_assert_int_eq(snapshot_refs(early), 1); // an old version is not held
    snapshot_unref(early);

    // A whole document of the same content, by its pin: one look at it, and no more.
    char hex[2 * SHA256_BYTES + 1], pin[160];
    hex_format(t->frame->serial.content, SHA256_BYTES, hex);
    snprintf(pin, sizeof pin, "zone_serial: {serial: 1, content: %s}\nhealth: {interval: 9s}\n",
             hex);
    snapshot_unref(t);
    t = document(&lab, 2000, 1, pin);
    put(&lab, snapshot_ref(t));
    wait_for_builds(&lab, 2); // while it looks it has a reference too
    wait_until_seen(t);
    expect(&lab, 2, 1, 1, 0);

    // What does change the zone is told, and is the first to be.
    snapshot_unref(t);
    t = document(&lab, 2001, 2, pin);
    put(&lab, snapshot_ref(t));
    ck_assert_uint_eq(told(&lab), 2001);
    expect(&lab, 3, 2, 2001, 1);
    snapshot_unref(t);
    changer_free(c);
    teardown(&lab);
}
END_TEST

CHECK_MAIN("resolver/zone_maintainer", changes_of_registries_cost_nothing)
