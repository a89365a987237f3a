// SPDX-License-Identifier: Apache-2.0
// What goes on between the nodes of a fleet: everybody says how it is, and sees in what they differ.
// All goes over the peer listener (mutual TLS, the region by its certificate's fingerprint).
//
//   const struct fleet_options o = {.region = "eastus", .topology = &topology, …};
//   rc = fleet_new(&o, &fleet);          // asks nobody yet
//   rc = fleet_start(fleet);             // its threads
//   …
//   fleet_stop(fleet);                   // nothing of it runs any more; what was heard stays
//   fleet_free(fleet);                   // after the HTTP servers that call it have stopped
//
// Routes (peer listener)
//   GET  /control/v1/report     how this node is
//
// Threads: all functions from any thread unless they say otherwise.
#ifndef MERIDIAN_FLEET_FLEET_H
#define MERIDIAN_FLEET_FLEET_H

#include "base/bytes.h"
#include "base/snapshot.h"
#include "config/topology.h"
#include "net/http.h"

#include <stdbool.h>
#include <stddef.h>

struct fetcher;
struct fleet;

// What the daemon does for it; may block shortly.
struct fleet_hooks {
    // json_t *, a new reference: how this node is (release, certificates, conditions …). The fleet
    // adds what it knows itself. NULL: out of memory.
    void *(*report)(void *ctx);
    void *ctx;
};

// What it borrows lives longer than the fleet.
struct fleet_options {
    const char *region;
    // this node's
    const char *stamp;
    struct snapshot *topology, *principals;
    struct fetcher *fetcher;
    const char *ca_file, *peer_pem;
    struct fleet_hooks hooks;
    // For tests, as in fleet/call.h; NULL: none.
    int (*dial_socket)(void *ctx, const char *region, char *out, size_t cap);
    void *dial_ctx;
    // between two rounds of reports; 0: 5,000
    unsigned every_ms;
};

int fleet_new(const struct fleet_options *o, struct fleet **out);
int fleet_start(struct fleet *fl);
void fleet_stop(struct fleet *fl); // NULL is fine, and so is a second time
void fleet_free(struct fleet *fl); // stops it first

// Routes of the peer listener under /control. `peer`: the region by its certificate. On an HTTP
// thread. `fl` NULL: 404.
void fleet_begin(struct fleet *fl, struct http_request *req, const struct region *peer,
                 struct http_plan *plan);

// ---- how everybody is: json_t *, new references; NULL: out of memory ----

void *fleet_report_json(struct fleet *fl);
// Asks every other region, each for at most timeout_ms: an array, this node first. Blocks.
void *fleet_all_json(struct fleet *fl, unsigned timeout_ms);
// The same of what was heard last; asks nobody.
void *fleet_heard_json(struct fleet *fl);
// What differs between the nodes for longer than it should (fleet/drift.h), as one sentence with a
// cure; false: nothing. Of what was heard last; never waits.
bool fleet_drift(struct fleet *fl, char *out, size_t cap);
void fleet_metrics(struct fleet *fl, struct buf *out); // NULL is fine

// An answer with 200 and a text of any size, which it takes over. ERR_NOMEM.
int fleet_answer_text(struct http_response *resp, const char *content_type, struct buf *text);

#endif
