// SPDX-License-Identifier: Apache-2.0
// What the files of the HTTP server share, lowest first: http_alarm.c (when the timer looks),
// http_chunk.c (pieces
// of a body), http_exchange.c (one request as an object), http_stream.c (streamed bodies), http_answer.c (the
// answer), http_slow.c (a body that is given up), http_strand.c (what may block), http_body.c (the
// body), http_call.c (libmicrohttpd's calls), http_tick.c (deadlines), http_yield.c and
// http_server.c (sockets, timer, drain). Nobody else includes this.
//
// Invariants of an exchange; asserts cite their numbers.
//   1. At most one strand job is queued or running (`job_active`). It alone calls sink, run and
//      done, in that order; when no strand ever ran, the HTTP thread calls done.
//   2. The connection is suspended at most once at a time, and only while there is one. "Full, so
//      suspend" and "room, so resume" are decided under exchange.lock: no wake-up is lost.
//   3. At most `sink_window_bytes` of a body wait for the sink; they are the chunks of the queue.
//   4. There is one answer: it is made once, and handed to the library once; none after an answer
//      was told past the library. It goes out on the first call (which closes the connection:
//      refusals of large bodies only) or after the whole body.
//   5. `done` is called once, whatever happened.
//   6. Every suspension has a deadline, and every body a least rate, so that a slow sender does not
//      hold a connection. While the server does not read, the sender's time stands still.
//   7. A body that is given up is discarded from then on; only the strand says so, after done, and
//      once.
//
// Locks, outermost first: server.lock, stream.lock, exchange.lock; then libmicrohttpd's own. A
// stream's lock is never taken under the server's. Handlers' code is never called under any of
// them. `_locked`: under exchange.lock.
#ifndef MERIDIAN_NET_HTTP_PRIV_H
#define MERIDIAN_NET_HTTP_PRIV_H

#include "net/http.h"
#include "net/pace.h"
#include "net/share.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

// For the edge's access log, which takes them off the answer (net/edge_render.c): the code of a
// refusal, and who asked.
#define HTTP_HEADER_REASON "X-Meridian-Reason"
#define HTTP_HEADER_PRINCIPAL "X-Meridian-Principal"

#define HTTP_DISCARD_MAX (64 << 10) // a body that the plan does not want
// A body that was refused by its length is read and dropped up to here, so that an edge which still
// sends it gets the answer and not a broken connection.
#define HTTP_DRAIN_MAX (8 << 20)
#define HTTP_HEADERS_MAX 100
#define HTTP_TARGET_MAX (8 << 10)
#define HTTP_SINK_DEADLINE_MS 120000 // a sink that takes nothing for so long loses its upload
// so long a connection whose body was refused unread stays open to its client
#define HTTP_LINGER_MS 3000
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
    // since the last read began
    bool woken;
    // a reference; NULL before it is sent and after it was closed
    struct http_exchange *exchange;
};

// Bytes of an upload on their way to the sink. While it is the last of its queue, more are added.
struct http_chunk {
    struct http_chunk *next;
    size_t n, cap;
    uint8_t data[];
};
#define HTTP_CHUNK_BYTES (64u << 10)
#define HTTP_SPARE_MAX 16 // chunks that a server keeps for the next body
// So much of a body is handed to the sink at once, when it comes fast enough; what comes slowly
// waits for more for so long. Where all uploads together hold more than an eighth of their budget,
// none waits.
#define HTTP_BATCH_BYTES (256u << 10)
#define HTTP_FLUSH_MS 50

enum http_wait { WAIT_SINK, WAIT_RUN, WAIT_STREAM };

// One request on its way through, by the invariants above. References: the connection's (until
// libmicrohttpd says completed), the pool job's, the pending retry's. libmicrohttpd's connection is
// touched only while `conn` is set, under the lock or on its own thread.
struct http_exchange {
    struct http_server *server;
    // the server's list, under server.lock
    struct http_exchange *prev, *next;
    // the timer's own chain
    struct http_exchange *release_next;
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    // NULL once completed
    struct MHD_Connection *conn;
    bool suspended;
    enum http_wait wait;
    // of the suspension
    int64_t deadline_ms;

