// SPDX-License-Identifier: Apache-2.0
// resolver/server: real sockets on the loopback, port 0: UDP, TCP, pipelining, half-closed and slow
// clients, IPv6, and a topology swapped while serving. Every read has a limit of its own
// (SO_RCVTIMEO).
#include "resolver/serve/resolver.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "resolver/serve/server_priv.h"
#include "resolver/zone/zone_maintainer.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct rig {
    struct snapshot topology, health;
    struct resolver *r;
    struct endpoint at;
};

static const struct node_dns *settings; // of the next rig; NULL: defaults

// False when the address is not there (no IPv6).
static bool rig_start(struct rig *g, const char *ip, unsigned n_workers)
{
    struct resolver_sockets *s;
    struct endpoint want = {fixture_ip(ip), 0};
    struct diag d;
    diag_init(&d);
    int rc = resolver_bind(&want, 1, n_workers, &d, &s);
    diag_done(&d);
    if (rc)
        return false;
    ck_assert_int_eq(resolver_sockets_endpoint(s, 0, &g->at), 0);
    ck_assert_uint_ne(g->at.port, 0);
    snapshot_init(&g->topology);
    snapshot_init(&g->health);
    snapshot_publish(&g->topology, fixture_topology());
    ck_assert_int_eq(resolver_start(&(struct resolver_options){.topology = &g->topology,
                                                               .health = &g->health,
                                                               .settings = settings},
                                    s, &g->r),
                     0);
    return true;
}

static void rig_stop(struct rig *g)
{
    resolver_stop(g->r);
    snapshot_done(&g->topology);
    snapshot_done(&g->health);
}

static int open_client(const struct endpoint *at, int type)
{
    struct sockaddr_storage sa;
    endpoint_to_sockaddr(at, &sa);
    int fd = socket(sa.ss_family, type, 0);
    struct timeval limit = {20, 0};
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    return fd;
}

static void connect_client(int fd, const struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, n), 0);
}

static int dial(const struct endpoint *at, int type)
{
    int fd = open_client(at, type);
    connect_client(fd, at);
    return fd;
}

static int rcode_of(const uint8_t *p, ssize_t n)
{
    ldns_pkt *pkt;
    ck_assert_int_ge(n, 12);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, p, (size_t)n), LDNS_STATUS_OK);
    int rcode = ldns_pkt_get_rcode(pkt);
    ldns_pkt_free(pkt);
    return rcode;
}

static int ask_udp(const struct endpoint *at, const char *name)
{
    uint8_t q[512], a[4096];
    int fd = dial(at, SOCK_DGRAM);
    size_t n = fixture_query(q, name, T_A, 1232);
    ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
    ssize_t got = recv(fd, a, sizeof a, 0);
    close(fd);
    return rcode_of(a, got);
}

static size_t frame(uint8_t *out, const char *name, uint16_t id)
{
    size_t n = fixture_query(out + 2, name, T_A, -1);
    out[0] = 0;
    out[1] = (uint8_t)n;
    out[2] = (uint8_t)(id >> 8);
    out[3] = (uint8_t)id;
    return n + 2;
}

// Reads one response, checks its id, returns its rcode; -1 at the end.
static int read_frame(int fd, uint16_t id)
{
    uint8_t len[2], a[65535];
    ssize_t n = recv(fd, len, 2, MSG_WAITALL);
    if (n <= 0)
        return -1;
    size_t want = (size_t)len[0] << 8 | len[1];
    ck_assert_int_eq(recv(fd, a, want, MSG_WAITALL), (ssize_t)want);
    ck_assert_uint_eq((unsigned)a[0] << 8 | a[1], id);
    return rcode_of(a, (ssize_t)want);
}

START_TEST(udp_answers)
{
    struct rig g;
    ck_assert(rig_start(&g, "127.0.0.1", 2));
    ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0);
    ck_assert_int_eq(ask_udp(&g.at, "nobody.example.io"), 3);
    ck_assert_int_eq(ask_udp(&g.at, "example.org"), 5);
    struct resolver_stats s;
    resolver_stats_get(g.r, &s);
    ck_assert_uint_eq(s.udp_queries, 3);
    ck_assert(s.noerror == 1 && s.nxdomain == 1 && s.refused == 1);
    rig_stop(&g);
}
END_TEST

// More at once than a batch holds: the socket's own buffer keeps them, each id comes back once.
START_TEST(udp_burst)
{
    struct rig g;
    uint8_t q[512], a[4096];
    bool seen[100] = {false};
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int fd = dial(&g.at, SOCK_DGRAM);
    size_t n = fixture_query(q, "fabrikam.eastus.geo.example.io", T_A, -1);
    for (int i = 0; i < 100; i++) {
        q[0] = 0;
        q[1] = (uint8_t)i;
        ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
    }
    for (int i = 0; i < 100; i++) {
        ssize_t got = recv(fd, a, sizeof a, 0);
        ck_assert_int_eq(rcode_of(a, got), 0);
        ck_assert(a[0] == 0 && a[1] < 100 && !seen[a[1]]);
        seen[a[1]] = true;
    }
    close(fd);
    rig_stop(&g);
}
END_TEST

START_TEST(a_wildcard_listener_answers_from_the_address_asked)
{
    struct rig g;
    ck_assert(rig_start(&g, "0.0.0.0", 1));
    g.at.ip = fixture_ip("127.0.0.7"); // a connected socket takes answers from there only
    ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0);
    rig_stop(&g);
}
END_TEST

START_TEST(ipv6)
{
    struct rig g;
    if (!rig_start(&g, "::1", 1))
        return; // this machine has none
    ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0);
    uint8_t q[256];
    int fd = dial(&g.at, SOCK_STREAM);
    size_t n = frame(q, "nobody.example.io", 9);
    ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
    ck_assert_int_eq(read_frame(fd, 9), 3);
    close(fd);
    rig_stop(&g);
    if (!rig_start(&g, "::", 2))
        return;
    g.at.ip = fixture_ip("::1");
    ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0);
    rig_stop(&g);
}
END_TEST

