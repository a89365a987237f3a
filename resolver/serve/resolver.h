// SPDX-License-Identifier: Apache-2.0
// The authoritative DNS server of the domain D: UDP and TCP, one worker per thread with its own
// sockets by SO_REUSEPORT (design sections 3, 4, 14). Sockets are bound apart from serving, so that
// a privileged parent can bind port 53 and an unprivileged process serves.
//
//   resolver_bind(node->dns, node->n_dns, n_workers, &diag, &socks);
//   resolver_start(&(struct resolver_options){.topology = &cell, .health = &verdicts}, socks, &r);
//   resolver_stop(r);
//
// Answering a query allocates nothing and takes no lock. A change of topology or health reaches a
// worker with its next batch of datagrams.
#ifndef MERIDIAN_RESOLVER_SERVE_RESOLVER_H
#define MERIDIAN_RESOLVER_SERVE_RESOLVER_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/snapshot.h"
#include "config/node_dns.h"
#include "config/topology.h"

#include <stddef.h>
#include <stdint.h>

struct resolver;
struct resolver_sockets;

struct resolver_options {
    // struct topology
    struct snapshot *topology;
    // struct health_verdicts (health/health.h)
    struct snapshot *health;
    // resolver/sign/signing.h; NULL: nothing is signed
    struct signing *signing;
    // struct frontend (resolver/zone/zone_maintainer.h); NULL: no transfers, and fe.D unsigned
    struct snapshot *frontend;
    // the node's `dns:` section, whose strings outlive the resolver; NULL: all defaults
    const struct node_dns *settings;
    // certificate, chain and key for DNS over TLS; NULL: none
    const char *pem;
    // what is wrong with files that it names; may be NULL
    struct diag *diag;
    // how often files are looked at for changes; 0: once a second
    unsigned look_ms;
};

struct resolver_stats { // sums over the workers since start
    // dropped: not answerable (responses, shorter than a header)
    uint64_t udp_queries, tcp_queries, dropped;
    uint64_t truncated, noerror, nxdomain, refused, formerr, notimp, badvers, servfail, badcookie;
    // now
    uint64_t tcp_open;
    // to make room for newer ones
    uint64_t tcp_evicted;
    // handshakes
    uint64_t tls_opened, tls_failed;
    // answers over a rate limit
    uint64_t limited_slipped, limited_dropped;
    // See resolver/forward/forward.h.
    uint64_t forwarded, forward_failed, forward_limited, forward_ignored, forward_answered,
        forward_now;
    // queries that waited; of them, those that what they waited for came too late for
    uint64_t parked, pending_late;
    // that wait
    uint64_t pending_now;
    // headers of trusted proxies; what came from them without a good one
    uint64_t proxied, unproxied;
};

struct resolver_listen {
    // UDP and TCP
    const struct endpoint *dns;
    size_t n_dns;
    // DNS over TLS
    const struct endpoint *tls;
    size_t n_tls;
    // an address that another program has is waited for until then; 0: not at all
    int64_t until_mono_ms;
};

// port 0 picks one: see resolver_sockets_endpoint
int resolver_bind(const struct endpoint *listen, size_t n, unsigned n_workers, struct diag *diag,
                  struct resolver_sockets **out);
// The same for a program that took over another's sockets: an address that one of `fds` is bound to
// gets a duplicate of it, and only the others are bound anew. There are at least as many workers as
// the forerunner had: a socket that nobody reads would lose what the kernel gives it. For the same
// reason workers beyond those share its sockets.
int resolver_rebind(const struct resolver_listen *listen, unsigned n_workers, const int *fds,
                    size_t n_fds, struct diag *diag, struct resolver_sockets **out);
size_t resolver_sockets_count(const struct resolver_sockets *s); // descriptors, all in all
void resolver_sockets_fds(const struct resolver_sockets *s, int *out);
void resolver_sockets_free(struct resolver_sockets *s); // closes what was not handed to a resolver
// The i-th address, those for TLS after the others. ERR_RANGE.
int resolver_sockets_endpoint(const struct resolver_sockets *s, size_t i, struct endpoint *out);
int resolver_start(const struct resolver_options *o, struct resolver_sockets *s /* taken over */,
                   struct resolver **out);
// A successor reads the same sockets: no more is read here, what was read is answered, TCP clients
// may go on until they pause, or for limit_ms. Returns at once; resolver_stop then waits for that
// end.
void resolver_drain(struct resolver *r, unsigned limit_ms);
void resolver_stop(struct resolver *r);
struct geo_watch;
struct geo_watch *resolver_geo(struct resolver *r); // for explanations (resolver/route/geo_watch.h)
struct zone;
// fe.D as it is served, one reference; NULL: none is there
struct zone *resolver_frontend(const struct resolver *r);
void resolver_reopen_logs(struct resolver *r); // after a rotation; soon, on their own threads
void resolver_stats_get(const struct resolver *r, struct resolver_stats *out);
// see metrics_routed; any thread
uint64_t resolver_routed(const struct resolver *r, const char *region);
// all of the room's metrics (base/exposition.h)
void resolver_metrics_write(const struct resolver *r, struct buf *out);

#endif
