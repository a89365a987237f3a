// SPDX-License-Identifier: Apache-2.0
// A response body that is produced on the pool and pulled by the HTTP server: the feed's streams
// and the long polls of `have`. The HTTP thread only copies what is there; when there is nothing,
// it asks the pool for more at the next wake or tick. Producers append to a bounded buffer.
//
// A stream with beats says something at least every beat_ms, whatever the pool does: the pool
// leaves the text of the next beats behind, and the HTTP thread sends them. A disk that is slow is
// not silence.
//
//   static const struct response_producer_ops ops = {.produce = …, .free_ctx = …};
//   rc = response_producer_start(r, &ops, ctx, "westeurope", "application/x-ndjson", resp);
//   …
//   streams_wake(r->streams);                       // there may be more
//
// Life: response_producer_start hands the stream to the response. It ends when the producer says
// so, when the client leaves or when the replicator stops; `free_ctx` is then called once, on the
// thread that lets go last.
// Threads: any.
//
// Invariants
//   1. What a call of `produce` appended is sent before the next call.
//   2. No beat is sent before what `produce` appended ahead of it.
#ifndef MERIDIAN_REPLICATION_RESPONSE_PRODUCER_H
#define MERIDIAN_REPLICATION_RESPONSE_PRODUCER_H

#include "base/bytes.h"
#include "net/http.h"

struct replicator;
struct streams;

// All streams that are served.
int streams_new(struct streams **out);
void streams_free(struct streams *l); // after the last has ended; NULL is ignored
// There may be more for each of them, or they are to end. Never blocks on more than a short lock.
void streams_wake(struct streams *l);
// They end, and no new one begins.
void streams_drain(struct streams *l);

struct response_producer_ops {
    // On the pool, one call at a time. Appends to `out`. true: there may be more at once. Sets
    // *out_end when this was the last.
    bool (*produce)(void *ctx, struct buf *out, bool *out_end);
    void (*free_ctx)(void *ctx);
    // On the pool, after produce: does the body end whole? One that does not is cut off, so that its
    // reader sees that. NULL: there is no other end.
    bool (*whole)(void *ctx);
    // On the pool, after produce: what to say when nothing else is to be said. `quiet`: and nothing
    // is known to come. NULL: no beats.
    void (*beat)(void *ctx, bool quiet, struct buf *out);
    // ceiling of what one call may append
    size_t buffer_bytes;
    // call produce at least so often
    unsigned tick_ms;
    unsigned beat_ms;
};

// Fills the response. `who`: a newer stream of the same name ends this one, whose reader is gone
// for all we know; NULL: none does. On failure nothing was taken over: the caller still owns ctx.
int response_producer_start(struct replicator *r, const struct response_producer_ops *ops,
                            void *ctx, const char *who, const char *content_type,
                            struct http_response *resp);

#endif