START_TEST(tcp_pipelined_then_half_closed)
{
    struct rig g;
    uint8_t q[200 * 64];
    size_t n = 0;
    ck_assert(rig_start(&g, "127.0.0.1", 2));
    int fd = dial(&g.at, SOCK_STREAM);
    for (uint16_t i = 0; i < 200; i++)
        n += frame(q + n, i % 2 ? "contoso.example.io" : "nobody.example.io", i);
    ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    for (uint16_t i = 0; i < 200; i++)
        ck_assert_int_eq(read_frame(fd, i), i % 2 ? 0 : 3);
    ck_assert_int_eq(read_frame(fd, 0), -1); // and then it closes
    close(fd);
    rig_stop(&g);
}
END_TEST

START_TEST(tcp_byte_by_byte)
{
    struct rig g;
    uint8_t q[256];
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int slow = dial(&g.at, SOCK_STREAM), on = 1;
    ck_assert_int_eq(setsockopt(slow, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on), 0);
    size_t n = frame(q, "contoso.example.io", 7);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(send(slow, q + i, 1, 0), 1);
        ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0); // others are served meanwhile
    }
    ck_assert_int_eq(read_frame(slow, 7), 0);
    close(slow);
    rig_stop(&g);
}
END_TEST

// Sends without reading until the server stops taking; then reads all of it.
START_TEST(tcp_who_does_not_read_is_not_read_from_and_loses_nothing)
{
    struct rig g;
    uint8_t q[256];
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int fd = dial(&g.at, SOCK_STREAM), small = 16384;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    uint32_t n_sent = 0;
    size_t n = 0, at = 0;
    for (; n_sent < 200000; at = 0) { // bounded whatever the kernel's buffers
        n = frame(q, "contoso.example.io", (uint16_t)n_sent);
        ssize_t w = send(fd, q, n, MSG_DONTWAIT);
        if (w < 0)
            break;
        at = (size_t)w;
        n_sent++;
        if (at < n)
            break;
    }
    ck_assert_uint_lt(n_sent, 200000); // it did push back
    ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0);
    uint32_t n_read = 0;
    bool cut = at && at < n;
    for (; n_read + cut < n_sent; n_read++)
        ck_assert_int_eq(read_frame(fd, (uint16_t)n_read), 0);
    if (cut) {
        ck_assert_int_eq(send(fd, q + at, n - at, 0), (ssize_t)(n - at));
        ck_assert_int_eq(read_frame(fd, (uint16_t)n_read), 0);
    }
    close(fd);
    rig_stop(&g);
}
END_TEST

START_TEST(tcp_nonsense_closes_the_connection)
{
    struct rig g;
    const struct {
        uint8_t b[16];
        size_t n;
    } cases[] = {{{0, 0}, 2}, {{0, 3, 1, 2, 3}, 5}, {{0xff, 0xff}, 2}, {{0, 12, 1, 2, 0x80}, 14}};
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    for (size_t i = 0; i < 4; i++) {
        int fd = dial(&g.at, SOCK_STREAM);
        ck_assert_int_eq(send(fd, cases[i].b, cases[i].n, 0), (ssize_t)cases[i].n);
        ck_assert_int_eq(read_frame(fd, 0), -1);
        ck_assert_int_ne(errno, EAGAIN);
        close(fd);
    }
    rig_stop(&g);
}
END_TEST

static int ask_tcp_from(const struct endpoint *at, const char *source)
{
    uint8_t q[256];
    struct sockaddr_storage sa;
    struct endpoint from = {fixture_ip(source), 0};
    socklen_t n_sa = endpoint_to_sockaddr(&from, &sa);
    int fd = open_client(at, SOCK_STREAM);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, n_sa), 0);
    connect_client(fd, at);
    size_t n = frame(q, "contoso.example.io", 1);
    ck_assert_int_eq(send(fd, q, n, MSG_NOSIGNAL), (ssize_t)n);
    ck_assert_int_eq(read_frame(fd, 1), 0);
    return fd;
}

START_TEST(more_connections_than_allowed_drop_the_one_idle_longest)
{
    struct rig g;
    int fds[70];
    struct node_dns s;
    ck_assert_int_eq(node_dns_defaults(&s), 0);
    s.tcp.connections = 50;
    settings = &s;
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    for (int i = 0; i < 70; i++) {
        char source[20];
        snprintf(source, sizeof source, "127.0.1.%d", 1 + i % 7);
        fds[i] = ask_tcp_from(&g.at, source);
    }
    ck_assert_int_eq(read_frame(fds[0], 0), -1);
    ck_assert_int_eq(read_frame(fds[19], 0), -1);
    struct resolver_stats st;
    resolver_stats_get(g.r, &st);
    ck_assert_uint_eq(st.tcp_open, 50);
    ck_assert_uint_eq(st.tcp_evicted, 20);
    for (int i = 0; i < 70; i++)
        close(fds[i]);
    rig_stop(&g);
}
END_TEST

START_TEST(one_client_has_its_own_limit)
{
    struct rig g;
    int many[20];
    struct node_dns s;
    ck_assert_int_eq(node_dns_defaults(&s), 0);
    s.tcp.per_client = 8;
    settings = &s;
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int other = ask_tcp_from(&g.at, "127.0.1.2");
    for (int i = 0; i < 20; i++)
        many[i] = ask_tcp_from(&g.at, "127.0.1.1");
    ck_assert_int_eq(read_frame(many[0], 0), -1);
    ck_assert_int_eq(read_frame(many[11], 0), -1);
    uint8_t q[256];
    size_t n = frame(q, "contoso.example.io", 7);
    ck_assert_int_eq(send(other, q, n, MSG_NOSIGNAL), (ssize_t)n); // idle longest, but another's
    ck_assert_int_eq(read_frame(other, 7), 0);
    ck_assert_int_eq(send(many[12], q, n, MSG_NOSIGNAL), (ssize_t)n);
    ck_assert_int_eq(read_frame(many[12], 7), 0);
    for (int i = 0; i < 20; i++)
        close(many[i]);
    close(other);
    rig_stop(&g);
}
END_TEST

