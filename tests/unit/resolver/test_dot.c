// SPDX-License-Identifier: Apache-2.0
// resolver/dot and its connections: real sessions over the loopback with OpenSSL as the client:
// pipelining, ALPN, half closes, clients that are slow, old or no TLS at all, and a certificate
// that is renewed while others go on.
#include "resolver/serve/dot.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "resolver/serve/resolver.h"
#include "resolver/serve/secret_reload.h"
#include "tests/support/check_main.h"
#include "tests/support/said.h"
#include "tests/support/tls_files.h"
#include "tests/unit/resolver/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], pem[128];
static struct snapshot topology, health;
static struct node_dns settings;
static struct resolver *server;
static struct endpoint plain, tls;

static void setup(void)
{
    char ca[128];
    snprintf(dir, sizeof dir, "/tmp/dot-XXXXXX");
    signal(SIGPIPE, SIG_IGN);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    tls_make_ca(dir, "ca", ca, sizeof ca);
    tls_make_leaf(dir, "ca", "leaf", "DNS:eus-1.eastus.fe.example.io", pem, sizeof pem);
    ck_assert_int_eq(node_dns_defaults(&settings), 0);
}

static void start(void)
{
    struct resolver_sockets *s;
    struct endpoint any = {fixture_ip("127.0.0.1"), 0};
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(
        resolver_rebind(&(struct resolver_listen){&any, 1, &any, 1}, 1, NULL, 0, &d, &s), 0);
    diag_done(&d);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 0, &plain), 0);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 1, &tls), 0);
    ck_assert_uint_eq(resolver_sockets_count(s), 3);
    snapshot_init(&topology);
    snapshot_init(&health);
    snapshot_publish(&topology, fixture_topology());
    const struct resolver_options o = {
        .topology = &topology, .health = &health, .settings = &settings, .pem = pem, .look_ms = 20};
    ck_assert_int_eq(resolver_start(&o, s, &server), 0);
}

static void stop(void)
{
    char c[128];
    resolver_stop(server);
    snapshot_done(&topology);
    snapshot_done(&health);
    snprintf(c, sizeof c, "rm -r %s", dir);
    tls_shell(c);
}