    // owned by the HTTP thread until a job is active, then by the job
    struct http_request req;
    struct http_plan plan;
    struct pool_job job;
    // the first handler call is
    bool begun;
    // it has a place of the server's shares, as this client:
    bool shares;
    struct ip place;
    // app.begin has filled the plan
    bool planned;
    // the successor's: see http_server_yield_begin
    bool late;
    // app.run_late stands for plan.run
    bool run_late;
    // the library has the answer, and no handler is called for it any more
    bool sent;
    // the body is awaited, and `pace` counts
    bool reading;
    // all of the body came in
    bool body_complete;
    // a job has run for it
    bool started;
    bool job_active, retry_pending, ran, done_called, sink_failed, timed_out, cut;
    // its run goes on there, in a job of its own; NULL: no
    struct pool *moves_to;
    // Its run waits for that handle, a reference, or did last; is_parked: it waits.
    struct http_parked *parked;
    bool is_parked;
    int64_t park_until;
    // where it went on; NULL: nowhere. Written under the lock, read by anybody.
    _Atomic(struct pool *) moved_to;
    // status the server itself decided on, or 0
    int refuse;
    // the same in mid-body: the rest is not waited for
    int give_up;
    // that status is on its way, past the library
    bool told;
    struct http_chunk *head, *tail;
    size_t queued_bytes;
    // when the strand is called for what is queued, if nothing calls it earlier; 0: it is called,
    // or nothing is queued
    int64_t flush_ms;
    // for the sink; all that came
    uint64_t received_bytes, body_bytes;
    int conn_fd;
    struct pace pace;
    int64_t suspended_us;
    // of body_bytes, came before the yield
    uint64_t yield_bytes;
    bool yield_judged;
    // told, and the other side has had its time to close
    int64_t hang_up_ms;
    // collected
    struct buf body;
    size_t reserved_bytes;
    // an answer was made (invariant 4)
    bool made;
    struct MHD_Response *answer;
    // of the answer; borrowed from it
    struct http_stream *stream;
    int answer_status;
};

struct http_server {
    // defaults filled in
    struct http_server_options options;
    char *socket_path;
    struct http_app app;
    struct MHD_Daemon *daemon;
    int listen_fd;
    // LISTENER_PUBLIC: requests in flight by client network; else NULL
    struct share *share;
    // connections with a request in flight
    _Atomic size_t active;
    // of the budget
    _Atomic size_t uploads_bytes;
    // chunks for the next body
    pthread_mutex_t spare_lock;
    struct http_chunk *spare;
    size_t n_spare;
    _Atomic bool draining, closing, yielded;
    // under `lock`, as the timer; 0: not yet
    int64_t yield_ms;
    // set ahead of `yielded`
    struct pool *late_pool;
    pthread_mutex_t lock;
    pthread_cond_t timer_cond, idle_cond;
    struct http_exchange *exchanges;
    // when the timer looks next; INT64_MAX: never
    int64_t timer_ms;
    bool timer_stop;
    pthread_t timer;
    // duplicates of connections whose refusal may still be under way; a ring, by age
    struct http_lingering {
        int fd;
        int64_t until_ms;
    } lingering[HTTP_LINGERING_MAX];
    size_t lingering_at, n_lingering;
};

enum http_method http_method_of(const char *text);
int http_request_init(struct http_request *req);
// ERR_INVAL unless origin-form
int http_request_target(struct http_request *req, const char *target);
bool http_dot_segments(const char *path);
int http_request_add_header(struct http_request *req, const char *name, size_t n_name,
                            const char *value, size_t n_value);
// Everything libmicrohttpd knows about the request → req; 0, or the status to refuse with.
// http_ingest.c
int http_request_ingest(struct http_request *req, struct MHD_Connection *conn,
                        enum http_listener listener, const char *method, const char *version,
                        bool *out_chunked);
// refuse.c: a refusal of the server's own, by its status
void http_refuse_own(struct http_request *req, struct http_response *resp, int status);

// http_slow.c: a body that is not waited for any longer. The library takes no answer in mid-body.
struct pace_rule http_slow_rule(const struct http_server *s, const struct http_plan *plan);
void http_slow_response(struct http_exchange *ex, struct http_response *resp); // of ex->give_up
// writes it; under ex->lock
void http_slow_tell(struct http_exchange *ex, const struct http_response *resp);

