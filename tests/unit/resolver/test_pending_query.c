// SPDX-License-Identifier: Apache-2.0
// resolver/packet/pending_query, resolver/serve/wait_queue: queries that wait, over real sockets,
// beside others that do not. What answers is not the resolver's but a script by the name's first
// letter, so that every way a wait can end is at hand:
//   n at once   w when told   t at once, but without a ticket REFUSED   r asks to wait again and again
#include "resolver/packet/pending_query.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/mem.h"
#include "resolver/answer/answer.h"
#include "resolver/packet/wire.h"
#include "resolver/serve/resolver.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define HELD_MAX 2048

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pending_ticket held[HELD_MAX];
static size_t n_held, n_asked;
static bool told; // then `w` is answered

uint64_t answer_hint(const struct topology *t, const uint8_t *query, size_t n)
{
    (void)t, (void)query, (void)n;
    return 0;
}

static size_t respond(const uint8_t *query, size_t n, uint8_t *out, int rcode,
                      struct answer_info *info)
{
    memcpy(out, query, n);
    out[2] |= 0x80;
    out[3] = (uint8_t)rcode;
    *info = (struct answer_info){.rcode = rcode};
    return n;
}

size_t answer_packet(const struct answer_context *c, const uint8_t *query, size_t n, uint8_t *out,
                     size_t cap, struct answer_info *info)
{
    (void)cap;
    *info = (struct answer_info){0};
    char kind = (char)query[13];
    pthread_mutex_lock(&lock);
    n_asked++;
    bool wait = kind == 'r' || (kind == 'w' && !told);
    if (wait && c->ticket.inbox) {
        pending_hold(c->ticket);
        if (kind == 'r') {
            pthread_mutex_unlock(&lock);
            pending_retry(c->ticket); // before it is parked
            info->pending = true;
            return 0;
        }
        ck_assert_uint_lt(n_held, HELD_MAX);
        held[n_held++] = c->ticket;
        info->pending = true;
    }
    pthread_mutex_unlock(&lock);
    return info->pending ? 0 : respond(query, n, out, wait ? DNS_REFUSED : DNS_NOERROR, info);
}

struct rig {
    struct snapshot topology, health;
    struct resolver *r;
    struct endpoint at;
};

static void rig_start(struct rig *g, const char *ip)
{
    struct resolver_sockets *s;
    struct endpoint want = {fixture_ip(ip), 0};
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(resolver_bind(&want, 1, 1, &d, &s), 0);
    diag_done(&d);
    resolver_sockets_endpoint(s, 0, &g->at);
    snapshot_init(&g->topology);
    snapshot_init(&g->health);
    ck_assert_int_eq(resolver_start(&(struct resolver_options){&g->topology, &g->health}, s, &g->r),
                     0);
}

static void rig_stop(struct rig *g)
{
    resolver_stop(g->r);
    snapshot_done(&g->topology);
    snapshot_done(&g->health);
}

static int dial(const struct endpoint *at, const char *ip, int type)
{
    struct sockaddr_storage sa;
    struct endpoint to = *at;
    to.ip = fixture_ip(ip);
    socklen_t n = endpoint_to_sockaddr(&to, &sa);
    int fd = socket(sa.ss_family, type, 0);
    struct timeval limit = {20, 0};
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

static void ask(int fd, bool stream, const char *name, uint16_t id)
{
    uint8_t b[512];
    size_t n = fixture_query(b + 2, name, T_A, 1232);
    b[0] = 0;
    b[1] = (uint8_t)n;
    b[2] = (uint8_t)(id >> 8);
    b[3] = (uint8_t)id;
    n += 2;
    ck_assert_int_eq(send(fd, stream ? b : b + 2, stream ? n : n - 2, 0),
                     (ssize_t)(stream ? n : n - 2));
}

// Id and rcode of the next response: id << 8 | rcode; -1 at the end.
static int read_answer(int fd, bool stream)
{
    uint8_t b[512], len[2];
    if (stream && recv(fd, len, 2, MSG_WAITALL) <= 0)
        return -1;
    ssize_t n =
        recv(fd, b, stream ? (size_t)len[0] << 8 | len[1] : sizeof b, stream ? MSG_WAITALL : 0);
    ck_assert_int_ge(n, 12);
    return b[0] << 16 | b[1] << 8 | (b[3] & 15);
}

static void wait_held(size_t n)
{
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&lock);
        bool there = n_held >= n;
        pthread_mutex_unlock(&lock);
        if (there)
            return;
        usleep(10000);
    }
    ck_abort_msg("%zu held", n_held);
}

