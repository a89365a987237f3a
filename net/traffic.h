// SPDX-License-Identifier: Apache-2.0
// What a node has served, counted for a scrape: requests by kind, class and status, bytes, pushes and
// pulls, logins, tokens that were refused. Of the process; counters are added to without a lock, in
// a few shards, so that threads do not wait for each other's cache lines; a reader sums them.
//
//   req->kind = TRAFFIC_MANIFEST;                          // the room that takes a request
//   traffic_answered(req, resp->status);                   // the edge of the daemon, once
//   traffic_add(TRAFFIC_BYTES_OUT, n);
//   traffic_write("eastus", &buf);                         // any thread
//
// All labels are of fixed tables: whatever clients send, the number of series is bounded.
#ifndef MERIDIAN_NET_TRAFFIC_H
#define MERIDIAN_NET_TRAFFIC_H

#include "base/bytes.h"
#include "net/http.h"

#include <stdint.h>

// Constant and label of `kind`.
#define TRAFFIC_KINDS(X)          \
    X(OTHER, "other")             \
    X(HEALTHZ, "healthz")         \
    X(BASE, "base")               \
    X(CATALOG, "catalog")         \
    X(TAGS, "tags")               \
    X(MANIFEST, "manifest")       \
    X(BLOB, "blob")               \
    X(UPLOAD, "upload")           \
    X(REFERRERS, "referrers")     \
    X(DETAILS, "details")         \
    X(AUDIT, "audit")             \
    X(TOKEN, "token")             \
    X(REPLICATION, "replication") \
    X(PEER, "peer")

enum traffic_kind {
#define X(constant, label) TRAFFIC_##constant,
    TRAFFIC_KINDS(X)
#undef X
        N_TRAFFIC_KINDS
};

// Constant, family, label (both "" where there is none), what it counts. Rows of a family stand
// together.
#define TRAFFIC_COUNTERS(X)                                                                       \
    X(BYTES_IN, "meridian_bytes_total", "direction=in", "Bytes of content.")                      \
    X(BYTES_OUT, "meridian_bytes_total", "direction=out", "")                                     \
    X(PUSHES, "meridian_pushes_total", "what=manifest", "Content that was taken.")                \
    X(PUSHED_BLOBS, "meridian_pushes_total", "what=blob", "")                                     \
    X(MOUNTED_BLOBS, "meridian_pushes_total", "what=mount", "")                                   \
    X(PULLS, "meridian_pulls_total", "what=manifest", "Content that was given.")                  \
    X(PULLED_BLOBS, "meridian_pulls_total", "what=blob", "")                                      \
    X(DELETES, "meridian_deletes_total", "", "Deletions that were done.")                         \
    X(ACK_WAITS, "meridian_ack_waits_total", "", "Writes whose answer waited for other regions.") \
    X(ACK_DONE, "meridian_ack_total", "outcome=done",                                             \
      "Writes that other regions must have, by what was answered.")                               \
    X(ACK_LATE, "meridian_ack_total", "outcome=late", "")                                         \
    X(ACK_REFUSED, "meridian_ack_total", "outcome=refused", "")                                   \
    X(LOGINS, "meridian_logins_total", "outcome=done", "Logins.")                                 \
    X(LOGINS_REFUSED, "meridian_logins_total", "outcome=refused", "")                             \
    X(GRANTS, "meridian_tokens_granted_total", "", "Access tokens that were given.")              \
    X(TOKENS_CREDENTIALS, "meridian_token_refusals_total", "reason=credentials",                  \
      "Questions for tokens, and tokens, that were refused.")                                     \
    X(TOKENS_REFRESH, "meridian_token_refusals_total", "reason=refresh_token", "")                \
    X(TOKENS_QUESTION, "meridian_token_refusals_total", "reason=question", "")                    \
    X(TOKENS_LIMITED, "meridian_token_refusals_total", "reason=limited", "")                      \
    X(TOKENS_UNAVAILABLE, "meridian_token_refusals_total", "reason=unavailable", "")              \
    X(TOKENS_FAILED, "meridian_token_refusals_total", "reason=failed", "")                        \
    X(TOKENS_EXPIRED, "meridian_token_refusals_total", "reason=expired", "")                      \
    X(TOKENS_INVALID, "meridian_token_refusals_total", "reason=invalid", "")                      \
    X(TOKENS_SCOPE, "meridian_token_refusals_total", "reason=scope", "")

enum traffic_counter {
#define X(constant, family, label, help) TRAFFIC_##constant,
    TRAFFIC_COUNTERS(X)
#undef X
        N_TRAFFIC_COUNTERS
};

void traffic_add(enum traffic_counter c, uint64_t n);
// By req->kind and the method. Answers of the admin and metrics listeners do not count.
void traffic_answered(const struct http_request *req, int status);
void traffic_write(const char *region, struct buf *out);
uint64_t traffic_count(enum traffic_counter c); // so far

// Requests that were answered so far, by status: what clients ask, so without /healthz and what other
// regions ask. traffic_code: the status of each place; 0: any other, the last one.
#define TRAFFIC_CODES 29
void traffic_codes(uint64_t out[TRAFFIC_CODES]);
unsigned traffic_code(size_t place);

#endif
