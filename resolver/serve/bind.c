// SPDX-License-Identifier: Apache-2.0
// Binding of the server's sockets, apart from serving: a privileged parent does it, once, at start.
// See resolver.h.
#include "resolver/serve/server_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_TRIES 16
#define PROBE_EVERY_MS 50

static bool is_wildcard(const struct ip *ip)
{
    static const struct ip any6;
    struct ip any4;
    return ip_equal(ip, &any6) || (!ip_parse("0.0.0.0", &any4) && ip_equal(ip, &any4));
}

// Datagrams: never fragmented on account of a path MTU, which anyone can forge (RFC 9715); with
// room for some thousand, a second of them and milliseconds of work, since what comes while another
// program has the processor waits there. Root, which binds at start, gets it whatever
// net.core.rmem_max is. Streams: bounded kernel buffers, which accepted sockets inherit. All of it
// is a courtesy that a kernel may refuse, or give less of.
static void tune(int fd, int family, int type)
{
    int omit4 = IP_PMTUDISC_OMIT, omit6 = IPV6_PMTUDISC_OMIT, out = TCP_SNDBUF_BYTES, on = 1;
    int in = UDP_RCVBUF_BYTES;
    if (type == SOCK_STREAM)
        in = TCP_RCVBUF_BYTES;
    if (type == SOCK_STREAM || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &in, sizeof in))
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &in, sizeof in);
    if (type == SOCK_STREAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &out, sizeof out);
        // answers leave whole: nothing to wait for
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    } else if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &omit6, sizeof omit6);
    } else {
        (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &omit4, sizeof omit4);
    }
}

// Does another program have the address? SO_REUSEPORT would let a second server of the same user
// share it in silence, and answer half of the queries: so it is asked for without. Returns 0, or -1
// with errno.
static int probe_one(const struct endpoint *at, int type)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    int fd = socket(sa.ss_family, type | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return -1;
    bool ok =
        sa.ss_family != AF_INET6 || !setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (ok && type == SOCK_STREAM) // past connections in TIME_WAIT are no hindrance
        ok = !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ok = ok && !bind(fd, (struct sockaddr *)&sa, n) && (type != SOCK_STREAM || !listen(fd, 1));
    int e = errno;
    close(fd);
    errno = e;
    if (ok)
        return 0;
    return -1;
}

static bool address_free(const struct endpoint *at, bool tls)
{
    return at->port == 0 || ((tls || !probe_one(at, SOCK_DGRAM)) && !probe_one(at, SOCK_STREAM));
}

// A forerunner that was killed may still be ending: its worker has the address until then.
static int probe_address(const struct endpoint *at, bool tls, int64_t until_mono_ms)
{
    while (!address_free(at, tls)) {
        int e = errno;
        if (e != EADDRINUSE || clock_mono_ms() >= until_mono_ms) {
            errno = e;
            return err_from_errno(e);
        }
        clock_sleep_ms(PROBE_EVERY_MS);
    }
    return 0;
}

// Sockets of a forerunner. The n-th worker gets the n-th of an address, as in the forerunner.
// Workers beyond those share them: a socket of their own would get its part of the queries from now
// on, and they read it only some time later.
struct inherited {
    const int *fds;
    size_t n;
};

static bool is_at(int fd, const struct endpoint *at, int type)
{
    struct sockaddr_storage sa;
    struct endpoint e;
    socklen_t n = sizeof sa, n_type = sizeof(int);
    int got;
    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &got, &n_type) && got == type &&
           !getsockname(fd, (struct sockaddr *)&sa, &n) &&
           !endpoint_from_sockaddr((struct sockaddr *)&sa, n, &e) && e.port == at->port &&
           ip_equal(&e.ip, &at->ip);
}

static unsigned inherited_count(const struct inherited *in, const struct endpoint *at, int type)
{
    unsigned n = 0;
    for (size_t i = 0; i < in->n && at->port; i++)
        n += is_at(in->fds[i], at, type);
    return n;
}

// A duplicate of the worker's own, or -1: there is none.
static int inherited_take(const struct inherited *in, const struct endpoint *at, int type,
                          size_t worker)
{
    unsigned had = inherited_count(in, at, type);
    size_t nth = 0;
    if (had)
        nth = worker % had;
    for (size_t i = 0; had && i < in->n; i++)
        if (is_at(in->fds[i], at, type) && nth-- == 0)
            return fcntl(in->fds[i], F_DUPFD_CLOEXEC, 0);
    return -1;
}

// Returns the descriptor or -1 with errno.
static int open_socket(const struct bound *b, int type)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(&b->at, &sa);
    int fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        return -1;
    bool ok = !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) &&
              !setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (ok && sa.ss_family == AF_INET6)
        ok = !setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (ok && b->wildcard && type == SOCK_DGRAM) {
        if (sa.ss_family == AF_INET6)
            ok = !setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
        else
            ok = !setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    }
    tune(fd, sa.ss_family, type);
    if (ok && !bind(fd, (struct sockaddr *)&sa, n) && (type != SOCK_STREAM || !listen(fd, 128)))
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

static void close_bound(struct bound *b)
{
    if (b->udp >= 0)
        close(b->udp);
    if (b->tcp >= 0)
        close(b->tcp);
    b->udp = b->tcp = -1;
}

static int learn_port(struct bound *b, int fd)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    struct endpoint e;
    if (getsockname(fd, (struct sockaddr *)&sa, &n) ||
        endpoint_from_sockaddr((struct sockaddr *)&sa, n, &e))
        return -1;
    b->at.port = e.port;
    return 0;
}

