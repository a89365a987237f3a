// SPDX-License-Identifier: Apache-2.0
// resolver/server: whose turn it is. The server is a process of its own, which is stopped while
// many clients write to it at once, so that all of it is there when it goes on; the kernel's own
// receive times then say in which order the answers left.
#include "resolver/serve/resolver.h"

#include "tests/support/check_main.h"
#include "tests/support/tls_files.h"
#include "tests/unit/resolver/fixture.h"

#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 100
#define QUERIES 60       // of one client, at once
#define KEY_UPDATES 1000 // 27 octets each: what the server's socket takes

static char dir[64];
static struct endpoint plain, tls;
static pid_t server;

static void serve(struct resolver_sockets *s, const char *pem)
{
    struct snapshot topology, health;
    struct node_dns settings;
    struct resolver *r;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snapshot_init(&topology);
    snapshot_init(&health);
    snapshot_publish(&topology, fixture_topology());
    if (node_dns_defaults(&settings))
        _exit(1);
    settings.tcp.per_client = 250;
    const struct resolver_options o = {
        .topology = &topology, .health = &health, .settings = &settings, .pem = pem};
    if (resolver_start(&o, s, &r))
        _exit(1);
    for (;;)
        pause();
}

static void start(void)
{
    struct resolver_sockets *s;
    struct endpoint any = {fixture_ip("127.0.0.1"), 0};
    struct diag d;
    char ca[128], pem[128];
    snprintf(dir, sizeof dir, "/tmp/turns-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    tls_make_ca(dir, "ca", ca, sizeof ca);
    tls_make_leaf(dir, "ca", "leaf", "DNS:ns.example.io", pem, sizeof pem);
    diag_init(&d);
    ck_assert_int_eq(
        resolver_rebind(&(struct resolver_listen){&any, 1, &any, 1}, 1, NULL, 0, &d, &s), 0);
    diag_done(&d);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 0, &plain), 0);
    ck_assert_int_eq(resolver_sockets_endpoint(s, 1, &tls), 0);
    server = fork();
    ck_assert_int_ge(server, 0);
    if (server == 0)
        serve(s, pem);
    resolver_sockets_free(s);
}

static void stop(void)
{
    char c[128];
    kill(server, SIGKILL);
    ck_assert_int_eq(waitpid(server, NULL, 0), server);
    snprintf(c, sizeof c, "rm -r %s", dir);
    tls_shell(c);
}

static void freeze(void)
{
    int status;
    ck_assert_int_eq(kill(server, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(server, &status, WUNTRACED), server);
    ck_assert(WIFSTOPPED(status));
}

static void thaw(void)
{
    ck_assert_int_eq(kill(server, SIGCONT), 0);
}

static int dial(const struct endpoint *at, int type)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    struct timeval limit = {20, 0};
    int fd = socket(AF_INET, type, 0), on = 1;
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

// When what is read now came in, in nanoseconds; 0: the kernel has not noted it.
static int64_t came_ns(int fd)
{
    char byte[1], control[256];
    struct iovec iov = {byte, sizeof byte};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ck_assert_int_eq(recvmsg(fd, &m, 0), 1);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec ts;
            memcpy(&ts, CMSG_DATA(c), sizeof ts);
            return ts.tv_sec * 1000000000LL + ts.tv_nsec;
        }
    return 0;
}

static size_t frame(uint8_t *out)
{
    size_t n = fixture_query(out + 2, "contoso.example.io", T_A, -1);
    out[0] = 0;
    out[1] = (uint8_t)n;
    return n + 2;
}

static void ask_udp(int fd)
{
    uint8_t q[256];
    size_t n = frame(q) - 2;
    ck_assert_int_eq(send(fd, q + 2, n, 0), (ssize_t)n);
}

static void ask_tcp(int fd, int times)
{
    uint8_t q[64 * QUERIES];
    size_t n = 0;
    for (int i = 0; i < times; i++)
        n += frame(q + n);
    ck_assert_int_eq(send(fd, q, n, MSG_NOSIGNAL), (ssize_t)n);
}

// The kernel notes times only from some moment after it was first asked to.
static void wait_for_stamps(void)
{
    for (int i = 0;; i++) {
        int fd = dial(&plain, SOCK_STREAM);
        ask_tcp(fd, 1);
        int64_t at = came_ns(fd);
        close(fd);
        if (at)
            return;
        ck_assert_int_lt(i, 2000);
        clock_sleep_ms(5);
    }
}

