// SPDX-License-Identifier: Apache-2.0
// Response rate limiting: a network that gets the same answer over and over is probably the victim
// of somebody who forges its address. One table per worker, of fixed size: a query allocates
// nothing, and a full table forgets the least recent of four accounts.
//
//   struct rrl *r;
//   rc = rrl_new(&settings->rate_limit, &r);         // *out NULL: no limit is set
//   // over UDP, without a cookie or signature only
//   switch (rrl_judge(r, &client, &info, out, n, now_ms)) { … }
//   n = rrl_slip(out, &info);                        // RRL_SLIP: cut back to a truncated answer,
//                                                    // so that it asks by
//   TCP
//
// An account belongs to a network (/24, /56), and for answers also to their name; absent names and
// types, and errors, have one account each per network, since a flood picks new names. A token
// bucket: `rate` a second, of which `burst` seconds' may be used at once. On the worker's thread.
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
