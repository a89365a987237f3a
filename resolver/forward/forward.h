// SPDX-License-Identifier: Apache-2.0
// Forwards queries for names outside D, for private views that ask for it (views[].forward): never
// for the public view, never for a source that does not fit the view, only with RD. A worker makes
// the query pending (resolver/packet/pending_query.h) and hands it to the forwarder. The forwarder
// is one thread with an epoll set of its own. It asks an upstream from a random port with a random
// id, over TCP when the answer is truncated, and hands the answer back. It caches nothing. No
// worker ever waits.
//
//   rc = forwarder_start(listeners, n, &f);
//   if (forwarder_ask(f, view, &client, &query, ticket)) a->pending = true;        // in a worker
//   forwarder_stop(f);   // when no worker asks any more
//
// Bounds: queries under way in all, of a view and of a client; time; octets of an answer; TCP
// connections. A query beyond a bound, or one that no upstream answers in time, gets SERVFAIL with
// an Extended DNS Error. RFC 1035, 5452, 7766, 8914.
#ifndef MERIDIAN_RESOLVER_FORWARD_FORWARD_H
#define MERIDIAN_RESOLVER_FORWARD_FORWARD_H

#include "config/topology.h"
#include "resolver/forward/forward_message.h"
#include "resolver/packet/pending_query.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORWARD_MAX 1024        // under way
#define FORWARD_QUEUE 256       // handed over and not yet taken up
#define FORWARD_TCP_MAX 32      // connections to upstreams
#define FORWARD_GIVE_UP_MS 3500 // less than PENDING_MS: the client is told why
#define FORWARD_TRIES 4

struct forwarder;

struct forward_stats {
    // queries taken over
    uint64_t asked;
    // with what an upstream said
    uint64_t answered;
    // no upstream answered in time
    uint64_t failed;
    // refused by a bound
    uint64_t limited;
    // now, those that wait to be taken up included
    uint64_t under_way;
    // packets that did not match the question: forged, or very late
    uint64_t ignored;
};

// `own` are the addresses this program listens at: an upstream among them is a loop, and is not
// asked.
int forwarder_start(const struct endpoint *own, size_t n_own, struct forwarder **out);
void forwarder_stop(struct forwarder *f); // what is under way fails; NULL is fine
// Takes the query over, or returns false: then nothing was held. Any thread.
bool forwarder_ask(struct forwarder *f, const struct view *view, const struct ip *client,
                   const struct forward_query *q, struct pending_ticket ticket);
void forwarder_stats_get(const struct forwarder *f, struct forward_stats *out);

// Is a name, in wire form and any case, one that the view forwards?
bool forward_covers(const struct view_forward *f, const uint8_t *name, size_t n);

#endif
