// SPDX-License-Identifier: Apache-2.0
// The frame of a response: which queries get to a name at all, EDNS, sizes, truncation. See
// answer.h.
#include "resolver/answer/answer.h"

#include "resolver/answer/priv.h"
#include "resolver/answer/sign.h"
#include "resolver/packet/cookies.h"

static int refuse(struct answer *a, int rcode, enum edns_ede why)
{
    answer_ede(a, why, NULL);
    return rcode;
}

// Questions that no name is looked up for.
static int refuse_question(struct answer *a)
{
    const struct dns_query *q = a->q;
    const struct cookies *cookies = a->c->cookies;
    bool wrong_cookie = q->cookie && !a->cookie_valid;
    // only to learn a cookie, or whether one is still good: RFC 7873 section 5.4
    if (!q->has_question) {
        if (!cookies)
            return DNS_FORMERR;
        if (wrong_cookie && q->cookie_n > 8)
            return DNS_BADCOOKIE;
        return DNS_NOERROR;
    }
    if (wrong_cookie && cookies && cookies->required && a->c->transport == ANSWER_UDP)
        return DNS_BADCOOKIE;
    if (dns_type_never_asked(q->type))
        return refuse(a, DNS_FORMERR, EDE_INVALID_TYPE);
    if (q->class_ != DNS_IN || q->type == DNS_AXFR || (q->type == DNS_IXFR && !answer_ixfr_ok(a)))
        return refuse(a, DNS_REFUSED, EDE_NOT_SUPPORTED);
    if (a->t)
        return DNS_NOERROR;
    return refuse(a, DNS_SERVFAIL, EDE_NOT_READY);
}

// The options that go with any answer to this query.
static void choose_options(struct answer *a)
{
    const struct answer_context *c = a->c;
    if (a->q->cookie && c->cookies) {
        a->cookie_valid = cookies_check(c->cookies, a->q, &c->source, c->now_s, a->cookie);
        a->edns.cookie = a->cookie;
    }
    if (a->q->nsid)
        a->edns.nsid = c->nsid;
    // Only where nobody reads it on the way: sizes tell who watches a stream of TLS what was asked.
    a->edns.padded = a->q->padding && c->transport == ANSWER_TLS;
    a->edns.tail = c->tail;
    a->edns.compact = a->q->compact_ok && a->t && a->t->dnssec.n_keys;
    if (a->q->keepalive && c->transport != ANSWER_UDP &&
        c->idle_ms) { // over UDP it means nothing: RFC 7828 section 3.2
        a->edns.keepalive = true;
        if (c->idle_ms < 6553500)
            a->edns.keepalive_100ms = (uint16_t)(c->idle_ms / 100);
        else
            a->edns.keepalive_100ms = 65535;
    }
}

static void build(struct answer *a, int rcode, uint8_t *out, size_t max)
{
    // its room is kept free until the end
    size_t opt = 0;
    if (a->q->edns)
        opt = edns_response_least(&a->edns, a->q);
    dns_writer_init(&a->w, out, max - opt);
    a->rcode = rcode;
    dns_write_header(&a->w, a->q, 0, false);
    if (rcode == DNS_NOERROR && a->q->has_question)
        answer_name(a);
    if (a->q->dnssec_ok && rcode == DNS_NOERROR && a->t->dnssec.n_keys)
        answer_sign(a);
    if (answer_too_bulky(a))
        answer_truncate(a);
}

// Cut back to the question: header, question, and then TC or an error.
static void cut_back(struct answer *a, uint8_t *out, size_t max)
{
    dns_writer_init(&a->w, out, max);
    dns_write_header(&a->w, a->q, 0, false);
    a->n_answer = a->n_authority = a->n_additional = 0;
}

// Cut back to the answers that fit, beside TC (RFC 2181 section 9): for the clients of private
// views, of whom some know no TCP and take what there is. In public a truncated answer is empty:
// who asks under a forged address gains nothing. Of a signed one a validator could not use a part.
static bool cut_back_to_fit(struct answer *a)
{
    if (!a->whole_at || !a->view || (a->q->dnssec_ok && a->t->dnssec.n_keys))
        return false;
    a->w.n = a->whole_at;
    a->w.full = false;
    a->n_answer = a->n_whole;
    a->n_authority = a->n_additional = 0;
    return true;
}

