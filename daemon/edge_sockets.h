// SPDX-License-Identifier: Apache-2.0
// The sockets that nginx has of its own by a configuration: what can be bound besides is asked of the
// kernel, and what nginx has bound already is not.
//
//   rc = edge_sockets_read(&s, conf);         // once per configuration: it may be large
//   if (edge_sockets_has(&s, &at)) …
//   edge_sockets_forget(&s);                  // another configuration comes, or the end
//
// Single-threaded. {0} is one that knows nothing.
#ifndef MERIDIAN_DAEMON_EDGE_SOCKETS_H
#define MERIDIAN_DAEMON_EDGE_SOCKETS_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

struct edge_sockets {
    // a configuration was read
    bool known;
    // in order, each once
    struct endpoint *list;
    size_t n;
};

// Of all lines "listen ADDRESS ssl…". ERR_NOMEM: *s stays.
int edge_sockets_read(struct edge_sockets *s, const char *conf);
bool edge_sockets_has(const struct edge_sockets *s, const struct endpoint *at);
void edge_sockets_forget(struct edge_sockets *s);

#endif