START_TEST(answers_over_the_rate_are_dropped_or_slipped_unless_a_cookie_is_shown)
{
    struct rig g;
    struct node_dns s;
    uint8_t q[512], a[4096], cookie[24] = "abcdefgh";
    ck_assert_int_eq(node_dns_defaults(&s), 0);
    s.rate_limit.errors = 1;
    s.rate_limit.burst_s = 5;
    s.rate_limit.slip = 3;
    settings = &s;
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int fd = dial(&g.at, SOCK_DGRAM);
    size_t n = fixture_query(q, "example.org", T_A, 1232);
    for (int i = 0; i < 5 + 6; i++) // the burst, then two of six
        ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
    for (int i = 0; i < 7; i++) {
        ck_assert_int_ge(recv(fd, a, sizeof a, 0), 12);
        ck_assert_int_eq(a[2] & 0x02, i < 5 ? 0 : 0x02);
        ck_assert_int_eq(a[3] & 15, 5);
    }
    struct resolver_stats st;
    for (int i = 0; i < 1000; i++) {
        resolver_stats_get(g.r, &st);
        if (st.limited_dropped == 4)
            break;
        usleep(10000);
    }
    ck_assert_uint_eq(st.limited_slipped, 2);
    ck_assert_uint_eq(st.limited_dropped, 4);
    // A cookie is learned from any answer, slipped ones too; who shows it is not limited.
    q[n - 1] = 12;
    memcpy(q + n, "\0\12\0\10", 4);
    memcpy(q + n + 4, cookie, 8);
    ssize_t got = 0;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(send(fd, q, n + 12, 0), (ssize_t)n + 12);
    got = recv(fd, a, sizeof a, 0);
    uint8_t *p = memmem(a, (size_t)got, "\0\12\0\30abcdefgh", 12);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(a[2] & 0x02, 0x02);
    q[n - 1] = 28;
    q[n + 3] = 24;
    memcpy(q + n + 4, p + 4, 24);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(send(fd, q, n + 28, 0), (ssize_t)n + 28);
        ck_assert_int_ge(recv(fd, a, sizeof a, 0), 12);
        ck_assert_int_eq(a[2] & 0x02, 0);
    }
    int tcp = dial(&g.at, SOCK_STREAM); // nor is TCP
    n = frame(q, "example.org", 1);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(send(tcp, q, n, MSG_NOSIGNAL), (ssize_t)n);
        ck_assert_int_eq(read_frame(tcp, 1), 5);
    }
    close(tcp);
    close(fd);
    rig_stop(&g);
}
END_TEST

// A query and a zone's whole transfer, again and again, without reading an answer, until nothing
// more is taken.
static int stuck_stranger(const struct endpoint *at, int i)
{
    uint8_t q[512];
    struct sockaddr_storage sa;
    char source[20];
    snprintf(source, sizeof source, "127.0.1.%d", i);
    struct endpoint from = {fixture_ip(source), 0};
    socklen_t n_sa = endpoint_to_sockaddr(&from, &sa);
    int fd = open_client(at, SOCK_STREAM), small = 4096;
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, n_sa), 0);
    connect_client(fd, at);
    size_t n = frame(q, "contoso.example.io", 1),
           n_zone = fixture_query(q + n + 2, "fe.example.io", 252, -1);
    q[n] = 0;
    q[n + 1] = (uint8_t)n_zone;
    n += 2 + n_zone;
    for (int stuck = 0, k = 0; stuck < 20; k++) { // pushed back for 100 ms
        ck_assert_int_lt(k, 200000);
        ssize_t sent = send(fd, q, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 && (size_t)sent < n)
            break;
        stuck = sent < 0 ? stuck + 1 : 0;
        if (sent < 0)
            clock_sleep_ms(5);
    }
    return fd;
}

static int zone_rcode(const struct endpoint *at)
{
    uint8_t q[512], a[4];
    int fd = dial(at, SOCK_STREAM);
    size_t n = fixture_query(q + 2, "fe.example.io", 252, -1);
    q[0] = 0;
    q[1] = (uint8_t)n;
    ck_assert_int_eq(send(fd, q, n + 2, MSG_NOSIGNAL), (ssize_t)n + 2);
    ck_assert_int_eq(recv(fd, q, 6, MSG_WAITALL), 6);
    memcpy(a, q + 2, 4);
    close(fd);
    return a[3] & 15;
}

struct neighbours { // a server with a zone to transfer
    struct snapshot topology, health, frontend;
    struct resolver *r;
    struct zone_maintainer *k;
    struct endpoint at;
};

static void neighbours_start(struct neighbours *g, const char *transfer, const char *tsig_dir)
{
    char yaml[512];
    struct resolver_sockets *s;
    struct diag d;
    snprintf(yaml, sizeof yaml,
             "version: 8\ndomain: example.io\nregions:\n  - { name: eastus, peer: 192.0.2.1:8443, "
             "stamps: [{ name: "
             "eus-1, ipv4: [192.0.2.1] }] }\nname_servers: [eus-1.eastus]\nregistries: [{ name: "
             "contoso, replicas: "
             "[{ region: eastus }] }]\ntransfer: { %s }\n",
             transfer);
    diag_init(&d);
    snapshot_init(&g->topology);
    snapshot_init(&g->health);
    snapshot_init(&g->frontend);
    snapshot_publish(&g->topology, fixture_parse(yaml));
    g->at = (struct endpoint){fixture_ip("127.0.0.1"), 0};
    const struct zone_maintainer_options ko = {
        .topology = &g->topology, .frontend = &g->frontend, .tsig_dir = tsig_dir};
    const struct resolver_options o = {.topology = &g->topology,
                                       .health = &g->health,
                                       .frontend = &g->frontend,
                                       .settings = settings};
    ck_assert_int_eq(zone_maintainer_start(&ko, &g->k), 0);
    ck_assert_int_eq(resolver_bind(&g->at, 1, 1, &d, &s), 0);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 0, &g->at), 0);
    ck_assert_int_eq(resolver_start(&o, s, &g->r), 0);
    diag_done(&d);
}

