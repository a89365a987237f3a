// SPDX-License-Identifier: Apache-2.0
// What the files of the HTTP server share: http_request.c, http_response.c, http_exchange.c (one request's life) and
// http_server.c (sockets, timer, drain). Nobody else includes this.
//
// Locks, outermost first: server.lock, stream.lock, exchange.lock; then libmicrohttpd's own. A stream's lock is never
// taken under the server's. Handlers' code is never called under any of them.
#ifndef MERIDIAN_NET_HTTP_PRIV_H
#define MERIDIAN_NET_HTTP_PRIV_H

#include "net/http.h"
#include "net/pace.h"
#include "net/share.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

// For the edge's access log, which takes them off the answer (net/edge_render.c): the code of a refusal, and who asked.
#define HTTP_HEADER_REASON "X-Meridian-Reason"
#define HTTP_HEADER_PRINCIPAL "X-Meridian-Principal"

#define HTTP_DISCARD_MAX (64 << 10) // a body nobody asked for
// A body that was refused by its length is read and dropped up to here, so that an edge which still sends it gets the
// answer and not a broken connection.
#define HTTP_DRAIN_MAX (8 << 20)
#define HTTP_HEADERS_MAX 100
#define HTTP_TARGET_MAX (8 << 10)
#define HTTP_SINK_DEADLINE_MS 120000 // a sink that takes nothing for so long loses its upload
#define HTTP_LINGER_MS 3000          // so long a connection whose body was refused unread stays open to its client
#define HTTP_LINGERING_MAX 64
#define HTTP_SLOW_BYTES_S 4096   // the least rate of bodies that we only collect or discard
#define HTTP_YIELD_JUDGE_MS 2000 // after a yield, a body is judged by what came since
#define HTTP_RETRY_MS 20         // a full pool is asked again so often for work that was begun

struct http_exchange;

struct http_stream {
    pthread_mutex_t lock;
    _Atomic uint32_t refs;
    const struct http_stream_ops *ops;
    void *ctx;
    bool woken;                     // since the last read began
    struct http_exchange *exchange; // a reference; NULL before it is sent and after it was closed
};

struct http_chunk { // bytes of an upload on their way to the sink
    struct http_chunk *next;
    size_t n;
    uint8_t data[];
};

enum http_wait { WAIT_SINK, WAIT_RUN, WAIT_STREAM };

// One request on its way through. References: the connection's (until libmicrohttpd says completed), the pool job's,
// the pending retry's. libmicrohttpd's connection is touched only while `conn` is set, under the lock or on its own
// thread.
struct http_exchange {
    struct http_server *server;
    struct http_exchange *prev, *next;  // the server's list, under server.lock
    struct http_exchange *release_next; // the timer's own chain
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    struct MHD_Connection *conn; // NULL once completed
    bool suspended;
    enum http_wait wait;
    int64_t deadline_ms; // of the suspension

    struct http_request req; // owned by the HTTP thread until a job is active, then by the job
    struct http_plan plan;
    struct pool_job job;
    bool begun;  // the first handler call is
    bool shares; // it has a place of the server's shares, as this client:
    struct ip place;
    bool planned;       // app.begin has filled the plan
    bool late;          // the successor's: see http_server_yield_begin
    bool run_late;      // app.run_late stands for plan.run
    bool sent;          // the library has the answer, and no handler is called for it any more
    bool reading;       // the body is awaited, and `pace` counts
    bool body_complete; // all of the body came in
    bool started;       // a job has run for it
    bool job_active, retry_pending, ran, done_called, sink_failed, timed_out, cut;
    int refuse;  // status the server itself decided on, or 0
    int give_up; // the same in mid-body: the rest is not waited for
    bool told;   // that status is on its way, past the library
    struct http_chunk *head, *tail;
    size_t queued_bytes;
    uint64_t received_bytes, body_bytes; // for the sink; all that came
    int conn_fd;
    struct pace pace;
    int64_t suspended_us;
    uint64_t yield_bytes; // of body_bytes, came before the yield
    bool yield_judged;
    int64_t hang_up_ms; // told, and the other side has had its time to close
    struct buf body;    // collected
    size_t reserved_bytes;
    struct MHD_Response *answer;
    struct http_stream *stream; // of the answer; borrowed from it
    int answer_status;
};

