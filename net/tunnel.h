// SPDX-License-Identifier: Apache-2.0
// Tunnels: how requests that the edge passes on reach another region's peer listener. The edge
// speaks plain HTTP/1.1 to a unix socket; one thread with epoll carries the bytes over mutual TLS,
// verifies chain, name and the fingerprint that the topology in force pins, and knows which regions
// are silent. The edge can do none of that.
//
//   nginx ── tunnel.sock ── tunnels ── mutual TLS ── the other region's nginx ── its daemon
//
// Which region: the last segment of the first request's path, "<region>.<hex>" (net/edge.h). A
// connection stays with it. A tunnel changes nothing of what follows, and looks at the length of
// answers only: bytes go through, at most TUNNEL_BUFFER_BYTES each way, and who does not read is
// not read for. Where an answer is owed and has not begun, what goes wrong is answered for the edge
// to hand on: 503 (or 504: the connection could not be made in time) with the registry's error
// JSON, and a reason; in the middle of one the connection is cut. Where nothing is owed, the edge's
// connection stays, and its next request finds a new way.
//
// A region that was heard and then fell silent (tunnels_peer) loses its tunnels, and gets no new
// ones until it is heard again; of one that nobody has heard of yet, connecting tells. How long a
// request takes decides nothing. A fingerprint that leaves the topology ends what runs to it.
#ifndef MERIDIAN_NET_TUNNEL_H
#define MERIDIAN_NET_TUNNEL_H

#include "base/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

#define TUNNEL_BUFFER_BYTES (32u << 10)

struct tunnels;
struct tunnels_options { // strings are copied
    // of the unix socket; taken over, also on failure
    int listen_fd;
    struct snapshot *topology;
    // ours: answers of our own name them
    const char *region, *stamp;
    // read again when they change
    const char *ca_file, *peer_pem;
    // tunnels at once; 0: 512
    unsigned max;
    // TCP and TLS; how long an answer waits for the edge to hang up. 0: 5,000; 2,000
    unsigned connect_ms, linger_ms;
};

int tunnels_start(const struct tunnels_options *o, struct tunnels **out);
// The region is silent (away), or it is heard. Any thread.
void tunnels_peer(struct tunnels *t, const char *region, bool away);
size_t tunnels_open(struct tunnels *t); // connections of the edge now; any thread
// No new ones from here on, and those that rest end; requests that have no answer yet have
// drain_ms. Returns at once.
void tunnels_drain(struct tunnels *t, unsigned drain_ms); // NULL is fine
void tunnels_stop(struct tunnels *t); // waits until they ended; without a drain: at once. Frees

#endif
