// SPDX-License-Identifier: Apache-2.0
// Tunnels against a TLS server that behaves in every bad way: it hangs, slams the door, floods,
// reads nothing, shows the wrong certificate. The test is the edge.
#include "net/tunnel_test.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/topology.h"
#include "net/http.h"
#include "tests/support/check_main.h"
#include "tests/support/tls_files.h"
#include "tests/support/wait_for.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/un.h>

enum manner {
    ANSWERS, // reads a request with its body, and says how much it was
    MUTE,    // takes the connection, and does not even begin TLS
    SLAMS,   // closes it
    TAKES,   // reads all, and never answers
    DEAF,    // reads nothing after the handshake
    FLOODS,  // answers with FLOOD_BYTES
    ENDS,    // reads, and closes without an answer
    PARTS,   // closes in the middle of an answer
    ONCE,    // answers once, and closes
};

#define FLOOD_BYTES (24u << 20)

static char dir[64], socket_path[100], ca[100], leaf[100];
static char fingerprint[2 * SHA256_BYTES + 1];
static struct snapshot topology;
static struct tunnels *tunnels;
static int far_listener;
static pthread_t far_thread;
static _Atomic enum manner manner;
static _Atomic unsigned n_connections, n_over;
static _Atomic size_t n_sent, n_taken;
static SSL_CTX *far_tls;

// --- the other region ---

// Reads head and body; returns the body's length, -1 at the end.
static long request_read(SSL *ssl)
{
    static __thread char text[65536];
    size_t n = 0;
    char *end = NULL;
    while (!end) {
        int got = SSL_read(ssl, text + n, (int)(sizeof text - n - 1));
        if (got <= 0)
            return -1;
        n += (size_t)got;
        text[n] = '\0';
        end = strstr(text, "\r\n\r\n");
    }
    const char *length = strstr(text, "Content-Length: ");
    long body = length ? strtol(length + 16, NULL, 10) : 0,
         left = body - (long)(n - (size_t)(end + 4 - text));
    for (int got; left > 0; left -= got) {
        got = SSL_read(ssl, text, sizeof text);
        if (got <= 0)
            return -1;
        n_taken += (size_t)got;
    }
    return body;
}

static void flood(SSL *ssl)
{
    static char piece[16384];
    char head[100];
    int n =
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", FLOOD_BYTES);
    SSL_write(ssl, head, n);
    for (size_t sent = 0; sent < FLOOD_BYTES; sent += sizeof piece) {
        if (SSL_write(ssl, piece, sizeof piece) <= 0)
            return;
        n_sent += sizeof piece;
    }
}

static void far_serve(SSL *ssl)
{
    char piece[16384], text[200];
    if (manner == TAKES)
        for (int n; (n = SSL_read(ssl, piece, sizeof piece)) > 0;)
            n_taken += (size_t)n;
    while (manner == DEAF)
        clock_sleep_ms(10);
    for (long n; manner != TAKES && (n = request_read(ssl)) >= 0;) {
        if (manner == ENDS)
            return;
        if (manner == FLOODS) {
            flood(ssl);
            continue;
        }
        if (manner == PARTS) {
            SSL_write(ssl, "HTTP/1.1 201 Created\r\nConte", 27);
            return;
        }
        int len = snprintf(text, sizeof text,
                           "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nX-Body: %ld\r\n\r\n", n);
        SSL_write(ssl, text, len);
        if (manner == ONCE)
            return;
    }
}

static void *far_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    while (manner == MUTE)
        clock_sleep_ms(10);
    SSL *ssl = SSL_new(far_tls);
    SSL_set_fd(ssl, fd);
    if (manner != SLAMS && SSL_accept(ssl) == 1)
        far_serve(ssl);
    if (manner != SLAMS)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    n_over++;
    return NULL;
}

static void *far_main(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(far_listener, NULL, NULL)) >= 0;) {
        pthread_t t;
        n_connections++;
        ck_assert_int_eq(pthread_create(&t, NULL, far_connection, (void *)(intptr_t)fd), 0);
        pthread_detach(t);
    }
    return NULL;
}

// --- the frame ---

static void leaf_fingerprint(const char *pem, char out[2 * SHA256_BYTES + 1])
{
    FILE *file = fopen(pem, "r");
    ck_assert_ptr_nonnull(file);
    X509 *x = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned n;
    ck_assert_ptr_nonnull(x);
    ck_assert(X509_digest(x, EVP_sha256(), sum, &n));
    X509_free(x);
    hex_format(sum, n, out);
}

