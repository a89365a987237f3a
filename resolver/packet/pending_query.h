// SPDX-License-Identifier: Apache-2.0
// Pending queries: a query that waits for a signature or for an upstream's answer. The worker keeps
// the query (over UDP, TCP and TLS alike) and goes on with others. The producer (the signer or the
// forwarder) notifies the worker when the result is ready.
//
// In answer_packet, on the worker's thread:
//   if (c->ticket.inbox) {                  // else nothing can be parked now: answer at once (TC
//                                           // or SERVFAIL)
//       pending_hold(c->ticket);             // one per call below
//       signer_ask(c->signer, …, c->ticket);
//       a->pending = true;                  // and return: nothing is sent
//   }
// Then, once per pending_hold, from any thread, also before answer_packet has returned:
//   pending_retry(ticket);                   // answer_packet is called again for the same query
//   pending_answer(ticket, response, n, &who);  // this is the answer, header and all: the query's
//                                               // id is put in
//   pending_fail(ticket);                    // answer_packet is called again, without a ticket
// A ticket is held only when `pending` is then set. A query may hold several tickets. A retry that
// finds something still missing may hold again, a bounded number of times. When time is up
// (PENDING_MS), answer_packet is called without a ticket. Late calls have no effect. The number of
// pending queries is bounded per worker and per connection; a query longer than PENDING_QUERY_BYTES
// cannot wait.
#ifndef MERIDIAN_RESOLVER_PACKET_PENDING_QUERY_H
#define MERIDIAN_RESOLVER_PACKET_PENDING_QUERY_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PENDING_MS 4000
#define PENDING_MAX 512     // per worker
#define PENDING_PER_CONN 32 // then the connection is not read from
#define PENDING_RETRIES 8
#define PENDING_QUERY_BYTES 1024

struct pending_inbox; // of one worker

struct pending_ticket { // copied freely
    struct pending_inbox *inbox;
    uint32_t slot, generation;
};

void pending_hold(struct pending_ticket t);
void pending_retry(struct pending_ticket t);
void pending_fail(struct pending_ticket t);
// `from`: whose answer it is, for the logs; NULL: nobody's, it tells of a failure.
void pending_answer(struct pending_ticket t, uint8_t *response /* from mem_alloc, taken over */,
                    size_t n, const struct endpoint *from);

// For the worker.
enum pending_news { PENDING_NOTHING, PENDING_RETRY, PENDING_FAIL, PENDING_ANSWER };
struct pending_mail {
    enum pending_news news;
    uint32_t slot;
    // PENDING_ANSWER: free() it
    uint8_t *response;
    size_t n;
    // port 0: nobody's
    struct endpoint from;
};

int pending_inbox_new(struct pending_inbox **out);
void pending_inbox_unref(struct pending_inbox *b);   // what is posted from now on is dropped
int pending_inbox_fd(const struct pending_inbox *b); // readable when there is mail
struct pending_mail pending_inbox_take(struct pending_inbox *b); // news PENDING_NOTHING: no more
struct pending_ticket pending_ticket_of(struct pending_inbox *b, uint32_t slot); // as it is now
// tickets of it so far mean nothing any more
void pending_slot_done(struct pending_inbox *b, uint32_t slot);

#endif
