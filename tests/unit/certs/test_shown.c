// SPDX-License-Identifier: Apache-2.0
// certs/shown against a TLS listener that goes by files of before, of now, or by none.
#include "certs/shown.h"

#include "base/addr.h"
#include "certs/ca_next.h"
#include "tests/support/check_main.h"
#include "tests/unit/certs/certs_fixture.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

static struct endpoint at;
static int listener;
static SSL_CTX *server;
static char one[65], two[65];

static void *serve(void *arg)
{
    (void)arg;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    if (server) {
        SSL *ssl = SSL_new(server);
        char b[16];
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1)
            (void)SSL_read(ssl, b, sizeof b);
        SSL_free(ssl);
    } else {
        char b[512];
        while (read(fd, b, sizeof b) > 0) // says nothing
            ;
    }
    close(fd);
    return NULL;
}

static void setup(void)
{
    struct ca_in_use now;
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    signal(SIGPIPE, SIG_IGN); // as in the daemon
    fixture_setup();
    struct ca *ca = fixture_ca();
    ck_assert_int_eq(
        certs_enrol(fixture_path("certs"), ca, &fixture_topology, "eastus", true, 0, NULL), 0);
    ca_close(ca);
    ck_assert_int_eq(ca_in_use_look(fixture_path("ca"), &now), 0);
    memcpy(one, now.fingerprint, sizeof one);
    ck_assert_int_eq(ca_next_make(fixture_path("ca"), "meridian.test", NULL), 0);
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), two, &pem), 0);
    ck_assert_int_eq(trust_add(fixture_path("certs"), bytes_of(pem.p, pem.n), NULL), 1);
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    struct endpoint any = {.ip = {{[10] = 0xff, 0xff}}}; // 0.0.0.0, a port that is free
    n = endpoint_to_sockaddr(&any, &sa);
    listener = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(listener >= 0 && !bind(listener, (struct sockaddr *)&sa, n) && !listen(listener, 4));
    n = sizeof sa;
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sa, &n), 0);
    ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&sa, n, &at), 0);
}

// As the edge: the peer certificate, and clients by the CAs in `file`.
static void server_make(const char *file)
{
    const char *pem = fixture_path("certs/peer.pem");
    server = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(server, pem), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(server, pem, SSL_FILETYPE_PEM), 1);
    if (!file)
        return;
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_client_CA_list(server, SSL_load_client_CA_file(file));
}

static int looked(struct shown *out)
{
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, serve, NULL), 0);
    int rc = shown_look(&at, fixture_path("certs"), 500, out);
    pthread_join(t, NULL);
    SSL_CTX_free(server);
    server = NULL;
    return rc;
}

static void teardown(void)
{
    close(listener);
    fixture_teardown();
}

START_TEST(what_it_has_read_is_seen)
{
    struct shown s;
    setup();
    server_make(fixture_path("certs/ca.pem"));
    ck_assert_int_eq(looked(&s), 0);
    ck_assert_uint_eq(s.n_asks, 2);
    ck_assert_str_eq(s.asks[0], one);
    ck_assert_str_eq(s.asks[1], two);
    ck_assert_uint_eq(s.n_foreign, 0);
    ck_assert_str_eq(s.issuer, one);
    server_make(fixture_path("ca/ca.pem")); // of before: the first one alone
    ck_assert_int_eq(looked(&s), 0);
    ck_assert_uint_eq(s.n_asks, 1);
    ck_assert_str_eq(s.asks[0], one);
    teardown();
}
END_TEST

START_TEST(what_is_not_in_the_file_any_more_is_foreign)
{
    struct shown s;
    setup();
    server_make(fixture_path("certs/ca.pem"));
    ck_assert_int_eq(trust_remove(fixture_path("certs"), one, NULL), 1);
    ck_assert_int_eq(looked(&s), 0);
    ck_assert_uint_eq(s.n_asks, 1);
    ck_assert_str_eq(s.asks[0], two);
    ck_assert_uint_eq(s.n_foreign, 1);
    ck_assert_str_eq(s.issuer, "");
    teardown();
}
END_TEST

START_TEST(one_that_verifies_nobody_names_none)
{
    struct shown s;
    setup();
    server_make(NULL);
    ck_assert_int_eq(looked(&s), 0);
    ck_assert_uint_eq(s.n_asks, 0);
    ck_assert_str_eq(s.issuer, one);
    teardown();
}
END_TEST

START_TEST(who_is_not_there_or_says_nothing_is_no_answer)
{
    struct shown s;
    setup();
    ck_assert_int_eq(looked(&s), ERR_UNREACHABLE);
    close(listener);
    ck_assert_int_eq(shown_look(&at, fixture_path("certs"), 500, &s), ERR_UNREACHABLE);
    ck_assert_int_eq(shown_look(&at, fixture_path("none"), 500, &s), ERR_NOTFOUND);
    fixture_teardown();
}
END_TEST

CHECK_MAIN("certs/shown", what_it_has_read_is_seen, what_is_not_in_the_file_any_more_is_foreign,
           one_that_verifies_nobody_names_none, who_is_not_there_or_says_nothing_is_no_answer)
