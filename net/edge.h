// SPDX-License-Identifier: Apache-2.0
// The HTTP edge: nginx, rendered, tested, started, watched, reloaded and drained (design section
// 12). nginx is the only TLS and HTTP edge. This code runs in the supervisor, the small process
// that stays root when the daemon was started by root, so that the daemon's own process needs no
// power over nginx.
//
//   edge_render(&cfg, &text)      pure: configuration → nginx.conf
//   edge_start(&cfg, &e)          nginx -t, then start as a child in its own process group, dying
//                                 with its parent
//   edge_tick(e)                  from the supervisor's loop, a few times a second: reaps, restarts
//                                 with backoff
//   edge_reload(e, &cfg, &diag)   nginx -t on the new text; refused: the old one stays in force and
//                                 diag says why; the same text as before: nginx is left alone
//   edge_stop(e, drain_ms)        QUIT (drains), then TERM, then KILL of the group
//
// nginx keeps no log. Its messages may hold signed URLs; net/edge_log.h cleans them before they are
// written.
//
// The edge copies certificates and keys into runtime_dir under names made of their content, and
// nginx reads the copies. So the master loads what `nginx -t` has judged, and root opens no path
// that the writer of the certificates could swap. Started by root, the master leads a process
// namespace of its own: no process of nginx outlives it, whichever process is killed.
//
// Kinds of server block: public names of this region (certificate of the region), the global
// names (shared certificate), the peer listener (mutual TLS, but for EDGE_JOIN_PATH), and
// where it is wanted the admin listener: an address, a session cache and a socket to the daemon of its own, so that nothing that
// comes over the other listeners ever leads there. Uploads whose id names another region
// and that arrive at a global name are passed on to that region's peer listener (design section
// 10): `/v2/…/blobs/uploads/<region>.<id>`. The edge gives them to the daemon's tunnels
// (net/tunnel.h), which know whom to believe and who is silent.
#ifndef MERIDIAN_NET_EDGE_H
#define MERIDIAN_NET_EDGE_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "config/node.h"
#include "net/edge_access.h"
#include "net/refuse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct edge_peer { // another region, for passed-on uploads
    const char *region;
};

// An address of this machine that belongs to one private endpoint: over it the names of that registry
// are served, and any other gets 421. The daemon is told by which private endpoint a request came.
struct edge_private {
    struct ip ip;
    const char *endpoint;
    // the registry's login label
    const char *label;
    // It needs a socket of its own: no wildcard listener without PROXY headers has that port.
    bool listens;
};
#define EDGE_PRIVATES_MAX 4096

// Called in a child before its own work: each gives up the privileges that the child does not need
// and returns 0; otherwise the child ends. A change of user clears the parent-death signal, which
// the function must set again. NULL: nothing to give up.
struct edge_confine {
    // system calls only: the C library does not know of this process
    int (*nginx)(const void *ctx);
    // The process that reads what nginx says (net/edge_log.h): first it becomes the daemon's user,
    // then it opens the access log, then it gives up all system calls but those it needs.
    int (*log_user)(const void *ctx);
    int (*log)(const void *ctx);
    const void *ctx;
};

