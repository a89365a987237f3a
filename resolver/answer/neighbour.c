// SPDX-License-Identifier: Apache-2.0
// Answers to neighbours. Signed queries (RFC 8945 section 5.2): the signature is judged first, and
// the answer is signed; a secondary that has a key signs its SOA queries too. IXFR over UDP. See
// answer_priv.h; other queries do not come here.
#include "resolver/answer/priv.h"

#include "resolver/answer/transfer.h"
#include "resolver/packet/tsig.h"
#include "resolver/zone/zone.h"

// Header, question and OPT. `max`: with what follows, `tail`, they may be.
static bool write_bare(const struct dns_query *q, int rcode, uint8_t *out, size_t max, size_t tail,
                       bool padded, struct answer_info *info, size_t *out_n)
{
    struct dns_writer w;
    struct edns_response edns = {
        .rcode = rcode, .ede = EDE_NONE, .padded = padded, .tail = (uint16_t)tail};
    dns_writer_init(&w, out, max - tail);
    dns_write_header(&w, q, rcode, false);
    if (q->has_question)
        info->question_n = (uint16_t)(q->name_n + 4);
    else
        info->question_n = 0;
    info->opt_at = (uint16_t)w.n;
    if (q->edns)
        edns_write(&w, q, &edns);
    info->opt_n = (uint16_t)(w.n - info->opt_at);
    if (w.full)
        return false;
    dns_write_counts(&w, 0, 0, q->edns);
    if (info->truncated)
        dns_write_flag_tc(&w);
    *out_n = w.n;
    return true;
}

// Nothing but header, question, OPT and TSIG: what is wrong with the query's own TSIG, or
// (`truncated`) that there is no room beside ours. Where even that is too much, OPT is left out,
// and then the question: the client knows by the TSIG what is answered, and by TC that there is
// more over TCP (RFC 8945 section 5.3).
static size_t answer_bare(const struct answer_context *c, struct tsig *s, const struct dns_query *q,
                          int rcode, bool truncated, uint8_t *out, size_t cap,
                          struct answer_info *info)
{
    bool padded = q->padding && c->transport == ANSWER_TLS;
    struct dns_query left = *q;
    size_t least = s->name_n ? tsig_bytes(s) : 0, n;
    info->rcode = DNS_DROP;
    if (least + DNS_HEADER_BYTES > cap)
        return 0; // names of key and algorithm that a query of that size has no room for either
    info->rcode = rcode;
    info->truncated = truncated;
    while (!write_bare(&left, rcode, out, cap, least, padded, info, &n)) {
        info->truncated = true;
        if (left.edns)
            left.edns = false;
        else
            left.has_question = false;
    }
    if (s->name_n)
        return tsig_sign(s, out, n, cap, c->now_s);
    return n;
}

size_t answer_signed(const struct answer_context *c, const struct dns_query *q,
                     const uint8_t *query, size_t n, uint8_t *out, size_t cap,
                     struct answer_info *info)
{
    struct tsig s;
    size_t max = cap;
    if (c->transport == ANSWER_UDP && q->udp_bytes < cap)
        max = q->udp_bytes;
    int rcode = tsig_check(c->tsig_keys, query, n, (size_t)(q->tsig - query), c->now_s, &s);
    if (rcode)
        return answer_bare(c, &s, q, rcode, false, out, max, info);
    struct answer_context inner = *c;
    inner.tsig_key = s.key;
    inner.tail = (uint16_t)tsig_bytes(&s);
    size_t got = answer_packet(&inner, query, n, out, max - tsig_bytes(&s), info);
    info->neighbour = true;
    if (info->rcode == DNS_DROP)
        return answer_bare(c, &s, q, DNS_NOERROR, true, out, max, info);
    if (got)
        return tsig_sign(&s, out, got, max, c->now_s);
    return 0;
}

// RFC 1995 section 4: the SOA alone is a whole answer, and the client comes again over TCP.
bool answer_ixfr_ok(const struct answer *a)
{
    const struct zone *z = a->c->frontend;
    return z && a->t && a->c->transport == ANSWER_UDP && a->q->name_n == z->apex_n &&
           !zone_name_compare(a->q->name, a->q->name_n, z->apex, z->apex_n) &&
           transfer_allowed(&a->t->transfer, &a->c->source, a->c->tsig_key);
}
