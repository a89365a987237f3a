// SPDX-License-Identifier: Apache-2.0
// Answers to neighbours. Signed queries (RFC 8945 section 5.2): the signature is judged first, and the answer is
// signed; a secondary that has a key signs its SOA queries too. IXFR over UDP. See answer_priv.h; other queries do not
// come here.
#include "resolver/answer_priv.h"

#include "resolver/transfer.h"
#include "resolver/tsig.h"
#include "resolver/zone.h"

// An error before any name was looked at: header, question, and the TSIG that says why.
static size_t answer_badly_signed(struct tsig *s, const struct dns_query *q, int rcode, uint8_t *out, size_t cap,
                                  int64_t now_s, struct answer_info *info)
{
    struct dns_writer w;
    size_t least = s->name_n ? tsig_bytes(s) : 0;
    struct edns_response edns = {.rcode = rcode, .ede = EDE_NONE};
    info->rcode = rcode;
    if (least > cap)
        return 0;
    dns_writer_init(&w, out, cap - least);
    dns_write_header(&w, q, rcode, false);
    info->question_n = q->has_question ? (uint16_t)(q->name_n + 4) : 0;
    info->opt_at = (uint16_t)w.n;
    if (q->edns)
        edns_write(&w, q, &edns);
    info->opt_n = (uint16_t)(w.n - info->opt_at);
    dns_write_counts(&w, 0, 0, q->edns);
    if (w.full)
        return 0;
    return s->name_n ? tsig_sign(s, out, w.n, cap, now_s) : w.n;
}

size_t answer_signed(const struct answer_context *c, const struct dns_query *q, const uint8_t *query, size_t n,
                     uint8_t *out, size_t cap, struct answer_info *info)
{
    struct tsig s;
    size_t max = c->transport == ANSWER_UDP && q->udp_bytes < cap ? q->udp_bytes : cap;
    int rcode = tsig_check(c->tsig_keys, query, n, (size_t)(q->tsig - query), c->now_s, &s);
    if (rcode)
        return answer_badly_signed(&s, q, rcode, out, max, c->now_s, info);
    struct answer_context inner = *c;
    inner.tsig_key = s.key;
    size_t got = answer_packet(&inner, query, n, out, max - tsig_bytes(&s), info);
    info->neighbour = true;
    return got ? tsig_sign(&s, out, got, max, c->now_s) : 0;
}

// RFC 1995 section 4: the SOA alone is a whole answer, and the client comes again over TCP.
bool answer_ixfr_ok(const struct answer *a)
{
    const struct zone *z = a->c->frontend;
    return z && a->t && a->c->transport == ANSWER_UDP && a->q->name_n == z->apex_n &&
           !zone_name_compare(a->q->name, a->q->name_n, z->apex, z->apex_n) &&
           transfer_allowed(&a->t->transfer, &a->c->source, a->c->tsig_key);
}