static int open_both(struct bound *b, const struct inherited *in, size_t worker)
{
    uint16_t asked = b->at.port;
    b->udp = inherited_take(in, &b->at, SOCK_DGRAM, worker);
    b->tcp = inherited_take(in, &b->at, SOCK_STREAM, worker);
    if (b->udp >= 0 && b->tcp >= 0)
        return 0;
    close_bound(b);
    for (int i = 0; i < PORT_TRIES; i++) { // a port picked for UDP may be taken for TCP
        b->udp = open_socket(b, SOCK_DGRAM);
        if (b->udp >= 0 && !learn_port(b, b->udp) && (b->tcp = open_socket(b, SOCK_STREAM)) >= 0)
            return 0;
        int e = errno;
        close_bound(b);
        b->at.port = asked;
        errno = e;
        if (asked || e != EADDRINUSE)
            break;
    }
    return err_from_errno(errno);
}

static int bind_failed(const struct endpoint *e, int rc, struct diag *diag)
{
    char text[ENDPOINT_TEXT_SIZE];
    int en = errno;
    const char *cure = "";
    if (en == EACCES)
        cure = "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
    else if (en == EADDRINUSE)
        cure =
            "; another program has it: end it (ss -Hlntup shows it), or choose another address or "
            "port under listen:";
    diag_add(diag, NULL, 0, "dns: cannot listen on %s: %s%s", endpoint_format(e, text),
             strerror(en), cure);
    return rc;
}

static int open_tls(struct bound *b, const struct inherited *in, size_t worker)
{
    b->tcp = inherited_take(in, &b->at, SOCK_STREAM, worker);
    if (b->tcp < 0)
        b->tcp = open_socket(b, SOCK_STREAM);
    if (b->tcp >= 0 && !learn_port(b, b->tcp))
        return 0;
    int rc = err_from_errno(errno);
    close_bound(b);
    return rc;
}

static const struct endpoint *listen_at(const struct resolver_listen *l, size_t i)
{
    if (i < l->n_dns)
        return &l->dns[i];
    return &l->tls[i - l->n_dns];
}

// Before the first of our own is open. May raise the number of workers to what the forerunner had.
static int probe_all(const struct resolver_listen *l, const struct inherited *in,
                     unsigned *n_workers, struct diag *diag)
{
    for (size_t i = 0; i < l->n_dns + l->n_tls; i++) {
        bool tls = i >= l->n_dns;
        unsigned had = inherited_count(in, listen_at(l, i), tls ? SOCK_STREAM : SOCK_DGRAM);
        if (had > *n_workers) {
            if (had < WORKERS_MAX)
                *n_workers = had;
            else
                *n_workers = WORKERS_MAX;
        }
        int rc = 0;
        if (!had)
            rc = probe_address(listen_at(l, i), tls, l->until_mono_ms);
        if (rc)
            return bind_failed(listen_at(l, i), rc, diag);
    }
    return 0;
}

static int open_all(struct resolver_sockets *s, const struct resolver_listen *l,
                    const struct inherited *in, struct diag *diag)
{
    size_t n = s->n_endpoints;
    for (size_t i = 0; i < n * s->n_workers; i++) {
        struct bound *b = &s->bound[i];
        // later workers share the first one's port
        if (i < n)
            b->at = *listen_at(l, i);
        else
            b->at = s->bound[i % n].at;
        b->tls = i % n >= l->n_dns;
        b->wildcard = is_wildcard(&b->at.ip);
        int rc;
        if (b->tls)
            rc = open_tls(b, in, i / n);
        else
            rc = open_both(b, in, i / n);
        if (rc)
            return bind_failed(&b->at, rc, diag);
    }
    return 0;
}

int resolver_bind(const struct endpoint *at, size_t n, unsigned n_workers, struct diag *diag,
                  struct resolver_sockets **out)
{
    return resolver_rebind(&(struct resolver_listen){.dns = at, .n_dns = n}, n_workers, NULL, 0,
                           diag, out);
}

int resolver_rebind(const struct resolver_listen *l, unsigned n_workers, const int *fds,
                    size_t n_fds, struct diag *diag, struct resolver_sockets **out)
{
    const struct inherited in = {fds, n_fds};
    size_t n = l->n_dns + l->n_tls;
    if (n == 0 || n > 1024 || n_workers == 0 || n_workers > WORKERS_MAX) {
        diag_add(diag, NULL, 0, "dns: needs a listening address and 1 to %d workers", WORKERS_MAX);
        return ERR_INVAL;
    }
    int rc = probe_all(l, &in, &n_workers, diag);
    if (rc)
        return rc;
    struct resolver_sockets *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->n_endpoints = n;
    s->n_workers = n_workers;
    s->bound = mem_zalloc_array(n * n_workers, sizeof *s->bound);
    if (!s->bound) {
        free(s);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n * n_workers; i++)
        s->bound[i].udp = s->bound[i].tcp = -1;
    rc = open_all(s, l, &in, diag);
    if (rc)
        resolver_sockets_free(s);
    else
        *out = s;
    return rc;
}

size_t resolver_sockets_count(const struct resolver_sockets *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_endpoints * s->n_workers; i++) {
        if (s->bound[i].tls)
            n++;
        else
            n += 2;
    }
    return n;
}

void resolver_sockets_fds(const struct resolver_sockets *s, int *out)
{
    for (size_t i = 0; i < s->n_endpoints * s->n_workers; i++) {
        if (!s->bound[i].tls)
            *out++ = s->bound[i].udp;
        *out++ = s->bound[i].tcp;
    }
}

void resolver_sockets_free(struct resolver_sockets *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_endpoints * s->n_workers; i++)
        close_bound(&s->bound[i]);
    free(s->bound);
    free(s);
}

int resolver_sockets_endpoint(const struct resolver_sockets *s, size_t i, struct endpoint *out)
{
    if (i >= s->n_endpoints)
        return ERR_RANGE;
    *out = s->bound[i].at;
    return 0;
}
