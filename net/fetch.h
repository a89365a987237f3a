// SPDX-License-Identifier: Apache-2.0
// HTTP client: one thread with one libcurl multi loop carries all requests of a fetcher. Verified
// TLS, no redirects, no proxy from the environment, sizes and times bounded. With `connect_to` the
// client dials that address and checks the certificate against the URL's name (probes, peers, the
// CLI): finding a region needs no DNS.
//
//   struct fetch_request q = {.url = "https://eus-1.eastus.fe.example.io/healthz",
//                             .connect_to = &ep, .ca_file = ca,
//                             .timeout_ms = 1000, .max_bytes = 4096};
//   struct fetch_result r;
//   fetch_run(f, &q, &r);                      // waits; or fetch_start(f, &q, done, ctx)
//   if (r.err) log_warn("%s", r.message); else if (r.status == 200) …
//   fetch_result_done(&r);
#ifndef MERIDIAN_NET_FETCH_H
#define MERIDIAN_NET_FETCH_H

#include "base/addr.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_PEER_SILENCE_MS 6000

struct fetcher;
struct fetch; // one running request

struct fetch_request { // all strings are copied by start
    // NULL: GET
    const char *method;
    const char *url;
    // dialled in place of the URL's host; NULL: the URL's host
    const struct endpoint *connect_to;
    // The region that is called, or NULL. fetcher_peer_lost(peer) ends the request. TCP gives the
    // connection up when nothing was acknowledged for FETCH_PEER_SILENCE_MS, or when an idle one
    // does not answer keepalives for so long.
    const char *peer;
    // a probe for whether the region is back: fetcher_peer_lost does not end it
    bool looks_for_peer;
    // dial this socket instead (admin)
    const char *unix_socket;
    // NULL: the system's
    const char *ca_file;
    // certificate and key in one file, for mutual TLS
    const char *client_pem;
    // The server's certificate must also be one of `pins` (SHA-256 of its DER, hex), else no byte
    // of the response is used. Checked for every response, since a connection may be older than a
    // revocation.
    bool pinned;
    const char *const *pins;
    size_t n_pins;
    // "Name: value" lines
    const char *const *headers;
    size_t n_headers;
    // Basic; never logged
    const char *user, *password;
    // sent when p != NULL, copied
    struct bytes body;
    // send the body with Transfer-Encoding: chunked
    bool chunked;
    // 0: 5,000
    uint32_t connect_timeout_ms;
    // whole request; 0: none (streams): then idle_timeout_ms must be set
    uint32_t timeout_ms;
    // no byte for so long ends it; 0: none
    uint32_t idle_timeout_ms;
    // ceiling of a collected response body; 0: 1 MiB
    size_t max_bytes;
    // use a new connection, and do not keep it
    bool fresh_connection;
    // fetch_run ends with ERR_CANCELED soon after it is true; may be NULL
    const _Atomic bool *stop;
    // Only open a TCP connection and close it: the result has neither status nor body. The URL is
    // http://NAME:PORT then.
    bool connect_only;
    // Streamed response: called on the fetcher's thread for 2xx bodies only; non-zero return aborts
    // with that code. It may return ERR_BUSY to pause: fetch_resume continues with the same bytes.
    int (*on_data)(void *ctx, struct fetch *f, const uint8_t *p, size_t n);
    // before the first body byte
    void (*on_headers)(void *ctx, struct fetch *f, int status);
    void *ctx;
};

struct fetch_result {
    // 0: a whole response came in, whatever its status; else ERR_TIMEOUT, _UNREACHABLE, _CRYPTO
    // (certificate) …
    int err;
    // HTTP status, 0 if none
    int status;
    // for people, when err
    char message[512];
    // collected, unless on_data took it
    struct buf body;
    // response header lines, "name: value\n", names in lower case
    struct buf headers;
    int64_t elapsed_ms;
};

int fetcher_new(struct fetcher **out);
// The same with another name for its thread, of 15 letters at most and static. What one fetcher carries holds
// up no other: each has a thread and connections of its own.
int fetcher_new_named(const char *thread, struct fetcher **out);
// When a certificate is refused for its dates, `suspect` writes a clause for the message that says
// whose clock may be wrong. `peer` is the request's, or NULL. It runs on the fetcher's thread. Set
// it before the first request, at most once.
void fetcher_set_suspect(struct fetcher *f,
                         void (*suspect)(void *ctx, const char *peer, char *out, size_t cap),
                         void *ctx);
void fetcher_free(struct fetcher *f); // cancels what runs (done is called with ERR_CANCELED), joins
// `done` runs on the fetcher's thread, once, and must not block; the result is freed after it
// returns.
int fetch_start(struct fetcher *f, const struct fetch_request *q,
                void (*done)(void *ctx, struct fetch_result *r),
                struct fetch **out_handle /* may be NULL; valid until done returns */);
// done follows, with ERR_CANCELED. Only while the handle is valid
void fetch_cancel(struct fetcher *f, struct fetch *h);
// The region is silent: ends all running requests to it with ERR_UNREACHABLE. Later requests do not
// reuse a connection from before. Any thread.
void fetcher_peer_lost(struct fetcher *f, const char *peer);
void fetch_resume(struct fetcher *f, struct fetch *h); // any thread
// waits; returns out->err
int fetch_run(struct fetcher *f, const struct fetch_request *q, struct fetch_result *out);
void fetch_result_done(struct fetch_result *r);
// NULL if absent
const char *fetch_result_header(const struct fetch_result *r, const char *name, char *out,
                                size_t cap);

#endif