static void neighbours_stop(struct neighbours *g)
{
    resolver_stop(g->r);
    zone_maintainer_stop(g->k);
    snapshot_done(&g->frontend);
    snapshot_done(&g->health);
    snapshot_done(&g->topology);
}

START_TEST(strangers_who_ask_for_the_zone_take_no_secondary_its_place)
{
    struct neighbours g;
    int fds[20];
    neighbours_start(&g, "allow: [127.0.0.1/32]", "/nonexistent");
    ck_assert_int_eq(zone_rcode(&g.at), 0);
    for (int i = 0; i < 20; i++) // more than there may be transfers
        fds[i] = stuck_stranger(&g.at, i + 1);
    ck_assert_int_eq(zone_rcode(&g.at), 0);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    neighbours_stop(&g);
}
END_TEST

// What is truncated in an answer's place is not signed, and a secondary believes no such thing.
START_TEST(a_neighbour_who_signs_has_no_rate_limit)
{
    static const char text[] = "hmac-sha256:xfr.test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    struct neighbours g;
    struct node_dns s;
    struct tsig_key *key;
    char dir[] = "/tmp/meridian-server.XXXXXX", path[64];
    uint8_t q[512], a[4096];
    unsigned n_cut[2] = {0};
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/xfr.test.key", dir);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600), 0);
    ck_assert_int_eq(tsig_key_parse(text, strlen(text), "xfr.test", &key), 0);
    ck_assert_int_eq(node_dns_defaults(&s), 0);
    s.rate_limit.answers = s.rate_limit.burst_s = s.rate_limit.slip = 1;
    settings = &s;
    neighbours_start(&g, "tsig_keys: [xfr.test]", dir);
    int fd = dial(&g.at, SOCK_DGRAM);
    for (int i = 0; i < 2 * 20; i++) {
        struct tsig sign;
        size_t n = fixture_query(q, "fe.example.io", T_SOA, 1232);
        tsig_begin(key, 0x1234, &sign);
        if (i >= 20)
            n = tsig_sign(&sign, q, n, sizeof q, clock_wall_ms() / 1000);
        ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
        ck_assert_int_ge(recv(fd, a, sizeof a, 0), 12);
        n_cut[i >= 20] += (a[2] & 0x02) != 0;
        ck_assert_int_eq(a[3] & 15, 0);
    }
    ck_assert(n_cut[0] > 0 && n_cut[1] == 0);
    close(fd);
    neighbours_stop(&g);
    tsig_key_free(key);
    dir_remove_tree(dir);
}
END_TEST

static int64_t cpu_ms(void)
{
    struct rusage u;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &u), 0);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

// No descriptor for the next client: the worker must neither spin nor forget that client.
START_TEST(without_descriptors_it_waits_and_serves_on)
{
    struct rig g;
    struct rlimit all, none;
    uint8_t q[256], a[4096];
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int tcp = open_client(&g.at, SOCK_STREAM), udp = dial(&g.at, SOCK_DGRAM);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = all;
    none.rlim_cur = (rlim_t)udp + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int64_t cpu = cpu_ms();
    connect_client(tcp, &g.at);
    size_t n = frame(q, "contoso.example.io", 5);
    ck_assert_int_eq(send(tcp, q, n, 0), (ssize_t)n);
    struct pollfd p = {.fd = tcp, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 1500), 0); // nobody can answer it yet
    ck_assert_int_lt(cpu_ms() - cpu, 500);
    ck_assert_int_eq(send(udp, q + 2, n - 2, 0), (ssize_t)(n - 2));
    ck_assert_int_eq(rcode_of(a, recv(udp, a, sizeof a, 0)), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
    ck_assert_int_eq(read_frame(tcp, 5), 0);
    close(tcp);
    close(udp);
    rig_stop(&g);
}
END_TEST

// A reset while answers are under way: the worker meets EPIPE, not SIGPIPE.
START_TEST(a_client_that_resets_takes_nothing_with_it)
{
    struct rig g;
    uint8_t q[100 * 64];
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    for (int i = 0; i < 50; i++) {
        size_t n = 0;
        int fd = dial(&g.at, SOCK_STREAM);
        struct linger now = {1, 0};
        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
        for (uint16_t k = 0; k < 100; k++)
            n += frame(q + n, "contoso.example.io", k);
        ck_assert_int_eq(send(fd, q, n, MSG_NOSIGNAL), (ssize_t)n);
        if (i % 2)
            ck_assert_int_eq(read_frame(fd, 0), 0);
        close(fd);
    }
    ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0);
    struct resolver_stats s;
    // the worker sees the last resets in its own time
    for (int i = 0; resolver_stats_get(g.r, &s), s.tcp_open; i++) {
        ck_assert_int_lt(i, 2000);
        clock_sleep_ms(5);
    }
    rig_stop(&g);
}
END_TEST

static void wait_closed(struct rig *g)
{
    struct resolver_stats s;
    struct timespec pause = {0, 5000000}; // real: the clock of the process stands still here
    for (int i = 0; resolver_stats_get(g->r, &s), s.tcp_open; i++) {
        ck_assert_int_lt(i, 4000);
        clock_virtual_advance(100); // the worker may note the last progress after we saw it
        nanosleep(&pause, NULL);
    }
}

static void wait_open(struct rig *g, unsigned n)
{
    struct resolver_stats s;
    struct timespec pause = {0, 5000000};
    for (int i = 0; resolver_stats_get(g->r, &s), s.tcp_open < n; i++) {
        ck_assert_int_lt(i, 4000);
        nanosleep(&pause, NULL);
    }
}

