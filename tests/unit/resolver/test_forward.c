// SPDX-License-Identifier: Apache-2.0
// Forwarding, over real sockets on the loopback: who is served and who is not, forged answers, TCP
// when an answer is cut, upstreams that are dead, refuse, hang or are ourselves, and the bounds.
// The upstreams are this test's own.
#include "resolver/forward/forward.h"

#include "base/mem.h"
#include "resolver/serve/resolver.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UPSTREAM "127.0.0.3"
#define CLIENT "127.0.0.2"

struct rig {
    struct snapshot topology, health;
    struct resolver *r;
    struct endpoint at;
    // sockets of two upstreams; TCP of the first
    int up[2], up_tcp;
    struct endpoint up_at[2];
};

static int open_at(const char *ip, int type, struct endpoint *out)
{
    struct sockaddr_storage sa;
    struct endpoint e = {fixture_ip(ip), out ? out->port : 0};
    socklen_t n = endpoint_to_sockaddr(&e, &sa);
    int fd = socket(sa.ss_family, type, 0);
    struct timeval limit = {10, 0};
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, n), 0);
    n = sizeof sa;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    if (out)
        ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&sa, n, out), 0);
    return fd;
}

static const struct node_dns *node_settings; // NULL: defaults

// `settings`: more keys of the forward section. `listen`: where the resolver is asked.
static void rig_start_at(struct rig *g, const char *listen_ip, const char *settings, bool to_itself)
{
    struct resolver_sockets *s;
    struct endpoint want = {fixture_ip(listen_ip), 0};
    struct diag d;
    char yaml[4096];
    memset(g, 0, sizeof *g);
    diag_init(&d);
    ck_assert_int_eq(resolver_bind(&want, 1, 1, &d, &s), 0);
    diag_done(&d);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 0, &g->at), 0);
    for (int i = 0; i < 2; i++)
        g->up[i] = open_at(UPSTREAM, SOCK_DGRAM, &g->up_at[i]);
    g->up_tcp = open_at(UPSTREAM, SOCK_STREAM, &g->up_at[0]);
    ck_assert_int_eq(listen(g->up_tcp, 8), 0);
    snprintf(yaml, sizeof yaml,
             "version: 7\ndomain: example.io\nregions:\n"
             "  - { name: eastus, peer: \"192.0.2.1:8443\", stamps: [ { name: eus-1, ipv4: "
             "[192.0.2.1] } ] }\n"
             "name_servers: [eus-1.eastus]\nregistries: [ { name: contoso, replicas: [ { region: "
             "eastus } ] } ]\n"
             "views:\n"
             "  - name: corp\n    sources: [127.0.0.2/31, 127.0.0.6]\n    deny: [127.0.0.6]\n"
             "    forward: { upstreams: [\"%s:%u\", \"" UPSTREAM
             ":%u\"], names: [example.com, corp.test], %s }\n"
             "  - { name: plain, sources: [127.0.0.4] }\n",
             to_itself ? "127.0.0.5" : UPSTREAM, to_itself ? g->at.port : g->up_at[0].port,
             g->up_at[1].port, settings);
    snapshot_init(&g->topology);
    snapshot_init(&g->health);
    snapshot_publish(&g->topology, fixture_parse(yaml));
    ck_assert_int_eq(resolver_start(&(struct resolver_options){.topology = &g->topology,
                                                               .health = &g->health,
                                                               .settings = node_settings},
                                    s, &g->r),
                     0);
    if (!strcmp(listen_ip, "0.0.0.0"))
        g->at.ip = fixture_ip("127.0.0.1");
}

static void rig_start(struct rig *g, const char *settings)
{
    rig_start_at(g, "127.0.0.1", settings, false);
}

static void rig_stop(struct rig *g)
{
    resolver_stop(g->r);
    snapshot_done(&g->topology);
    snapshot_done(&g->health);
    close(g->up[0]);
    close(g->up[1]);
    close(g->up_tcp);
}

