// SPDX-License-Identifier: Apache-2.0
// A node's own settings, `meridiand.yaml`: which region and stamp this is, what it runs, where it
// listens and keeps its data. Paths may be relative to the file. See config/options.h for how rows
// become keys, messages, the sample file and the manual page.
#ifndef MERIDIAN_CONFIG_NODE_H
#define MERIDIAN_CONFIG_NODE_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/log.h"
#include "config/fetch_rates.h"
#include "config/node_dns.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum node_role { ROLE_RESOLVER = 1, ROLE_REGISTRY = 2, ROLE_AUTH = 4, ROLE_REPLICATOR = 8 };

// where the topology and the principals come from: files on this node, or the fleet's control feed
enum node_source { NODE_SOURCE_FILES, NODE_SOURCE_FEED };

// which requests the edge logs
enum node_access { ACCESS_LOG_NONE, ACCESS_LOG_REFUSED, ACCESS_LOG_ALL };

struct node {
    struct arena arena;
    const char *source;
    const char *region, *stamp;
    // enum node_role bits; `roles: [resolver, registry, auth, replicator]`
    unsigned roles;
    // data_dir: blobs, metadata, certs/, keys/, state
    const char *data_dir;
    // runtime_dir: sockets, nginx.conf, pid; default <data_dir>/run
    const char *runtime_dir;
    // source: files (default) or feed
    enum node_source from;
    // topology: path; with the feed, what it starts from when it has nothing yet
    const char *topology;
    // principals: path; default principals.yaml beside the topology
    const char *principals;
    // ca_dir: the private CA, on the one node that answers renewals; NULL elsewhere
    const char *ca_dir;
    // ca_file: CA certificate that clients of peers and probes trust; default
    // <data_dir>/certs/ca.pem
    const char *ca_file;
    // listen.dns: UDP and TCP; default [::]:53 and 0.0.0.0:53
    const struct endpoint *dns;
    size_t n_dns;
    // listen.dot: DNS over TLS; default none
    const struct endpoint *dns_tls;
    size_t n_dns_tls;
    // listen.https
    const struct endpoint *https;
    size_t n_https;
    // listen.https_proxied: HTTPS whose connections begin with a PROXY header; default none
    const struct endpoint *https_proxied;
    size_t n_https_proxied;
    // listen.peer
    struct endpoint peer;
    // listen.admin: port 0: off, the default
    struct endpoint admin;
    // workers.resolver: threads, default one per core
    unsigned resolver_workers;
    // workers.pool: blocking work, default 8
    unsigned pool_threads;
    // workers.queue: most jobs waiting, default 256
    unsigned pool_queue;
    // users.daemon, users.edge: default meridian, meridian-edge; only used when started by root
    const char *user, *edge_user;
    // edge.nginx: path of the program, default /usr/sbin/nginx
    const char *nginx;
    // edge.workers: 0 is one per core
    unsigned edge_workers;
    // edge.access_log.file: default log/access.log in data_dir
    const char *access_file;
    // edge.access_log.requests
    enum node_access access_requests;
    // edge.access_log.max: 0 no bound
    uint64_t access_max_bytes;
    // edge.per_client, edge.per_network: requests at once
    unsigned edge_per_client, edge_per_network;
    // edge.trusted_proxies: who may connect to listen.https_proxied
    const struct cidr *edge_proxies;
    size_t n_edge_proxies;
    // edge.http2, edge.ktls: default off
    bool edge_http2, edge_ktls;
    // edge.disk_threads: default on
    bool edge_disk_threads;
    // log.level
    enum log_level log_level;
    // sandbox: strict (default) or off
    enum node_sandbox { SANDBOX_OFF, SANDBOX_STRICT } sandbox;
    // drain: seconds that a stop waits for requests in flight, default 30
    unsigned drain_s;
    // certs.check: how often expiry is looked at, default 60
    unsigned cert_check_s;
    // uploads.idle: an upload untouched for so long is discarded, default 86400
    unsigned upload_idle_s;
    // uploads.per_principal: open at once in one registry, default 512
    unsigned uploads_per_principal;
    // uploads.per_registry: of all principals, default 4096
    unsigned uploads_per_registry;
    // collect.grace: how long a blob is kept that no manifest refers to, default 86400
    unsigned collect_grace_s;
    // compare.every, default an hour; compare.rate: manifests and tags a second, default 500
    unsigned compare_every_s;
    unsigned compare_rate;
    // scrub.rate: bytes a second that are read to find damage, default 4 MiB; 0: never
    uint64_t scrub_rate;
    // uploads.bytes_per_principal: as it is written, default 10%
    const char *upload_bytes;
    // of it: a share, or
    unsigned upload_bytes_percent;
    // an amount; both 0: no bound
    uint64_t upload_bytes_amount;
    // disk.reserve: as it is written, default 5%
    const char *disk_reserve;
    // of it: a share, or
    unsigned disk_reserve_percent;
    // an amount; both 0: none
    uint64_t disk_reserve_bytes;
    // disk.ahead: bytes that may be copied here ahead of their manifests; default 16 GiB
    uint64_t ahead_bytes;
    // disk.partial: bytes that fetches which broke off may hold; default 32 GiB
    uint64_t partial_bytes;
    // fetch: bytes a second from other regions
    struct fetch_rates fetch;
    // fetch.times: as they are written
    const char *const *fetch_times;
    size_t n_fetch_times;
    // audit.enabled
    bool audit;
    // audit.file: default log/audit.log in data_dir
    const char *audit_file;
    // audit.max: 0 no bound
    uint64_t audit_max_bytes;
    // audit.keep: older files
    unsigned audit_keep;
    // metrics.listen: HTTP for Prometheus; port 0: off
    struct endpoint metrics;
    // dns
    struct node_dns resolver;
    // outbound.allow: networks that the guard (net/outbound.h) lets users' addresses lead to
    const struct cidr *outbound_allow;
    size_t n_outbound_allow;
    // outbound.proxy: http://host:port; NULL: none
    const char *outbound_proxy;
    // outbound.proxy_resolves
    bool outbound_proxy_resolves;
    // limits.manifest: default 4 MiB
    unsigned long long manifest_max_bytes;
    // limits.body_rate: bytes a second, default 512
    unsigned body_rate;
};

int node_load(const char *path, struct diag *diag, struct node **out);
int node_parse(const char *text, size_t n, const char *source, struct diag *diag,
               struct node **out);
void node_free(struct node *n);

struct option_set;
const struct option_set *node_options(void); // the file's rows, for samples and the manual page

#endif