struct http_server {
    struct http_server_options options; // defaults filled in
    char *socket_path;
    struct http_app app;
    struct MHD_Daemon *daemon;
    int listen_fd;
    struct share *share;          // LISTENER_PUBLIC: requests in flight by client network; else NULL
    _Atomic size_t active;        // connections with a request in flight
    _Atomic size_t uploads_bytes; // of the budget
    _Atomic bool draining, closing, yielded;
    int64_t yield_ms;       // under `lock`, as the timer; 0: not yet
    struct pool *late_pool; // set ahead of `yielded`
    pthread_mutex_t lock;
    pthread_cond_t timer_cond, idle_cond;
    struct http_exchange *exchanges;
    int64_t timer_ms; // when the timer looks next; INT64_MAX: never
    bool timer_stop;
    pthread_t timer;
    struct http_lingering { // duplicates of connections whose refusal may still be under way; a ring, by age
        int fd;
        int64_t until_ms;
    } lingering[HTTP_LINGERING_MAX];
    size_t lingering_at, n_lingering;
};

enum http_method http_method_of(const char *text);
int http_request_init(struct http_request *req);
int http_request_target(struct http_request *req, const char *target); // ERR_INVAL unless origin-form
bool http_dot_segments(const char *path);
int http_request_add_header(struct http_request *req, const char *name, size_t n_name, const char *value,
                            size_t n_value);
// Everything libmicrohttpd knows about the request → req; 0, or the status to refuse with. http_ingest.c
int http_request_ingest(struct http_request *req, struct MHD_Connection *conn, enum http_listener listener,
                        const char *method, const char *version, bool *out_chunked);
void http_refuse(struct http_request *req, struct http_response *resp, int status); // an OCI error of the server's own

// http_slow.c: a body that is not waited for any longer. The library takes no answer in mid-body.
struct pace_rule http_slow_rule(const struct http_server *s, const struct http_plan *plan);
void http_slow_response(struct http_exchange *ex, struct http_response *resp);   // of ex->give_up
void http_slow_tell(struct http_exchange *ex, const struct http_response *resp); // writes it; under ex->lock

struct http_exchange *http_exchange_new(struct http_server *s, const char *target);
void http_exchange_unref(struct http_exchange *ex);
enum MHD_Result http_exchange_call(struct http_exchange *ex, struct MHD_Connection *conn, const char *method,
                                   const char *version, const char *data, size_t *n_data);
void http_exchange_completed(struct http_exchange *ex);
void http_exchange_wake(struct http_exchange *ex); // its stream has news
// Timer: acts on what is due at `now` and returns when to look again. Called under server.lock; *out_release: the
// caller drops a reference once it has let go of that lock.
int64_t http_exchange_tick(struct http_exchange *ex, int64_t now_ms, bool *out_release);
void http_exchange_resume(struct http_exchange *ex, bool cut); // stop: whatever it waits for
// Stop and yield, under server.lock; the timer looks soon after.
void http_exchange_give_up(struct http_exchange *ex, int status); // its body, if one is coming
bool http_exchange_is_over(struct http_exchange *ex);             // as http_server_yield_wait has it

// The library closes a connection as soon as a refusal is written, and with bytes unread that would reset it under the
// feet of an edge that is still sending. Keeps the connection alive for a moment.
void http_server_linger(struct http_server *s, int conn_fd);
void http_server_arm(struct http_server *s, int64_t when_ms); // the timer looks then, or earlier
void http_server_resume_all(struct http_server *s, bool cut); // under the lock
// Until nothing is in flight or the deadline: nudges what is suspended. `all`: their memory, too.
void http_server_wait_idle(struct http_server *s, int64_t until_ms, bool all);

#endif
