// SPDX-License-Identifier: Apache-2.0
// What the files of the answer builder share: one response under construction. answer.c frames it (header, EDNS,
// truncation), answer_name.c says what a name means, answer_record.c writes the records. Lives on the stack of
// answer_packet, on the worker's thread.
#ifndef MERIDIAN_RESOLVER_ANSWER_PRIV_H
#define MERIDIAN_RESOLVER_ANSWER_PRIV_H

#include "resolver/answer.h"
#include "resolver/wire.h"

enum answer_zone { ZONE_MAIN, ZONE_FRONTEND }; // D, and fe.D

struct answer {
    const struct answer_context *c;
    const struct topology *t;
    const struct dns_query *q;
    const struct view *view; // NULL: public
    struct dns_writer w;
    int rcode;
    bool authoritative;
    uint16_t n_answer, n_authority, n_additional;
    char ede[160]; // text of Extended DNS Error 0; "" none
    // Owner of the next record: the question's name first, then the last CNAME's target.
    uint8_t owner[DNS_NAME_MAX];
    size_t owner_n; // 0: the question's
};

// answer_name.c: fills the answer and authority sections for the question.
void answer_name(struct answer *a);

// answer_record.c. Each latches a->w.full when it does not fit.
void answer_add_cname(struct answer *a, const char *target, uint32_t ttl); // and makes the target the owner
void answer_add_address(struct answer *a, const struct ip *ip, uint32_t ttl);
void answer_add_soa(struct answer *a, enum answer_zone zone, bool negative); // negative: into the authority section
void answer_add_ns(struct answer *a, uint32_t ttl);
void answer_add_glue(struct answer *a); // addresses of the name servers, as many as fit

#endif