// On the virtual clock. Bytes that dribble in are no progress; whole queries are.
START_TEST(idle_and_dribbling_clients_are_closed_busy_ones_are_not)
{
    struct rig g;
    uint8_t q[256];
    struct resolver_stats s;
    clock_virtual_set(1764000000000);
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int idle = dial(&g.at, SOCK_STREAM), dribble = dial(&g.at, SOCK_STREAM),
        busy = dial(&g.at, SOCK_STREAM);
    size_t n = frame(q, "contoso.example.io", 3);
    wait_open(&g, 3);
    for (size_t i = 0; i < 12; i++) {
        ck_assert_int_eq(send(dribble, q + i, 1, MSG_NOSIGNAL), 1);
        ck_assert_int_eq(send(busy, q, n, MSG_NOSIGNAL), (ssize_t)n);
        ck_assert_int_eq(read_frame(busy, 3), 0);
        if (i < 9) // nine seconds: nobody goes
            clock_virtual_advance(1000);
    }
    resolver_stats_get(g.r, &s);
    ck_assert_uint_eq(s.tcp_open, 3);
    clock_virtual_advance(1500);
    ck_assert_int_eq(read_frame(idle, 0), -1);
    ck_assert_int_eq(read_frame(dribble, 0), -1);
    ck_assert_int_eq(send(busy, q, n, MSG_NOSIGNAL), (ssize_t)n);
    ck_assert_int_eq(read_frame(busy, 3), 0);
    wait_closed(&g);
    close(idle);
    close(dribble);
    close(busy);
    rig_stop(&g);
    clock_virtual_off();
}
END_TEST

START_TEST(who_never_reads_is_closed)
{
    struct rig g;
    uint8_t q[256];
    clock_virtual_set(1764000000000);
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int fd = dial(&g.at, SOCK_STREAM), small = 16384;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    wait_open(&g, 1);
    size_t n = frame(q, "contoso.example.io", 3);
    for (int i = 0, stuck = 0; stuck < 20; i++) { // pushed back for 100 ms
        ck_assert_int_lt(i, 200000);
        if (send(fd, q, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            stuck = 0;
            continue;
        }
        nanosleep(&(struct timespec){0, 5000000}, NULL);
        stuck++;
    }
    wait_closed(&g);
    close(fd);
    rig_stop(&g);
    clock_virtual_off();
}
END_TEST

START_TEST(a_new_topology_reaches_the_next_query)
{
    struct rig g;
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    ck_assert_int_eq(ask_udp(&g.at, "newborn.example.io"), 3);
    for (int i = 0; i < 50; i++) {
        struct topology *t = fixture_parse(
            "version: 8\ndomain: example.io\nhostmaster: h@example.io\nregions:\n  - name: eastus\n"
            "    peer: 192.0.2.1:8443\n    stamps:\n      - { name: eus-1, ipv4: [192.0.2.1] }\n"
            "name_servers: [eus-1.eastus]\nregistries:\n  - name: newborn\n    replicas:\n"
            "      - { region: eastus, stamp: eus-1 }\nrouting: { order: [eastus] }\n");
        snapshot_publish(&g.topology, i % 2 ? fixture_topology() : snapshot_ref(t));
        ck_assert_int_eq(ask_udp(&g.at, "newborn.example.io"), i % 2 ? 3 : 0);
        snapshot_unref(t);
    }
    rig_stop(&g);
}
END_TEST

static int receive_buffer(int fd)
{
    int n;
    socklen_t len = sizeof n;
    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, &len), 0);
    return n;
}

// What comes in while another program has the processor must wait somewhere.
START_TEST(datagrams_have_all_the_room_that_the_kernel_gives)
{
    struct endpoint at = {fixture_ip("127.0.0.1"), 0};
    struct resolver_sockets *s;
    struct diag d;
    int fds[2], plain = socket(AF_INET, SOCK_DGRAM, 0), most = 1 << 30;
    diag_init(&d);
    ck_assert_int_eq(resolver_bind(&at, 1, 1, &d, &s), 0);
    resolver_sockets_fds(s, fds);
    ck_assert(!setsockopt(plain, SOL_SOCKET, SO_RCVBUFFORCE, &most, sizeof most) ||
              !setsockopt(plain, SOL_SOCKET, SO_RCVBUF, &most, sizeof most));
    most = receive_buffer(plain); // the kernel's limit
    ck_assert_int_eq(receive_buffer(fds[0]), most < 2 << 20 ? most : 2 << 20);
    close(plain);
    resolver_sockets_free(s);
    diag_done(&d);
}
END_TEST

START_TEST(a_second_server_does_not_share_the_port_in_silence)
{
    struct rig g;
    struct resolver_sockets *s = NULL;
    struct diag d;
    ck_assert(rig_start(&g, "127.0.0.1", 2));
    diag_init(&d);
    ck_assert_int_ne(resolver_bind(&g.at, 1, 1, &d, &s), 0);
    ck_assert_ptr_null(s);
    diag_done(&d);
    int fd = dial(&g.at, SOCK_STREAM); // and after a stop, old connections do not keep the port
    struct endpoint at = g.at;
    rig_stop(&g);
    diag_init(&d);
    ck_assert_int_eq(resolver_bind(&at, 1, 1, &d, &s), 0);
    resolver_sockets_free(s);
    diag_done(&d);
    close(fd);
}
END_TEST

START_TEST(a_taken_port_is_explained)
{
    struct rig g;
    struct resolver_sockets *s = NULL;
    struct diag d;
    ck_assert(rig_start(&g, "127.0.0.1", 1));
    int fd = socket(AF_INET, SOCK_DGRAM, 0); // without SO_REUSEPORT
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof sa;
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, n), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    struct endpoint e = {fixture_ip("127.0.0.1"), ntohs(sa.sin_port)};
    diag_init(&d);
    ck_assert_int_ne(resolver_bind(&e, 1, 1, &d, &s), 0);
    ck_assert_ptr_null(s);
    ck_assert_uint_eq(diag_count(&d), 1);
    ck_assert_ptr_nonnull(strstr(d.lines[0], "another program has it"));
    diag_done(&d);
    close(fd);
    rig_stop(&g);
}
END_TEST

