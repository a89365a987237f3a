// SPDX-License-Identifier: Apache-2.0
// Which of the private addresses the edge serves: those that the machine has, and that nobody else
// listens on; see private_edge.h. The rows are private_edge_rows.c's.
#include "daemon/private_edge.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void private_edge_applied(struct private_edge *p)
{
    edge_sockets_forget(&p->bound);
}

// ---- what the machine has ----

static int ip_order(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ip));
}

int private_edge_machine(struct ip **out, size_t *out_n)
{
    struct ifaddrs *all;
    size_t n = 0;
    if (getifaddrs(&all))
        return err_from_errno(errno);
    for (const struct ifaddrs *i = all; i; i = i->ifa_next)
        n++;
    struct ip *list = mem_zalloc_array(n + 1, sizeof *list);
    n = 0;
    for (const struct ifaddrs *i = all; list && i; i = i->ifa_next) {
        struct endpoint e;
        bool v4 = i->ifa_addr && i->ifa_addr->sa_family == AF_INET,
             v6 = i->ifa_addr && i->ifa_addr->sa_family == AF_INET6;
        socklen_t size = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if ((v4 || v6) && !endpoint_from_sockaddr(i->ifa_addr, size, &e))
            list[n++] = e.ip;
    }
    freeifaddrs(all);
    if (!list)
        return ERR_NOMEM;
    qsort(list, n, sizeof *list, ip_order);
    *out = list;
    *out_n = n;
    return 0;
}

// ---- which are served ----

struct look {
    const struct private_edge_where *w;
    struct edge_sockets *bound;
    // the configuration could not be read: the next look tries
    bool conf_failed;
    struct edge_private *list;
    size_t n, n_refused;
    char why[200];
};

static void refuse(struct look *k, const struct private_edge_row *row, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct look *k, const struct private_edge_row *row, const char *fmt, ...)
{
    char ip[IP_TEXT_SIZE];
    va_list ap;
    if (k->n_refused++)
        return;
    size_t n =
        (size_t)snprintf(k->why, sizeof k->why,
                         "%s of private endpoint %s: ", ip_format(&row->ip, ip), row->endpoint);
    va_start(ap, fmt);
    vsnprintf(k->why + n, sizeof k->why - n, fmt, ap);
    va_end(ap);
}

static bool is_wildcard(const struct ip *ip)
{
    static const struct ip v6;
    struct ip v4 = {{0}};
    v4.b[10] = v4.b[11] = 0xff;
    return ip_equal(ip, &v6) || ip_equal(ip, &v4);
}

// Does a listener of that list have the port for all addresses of the family?
static bool has_wildcard(const struct endpoint *list, size_t n, const struct endpoint *at)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].port == at->port && is_wildcard(&list[i].ip) &&
            ip_is_v4(&list[i].ip) == ip_is_v4(&at->ip))
            return true;
    return false;
}

static bool has_endpoint(const struct endpoint *list, size_t n, const struct endpoint *at)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].port == at->port && ip_equal(&list[i].ip, &at->ip))
            return true;
    return false;
}

// An address at which the region's other names are served, or its peers and operators.
static bool is_public(const struct private_edge_where *w, const struct endpoint *at)
{
    const struct node *n = w->node;
    if (has_endpoint(n->https, n->n_https, at) ||
        has_endpoint(n->https_proxied, n->n_https_proxied, at))
        return true;
    const struct endpoint others[] = {n->peer, n->admin};
    if (has_endpoint(others, 2, at) || has_wildcard(others, 2, at))
        return true;
    const struct region *here = topology_region(w->topology, n->region);
    for (size_t i = 0; here && i < here->n_stamps; i++) {
        const struct stamp *s = &here->stamps[i];
        for (size_t k = 0; k < s->n_ipv4; k++)
            if (ip_equal(&s->ipv4[k], &at->ip))
                return true;
        for (size_t k = 0; k < s->n_ipv6; k++)
            if (ip_equal(&s->ipv6[k], &at->ip))
                return true;
    }
    return false;
}

// 0, or the errno of the attempt to bind it.
static int try_bind(const struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    int on = 1;
    AUTO_CLOSE int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&sa, n))
        return errno;
    return 0;
}

