// SPDX-License-Identifier: Apache-2.0
// Packet in, packet out: a pure function of topology, verdicts, transport, source and listener (design section 3). The
// only file of the room that chooses rcodes for what a name means. Allocates nothing, takes no lock, logs nothing.
//
//   struct answer_context c = {.topology = t, .health = v, .transport = ANSWER_UDP, .source = ip, .listener = &ep};
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
    const struct topology *topology;      // NULL: none in force yet, all is SERVFAIL
    const struct health_verdicts *health; // may be NULL
    const struct health_map *health_map;  // of topology and health, for speed; may be NULL
    enum answer_transport transport;
    struct ip source;                // transport source, or what a trusted proxy says it is
    bool unproxied;                  // a trusted proxy asks and does not say for whom: refused
    const struct endpoint *listener; // the address the query came to, or NULL
    int64_t now_s;                   // wall clock of this turn: cookies, signatures, replicas that move
    // What follows may be NULL: the feature is off then.
    const struct zone *frontend;        // fe.D whole, signed (resolver/zone/zone.h)
    const struct zone_history *history; // of that zone, for transfers (resolver/answer/transfer.h)
    const struct tsig_keys *tsig_keys;  // of neighbours (resolver/packet/tsig.h)
    const struct tsig_key *tsig_key;    // for answer_neighbour.c: who has signed the query; NULL: not looked at
    const struct geo_view *geo;         // measured networks, for routing (resolver/route/geo.h)
    struct forwarder *forwarder;        // asks other resolvers for private views (resolver/forward/forward.h)
    const struct dnssec *dnssec;        // keys of both zones (resolver/sign/dnssec.h)
    struct signer *signer;              // signatures of D, made on line (resolver/sign/signer.h)
    struct pending_ticket ticket;       // for what must wait (resolver/packet/pending_query.h)
    const struct cookies *cookies;      // secrets of DNS cookies (resolver/packet/cookies.h)
    const char *nsid;                   // at most EDNS_NSID_MAX octets
    uint16_t tail;                      // octets that go behind the answer: for answer_neighbour.c, its TSIG
    uint32_t idle_ms;                   // TCP and TLS: what a client that asks is told (RFC 7828); 0: nothing
};

// Signatures that an answer needed, by where they came from: the cache, the cache as of the last window of time, or
// nowhere yet. By class as well: enum signer_class.
enum answer_lookup { LOOKUP_HIT, LOOKUP_BEFORE, LOOKUP_MISS, LOOKUP_OUTCOMES };
#define LOOKUP_CLASSES 2

struct answer_info { // for the counters, the query log and the server
    int rcode;       // extended; -1 dropped
    bool truncated;
    bool pending;           // nothing was written: who holds the ticket says when to ask again
    bool transfer;          // nothing was written: a zone is asked for over TCP (resolver/answer/transfer.h)
    bool cookie_valid;      // the client has shown that it is where it says
    bool neighbour;         // the query was signed with a key that we share
    uint16_t type;          // asked for; 0 unknown
    uint16_t question_n;    // octets of the question in the response, after the header; 0: none
    uint16_t opt_at, opt_n; // where its OPT record stands; n 0: none
    uint8_t kind;           // enum name_kind; NAME_INVALID for what was not looked at
    uint8_t region;         // that the answer leads to, or REGION_NONE
    uint8_t mode;           // enum route_mode, for global names
    bool looked_up;         // any of these; set with `pending` too
    uint8_t lookups[LOOKUP_CLASSES][LOOKUP_OUTCOMES];
    const struct view *view; // NULL: public
};

// Writes at most `cap` bytes, and over UDP no more than the client takes. `cap` must be at least 512 (beside a
// neighbour's TSIG it may be less: answer_neighbour.c says TC where that is too little).
size_t answer_packet(const struct answer_context *c, const uint8_t *query, size_t n, uint8_t *out, size_t cap,
                     struct answer_info *info);

// For a batch of queries: fetch what they will need into the cache, all at once rather than one after the other. First
// this for each, which changes nothing else; then catalogue_hint_follow for each; then answer_packet.
uint64_t answer_hint(const struct topology *t, const uint8_t *query, size_t n);

#endif