// --- http_exchange.c ---
struct http_exchange *http_exchange_new(struct http_server *s, const char *target);
void http_exchange_unref(struct http_exchange *ex);
void http_suspend_locked(struct http_exchange *ex, enum http_wait wait, int64_t for_ms);
void http_resume_locked(struct http_exchange *ex);
// resumes it if it is suspended for that
void http_resume_from_locked(struct http_exchange *ex, enum http_wait wait);
void http_exchange_wake(struct http_exchange *ex);             // its stream has news
void http_exchange_resume(struct http_exchange *ex, bool cut); // stop: whatever it waits for
struct pool *http_pool_of(const struct http_exchange *ex);
int http_busy_status(const struct http_exchange *ex);
// has the client closed its side?
bool http_client_gone(const struct http_exchange *ex);
// after a yield, could app.run_late stand for its plan?
bool http_runs_late(const struct http_exchange *ex);

// --- http_stream.c: libmicrohttpd's callbacks of a streamed body ---
ssize_t http_stream_read(void *cls, uint64_t at, char *to, size_t cap);
void http_stream_closed(void *cls);

// --- http_answer.c, without the lock ---
// finish, then the library's response; by the owner of the request
void http_answer_make(struct http_exchange *ex, struct http_response *resp);
// by the HTTP thread alone: nothing of the request ever went to a pool
void http_answer_inline(struct http_exchange *ex, struct http_response *resp);
enum MHD_Result http_answer_send(struct http_exchange *ex);
enum MHD_Result http_answer_early(struct http_exchange *ex); // before the body is in
enum MHD_Result http_answer_late(struct http_exchange *ex);  // 504, while run goes on
void http_call_done(struct http_exchange *ex);

// --- http_chunk.c ---
// Queues n bytes of which the budget knows; under the lock. ERR_NOMEM: none of them.
int http_chunks_queue(struct http_exchange *ex, const char *data, size_t n);
// The first one of a queue that has some; under the lock. It counts as queued still.
struct http_chunk *http_chunks_take(struct http_exchange *ex);
// Its bytes leave the budget.
void http_chunk_give(struct http_server *s, struct http_chunk *c);
void http_spare_free(struct http_server *s);

// --- http_strand.c ---
// Gives the exchange a job on its pool unless it has one; an error when the pool is full. The
// caller settles that pool (pool_settle) once it holds no lock.
int http_schedule_locked(struct http_exchange *ex);
// The pool is full but the work was begun: the timer asks again. Returns when.
int64_t http_retry_locked(struct http_exchange *ex);

// --- http_park.c ---
// The run of this job waits: leaves with the exchange's lock, which it takes.
void http_park(struct http_exchange *ex, const struct http_response *resp);
// Lets go of the handle; by a job, under the lock.
void http_park_end(struct http_exchange *ex);
// Under the lock, of the timer: when to look again.
int64_t http_park_tick(struct http_exchange *ex, int64_t now_ms);
// Under the lock: the server ends. When the timer is to look; 0: not for this.
int64_t http_park_hurry(struct http_exchange *ex);
bool http_parked_woken(const struct http_parked *p); // for tests

// --- http_body.c, on the HTTP thread ---
void http_read_begin(struct http_exchange *ex); // a body follows
bool http_read_end(struct http_exchange *ex);   // false: it was given up
enum MHD_Result http_body_take(struct http_exchange *ex, const char *data, size_t *n_data);

// --- http_call.c ---
enum MHD_Result http_exchange_call(struct http_exchange *ex, struct MHD_Connection *conn,
                                   const char *method, const char *version, const char *data,
                                   size_t *n_data);
void http_exchange_completed(struct http_exchange *ex);

// --- http_tick.c ---
// Timer: acts on what is due at `now` and returns when to look again. Called under server.lock;
// *out_release: the caller drops a reference once it has let go of that lock.
int64_t http_exchange_tick(struct http_exchange *ex, int64_t now_ms, bool *out_release);
// Stop and yield, under server.lock; the timer looks soon after.
void http_exchange_give_up(struct http_exchange *ex, int status); // its body, if one is coming
bool http_exchange_is_over(struct http_exchange *ex); // as http_server_yield_wait has it

// --- http_alarm.c ---
// The library closes a connection as soon as a refusal is written, and with bytes unread that would
// reset it under the feet of an edge that is still sending. Keeps the connection alive for a
// moment.
void http_server_linger(struct http_server *s, int conn_fd);
void http_server_arm(struct http_server *s, int64_t when_ms); // the timer looks then, or earlier
// under server.lock: closes what has lingered until `now`
void http_linger_end(struct http_server *s, int64_t now);

// --- http_server.c ---
void http_server_resume_all(struct http_server *s, bool cut); // under server.lock

#endif
