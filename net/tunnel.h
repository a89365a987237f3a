// SPDX-License-Identifier: Apache-2.0
// Tunnels: how requests that the edge passes on reach another region's peer listener. The edge
// speaks plain HTTP/1.1 to a unix socket; one thread with epoll carries the bytes over mutual TLS,
// verifies chain, name and the fingerprint that the topology in force pins, and knows which regions
// are silent. The edge can do none of that.
//
//   nginx ── tunnel.sock ── tunnels ── mutual TLS ── the other region's nginx ── its daemon
//
// The last segment of the first request's path, "<region>.<hex>", names the region (net/edge.h),
// and the connection stays with that region. A tunnel passes bytes on unchanged and only reads the
// lengths of answers. It buffers at most TUNNEL_BUFFER_BYTES each way, and does not read from one
// side while the other does not take what came.
//
// When a tunnel fails: if the edge waits for an answer that has not begun, the tunnel answers 503
// (or 504: no connection in time) with a reason; in the middle of an answer it cuts the connection;
// if no answer is owed, the edge's connection stays open, and its next request opens a new way.
//
// A region that was heard and then fell silent (tunnels_peer) loses its tunnels and gets no new
// ones until it is heard again. A region that was never heard is tried. The duration of a request
// decides nothing. When a fingerprint leaves the topology, the tunnels to it end.
#ifndef MERIDIAN_NET_TUNNEL_H
#define MERIDIAN_NET_TUNNEL_H

#include "base/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

#define TUNNEL_BUFFER_BYTES (32u << 10)

struct http_words;
struct tunnels;
struct tunnels_options { // strings are copied
    // of the unix socket; taken over, also on failure
    int listen_fd;
    struct snapshot *topology;
    // ours: answers of our own name them
    const char *region, *stamp;
    // how those are worded (net/refuse.h); NULL: in plain text
    const struct http_words *words;
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
// Takes no new tunnels and ends those at rest; requests without an answer have drain_ms. Returns at
// once.
void tunnels_drain(struct tunnels *t, unsigned drain_ms); // NULL is fine
void tunnels_stop(struct tunnels *t); // waits until they ended; without a drain: at once. Frees

#endif
