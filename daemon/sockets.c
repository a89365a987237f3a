// SPDX-License-Identifier: Apache-2.0
// Listening sockets; see sockets.h. Called on the supervisor's only thread.
#include "daemon/sockets.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// Is fd bound to this address? Unix sockets were bound beside their path: http_socket_open.
static bool is_at(int fd, const struct sockaddr *want, socklen_t n_want)
{
    struct sockaddr_storage sa;
    memset(&sa, 0, sizeof sa);
    socklen_t n = sizeof sa, n_type = sizeof(int);
    int type;
    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n_type) && type == SOCK_STREAM &&
           !getsockname(fd, (struct sockaddr *)&sa, &n) && n <= sizeof sa && n >= n_want &&
           !memcmp(&sa, want, n_want);
}

static int duplicate_of(const int *fds, size_t n_fds, const struct sockaddr *want, socklen_t n_want)
{
    for (size_t i = 0; i < n_fds; i++)
        if (is_at(fds[i], want, n_want))
            return fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
    return -1;
}

static int open_unix(const char *path, mode_t mode, uid_t uid, gid_t gid, const int *fds,
                     size_t n_fds, struct diag *diag, int *out)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int n = snprintf(sun.sun_path, sizeof sun.sun_path, "%s.new", path);
    if (n > 0 && (size_t)n < sizeof sun.sun_path)
        *out = duplicate_of(fds, n_fds, (struct sockaddr *)&sun,
                            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1));
    int rc = 0;
    if (*out < 0)
        rc = http_socket_open(path, mode, uid, gid, out);
    if (rc)
        diag_add(diag, NULL, 0, "%s: cannot listen: %s", path, err_text(rc));
    return rc;
}

static int listen_tcp(const struct sockaddr_storage *sa, socklen_t n, int *out)
{
    int on = 1;
    AUTO_CLOSE int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (const struct sockaddr *)sa, n) || listen(fd, 16))
        return errno;
    *out = fd;
    fd = -1;
    return 0;
}

static int open_tcp(const struct endpoint *at, const int *fds, size_t n_fds, int64_t until_mono_ms,
                    struct diag *diag, int *out)
{
    struct sockaddr_storage sa;
    char text[ENDPOINT_TEXT_SIZE];
    memset(&sa, 0, sizeof sa);
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    *out = duplicate_of(fds, n_fds, (struct sockaddr *)&sa, n);
    if (*out >= 0)
        return 0;
    int e;
    while ((e = listen_tcp(&sa, n, out)) == EADDRINUSE && clock_mono_ms() < until_mono_ms)
        clock_sleep_ms(50);
    if (!e)
        return 0;
    diag_add(diag, NULL, 0, "metrics: cannot listen on %s: %s", endpoint_format(at, text),
             strerror(e));
    return err_from_errno(e);
}

int sockets_open(const struct node *n, const struct paths *p, const struct identity *id,
                 const int *fds, size_t n_fds, int64_t until_mono_ms, struct diag *diag,
                 struct sockets *out)
{
    struct sockets s = SOCKETS_NONE;
    uid_t uid;
    if (id->switches)
        uid = id->uid;
    else
        uid = (uid_t)-1;
    gid_t gid = id->switches ? id->gid : (gid_t)-1, edge = id->switches ? id->edge_gid : (gid_t)-1;
    const struct resolver_listen listen = {n->dns, n->n_dns, n->dns_tls, n->n_dns_tls,
                                           until_mono_ms};
    int rc = 0;
    if (n->roles & ROLE_RESOLVER)
        rc = resolver_rebind(&listen, n->resolver_workers, fds, n_fds, diag, &s.dns);
    if (!rc)
        rc = open_unix(p->public_sock, 0660, uid, edge, fds, n_fds, diag, &s.public);
    if (!rc)
        rc = open_unix(p->peer_sock, 0660, uid, edge, fds, n_fds, diag, &s.peer);
    if (!rc)
        rc = open_unix(p->tunnel_sock, 0660, uid, edge, fds, n_fds, diag, &s.tunnel);
    if (!rc)
        rc = open_unix(p->admin_sock, 0600, uid, gid, fds, n_fds, diag, &s.admin);
    if (!rc && n->admin.port)
        rc = open_unix(p->operator_sock, 0660, uid, edge, fds, n_fds, diag, &s.operator);
    if (!rc && n->metrics.port)
        rc = open_tcp(&n->metrics, fds, n_fds, until_mono_ms, diag, &s.metrics);
    if (rc)
        sockets_close(&s);
    else
        *out = s;
    return rc;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void sockets_close(struct sockets *s)
{
    resolver_sockets_free(s->dns);
    s->dns = NULL;
    close_one(&s->public);
    close_one(&s->peer);
    close_one(&s->tunnel);
    close_one(&s->admin);
    close_one(&s->operator);
    close_one(&s->metrics);
}

size_t sockets_count(const struct sockets *s)
{
    size_t n = 0;
    if (s->dns)
        n = resolver_sockets_count(s->dns);
    const int others[] = {s->public, s->peer, s->tunnel, s->admin, s->operator, s->metrics };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        n += others[i] >= 0;
    return n;
}

void sockets_fds(const struct sockets *s, int *out)
{
    const int more[] = {s->public, s->peer, s->tunnel, s->admin, s->operator, s->metrics };
    if (s->dns) {
        resolver_sockets_fds(s->dns, out);
        out += resolver_sockets_count(s->dns);
    }
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        if (more[i] >= 0)
            *out++ = more[i];
}
