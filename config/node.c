// SPDX-License-Identifier: Apache-2.0
// A node's settings; see node.h.
#include "config/node.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/hostname.h"
#include "config/options.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#define NODE_MAX_BYTES (1u << 20)
#define SHARE_PERCENT_MAX 50
#define NODE(member) OPT_AT(struct node, member)
#define SUB_OF(rows)                                            \
    {                                                           \
        rows, ARRAY_LEN(rows), sizeof(struct node), OPT_NO_NODE \
    }

static bool user_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 32 && s[0] != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static bool path_ok(const char *s)
{
    return *s && strlen(s) < PATH_MAX / 2;
}

// http://host:port; the guard (net/outbound.h) reads it more strictly still.
static bool proxy_ok(const char *s)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    const char *port = strrchr(s, ':');
    if (strncmp(s, "http://", 7) || port < s + 8)
        return false;
    size_t n = strspn(port + 1, "0123456789");
    return n >= 1 && n <= 5 && !port[1 + n] && port[1] != '0' && !s[7 + strspn(s + 7, letters)];
}

// A size, or a share of the disk as "5%".
static bool share_parse(const char *s, uint64_t *out_bytes, unsigned *out_percent)
{
    uint64_t bytes = 0;
    unsigned percent = 0;
    size_t n = strspn(s, "0123456789");
    bool share = n >= 1 && n <= 2 && !strcmp(s + n, "%");
    for (size_t i = 0; share && i < n; i++)
        percent = 10 * percent + (unsigned)(s[i] - '0');
    if (percent > SHARE_PERCENT_MAX || (!share && size_parse(s, &bytes)))
        return false;
    *out_bytes = bytes;
    *out_percent = percent;
    return true;
}

static bool share_ok(const char *s)
{
    uint64_t bytes;
    unsigned percent;
    return share_parse(s, &bytes, &percent);
}

// The sections are mappings in the file, but all fields are the one struct's: each sub-row set
// starts at its beginning.
static const struct option listen_rows[] = {
    {"dns", OPT_ENDPOINTS, OPT_ARRAY_AT(struct node, dns, n_dns), .def = "0.0.0.0:53, [::]:53",
     .max = 64, .port = 53, .help = "DNS, on UDP and TCP"},
    {"dot", OPT_ENDPOINTS, OPT_ARRAY_AT(struct node, dns_tls, n_dns_tls), .max = 64, .port = 853,
     .help = "DNS over TLS (RFC 7858); none when not given"},
    {"https", OPT_ENDPOINTS, OPT_ARRAY_AT(struct node, https, n_https),
     .def = "0.0.0.0:443, [::]:443", .max = 64, .port = 443, .help = "HTTPS for clients"},
    {"https_proxied", OPT_ENDPOINTS, OPT_ARRAY_AT(struct node, https_proxied, n_https_proxied),
     .max = 64, .port = 443, .example = "192.0.2.10:444",
     .help = "HTTPS for clients behind the load balancers of edge.trusted_proxies: each connection "
             "begins with a PROXY protocol header (version 1 or 2, at most 107 bytes) that names "
             "the client; one without is closed. None when not given; https may be [] beside it"},
    {"peer", OPT_ENDPOINT, NODE(peer), .def = "0.0.0.0:8443", .port = 8443,
     .help = "mutual TLS for the other regions"},
    {"admin", OPT_ENDPOINT, NODE(admin), .port = 8444, .example = "192.0.2.10:8444",
     .help =
         "HTTPS for operators, under the name STAMP.REGION.fe.DOMAIN: looking and draining by a "
         "token of the fleet, changes by an operator's signature; off when not given. Best an "
         "address that only operators reach"},
};
static const struct option worker_rows[] = {
    {"resolver", OPT_INT, NODE(resolver_workers), .def = "0", .max = 256,
     .help = "resolver threads; 0 is one per core"},
    {"pool", OPT_INT, NODE(pool_threads), .def = "20", .min = 1, .max = 256,
     .help = "threads for disk and database; so many writers at most share one commit"},
    {"queue", OPT_INT, NODE(pool_queue), .def = "256", .min = 1, .max = 65536,
     .help = "most requests of clients that may wait for them; as many again of other regions"},
};
static const struct option user_rows[] = {
    {"daemon", OPT_STRING, NODE(user), .def = "meridian", .check = user_ok, .expect = "a user name",
     .open = true, .help = "the daemon's account, when started by root"},
    {"edge", OPT_STRING, NODE(edge_user), .def = "meridian-edge", .check = user_ok,
     .expect = "a user name", .open = true,
     .help = "the account of nginx's workers, when started by root"},
};
static const struct option_word access_words[] = {
    {"none", ACCESS_LOG_NONE}, {"refused", ACCESS_LOG_REFUSED}, {"all", ACCESS_LOG_ALL}};