struct forerunner { // one that was killed, and has its address for a while yet
    int fd;
    int64_t ends_mono_ms;
};

static void *forerunner_ends(void *arg)
{
    const struct forerunner *f = arg;
    while (clock_mono_ms() < f->ends_mono_ms)
        clock_sleep_ms(10);
    close(f->fd);
    return NULL;
}

START_TEST(a_port_that_a_forerunner_has_is_waited_for)
{
    const int types[] = {SOCK_DGRAM, SOCK_STREAM};
    for (int i = 0; i < 4; i++) { // plain and over TLS, UDP and TCP
        bool tls = i >= 2;
        struct forerunner f = {.fd = socket(AF_INET, types[tls ? 1 : i], 0),
                               .ends_mono_ms = clock_mono_ms() + 300};
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof sa;
        ck_assert_int_eq(bind(f.fd, (struct sockaddr *)&sa, n), 0);
        ck_assert(types[tls ? 1 : i] != SOCK_STREAM || !listen(f.fd, 1));
        ck_assert_int_eq(getsockname(f.fd, (struct sockaddr *)&sa, &n), 0);
        const struct endpoint at = {fixture_ip("127.0.0.1"), ntohs(sa.sin_port)},
                              any = {fixture_ip("127.0.0.1"), 0};
        struct resolver_listen l = {.dns = tls ? &any : &at, .n_dns = 1, .tls = &at, .n_tls = tls};
        struct resolver_sockets *s = NULL;
        ck_assert_int_eq(resolver_rebind(&l, 1, NULL, 0, NULL, &s), ERR_INUSE);
        l.until_mono_ms = clock_mono_ms() + 20000;
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, forerunner_ends, &f), 0);
        ck_assert_int_eq(resolver_rebind(&l, 1, NULL, 0, NULL, &s), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        resolver_sockets_free(s);
    }
}
END_TEST

// As in a hot restart: both read the same sockets, then the first yields. Its TCP client is served
// on until it leaves.
START_TEST(a_successor_takes_over_the_sockets)
{
    struct snapshot topology, health;
    struct resolver_sockets *s;
    struct resolver *first, *second;
    struct endpoint want = {fixture_ip("127.0.0.1"), 0}, at;
    struct resolver_listen listen = {&want, 1, NULL, 0};
    const struct resolver_options o = {.topology = &topology, .health = &health};
    struct resolver_stats old_stats, new_stats;
    struct diag d;
    uint8_t q[514];
    int fds[4];
    diag_init(&d);
    snapshot_init(&topology);
    snapshot_init(&health);
    snapshot_publish(&topology, fixture_topology());
    ck_assert_int_eq(resolver_rebind(&listen, 2, NULL, 0, &d, &s), 0);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 0, &at), 0);
    ck_assert_uint_eq(resolver_sockets_count(s), 4);
    resolver_sockets_fds(s, fds);
    for (int i = 0; i < 4; i++) // what a supervisor keeps
        ck_assert_int_ge(fds[i] = dup(fds[i]), 0);
    ck_assert_int_eq(resolver_start(&o, s, &first), 0);
    int client = dial(&at, SOCK_STREAM);
    ck_assert_int_gt(send(client, q, frame(q, "contoso.example.io", 1), 0), 0);
    ck_assert_int_eq(read_frame(client, 1), 0);

    want = at;
    ck_assert_int_eq(resolver_rebind(&listen, 1, fds, 4, &d, &s), 0);
    // as many as there were, so that none goes unread
    ck_assert_uint_eq(resolver_sockets_count(s), 4);
    ck_assert_int_eq(resolver_start(&o, s, &second), 0);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(ask_udp(&at, "contoso.example.io"), 0);
    resolver_drain(first, 20000);
    for (uint16_t i = 2; i < 40; i++) {
        ck_assert_int_eq(ask_udp(&at, "contoso.example.io"), 0);
        ck_assert_int_gt(send(client, q, frame(q, "contoso.example.io", i), 0), 0);
        ck_assert_int_eq(read_frame(client, i), 0);
    }
    resolver_stats_get(first, &old_stats);
    ck_assert_uint_eq(old_stats.tcp_queries, 39);
    close(client);
    int64_t began = clock_mono_ms();
    resolver_stop(first); // as soon as the last client has left
    ck_assert_int_lt(clock_mono_ms() - began, 10000);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(ask_udp(&at, "contoso.example.io"), 0);
    client = dial(&at, SOCK_STREAM);
    ck_assert_int_gt(send(client, q, frame(q, "contoso.example.io", 7), 0), 0);
    ck_assert_int_eq(read_frame(client, 7), 0);
    close(client);
    resolver_stats_get(second, &new_stats);
    ck_assert_uint_eq(new_stats.tcp_queries, 1);
    ck_assert_uint_ge(new_stats.udp_queries, 50);
    resolver_stop(second);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    snapshot_done(&topology);
    snapshot_done(&health);
    diag_done(&d);
}
END_TEST

// A successor may have more workers; until they run, nobody would read sockets of their own.
START_TEST(a_successor_with_more_workers_leaves_no_query_unread)
{
    struct rig g;
    struct resolver_sockets *s;
    struct resolver *second;
    struct diag d;
    int fds[2];
    diag_init(&d);
    struct endpoint want = {fixture_ip("127.0.0.1"), 0};
    const struct resolver_options o = {.topology = &g.topology, .health = &g.health};
    snapshot_init(&g.topology);
    snapshot_init(&g.health);
    snapshot_publish(&g.topology, fixture_topology());
    ck_assert_int_eq(resolver_bind(&want, 1, 1, &d, &s), 0);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 0, &g.at), 0);
    resolver_sockets_fds(s, fds);
    for (int i = 0; i < 2; i++)
        ck_assert_int_ge(fds[i] = dup(fds[i]), 0);
    ck_assert_int_eq(resolver_start(&o, s, &g.r), 0);
    ck_assert_int_eq(
        resolver_rebind(&(struct resolver_listen){&g.at, 1, NULL, 0}, 4, fds, 2, &d, &s), 0);
    ck_assert_uint_eq(resolver_sockets_count(s), 8);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0);
        close(ask_tcp_from(&g.at, "127.0.0.1"));
    }
    ck_assert_int_eq(resolver_start(&o, s, &second), 0);
    resolver_drain(g.r, 1000);
    resolver_stop(g.r);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(ask_udp(&g.at, "contoso.example.io"), 0);
        close(ask_tcp_from(&g.at, "127.0.0.1"));
    }
    resolver_stop(second);
    for (int i = 0; i < 2; i++)
        close(fds[i]);
    snapshot_done(&g.topology);
    snapshot_done(&g.health);
    diag_done(&d);
}
END_TEST