struct client {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static int dial(const struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {20, 0};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

// Verifies the server against the authority and its name. `alpn` in wire form, or NULL. Returns
// what SSL_connect does.
static int client_open(struct client *c, const char *alpn, int max_version)
{
    char ca[128];
    snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    c->fd = dial(&tls);
    c->ctx = SSL_CTX_new(TLS_client_method());
    ck_assert_int_eq(SSL_CTX_load_verify_locations(c->ctx, ca, NULL), 1);
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(c->ctx, TLS1_VERSION);
    SSL_CTX_set_security_level(c->ctx, 0);
    SSL_CTX_set_max_proto_version(c->ctx, max_version);
    c->ssl = SSL_new(c->ctx);
    ck_assert_int_eq(SSL_set1_host(c->ssl, "eus-1.eastus.fe.example.io"), 1);
    if (alpn)
        ck_assert_int_eq(
            SSL_set_alpn_protos(c->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)), 0);
    SSL_set_fd(c->ssl, c->fd);
    return SSL_connect(c->ssl);
}

static void client_close(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    close(c->fd);
}

static size_t frame(uint8_t *out, const char *name, uint16_t id)
{
    size_t n = fixture_query(out + 2, name, T_A, 1232);
    memcpy(out, (uint8_t[]){0, (uint8_t)n, (uint8_t)(id >> 8), (uint8_t)id}, 4);
    return n + 2;
}

static void ask(struct client *c, const char *name, uint16_t id)
{
    uint8_t q[512];
    size_t n = frame(q, name, id);
    ck_assert_int_eq(SSL_write(c->ssl, q, (int)n), (int)n);
}

static bool read_all(struct client *c, uint8_t *p, int n)
{
    for (int got = 0, k; got < n; got += k)
        if ((k = SSL_read(c->ssl, p + got, n - got)) <= 0)
            return false;
    return true;
}

// Its rcode, or -1 at the end.
static int answer(struct client *c, uint16_t id)
{
    uint8_t b[65537];
    if (!read_all(c, b, 2))
        return -1;
    ck_assert(read_all(c, b + 2, b[0] << 8 | b[1]));
    ck_assert_int_eq(b[2] << 8 | b[3], id);
    return b[5] & 15;
}

static struct resolver_stats stats(void)
{
    struct resolver_stats s;
    resolver_stats_get(server, &s);
    return s;
}

START_TEST(queries_are_answered_over_tls_1_2_and_1_3)
{
    setup();
    start();
    for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
        struct client c;
        const unsigned char *proto;
        unsigned n_proto;
        ck_assert_int_eq(client_open(&c, "\3dot", v), 1);
        SSL_get0_alpn_selected(c.ssl, &proto, &n_proto);
        ck_assert(n_proto == 3 && !memcmp(proto, "dot", 3));
        ck_assert_int_eq(SSL_version(c.ssl), v);
        for (uint16_t i = 0; i < 200; i++) // far more than a buffer holds
            ask(&c, i % 2 ? "contoso.example.io" : "nobody.example.io", i);
        for (uint16_t i = 0; i < 200; i++)
            ck_assert_int_eq(answer(&c, i), i % 2 ? 0 : 3);
        uint8_t many[6000]; // all in one record
        size_t n = 0;
        for (uint16_t i = 0; i < 80; i++)
            n += frame(many + n, "contoso.example.io", i);
        ck_assert_int_eq(SSL_write(c.ssl, many, (int)n), (int)n);
        for (uint16_t i = 0; i < 80; i++)
            ck_assert_int_eq(answer(&c, i), 0);
        ask(&c, "contoso.example.io", 7);
        SSL_shutdown(c.ssl); // says goodbye, and still gets its answer
        ck_assert_int_eq(answer(&c, 7), 0);
        ck_assert_int_eq(answer(&c, 0), -1);
        client_close(&c);
    }
    ck_assert_uint_eq(stats().tls_opened, 2);
    ck_assert_uint_eq(stats().tcp_queries, 2 * 281);
    stop();
}
END_TEST

START_TEST(what_is_not_tls_or_too_old_or_another_protocol_is_closed)
{
    setup();
    start();
    struct client c;
    uint8_t q[512], a[512];
    ck_assert_int_ne(client_open(&c, NULL, TLS1_1_VERSION), 1);
    client_close(&c);
    ck_assert_int_ne(client_open(&c, "\2h2\10http/1.1", TLS1_3_VERSION), 1);
    client_close(&c);
    ck_assert_int_eq(client_open(&c, "\2h2\3dot", TLS1_3_VERSION), 1);
    client_close(&c);
    ck_assert_int_eq(client_open(&c, NULL, TLS1_3_VERSION), 1); // many clients offer none
    ask(&c, "contoso.example.io", 1);
    ck_assert_int_eq(answer(&c, 1), 0);
    ck_assert_int_eq(SSL_write(c.ssl, "\0\3abc", 5), 5); // a frame that is no query
    ck_assert_int_eq(answer(&c, 1), -1);
    client_close(&c);
    int fd = dial(&tls); // plain DNS over TCP
    size_t n = frame(q, "contoso.example.io", 1);
    ck_assert_int_eq(send(fd, q, n, MSG_NOSIGNAL), (ssize_t)n);
    ssize_t got = recv(fd, a, sizeof a, 0); // an alert, if anything
    ck_assert(got <= 0 || a[0] == 21);
    while (got > 0)
        got = recv(fd, a, sizeof a, 0);
    close(fd);
    for (int i = 0; i < 1000 && stats().tcp_open; i++)
        usleep(10000);
    ck_assert_uint_eq(stats().tcp_open, 0);
    ck_assert_uint_eq(stats().tls_failed, 3);
    stop();
}
END_TEST

