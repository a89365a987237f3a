// SPDX-License-Identifier: Apache-2.0
// Response rate limiting: a network that is sent the same answer over and over is probably the
// victim of somebody who writes its address on queries. One table per worker, of fixed size: no
// allocation per query, and no more clients than fit can be held against us: the least recent one
// of four is forgotten.
//
//   struct rrl *r;
//   rc = rrl_new(&settings->rate_limit, &r);         // *out NULL: no limit is set
//   // over UDP, without a cookie or signature only
//   switch (rrl_judge(r, &client, &info, out, n, now_ms)) { … }
//   n = rrl_slip(out, &info);                        // RRL_SLIP: cut back to a truncated answer,
//                                                    // so that it asks by
//   TCP
//
// Accounts are kept by network (/24, /56) and: for answers their name, for absent names and types
// and for errors nothing more, since whoever floods picks new names. A token bucket: `rate` a
// second, of which `burst` seconds' may be used at once. On the worker's thread.
#ifndef MERIDIAN_RESOLVER_SERVE_RRL_H
#define MERIDIAN_RESOLVER_SERVE_RRL_H

#include "config/node_dns.h"
#include "resolver/answer/answer.h"

enum rrl_verdict { RRL_SEND, RRL_SLIP, RRL_DROP };

struct rrl;

int rrl_new(const struct node_dns_rrl *settings /* must outlive it */, struct rrl **out);
void rrl_free(struct rrl *r);
enum rrl_verdict rrl_judge(struct rrl *r, const struct ip *client, const struct answer_info *info,
                           const uint8_t *response, size_t n, int64_t now_ms);
size_t rrl_slip(uint8_t *response, const struct answer_info *info); // its new length

#endif
