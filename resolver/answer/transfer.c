// SPDX-License-Identifier: Apache-2.0
// Zone transfers out; see transfer.h.
#include "resolver/answer/transfer.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "resolver/packet/edns.h"
#include "resolver/packet/tsig.h"
#include "resolver/packet/wire.h"
#include "resolver/route/views.h"
#include "resolver/zone/zone_history.h"

#include <string.h>

// names can be compressed as far as this, and writing one takes well below a millisecond
#define MESSAGE_BYTES 16384
#define SEGMENTS 6

struct segment {
    const struct zone_rr *rrs;
    size_t n;
};

struct transfer {
    struct zone_history *history;
    struct tsig_keys *keys;
    struct tsig tsig;
    struct dns_query q;
    // the question's
    uint8_t name[DNS_NAME_MAX];
    int rcode;
    struct edns_response edns;
    struct segment segments[SEGMENTS];
    size_t n_segments, segment, at;
    bool started, done, failed;
};

bool transfer_allowed(const struct transfer_settings *s, const struct ip *source,
                      const struct tsig_key *key)
{
    bool near = s->n_allow == 0;
    for (size_t i = 0; i < s->n_allow && !near; i++)
        near = cidr_contains(&s->allow[i], source);
    return near && (s->n_keys ? key != NULL : s->n_allow > 0);
}

// ---- what is asked for ----

static int refuse(struct transfer *x, int rcode, enum edns_ede ede, const char *text)
{
    x->edns.ede = ede;
    x->edns.ede_text = text;
    return rcode;
}

static bool equals(const struct dns_query *q, const uint8_t *name, size_t n)
{
    return q->name_n == n && !zone_name_compare(q->name, q->name_n, name, n);
}

static void send_all(struct transfer *x)
{
    const struct zone *z = x->history->zone;
    x->segments[0] = x->segments[2] = (struct segment){zone_soa(z), 1};
    x->segments[1] = (struct segment){z->rrs, z->n_rrs};
    x->n_segments = 3;
}

// RFC 1995 section 4. The changes go only where they are less than the zone.
static int send_changes(struct transfer *x, const uint8_t *query, size_t n)
{
    const struct zone *z = x->history->zone;
    const struct zone_delta *d;
    struct segment now = {zone_soa(z), 1};
    uint32_t serial;
    if (!dns_query_ixfr_serial(query, n, &x->q, &serial))
        return DNS_FORMERR;
    if (serial == z->serial || zone_serial_less(z->serial, serial)) {
        x->segments[0] = now;
        x->n_segments = 1;
        return DNS_NOERROR;
    }
    d = zone_history_from(x->history, serial);
    if (!d || d->n_removed + d->n_added + 4 >= z->n_rrs + 2) {
        send_all(x);
        return DNS_NOERROR;
    }
    const struct segment all[SEGMENTS] = {now, {d->old_soa, 1},        {d->removed, d->n_removed},
                                          now, {d->added, d->n_added}, now};
    memcpy(x->segments, all, sizeof all);
    x->n_segments = SEGMENTS;
    return DNS_NOERROR;
}

static int judge_zone(struct transfer *x, const struct answer_context *c, bool crowded)
{
    const struct topology *t = c->topology;
    const struct dns_query *q = &x->q;
    const struct view *view;
    if (!t || !x->history)
        return refuse(x, DNS_SERVFAIL, EDE_NOT_READY, NULL);
    if (q->class_ != DNS_IN || c->unproxied || view_choose(t, c->listener, &c->source, &view))
        return refuse(x, DNS_REFUSED, EDE_PROHIBITED, NULL);
    if (equals(q, t->catalogue->apex, t->catalogue->apex_n))
        return refuse(x, DNS_REFUSED, EDE_NOT_SUPPORTED,
                      "this zone's answers are computed: meridian dns export writes it out");
    if (!transfer_allowed(&t->transfer, &c->source, x->tsig.key))
        return refuse(x, DNS_REFUSED, EDE_PROHIBITED, NULL);
    if (!equals(q, x->history->zone->apex, x->history->zone->apex_n))
        return refuse(x, DNS_NOTAUTH, EDE_NOT_AUTHORITATIVE, NULL);
    if (crowded)
        return refuse(x, DNS_SERVFAIL, EDE_OTHER, "too many transfers at once: try again");
    return DNS_NOERROR;
}

static int judge(struct transfer *x, const struct answer_context *c, const uint8_t *query, size_t n,
                 bool crowded)
{
    int rcode = dns_query_parse(query, n, &x->q);
    if (rcode)
        return rcode;
    if (x->q.tsig)
        rcode = tsig_check(x->keys, query, n, (size_t)(x->q.tsig - query), c->now_s, &x->tsig);
    if (!rcode)
        rcode = judge_zone(x, c, crowded);
    if (rcode)
        return rcode;
    if (x->q.type == DNS_IXFR)
        return send_changes(x, query, n);
    send_all(x);
    return DNS_NOERROR;
}