static void tell(bool v)
{
    pthread_mutex_lock(&lock);
    told = v;
    pthread_mutex_unlock(&lock);
}

static struct resolver_stats stats(const struct rig *g)
{
    struct resolver_stats s;
    resolver_stats_get(g->r, &s);
    return s;
}

START_TEST(answers_come_when_they_are_ready_others_do_not_wait)
{
    struct rig g;
    rig_start(&g, "127.0.0.1");
    for (int stream = 0; stream < 2; stream++) {
        int fd = dial(&g.at, "127.0.0.1", stream ? SOCK_STREAM : SOCK_DGRAM);
        n_held = 0;
        tell(false);
        ask(fd, stream, "w1.example.io", 1);
        ask(fd, stream, "w2.example.io", 2);
        ask(fd, stream, "n.example.io", 3);
        ck_assert_int_eq(read_answer(fd, stream), 3 << 8);
        wait_held(2);
        tell(true);
        pending_retry(held[1]);
        ck_assert_int_eq(read_answer(fd, stream), 2 << 8);
        pending_retry(held[0]);
        ck_assert_int_eq(read_answer(fd, stream), 1 << 8);
        ask(fd, stream, "n.example.io", 4); // and the connection is as it was
        ck_assert_int_eq(read_answer(fd, stream), 4 << 8);
        close(fd);
    }
    ck_assert_uint_eq(stats(&g).parked, 4);
    ck_assert_uint_eq(stats(&g).pending_late, 0);
    rig_stop(&g);
}
END_TEST

START_TEST(an_answer_from_elsewhere_gets_the_querys_id)
{
    struct rig g;
    rig_start(&g, "127.0.0.1");
    for (int stream = 0; stream < 2; stream++) {
        int fd = dial(&g.at, "127.0.0.1", stream ? SOCK_STREAM : SOCK_DGRAM);
        n_held = 0;
        ask(fd, stream, "w1.example.io", 0x1234);
        ask(fd, stream, "w2.example.io", 0x1235);
        ask(fd, stream, "w3.example.io", 0x1236);
        wait_held(3);
        uint8_t *r = mem_zalloc(400), *junk = mem_zalloc(5);
        r[2] = 0x80;
        r[3] = DNS_NXDOMAIN;
        pending_answer(held[0], r, 400, NULL);
        ck_assert_int_eq(read_answer(fd, stream), 0x1234 << 8 | DNS_NXDOMAIN);
        // no response: asked again, and nothing can be waited for
        pending_answer(held[1], junk, 5, NULL);
        ck_assert_int_eq(read_answer(fd, stream), 0x1235 << 8 | DNS_REFUSED);
        pending_fail(held[2]);
        ck_assert_int_eq(read_answer(fd, stream), 0x1236 << 8 | DNS_REFUSED);
        close(fd);
    }
    rig_stop(&g);
}
END_TEST

START_TEST(answers_leave_from_the_address_that_was_asked)
{
    struct rig g;
    rig_start(&g, "0.0.0.0");
    // a connected socket takes answers from there only
    int fd = dial(&g.at, "127.0.0.77", SOCK_DGRAM);
    ask(fd, false, "w.example.io", 9);
    wait_held(1);
    pending_fail(held[0]);
    ck_assert_int_eq(read_answer(fd, false), 9 << 8 | DNS_REFUSED);
    close(fd);
    rig_stop(&g);
}
END_TEST

// Lets so much time go by, and the one worker see it: what is due by time alone is done after each
// of its turns, so before the second answer comes.
static void pass(int fd, int64_t ms)
{
    clock_virtual_advance(ms);
    for (uint16_t i = 0; i < 2; i++) {
        ask(fd, false, "n.example.io", i);
        ck_assert_int_eq(read_answer(fd, false), i << 8);
    }
}

