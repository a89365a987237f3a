// SPDX-License-Identifier: Apache-2.0
// A small HTTPS server and a small CONNECT proxy on 127.0.0.1 (or another address), for tests of clients. One connection
// after the other, one request on each. Header only.
//
//   struct toy t = {.answer = my_answer, .pem = leaf};
//   toy_start(&t);                 // t.port
//   …
//   toy_stop(&t);
#ifndef MERIDIAN_TESTS_HTTPS_TOY_H
#define MERIDIAN_TESTS_HTTPS_TOY_H

#include "base/bytes.h"
#include "base/mem.h"
#include "tests/support/tls_files.h"

#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct toy {
    // Writes a whole response. `request` is head and body as text. On the server's thread.
    void (*answer)(struct toy *t, const char *request, struct buf *out);
    // certificate and key
    const char *pem;
    void *ctx;
    // "127.0.0.1" when NULL
    const char *address;
    _Atomic uint16_t port;
    // requests so far, and connections that were accepted
    _Atomic int n_requests, n_accepted;
    // the last request, under the lock
    pthread_mutex_t lock;
    struct buf last;
    // of a proxy: what the last CONNECT asked for (under the lock), and the port that it is led to
    char target[300];
    uint16_t lead_to;
    int fd;
    SSL_CTX *tls;
    _Atomic bool stop;
    pthread_t thread;
};

static inline void toy_timeouts(int fd)
{
    const struct timeval limit = {.tv_sec = 10};
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static inline size_t toy_body_wanted(const char *request)
{
    const char *length = strcasestr(request, "\r\nContent-Length:");
    if (length)
        return (size_t)strtoul(length + 17, NULL, 10);
    return 0;
}

static inline bool toy_is_whole(const struct buf *b)
{
    const char *end = strstr(buf_cstr(b), "\r\n\r\n");
    if (!end)
        return false;
    if (strcasestr(b->p, "\r\nTransfer-Encoding: chunked"))
        return b->n >= 5 && !memcmp(b->p + b->n - 5, "0\r\n\r\n", 5);
    return b->n - (size_t)(end + 4 - b->p) >= toy_body_wanted(b->p);
}

static inline void toy_serve(struct toy *t, int fd)
{
    SSL *ssl = SSL_new(t->tls);
    SSL_set_fd(ssl, fd);
    AUTO_BUF struct buf in, out;
    buf_init(&in, 64 << 20);
    buf_init(&out, 0);
    if (SSL_accept(ssl) == 1) {
        for (int n; !toy_is_whole(&in) && (n = SSL_read(ssl, buf_room(&in, 65536), 65536)) > 0;) {
            in.n += (size_t)n;
            in.p[in.n] = 0;
        }
        if (toy_is_whole(&in)) {
            pthread_mutex_lock(&t->lock);
            buf_clear(&t->last);
            buf_add(&t->last, in.p, in.n);
            pthread_mutex_unlock(&t->lock);
            atomic_fetch_add(&t->n_requests, 1);
            t->answer(t, in.p, &out);
            for (size_t at = 0; at < out.n;) {
                int n = SSL_write(ssl, out.p + at, (int)(out.n - at));
                if (n <= 0)
                    break;
                at += (size_t)n;
            }
        }
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
}

static inline int toy_dial(uint16_t port)
{
    char text[32];
    struct endpoint e;
    struct sockaddr_storage ss;
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    endpoint_parse(text, 0, &e);
    socklen_t n = endpoint_to_sockaddr(&e, &ss);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!connect(fd, (struct sockaddr *)&ss, n))
        return fd;
    close(fd);
    return -1;
}

static inline bool toy_move(int from, int to)
{
    char bytes[16384];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static inline void toy_relay(struct toy *t, int fd)
{
    char head[2048];
    size_t n = 0;
    while (n < sizeof head - 1 && recv(fd, head + n, 1, 0) == 1) {
        head[++n] = 0;
        if (n >= 4 && !strcmp(head + n - 4, "\r\n\r\n"))
            break;
    }
    head[n] = 0;
    pthread_mutex_lock(&t->lock);
    buf_clear(&t->last);
    buf_str(&t->last, head);
    if (sscanf(head, "CONNECT %299s", t->target) != 1)
        t->target[0] = 0;
    pthread_mutex_unlock(&t->lock);
    atomic_fetch_add(&t->n_requests, 1);
    int there = toy_dial(t->lead_to);
    if (there < 0)
        return;
    static const char yes[] = "HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n";
    send(fd, yes, sizeof yes - 1, MSG_NOSIGNAL);
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = there, .events = POLLIN}};
    for (bool on = true; on && !atomic_load(&t->stop);) {
        if (poll(p, 2, 100) <= 0)
            continue;
        if (p[0].revents)
            on = toy_move(fd, there);
        if (on && p[1].revents)
            on = toy_move(there, fd);
    }
    close(there);
}

static inline void *toy_main(void *arg)
{
    struct toy *t = arg;
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    while (!atomic_load(&t->stop)) {
        if (poll(&p, 1, 20) != 1)
            continue;
        int fd = accept4(t->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        atomic_fetch_add(&t->n_accepted, 1);
        toy_timeouts(fd);
        if (t->tls)
            toy_serve(t, fd);
        else
            toy_relay(t, fd);
        close(fd);
    }
    return NULL;
}

// Without `pem` it is a proxy.
static inline void toy_start(struct toy *t)
{
    struct endpoint e;
    struct sockaddr_storage ss;
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&t->lock, NULL);
    buf_init(&t->last, 0);
    ck_assert_int_eq(ip_parse(t->address ? t->address : "127.0.0.1", &e.ip), 0);
    e.port = t->port; // 0: any
    socklen_t n = endpoint_to_sockaddr(&e, &ss);
    const int on = 1;
    t->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(t->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ck_assert_int_eq(bind(t->fd, (struct sockaddr *)&ss, n), 0);
    ck_assert_int_eq(getsockname(t->fd, (struct sockaddr *)&ss, &n), 0);
    ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&ss, n, &e), 0);
    t->port = e.port;
    ck_assert_int_eq(listen(t->fd, 16), 0);
    if (t->pem) {
        t->tls = SSL_CTX_new(TLS_server_method());
        ck_assert_int_eq(SSL_CTX_use_certificate_file(t->tls, t->pem, SSL_FILETYPE_PEM), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(t->tls, t->pem, SSL_FILETYPE_PEM), 1);
    }
    atomic_store(&t->stop, false);
    ck_assert_int_eq(pthread_create(&t->thread, NULL, toy_main, t), 0);
}

static inline void toy_stop(struct toy *t)
{
    atomic_store(&t->stop, true);
    pthread_join(t->thread, NULL);
    close(t->fd);
    SSL_CTX_free(t->tls);
    t->tls = NULL;
    pthread_mutex_destroy(&t->lock);
    buf_done(&t->last);
}

// Does the last request hold that text?
static inline bool toy_saw(struct toy *t, const char *text)
{
    pthread_mutex_lock(&t->lock);
    bool saw = strstr(buf_cstr(&t->last), text);
    pthread_mutex_unlock(&t->lock);
    return saw;
}

// How many bytes had it?
static inline size_t toy_last_size(struct toy *t)
{
    pthread_mutex_lock(&t->lock);
    size_t n = t->last.n;
    pthread_mutex_unlock(&t->lock);
    return n;
}

// Of a proxy: was it asked for that place last?
static inline bool toy_target_is(struct toy *t, const char *text)
{
    pthread_mutex_lock(&t->lock);
    bool is = !strcmp(t->target, text);
    pthread_mutex_unlock(&t->lock);
    return is;
}

#endif
