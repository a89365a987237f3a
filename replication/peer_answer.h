// SPDX-License-Identifier: Apache-2.0
// What other regions answer to small questions, as bytes that may be anything
// (docs/replication-protocol.md). Pure; any thread.
//
//   rc = answer_mark(body, &mark);       // GET /replication/v1/mark
//
// Outputs are untouched on failure, which is ERR_PROTO. Members that are not known are passed over;
// one that is there twice makes the answer none.
#ifndef MERIDIAN_REPLICATION_PEER_ANSWER_H
#define MERIDIAN_REPLICATION_PEER_ANSWER_H

#include "base/bytes.h"
#include "store/entry.h"

#include <stdint.h>

#define REFUSAL_SIZE 200

// {"mark":CURSOR}
int answer_mark(struct bytes body, struct feed_mark *out);
// {"wallMs":N,"speaks"?:N}, from 0 to CLOCK_WALL_MAX_MS; what it speaks as speech_answered has it.
int answer_clock(struct bytes body, int64_t *out_wall_ms, unsigned *out_speaks);
// {"stored":true|false}
int answer_stored(struct bytes body, bool *out);
// The sentence of a refusal {"errors":[{"message":TEXT}…]}, cut to printable ASCII; "" without one.
void answer_refusal(struct bytes body, char out[REFUSAL_SIZE]);

#endif