static const struct option access_rows[] = {
    {"requests", OPT_ENUM, NODE(access_requests), .def = "refused", OPT_WORDS(access_words),
     .help = "which requests have a line of JSON in the edge's access log, found by "
             "X-Meridian-Request-Id: none, those "
             "that were refused (status 400 and above), or all. No query and no header but Host is "
             "in it"},
    {"file", OPT_STRING, NODE(access_file), .max = 1000, .check = path_ok, .expect = "a path",
     .open = true,
     .help = "where; the daemon's account must be able to write it; opened again on SIGHUP; "
             "default is log/access.log "
             "in data_dir"},
    {"max", OPT_SIZE, NODE(access_max_bytes), .def = "64MiB", .max = 1ull << 40,
     .help = "a file of so many bytes is renamed to FILE.1, in the place of an older one, and a "
             "new one begun; 0: never"},
};
static const struct option_set access_set = SUB_OF(access_rows);
static const struct option edge_rows[] = {
    {"nginx", OPT_STRING, NODE(nginx), .def = "/usr/sbin/nginx", .check = path_ok,
     .expect = "a path", .open = true, .help = "the nginx program"},
    {"workers", OPT_INT, NODE(edge_workers), .def = "0", .max = 256,
     .help = "nginx workers; 0 is one per core"},
    {"per_client", OPT_INT, NODE(edge_per_client), .def = "1024", .min = 1, .max = 65536,
     .help = "most requests that one client, an IPv4 address or a /64 of IPv6, may have under way "
             "at once (then 429); "
             "the daemon has places for three times as many as this or per_network says, or 4096"},
    {"per_network", OPT_INT, NODE(edge_per_network), .def = "0", .max = 65536,
     .help = "the same of a network, a /24 or a /56; 0 is a quarter of what all clients together "
             "may have"},
    {"trusted_proxies", OPT_CIDRS, OPT_ARRAY_AT(struct node, edge_proxies, n_edge_proxies),
     .max = 256, .example = "192.0.2.80",
     .help = "load balancers in front of listen.https_proxied. The client that their PROXY header "
             "names is the one that counts: for limits, logs, audit and network rules. Requests "
             "that come there from anybody else are refused (403), and so are those of a balancer "
             "that names no client, except GET /healthz"},
    {"http2", OPT_BOOL, NODE(edge_http2), .def = "disabled",
     .help = "HTTP/2 for clients that ask for it; docs/performance.md has what it costs"},
    {"ktls", OPT_BOOL, NODE(edge_ktls), .def = "disabled",
     .help = "TLS in the kernel (its module tls), where it may save copies of large blobs; without "
             "that module OpenSSL does it as before, and --check says so"},
    {"disk_threads", OPT_BOOL, NODE(edge_disk_threads), .def = "enabled",
     .help = "threads of their own read large blobs, so that a slow disk holds up no other "
             "connection; without them a worker reads by itself, which takes less processor time "
             "and is right where the disk is always fast (docs/performance.md)"},
    {"access_log", OPT_MAP, .sub = &access_set, .help = "a log of requests"},
};
static const struct option_word level_words[] = {
    {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN}, {"error", LOG_ERROR}};