static void topology_publish(unsigned version, const char *pin)
{
    struct sockaddr_in at;
    socklen_t n = sizeof at;
    ck_assert_int_eq(getsockname(far_listener, (struct sockaddr *)&at, &n), 0);
    struct buf b;
    buf_init(&b, 0);
    buf_printf(
        &b,
        "version: %u\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n"
        "  - { name: eastus, stamps: [{ name: e-1, ipv4: [192.0.2.1] }], peer: '192.0.2.1:8443' }\n"
        "  - { name: westeurope, stamps: [{ name: w-1, ipv4: [192.0.2.2] }], peer: '127.0.0.1:%u' "
        "}\n"
        "name_servers: [e-1.eastus]\nregistries:\n  - name: contoso\n    replicas: [{ region: "
        "eastus }]\n"
        "routing: { order: [eastus, westeurope] }\nidentities:\n  westeurope: { peer_fingerprints: "
        "[\"%s\"] }\n",
        version, ntohs(at.sin_port), pin);
    struct diag diag;
    diag_init(&diag);
    struct topology *t;
    int rc = topology_parse(buf_cstr(&b), b.n, "test", &diag, &t);
    diag_print(&diag, stderr);
    ck_assert_int_eq(rc, 0);
    diag_done(&diag);
    buf_done(&b);
    snapshot_publish(&topology, t);
}

static void up_with(const char *leaf_ca, const char *leaf_name, struct tunnels_options o)
{
    signal(SIGPIPE, SIG_IGN); // of the far side, which is ours too
    snprintf(dir, sizeof dir, "/tmp/mer-tunnel-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    tls_make_ca(dir, "ca", ca, sizeof ca);
    if (strcmp(leaf_ca, "ca") != 0) {
        char other[100];
        tls_make_ca(dir, leaf_ca, other, sizeof other);
    }
    tls_make_leaf(dir, leaf_ca, "leaf", leaf_name, leaf, sizeof leaf);
    leaf_fingerprint(leaf, fingerprint);
    far_tls = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(far_tls, leaf), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(far_tls, leaf, SSL_FILETYPE_PEM), 1);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    far_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(!bind(far_listener, (struct sockaddr *)&at, sizeof at) && !listen(far_listener, 16));
    ck_assert_int_eq(pthread_create(&far_thread, NULL, far_main, NULL), 0);
    snapshot_init(&topology);
    topology_publish(1, fingerprint);
    snprintf(socket_path, sizeof socket_path, "%s/t", dir);
    ck_assert_int_eq(http_socket_open(socket_path, 0600, (uid_t)-1, (gid_t)-1, &o.listen_fd), 0);
    o.topology = &topology;
    o.region = "eastus";
    o.stamp = "e-1";
    o.ca_file = ca;
    o.peer_pem = leaf; // both sides show the same one here
    ck_assert_int_eq(tunnels_start(&o, &tunnels), 0);
}

static void up(void)
{
    up_with("ca", "DNS:westeurope.peer.example.io", (struct tunnels_options){0});
}

static void down(void)
{
    manner = ANSWERS;
    tunnels_stop(tunnels);
    shutdown(far_listener, SHUT_RDWR);
    pthread_join(far_thread, NULL);
    for (int i = 0; n_over < n_connections && i < 1000; i++)
        clock_sleep_ms(5);
    close(far_listener);
    SSL_CTX_free(far_tls);
    snapshot_done(&topology);
    dir_remove_tree(dir);
}

// --- the edge ---

static int edge_connect(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    struct timeval limit = {.tv_sec = 30};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    return fd;
}

