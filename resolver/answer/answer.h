// SPDX-License-Identifier: Apache-2.0
// Packet in, packet out: a pure function of topology, verdicts, transport, source and listener
// (design section 3). The only file of the room that chooses rcodes for what a name means.
// Allocates nothing, takes no lock, logs nothing.
//
//   struct answer_context c = {.topology = t, .health = v, .transport = ANSWER_UDP,
//                              .source = ip, .listener = &ep};
//   struct answer_info info;
//   size_t n = answer_packet(&c, packet, len, out, sizeof out, &info);   // 0: send nothing
//
// RFC 1035, 2181, 2308 (negatives), 6604 (rcode of a chain), 6891, 8020, 8482, 8906, 8914.
#ifndef MERIDIAN_RESOLVER_ANSWER_ANSWER_H
#define MERIDIAN_RESOLVER_ANSWER_ANSWER_H

#include "base/addr.h"
#include "config/topology.h"
#include "health/health.h"
#include "resolver/packet/pending_query.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum answer_transport { ANSWER_UDP, ANSWER_TCP, ANSWER_TLS };

#define ANSWER_TCP_MAX 65535

struct answer_context {
    // NULL: none in force yet, all is SERVFAIL
    const struct topology *topology;
    // may be NULL
    const struct health_verdicts *health;
    // of topology and health, for speed; may be NULL
    const struct health_map *health_map;
    enum answer_transport transport;
    // transport source, or what a trusted proxy says it is
    struct ip source;
    // a trusted proxy asks and does not say for whom: refused
    bool unproxied;
    // the address the query came to, or NULL
    const struct endpoint *listener;
    // wall clock of this turn: cookies, signatures, replicas that move
    int64_t now_s;
    // What follows may be NULL: the feature is off then.

    // fe.D whole, signed (resolver/zone/zone.h)
    const struct zone *frontend;
    // of that zone, for transfers (resolver/answer/transfer.h)
    const struct zone_history *history;
    // of neighbours (resolver/packet/tsig.h)
    const struct tsig_keys *tsig_keys;
    // for answer_neighbour.c: who has signed the query; NULL: not looked at
    const struct tsig_key *tsig_key;
    // measured networks, for routing (resolver/route/geo.h)
    const struct geo_view *geo;
    // asks other resolvers for private views (resolver/forward/forward.h)
    struct forwarder *forwarder;
    // keys of both zones (resolver/sign/dnssec.h)
    const struct dnssec *dnssec;
    // signatures of D, made on line (resolver/sign/signer.h)
    struct signer *signer;
    // for what must wait (resolver/packet/pending_query.h)
    struct pending_ticket ticket;
    // secrets of DNS cookies (resolver/packet/cookies.h)
    const struct cookies *cookies;
    // at most EDNS_NSID_MAX octets
    const char *nsid;
    // octets that go behind the answer: for answer_neighbour.c, its TSIG
    uint16_t tail;
    // TCP and TLS: what a client that asks is told (RFC 7828); 0: nothing
    uint32_t idle_ms;
};

// Signatures that an answer needed, by where they came from: the cache, the cache as of the last
// window of time, or nowhere yet. By class as well: enum signer_class.
enum answer_lookup { LOOKUP_HIT, LOOKUP_BEFORE, LOOKUP_MISS, LOOKUP_OUTCOMES };
#define LOOKUP_CLASSES 2

struct answer_info { // for the counters, the query log and the server
    // extended; -1 dropped
    int rcode;
    bool truncated;
    // nothing was written: who holds the ticket says when to ask again
    bool pending;
    // nothing was written: a zone is asked for over TCP (resolver/answer/transfer.h)
    bool transfer;
    // the client has shown that it is where it says
    bool cookie_valid;
    // the query was signed with a key that we share
    bool neighbour;
    // asked for; 0 unknown
    uint16_t type;
    // octets of the question in the response, after the header; 0: none
    uint16_t question_n;
    // where its OPT record stands; n 0: none
    uint16_t opt_at, opt_n;
    // enum name_kind; NAME_INVALID for what was not looked at
    uint8_t kind;
    // that the answer leads to, or REGION_NONE
    uint8_t region;
    // enum route_mode, for global names
    uint8_t mode;
    // any of these; set with `pending` too
    bool looked_up;
    uint8_t lookups[LOOKUP_CLASSES][LOOKUP_OUTCOMES];
    // NULL: public
    const struct view *view;
};

// Writes at most `cap` bytes, and over UDP no more than the client takes. `cap` must be at least
// 512 (beside a neighbour's TSIG it may be less: answer_neighbour.c says TC where that is too
// little).
size_t answer_packet(const struct answer_context *c, const uint8_t *query, size_t n, uint8_t *out,
                     size_t cap, struct answer_info *info);

// For a batch of queries: fetch what they will need into the cache, all at once rather than one
// after the other. First this for each, which changes nothing else; then catalogue_hint_follow for
// each; then answer_packet.
uint64_t answer_hint(const struct topology *t, const uint8_t *query, size_t n);

#endif
