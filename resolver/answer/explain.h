// SPDX-License-Identifier: Apache-2.0
// `meridian dns explain NAME --client ADDR`: the answer that this resolver gives a client, and the
// reasons, as JSON. It shows the parsed name; the view; the network that the query was routed by,
// and how far the answer holds for others; the rule that gave the order (an override with its line,
// lines of the latency file, a place of the MaxMind database); the table of all regions with tiers,
// weights, headroom, scores, reasons and votes; the chosen region; replicas that move to another
// stamp; and the records. In a private view it shows the private endpoint's addresses instead. It
// uses the code path of an answer (route_decide and the answer builder), so the two cannot differ.
// It reads measurements again from their file for the table. Runs on an admin's thread.
#ifndef MERIDIAN_RESOLVER_ANSWER_EXPLAIN_H
#define MERIDIAN_RESOLVER_ANSWER_EXPLAIN_H

#include "base/addr.h"
#include "config/topology.h"
#include "health/health.h"
#include "resolver/route/geo.h"

#include <stdbool.h>

struct explain_query {
    const struct topology *topology;
    // may be NULL
    const struct health_verdicts *health;
    // whose votes are told; may be NULL
    struct health *checker;
    // may be NULL
    const struct geo *geo;
    // what is wrong with its files; NULL or "": nothing
    const char *geo_error;
    // fe.D as this node serves it; may be NULL
    const struct zone *frontend;
    const char *name;
    // transport source
    struct ip client;
    // of a Client Subnet option; NULL: none
    const struct cidr *subnet;
    // NULL: no view that is bound to one is considered
    const struct endpoint *listener;
    // explain_place chose it: other views may have that address too
    bool listener_by_client;
};

// Where the client asks: `view` is the name of a view ("public": none), whose own listener is taken
// then, if it has one, and whose first address is the client's if `has_client` is false. NULL: the
// view that has the client's address among its sources and a listener of its own, if there is one;
// else q->listener stays. ERR_NOTFOUND: no such view.
int explain_place(struct explain_query *q, const char *view, bool has_client);

// Returns a new json_t *, or NULL when out of memory.
void *dns_explain_json(const struct explain_query *q);

#endif