static const struct option log_rows[] = {
    {"level", OPT_ENUM, NODE(log_level), .def = "info", OPT_WORDS(level_words),
     .help = "the least level that is logged"},
};
static const struct option cert_rows[] = {
    {"check", OPT_DURATION, NODE(cert_check_s), .def = "60s", .unit_ms = 1000, .min = 1000,
     .max = 86400000, .help = "how often the expiry of certificates is looked at"},
};
static const struct option upload_rows[] = {
    {"idle", OPT_DURATION, NODE(upload_idle_s), .def = "1d", .unit_ms = 1000, .min = 60000,
     .max = 2592000000, .help = "an upload untouched for so long is discarded"},
    {"per_principal", OPT_INT, NODE(uploads_per_principal), .def = "512", .min = 1, .max = 1u << 20,
     .help = "most uploads that one user may have open in one registry of this node: a push has 5 "
             "or 6, ctr as many as the "
             "image has layers. What is left behind counts; to begin another one drops the one "
             "that was idle longest (429 "
             "when all are busy)"},
    {"per_registry", OPT_INT, NODE(uploads_per_registry), .def = "4096", .min = 1, .max = 1u << 20,
     .help = "most uploads that may be open in one registry of this node; at this bound too a "
             "user's own idle ones make "
             "room for his next (429 when he has none)"},
    {"bytes_per_principal", OPT_STRING, NODE(upload_bytes), .def = "10%", .check = share_ok,
     .expect = "a size such as 20GiB, or a share of the disk of at most 50% such as 10%",
     .open = true,
     .help = "most bytes that one user's unfinished uploads in one registry of this node may keep "
             "on the disk of "
             "data_dir: beyond it those that were idle longest are dropped, and then what is left "
             "by a connection that "
             "broke; a size of 0 is no bound"},
};
static const struct option disk_rows[] = {
    {"reserve", OPT_STRING, NODE(disk_reserve), .def = "5%", .check = share_ok,
     .expect = "a size such as 2GiB, or a share of the disk of at most 50% such as 5%",
     .open = true,
     .help = "what is kept free on the disk of data_dir for metadata, certificates, state and "
             "deletions: below it new "
             "uploads and copies are refused (507), and global names lead to other regions; a "
             "share counts as 10GiB at "
             "most"},
    {"ahead", OPT_SIZE, NODE(ahead_bytes), .def = "16GiB", .min = 1u << 20, .max = 1ull << 50,
     .help = "most bytes that other regions may have copied to here ahead of their manifests and "
             "that no manifest refers to yet: beyond it a blob comes with its manifest"},
    {"partial", OPT_SIZE, NODE(partial_bytes), .def = "32GiB", .min = 1u << 20, .max = 1ull << 50,
     .help = "most bytes that blobs on their way from other regions may hold: beyond it those that "
             "broke off are given up, what was written longest ago first, and begin anew later; "
             "what runs stays, and so does what was written last"},
};
static bool fetch_time_ok(const char *s)
{
    struct fetch_time t;
    return fetch_time_parse(s, &t);
}

