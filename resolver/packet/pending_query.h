// SPDX-License-Identifier: Apache-2.0
// Queries that wait: for a signature that is being made, for an upstream's answer. The worker keeps the query (over
// UDP, TCP and TLS alike) and goes on with others; whoever makes the thing waited for tells the worker when it is
// there.
//
// In answer_packet, on the worker's thread:
//   if (c->ticket.inbox) {                  // else nothing can be parked now: answer at once (TC or SERVFAIL)
//       parked_hold(c->ticket);             // one per call below
//       signer_ask(c->signer, …, c->ticket);
//       a->pending = true;                  // and return: nothing is sent
//   }
// Then, once per parked_hold, from any thread, also before answer_packet has returned:
//   parked_retry(ticket);                   // answer_packet is called again for the same query
//   parked_answer(ticket, response, n, &who);  // this is the answer, header and all: the query's id is put in
//   parked_fail(ticket);                    // answer_packet is called again, without a ticket
// A ticket is only held when `pending` is then set. Several may be held for one query; a retry that finds something
// still missing may hold again, a bounded number of times. When time is up (PARKED_MS) answer_packet is called without
// a ticket. Late calls are harmless. Bounded per worker and per connection; queries over PARKED_QUERY_BYTES are not
// parked.
#ifndef MERIDIAN_RESOLVER_PACKET_PENDING_QUERY_H
#define MERIDIAN_RESOLVER_PACKET_PENDING_QUERY_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARKED_MS 4000
#define PARKED_MAX 512     // per worker
#define PARKED_PER_CONN 32 // then the connection is not read from
#define PARKED_RETRIES 8
#define PARKED_QUERY_BYTES 1024

struct parked_inbox; // of one worker

struct parked_ticket { // copied freely
    struct parked_inbox *inbox;
    uint32_t slot, generation;
};

void parked_hold(struct parked_ticket t);
void parked_retry(struct parked_ticket t);
void parked_fail(struct parked_ticket t);
// `from`: whose answer it is, for the logs; NULL: nobody's, it tells of a failure.
void parked_answer(struct parked_ticket t, uint8_t *response /* from mem_alloc, taken over */, size_t n,
                   const struct endpoint *from);

// For the worker.
enum parked_news { PARKED_NOTHING, PARKED_RETRY, PARKED_FAIL, PARKED_ANSWER };
struct parked_mail {
    enum parked_news news;
    uint32_t slot;
    uint8_t *response; // PARKED_ANSWER: free() it
    size_t n;
    struct endpoint from; // port 0: nobody's
};

int parked_inbox_new(struct parked_inbox **out);
void parked_inbox_unref(struct parked_inbox *b);                              // what is posted from now on is dropped
int parked_inbox_fd(const struct parked_inbox *b);                            // readable when there is mail
struct parked_mail parked_inbox_take(struct parked_inbox *b);                 // news PARKED_NOTHING: no more
struct parked_ticket parked_ticket_of(struct parked_inbox *b, uint32_t slot); // as it is now
void parked_slot_done(struct parked_inbox *b, uint32_t slot); // tickets of it so far mean nothing any more

#endif
