// SPDX-License-Identifier: Apache-2.0
// Reads back a response of ours: its records, with names in canonical form. For sign.c.
#ifndef MERIDIAN_RESOLVER_ANSWER_SECTIONS_H
#define MERIDIAN_RESOLVER_ANSWER_SECTIONS_H

#include "resolver/answer/priv.h"
#include "resolver/zone/rrset.h"

#define SECTION_RECORDS_MAX 256
#define SECTION_SCRATCH_BYTES 8192

struct section_record {
    // lower case
    const uint8_t *owner;
    size_t owner_n;
    // where it stands whole in the response: for pointers
    uint16_t owner_at;
    uint16_t type;
    uint32_t ttl;
    // canonical
    struct rdata rdata;
};

struct sections { // on the stack
    struct section_record rr[SECTION_RECORDS_MAX];
    size_t n_answer, n_authority, n_additional;
    // offset of the first record after the answers
    size_t authority_at;
    size_t used;
    uint8_t scratch[SECTION_SCRATCH_BYTES];
};

// False: more than there is room for.
bool sections_read(struct sections *s, const struct answer *a);
// A name that stands at an offset of the response, whole and in lower case.
size_t sections_name(const struct answer *a, size_t at, uint8_t out[DNS_NAME_MAX]);

#endif