// nginx has it already. What it was configured with is read when that is first asked.
static bool is_bound(struct look *k, const struct endpoint *at)
{
    AUTO_BUF struct buf conf;
    buf_init(&conf, 0);
    if (!k->w->conf)
        return false;
    if (!k->bound->known && !k->conf_failed) {
        k->conf_failed = k->w->conf(k->w->ctx, &conf) != 0;
        if (!k->conf_failed)
            k->conf_failed = edge_sockets_read(k->bound, buf_cstr(&conf)) != 0;
    }
    return edge_sockets_has(k->bound, at);
}

static bool can_listen(struct look *k, const struct private_edge_row *row,
                       const struct endpoint *at)
{
    int e = 0;
    if (!is_bound(k, at) &&
        !has_wildcard(k->w->node->https_proxied, k->w->node->n_https_proxied, at))
        e = try_bind(at);
    if (e == EADDRINUSE)
        refuse(k, row, "another program has port %u there: end it (ss -Hltnp shows it)", at->port);
    else if (e && e != EADDRNOTAVAIL) // that one: it is going, or still coming
        refuse(k, row, "port %u cannot be bound there: %s", at->port, strerror(e));
    return !e;
}

static void look_at(struct look *k, const struct private_edge_row *row, bool shared, uint16_t port)
{
    const struct node *n = k->w->node;
    const struct endpoint at = {row->ip, port};
    struct edge_private one = {.ip = row->ip, .endpoint = row->endpoint, .label = row->label};
    if (!bsearch(&row->ip, k->w->machine, k->w->n_machine, sizeof row->ip, ip_order))
        return;
    one.listens = !has_wildcard(n->https, n->n_https, &at);
    if (k->n >= EDGE_PRIVATES_MAX)
        refuse(k, row, "one machine serves at most %d of them", EDGE_PRIVATES_MAX);
    else if (shared)
        refuse(k, row,
               "another private endpoint has the same address here: give the machine one of "
               "them only");
    else if (is_public(k->w, &at))
        refuse(k, row, "the region itself is at that address: exclude it from the pool");
    else if (!one.listens || can_listen(k, row, &at))
        k->list[k->n++] = one;
}

// A port below is given to nobody who does not listen there anyway.
static bool port_ok(const struct node *n, uint16_t port)
{
    bool own = port == 443;
    for (size_t i = 0; i < n->n_https; i++)
        own = own || n->https[i].port == port;
    for (size_t i = 0; i < n->n_https_proxied; i++)
        own = own || n->https_proxied[i].port == port;
    return own;
}

static bool served_same(const struct private_edge *p, const struct look *k, uint16_t port)
{
    if (p->port != port || p->n_served != k->n)
        return false;
    for (size_t i = 0; i < k->n; i++) {
        const struct edge_private *a = &p->served[i], *b = &k->list[i];
        if (!ip_equal(&a->ip, &b->ip) || a->listens != b->listens ||
            strcmp(a->endpoint, b->endpoint) != 0 || strcmp(a->label, b->label) != 0)
            return false;
    }
    return true;
}

static void say(char out[256], const struct look *k)
{
    if (!k->n_refused)
        out[0] = 0;
    else if (k->n_refused == 1)
        snprintf(out, 256, "%s", k->why);
    else
        snprintf(out, 256, "%s; and %zu more", k->why, k->n_refused - 1);
}

bool private_edge_look(struct private_edge *p, const struct private_edge_where *w)
{
    uint16_t port = w->topology->https_port;
    struct look k = {
        .w = w, .bound = &p->bound, .list = mem_zalloc_array(p->n_rows + 1, sizeof *k.list)};
    char why[256];
    if (!k.list)
        return false;
    for (size_t i = 0; i < p->n_rows; i++) {
        const struct private_edge_row *row = &p->rows[i];
        bool shared = (i && ip_equal(&row->ip, &row[-1].ip)) ||
                      (i + 1 < p->n_rows && ip_equal(&row->ip, &row[1].ip));
        if (port_ok(w->node, port))
            look_at(&k, row, shared, port);
        else
            refuse(&k, row, "no listener of listen.https has port %u, which names lead to", port);
    }
    say(why, &k);
    bool changed = !served_same(p, &k, port) || strcmp(why, p->why) != 0;
    free(p->served);
    p->served = k.list;
    p->n_served = k.n;
    p->port = port;
    memcpy(p->why, why, sizeof p->why);
    return changed;
}