static const struct option fetch_rows[] = {
    {"rate", OPT_SIZE, NODE(fetch.rate), .def = "0", .max = 1ull << 50,
     .help = "bytes a second that replication fetches from all other regions together, at least "
             "256KiB; 0 is no limit. What a client waits for is counted and never held back"},
    {"rate_per_region", OPT_SIZE, NODE(fetch.rate_per_region), .def = "0", .max = 1ull << 50,
     .help = "the same from each other region"},
    {"times", OPT_STRINGS, OPT_ARRAY_AT(struct node, fetch_times, n_fetch_times),
     .max = FETCH_TIMES_MAX, .check = fetch_time_ok, .open = true,
     .expect = "[DAY[-DAY]] HH:MM-HH:MM RATE such as mon-fri 08:00-18:00 5MiB, the rate 0 or at "
               "least 256KiB",
     .example = "mon-fri 08:00-18:00 5MiB",
     .help = "times of the week, in UTC, with a rate of their own in place of fetch.rate; the "
             "first that fits counts"},
};
static const struct option collect_rows[] = {
    {"grace", OPT_DURATION, NODE(collect_grace_s), .def = "1d", .unit_ms = 1000, .min = 10000,
     .max = 2592000000,
     .help = "how long a blob is kept that no manifest refers to: longer than the longest push"},
};
static const struct option compare_rows[] = {
    {"every", OPT_DURATION, NODE(compare_every_s), .def = "1h", .unit_ms = 1000, .min = 1000,
     .max = 30ull * 86400000,
     .help = "time between two rounds of comparisons with each other region"},
    {"rate", OPT_INT, NODE(compare_rate), .def = "500", .min = 1, .max = 1000000,
     .help = "manifests and tags that are compared in a second, at most"},
};
static const struct option scrub_rows[] = {
    {"rate", OPT_SIZE, NODE(scrub_rate), .def = "4MiB", .max = 1ull << 40,
     .help = "bytes a second at which all blobs are read and compared with their digests, once a "
             "day at most; a "
             "damaged one is set aside and fetched from another region; 0: never"},
};
static const struct option limit_rows[] = {
    {"manifest", OPT_SIZE, NODE(manifest_max_bytes), .def = "4MiB", .min = 65536, .max = 64u << 20,
     .help = "the largest manifest"},
    {"body_rate", OPT_SIZE, NODE(body_rate), .def = "512", .max = 1u << 20,
     .help = "bytes a second that the body of an upload must bring, on average of 30 s (then 408); "
             "0 is no such limit"},
};
static const struct option outbound_rows[] = {
    {"allow", OPT_CIDRS, OPT_ARRAY_AT(struct node, outbound_allow, n_outbound_allow), .max = 1024,
     .example = "10.20.0.0/16",
     .help = "networks to which addresses may lead that users name (issuers of identities and the "
             "like), though they are private, loopback, link-local or otherwise not of the "
             "Internet; a cloud's metadata service and an address of this registry itself only by "
             "an entry of that very address"},
    {"proxy", OPT_STRING, NODE(outbound_proxy), .max = 300, .check = proxy_ok,
     .expect = "http://HOST:PORT", .example = "http://proxy.example:3128", .open = true,
     .help = "a proxy for such calls: CONNECT asks it for the address that was judged"},
    {"proxy_resolves", OPT_BOOL, NODE(outbound_proxy_resolves), .def = "false",
     .help = "CONNECT asks the proxy for the name, where this node cannot resolve names of the "
             "Internet; then only names are judged, and the proxy must keep calls from inner "
             "addresses"},
};
static const struct option audit_rows[] = {
    {"enabled", OPT_BOOL, NODE(audit), .def = "true",
     .help = "a log of who did what: a line of JSON for each login, grant, push, delete, lock, "
             "restore and refusal, found by X-Meridian-Request-Id; no reads, and no secret is in "
             "it"},
    {"file", OPT_STRING, NODE(audit_file), .max = 1000, .check = path_ok, .expect = "a path",
     .open = true,
     .help = "where, with mode 0600; the daemon's account must be able to write it and its "
             "directory; opened again on SIGHUP; default is log/audit.log in data_dir"},
    {"max", OPT_SIZE, NODE(audit_max_bytes), .def = "64MiB", .max = 1ull << 40,
     .help = "a file of so many bytes is renamed to FILE.1, that one to FILE.2 and so on, and a "
             "new one begun; 0: never"},
    {"keep", OPT_INT, NODE(audit_keep), .def = "9", .min = 1, .max = 1000,
     .help = "how many older files are kept"},
};
static const struct option metrics_rows[] = {
    {"listen", OPT_ENDPOINT, NODE(metrics), .port = 9153, .example = "127.0.0.1:9153",
     .help = "address of GET /metrics in plain HTTP, for Prometheus, without authentication; off "
             "when not given"},
};
static const struct option_set listen_set = SUB_OF(listen_rows), worker_set = SUB_OF(worker_rows),
                               users_set = SUB_OF(user_rows), edge_set = SUB_OF(edge_rows),
                               log_set = SUB_OF(log_rows), cert_set = SUB_OF(cert_rows),
                               upload_set = SUB_OF(upload_rows), disk_set = SUB_OF(disk_rows),
                               fetch_set = SUB_OF(fetch_rows), collect_set = SUB_OF(collect_rows),
                               compare_set = SUB_OF(compare_rows), scrub_set = SUB_OF(scrub_rows),
                               limit_set = SUB_OF(limit_rows), metrics_set = SUB_OF(metrics_rows),
                               outbound_set = SUB_OF(outbound_rows), audit_set = SUB_OF(audit_rows);

