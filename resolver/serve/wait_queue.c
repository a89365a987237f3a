// SPDX-License-Identifier: Apache-2.0
// The worker's queries that wait (resolver/packet/pending_query.h): slots, their age, what to do when news come or time
// is up. On the worker's thread. A slot is of UDP, then its answer is sent by itself; or of a connection, then the
// connection takes it when it has room (tcp.c).
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "resolver/forward/forward_message.h"
#include "resolver/packet/wire.h"
#include "resolver/route/views.h"
#include "resolver/serve/server_priv.h"

#include <string.h>

int lot_init(struct lot *l)
{
    l->free = l->oldest = l->newest = PARKED_MAX;
    l->slots = mem_zalloc_array(PARKED_MAX, sizeof *l->slots);
    if (!l->slots)
        return ERR_NOMEM;
    return parked_inbox_new(&l->inbox);
}

void lot_done(struct lot *l)
{
    for (uint32_t i = 0; i < l->n_touched; i++)
        free(l->slots[i].response);
    free(l->slots);
    parked_inbox_unref(l->inbox);
}

static uint32_t free_slot(const struct lot *l)
{
    return l->free < PARKED_MAX ? l->free : l->n_touched;
}

static void age_append(struct lot *l, uint32_t at)
{
    struct parked *p = &l->slots[at];
    p->prev = l->newest;
    p->next = PARKED_MAX;
    *(l->newest < PARKED_MAX ? &l->slots[l->newest].next : &l->oldest) = at;
    l->newest = at;
}

static void age_remove(struct lot *l, const struct parked *p)
{
    *(p->prev < PARKED_MAX ? &l->slots[p->prev].next : &l->oldest) = p->next;
    *(p->next < PARKED_MAX ? &l->slots[p->next].prev : &l->newest) = p->prev;
}

struct parked_ticket lot_ticket(const struct lot *l, const struct parked *again, size_t n_query)
{
    static const struct parked_ticket none;
    if (again)
        return again->news == PARKED_RETRY && again->tries < PARKED_RETRIES
                   ? parked_ticket_of(l->inbox, (uint32_t)(again - l->slots))
                   : none;
    uint32_t at = free_slot(l);
    return at < PARKED_MAX && n_query <= PARKED_QUERY_BYTES ? parked_ticket_of(l->inbox, at) : none;
}

void lot_park(struct worker *w, const struct asked *from, const uint8_t *query, size_t n)
{
    struct lot *l = &w->lot;
    uint32_t at = free_slot(l);
    struct parked *p = &l->slots[at];
    if (at == l->n_touched)
        l->n_touched++;
    else
        l->free = p->next;
    memset(p, 0, offsetof(struct parked, query));
    p->used = true;
    p->asked = *from;
    p->since_ms = clock_mono_ms();
    p->deadline_ms = p->since_ms + PARKED_MS;
    p->n = n;
    memcpy(p->query, query, n);
    age_append(l, at);
    l->n_used++;
    if (from->conn) {
        p->conn_next = from->conn->parked;
        from->conn->parked = p;
        from->conn->n_parked++;
    }
    counter_add(&w->n.parked, 1);
    counter_add(&w->n.parked_now, 1);
}

static void leave_conn(struct parked *p)
{
    struct parked **at = &p->asked.conn->parked;
    while (*at != p)
        at = &(*at)->conn_next;
    *at = p->conn_next;
    p->asked.conn->n_parked--;
}

void lot_leave(struct worker *w, struct parked *p)
{
    struct lot *l = &w->lot;
    uint32_t at = (uint32_t)(p - l->slots);
    age_remove(l, p);
    if (p->asked.conn)
        leave_conn(p);
    free(take_ptr(p->response));
    p->used = false;
    p->news = PARKED_NOTHING;
    p->next = l->free;
    l->free = at;
    l->n_used--;
    counter_add(&w->n.parked_now, (uint64_t)-1);
    parked_slot_done(l->inbox, at);
}

// The answer that came: the query's id, and a response to be sure. Returns its length; 0: it is none, or too long for
// the client.
static size_t take_response(const struct worker *w, const struct parked *p, uint8_t *out, size_t cap,
                            struct answer_info *info)
{
    struct dns_query q;
    const uint8_t *r = p->response;
    size_t n = p->response_n;
    (void)dns_query_parse(p->query, p->n, &q);
    size_t max = p->asked.transport == ANSWER_UDP && q.udp_bytes < cap ? q.udp_bytes : cap;
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
    return q.padding && p->asked.transport == ANSWER_TLS ? forward_message_pad(out, n, max) : n;
}

bool lot_answer(struct worker *w, struct parked *p, uint8_t *out, size_t cap, size_t *out_n)
{
    struct answer_info info = {0};
    p->tries++;
    *out_n = p->news == PARKED_ANSWER ? take_response(w, p, out, cap, &info) : 0;
    if (*out_n) {
        worker_about(w, &p->asked);
        worker_count(w, &info);
        if (w->pen.writes)
            worker_note(w, &p->asked, p, p->query, p->n, out, *out_n, &info);
    } else {
        *out_n = worker_answer(w, &p->asked, p, p->query, p->n, out, cap, &info);
    }
    p->news = PARKED_NOTHING;
    if (info.pending)
        return false;
    lot_leave(w, p);
    return true;
}

static void act(struct worker *w, struct parked *p)
{
    uint8_t out[DNS_UDP_CEILING];
    size_t n;
    if (p->asked.conn) {
        tcp_event(w, p->asked.conn, 0);
        return;
    }
    const struct asked to = p->asked;
    if (lot_answer(w, p, out, sizeof out, &n) && n > 0)
        udp_send(&to, out, n);
}

void lot_news(struct worker *w)
{
    struct parked_mail m;
    while ((m = parked_inbox_take(w->lot.inbox)).news) {
        struct parked *p = &w->lot.slots[m.slot];
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

void lot_expire(struct worker *w, int64_t now)
{
    struct lot *l = &w->lot;
    while (l->oldest < PARKED_MAX && now >= l->slots[l->oldest].deadline_ms) {
        struct parked *p = &l->slots[l->oldest];
        if (p->news) { // a client that does not read: its time is the connection's to judge
            p->deadline_ms = now + PARKED_MS;
            age_remove(l, p);
            age_append(l, (uint32_t)(p - l->slots));
            continue;
        }
        counter_add(&w->n.parked_late, 1);
        p->news = PARKED_FAIL;
        act(w, p);
    }
}
