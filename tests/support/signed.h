// SPDX-License-Identifier: Apache-2.0
// What signed answers need in tests and fuzzers: keys made on the spot, and queries that wait for
// their signatures as a worker would.
#ifndef MERIDIAN_TESTS_SUPPORT_SIGNED_H
#define MERIDIAN_TESTS_SUPPORT_SIGNED_H

#include "base/bytes.h"
#include "dns/dnskey.h"
#include "resolver/answer/answer.h"

// Appends the `dnssec` section of a topology with new keys of both zones, whose private halves go
// to `dir`; `csk`: one key for each zone instead of two. 0 or a code of base/err.h.
int signed_keys(struct buf *b, const char *dir, enum dnskey_algorithm algorithm, bool csk);

// answer_packet, again and again until no signature is missing; *out_waits: how often it had to
// wait. c->ticket is set. 0: the answer may be none; -1: its signatures never came.
int signed_answer(struct answer_context *c, struct pending_inbox *inbox, const uint8_t *query,
                  size_t n, uint8_t *out, size_t cap, struct answer_info *info, size_t *out_n,
                  int *out_waits);

#endif
