// SPDX-License-Identifier: Apache-2.0
// A bounded number of places, shared out by client network (net/fair.h: /24, /56). A network gets
// another place while it holds fewer than half as many as are free; its first place it gets while
// any is free. So one network alone never holds more than a third of all places, and a newcomer
// finds free ones however many networks came before. For what cannot wait in a queue: requests
// under way. Any thread.
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

#endif