// Waits for the resolver to close.
static void closed(int fd)
{
    char b[64];
    ssize_t n;
    while ((n = recv(fd, b, sizeof b, 0)) > 0)
        ;
    ck_assert(n == 0 || errno == ECONNRESET);
}

// Lets so much time go by, and the one worker see it: what is due by time alone is done after each
// of its turns, so before the second answer comes.
static void pass(struct client *c, int64_t ms)
{
    clock_virtual_advance(ms);
    for (uint16_t i = 0; i < 2; i++) {
        ask(c, "contoso.example.io", i);
        ck_assert_int_eq(answer(c, i), 0);
    }
}

// Does every thread but this one sleep in the kernel? One that spins never does.
static bool others_sleep(void)
{
    bool sleep = true;
    DIR *d = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[300], text[512] = "";
        if (*e->d_name == '.' || atoi(e->d_name) == gettid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", e->d_name);
        int fd = open(path, O_RDONLY);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_gt(read(fd, text, sizeof text - 1), 0);
        close(fd);
        sleep &= !strncmp(strrchr(text, ')'), ") S", 3);
    }
    closedir(d);
    return sleep;
}

static void wait_asleep(void)
{
    for (int seen = 0, i = 0; seen < 5; i++) {
        ck_assert_msg(i < 20000, "a thread spins");
        usleep(1000);
        seen = others_sleep() ? seen + 1 : 0;
    }
}

START_TEST(a_handshake_has_its_time_and_half_a_record_does_not_spin)
{
    setup();
    settings.tcp.idle_ms = 30000;
    clock_virtual_set(clock_wall_ms());
    start();
    struct client c, other;
    int silent = dial(&tls), half = dial(&tls);
    ck_assert_int_eq(send(half, "\x16\x03\x01\x02\x00\x01", 6, 0), 6); // the beginning of a hello
    ck_assert_int_eq(client_open(&c, NULL, TLS1_3_VERSION), 1);
    ck_assert_int_eq(send(c.fd, "\x17\x03\x03\x01\x00half", 9, 0), 9); // of a record
    ck_assert_int_eq(client_open(&other, NULL, TLS1_3_VERSION), 1);
    pass(&other, 0);
    ck_assert_uint_eq(stats().tcp_open, 4);
    wait_asleep();
    pass(&other, 5000);
    ck_assert_uint_eq(stats().tls_failed, 0);
    pass(&other, 1000); // swept once a second
    closed(silent);
    closed(half);
    pass(&other, 0);
    ck_assert_uint_eq(stats().tls_failed, 2);
    ck_assert_uint_eq(stats().tcp_open, 2); // who has shown that it is a client may be idle
    client_close(&c);
    client_close(&other);
    stop();
    clock_virtual_off();
}
END_TEST

static long serial_shown(struct client *c)
{
    X509 *x = SSL_get1_peer_certificate(c->ssl);
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    long v = (long)BN_mod_word(n, 1000003);
    BN_free(n);
    X509_free(x);
    return v;
}

START_TEST(a_renewed_certificate_is_shown_to_new_clients_and_the_others_stay)
{
    setup();
    start();
    struct client first, next;
    ck_assert_int_eq(client_open(&first, NULL, TLS1_3_VERSION), 1);
    long serial = serial_shown(&first), now = serial;
    char c[512], leaf[128];
    tls_make_leaf(dir, "ca", "renewed", "DNS:eus-1.eastus.fe.example.io", leaf, sizeof leaf);
    snprintf(c, sizeof c, "mv %s %s", leaf, pem);
    tls_shell(c);
    for (int i = 0; i < 1000 && now == serial; i++) {
        usleep(10000);
        ck_assert_int_eq(client_open(&next, NULL, TLS1_3_VERSION), 1);
        now = serial_shown(&next);
        client_close(&next);
    }
    ck_assert_int_ne(now, serial);
    ask(&first, "contoso.example.io", 5);
    ck_assert_int_eq(answer(&first, 5), 0);
    said_begin();
    snprintf(c, sizeof c, "echo nonsense > %s", pem); // what cannot be read changes nothing
    tls_shell(c);
    said_wait("the certificate of DNS over TLS stays as it was");
    ck_assert_int_eq(client_open(&next, NULL, TLS1_3_VERSION), 1);
    ck_assert_int_eq(serial_shown(&next), now);
    client_close(&next);
    client_close(&first);
    stop();
}
END_TEST

