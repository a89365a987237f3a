// SPDX-License-Identifier: Apache-2.0
// This node's part when the private CA is replaced over the control feed (fleet/ca_roll.h), where the
// topology comes from there.
//
//   rc = ca_rolling_start(&o, &ca_rolling);          // after fleet and certificates
//   ca_rolling_begin(ca_rolling, req, peer, plan);   // peer listener: CA_ROLL_PATH
//   ca_rolling_end(ca_rolling);                      // its thread ends; then the feed may go
//   ca_rolling_stop(ca_rolling);                     // after servers have stopped
//
// A thread of its own looks every two seconds. On any node it brings ca.pem to what the ledger's
// record says, and has certificates of the old CA renewed. On the node that has the CA it leads, step
// by step, and begins by itself when that CA nears its end. It sets and clears CONDITION_CA_ROLL.
#ifndef MERIDIAN_DAEMON_CA_ROLLING_H
#define MERIDIAN_DAEMON_CA_ROLLING_H

#include "daemon/app.h"

#include "base/diag.h"

struct ca_rolling;
struct ca_rolling_options {
    struct app *app;
    // as of certs_options
    int (*clock_ok)(void *ctx, char *why, size_t cap);
    void *ctx;
};

// *out stays NULL where files are the source.
int ca_rolling_start(const struct ca_rolling_options *o, struct ca_rolling **out);
void ca_rolling_end(struct ca_rolling *r);  // NULL is fine
void ca_rolling_stop(struct ca_rolling *r); // likewise

// `peer`: the region by its certificate. On an HTTP thread. `r` NULL: 404.
void ca_rolling_begin(struct ca_rolling *r, struct http_request *req, const struct region *peer,
                      struct http_plan *plan);

// What people ask for, on the node that has the CA. Any thread; block for some seconds. ERR_UNSUPPORTED:
// this node has no CA, or takes its topology from files; ERR_BUSY, ERR_CONFLICT, ERR_NOTFOUND and
// others; always with a sentence.
//
// Makes the next CA and announces it. It issues when issue_after_ms are over, at the earliest.
int ca_rolling_ask_begin(struct ca_rolling *r, int64_t issue_after_ms, struct diag *diag);
int ca_rolling_ask_cancel(struct ca_rolling *r, struct diag *diag);       // before it issues
int ca_rolling_ask_without_away(struct ca_rolling *r, struct diag *diag); // before it issues
int ca_rolling_ask_drop(struct ca_rolling *r, struct diag *diag);
// The next one has issued, and its key is lost: the one before issues again.
int ca_rolling_ask_back(struct ca_rolling *r, struct diag *diag);
// new json_t *: {"step":null|"trust"|"use"|"done"|"cancelled","old","next","issuesAt","oldEndsAt",
// "waits","trusts":[fingerprint],"uses":[fingerprint],"certificate": PEM of the next}; others null.
// Any node; NULL: no memory.
void *ca_rolling_json(struct ca_rolling *r);

#endif