static void head_send(int fd, size_t body)
{
    char text[300];
    int n = snprintf(text, sizeof text,
                     "PATCH /v2/team/app/blobs/uploads/westeurope.00ff?a=/b.c HTTP/1.1\r\nHost: "
                     "contoso.example.io\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     body);
    ck_assert_int_eq(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

static void body_send(int fd, size_t n)
{
    static const char piece[65536];
    while (n) {
        size_t part = n < sizeof piece ? n : sizeof piece;
        ck_assert_int_eq(send(fd, piece, part, MSG_NOSIGNAL), (ssize_t)part);
        n -= part;
    }
}

// An answer without a body, or all until the end of the connection. "" when there was none.
static const char *answer_read(int fd, bool to_end)
{
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    while (n < sizeof text - 1) {
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        ck_assert_msg(got >= 0 || errno == ECONNRESET, "no answer: %s", strerror(errno));
        if (got <= 0)
            break;
        n += (size_t)got;
        text[n] = '\0';
        if (!to_end && strstr(text, "\r\n\r\n"))
            break;
    }
    return text;
}

static void asks_and_hears(const char *a, const char *b)
{
    int fd = edge_connect();
    head_send(fd, 0);
    const char *said = answer_read(fd, true);
    ck_assert_msg(strstr(said, a) && strstr(said, b), "%s", said);
    close(fd);
}

static bool none_open(void)
{
    for (int i = 0; tunnels_open(tunnels) && i < 2000; i++)
        clock_sleep_ms(5);
    return tunnels_open(tunnels) == 0;
}

START_TEST(bytes_go_through_and_the_connection_is_kept)
{
    up();
    int fd = edge_connect();
    const size_t sizes[] = {0, 1, 20u << 20, 100000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char want[40];
        head_send(fd, sizes[i]);
        body_send(fd, sizes[i]);
        const char *said = answer_read(fd, false);
        snprintf(want, sizeof want, "X-Body: %zu\r\n", sizes[i]);
        ck_assert_msg(strstr(said, "201 Created") && strstr(said, want), "%s", said);
    }
    ck_assert_uint_eq(n_connections, 1);
    ck_assert_uint_eq(tunnels_open(tunnels), 1);
    close(fd);
    ck_assert(none_open());
    down();
}
END_TEST

START_TEST(who_does_not_read_is_not_read_for)
{
    up();
    manner = FLOODS;
    int fd = edge_connect();
    head_send(fd, 0);
    size_t before;
    do { // until it stands still
        before = n_sent;
        clock_sleep_ms(300);
    } while (n_sent != before || !before);
    ck_assert_uint_lt(n_sent, FLOOD_BYTES);
    char *piece = mem_alloc(1 << 16);
    size_t got = 0;
    for (ssize_t n; got < FLOOD_BYTES && (n = recv(fd, piece, 1 << 16, 0)) > 0;)
        got += (size_t)n;
    ck_assert_uint_ge(got, FLOOD_BYTES);
    free(piece);
    close(fd);
    ck_assert(none_open());
    down();
}
END_TEST

START_TEST(a_region_that_falls_silent_is_answered_for)
{
    up();
    manner = DEAF;
    int fd = edge_connect(), idle = edge_connect();
    static const char piece[65536];
    head_send(fd, 1u << 30);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    size_t sent = 0;
    for (struct pollfd p = {.fd = fd, .events = POLLOUT}; poll(&p, 1, 500) == 1;) {
        ssize_t n = send(fd, piece, sizeof piece, MSG_NOSIGNAL);
        ck_assert_int_gt(n, 0);
        sent += (size_t)n;
    }
    ck_assert_uint_lt(sent, 64u << 20); // it stands still
    fcntl(fd, F_SETFL, 0);
    int64_t began = clock_mono_ms();
    tunnels_peer(tunnels, "westeurope", true);
    const char *said = answer_read(fd, true);
    ck_assert_msg(strstr(said, "503 ") && strstr(said, "region westeurope") &&
                      strstr(said, "silent"),
                  "%s", said);
    ck_assert_ptr_nonnull(strstr(said, "X-Meridian-Region: eastus\r\n"));
    ck_assert_int_lt(clock_mono_ms() - began, 5000);
    asks_and_hears("503 ", "silent"); // at once, also new ones
    ck_assert_uint_eq(n_connections, 1);
    manner = ANSWERS;
    tunnels_peer(tunnels, "westeurope", false);
    head_send(idle, 0);
    ck_assert_ptr_nonnull(strstr(answer_read(idle, false), "201 Created"));
    close(fd);
    close(idle);
    ck_assert(none_open());
    down();
}
END_TEST

START_TEST(a_kept_connection_outlives_what_it_led_to)
{
    up();
    int fd = edge_connect();
    head_send(fd, 0);
    ck_assert_ptr_nonnull(strstr(answer_read(fd, false), "201 Created"));
    manner = ONCE;
    for (unsigned i = 2; i < 5; i++) { // the other side closes after each: a new way is found
        head_send(fd, 10);
        body_send(fd, 10);
        const char *said = answer_read(fd, false);
        ck_assert_msg(strstr(said, "201 Created") && strstr(said, "X-Body: 10\r\n"), "%s", said);
        WAIT_FOR(tunnels_far(tunnels) == 0, 10000);
    }
    manner = ANSWERS;
    head_send(fd, 0);
    ck_assert_ptr_nonnull(strstr(answer_read(fd, false), "201 Created"));
    tunnels_peer(tunnels, "westeurope", true);
    WAIT_FOR(tunnels_far(tunnels) == 0, 10000);
    head_send(fd, 0); // the edge could not know
    const char *said = answer_read(fd, true);
    ck_assert_msg(strstr(said, "503 ") && strstr(said, "silent"), "%s", said);
    close(fd);
    ck_assert(none_open());
    down();
}
END_TEST

START_TEST(what_hangs_in_the_handshake_is_given_up)
{
    up_with("ca", "DNS:westeurope.peer.example.io", (struct tunnels_options){.connect_ms = 700});
    manner = MUTE;
    int64_t began = clock_mono_ms();
    asks_and_hears("504 ", "in time");
    ck_assert_int_ge(clock_mono_ms() - began, 600);
    manner = ANSWERS;
    ck_assert(none_open());
    down();
}
END_TEST

START_TEST(a_door_that_is_slammed_is_told)
{
    up();
    manner = SLAMS;
    asks_and_hears("503 ", "closed the connection");
    manner = ENDS;
    asks_and_hears("503 ", "without an answer");
    manner = PARTS; // an answer that has begun is cut, and nothing is put behind it
    int fd = edge_connect();
    head_send(fd, 0);
    ck_assert_str_eq(answer_read(fd, true), "HTTP/1.1 201 Created\r\nConte");
    close(fd);
    ck_assert(none_open());
    shutdown(far_listener, SHUT_RDWR);
    pthread_join(far_thread, NULL);
    close(far_listener); // nobody listens
    asks_and_hears("503 ", "cannot be reached");
    far_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(pthread_create(&far_thread, NULL, far_main, NULL), 0);
    down();
}
END_TEST

START_TEST(another_authority_is_not_believed)
{
    up_with("other", "DNS:westeurope.peer.example.io", (struct tunnels_options){0});
    asks_and_hears("503 ", "did not prove");
    down();
}
END_TEST

START_TEST(another_name_is_not_believed)
{
    up_with("ca", "DNS:southeastasia.peer.example.io", (struct tunnels_options){0});
    asks_and_hears("503 ", "did not prove");
    down();
}
END_TEST

START_TEST(a_certificate_that_is_not_pinned_is_not_believed)
{
    char other[2 * SHA256_BYTES + 1];
    up();
    leaf_fingerprint(ca, other);
    topology_publish(2, other); // of the same authority, and with the right name, but not pinned
    asks_and_hears("503 ", "did not prove");
    topology_publish(3, fingerprint);
    int fd = edge_connect();
    head_send(fd, 0);
    ck_assert_ptr_nonnull(strstr(answer_read(fd, false), "201 Created"));
    close(fd);
    down();
}
END_TEST

START_TEST(a_fingerprint_that_is_revoked_ends_what_runs)
{
    char other[2 * SHA256_BYTES + 1];
    up();
    leaf_fingerprint(ca, other);
    manner = TAKES;
    int running = edge_connect();
    head_send(running, 10);
    for (int i = 0; !n_taken && i < 2000; i++)
        clock_sleep_ms(5);
    topology_publish(2, other);
    const char *said = answer_read(running, true);
    ck_assert_msg(strstr(said, "503 ") && strstr(said, "no longer trusted"), "%s", said);
    close(running);
    ck_assert(none_open());
    down();
}
END_TEST

START_TEST(only_regions_of_the_service_are_called)
{
    static const char *const heads[] = {
        "GET /v2/a/blobs/uploads/nowhere.00 HTTP/1.1\r\n\r\n",
        "GET /v2/a/blobs/uploads/eastus.00 HTTP/1.1\r\n\r\n", // ourselves
        "GET /v2/a/blobs/uploads/West.00 HTTP/1.1\r\n\r\n",
        "GET /v2/a/manifests/westeurope.00 HTTP/1.1\r\n\r\n",
        "GET /v2/a/blobs/uploads/westeurope HTTP/1.1\r\n\r\n",
        "GET /v2/a/blobs/uploads/ HTTP/1.1\r\n\r\n",
        "GET\r\n\r\n",
        "\n",
    };
    up();
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        int fd = edge_connect();
        ck_assert_int_gt(send(fd, heads[i], strlen(heads[i]), MSG_NOSIGNAL), 0);
        ck_assert_ptr_nonnull(strstr(answer_read(fd, true), "503 "));
        close(fd);
    }
    ck_assert_uint_eq(n_connections, 0);
    // A line that comes in pieces is waited for; one without an end is not.
    int fd = edge_connect();
    ck_assert_int_eq(send(fd, "GET /v2/a/blobs/upl", 19, MSG_NOSIGNAL), 19);
    clock_sleep_ms(50);
    static const char rest[] = "oads/westeurope.00 HTTP/1.1\r\n\r\n";
    ck_assert_int_gt(send(fd, rest, sizeof rest - 1, MSG_NOSIGNAL), 0);
    ck_assert_ptr_nonnull(strstr(answer_read(fd, false), "201 Created"));
    close(fd);
    fd = edge_connect();
    static char endless[TUNNEL_BUFFER_BYTES];
    memset(endless, 'x', sizeof endless);
    ck_assert_int_eq(send(fd, endless, sizeof endless, MSG_NOSIGNAL), (ssize_t)sizeof endless);
    ck_assert_ptr_nonnull(strstr(answer_read(fd, true), "503 "));
    close(fd);
    down();
}
END_TEST

START_TEST(tunnels_are_bounded)
{
    up_with("ca", "DNS:westeurope.peer.example.io", (struct tunnels_options){.max = 2});
    manner = TAKES;
    int fd[3];
    for (int i = 0; i < 3; i++) {
        fd[i] = edge_connect();
        head_send(fd[i], i < 2 ? 10 : 0);
    }
    WAIT_FOR(n_connections == 2, 10000);
    clock_sleep_ms(300); // in which a third would come
    ck_assert_uint_eq(n_connections, 2);
    ck_assert_uint_eq(tunnels_open(tunnels), 2);
    manner = ANSWERS;
    close(fd[0]); // one that hangs up lets the next one in
    ck_assert_ptr_nonnull(strstr(answer_read(fd[2], false), "201 Created"));
    close(fd[1]);
    close(fd[2]);
    ck_assert(none_open());
    down();
}
END_TEST

static void *stop_main(void *arg)
{
    (void)arg;
    tunnels_drain(tunnels, 20000);
    tunnels_stop(tunnels);
    return NULL;
}

START_TEST(a_stop_lets_requests_end)
{
    up();
    int idle = edge_connect(), running = edge_connect();
    head_send(idle, 0);
    ck_assert_ptr_nonnull(strstr(answer_read(idle, false), "201 Created"));
    head_send(running, 1000);
    for (int i = 0; n_connections < 2 && i < 2000; i++)
        clock_sleep_ms(5);
    pthread_t stopper;
    int64_t began = clock_mono_ms();
    ck_assert_int_eq(pthread_create(&stopper, NULL, stop_main, NULL), 0);
    ck_assert_str_eq(answer_read(idle, true), "");
    body_send(running, 1000);
    ck_assert_ptr_nonnull(strstr(answer_read(running, true), "X-Body: 1000\r\n"));
    pthread_join(stopper, NULL);
    ck_assert_int_lt(clock_mono_ms() - began, 15000);
    tunnels = NULL;
    close(idle);
    close(running);
    down();
}
END_TEST

CHECK_MAIN("net/tunnel", bytes_go_through_and_the_connection_is_kept,
           who_does_not_read_is_not_read_for, a_region_that_falls_silent_is_answered_for,
           a_kept_connection_outlives_what_it_led_to, what_hangs_in_the_handshake_is_given_up,
           a_door_that_is_slammed_is_told, another_authority_is_not_believed,
           another_name_is_not_believed, a_certificate_that_is_not_pinned_is_not_believed,
           a_fingerprint_that_is_revoked_ends_what_runs, only_regions_of_the_service_are_called,
           tunnels_are_bounded, a_stop_lets_requests_end)
