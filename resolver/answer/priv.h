// SPDX-License-Identifier: Apache-2.0
// Shared by the files of the answer builder: one response under construction. answer.c frames it
// (header, EDNS, truncation), name.c finds the meaning of a name, record.c writes the records,
// types.c tells which types a name has. The response lives on the stack of answer_packet, on the
// worker's thread.
#ifndef MERIDIAN_RESOLVER_ANSWER_PRIV_H
#define MERIDIAN_RESOLVER_ANSWER_PRIV_H

#include "config/catalogue.h"
#include "config/endpoints.h"
#include "dns/types.h"
#include "resolver/answer/answer.h"
#include "resolver/packet/edns.h"
#include "resolver/packet/wire.h"
#include "resolver/route/route.h"
#include "resolver/zone/zone_cut.h"

struct answer {
    const struct answer_context *c;
    const struct topology *t;
    const struct dns_query *q;
    // NULL: public
    const struct view *view;
    // what is known of it, for counters and logs
    struct answer_info *info;
    struct dns_writer w;
    int rcode;
    bool authoritative;
    // set by who holds a->c->ticket: see resolver/packet/pending_query.h
    bool pending;
    // see answer_too_bulky
    bool bulky;
    uint16_t n_answer, n_authority, n_additional;
    // answers that fit, when not all do: where they end (0: all do, or none), how many
    uint16_t whole_at, n_whole;
    // the client has shown that it is where it says
    bool cookie_valid;
    // of the OPT: who routes sets edns.ecs_scope, who refuses answer_ede
    struct edns_response edns;
    uint8_t cookie[EDNS_COOKIE_BYTES];
    // room for a text that is made for this answer
    char ede_text[160];
    // where the owner of the next record stands: the question's name, then the last CNAME's target
    uint16_t owner_at;
    // where D stands in the question, octet for octet; 0: it was asked in another case
    uint16_t apex_at;
};

// Says why, to a client that has EDNS. `text` may be NULL and must last: a literal, or a->ede_text.
static inline void answer_ede(struct answer *a, enum edns_ede code, const char *text)
{
    a->edns.ede = code;
    a->edns.ede_text = text;
}

// May an answer be much larger than its query? Over UDP only to who has shown by a cookie where it
// is; else answer_truncate, and return.
static inline bool answer_large_ok(const struct answer *a)
{
    return a->c->transport != ANSWER_UDP || a->cookie_valid;
}

// To who has not shown that, records that nobody's connection waits for (keys, the operator's own
// texts) go over UDP within what a client without EDNS takes.
static inline bool answer_too_bulky(const struct answer *a)
{
    return a->bulky && a->w.n > DNS_UDP_LEAST && !answer_large_ok(a);
}

// The answer becomes an empty one with TC. Over UDP only.
static inline void answer_truncate(struct answer *a)
{
    a->w.full = true;
}

// answer/name.c: fills the answer and authority sections for the question.
void answer_name(struct answer *a);
// A registry's name on its way through the chain.
struct hop {
    const struct catalogue_registry *registry;
    // public kind
    enum name_kind kind;
    // REGION_NONE for global names
    uint8_t region;
};
// answer/hop.c. Does a registry's name exist for this client: registry, replica, feature, and a stage that its view
// sees? Then it is in *out.
bool hop_of(const struct answer *a, const struct hostname *h, struct hop *out);
// The last of these, for the few registries with CATALOGUE_STAGES.
bool hop_is_served(const struct answer *a, const struct hop *hop);
// The private addresses that the view has for a name, of either family:
//
//   struct private_iter it = private_begin(a, hop);
//   while ((ip = private_next(&it))) …
struct private_iter {
    const struct answer *a;
    const struct hop *hop;
    const struct private_endpoint *const *list;
    size_t n, i, k;
};

static inline struct private_iter private_begin(const struct answer *a, const struct hop *hop)
{
    struct private_iter it = {.a = a, .hop = hop};
    if (a->view)
        it.n = catalogue_private_endpoints(a->t->catalogue, hop->registry, &it.list);
    return it;
}

static inline const struct ip *private_next(struct private_iter *it)
{
    for (; it->i < it->n; it->i++, it->k = 0) {
        const struct private_endpoint *pe = it->list[it->i];
        if (&it->a->t->views[pe->view] != it->a->view || pe->stage != PRIVATE_IN_DNS)
            continue;
        while (it->k < pe->n_members) {
            const struct private_member *m = &pe->members[it->k++];
            if (private_member_is(m, it->hop->kind, it->hop->region))
                return &m->ip;
        }
    }
    return NULL;
}

// answer/types.c: the types that a name of D has for this client; what NSEC records say of it.
// `name` lies in D and in none of its child zones. False: the name is not there at all.
bool name_types(const struct answer *a, const uint8_t *name, size_t n, dns_type_set *out);

// answer_route.c. Which region a global name leads this client to; says so in `info`, and for how
// many in the scope.
struct route_context answer_routing(const struct answer *a);
// false: nowhere
bool answer_choose(struct answer *a, const struct catalogue_registry *r, struct route_choice *out);
// _route.L.D; false: no such registry, or its global name is not served here
bool answer_route(struct answer *a, const struct hostname *h);
// answer_neighbour.c: the whole response to a query with TSIG.
size_t answer_signed(const struct answer_context *c, const struct dns_query *q,
                     const uint8_t *query, size_t n, uint8_t *out, size_t cap,
                     struct answer_info *info);
// Is it an IXFR over UDP by who may? Then the answer is the SOA.
bool answer_ixfr_ok(const struct answer *a);

// answer_static.c. Records of the topology word for word at the name asked for; NULL: none are
// there.
const struct static_name *answer_static_of(const struct answer *a);
// Those of the type asked for. Returns false when there are none.
bool answer_add_static(struct answer *a, const struct static_name *s);

// answer_forward.c: a question for a name outside D.
void answer_foreign(struct answer *a);

// answer_record.c. Each latches a->w.full when it does not fit.
// The target is label + labels + D (`label` NULL: none); it is the owner of what follows.
void answer_add_cname(struct answer *a, const struct catalogue_registry *label,
                      struct catalogue_labels labels, uint32_t ttl);
void answer_add_address(struct answer *a, const struct ip *ip, uint32_t ttl);
// negative: into the authority section
void answer_add_soa(struct answer *a, enum answer_zone zone, bool negative);
void answer_add_ns(struct answer *a, uint32_t ttl);
void answer_add_glue(struct answer *a); // addresses of the name servers, as many as fit

#endif
