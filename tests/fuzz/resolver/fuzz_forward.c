// SPDX-License-Identifier: Apache-2.0
// What an upstream sends, to a forwarder: any bytes behind the right id and question (else nothing
// would be read). What is passed on to the client is no larger than it takes, is its question's,
// and ends in our OPT if it sent one.
#include "base/mem.h"
#include "resolver/forward/forward_message.h"

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t query[] = {
    0x12, 0x34, 1, 0,   0,   1,   0, 0, 0, 0, 0, 1, 3, 'w', 'w', 'w', 7, 'e', 'x',  'a', 'm', 'p',
    'l',  'e',  3, 'c', 'o', 'm', 0, 0, 1, 0, 1, 0, 0, 41,  4,   208, 0, 0,   0x80, 0,   0,   0};

static void check(const struct forward_query *q, const uint8_t *got, size_t n, size_t cap)
{
    static uint8_t out[65535];
    ldns_pkt *pkt = NULL;
    size_t made = forward_message_answer(q, got, n, out, cap);
    if (made == 0 || made > cap || made > q->max)
        abort();
    // Names in RDATA and the like are the upstream's and the client's: only the frame is ours.
    if (!(out[2] & 0x80) || out[2] & 0x7c || !(out[3] & 0x80) || out[3] & 0x60)
        abort();
    if (memcmp(out + DNS_HEADER_BYTES, q->question, q->question_n))
        abort();
    if (!q->edns != !q->opt_n || memcmp(out + made - q->opt_n, q->opt, q->opt_n))
        abort();
    (void)ldns_wire2pkt(&pkt, out, made); // reads it, or says why not
    ldns_pkt_free(pkt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t got[65535];
    static const uint8_t none[DNS_NAME_MAX];
    for (int way = 0; way < 4; way++) {
        struct dns_query parsed;
        struct forward_query q;
        uint8_t sent[FORWARD_QUERY_BYTES];
        if (dns_query_parse(query, way & 1 ? sizeof query : sizeof query - DNS_OPT_BYTES,
                            &parsed) &&
            way & 1)
            abort();
        parsed.edns = way & 1;
        parsed.name = query + DNS_HEADER_BYTES;
        parsed.name_n = 17;
        forward_message_keep(&parsed, &(struct edns_response){.ede = EDE_NONE}, false,
                             way & 2 ? 65535 : 512, &q);
        size_t n_sent = forward_message_query(&q, 0x1234, none, sent),
               begin = DNS_HEADER_BYTES + q.question_n, n = size;
        if (n > sizeof got)
            n = sizeof got;
        memcpy(got, data, n);
        if (n >= begin) { // the counts and flags are the fuzzer's
            memcpy(got, sent, 2);
            got[2] |= 0x80;
            got[4] = 0;
            got[5] = 1;
            memcpy(got + DNS_HEADER_BYTES, sent + DNS_HEADER_BYTES, q.question_n);
        }
        enum forward_verdict v = forward_message_judge(&q, sent, n_sent, got, n, false, way & 2);
        if (v == FORWARD_ANSWER)
            check(&q, got, n, 65535);
    }
    return 0;
}