static struct resolver_stats stats(const struct rig *g)
{
    struct resolver_stats s;
    resolver_stats_get(g->r, &s);
    return s;
}

static int client(const struct rig *g, const char *from, int type)
{
    struct sockaddr_storage sa;
    int fd = open_at(from, type, NULL);
    socklen_t n = endpoint_to_sockaddr(&g->at, &sa);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

static void ask(int fd, const char *name, int edns, bool rd)
{
    uint8_t q[512];
    size_t n = fixture_query(q, name, T_A, edns);
    q[2] = rd;
    ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
}

static ldns_pkt *response(int fd)
{
    uint8_t p[4096];
    ldns_pkt *pkt;
    ssize_t n = recv(fd, p, sizeof p, 0);
    ck_assert_msg(n >= 12, "no response: %s", strerror(errno));
    ck_assert_int_eq(ldns_wire2pkt(&pkt, p, (size_t)n), LDNS_STATUS_OK);
    ck_assert_uint_eq(ldns_pkt_id(pkt), 0x1234);
    return pkt;
}

static void expect(int fd, int rcode, const char *answer)
{
    ldns_pkt *pkt = response(fd);
    ck_assert_int_eq(ldns_pkt_get_rcode(pkt), rcode);
    ck_assert_str_eq(fixture_text(ldns_pkt_answer(pkt)), answer);
    ldns_pkt_free(pkt);
}

// The last two octets of the response are the code of its extended error.
static void expect_failure(int fd, int ede)
{
    uint8_t p[4096];
    ssize_t n = recv(fd, p, sizeof p, 0);
    ck_assert_int_gt(n, 12);
    ck_assert_int_eq(p[3] & 15, 2);
    ck_assert_int_eq(p[n - 2] << 8 | p[n - 1], ede);
}

struct heard { // what an upstream was sent
    uint8_t p[600];
    ssize_t n;
    struct sockaddr_storage from;
    socklen_t from_n;
};

static void hear(int fd, struct heard *h)
{
    h->from_n = sizeof h->from;
    h->n = recvfrom(fd, h->p, sizeof h->p, 0, (struct sockaddr *)&h->from, &h->from_n);
    ck_assert_int_ge(h->n, 12);
}

// The answer to it, with one A record 192.0.2.`last`; returns its length.
static size_t answer_to(const struct heard *h, uint8_t last, uint8_t out[700])
{
    size_t n = 12;
    while (h->p[n])
        n += 1u + h->p[n];
    n += 5;
    memcpy(out, h->p, n);
    const uint8_t rr[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last};
    out[2] = 0x85;
    out[3] = 0x80;
    out[7] = 1;
    out[11] = 0;
    memcpy(out + n, rr, sizeof rr);
    return n + sizeof rr;
}

static void tell(int fd, const struct heard *h, const uint8_t *p, size_t n)
{
    ck_assert_int_eq(sendto(fd, p, n, 0, (const struct sockaddr *)&h->from, h->from_n), (ssize_t)n);
}

static void tell_answer(int fd, const struct heard *h, uint8_t last)
{
    uint8_t p[700];
    tell(fd, h, p, answer_to(h, last, p));
}

#define A_RR(name, last) name ". 60 IN A 192.0.2." last "\n"

START_TEST(an_answer_comes_through)
{
    struct rig g;
    struct heard h;
    rig_start(&g, "timeout: 3s");
    int fd = client(&g, CLIENT, SOCK_DGRAM);
    for (int edns = -1; edns <= 1232; edns += 1233) {
        ask(fd, "WWW.example.com", edns, true);
        hear(g.up[0], &h);
        ck_assert_uint_eq(h.p[2], 1); // RD, and no more
        ck_assert_uint_eq(h.p[11], edns >= 0);
        tell_answer(g.up[0], &h, 1);
        ldns_pkt *pkt = response(fd);
        ck_assert(ldns_pkt_ra(pkt) && ldns_pkt_rd(pkt) && !ldns_pkt_aa(pkt));
        ck_assert_int_eq(ldns_pkt_edns(pkt), edns >= 0);
        ck_assert_str_eq(fixture_text(ldns_pkt_answer(pkt)), A_RR("WWW.example.com", "1"));
        ldns_pkt_free(pkt);
    }
    ask(fd, "example.com", -1, true); // the suffix itself; not cached
    hear(g.up[0], &h);
    tell_answer(g.up[0], &h, 2);
    expect(fd, 0, A_RR("example.com", "2"));
    ask(fd, "contoso.example.io", -1, true); // our own: RA, since others can be asked for here
    ldns_pkt *pkt = response(fd);
    ck_assert(ldns_pkt_aa(pkt) && ldns_pkt_ra(pkt));
    ldns_pkt_free(pkt);
    ck_assert(stats(&g).forwarded == 3 && stats(&g).forward_failed == 0 && stats(&g).noerror == 4);
    close(fd);
    rig_stop(&g);
}
END_TEST

// Everything that is not to be forwarded is refused at once, and no upstream hears of it.
START_TEST(who_and_what_is_refused)
{
    static const struct {
        const char *from, *name;
        bool rd;
        int rcode;
    } rows[] = {
        {"127.0.0.1", "www.example.com", true, 5}, // the public view
        {"127.0.0.4", "www.example.com", true, 5}, // a view without forward
        {"127.0.0.6", "www.example.com", true, 5}, // denied in its view
        {"127.0.0.3", "www.example.com", true, 5}, // an upstream asks us: a loop
        {CLIENT, "www.example.com", false, 5},     // RD is not set
        {CLIENT, "www.example.org", true, 5},      // another name
        {CLIENT, "xexample.com", true, 5},         // not at a label
        {CLIENT, "com", true, 5},                  // above
        {CLIENT, "nobody.example.io", true, 3},    // ours
        {CLIENT, "x.y.z.example.io", true, 3},     // ours, and no name
    };
    struct rig g;
    rig_start(&g, "timeout: 3s");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = client(&g, rows[i].from, SOCK_DGRAM);
        ask(fd, rows[i].name, 1232, rows[i].rd);
        ldns_pkt *pkt = response(fd);
        ck_assert_msg(ldns_pkt_get_rcode(pkt) == (ldns_pkt_rcode)rows[i].rcode, "row %zu", i);
        ldns_pkt_free(pkt);
        close(fd);
    }
    ck_assert_uint_eq(stats(&g).forwarded, 0);
    uint8_t p[512];
    for (int i = 0; i < 2; i++)
        ck_assert(recv(g.up[i], p, sizeof p, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    rig_stop(&g);
}
END_TEST

START_TEST(forged_answers_are_ignored)
{
    struct rig g;
    struct heard h;
    uint8_t p[700];
    rig_start(&g, "timeout: 3s, mix_case: true");
    int fd = client(&g, CLIENT, SOCK_DGRAM), other = open_at("127.0.0.5", SOCK_DGRAM, NULL);
    ask(fd, "abcdefghijklmnop.example.com", -1, true);
    hear(g.up[0], &h);
    size_t n = answer_to(&h, 66, p);
    tell(g.up[1], &h, p, n); // another address and port: the kernel drops it
    tell(other, &h, p, n);
    p[0] ^= 1; // another id
    tell(g.up[0], &h, p, n);
    p[0] ^= 1;
    p[14] ^= 0x20; // another case
    tell(g.up[0], &h, p, n);
    p[14] ^= 0x20;
    p[2] &= 0x7f; // a query
    tell(g.up[0], &h, p, n);
    tell(g.up[0], &h, p, 5);
    tell_answer(g.up[0], &h, 1);
    expect(fd, 0, A_RR("abcdefghijklmnop.example.com", "1")); // in the client's case again
    ck_assert_uint_eq(stats(&g).forward_ignored, 4);
    // A new id and new letters for each: of 16 letters and 16 bits, all the same would be a
    // miracle.
    struct heard second;
    ask(fd, "abcdefghijklmnop.example.com", -1, true);
    hear(g.up[0], &second);
    ck_assert(memcmp(h.p, second.p, 2) || memcmp(h.p + 12, second.p + 12, 17));
    ck_assert(memcmp(&h.from, &second.from, sizeof(struct sockaddr_in)));
    // So many forged ones that it is asked over TCP.
    n = answer_to(&second, 66, p);
    p[1] ^= 1;
    for (int i = 0; i < 16; i++)
        tell(g.up[0], &second, p, n);
    int tcp = accept(g.up_tcp, NULL, NULL);
    ck_assert_int_ge(tcp, 0);
    close(tcp); // and it breaks: the other upstream is asked
    hear(g.up[1], &h);
    tell_answer(g.up[1], &h, 2);
    expect(fd, 0, A_RR("abcdefghijklmnop.example.com", "2"));
    close(other);
    close(fd);
    rig_stop(&g);
}
END_TEST

START_TEST(a_cut_answer_is_asked_for_over_tcp)
{
    struct rig g;
    struct heard h;
    uint8_t p[700];
    rig_start(&g, "timeout: 3s");
    int fd = client(&g, CLIENT, SOCK_STREAM);
    for (int round = 0; round < 2; round++) {
        uint8_t q[2 + 512], in[2 + 700];
        size_t n = fixture_query(q + 2, "big.example.com", T_A, 1232);
        q[0] = 0;
        q[1] = (uint8_t)n;
        ck_assert_int_eq(send(fd, q, n + 2, 0), (ssize_t)n + 2);
        hear(g.up[0], &h);
        n = answer_to(&h, 1, p);
        p[2] |= 2;
        tell(g.up[0], &h, p, n);
        int tcp = accept(g.up_tcp, NULL, NULL);
        ck_assert_int_ge(tcp, 0);
        ck_assert_int_eq(recv(tcp, in, 2, MSG_WAITALL), 2);
        h.n = in[1];
        ck_assert_int_eq(recv(tcp, h.p, (size_t)h.n, MSG_WAITALL), h.n);
        n = answer_to(&h, 9, in + 2);
        in[0] = 0;
        in[1] = (uint8_t)n;
        for (size_t i = 0; i < n + 2; i++) // in pieces
            ck_assert_int_eq(send(tcp, in + i, 1, MSG_NOSIGNAL), 1);
        ck_assert_int_eq(recv(fd, in, 2, MSG_WAITALL), 2);
        size_t len = (size_t)in[0] << 8 | in[1];
        ck_assert_int_eq(recv(fd, p, len, MSG_WAITALL), (ssize_t)len);
        ldns_pkt *pkt;
        ck_assert_int_eq(ldns_wire2pkt(&pkt, p, len), LDNS_STATUS_OK);
        ck_assert_str_eq(fixture_text(ldns_pkt_answer(pkt)), A_RR("big.example.com", "9"));
        ldns_pkt_free(pkt);
        close(tcp);
    }
    close(fd);
    rig_stop(&g);
}
END_TEST

START_TEST(the_other_upstream_is_asked_when_one_cannot_answer)
{
    struct rig g;
    struct heard h;
    uint8_t p[700];
    rig_start(&g, "timeout: 100ms");
    int fd = client(&g, CLIENT, SOCK_DGRAM);
    for (int i = 0; i < 3; i++) { // silence; then it rests, and the other one is asked at once
        ask(fd, "a.example.com", -1, true);
        hear(g.up[0], &h);
        hear(g.up[1], &h);
        tell_answer(g.up[1], &h, 1);
        expect(fd, 0, A_RR("a.example.com", "1"));
    }
    ask(fd, "b.example.com", -1, true);
    hear(g.up[1], &h);
    ck_assert_int_lt(recv(g.up[0], p, sizeof p, MSG_DONTWAIT), 0);
    size_t n = answer_to(&h, 1, p);
    p[3] |= 5; // REFUSED: the only one left is asked, although it rests
    tell(g.up[1], &h, p, n);
    hear(g.up[0], &h);
    tell_answer(g.up[0], &h, 2);
    expect(fd, 0, A_RR("b.example.com", "2"));
    ask(fd, "c.example.com", 1232, true); // it is back; now both refuse
    for (int i = 0; i < 2; i++) {
        hear(g.up[i], &h);
        n = answer_to(&h, 1, p);
        p[3] |= 2;
        tell(g.up[i], &h, p, n);
    }
    expect_failure(fd, EDE_NO_REACHABLE_AUTHORITY);
    close(g.up[0]); // nobody listens there any more: the network says so
    close(g.up[1]);
    ask(fd, "d.example.com", 1232, true);
    expect_failure(fd, EDE_NETWORK_ERROR);
    ck_assert_uint_eq(stats(&g).forward_failed, 2);
    g.up[0] = g.up[1] = -1;
    close(fd);
    rig_stop(&g);
}
END_TEST

START_TEST(silence_is_servfail)
{
    struct rig g;
    rig_start(&g, "timeout: 50ms");
    int fd = client(&g, CLIENT, SOCK_DGRAM);
    ask(fd, "a.example.com", 1232, true);
    expect_failure(fd, EDE_NO_REACHABLE_AUTHORITY);
    ask(fd, "a.example.com", -1, true);
    expect(fd, 2, "");
    // Stopped with queries under way.
    ask(fd, "b.example.com", -1, true);
    struct heard h;
    hear(g.up[0], &h);
    close(fd);
    rig_stop(&g);
}
END_TEST

// A member of the log's line for the name, as text.
static const char *logged(const json_t *lines, const char *name, const char *member)
{
    static char text[128];
    size_t i;
    json_t *line;
    json_array_foreach((json_t *)lines, i, line)
    {
        json_t *x = json_object_get(line, member);
        if (strcmp(json_string_value(json_object_get(line, "name")), name) != 0)
            continue;
        snprintf(text, sizeof text, "%s", x ? json_string_value(x) : "absent");
        return text;
    }
    return "no such line";
}

static json_t *log_lines(const char *path)
{
    char line[2048];
    json_t *lines = json_array();
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f)) {
        json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(j && json_is_integer(json_object_get(j, "waitedMs")), "%s", line);
        json_array_append_new(lines, j);
    }
    fclose(f);
    return lines;
}