static size_t hello(uint8_t *out, size_t cap)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, to);
    ck_assert_int_ne(SSL_connect(ssl), 1);
    int n = BIO_read(to, out, (int)cap);
    ck_assert_int_gt(n, 0);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return (size_t)n;
}

static SSL *tls_client(SSL_CTX **ctx)
{
    *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(*ctx);
    SSL_set_fd(ssl, dial(&tls, SOCK_STREAM));
    ck_assert_int_eq(SSL_connect(ssl), 1);
    return ssl;
}

static void tls_client_close(SSL *ssl, SSL_CTX *ctx)
{
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

// How many of the connections were answered before the datagram.
static int answered_before(const int *fds, int64_t datagram_ns)
{
    int n = 0;
    for (int i = 0; i < MANY; i++) {
        n += came_ns(fds[i]) < datagram_ns;
        close(fds[i]);
    }
    return n;
}

START_TEST(datagrams_are_answered_between_handshakes)
{
    int fds[MANY];
    uint8_t first[2048];
    SSL_CTX *ctx;
    start();
    wait_for_stamps();
    size_t n = hello(first, sizeof first);
    int udp = dial(&plain, SOCK_DGRAM);
    for (int i = 0; i < MANY; i++)
        fds[i] = dial(&tls, SOCK_STREAM);
    SSL *last = tls_client(&ctx); // it is served, so all before it are taken up
    freeze();
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(send(fds[i], first, n, MSG_NOSIGNAL), (ssize_t)n);
    ask_udp(udp);
    thaw();
    int before = answered_before(fds, came_ns(udp));
    ck_assert_msg(before <= 3, "%d handshakes went before it", before);
    tls_client_close(last, ctx);
    close(udp);
    stop();
}
END_TEST

START_TEST(datagrams_are_answered_between_connections)
{
    int fds[MANY];
    start();
    wait_for_stamps();
    int udp = dial(&plain, SOCK_DGRAM);
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial(&plain, SOCK_STREAM);
        ask_tcp(fds[i], 1);
        ck_assert_int_gt(recv(fds[i], (char[4096]){0}, 4096, 0), 0);
    }
    freeze();
    for (int i = 0; i < MANY; i++)
        ask_tcp(fds[i], QUERIES);
    ask_udp(udp);
    thaw();
    int before = answered_before(fds, came_ns(udp));
    ck_assert_msg(before <= 3, "%d connections went before it", before);
    close(udp);
    stop();
}
END_TEST

// Records without data, of which one read could take as many as the client can send: a session
// takes its turns, too.
START_TEST(a_session_of_key_updates_does_not_keep_its_turn)
{
    SSL_CTX *ctx;
    uint8_t q[256];
    start();
    wait_for_stamps();
    int udp = dial(&plain, SOCK_DGRAM);
    SSL *ssl = tls_client(&ctx);
    ck_assert_int_eq(SSL_version(ssl), TLS1_3_VERSION);
    int n = (int)frame(q);
    // what came with the handshake is read, so that the next octet is the answer's
    char ticket[4096];
    ck_assert_int_eq(SSL_write(ssl, q, n), n);
    ck_assert_int_gt(SSL_read(ssl, ticket, sizeof ticket), 0);
    int cork = 1;
    ck_assert_int_eq(setsockopt(SSL_get_fd(ssl), IPPROTO_TCP, TCP_CORK, &cork, sizeof cork), 0);
    freeze();
    for (int i = 0; i < KEY_UPDATES; i++) {
        ck_assert_int_eq(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(ssl), 1);
    }
    ck_assert_int_eq(SSL_write(ssl, q, n), n);
    cork = 0; // all of it leaves, and needs nobody to go on for that
    ck_assert_int_eq(setsockopt(SSL_get_fd(ssl), IPPROTO_TCP, TCP_CORK, &cork, sizeof cork), 0);
    ask_udp(udp);
    thaw();
    int64_t datagram_ns = came_ns(udp), session_ns = came_ns(SSL_get_fd(ssl));
    ck_assert_int_lt(datagram_ns, session_ns);
    tls_client_close(ssl, ctx);
    close(udp);
    stop();
}
END_TEST

CHECK_MAIN("resolver/turns", datagrams_are_answered_between_handshakes,
           datagrams_are_answered_between_connections,
           a_session_of_key_updates_does_not_keep_its_turn)
