// SPDX-License-Identifier: Apache-2.0
// The worker's queries that wait (resolver/packet/pending_query.h): slots, their age, what to do
// when news come or time is up. On the worker's thread. A slot is of UDP, then its answer is sent
// by itself; or of a connection, then the connection takes it when it has room (tcp.c).
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "resolver/forward/forward_message.h"
#include "resolver/packet/wire.h"
#include "resolver/route/views.h"
#include "resolver/serve/server_priv.h"

#include <assert.h>
#include <string.h>

int wait_queue_init(struct wait_queue *q)
{
    q->free = q->oldest = q->newest = PENDING_MAX;
    q->slots = mem_zalloc_array(PENDING_MAX, sizeof *q->slots);
    if (!q->slots)
        return ERR_NOMEM;
    return pending_inbox_new(&q->inbox);
}

void wait_queue_done(struct wait_queue *q)
{
    for (uint32_t i = 0; i < q->n_touched; i++)
        free(q->slots[i].response);
    free(q->slots);
    pending_inbox_unref(q->inbox);
}

static uint32_t free_slot(const struct wait_queue *q)
{
    if (q->free < PENDING_MAX)
        return q->free;
    return q->n_touched;
}

static void age_append(struct wait_queue *q, uint32_t at)
{
    struct pending_query *p = &q->slots[at];
    p->prev = q->newest;
    p->next = PENDING_MAX;
    if (q->newest < PENDING_MAX)
        q->slots[q->newest].next = at;
    else
        q->oldest = at;
    q->newest = at;
}

static void age_remove(struct wait_queue *q, const struct pending_query *p)
{
    if (p->prev < PENDING_MAX)
        q->slots[p->prev].next = p->next;
    else
        q->oldest = p->next;
    if (p->next < PENDING_MAX)
        q->slots[p->next].prev = p->prev;
    else
        q->newest = p->prev;
}

struct pending_ticket wait_queue_ticket(const struct wait_queue *q,
                                        const struct pending_query *again, size_t n_query)
{
    static const struct pending_ticket none;
    if (again) {
        if (again->news == PENDING_RETRY && again->tries < PENDING_RETRIES)
            return pending_ticket_of(q->inbox, (uint32_t)(again - q->slots));
        return none;
    }
    uint32_t at = free_slot(q);
    if (at < PENDING_MAX && n_query <= PENDING_QUERY_BYTES)
        return pending_ticket_of(q->inbox, at);
    return none;
}

void wait_queue_park(struct worker *w, const struct asked *from, const uint8_t *query, size_t n)
{
    struct wait_queue *q = &w->wait_queue;
    uint32_t at = free_slot(q);
    assert(at < PENDING_MAX && n <= PENDING_QUERY_BYTES); // wait_queue_ticket gave a ticket
    struct pending_query *p = &q->slots[at];
    assert(!p->used); // invariant 2
    if (at == q->n_touched)
        q->n_touched++;
    else
        q->free = p->next;
    memset(p, 0, offsetof(struct pending_query, query));
    p->used = true;
    p->asked = *from;
    p->since_ms = clock_mono_ms();
    p->deadline_ms = p->since_ms + PENDING_MS;
    p->n = n;
    memcpy(p->query, query, n);
    age_append(q, at);
    q->n_used++;
    if (from->conn) {
        p->conn_next = from->conn->parked;
        from->conn->parked = p;
        from->conn->n_parked++;
    }
    counter_add(&w->n.parked, 1);
    counter_add(&w->n.pending_now, 1);
}

static void leave_conn(struct pending_query *p)
{
    struct pending_query **at = &p->asked.conn->parked;
    assert(p->asked.conn->n_parked); // invariant 3
    while (*at != p)
        at = &(*at)->conn_next;
    *at = p->conn_next;
    p->asked.conn->n_parked--;
}