// What upstreams answer, or do not, is in the query log, and counted under the transport that it
// came by.
START_TEST(forwarded_queries_are_logged)
{
    struct rig g;
    struct heard h;
    struct node_dns s;
    char dir[] = "/tmp/forward-XXXXXX", path[64], where[ENDPOINT_TEXT_SIZE];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
    ck_assert_int_eq(node_dns_defaults(&s), 0);
    s.query_log = (struct node_dns_query_log){
        .file = path, .sample = 1, .client = CLIENT_FULL, .buffer_bytes = 65536};
    node_settings = &s;
    rig_start(&g, "timeout: 200ms");
    endpoint_format(&g.up_at[0], where);
    int fd = client(&g, CLIENT, SOCK_DGRAM), tcp = client(&g, CLIENT, SOCK_STREAM);
    ask(fd, "udp.example.com", -1, true);
    hear(g.up[0], &h);
    tell_answer(g.up[0], &h, 1);
    expect(fd, 0, A_RR("udp.example.com", "1"));
    uint8_t q[514], a[512];
    size_t n = fixture_query(q + 2, "tcp.example.com", T_A, -1);
    q[0] = 0, q[1] = (uint8_t)n, q[4] = 1;
    ck_assert_int_eq(send(tcp, q, n + 2, 0), (ssize_t)n + 2);
    hear(g.up[0], &h);
    tell_answer(g.up[0], &h, 2);
    ck_assert_int_gt(recv(tcp, a, sizeof a, 0), 12);
    ask(fd, "nothing.example.com", -1, true); // nobody answers
    expect(fd, 2, "");
    AUTO_BUF struct buf text;
    buf_init(&text, 1 << 20);
    resolver_metrics_write(g.r, &text);
    for (int i = 0; i < 2; i++) {
        char line[160];
        snprintf(line, sizeof line,
                 "{view=\"corp\",kind=\"foreign\",rcode=\"NOERROR\",transport=\"%s\"} 1\n",
                 i ? "tcp" : "udp");
        ck_assert_msg(strstr(buf_cstr(&text), line) != NULL, "%s is not in %s", line,
                      buf_cstr(&text));
    }
    close(fd);
    close(tcp);
    rig_stop(&g); // writes what is left
    node_settings = NULL;
    json_t *lines = log_lines(path);
    ck_assert_uint_eq(json_array_size(lines), 3);
    static const char *const rows[][4] = {{"udp.example.com.", "udp", "NOERROR", "upstream"},
                                          {"tcp.example.com.", "tcp", "NOERROR", "upstream"},
                                          {"nothing.example.com.", "udp", "SERVFAIL", NULL}};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_str_eq(logged(lines, rows[i][0], "kind"), "forward");
        ck_assert_str_eq(logged(lines, rows[i][0], "transport"), rows[i][1]);
        ck_assert_str_eq(logged(lines, rows[i][0], "rcode"), rows[i][2]);
        ck_assert_str_eq(logged(lines, rows[i][0], "view"), "corp");
        ck_assert_str_eq(logged(lines, rows[i][0], "type"), "A");
        ck_assert_str_eq(logged(lines, rows[i][0], "upstream"), rows[i][3] ? where : "absent");
    }
    json_decref(lines);
    unlink(path);
    rmdir(dir);
}
END_TEST

