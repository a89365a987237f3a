// SPDX-License-Identifier: Apache-2.0
// Shares of a bounded number of places, by client network (net/fair.h: /24, /56). A network gets a
// place while it has fewer than half of those that are free, and always its first one while any is.
// So one network alone never has more than a third of all, and however many came before, who comes
// next finds some free: each takes only a part of what is left. For what cannot wait in a queue: a
// request that is under way. Any thread.
//
//   struct share *s = share_new(4096);
//   if (!share_take(s, &client)) …429…
//   share_give(s, &client);                   // once for each place
#ifndef MERIDIAN_NET_SHARE_H
#define MERIDIAN_NET_SHARE_H

#include "base/addr.h"

#include <stddef.h>

#define SHARE_MAX (3u << 16)

struct share;
struct share *share_new(size_t places); // 1 to SHARE_MAX; NULL: out of memory
void share_free(struct share *s);
bool share_take(struct share *s, const struct ip *client);
void share_give(struct share *s, const struct ip *client);
size_t share_taken(struct share *s); // in all

#endif
