// SPDX-License-Identifier: Apache-2.0
// Messages of the forwarder (resolver/forward/forward.h): the query to an upstream, the judgement
// of a response, and the response that the client gets. Works on the caller's memory; any thread.
//
//   size_t n = forward_message_query(&q, id, mix, packet);
//   switch (forward_message_judge(&q, packet, n, got, n_got, true, false)) …
//   n = forward_message_answer(&q, got, n_got, out, cap);
//
// RFC 1035, 5452 (section 9.1: what an answer must match), 6891 section 7 (OPT is of one hop),
// 7766, 2181 section 9.
#ifndef MERIDIAN_RESOLVER_FORWARD_FORWARD_MESSAGE_H
#define MERIDIAN_RESOLVER_FORWARD_FORWARD_MESSAGE_H

#include "resolver/packet/edns.h"
#include "resolver/packet/wire.h"

#define FORWARD_QUESTION_BYTES (DNS_NAME_MAX + 4)
#define FORWARD_QUERY_BYTES (DNS_HEADER_BYTES + FORWARD_QUESTION_BYTES + DNS_OPT_BYTES)
#define FORWARD_OPT_BYTES 192
#define FORWARD_ERROR_BYTES (DNS_HEADER_BYTES + FORWARD_QUESTION_BYTES + FORWARD_OPT_BYTES)

struct forward_query { // what is kept of a client's query; borrows nothing
    uint8_t question[FORWARD_QUESTION_BYTES];
    uint16_t question_n;
    // octets that the client takes
    uint16_t max;
    bool edns, dnssec_ok, checking_disabled;
    // the OPT of our response, but for its rcode
    uint8_t opt[FORWARD_OPT_BYTES];
    uint16_t opt_n;
};

// q must have a question and RD. `o` is what our response's OPT is to have.
void forward_message_keep(const struct dns_query *q, const struct edns_response *o,
                          bool checking_disabled, size_t max, struct forward_query *out);

// A letter whose octet of `mix` is odd is sent in its other case. Returns the length.
size_t forward_message_query(const struct forward_query *q, uint16_t id,
                             const uint8_t mix[DNS_NAME_MAX], uint8_t out[FORWARD_QUERY_BYTES]);

enum forward_verdict {
    FORWARD_ANSWER,    // the answer
    FORWARD_NOT_OURS,  // it does not match what was asked: perhaps forged; go on waiting
    FORWARD_TRUNCATED, // ask over TCP
    FORWARD_FAILED     // it matches, and the upstream cannot answer, or writes what cannot be read
};

// `sent` is what forward_message_query wrote; with `mixed` the letters of the answer must be as
// they are there.
enum forward_verdict forward_message_judge(const struct forward_query *q, const uint8_t *sent,
                                           size_t n_sent, const uint8_t *got, size_t n, bool mixed,
                                           bool over_tcp);

// Of a response that was judged FORWARD_ANSWER. Its id is 0. What does not fit the client is cut:
// first the additional section, then all but the answers that fit, whole (TC; RFC 2181 section 9),
// of which one who sets DO could not use a part. Returns the length, 0 if `cap` is below
// FORWARD_ERROR_BYTES.
size_t forward_message_answer(const struct forward_query *q, const uint8_t *got, size_t n,
                              uint8_t *out, size_t cap);
// SERVFAIL, and why.
size_t forward_message_error(const struct forward_query *q, enum edns_ede why,
                             uint8_t out[FORWARD_ERROR_BYTES]);
// A response of either kind, of n octets, made longer by padding in its OPT, which is the last
// record, if it has one (RFC 8467). Returns its length, at most `cap`.
size_t forward_message_pad(uint8_t *p, size_t n, size_t cap);

#endif