START_TEST(bounds)
{
    struct rig g;
    struct heard h;
    rig_start(&g, "timeout: 3s, max_in_flight: 3, max_per_client: 2");
    int a = client(&g, CLIENT, SOCK_DGRAM);
    ask(a, "a.example.com", 1232, true);
    hear(g.up[0], &h);
    ask(a, "b.example.com", 1232, true);
    struct heard second;
    hear(g.up[0], &second);
    ask(a, "c.example.com", 1232, true); // a third of one client
    expect_failure(a, EDE_OTHER);
    ck_assert_uint_eq(stats(&g).forward_limited, 1);
    tell_answer(g.up[0], &h, 1);
    expect(a, 0, A_RR("a.example.com", "1"));
    ask(a, "d.example.com", 1232, true); // room again
    hear(g.up[0], &h);
    tell_answer(g.up[0], &h, 4);
    expect(a, 0, A_RR("d.example.com", "4"));
    tell_answer(g.up[0], &second, 2);
    expect(a, 0, A_RR("b.example.com", "2"));
    close(a);
    rig_stop(&g);
}
END_TEST

START_TEST(we_do_not_ask_ourselves)
{
    struct rig g;
    struct heard h;
    // the first upstream is 127.0.0.5, where we listen too
    rig_start_at(&g, "0.0.0.0", "timeout: 3s", true);
    int fd = client(&g, CLIENT, SOCK_DGRAM);
    ask(fd, "a.example.com", -1, true);
    hear(g.up[1], &h);
    tell_answer(g.up[1], &h, 1);
    expect(fd, 0, A_RR("a.example.com", "1"));
    ck_assert_uint_eq(stats(&g).udp_queries, 1);
    close(fd);
    rig_stop(&g);
}
END_TEST

CHECK_MAIN("resolver/forward", an_answer_comes_through, who_and_what_is_refused,
           forged_answers_are_ignored, a_cut_answer_is_asked_for_over_tcp,
           the_other_upstream_is_asked_when_one_cannot_answer, silence_is_servfail,
           forwarded_queries_are_logged, bounds, we_do_not_ask_ourselves)