void wait_queue_leave(struct worker *w, struct pending_query *p)
{
    struct wait_queue *q = &w->wait_queue;
    uint32_t at = (uint32_t)(p - q->slots);
    assert(p->used && q->n_used); // invariant 2
    age_remove(q, p);
    if (p->asked.conn)
        leave_conn(p);
    free(take_ptr(p->response));
    p->used = false;
    p->news = PENDING_NOTHING;
    p->next = q->free;
    q->free = at;
    q->n_used--;
    counter_add(&w->n.pending_now, (uint64_t)-1);
    pending_slot_done(q->inbox, at);
}

// The answer that came: the query's id, and a response to be sure. Returns its length; 0: it is
// none, or too long for the client.
static size_t take_response(const struct worker *w, const struct pending_query *p, uint8_t *out,
                            size_t cap, struct answer_info *info)
{
    struct dns_query q;
    const uint8_t *r = p->response;
    size_t n = p->response_n;
    (void)dns_query_parse(p->query, p->n, &q);
    size_t max = cap;
    if (p->asked.transport == ANSWER_UDP && q.udp_bytes < cap)
        max = q.udp_bytes;
    if (n < DNS_HEADER_BYTES || n > max || !(r[2] & 0x80))
        return 0;
    memcpy(out, r, n);
    memcpy(out, p->query, 2);
    *info = (struct answer_info){.rcode = r[3] & 15,
                                 .truncated = r[2] & 2,
                                 .type = q.type,
                                 .question_n = (uint16_t)(q.name_n + 4),
                                 .kind = NAME_FOREIGN,
                                 .region = REGION_NONE};
    if (w->context.topology)
        (void)view_choose(w->context.topology, &p->asked.local, &p->asked.remote.ip, &info->view);
    if (q.padding && p->asked.transport == ANSWER_TLS)
        return forward_message_pad(out, n, max);
    return n;
}

bool wait_queue_answer(struct worker *w, struct pending_query *p, uint8_t *out, size_t cap,
                       size_t *out_n)
{
    struct answer_info info = {0};
    p->tries++;
    if (p->news == PENDING_ANSWER)
        *out_n = take_response(w, p, out, cap, &info);
    else
        *out_n = 0;
    if (*out_n) {
        worker_about(w, &p->asked);
        worker_count(w, &info);
        if (w->writer.writes)
            worker_note(w, &p->asked, p, p->query, p->n, out, *out_n, &info);
    } else {
        *out_n = worker_answer(w, &p->asked, p, p->query, p->n, out, cap, &info);
    }
    p->news = PENDING_NOTHING;
    if (info.pending)
        return false;
    wait_queue_leave(w, p);
    return true;
}

static void act(struct worker *w, struct pending_query *p)
{
    uint8_t out[DNS_UDP_CEILING];
    size_t n;
    if (p->asked.conn) {
        tcp_event(w, p->asked.conn, 0);
        return;
    }
    const struct asked to = p->asked;
    if (wait_queue_answer(w, p, out, sizeof out, &n) && n > 0)
        udp_send(&to, out, n);
}

void wait_queue_news(struct worker *w)
{
    struct pending_mail m;
    while ((m = pending_inbox_take(w->wait_queue.inbox)).news) {
        struct pending_query *p = &w->wait_queue.slots[m.slot];
        if (!p->used || m.news <= p->news) { // a ticket was held, but nothing waits
            free(m.response);
            continue;
        }
        p->news = m.news;
        p->response = m.response;
        p->response_n = m.n;
        p->upstream = m.from;
        act(w, p);
    }
}

void wait_queue_expire(struct worker *w, int64_t now)
{
    struct wait_queue *q = &w->wait_queue;
    while (q->oldest < PENDING_MAX && now >= q->slots[q->oldest].deadline_ms) {
        struct pending_query *p = &q->slots[q->oldest];
        if (p->news) { // a client that does not read: its time is the connection's to judge
            p->deadline_ms = now + PENDING_MS;
            age_remove(q, p);
            age_append(q, (uint32_t)(p - q->slots));
            continue;
        }
        counter_add(&w->n.pending_late, 1);
        p->news = PENDING_FAIL;
        act(w, p);
    }
}
