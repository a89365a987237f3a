// SPDX-License-Identifier: Apache-2.0
// Refused requests in the daemon's log: one line each, with the request's id, which every answer
// carries as X-Meridian-Request-Id. The server logs every answer of 400 and above; handlers give
// the reason by http_refuse (net/refuse.h) or http_request_refused.
//
//   http: refused 403 DENIED: this registry's network rules do not admit your address (request
//   0a1b…, GET contoso.d.test/v2/a/manifests/1, client 10.0.0.9, principal ada)
//
// Bounded: one client network (/24, /56) may write 20 lines at once and then 1 a second, all
// networks together 200 and then 50 a second. Ordinary refusals (401 without credentials, 404) have
// an account of their own, so that they hide no others. refusals_tell logs every 10 s how many
// lines were left out; the edge's access log has them too (net/edge_log.h). A line never holds
// query, headers or body.
#ifndef MERIDIAN_NET_REFUSALS_H
#define MERIDIAN_NET_REFUSALS_H

#include "base/addr.h"
#include "net/http.h"

#define REFUSALS_BURST 20
#define REFUSALS_PER_S 1
#define REFUSALS_ALL_BURST 200
#define REFUSALS_ALL_PER_S 50
#define REFUSALS_TELL_MS 10000

struct refusals; // the accounts; of fixed size. Any thread.

struct refusals *refusals_new(void); // NULL: no memory
void refusals_free(struct refusals *r);
bool refusals_admit(struct refusals *r, const struct ip *client, bool ordinary, int64_t now_ms);
struct refusals_left_out {
    // lines
    uint64_t n;
    unsigned n_networks;
    // the network with most of them
    struct ip most;
    uint64_t n_most;
};
// What was left out since the last call that returned true. False: nothing, or too soon.
bool refusals_take(struct refusals *r, int64_t now_ms, struct refusals_left_out *out);

// With the process's own accounts. Statuses below 400 are not logged, nor is /healthz, whose state
// has lines of its own.
void refusals_log(const struct http_request *req, int status);
// 504 while a handler still works on the request: reads only what no handler changes.
void refusals_log_late(const struct http_request *req);
void refusals_tell(void); // now and then, and at the end

#endif