static const struct option_word role_words[] = {{"resolver", ROLE_RESOLVER},
                                                {"registry", ROLE_REGISTRY},
                                                {"auth", ROLE_AUTH},
                                                {"replicator", ROLE_REPLICATOR}};

static const struct option_word source_words[] = {{"files", NODE_SOURCE_FILES},
                                                  {"feed", NODE_SOURCE_FEED}};
static const struct option_word sandbox_words[] = {{"off", 0}, {"strict", 1}};

#define SECTION(set_) OPT_MAP, .sub = &(set_)
static const struct option node_rows[] = {
    {"region", OPT_STRING, NODE(region), .required = true, .check = hostname_region_ok,
     .example = "eastus",
     .expect = "a region: a letter, then at most 30 letters and digits, lower case", .open = true,
     .help = "the region of this node"},
    {"stamp", OPT_STRING, NODE(stamp), .required = true, .check = hostname_stamp_ok,
     .example = "eus-1",
     .expect = "a stamp: at most 63 letters, digits and inner hyphens, lower case", .open = true,
     .help = "the stamp of this node"},
    {"roles", OPT_FLAGS, NODE(roles), .def = "resolver, registry, auth, replicator", .min = 1,
     .max = 4, OPT_WORDS(role_words), .help = "what this node runs"},
    {"data_dir", OPT_STRING, NODE(data_dir), .required = true, .check = path_ok, .expect = "a path",
     .example = "/var/lib/meridian", .open = true,
     .help = "where blobs, metadata, certificates and keys are kept"},
    {"runtime_dir", OPT_STRING, NODE(runtime_dir), .check = path_ok, .expect = "a path",
     .open = true, .help = "sockets and process files; default is run in data_dir"},
    {"source", OPT_ENUM, NODE(from), .def = "files", OPT_WORDS(source_words),
     .help = "where the topology and the principals come from: the two files below, which this "
             "node then follows, or feed: the fleet's own control feed. With feed they are read "
             "once, as long as nothing has come by the feed"},
    {"topology", OPT_STRING, NODE(topology), .required = true, .check = path_ok, .expect = "a path",
     .example = "/etc/meridian/topology.yaml", .open = true, .help = "the topology file"},
    {"principals", OPT_STRING, NODE(principals), .check = path_ok, .expect = "a path", .open = true,
     .help = "the principals file; default is principals.yaml beside the topology"},
    {"ca_dir", OPT_STRING, NODE(ca_dir), .check = path_ok, .expect = "a path", .open = true,
     .help = "the private CA, on the one node that answers renewals"},
    {"ca_file", OPT_STRING, NODE(ca_file), .check = path_ok, .expect = "a path", .open = true,
     .help = "CA that is trusted for peers and probes; default is certs/ca.pem in data_dir"},
    {"listen", SECTION(listen_set), .help = "addresses to listen on"},
    {"dns", OPT_MAP, NODE(resolver), .sub = &node_dns_set, .help = "how names are answered"},
    {"workers", SECTION(worker_set), .help = "threads"},
    {"users", SECTION(users_set), .help = "accounts"},
    {"edge", SECTION(edge_set), .help = "the nginx edge"},
    {"log", SECTION(log_set), .help = "the log"},
    {"sandbox", OPT_ENUM, NODE(sandbox), .def = "strict", OPT_WORDS(sandbox_words),
     .help = "system calls that the daemon may make: those it needs, or all"},
    {"drain", OPT_DURATION, NODE(drain_s), .def = "30s", .unit_ms = 1000, .max = 3600000,
     .help = "how long a stop waits for requests in flight"},
    {"certs", SECTION(cert_set), .help = "certificates"},
    {"uploads", SECTION(upload_set), .help = "uploads"},
    {"disk", SECTION(disk_set), .help = "the disk of data_dir"},
    {"fetch", SECTION(fetch_set), .help = "bandwidth of what replication fetches"},
    {"collect", SECTION(collect_set), .help = "collection of blobs that nobody needs"},
    {"compare", SECTION(compare_set),
     .help = "comparisons of what clients see here with what they see in other regions"},
    {"scrub", SECTION(scrub_set), .help = "a search for damaged blobs"},
    {"limits", SECTION(limit_set), .help = "limits"},
    {"outbound", SECTION(outbound_set),
     .help = "calls to addresses that users name, which a guard judges"},
    {"metrics", SECTION(metrics_set), .help = "figures for Prometheus"},
    {"audit", SECTION(audit_set), .help = "a log of who did what"},
};
static const struct option_set node_set = SUB_OF(node_rows);

