// SPDX-License-Identifier: Apache-2.0
// The resolver's counters, summed over its workers; see resolver.h. Any thread.
#include "base/exposition.h"
#include "base/mem.h"
#include "resolver/forward/forward.h"
#include "resolver/serve/server_priv.h"
#include "resolver/sign/signing.h"

#include <string.h>

void resolver_stats_get(const struct resolver *r, struct resolver_stats *out)
{
    struct resolver_stats s = {0};
    for (unsigned i = 0; i < r->n_workers; i++) {
        const struct counters *n = &r->workers[i].n;
#define SUM(f) s.f += atomic_load_explicit(&n->f, memory_order_relaxed)
        SUM(udp_queries);
        SUM(tcp_queries);
        SUM(dropped);
        SUM(truncated);
        SUM(noerror);
        SUM(nxdomain);
        SUM(refused);
        SUM(formerr);
        SUM(notimp);
        SUM(badvers);
        SUM(servfail);
        SUM(badcookie);
        SUM(tcp_open);
        SUM(tcp_evicted);
        SUM(tls_opened);
        SUM(tls_failed);
        SUM(limited_slipped);
        SUM(limited_dropped);
        SUM(parked);
        SUM(pending_late);
        SUM(pending_now);
        SUM(proxied);
        SUM(unproxied);
#undef SUM
    }
    struct forward_stats f;
    forwarder_stats_get(r->forwarder, &f);
    s.forwarded = f.asked;
    s.forward_failed = f.failed;
    s.forward_limited = f.limited;
    s.forward_ignored = f.ignored;
    s.forward_answered = f.answered;
    s.forward_now = f.under_way;
    *out = s;
}

// What is counted by the server rather than by the answer: one row, one metric.
static const struct {
    // in struct resolver_stats
    size_t offset;
    const char *name, *type, *help;
} stats_rows[] = {
    {offsetof(struct resolver_stats, tcp_open), "meridian_dns_tcp_connections", "gauge",
     "TCP connections now open."},
    {offsetof(struct resolver_stats, tcp_evicted), "meridian_dns_tcp_evicted_total", "counter",
     "TCP connections closed to make room for newer ones."},
    {offsetof(struct resolver_stats, tls_opened), "meridian_dns_tls_handshakes_total", "counter",
     "DNS over TLS: handshakes that came to an end."},
    {offsetof(struct resolver_stats, tls_failed), "meridian_dns_tls_failures_total", "counter",
     "DNS over TLS: connections closed before their handshake was done."},
    {offsetof(struct resolver_stats, limited_slipped), "meridian_dns_limited_slipped_total",
     "counter", "Answers over a rate limit that were sent truncated."},
    {offsetof(struct resolver_stats, limited_dropped), "meridian_dns_limited_dropped_total",
     "counter", "Answers over a rate limit that were not sent."},
    {offsetof(struct resolver_stats, parked), "meridian_dns_parked_total", "counter",
     "Queries that waited for a signature or an upstream."},
    {offsetof(struct resolver_stats, pending_late), "meridian_dns_parked_late_total", "counter",
     "Queries whose wait ended by its time limit."},
    {offsetof(struct resolver_stats, pending_now), "meridian_dns_parked", "gauge",
     "Queries that wait now, for a signature or an upstream."},
    {offsetof(struct resolver_stats, proxied), "meridian_dns_proxied_total", "counter",
     "PROXY headers read: one for each datagram and each connection of a trusted proxy."},
    {offsetof(struct resolver_stats, unproxied), "meridian_dns_proxied_refused_total", "counter",
     "Datagrams and connections of trusted proxies whose PROXY header was missing or damaged."},
    {offsetof(struct resolver_stats, forward_now), "meridian_dns_forward_under_way", "gauge",
     "Queries that the forwarder has now, those that wait to be taken up included."},
    {offsetof(struct resolver_stats, forward_answered), "meridian_dns_forward_answers_total",
     "counter", "Forwarded queries that an upstream answered."},
    {offsetof(struct resolver_stats, forwarded), "meridian_dns_forwarded_total", "counter",
     "Queries of private views that were handed to the forwarder."},
    {offsetof(struct resolver_stats, forward_failed), "meridian_dns_forward_failures_total",
     "counter", "Forwarded queries that no upstream answered in time."},
    {offsetof(struct resolver_stats, forward_limited), "meridian_dns_forward_limited_total",
     "counter", "Queries that were not forwarded because too many were under way."},
    {offsetof(struct resolver_stats, forward_ignored), "meridian_dns_forward_ignored_total",
     "counter", "Packets from upstreams that match no question: forged, or late."},
};

uint64_t resolver_routed(const struct resolver *r, const char *region)
{
    const struct metrics *list[WORKERS_MAX];
    for (unsigned i = 0; i < r->n_workers; i++)
        list[i] = r->workers[i].metrics;
    return metrics_routed(r->names, list, r->n_workers, region);
}

void resolver_metrics_write(const struct resolver *r, struct buf *out)
{
    const struct metrics *list[WORKERS_MAX];
    struct resolver_stats s;
    for (unsigned i = 0; i < r->n_workers; i++)
        list[i] = r->workers[i].metrics;
    metrics_write(r->names, list, r->n_workers, out);
    resolver_stats_get(r, &s);
    for (size_t i = 0; i < ARRAY_LEN(stats_rows); i++)
        exposition_single(out, stats_rows[i].name, stats_rows[i].type, stats_rows[i].help,
                          (double)*(const uint64_t *)((const char *)&s + stats_rows[i].offset));
    if (r->signing)
        signing_metrics(r->signing, out);
    journal_metrics(&r->journal, out);
}