// strings are borrowed; all are checked by edge_render: no quote, space, ';', '{', '$' or control
// byte
struct edge_config {
    // program
    const char *nginx;
    // nginx.conf, nginx.pid and temp paths are here
    const char *runtime_dir;
    // of the daemon
    const char *public_socket, *peer_socket, *tunnel_socket;
    // of the admin listener; NULL without one
    const char *admin_socket;
    // served under the internal location /_blob/
    const char *blob_dir;
    const char *domain, *region, *stamp;
    const struct endpoint *https;
    size_t n_https;
    // Listeners whose connections begin with a PROXY header (nginx reads versions 1 and 2), and who
    // may connect there. The client that the header names is then the client everywhere; requests
    // of others get 403, and so do those of a proxy that names nobody, but for GET /healthz.
    const struct endpoint *https_proxied;
    size_t n_https_proxied;
    const struct cidr *proxies;
    size_t n_proxies;
    struct endpoint peer;
    // port 0: there is none
    struct endpoint admin;
    // HTTP/2 on both, for clients that offer it (ALPN)
    bool http2;
    // OpenSSL may leave records to the kernel, where that has a TLS of its own
    bool ktls;
    // threads of their own read blobs off the disk, not the worker
    bool disk_threads;
    // how the edge's own answers are worded (net/refuse.h), without a quote or backslash of
    // nginx's; NULL: in plain text
    const struct http_words *words;
    // certificate and key in one file: this region's names
    const char *region_pem;
    // *.D and *.privatelink.D
    const char *shared_pem;
    // peer identity
    const char *peer_pem;
    // verifies peers
    const char *ca_pem;
    // who may own the four besides ourselves
    uid_t pem_owner;
    // worker's user; NULL: not started by root
    const char *user;
    // worker's group; NULL: the one called as the user
    const char *group;
    // of `user`
    uid_t worker_uid;
    struct edge_confine confine;
    // 0: auto
    unsigned n_workers;
    // requests at once from one client, an IPv4 address or a /64 of IPv6; 0: 1024
    unsigned per_client;
    // the same of a network, a /24 or a /56; 0: a quarter of all
    unsigned per_network;
    const struct edge_peer *peers;
    size_t n_peers;
    // in the order of their addresses, each once; all of the port private_port
    const struct edge_private *privates;
    size_t n_privates;
    uint16_t private_port;
    // which requests are logged (net/edge_access.h)
    enum node_access access;
    // where; read when the edge is made, lives as long as it
    const char *access_file;
    uint64_t access_max_bytes;
};

enum edge_state { EDGE_RUNNING, EDGE_BACKOFF, EDGE_STOPPED };

struct edge_status {
    enum edge_state state;
    pid_t pid;
    uint32_t n_restarts;
    // clock_mono_ms, in EDGE_BACKOFF
    int64_t next_try_ms;
    // "" when none; nginx's own words
    char last_error[512];
};

struct edge;
int edge_render(const struct edge_config *c, struct buf *out, struct diag *diag);
int edge_start(const struct edge_config *c, struct diag *diag, struct edge **out);
int edge_reload(struct edge *e, const struct edge_config *c, struct diag *diag);
void edge_tick(struct edge *e);
void edge_reopen_logs(struct edge *e); // opens the access log anew, after it was renamed
void edge_status(const struct edge *e, struct edge_status *out);
// For a program that takes over in the same process (exec): nginx runs on, and its messages wait in
// the pipe.
struct edge_handover { // the descriptors are handed over
    // 0: none
    pid_t pid;
    int life_fd, log_write_fd, log_read_fd;
    bool own_space;
};
void edge_handover(const struct edge *e, struct edge_handover *out);
void edge_before_exec(struct edge *e); // ends the log's reader; edge_tick starts another
int edge_adopt(const struct edge_config *c, const struct edge_handover *h, struct edge **out);
// in a child process that does not use the edge: closes its descriptors only
void edge_close(const struct edge *e);
void edge_stop(struct edge *e, unsigned drain_ms); // frees

// The one path of the peer listener for which no client certificate is asked (fleet/join.h): the
// edge takes small POSTs of few strangers at a time. Everything else there gets 400 without one.
#define EDGE_JOIN_PATH "/join/v1/region"

// Headers that the edge sets on every request to the daemon, and blanks when a client sends them.
// Only the HTTP server reads them.
#define EDGE_HEADER_CLIENT "X-Meridian-Client" // transport address
// peer listener: verified client certificate, escaped PEM
#define EDGE_HEADER_PEER_CERT "X-Meridian-Peer-Cert"
// Peer listener, from another region's edge: a client's request passed on, and that client's
// address. Such a request carries the client's authority only, never that of the region whose
// certificate brought it.
#define EDGE_HEADER_PASSED "X-Meridian-Passed-Client"
// By which private endpoint the request came, by the address that it was sent to. Absent: by none.
#define EDGE_HEADER_PRIVATE "X-Meridian-Private-Endpoint"
// Beside EDGE_HEADER_PASSED: the same, of the request that is passed on.
#define EDGE_HEADER_PASSED_PRIVATE "X-Meridian-Passed-Private-Endpoint"

#endif