// More than a turn takes: the socket is then read without waiting, until nothing is left; and
// waited for again.
START_TEST(a_flood_is_answered_whole_and_what_comes_after_it)
{
    struct snapshot topology, health;
    struct endpoint want = {fixture_ip("127.0.0.1"), 0}, at;
    const struct resolver_options o = {.topology = &topology, .health = &health};
    struct resolver_sockets *s;
    struct resolver *r;
    struct diag d;
    uint8_t q[512];
    size_t n = fixture_query(q, "contoso.example.io", T_A, -1);
    diag_init(&d);
    snapshot_init(&topology);
    snapshot_init(&health);
    snapshot_publish(&topology, fixture_topology());
    ck_assert_int_eq(resolver_bind(&want, 1, 1, &d, &s), 0);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 0, &at), 0);
    int client = dial(&at, SOCK_DGRAM), room = 1 << 20;
    ck_assert_int_eq(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    unsigned n_sent = 2 * UDP_TURN_MAX + 50;
    for (unsigned i = 0; i < n_sent; i++) // nobody reads yet
        ck_assert_int_eq(send(client, q, n, 0), n);
    ck_assert_int_eq(resolver_start(&o, s, &r), 0);
    for (unsigned i = 0; i < n_sent; i++) {
        uint8_t p[512];
        ck_assert_int_eq(poll(&(struct pollfd){.fd = client, .events = POLLIN}, 1, 20000), 1);
        ck_assert_int_gt(recv(client, p, sizeof p, 0), 12);
    }
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(ask_udp(&at, "contoso.example.io"), 0);
    close(client);
    resolver_stop(r);
    snapshot_done(&topology);
    snapshot_done(&health);
    diag_done(&d);
}
END_TEST

// ---- trusted proxies ----

// Begins rig and returns a socket of the proxy's, 127.0.1.80; settings.trusted_proxies names it
// alone.
static int proxied_start(struct rig *g, struct node_dns *s, int type)
{
    static struct cidr proxy;
    struct endpoint source = {fixture_ip("127.0.1.80"), 0};
    struct sockaddr_storage sa;
    proxy = (struct cidr){source.ip, 128};
    ck_assert_int_eq(node_dns_defaults(s), 0);
    s->trusted_proxies = &proxy;
    s->n_trusted_proxies = 1;
    s->tcp.per_client = 3;
    settings = s;
    ck_assert(rig_start(g, "127.0.0.1", 1));
    int fd = open_client(&g->at, type);
    socklen_t n = endpoint_to_sockaddr(&source, &sa);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, n), 0);
    connect_client(fd, &g->at);
    return fd;
}

// A header that names the client, or (NULL) a LOCAL one. Returns its length.
static size_t put_header(uint8_t *out, const char *client)
{
    struct ip ip = fixture_ip(client ? client : "0.0.0.0");
    memcpy(out, "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\14", 16);
    if (!client)
        out[12] = 0x20;
    memcpy(out + 16, ip.b + 12, 4);
    memcpy(out + 20, "\177\0\0\1\x12\x34\0\65", 8);
    return 28;
}

// The address that a response ends in, or its rcode's name.
static const char *outcome(const uint8_t *p, ssize_t n)
{
    static char text[64];
    ldns_pkt *pkt;
    ck_assert_int_ge(n, 12);
    ck_assert_int_eq(ldns_wire2pkt(&pkt, p, (size_t)n), LDNS_STATUS_OK);
    ldns_rr_list *answers = ldns_pkt_answer(pkt);
    size_t k = ldns_rr_list_rr_count(answers);
    char *s = k ? ldns_rdf2str(ldns_rr_rdf(ldns_rr_list_rr(answers, k - 1), 0))
                : ldns_pkt_rcode2str(ldns_pkt_get_rcode(pkt));
    snprintf(text, sizeof text, "%s", s);
    free(s);
    ldns_pkt_free(pkt);
    return text;
}

static const char *ask_proxied_udp(int fd, const char *client, bool header)
{
    uint8_t q[512], a[4096];
    size_t at = header ? put_header(q, client) : 0;
    size_t n = at + fixture_query(q + at, "contoso.westeurope.geo.example.io", T_A, 1232);
    ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
    return outcome(a, recv(fd, a, sizeof a, 0));
}

START_TEST(a_trusted_proxy_says_over_udp_whose_query_it_is)
{
    struct rig g;
    struct node_dns s;
    struct resolver_stats st;
    uint8_t q[512], a[512];
    int fd = proxied_start(&g, &s, SOCK_DGRAM);
    ck_assert_str_eq(ask_proxied_udp(fd, "10.1.2.3", true), "10.1.0.5");
    ck_assert_str_ne(ask_proxied_udp(fd, "192.0.2.99", true), "10.1.0.5");
    // for itself: the proxy's own network
    ck_assert_str_ne(ask_proxied_udp(fd, NULL, true), "10.1.0.5");
    ck_assert_str_eq(ask_proxied_udp(fd, NULL, false), "REFUSED");
    size_t n = put_header(q, "10.1.2.3");
    q[13] = 0; // a client without an address
    n += fixture_query(q + n, "contoso.example.io", T_A, 1232);
    ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
    // nothing came for that one
    ck_assert_str_eq(ask_proxied_udp(fd, "10.1.2.3", true), "10.1.0.5");
    // A header of anybody else's is no query, and no way into a view.
    int stranger = dial(&g.at, SOCK_DGRAM);
    n = put_header(q, "10.1.2.3");
    n += fixture_query(q + n, "contoso.westeurope.geo.example.io", T_A, 1232);
    ck_assert_int_eq(send(stranger, q, n, 0), (ssize_t)n);
    ck_assert_str_eq(outcome(a, recv(stranger, a, sizeof a, 0)), "NOTIMPL");
    resolver_stats_get(g.r, &st);
    ck_assert_uint_eq(st.proxied, 4);
    ck_assert_uint_eq(st.unproxied, 2);
    close(stranger);
    close(fd);
    rig_stop(&g);
}
END_TEST

