// SPDX-License-Identifier: Apache-2.0
// The beginning of a tunnel: the edge's connection is taken, the region read from its first
// request, and that region is called. On the loop's thread.
#include "net/tunnel_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_WAIT_MS 10000 // for the first request line; the edge connects when it has one
#define KEEPALIVE_IDLE_S 4
#define KEEPALIVE_EVERY_S 2
// A region whose beats are heard is judged by them: one that reads nothing for a while, since its
// disk is busy, is not gone. Of one that was never heard TCP alone tells.
#define ACKNOWLEDGED_HEARD_MS 120000
#define ACKNOWLEDGED_UNKNOWN_MS 10000

void tunnel_accepted(struct tunnels *all, int fd)
{
    struct tunnel *t = mem_zalloc(sizeof *t);
    uint8_t *both = NULL;
    if (t)
        both = mem_alloc(2 * TUNNEL_BUFFER_BYTES);
    if (!both) {
        free(t);
        close(fd);
        return;
    }
    *t = (struct tunnel){.all = all,
                         .next = all->open,
                         .state = TUNNEL_HEAD,
                         .until_mono = clock_mono_ms() + HEAD_WAIT_MS,
                         .up.p = both,
                         .down.p = both + TUNNEL_BUFFER_BYTES};
    t->near = (struct tunnel_end){.t = t, .fd = fd};
    t->far = (struct tunnel_end){.t = t, .fd = -1};
    if (t->next)
        t->next->prev = t;
    all->open = t;
    all->n_open++;
    tunnel_watch(&t->near, EPOLLIN);
}

// The region in the first request line: of "/v2/…/blobs/uploads/<region>.<hex>[?…]". ERR_BUSY: the
// line is not whole.
static int region_parse(const struct tunnel_bytes *b, char out[HOSTNAME_REGION_SIZE])
{
    const char *p = (const char *)b->p + b->from, *end = p + b->n;
    const char *target = memchr(p, ' ', b->n);
    const char *stop = NULL;
    if (target)
        stop = memchr(target + 1, ' ', (size_t)(end - target - 1));
    if (!stop) {
        if (b->n < TUNNEL_BUFFER_BYTES && !memchr(p, '\n', b->n))
            return ERR_BUSY;
        return ERR_PROTO;
    }
    target++;
    const char *query = memchr(target, '?', (size_t)(stop - target));
    const char *path_end = query;
    if (!path_end)
        path_end = stop;
    const char *slash = memrchr(target, '/', (size_t)(path_end - target));
    static const char before[] = "/blobs/uploads";
    size_t n_before = sizeof before - 1;
    if (!slash || (size_t)(slash - target) < n_before ||
        memcmp(slash - n_before, before, n_before) != 0)
        return ERR_PROTO;
    const char *dot = memchr(slash, '.', (size_t)(path_end - slash));
    size_t n = 0;
    if (dot)
        n = (size_t)(dot - slash - 1);
    if (!n || n >= HOSTNAME_REGION_SIZE)
        return ERR_PROTO;
    memcpy(out, slash + 1, n);
    out[n] = '\0';
    if (hostname_region_ok(out))
        return 0;
    return ERR_PROTO;
}

static void far_options(int fd, enum heard heard)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S;
    unsigned limit_ms = ACKNOWLEDGED_UNKNOWN_MS;
    if (heard == HEARD)
        limit_ms = ACKNOWLEDGED_HEARD_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
}

static int far_connect(struct tunnel *t, const struct endpoint *to, enum heard heard)
{
    struct sockaddr_storage sa;
    memset(&sa, 0, sizeof sa);
    socklen_t n = endpoint_to_sockaddr(to, &sa);
    t->far.fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->far.fd < 0)
        return err_from_errno(errno);
    t->all->n_far++;
    far_options(t->far.fd, heard);
    t->far_over = false;
    if (connect(t->far.fd, (struct sockaddr *)&sa, n) && errno != EINPROGRESS)
        return err_from_errno(errno);
    t->state = TUNNEL_CONNECT;
    t->until_mono = clock_mono_ms() + t->all->o.connect_ms;
    return 0;
}

void tunnel_head_came(struct tunnel *t)
{
    int rc = region_parse(&t->up, t->region);
    if (rc == ERR_BUSY)
        return;
    const struct topology *topology = snapshot_reader_get(&t->all->reader, t->all->o.topology);
    const struct region *to = NULL;
    if (!rc && topology)
        to = topology_region(topology, t->region);
    if (!to || strcmp(t->region, t->all->o.region) == 0) {
        if (!to)
            t->region[0] = '\0';
        tunnel_fail(t, 503, "is none of this service's other regions");
        return;
    }
    enum heard heard = tunnels_heard(t->all, t->region);
    if (heard == HEARD_AWAY)
        tunnel_fail(t, 503, "is silent");
    else if (far_connect(t, &to->peer, heard))
        tunnel_fail(t, 503, "cannot be reached");
}