START_TEST(without_a_certificate_there_is_no_tls_until_it_comes)
{
    setup();
    char kept[160], c[512];
    struct client x;
    snprintf(kept, sizeof kept, "%s.kept", pem);
    ck_assert_int_eq(rename(pem, kept), 0);
    start();
    ck_assert_int_ne(client_open(&x, NULL, TLS1_3_VERSION), 1);
    client_close(&x);
    int fd = dial(&plain); // the rest goes on
    uint8_t q[512], a[512];
    size_t n = frame(q, "contoso.example.io", 1);
    ck_assert_int_eq(send(fd, q, n, 0), (ssize_t)n);
    ck_assert_int_ge(recv(fd, a, sizeof a, 0), 12);
    close(fd);
    snprintf(c, sizeof c, "mv %s %s", kept, pem);
    tls_shell(c);
    int ok = 0;
    for (int i = 0; i < 1000 && ok != 1; i++) {
        usleep(10000);
        ok = client_open(&x, NULL, TLS1_3_VERSION);
        client_close(&x);
    }
    ck_assert_int_eq(ok, 1);
    stop();
}
END_TEST

START_TEST(files_that_are_no_identity)
{
    setup();
    struct dot_identity *id;
    struct diag d;
    char c[512];
    diag_init(&d);
    ck_assert_int_eq(dot_identity_load("/nonexistent", &d, &id), ERR_NOTFOUND);
    snprintf(c, sizeof c,
             "cd %s && umask 077 && openssl x509 -in leaf.pem -out bare.pem && cat bare.pem ca.key "
             "> other.pem && "
             "openssl pkcs8 -topk8 -in leaf.key -passout pass:x -out locked.key && cat bare.pem "
             "locked.key > locked.pem "
             "&& (cat bare.pem && sed 's/^M.../MAAA/' bare.pem && cat leaf.key) > chain.pem && : > "
             "empty.pem && "
             "mkfifo pipe.pem && cp leaf.pem open.pem && chmod 640 open.pem",
             dir);
    tls_shell(c);
    static const struct {
        const char *name;
        int rc;
    } bad[] = {{"bare", ERR_CRYPTO},  {"other", ERR_CRYPTO}, {"locked", ERR_CRYPTO},
               {"chain", ERR_CRYPTO}, {"empty", ERR_CRYPTO}, {"pipe", ERR_DENIED},
               {"open", ERR_DENIED}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(c, sizeof c, "%s/%s.pem", dir, bad[i].name);
        ck_assert_msg(dot_identity_load(c, &d, &id) == bad[i].rc, "%s", bad[i].name);
        ck_assert_uint_eq(diag_count(&d), 2 + i);
    }
    ck_assert_int_eq(dot_identity_load(pem, &d, &id), 0);
    snapshot_unref(id);
    diag_done(&d);
    snprintf(c, sizeof c, "rm -r %s", dir);
    tls_shell(c);
}
END_TEST

CHECK_MAIN("resolver/dot", queries_are_answered_over_tls_1_2_and_1_3,
           what_is_not_tls_or_too_old_or_another_protocol_is_closed,
           a_handshake_has_its_time_and_half_a_record_does_not_spin,
           a_renewed_certificate_is_shown_to_new_clients_and_the_others_stay,
           without_a_certificate_there_is_no_tls_until_it_comes, files_that_are_no_identity)