static ssize_t read_whole(int fd, uint8_t *a)
{
    uint8_t len[2];
    if (recv(fd, len, 2, MSG_WAITALL) != 2)
        return -1;
    return recv(fd, a, (size_t)len[0] << 8 | len[1], MSG_WAITALL);
}

START_TEST(a_trusted_proxy_says_over_tcp_whose_connection_it_is)
{
    struct rig g;
    struct node_dns s;
    uint8_t q[512], a[65535];
    int fd = proxied_start(&g, &s, SOCK_STREAM), one = 1;
    size_t n = put_header(q, "10.1.2.3");
    n += frame(q + n, "contoso.westeurope.geo.example.io", 1);
    n += frame(q + n, "contoso.westeurope.geo.example.io", 2);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    for (size_t i = 0; i < n; i++) // a header comes in any pieces
        ck_assert_int_eq(send(fd, q + i, 1, MSG_NOSIGNAL), 1);
    for (int i = 0; i < 2; i++)
        ck_assert_str_eq(outcome(a, read_whole(fd, a)), "10.1.0.5");
    close(fd);
    // Anybody else's ends the connection.
    int stranger = dial(&g.at, SOCK_STREAM);
    ck_assert_int_eq(send(stranger, q, n, MSG_NOSIGNAL), (ssize_t)n);
    ck_assert_int_le(recv(stranger, a, sizeof a, 0), 0);
    close(stranger);
    rig_stop(&g);
}
END_TEST

START_TEST(a_trusted_proxy_without_a_header_is_refused_over_tcp)
{
    struct rig g;
    struct node_dns s;
    uint8_t q[512];
    int fd = proxied_start(&g, &s, SOCK_STREAM);
    size_t n = frame(q, "contoso.example.io", 1);
    ck_assert_int_eq(send(fd, q, n, MSG_NOSIGNAL), (ssize_t)n);
    ck_assert_int_eq(read_frame(fd, 1), 5);
    close(fd);
    rig_stop(&g);
}
END_TEST

// Eight clients come by one proxy, and one of them with five connections: of that one's the two
// idle longest go.
START_TEST(clients_of_a_proxy_have_limits_of_their_own)
{
    struct rig g;
    struct node_dns s;
    int fds[12];
    uint8_t q[512];
    struct sockaddr_storage sa;
    struct endpoint source = {fixture_ip("127.0.1.80"), 0};
    socklen_t n_sa = endpoint_to_sockaddr(&source, &sa);
    close(proxied_start(&g, &s, SOCK_STREAM));
    for (int i = 0; i < 12; i++) {
        char client[20];
        snprintf(client, sizeof client, "198.51.100.%d", i < 5 ? 9 : 10 + i);
        fds[i] = open_client(&g.at, SOCK_STREAM);
        ck_assert_int_eq(bind(fds[i], (struct sockaddr *)&sa, n_sa), 0);
        connect_client(fds[i], &g.at);
        size_t n = put_header(q, client);
        n += frame(q + n, "contoso.example.io", 1);
        ck_assert_int_eq(send(fds[i], q, n, MSG_NOSIGNAL), (ssize_t)n);
        ck_assert_int_eq(read_frame(fds[i], 1), 0);
    }
    size_t n = frame(q, "contoso.example.io", 2);
    for (int i = 0; i < 12; i++) {
        if (i >= 2)
            ck_assert_int_eq(send(fds[i], q, n, MSG_NOSIGNAL), (ssize_t)n);
        ck_assert_int_eq(read_frame(fds[i], 2), i < 2 ? -1 : 0);
        close(fds[i]);
    }
    rig_stop(&g);
}
END_TEST

CHECK_MAIN("resolver/server", datagrams_have_all_the_room_that_the_kernel_gives, udp_answers,
           udp_burst, a_wildcard_listener_answers_from_the_address_asked, ipv6,
           tcp_pipelined_then_half_closed, tcp_byte_by_byte,
           tcp_who_does_not_read_is_not_read_from_and_loses_nothing,
           tcp_nonsense_closes_the_connection,
           more_connections_than_allowed_drop_the_one_idle_longest, one_client_has_its_own_limit,
           answers_over_the_rate_are_dropped_or_slipped_unless_a_cookie_is_shown,
           a_new_topology_reaches_the_next_query, a_taken_port_is_explained,
           a_port_that_a_forerunner_has_is_waited_for, without_descriptors_it_waits_and_serves_on,
           idle_and_dribbling_clients_are_closed_busy_ones_are_not, who_never_reads_is_closed,
           a_client_that_resets_takes_nothing_with_it,
           a_second_server_does_not_share_the_port_in_silence, a_successor_takes_over_the_sockets,
           a_successor_with_more_workers_leaves_no_query_unread,
           strangers_who_ask_for_the_zone_take_no_secondary_its_place,
           a_neighbour_who_signs_has_no_rate_limit,
           a_flood_is_answered_whole_and_what_comes_after_it,
           a_trusted_proxy_says_over_udp_whose_query_it_is,
           a_trusted_proxy_says_over_tcp_whose_connection_it_is,
           a_trusted_proxy_without_a_header_is_refused_over_tcp,
           clients_of_a_proxy_have_limits_of_their_own)