int transfer_begin(const struct answer_context *c, const uint8_t *query, size_t n, bool crowded,
                   struct transfer **out)
{
    struct transfer *x = mem_zalloc(sizeof *x);
    if (!x)
        return ERR_NOMEM;
    if (c->history)
        x->history = snapshot_ref((void *)c->history);
    else
        x->history = NULL;
    if (c->tsig_keys)
        x->keys = snapshot_ref((void *)c->tsig_keys);
    else
        x->keys = NULL;
    x->edns.ede = EDE_NONE;
    x->rcode = judge(x, c, query, n, crowded);
    if (x->q.has_question) { // the query's bytes do not stay
        memcpy(x->name, x->q.name, x->q.name_n);
        x->q.name = x->name;
    }
    x->q.cookie = x->q.tsig = NULL;
    *out = x;
    return 0;
}

// ---- messages ----

static bool write_rr(struct dns_writer *w, const struct zone_rr *rr)
{
    struct dns_mark m = dns_writer_mark(w);
    dns_write_rr_head(w, rr->owner, rr->owner_n, (enum dns_type)rr->type, rr->ttl);
    dns_write_u16(w, rr->rdata_n);
    dns_write_bytes(w, rr->rdata, rr->rdata_n);
    if (!w->full)
        return true;
    dns_writer_rewind(w, m);
    return false;
}

// As many records as fit. The SOA begins and ends a transfer, and stands nowhere else in it.
static uint16_t write_records(struct transfer *x, struct dns_writer *w)
{
    uint16_t n = 0;
    for (; x->segment < x->n_segments; x->segment++, x->at = 0) {
        const struct segment *s = &x->segments[x->segment];
        for (; x->at < s->n; x->at++) {
            const struct zone_rr *rr = &s->rrs[x->at];
            if (rr->type == DNS_SOA && s->n > 1)
                continue;
            if (n == UINT16_MAX || !write_rr(w, rr))
                return n;
            n++;
        }
    }
    x->done = true;
    return n;
}

static size_t finish(struct transfer *x, struct dns_writer *w, uint8_t *out, size_t cap, uint16_t n,
                     int64_t now_s)
{
    bool opt = !x->started && x->q.edns;
    w->max = cap;
    if (opt) {
        x->edns.rcode = x->rcode;
        edns_write(w, &x->q, &x->edns);
    }
    dns_write_counts(w, n, 0, opt);
    x->started = true;
    x->done |= x->rcode != DNS_NOERROR;
    size_t len;
    if (x->tsig.name_n)
        len = tsig_sign(&x->tsig, out, w->n, cap + tsig_bytes(&x->tsig), now_s);
    else
        len = w->n;
    x->failed = w->full || !len;
    if (x->failed)
        return 0;
    return len;
}

size_t transfer_next(struct transfer *x, uint8_t *out, size_t cap, int64_t now_s)
{
    if (x->done || x->failed)
        return 0;
    struct dns_writer w;
    // RFC 5936 section 2.2.1: the question stands in the first message
    struct dns_query later = x->q;
    later.has_question = false;
    if (x->tsig.name_n)
        cap -= tsig_bytes(&x->tsig);
    size_t opt = 0;
    if (!x->started && x->q.edns)
        opt = edns_response_least(&x->edns, &x->q);
    uint16_t n = 0;
    // a record may be larger than a message usually is
    for (size_t bytes = MESSAGE_BYTES; !n; bytes = cap) {
        dns_writer_init(&w, out, (bytes < cap ? bytes : cap) - opt);
        dns_write_header(&w, x->started ? &later : &x->q, x->rcode & 15, x->rcode == DNS_NOERROR);
        if (x->rcode == DNS_NOERROR)
            n = write_records(x, &w);
        else
            n = 0;
        if (x->rcode != DNS_NOERROR || bytes >= cap)
            break;
    }
    if (!n && x->rcode == DNS_NOERROR)
        x->failed = true; // not even one goes into a message: zones hold none such
    if (x->failed)
        return 0;
    return finish(x, &w, out, cap, n, now_s);
}

bool transfer_failed(const struct transfer *x)
{
    return x->failed;
}

int transfer_rcode(const struct transfer *x)
{
    return x->rcode;
}

void transfer_free(struct transfer *x)
{
    if (!x)
        return;
    snapshot_unref(x->history);
    snapshot_unref(x->keys);
    free(x);
}
