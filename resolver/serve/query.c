// SPDX-License-Identifier: Apache-2.0
// One query of a worker: where it comes from, its answer, its counters and its record in the logs. On
// the worker's thread; see server_priv.h.
#include "base/clock.h"
#include "base/err.h"
#include "resolver/packet/wire.h"
#include "resolver/serve/server_priv.h"

#include <string.h>

static _Atomic uint64_t *rcode_counter(struct counters *n, int rcode)
{
    switch (rcode) {
    case DNS_NOERROR:
        return &n->noerror;
    case DNS_NXDOMAIN:
        return &n->nxdomain;
    case DNS_REFUSED:
        return &n->refused;
    case DNS_FORMERR:
        return &n->formerr;
    case DNS_NOTIMP:
        return &n->notimp;
    case DNS_BADVERS:
        return &n->badvers;
    case DNS_SERVFAIL:
        return &n->servfail;
    case DNS_BADCOOKIE:
        return &n->badcookie;
    default:
        return &n->dropped;
    }
}

void worker_count(struct worker *w, const struct answer_info *info)
{
    counter_add(rcode_counter(&w->n, info->rcode), 1);
    if (info->truncated)
        counter_add(&w->n.truncated, 1);
    metrics_count(w->metrics, &w->context, info);
}

static size_t limit_rate(struct worker *w, const struct asked *from, uint8_t *out, size_t n,
                         const struct answer_info *info)
{
    switch (rrl_judge(w->rrl, &from->remote.ip, info, out, n, w->now_ms)) {
    case RRL_SLIP:
        counter_add(&w->n.limited_slipped, 1);
        return rrl_slip(out, info);
    case RRL_DROP:
        counter_add(&w->n.limited_dropped, 1);
        return 0;
    default:
        return n;
    }
}

bool worker_trusts(const struct worker *w, const struct ip *peer)
{
    const struct node_dns *s = w->settings;
    for (size_t i = 0; i < s->n_trusted_proxies; i++)
        if (cidr_contains(&s->trusted_proxies[i], peer))
            return true;
    return false;
}

void worker_about(struct worker *w, const struct asked *from)
{
    w->context.transport = from->transport;
    w->context.source = from->remote.ip;
    w->context.unproxied = from->unproxied;
    w->context.listener = &from->local;
}

void worker_note(struct worker *w, const struct asked *from, const struct pending_query *again,
                 const uint8_t *query, size_t n, const uint8_t *out, size_t got,
                 const struct answer_info *info)
{
    struct journal_wait wait = {0};
    if (again)
        wait = (struct journal_wait){(uint32_t)(clock_mono_ms() - again->since_ms),
                                     info->kind == NAME_FOREIGN, again->upstream};
    const struct log_event e = {.metrics = w->metrics,
                                .client = &from->remote,
                                .listener = w->context.listener,
                                .transport = w->context.transport,
                                .query = query,
                                .query_n = n,
                                .response = out,
                                .response_n = got,
                                .info = info,
                                .wait = again ? &wait : NULL};
    journal_note(&w->writer, &e);
}

size_t worker_answer(struct worker *w, const struct asked *from, struct pending_query *again,
                     const uint8_t *query, size_t n, uint8_t *out, size_t cap,
                     struct answer_info *info)
{
    worker_about(w, from);
    w->context.ticket = wait_queue_ticket(&w->wait_queue, again, n);
    size_t got = answer_packet(&w->context, query, n, out, cap, info);
    if (info->pending && w->context.ticket.inbox) {
        metrics_lookups(w->metrics, info);
        if (!again)
            wait_queue_park(w, from, query, n);
        return 0;
    }
    info->pending = false;
    worker_count(w, info);
    if (w->rrl && got && from->transport == ANSWER_UDP && !info->cookie_valid && !info->neighbour)
        got = limit_rate(w, from, out, got, info);
    if (w->writer.writes)
        worker_note(w, from, again, query, n, out, got, info);
    return got;
}
