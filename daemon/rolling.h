// SPDX-License-Identifier: Apache-2.0
// This node's part in replacing peer certificates over the control feed (fleet/peer_roll.h), where
// the topology comes from there. Elsewhere people name new fingerprints.
//
//   rc = rolling_start(&o, &rolling);                // after fleet and certificates
//   rolling_begin(rolling, req, peer, plan);         // peer listener: peer_roll_is_path
//   rolling_end(rolling);                            // its thread ends; then the feed may go
//   rolling_stop(rolling);                           // after certificates and servers have stopped
//
// A thread of its own looks every two seconds. As any region it asks the writer to name the
// certificate that waits, and tells it of the first use; as the writer it takes out what is over.
// The certificates' thread asks rolling_ready before it goes over.
#ifndef MERIDIAN_DAEMON_ROLLING_H
#define MERIDIAN_DAEMON_ROLLING_H

#include "daemon/app.h"

struct rolling;
struct rolling_options {
    struct app *app;
    // as of certs_options
    int (*clock_ok)(void *ctx, char *why, size_t cap);
    void *ctx;
};

// *out stays NULL where files are the source.
int rolling_start(const struct rolling_options *o, struct rolling **out);
void rolling_end(struct rolling *r);  // NULL is fine
void rolling_stop(struct rolling *r); // likewise

// `peer`: the region by its certificate. On an HTTP thread. `r` NULL: 404.
void rolling_begin(struct rolling *r, struct http_request *req, const struct region *peer,
                   struct http_plan *plan);
// The topology in force names that certificate of ours: has every region that can be reached, and a
// majority, stored it? Asks them; blocks for 2 s at most. NULL: no.
bool rolling_ready(struct rolling *r, const char *fingerprint);
// What the certificate that waits is waiting for, as a clause. Any thread.
void rolling_waits(struct rolling *r, char *out, size_t cap);

#endif
