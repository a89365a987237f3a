// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/replication/raw_peer.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOK_MS 10 // at p.stop
#define REQUEST_MAX 65536

struct connection {
    struct raw_peer *p;
    int fd;
    size_t from;
};

// --- sending ---

bool raw_send(struct raw_peer *p, int fd, const void *data, size_t n)
{
    const char *at = data;
    while (n && !p->stop) {
        struct pollfd w = {.fd = fd, .events = POLLOUT};
        if (poll(&w, 1, LOOK_MS) <= 0)
            continue;
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        }
    }
    return !n;
}

bool raw_text(struct raw_peer *p, int fd, const char *text)
{
    return raw_send(p, fd, text, strlen(text));
}

static bool is_gone(int fd)
{
    char b[4096];
    ssize_t n = recv(fd, b, sizeof b, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

void raw_drip(struct raw_peer *p, int fd, char byte, unsigned ms)
{
    while (!p->stop && raw_send(p, fd, &byte, 1) && !is_gone(fd))
        clock_sleep_ms(ms);
}

void raw_hold(struct raw_peer *p, int fd)
{
    while (!p->stop && !is_gone(fd))
        clock_sleep_ms(LOOK_MS);
}

// --- receiving ---

// One request without its body: GETs have none, and of POSTs it may lie in what came. *out: path and
// query.
static bool request_read(struct raw_peer *p, int fd, char out[2048])
{
    AUTO_FREE char *b = mem_alloc(REQUEST_MAX);
    size_t n = 0;
    ck_assert_ptr_nonnull(b);
    while (!p->stop && n < REQUEST_MAX - 1) {
        struct pollfd r = {.fd = fd, .events = POLLIN};
        if (poll(&r, 1, LOOK_MS) <= 0)
            continue;
        ssize_t got = recv(fd, b + n, REQUEST_MAX - 1 - n, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        n += got > 0 ? (size_t)got : 0;
        b[n] = '\0';
        if (strstr(b, "\r\n\r\n"))
            return sscanf(b, "%*s %2047s", out) == 1;
    }
    return false;
}

static void *connection_main(void *arg)
{
    struct connection c = *(struct connection *)arg;
    char target[2048];
    free(arg);
    bool more = true;
    while (more && request_read(c.p, c.fd, target)) {
        const char *counts = c.p->counts[c.from];
        if (strncmp(target, counts, strlen(counts)) == 0)
            c.p->n_hits[c.from]++;
        more = c.p->answer(c.p, c.fd, c.from, target);
    }
    close(c.fd);
    return NULL;
}

static void accept_one(struct raw_peer *p, size_t from)
{
    int fd = accept(p->listeners[from], NULL, NULL);
    if (fd < 0)
        return;
    ck_assert_uint_lt(p->n_connections, RAW_CONNECTIONS_MAX); // somebody comes again and again
    struct connection *c = mem_alloc(sizeof *c);
    ck_assert_ptr_nonnull(c);
    *c = (struct connection){p, fd, from};
    ck_assert_int_eq(pthread_create(&p->connections[p->n_connections], NULL, connection_main, c),
                     0);
    p->n_connections++;
}

static void *acceptor_main(void *arg)
{
    struct raw_peer *p = arg;
    while (!p->stop) {
        struct pollfd all[N_REGIONS];
        for (size_t i = 0; i < N_REGIONS; i++)
            all[i] = (struct pollfd){.fd = p->listeners[i], .events = POLLIN};
        if (poll(all, N_REGIONS, LOOK_MS) <= 0)
            continue;
        for (size_t i = 0; i < N_REGIONS; i++)
            if (all[i].revents & POLLIN)
                accept_one(p, i);
    }
    return NULL;
}

// --- life ---

static int listen_at(struct test_region *at, struct test_region *from)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    region_socket(at, from, a.sun_path, sizeof a.sun_path);
    unlink(a.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    return fd;
}

void raw_peer_start(struct raw_peer *p, struct test_region *at)
{
    p->at = at;
    for (size_t i = 0; i < N_REGIONS; i++) {
        struct test_region *from = &at->world->regions[i];
        p->listeners[i] = from == at ? -1 : listen_at(at, from);
    }
    ck_assert_int_eq(pthread_create(&p->acceptor, NULL, acceptor_main, p), 0);
}

void raw_peer_stop(struct raw_peer *p)
{
    p->stop = true;
    pthread_join(p->acceptor, NULL);
    for (size_t i = 0; i < p->n_connections; i++)
        pthread_join(p->connections[i], NULL);
    for (size_t i = 0; i < N_REGIONS; i++)
        if (p->listeners[i] >= 0)
            close(p->listeners[i]);
}
