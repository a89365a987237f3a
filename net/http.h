// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 behind the edge: libmicrohttpd on a unix socket, bodies by pull with ceilings both ways,
// handlers as pure functions from a request to a response (design section 12; RFC 9110, 9112).
//
// Life of a request
//   1. headers are in → `app.begin(ctx, req, &plan)` on an HTTP thread: pure CPU, no disk, no lock
//      held long. It routes, checks the token, and fills the plan: answer at once, or collect the
//      body, or stream it into a sink, then run.
//   2. sink calls and `plan.run(req, resp)` happen on the pool, one at a time per request, in
//      order; they may block.
//      A run that has to wait, for another region say, gives no answer but names another pool
//      (http_response_again): it is called once more there, so that the work pool is not held.
//      One that waits for an event holds no thread at all (http_response_park).
//   3. the response is sent: bytes, an Accel path for the edge to serve, or a stream.
//   4. `plan.done(req)` runs once, whatever happened (also when the client left): on the pool,
//      after the last sink call or run, and before the answer's first byte, so that the client's
//      next request finds what this one held released. The answer is copied by then (a stream has
//      its own close).
// Backpressure: at most `sink_window_bytes` wait per upload; meanwhile the connection is suspended.
// A body that comes too slowly is given up: the sink keeps what came, `done` runs, and then the
// server sends 408 without calling `run`.
//
// Tests call begin and run directly, with a request that they made themselves (net/http_test.h).
//
// Ownership: everything reachable from the request hangs off req->arena and dies with it. Threads:
// a request is touched by one thread at a time.
#ifndef MERIDIAN_NET_HTTP_H
#define MERIDIAN_NET_HTTP_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "net/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

// The socket that a request came over; no header can forge it.
enum http_listener {
    LISTENER_PUBLIC,
    LISTENER_PEER,
    // the admin socket: root, by peer credentials
    LISTENER_ADMIN,
    LISTENER_METRICS,
    // the admin listener, behind the edge: anybody who reaches it
    LISTENER_OPERATOR,
};

struct http_words;
struct http_header {
    const char *name, *value;
    struct http_header *next;
};

struct http_request {
    // ceiling 1 MiB
    struct arena arena;
    enum http_method method;
    const char *method_text;
    // raw, as sent, without the query; begins with '/'
    const char *path;
    // raw, without '?'; "" when absent
    const char *query;
    // Host header; "" when absent
    const char *host;
    const struct http_header *headers;
    enum http_listener listener;
    // transport address of the client, as the edge saw it
    struct ip client;
    // LISTENER_PUBLIC: the private endpoint by whose address it came, as the edge saw it; NULL: none
    const char *private_endpoint;
    // 32 hex digits, ours; sent back as X-Meridian-Request-Id
    char request_id[33];
    // LISTENER_PEER: SHA-256 hex of the client certificate the edge verified, else NULL
    const char *peer_cert_fingerprint;
    // the header that said so, as it came
    const char *peer_cert;
    // LISTENER_ADMIN: from SO_PEERCRED
    unsigned peer_uid;
    // -1: none given (chunked or no body)
    int64_t content_length;
    // collected body (HTTP_BODY_COLLECT), else empty
    struct bytes body;
    // clock_mono_ms
    int64_t arrived_ms;
    // the authenticated caller: a user, "peer:<region>", "" for nobody; NULL: not known yet
    const char *principal;
    // what it is of, for the metrics (net/traffic.h: enum traffic_kind); 0: other
    uint8_t kind;
    // how its refusals are worded (net/refuse.h); NULL: in plain text
    const struct http_words *words;
    // Why it is refused, for the log; set by http_request_refused, read once the answer is made.
    const char *refused_code, *refused_why, *refused_detail;
    // run wanted to go on elsewhere (http_response_again), and there was no room for it: it is
    // called again at once, and must answer now
    bool hurried;
    // run waits (http_response_park), and the server ends: it is called again, and must answer now
    bool ending;
    // the handler's own, from plan.ctx
    void *ctx;
};

enum http_body_kind { HTTP_BYTES, HTTP_ACCEL, HTTP_STREAM };

// A pulled response body. `read` runs on an HTTP thread and never blocks. It returns the number of
// bytes written; 0: nothing now, and the connection is suspended until http_stream_wake or for
// poll_ms; HTTP_STREAM_END: the body is whole; any other negative value cuts the connection.
#define HTTP_STREAM_END (-1000)
struct http_stream;
struct http_stream_ops {
    ssize_t (*read)(void *ctx, struct http_stream *s, uint8_t *to, size_t cap);
    // once, always; after it no wake may come: see http_stream_unref
    void (*close)(void *ctx);
    // ask again at least so often; 0: 1000
    unsigned poll_ms;
};
// A producer keeps a reference from http_response_stream's out pointer and wakes through it from
// any thread; waking after the connection has gone is harmless.
struct http_stream *http_stream_ref(struct http_stream *s);
void http_stream_unref(struct http_stream *s);
void http_stream_wake(struct http_stream *s);

