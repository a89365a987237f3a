// SPDX-License-Identifier: Apache-2.0
// What the resolver's tests share: a topology with a case of everything, verdicts by hand, queries
// built byte by byte, and responses judged by ldns.
#ifndef MERIDIAN_TESTS_UNIT_RESOLVER_FIXTURE_H
#define MERIDIAN_TESTS_UNIT_RESOLVER_FIXTURE_H

#include "config/topology.h"
#include "health/health.h"
#include "resolver/answer/answer.h"

#include <ldns/ldns.h>

#define T_A 1
#define T_NS 2
#define T_CNAME 5
#define T_SOA 6
#define T_TXT 16
#define T_AAAA 28
#define T_DS 43
#define T_ANY 255

const char *fixture_yaml(void);          // of fixture_topology
struct topology *fixture_topology(void); // contoso, fabrikam, hashed, drained ones, two views
struct topology *fixture_parse(const char *yaml); // fails the test with the diagnostics
struct health_verdicts *fixture_verdicts(const struct topology *t, region_set down);
struct ip fixture_ip(const char *text);

// Writes a query; `edns` < 0: without OPT, else its UDP size. Returns its length.
size_t fixture_query(uint8_t *out, const char *name, uint16_t type, int edns);

// Appends a Client Subnet option to a query that ends in its OPT record. Returns the new length.
size_t fixture_add_subnet(uint8_t *query, size_t n, const struct cidr *net);

struct fixture_answer {
    uint8_t wire[ANSWER_TCP_MAX];
    size_t n;
    struct answer_info info;
    // parsed by ldns
    ldns_pkt *pkt;
};
void fixture_ask(const struct answer_context *c, const char *name, uint16_t type, int edns,
                 struct fixture_answer *out);
void fixture_answer_done(struct fixture_answer *a);
// "owner TTL TYPE rdata" of the answer section, one per line, as ldns prints them but with blanks;
// in a static buffer.
const char *fixture_text(const ldns_rr_list *l);

#endif
