// SPDX-License-Identifier: Apache-2.0
// Requests that were refused, in the daemon's log: one line each, with the request's id, so that
// who has an id (it stands in every answer as X-Meridian-Request-Id) finds out why. The server
// calls it for every answer of 400 and above; handlers say why by http_refuse (net/refuse.h) or
// http_request_refused.
//
//   http: refused 403 DENIED: this registry's network rules do not admit your address (request
//   0a1b…, GET contoso.d.test/v2/a/manifests/1, client 10.0.0.9, principal ada)
//
// Bounded: of one client network (/24, /56) 20 lines at once and then 1 a second; of all together
// 200 and then 50 a second. What clients meet in the ordinary course of things (401 without
// credentials, 404) has an account apart from the rest, so that it hides nothing. What is left out
// is counted, and told every 10 s by refusals_tell. The edge's access log has those lines too
// (net/edge_log.h). Query, headers and bodies are never in a line.
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
// What was left out since the last call that said true; false: nothing, or too soon to tell.
bool refusals_take(struct refusals *r, int64_t now_ms, struct refusals_left_out *out);

// The process's own accounts. Below 400, and for /healthz (whose state has its own lines), nothing
// is logged.
void refusals_log(const struct http_request *req, int status);
// 504, while a handler still works on the request: looks only at what no handler changes.
void refusals_log_late(const struct http_request *req);
void refusals_tell(void); // now and then, and at the end

#endif