struct http_response {
    int status;
    // in order; set with the functions below
    struct http_header *headers;
    enum http_body_kind kind;
    // HTTP_BYTES: hangs off the request's arena, or static
    struct bytes body;
    // HTTP_ACCEL: internal path of the edge, "/_blob/sha256/ab/abcd…"
    const char *accel;
    const struct http_stream_ops *stream;
    void *stream_ctx;
    // made by http_response_stream
    struct http_stream *stream_handle;
    // static, by the functions below; a Content-Type among the headers wins
    const char *content_type;
    // made by http_response_again
    struct pool *again;
    // made by http_response_park
    struct http_parked *parked;
    int64_t parked_until;
};

// Takes the bytes of an upload, on the pool, in order. When the client leaves in mid-body, the sink
// still gets all that came, and then `done` is called without `run`. After an error the server
// discards the rest of the body and still calls `run`, which finds the error where the sink kept
// it.
struct http_sink {
    int (*write)(struct http_request *req, const uint8_t *p, size_t n);
};

enum http_plan_kind {
    // plan->response is filled already (refusals, pings): nothing blocks. A body is discarded
    // unread.
    HTTP_PLAN_REPLY,
    HTTP_PLAN_RUN, // no body wanted (a body is discarded up to 64 KiB, then 413)
    // body collected up to body_max (else 413), then `collected`, if it is set, then run
    HTTP_PLAN_COLLECT,
    HTTP_PLAN_STREAM, // body through sink, then run. body_max 0: no limit
};

struct http_plan {
    enum http_plan_kind kind;
    // HTTP_PLAN_REPLY
    struct http_response response;
    size_t body_max;
    const struct http_sink *sink;
    // must set a status
    void (*run)(struct http_request *req, struct http_response *resp);
    // The body is in req->body: on an HTTP thread, pure CPU, as begin. May answer at once, by
    // making the plan a HTTP_PLAN_REPLY; else run follows. NULL: run follows.
    void (*collected)(struct http_request *req, struct http_plan *plan);
    // may be NULL
    void (*done)(struct http_request *req);
    // becomes req->ctx
    void *ctx;
    // where sink and run go; NULL: the server's own. Full: 503 with Retry-After
    struct pool *pool;
    // the name whose turn it takes there, beside the client's address (net/pool.h); NULL: none
    const char *name;
    // status when that pool is full; 0: 503
    int busy_status;
    // run only makes the answer: the server skips it when the client has gone
    bool for_answer;
    // sink, run and done need nothing that ends with http_server_yield
    bool goes_on;
};

struct http_app {
    void (*begin)(void *ctx, struct http_request *req, struct http_plan *plan);
    // Called for every response before it is sent, on whatever thread made it: adds region, stamp,
    // request id.
    void (*finish)(void *ctx, const struct http_request *req, struct http_response *resp);
    // After http_server_yield_begin: in place of begin; and in place of the run of a body that was
    // still being collected, unless its plan goes on. NULL: such requests get 503.
    void (*begin_late)(void *ctx, struct http_request *req, struct http_plan *plan);
    void (*run_late)(void *ctx, struct http_request *req, struct http_response *resp);
    void *ctx;
    // how refusals are worded, the server's own too (net/refuse.h); NULL: in plain text
    const struct http_words *words;
};

struct http_server_options {
    // an open listening socket, taken over, instead of a path; 0: none
    int listen_fd;
    // bound here, and removed at the end
    const char *socket_path;
    // 0660 for the edge, 0600 for admin
    mode_t socket_mode;
    // -1: leave
    int socket_gid;
    enum http_listener listener;
    struct pool *pool;
    // HTTP threads; 0: 1
    unsigned n_threads;
    // 0: 4096; of LISTENER_PUBLIC one network has a share of them (net/share.h), then 429
    unsigned max_connections;
    // per upload; 0: 512 KiB
    size_t sink_window_bytes;
    // all uploads together; 0: 16 MiB
    size_t uploads_budget_bytes;
    // the server cuts a client that neither sends nor reads for so long; 0: 120
    unsigned idle_timeout_s;
    // The least rate of a body on its way into a sink (net/pace.h): 408, and what came stays the
    // sink's. 0: none; 30,000
    unsigned body_bytes_s, body_window_ms;
    // bodies that are collected or discarded: the same, at 4 KiB/s; 0: 15,000
    unsigned slow_body_ms;
    // the client gets 504 when run takes longer (run goes on); 0: 300,000
    unsigned run_deadline_ms;
};

