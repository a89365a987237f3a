// SPDX-License-Identifier: Apache-2.0
// Transfers of fe.D to secondaries: AXFR (RFC 5936) and IXFR (RFC 1995) over TCP and TLS, for
// clients that the topology's `transfer:` section allows. A transfer is a state of its connection:
// it writes one message at a time, when the connection has room, and so delays no other client. D
// is computed and is never transferred.
//
//   rc = transfer_begin(&context, query, n, &x);          // what is refused is a transfer too, of
//                                                         // one message
//   while ((n = transfer_next(x, out, cap, now_s)))       // 0: that was all, or (transfer_failed)
//                                                         // it must be cut off
//   transfer_free(x);
//
// On a worker's thread. Holds the zone it began with until its end.
#ifndef MERIDIAN_RESOLVER_ANSWER_TRANSFER_H
#define MERIDIAN_RESOLVER_ANSWER_TRANSFER_H

#include "resolver/answer/answer.h"

#define TRANSFERS_MAX 16 // at once, per worker

struct transfer;

// `crowded`: there are TRANSFERS_MAX already, so this one is put off (SERVFAIL). ERR_NOMEM.
int transfer_begin(const struct answer_context *c, const uint8_t *query, size_t n, bool crowded,
                   struct transfer **out);
size_t transfer_next(struct transfer *x, uint8_t *out, size_t cap, int64_t now_s);
bool transfer_failed(const struct transfer *x);
int transfer_rcode(const struct transfer *x); // of its first message
void transfer_free(struct transfer *x);

// May this client ask, and with this signature (NULL: none that is right)?
bool transfer_allowed(const struct transfer_settings *s, const struct ip *source,
                      const struct tsig_key *key);

#endif