const struct option_set *node_options(void)
{
    return &node_set;
}

static const char *join(struct option_ctx *ctx, const char *dir, const char *name)
{
    const char *s = arena_printf(ctx->arena, "%s%s%s", dir,
                                 *dir && dir[strlen(dir) - 1] == '/' ? "" : "/", name);
    if (!s)
        ctx->nomem = true;
    return s;
}

// Paths that are given relative stand beside the file.
static const char *resolve(struct option_ctx *ctx, const char *source, const char *path)
{
    const char *slash = strrchr(source, '/');
    if (!path || *path == '/' || !slash)
        return path;
    const char *dir = "/";
    if (slash != source)
        dir = arena_strndup(ctx->arena, source, (size_t)(slash - source));
    if (!dir) {
        ctx->nomem = true;
        return NULL;
    }
    return join(ctx, dir, path);
}

static const char *beside(struct option_ctx *ctx, const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    const char *dir = NULL;
    if (slash)
        dir = arena_strndup(ctx->arena, file, (size_t)(slash - file));
    if (slash && !dir)
        ctx->nomem = true;
    if (slash) {
        if (dir)
            return join(ctx, dir, name);
        return NULL;
    }
    return name;
}

static void resolve_paths(struct option_ctx *ctx, struct node *n)
{
    const char **const paths[] = {&n->data_dir,
                                  &n->runtime_dir,
                                  &n->topology,
                                  &n->principals,
                                  &n->ca_dir,
                                  &n->ca_file,
                                  &n->access_file,
                                  &n->audit_file,
                                  &n->resolver.tsig_dir,
                                  &n->resolver.signing.keys_dir,
                                  &n->resolver.cookies.secret,
                                  &n->resolver.certificate,
                                  &n->resolver.query_log.file,
                                  &n->resolver.dnstap.socket};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        *paths[i] = resolve(ctx, n->source, *paths[i]);
    if (strchr(n->nginx, '/'))
        n->nginx = resolve(ctx, n->source, n->nginx);
    if (ctx->nomem)
        return;
    if (!n->runtime_dir)
        n->runtime_dir = join(ctx, n->data_dir, "run");
    if (!n->access_file)
        n->access_file = join(ctx, n->data_dir, "log/access.log");
    if (!n->audit_file)
        n->audit_file = join(ctx, n->data_dir, "log/audit.log");
    if (!n->ca_file)
        n->ca_file = join(ctx, n->data_dir, "certs/ca.pem");
    if (!n->resolver.signing.keys_dir)
        n->resolver.signing.keys_dir = join(ctx, n->data_dir, "keys/dns");
    if (!n->resolver.tsig_dir)
        n->resolver.tsig_dir = join(ctx, n->data_dir, "keys/tsig");
    if (!n->principals)
        n->principals = beside(ctx, n->topology, "principals.yaml");
}

static void check_https(struct option_ctx *ctx, const struct doc_node *root, const struct node *n)
{
    const struct doc_node *listen = doc_get(root, "listen");
    size_t all = n->n_https + n->n_https_proxied;
    if (ctx->n_errors)
        return;
    if ((n->roles & (ROLE_REGISTRY | ROLE_AUTH)) && !all)
        options_error(ctx, doc_key_line(listen, "https"),
                      "listen.https: a registry needs at least one listener");
    if (n->n_https_proxied && !n->n_edge_proxies)
        options_error(ctx, doc_key_line(listen, "https_proxied"),
                      "listen.https_proxied: it takes connections of edge.trusted_proxies alone, "
                      "and none are given");
    if (!n->n_https_proxied && n->n_edge_proxies)
        options_error(ctx, doc_key_line(doc_get(root, "edge"), "trusted_proxies"),
                      "edge.trusted_proxies: they are expected at listen.https_proxied, and no "
                      "address is given there");
    if (all > 64)
        options_error(ctx, doc_key_line(listen, "https_proxied"),
                      "listen.https and listen.https_proxied: more than 64 addresses together");
}

