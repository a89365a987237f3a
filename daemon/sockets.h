// SPDX-License-Identifier: Apache-2.0
// All sockets that a node listens on: DNS, the sockets from the edge to the daemon (that of the
// admin listener only where there is one), the admin socket, metrics. The supervisor opens them once, before it drops privileges, and keeps them for
// its whole life; each worker serves on copies. So a new worker, also one of a new program, takes
// over without a gap: connections that arrive meanwhile wait in the kernel. nginx opens its own
// ports itself.
#ifndef MERIDIAN_DAEMON_SOCKETS_H
#define MERIDIAN_DAEMON_SOCKETS_H

#include "base/diag.h"
#include "config/node.h"
#include "daemon/paths.h"
#include "resolver/serve/resolver.h"

struct sockets { // -1, NULL: not open
    struct resolver_sockets *dns;
    int public, peer, tunnel, admin, operator, metrics;
};
#define SOCKETS_NONE   \
    ((struct sockets){ \
        .public = -1, .peer = -1, .tunnel = -1, .admin = -1, .operator= - 1, .metrics = -1})

// `fds`: of a forerunner, which stay the caller's: addresses that they are bound to get duplicates.
// On failure nothing is left open, and what the forerunner bound is as it was. Addresses that
// another program has are waited for until until_mono_ms: a daemon that was killed may still be
// ending.
int sockets_open(const struct node *n, const struct paths *p, const struct identity *id,
                 const int *fds, size_t n_fds, int64_t until_mono_ms, struct diag *diag,
                 struct sockets *out);
void sockets_close(struct sockets *s);
size_t sockets_count(const struct sockets *s);
void sockets_fds(const struct sockets *s, int *out); // room for sockets_count

#endif