static void finish_opt(struct answer *a, size_t max)
{
    if (!a->q->edns)
        return;
    a->w.max = max;
    a->edns.rcode = a->rcode;
    size_t at = a->w.n;
    edns_write(&a->w, a->q, &a->edns);
    a->info->opt_at = (uint16_t)at;
    a->info->opt_n = (uint16_t)(a->w.n - at);
    a->n_additional++;
}

// The first label of a registry's name is the registry's. Whatever else it is, the hint is only
// useless.
uint64_t answer_hint(const struct topology *t, const uint8_t *query, size_t n)
{
    size_t at = DNS_HEADER_BYTES + 1;
    if (n <= at || n - at < query[at - 1])
        return 0;
    return catalogue_hint(t->catalogue, query + at, query[at - 1]);
}

size_t answer_packet(const struct answer_context *c, const uint8_t *query, size_t n, uint8_t *out,
                     size_t cap, struct answer_info *info)
{
    struct dns_query q;
    int rcode = dns_query_parse(query, n, &q);
    *info = (struct answer_info){.rcode = rcode,
                                 .type = q.has_question ? q.type : 0,
                                 .kind = NAME_INVALID,
                                 .region = REGION_NONE};
    if (rcode == DNS_DROP)
        return 0;
    if (q.type == DNS_AXFR || q.type == DNS_IXFR)
        info->transfer = rcode == DNS_NOERROR && c->transport != ANSWER_UDP && c->history;
    if (info->transfer)
        return 0;
    if (q.tsig && rcode == DNS_NOERROR && !c->tsig_key)
        return answer_signed(c, &q, query, n, out, cap, info);
    size_t max = ANSWER_TCP_MAX;
    if (c->transport == ANSWER_UDP)
        max = q.udp_bytes;
    if (max > cap)
        max = cap;
    struct answer a;
    a.c = c;
    a.t = c->topology;
    a.q = &q;
    a.view = NULL;
    a.info = info;
    a.authoritative = a.pending = a.bulky = false;
    a.n_answer = a.n_authority = a.n_additional = 0;
    a.whole_at = a.n_whole = 0;
    a.cookie_valid = false;
    a.edns = (struct edns_response){.ede = EDE_NONE};
    a.owner_at = DNS_HEADER_BYTES;
    a.apex_at = 0;
    if (q.edns)
        choose_options(&a);
    build(&a, rcode == DNS_NOERROR ? refuse_question(&a) : rcode, out, max);
    if (a.pending) {
        info->pending = true;
        return 0;
    }
    if (a.w.full || a.rcode == DNS_SERVFAIL) {
        bool tc = a.w.full && c->transport == ANSWER_UDP;
        if (!tc || !cut_back_to_fit(&a))
            cut_back(&a, out, max);
        if (tc)
            dns_write_flag_tc(&a.w);
        else
            a.rcode = DNS_SERVFAIL; // more than 64 KiB of records
        info->truncated = tc;
    }
    if (a.authoritative && a.rcode != DNS_SERVFAIL)
        out[2] |= 0x04;
    // RA: where we forward
    out[3] |= (uint8_t)((a.rcode & 15) | (a.view && a.view->forward ? 0x80 : 0));
    finish_opt(&a, max);
    // header, question and OPT alone: a neighbour's long key name leaves too little beside it
    if (a.w.full) {
        info->rcode = DNS_DROP;
        return 0;
    }
    dns_write_counts(&a.w, a.n_answer, a.n_authority, a.n_additional);
    info->rcode = a.rcode;
    if (q.has_question)
        info->question_n = (uint16_t)(q.name_n + 4);
    else
        info->question_n = 0;
    info->cookie_valid = a.cookie_valid;
    info->view = a.view;
    return a.w.n;
}