// A listening unix socket, bound beside and renamed, so that it never exists with a wrong mode or
// owner. uid, gid -1: leave.
int http_socket_open(const char *path, mode_t mode, uid_t uid, gid_t gid, int *out_fd);

struct http_server;
int http_server_start(const struct http_server_options *o, const struct http_app *app,
                      struct http_server **out);
// Hand-over to a successor, while this server ends what it has begun: no new connections, streams
// end, and begin_late takes the requests that still come over connections that the edge keeps.
// _begin returns at once. _wait returns when only plans with `goes_on` still run; from then on no
// other handler is called. The server gives up bodies below the least rate 2 s after _begin, and in
// _wait the bodies that neither go on nor can run late. Late handlers run on `late`, since they may
// wait for the successor, which may wait for work on the server's pool; NULL: on the server's pool
// all the same. `late` outlives the server.
void http_server_yield_begin(struct http_server *s, struct pool *late);
void http_server_yield_wait(struct http_server *s);
// Takes no new connections, ends streams, waits up to drain_ms for requests in flight, and frees.
// The pool must outlive the server. Bodies that are still coming after the drain get 503 with a
// sentence, and their sinks keep what came.
void http_server_stop(struct http_server *s, unsigned drain_ms);
size_t http_server_active(const struct http_server *s); // requests in flight

// --- requests ---
// first; NULL if absent; name without case
const char *http_header_get(const struct http_request *req, const char *name);
// n-th (from 0) occurrence of a query or form key, decoded into req->arena; NULL when there is
// none. `from` is raw x-www-form-urlencoded text.
const char *http_form_get(struct http_request *req, struct bytes from, const char *key, size_t nth);
const char *http_query_get(struct http_request *req, const char *key, size_t nth);
// Percent-decodes a path segment; NULL on malformed escapes or a NUL byte.
const char *http_path_decode(struct arena *a, const char *raw, size_t n);
const char *http_method_text(enum http_method method); // "" for HTTP_OTHER
bool http_token_ok(const char *s);                     // RFC 9110 section 5.6.2
// Records the code and the sentence of a refusal for the log. http_refuse calls it; the last call
// holds.
void http_request_refused(struct http_request *req, const char *code, const char *why);
// More about the refusal for the log alone, without secrets.
void http_request_detail(struct http_request *req, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

// --- responses ---
// All return 0 or ERR_NOMEM / ERR_INVAL (a header value with control bytes is refused).
int http_response_header(struct http_request *req, struct http_response *resp, const char *name,
                         const char *fmt, ...) __attribute__((format(printf, 4, 5)));
// The same of a value as it is.
int http_response_header_text(struct http_request *req, struct http_response *resp,
                              const char *name, const char *value);
// NULL if not set
const char *http_response_get(const struct http_response *resp, const char *name);
void http_response_bytes(struct http_response *resp, int status, const char *content_type_static,
                         struct bytes body);
// Serializes (jansson) into the request's arena; takes over the reference. `root` is a json_t *.
struct json_t;
int http_response_json(struct http_request *req, struct http_response *resp, int status,
                       void *root);
int http_response_text(struct http_request *req, struct http_response *resp, int status,
                       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
// Content-Type by header
void http_response_accel(struct http_response *resp, int status, const char *internal_path);
// There is no answer yet: run is called again, on that pool, which outlives the server. Not when
// req->hurried.
void http_response_again(struct http_response *resp, struct pool *on);
// There is no answer yet, and no thread is held for it: run is called again, on the pool, once
// somebody has called http_parked_wake, at that time (clock_mono_ms) at the latest, and at once with
// req->ending where the server yields or stops. Not when req->ending. A client that
// leaves meanwhile is not noticed before that. *out: a reference of the caller's, good beyond the
// request. ERR_NOMEM.
struct http_parked;
int http_response_park(struct http_response *resp, int64_t until_mono, struct http_parked **out);
// Any thread, without locks of the pool's jobs; harmless when the request is over.
void http_parked_wake(struct http_parked *p);
void http_parked_unref(struct http_parked *p);
int http_response_stream(struct http_response *resp, int status, const char *content_type,
                         const struct http_stream_ops *ops, void *ctx,
                         struct http_stream **out_ref);

#endif