static void check_admin(struct option_ctx *ctx, const struct doc_node *root, const struct node *n)
{
    int line = doc_key_line(doc_get(root, "listen"), "admin");
    if (ctx->n_errors || !n->admin.port)
        return;
    if (!(n->roles & (ROLE_REGISTRY | ROLE_AUTH | ROLE_REPLICATOR)))
        options_error(ctx, line,
                      "listen.admin: a node that only resolves has no edge to listen there");
    if (!n->audit)
        options_error(ctx, line,
                      "listen.admin: what is done there is always written down, and audit.enabled "
                      "is false");
}

static void check_rate(struct option_ctx *ctx, const struct doc_node *root, const char *key,
                       uint64_t rate)
{
    if (!fetch_rate_ok(rate))
        options_error(ctx, doc_key_line(doc_get(root, "fetch"), key),
                      "fetch.%s: at least 256KiB, or 0 for no limit", key);
}

static void fetch_build(struct option_ctx *ctx, const struct doc_node *root, struct node *n)
{
    check_rate(ctx, root, "rate", n->fetch.rate);
    check_rate(ctx, root, "rate_per_region", n->fetch.rate_per_region);
    for (size_t i = 0; i < n->n_fetch_times && !ctx->n_errors; i++)
        fetch_time_parse(n->fetch_times[i], &n->fetch.times[n->fetch.n_times++]);
}

static int build(struct option_ctx *ctx, const struct doc_node *root, struct node *n)
{
    options_apply(ctx, &node_set, root, "", n);
    if (n->resolver_workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        if (cores < 1)
            n->resolver_workers = 1;
        else if (cores > 256)
            n->resolver_workers = 256;
        else
            n->resolver_workers = (unsigned)cores;
    }
    if ((n->roles & ROLE_RESOLVER) && !n->n_dns && !ctx->n_errors)
        options_error(ctx, doc_key_line(doc_get(root, "listen"), "dns"),
                      "listen.dns: a resolver needs at least one listener");
    check_https(ctx, root, n);
    check_admin(ctx, root, n);
    fetch_build(ctx, root, n);
    if (n->disk_reserve)
        share_parse(n->disk_reserve, &n->disk_reserve_bytes, &n->disk_reserve_percent);
    if (n->upload_bytes)
        share_parse(n->upload_bytes, &n->upload_bytes_amount, &n->upload_bytes_percent);
    if (!option_ctx_result(ctx))
        resolve_paths(ctx, n);
    return option_ctx_result(ctx);
}

int node_parse(const char *text, size_t n, const char *source, struct diag *diag, struct node **out)
{
    if (n > NODE_MAX_BYTES) {
        diag_add(diag, source, 0, "larger than %u bytes", NODE_MAX_BYTES);
        return ERR_TOOBIG;
    }
    struct node *node = mem_zalloc(sizeof *node);
    if (!node)
        return ERR_NOMEM;
    arena_init(&node->arena, 0);
    node->source = arena_strdup(&node->arena, source);
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = &node->arena};
    struct doc_node *root;
    int rc = ERR_NOMEM;
    if (node->source)
        rc = doc_parse(text, n, source, &node->arena, diag, &root);
    if (!rc)
        rc = build(&ctx, root, node);
    if (rc == ERR_NOMEM)
        diag_add(diag, source, 0, "out of memory while reading it");
    if (rc)
        node_free(node);
    else
        *out = node;
    return rc;
}

int node_load(const char *path, struct diag *diag, struct node **out)
{
    struct buf text AUTO_BUF;
    buf_init(&text, 0);
    int rc = file_read(path, NODE_MAX_BYTES, &text);
    if (rc) {
        diag_add(diag, path, 0, "cannot read the settings: %s", err_text(rc));
        return rc;
    }
    return node_parse(buf_cstr(&text), text.n, path, diag, out);
}

void node_free(struct node *n)
{
    if (!n)
        return;
    arena_done(&n->arena);
    free(n);
}
