// SPDX-License-Identifier: Apache-2.0
// What the files of the tunnels share, lowest first: tunnel_watch.c (what is waited for),
// tunnel_tls.c (certificates), tunnel_end.c, tunnel_begin.c, tunnel_pipe.c (one tunnel: its end,
// its beginning, its bytes), tunnel.c (life, the loop). A tunnel has the edge's connection (near),
// the other region's (far), and a buffer each way. All but tunnels_peer, _open, _drain and _stop
// runs on the loop's thread.
//
// Invariants
//   1. A byte is read from one side only while the buffer towards the other is empty: who does not
//      read is not read for.
//   2. Nothing of the far side is handed on before its certificate was found good and pinned.
//   3. An answer of our own never follows bytes of an answer to the same request.
//   4. The edge's connection is never closed by us where it may ask again just now: it could not
//      tell that its request was not seen.
#ifndef MERIDIAN_NET_TUNNEL_PRIV_H
#define MERIDIAN_NET_TUNNEL_PRIV_H

#include "config/topology.h"
#include "net/tunnel.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>

enum tunnel_state {
    TUNNEL_HEAD,      // the first request line is awaited
    TUNNEL_CONNECT,   // TCP
    TUNNEL_HANDSHAKE, // TLS
    TUNNEL_OPEN,
    TUNNEL_LINGER, // answered by ourselves; the edge is to hang up
    TUNNEL_DEAD,   // to be freed at the end of the turn
};

struct tunnel;
struct tunnel_end { // one of its two connections
    struct tunnel *t;
    // -1: none
    int fd;
    uint32_t events;
    bool watched;
};

struct tunnel_bytes { // one way
    // TUNNEL_BUFFER_BYTES
    uint8_t *p;
    size_t from, n;
};

enum tunnel_talk {    // as far as a tunnel can tell, which does not read requests
    TUNNEL_RESTS,     // every answer came whole
    TUNNEL_ASKED,     // no byte of the answer has come
    TUNNEL_ANSWERING, // some has
};

struct tunnel {
    struct tunnels *all;
    struct tunnel *prev, *next;
    enum tunnel_state state;
    // the edge; the other region
    struct tunnel_end near, far;
    struct tunnel_bytes up, down;
    SSL *ssl;
    // as TLS says
    bool write_wants_read, read_wants_write;
    // epoll has said so, and is not asked again
    bool far_broken;
    // nothing more comes from there
    bool far_over;
    enum tunnel_talk talk;
    // of the answer that comes; UINT64_MAX: not known
    uint64_t answer_left;
    // there may be more to do without an event
    bool more;
    // of the states that have a limit
    int64_t until_mono;
    // the last byte of an answer
    int64_t answered_mono;
    char region[HOSTNAME_REGION_SIZE];
    // that it showed
    char fingerprint[65];
};

enum heard { HEARD_NEVER, HEARD, HEARD_AWAY };

struct tunnel_peer {
    char region[HOSTNAME_REGION_SIZE];
    enum heard heard;
};

struct tunnels {
    struct tunnels_options o;
    int epoll_fd, wake_fd;
    pthread_t thread;
    struct tunnel *open, *dead;
    // n_far: of them, those with a connection to the other region
    _Atomic size_t n_open, n_far;
    bool accepting;
    // not before, when descriptors ran out
    int64_t accept_mono;
    struct snapshot_reader reader;
    // of the topology that was last looked at
    uint64_t generation;
    SSL_CTX *tls;
    // of the files that it was made from
    struct stat ca_stat, pem_stat;

    pthread_mutex_t lock;
    struct tunnel_peer peers[TOPOLOGY_MAX_REGIONS];
    size_t n_peers;
    // of peers
    bool news;
    bool stop;
    int64_t stop_mono;
};

// --- tunnel_watch.c ---
void tunnels_wake(struct tunnels *all); // any thread
enum heard tunnels_heard(struct tunnels *all, const char *region);
// what epoll is to tell; 0: only that it broke
void tunnel_watch(struct tunnel_end *e, uint32_t events);
void tunnel_unwatch(struct tunnel_end *e);

// --- tunnel_end.c ---
void tunnel_far_close(struct tunnel *t);
void tunnel_expired(struct tunnel *t);
// An answer of our own where one is owed; where nothing is, the edge may ask anew; in the middle of
// one, a cut. `reason` continues "region R " and is plain ASCII.
void tunnel_fail(struct tunnel *t, int status, const char *reason);
void tunnel_end_now(struct tunnel *t);

// --- tunnel_begin.c ---
void tunnel_accepted(struct tunnels *all, int fd); // takes it over
void tunnel_head_came(struct tunnel *t);           // bytes of the first request are in `up`

// --- tunnel_pipe.c ---
void tunnel_event(struct tunnel_end *e, uint32_t events);
void tunnel_go_on(struct tunnel *t); // as far as it can, without waiting; fair to the others

// --- tunnel_tls.c ---
int tunnel_tls_begin(struct tunnel *t); // t->ssl over t->far.fd
// After the handshake: is it who it should be? Keeps the fingerprint.
bool tunnel_tls_pinned(struct tunnel *t, const struct topology *topology);
const char *tunnel_tls_why(struct tunnel *t); // why the handshake failed; static
bool tunnel_pin_holds(const struct tunnel *t, const struct topology *topology);
void tunnel_tls_done(struct tunnels *all);

#endif