START_TEST(nobody_waits_for_ever)
{
    struct rig g;
    clock_virtual_set(clock_wall_ms());
    rig_start(&g, "127.0.0.1");
    int udp = dial(&g.at, "127.0.0.1", SOCK_DGRAM), tcp = dial(&g.at, "127.0.0.1", SOCK_STREAM);
    int other = dial(&g.at, "127.0.0.1", SOCK_DGRAM);
    ask(udp, false, "r.example.io", 1); // asks to be asked again without end
    ck_assert_int_eq(read_answer(udp, false), 1 << 8 | DNS_REFUSED);
    ck_assert_uint_eq(n_asked, PENDING_RETRIES + 1);
    ask(udp, false, "w.example.io", 2);
    ask(tcp, true, "w.example.io", 3);
    ck_assert_int_eq(shutdown(tcp, SHUT_WR), 0); // half-closed: its answer still comes
    wait_held(2);
    pass(other, 0);
    pass(other, PENDING_MS - 1);
    ck_assert_uint_eq(stats(&g).pending_late, 0);
    clock_virtual_advance(1);
    ck_assert_int_eq(read_answer(udp, false), 2 << 8 | DNS_REFUSED);
    ck_assert_int_eq(read_answer(tcp, true), 3 << 8 | DNS_REFUSED);
    ck_assert_int_eq(read_answer(tcp, true), -1);
    ck_assert_uint_eq(stats(&g).pending_late, 2);
    pending_retry(held[0]); // too late: nothing comes of it
    pending_retry(held[1]);
    close(udp);
    close(tcp);
    close(other);
    rig_stop(&g);
    clock_virtual_off();
}
END_TEST

START_TEST(those_that_wait_are_bounded)
{
    struct rig g;
    rig_start(&g, "127.0.0.1");
    int tcp = dial(&g.at, "127.0.0.1", SOCK_STREAM), udp = dial(&g.at, "127.0.0.1", SOCK_DGRAM);
    for (uint16_t i = 0; i < PENDING_PER_CONN + 8; i++)
        ask(tcp, true, "w.example.io", i);
    wait_held(PENDING_PER_CONN);
    for (uint16_t i = 0; i < PENDING_MAX - PENDING_PER_CONN; i++) {
        ask(udp, false, "w.example.io", i);
        if (i % 16 == 15)
            wait_held(PENDING_PER_CONN + i); // not faster than the socket's buffer takes them
    }
    wait_held(PENDING_MAX);
    ask(udp, false, "w.example.io", 0xffff); // no slot: answered at once
    ck_assert_int_eq(read_answer(udp, false), 0xffff << 8 | DNS_REFUSED);
    ck_assert_uint_eq(n_held, PENDING_MAX);
    tell(true);
    for (size_t i = 0; i < PENDING_MAX; i++) {
        pending_retry(held[i]);
        if (i >= PENDING_PER_CONN)
            ck_assert_int_ge(read_answer(udp, false), 0);
    }
    bool seen[PENDING_PER_CONN + 8] = {false};
    // the connection's last ones were not even read
    for (int i = 0; i < PENDING_PER_CONN + 8; i++) {
        int got = read_answer(tcp, true);
        ck_assert(got >= 0 && !seen[got >> 8]);
        seen[got >> 8] = true;
    }
    close(udp);
    close(tcp);
    rig_stop(&g);
}
END_TEST

START_TEST(clients_and_resolvers_that_go_leave_nothing_behind)
{
    struct rig g;
    rig_start(&g, "127.0.0.1");
    int fd = dial(&g.at, "127.0.0.1", SOCK_STREAM), udp = dial(&g.at, "127.0.0.1", SOCK_DGRAM);
    ask(fd, true, "w1.example.io", 1);
    ask(fd, true, "w2.example.io", 2);
    wait_held(2);
    ck_assert_int_eq(
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
    close(fd); // a reset
    for (int i = 0; i < 2000 && stats(&g).tcp_open; i++)
        usleep(10000);
    ck_assert_uint_eq(stats(&g).tcp_open, 0);
    ask(udp, false, "w3.example.io", 3); // in a slot that was another's
    wait_held(3);
    pending_answer(held[0], mem_zalloc(100), 100, NULL);
    pending_retry(held[1]);
    tell(true);
    ask(udp, false, "n.example.io", 4);
    ck_assert_int_eq(read_answer(udp, false), 4 << 8);
    rig_stop(&g); // with one waiting
    pending_answer(held[2], mem_zalloc(100), 100, NULL);
    close(udp);
}
END_TEST

CHECK_MAIN("resolver/packet/pending_query", answers_come_when_they_are_ready_others_do_not_wait,
           an_answer_from_elsewhere_gets_the_querys_id,
           answers_leave_from_the_address_that_was_asked, nobody_waits_for_ever,
           those_that_wait_are_bounded, clients_and_resolvers_that_go_leave_nothing_behind)
