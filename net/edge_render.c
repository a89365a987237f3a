// SPDX-License-Identifier: Apache-2.0
// From edge_config to nginx.conf: pure text (but for the limit of open files). Called by edge.c in
// the supervisor, and by tests.
//
// Invariants
//   1. Every string that enters the text has passed edge_config_check: nothing of it can end a
//      directive, open a block or be read as a variable.
//   2. Every location that hands a request on sets or blanks every header the daemon believes:
//      add_header and proxy_set_header of an inner level cancel the outer ones, so they are written
//      out in full each time.
//   3. What the edge answers by itself is the registry's error JSON with region, stamp and request
//      id, as the daemon's.
//   4. What comes to an address of a private endpoint is served under that registry's names alone.
//   5. A name of another region is never served under this region's or the shared certificate's
//      block: leading wildcards are this region's only, the shared names are one label deep, all
//      else under the domain gets 421.
#include "net/edge.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/edge_access.h"
#include "net/edge_priv.h"
#include "net/http_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

// Of a worker, which takes some 400 bytes for each from the start.
#define CONNECTIONS_MAX 16384

// more than the daemon's own deadline for a request, and than any stream's silence
#define PUBLIC_READ_TIMEOUT "330s"

const char *const edge_temps[5] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};

static unsigned long open_files(void) // asking for more than the hard limit only fills nginx's log
{
    struct rlimit l;
    if (!getrlimit(RLIMIT_NOFILE, &l) && l.rlim_max < 32768)
        return (unsigned long)l.rlim_max;
    return 32768;
}

// Connections of one worker, and how many requests of clients may be under way at once in all
// workers, of one network (/24, /56) and of one client (an IPv4 address, a /64). A request may take
// two connections, its client's and the daemon's: so an eighth of each worker's is left for the
// regions' listener, however clients are spread over the workers.
struct shares {
    unsigned long connections, clients, network, client;
};

static struct shares shares_of(const struct edge_config *c)
{
    // A blob's file beside its client's connection: at most so many as requests, which are less than
    // half of the connections.
    struct shares s = {.connections = open_files() * 2 / 3};
    if (s.connections > CONNECTIONS_MAX)
        s.connections = CONNECTIONS_MAX;
    s.clients = (s.connections - s.connections / 8) / 2;
    if (c->per_network)
        s.network = c->per_network;
    else
        s.network = s.clients / 4;
    if (s.network > s.clients)
        s.network = s.clients;
    if (c->per_client)
        s.client = c->per_client;
    else
        s.client = 1024;
    if (s.client > s.network)
        s.client = s.network;
    return s;
}

// A client that begins HTTP/2 requests and cancels them at once (CVE-2023-44487) makes work that no
// limit on requests under way sees: so few streams at once, and a connection's requests are fewer
// than over HTTP/1.1. The windows for bodies are as large as what a body may fill here anyway, so
// that an upload over a long line does not wait for them.
static void put_protocols(struct buf *b, const struct edge_config *c)
{
    if (c->http2)
        buf_str(b, "  keepalive_requests 1000; http2_max_concurrent_streams 32; http2_chunk_size "
                   "16k;\n  http2_body_preread_size 256k; http2_recv_buffer_size 512k;\n");
    else
        buf_str(b, "  keepalive_requests 10000;\n");
    if (c->ktls)
        buf_str(b, "  ssl_conf_command Options KTLS;\n");
}

static void put_frame(struct buf *b, const struct edge_config *c)
{
    buf_str(b, "# Written by meridiand from its configuration; edits are lost.\ndaemon "
               "off;\nmaster_process on;\npcre_jit on;\n"
               // a reload or stop lets requests in flight end, but not for ever: what a client
               // draws out would keep one more process at each reload
               "worker_shutdown_timeout 6h;\n");
    if (c->user)
        buf_printf(b, "user %s %s;\n", c->user, c->group ? c->group : c->user);
    if (c->n_workers)
        buf_printf(b, "worker_processes %u;\n", c->n_workers);
    else
        buf_str(b, "worker_processes auto;\n");
    buf_printf(
        b,
        "worker_rlimit_nofile %lu;\npid %s/nginx.pid;\nlock_file %s/nginx.lock;\nerror_log stderr "
        "warn;\nevents { worker_connections %lu; }\nhttp {\n",
        open_files(), c->runtime_dir, c->runtime_dir, shares_of(c).connections);
    for (size_t i = 0; i < ARRAY_LEN(edge_temps); i++)
        buf_printf(b, "  %s_temp_path %s/tmp-%s;\n", edge_temps[i], c->runtime_dir, edge_temps[i]);
    buf_str(
        b,
        "  server_tokens off; types { } default_type application/octet-stream;\n"
        "  sendfile on; tcp_nopush on; reset_timedout_connection on; merge_slashes off;\n"
        "  underscores_in_headers off; ignore_invalid_headers on; server_names_hash_bucket_size "
        "512;\n"
        "  client_header_timeout 10s; client_body_timeout 60s; send_timeout 60s; keepalive_timeout "
        "65s;\n"
        "  client_header_buffer_size 4k; large_client_header_buffers 2 "
        "16k;\n"
        "  client_max_body_size 0; client_body_buffer_size 128k;\n"
        "  limit_conn_zone $meridian_client zone=by_client:10m; limit_conn_status 429;\n"
        "  limit_conn_zone $meridian_network zone=by_network:10m; limit_conn_zone all "
        "zone=clients:1m;\n"
        "  limit_conn_zone admin zone=operators:1m;\n"
        "  limit_conn_log_level info; log_not_found off;\n"
        "  ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers off; ssl_session_tickets off;\n"
        "  ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20; ssl_session_timeout 1h;\n"
        "  proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off; "
        "proxy_buffer_size 16k; "
        "proxy_buffers 8 16k;\n"
        "  proxy_next_upstream off; proxy_connect_timeout 5s; proxy_send_timeout 150s;\n"
        "  proxy_read_timeout " PUBLIC_READ_TIMEOUT ";\n"
        "  proxy_ignore_headers X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering "
        "X-Accel-Charset;\n");
    put_protocols(b, c);
}

// An absolute target's authority replaces the Host header (RFC 9112 section 3.2.2): the host that
// chose the server block is the host that the daemon hears. And an answer of the edge's own has a
// request id when the daemon gave none.
static void put_maps(struct buf *b)
{
    buf_str(b, "  map $request $meridian_host {\n    default $http_host;\n"
               "    \"~^[^ ]+ +[A-Za-z][A-Za-z0-9+.-]*://(?<authority>[A-Za-z0-9._:\\[\\]-]+)\" "
               "$authority;\n  }\n"
               "  map $upstream_http_x_meridian_request_id $meridian_request_id {\n    default "
               "$upstream_http_x_meridian_request_id;\n    \"\" $request_id;\n  }\n");
}

// Answers that nginx makes outside of all locations, such as to a malformed request line, name
// region, stamp and request as the others do. What the daemon has said is not said twice: the value
// is empty then, and such a header is not sent.
static void put_names(struct buf *b, const struct edge_config *c)
{
    const struct {
        const char *name, *from, *own;
    } rows[] = {{"X-Meridian-Region", "region", c->region},
                {"X-Meridian-Stamp", "stamp", c->stamp},
                {"X-Meridian-Request-Id", "request_id", "$request_id"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        buf_printf(b,
                   "  map $upstream_http_x_meridian_%s $meridian_own_%s {\n    default \"\";\n    "
                   "\"\" %s;\n  }\n"
                   "  add_header %s $meridian_own_%s always;\n",
                   rows[i].from, rows[i].from, rows[i].own, rows[i].name, rows[i].from);
}

// What goes into the access log, each value bounded so that a record stays whole in the pipe. An
// error's answer is an internal GET, so the method is the request line's. Neither query nor any
// header but Host is in it.
static void put_access_log(struct buf *b, const struct edge_config *c)
{
    if (c->access == ACCESS_LOG_NONE) {
        buf_str(b, "  access_log off;\n");
        return;
    }
    buf_printf(b,
               "  map $upstream_http_x_meridian_request_id $meridian_log_by {\n    default "
               "daemon;\n    \"\" edge;\n  }\n"
               "  map \"$meridian_proxy $proxy_protocol_addr\" $meridian_log_client {\n    default "
               "$remote_addr;\n    \"~^1 (?<log_client>[0-9a-f.:]+)$\" $log_client;\n  }\n"
               "  map $upstream_http_x_meridian_region $meridian_log_region {\n    default "
               "$upstream_http_x_meridian_region;\n    \"\" %s;\n  }\n"
               "  map $upstream_http_x_meridian_stamp $meridian_log_stamp {\n    default "
               "$upstream_http_x_meridian_stamp;\n    \"\" %s;\n  }\n",
               c->region, c->stamp);
    static const char *const bounded[][3] = {
        {"$request", "method", "(?<log_method>[A-Z]{1,16}) "},
        {"$host", "host", "(?<log_host>[A-Za-z0-9._:\\[\\]-]{1,255})"},
        {"$request_uri", "path", "(?<log_path>[^?#]{1,512})"},
        {"$upstream_http_x_meridian_reason", "reason", "(?<log_reason>[A-Za-z0-9_-]{1,64})"},
        {"$upstream_http_x_meridian_principal", "principal",
         "(?<log_principal>[A-Za-z0-9._:@+-]{1,128})"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bounded); i++)
        buf_printf(b,
                   "  map %s $meridian_log_%s {\n    default \"\";\n    \"~^%s\" $log_%s;\n  }\n",
                   bounded[i][0], bounded[i][1], bounded[i][2], bounded[i][1]);
    buf_str(b, "  map $status $meridian_log_refused {\n    default 1;\n    \"~^[123]\" 0;\n  }\n"
               "  log_format meridian escape=default '" EDGE_ACCESS_FORMAT "';\n");
    // No name is nginx's stderr, our pipe: it never blocks, and keeps records apart.
    buf_printf(b, "  access_log \"\" meridian%s;\n",
               c->access == ACCESS_LOG_REFUSED ? " if=$meridian_log_refused" : "");
}

// Who counts as one client and as one network, by the octets of the address: 4 of IPv4 (also when
// mapped), 16 of IPv6.
static void put_clients(struct buf *b)
{
    buf_str(b, "  map $binary_remote_addr $meridian_client {\n    default $binary_remote_addr;\n"
               "    \"~(?s)^\\x00{10}\\xff\\xff(?<client_mapped>.{4})$\" $client_mapped;\n"
               "    \"~(?s)^(?<client_6>.{8}).{8}$\" $client_6;\n  }\n"
               "  map $binary_remote_addr $meridian_network {\n    default $binary_remote_addr;\n"
               "    \"~(?s)^(?<network_4>.{3}).$\" $network_4;\n"
               "    \"~(?s)^\\x00{10}\\xff\\xff(?<network_mapped>.{3}).$\" $network_mapped;\n"
               "    \"~(?s)^(?<network_6>.{7}).{9}$\" $network_6;\n  }\n");
}

// Which requests came from a trusted proxy, and what is refused where only those may come. The
// address that a PROXY header names counts only when such a proxy sent it. What answers an error
// (/_edge/) is let through: the answer is about something else.
static void put_proxies(struct buf *b, const struct edge_config *c)
{
    char text[CIDR_TEXT_SIZE];
    buf_str(b, "  geo $realip_remote_addr $meridian_proxy {\n    default 0;\n");
    for (size_t i = 0; i < c->n_proxies; i++)
        buf_printf(b, "    %s 1;\n", cidr_format(&c->proxies[i], text));
    buf_str(b, "  }\n");
    if (!c->n_https_proxied)
        return;
    buf_str(b, "  map \"$meridian_proxy $proxy_protocol_addr$uri\" $meridian_unproxied {\n"
               "    default \"\";\n    \"~^[01] [^/]*/_edge/\" \"\";\n    \"~^0 \" 1;\n"
               "    \"1 /healthz\" \"\";\n    \"~^1 /\" 1;\n  }\n"
               "  real_ip_header proxy_protocol;\n");
    for (size_t i = 0; i < c->n_proxies; i++)
        buf_printf(b, "  set_real_ip_from %s;\n", cidr_format(&c->proxies[i], text));
}

static void put_upstreams(struct buf *b, const struct edge_config *c)
{
    buf_printf(b,
               "  upstream meridian_public { server unix:%s; keepalive 64; }\n"
               "  upstream meridian_peer { server unix:%s; keepalive 64; }\n",
               c->public_socket, c->peer_socket);
    if (c->admin.port)
        buf_printf(b, "  upstream meridian_admin { server unix:%s; }\n", c->admin_socket);
    // One for each region: a connection to the tunnels stays with the region of its first request.
    for (size_t i = 0; i < c->n_peers; i++)
        buf_printf(b, "  upstream region_%s { server unix:%s; keepalive 16; }\n",
                   c->peers[i].region, c->tunnel_socket);
}

// What the daemon may believe, and what a client may not say. `cert` and `private`: the values of the
// headers of the peer certificate and of the private endpoint.
static void put_headers(struct buf *b, const char *indent, const char *cert, const char *private)
{
    static const char *const blank[] = {"Forwarded",
                                        "X-Forwarded-For",
                                        "X-Forwarded-Host",
                                        "X-Forwarded-Proto",
                                        "X-Forwarded-Port",
                                        "X-Forwarded-Server",
                                        "X-Forwarded-Prefix",
                                        "X-Forwarded-Scheme",
                                        "X-Forwarded-Ssl",
                                        "X-Real-IP",
                                        "X-Client-IP",
                                        "True-Client-IP",
                                        "X-Original-URL",
                                        "X-Rewrite-URL",
                                        "X-Accel-Redirect",
                                        "X-Accel-Buffering",
                                        "X-Accel-Charset",
                                        "X-Accel-Expires",
                                        "X-Accel-Limit-Rate",
                                        "X-Meridian-Region",
                                        "X-Meridian-Stamp",
                                        "X-Meridian-Request-Id",
                                        "TE",
                                        "Trailer",
                                        "Upgrade",
                                        "Proxy"};
    buf_printf(b,
               "%sproxy_set_header Connection \"\";\n%sproxy_set_header Host $meridian_host;\n"
               "%sproxy_set_header " EDGE_HEADER_CLIENT
               " $remote_addr;\n%sproxy_set_header " EDGE_HEADER_PEER_CERT
               " %s;\n%sproxy_set_header " EDGE_HEADER_PRIVATE " %s;\n",
               indent, indent, indent, indent, cert, indent, private);
    for (size_t i = 0; i < ARRAY_LEN(blank); i++)
        buf_printf(b, "%sproxy_set_header %s \"\";\n", indent, blank[i]);
}

// Blobs after the daemon's word, and the edge's own answers in the registry's language.
static void put_shared_locations(struct buf *b, const struct edge_config *c)
{
    static const char *const repeated[] = {"Docker-Content-Digest",
                                           "Docker-Distribution-Api-Version",
                                           "ETag",
                                           "X-Meridian-Region",
                                           "X-Meridian-Stamp",
                                           "X-Meridian-Request-Id"};
    size_t n = strlen(c->blob_dir);
    // Where the edge's own answers are nothing is to be asked for. Those who may not come to the daemon
    // ($meridian_stranger, $meridian_unproxied) are let through up to here.
    buf_str(b, "    location ^~ /_edge/ { internal; return 404; }\n");
    buf_printf(b,
               "    location /_blob/ {\n      internal;\n      alias %s%s;\n      etag off; "
               "if_modified_since off; "
               "max_ranges 1;%s output_buffers 1 256k;\n",
               c->blob_dir, c->blob_dir[n - 1] == '/' ? "" : "/",
               c->disk_threads ? " aio threads;" : "");
    for (size_t i = 0; i < ARRAY_LEN(repeated); i++) {
        char var[64];
        size_t k = 0;
        for (; repeated[i][k]; k++) {
            char ch = repeated[i][k];
            if (ch == '-')
                ch = '_';
            else if (ch >= 'A' && ch <= 'Z')
                ch = (char)(ch + 32);
            var[k] = ch;
        }
        var[k] = 0;
        buf_printf(b, "      add_header %s $upstream_http_%s always;\n", repeated[i], var);
    }
    buf_str(b, "      error_page 403 404 = @blob_gone;\n"); // the first that fits counts
    edge_put_error_pages(b, "      ");
    buf_str(b, "    }\n");
    edge_put_answer(b, c, "@blob_gone", 404, REFUSED_FILE_GONE, "the blob is not here any more",
                    c->region);
    edge_put_error_answers(b, c);
}

// How clients come: straight, or through load balancers that say who they are.
enum way { WAY_STRAIGHT, WAY_PROXIED };

// `first`: this server has what is meant for no other.
static void put_listen(struct buf *b, const struct edge_config *c, enum way way, bool first)
{
    char at[ENDPOINT_TEXT_SIZE];
    const struct endpoint *list = c->https;
    size_t n = c->n_https;
    if (way == WAY_PROXIED) {
        list = c->https_proxied;
        n = c->n_https_proxied;
    }
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "    listen %s ssl%s%s%s;\n", endpoint_format(&list[i], at),
                   c->http2 ? " http2" : "", way == WAY_PROXIED ? " proxy_protocol" : "",
                   first ? " default_server backlog=1024" : "");
    if (way == WAY_STRAIGHT)
        edge_put_private_listen(b, c, first);
    if (way == WAY_PROXIED)
        buf_str(b, "    if ($meridian_unproxied) { rewrite ^ /_edge/proxy last; }\n");
}

static void put_certificate(struct buf *b, const char *pem, const char *cache)
{
    buf_printf(b,
               "    ssl_certificate %s;\n    ssl_certificate_key %s;\n    ssl_session_cache "
               "shared:%s:10m;\n",
               pem, pem, cache);
}

static void put_public_root(struct buf *b, const struct edge_config *c)
{
    struct shares s = shares_of(c);
    buf_printf(b,
               "    limit_conn by_client %lu; limit_conn by_network %lu; limit_conn clients %lu;\n",
               s.client, s.network, s.clients);
    put_headers(b, "    ", "\"\"", "$meridian_private");
    buf_str(b, "    proxy_hide_header " HTTP_HEADER_REASON
               "; proxy_hide_header " HTTP_HEADER_PRINCIPAL ";\n");
    put_shared_locations(b, c);
    if (c->n_https_proxied)
        edge_put_proxy_refusal(b, c);
    // Resolvers of other regions probe here like any client: what all clients together may have is
    // not for them.
    buf_printf(b,
               "    location = /healthz { limit_conn by_client %lu; proxy_pass "
               "http://meridian_public; }\n",
               s.client);
    // A login's form is small, comes from anyone, and holds a password: it is taken whole, into
    // memory, before the daemon hears of it, so that who sends it slowly holds up nothing there.
    buf_str(b,
            "    location /oauth2/ {\n      client_max_body_size 32k; client_body_buffer_size 32k; "
            "client_body_timeout 10s;\n      proxy_request_buffering on; proxy_pass "
            "http://meridian_public;\n"
            "    }\n    location / { proxy_pass http://meridian_public; }\n");
}

static void put_region_server(struct buf *b, const struct edge_config *c, enum way way)
{
    static const char *const forms[] = {"geo", "data", "fe", "geo.privatelink", "data.privatelink"};
    buf_str(b, "  server {\n");
    put_listen(b, c, way, false);
    buf_str(b, "    server_name");
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        buf_printf(b, " *.%s.%s.%s", c->region, forms[i], c->domain);
    buf_str(b, ";\n");
    put_certificate(b, c->region_pem, "public");
    put_public_root(b, c);
    buf_str(b, "  }\n");
}

static void put_domain_pattern(struct buf *b, const char *domain)
{
    for (; *domain; domain++)
        buf_printf(b, *domain == '.' ? "\\%c" : "%c", *domain);
}

// An upload that began in another region goes on there, through the daemon's tunnels to its peer
// listener, which never passes on. The target goes over as the client wrote it, so it must be what
// nginx took it for: no escape, no dot segment may make another path of it where our certificate
// opens doors.
static void put_passed_on(struct buf *b, const struct edge_config *c)
{
    for (size_t i = 0; i < c->n_peers; i++) {
        const char *r = c->peers[i].region;
        buf_printf(b,
                   "    location ~ \"^/v2/.+/blobs/uploads/%s\\.[0-9a-f]+$\" {\n"
                   "      if ($request_uri !~ "
                   "\"^/v2/[a-z0-9/._-]+/blobs/uploads/%s\\.[0-9a-f]+([?]|$)\") { return 404; "
                   "}\n"
                   "      proxy_set_header " EDGE_HEADER_PASSED " $remote_addr;\n"
                   "      proxy_set_header " EDGE_HEADER_PASSED_PRIVATE " $meridian_private;\n"
                   "      proxy_pass http://region_%s;\n"
                   "      proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate "
                   "X-Accel-Buffering "
                   "X-Accel-Charset;\n",
                   r, r, r);
        put_headers(b, "      ", "\"\"", "\"\"");
        edge_put_passed_pages(b, r); // the first that fits counts
        buf_str(b, "    }\n");
        edge_put_passed_answers(b, c, r);
    }
}

static void put_misdirected(struct buf *b, const struct edge_config *c)
{
    if (c->n_https_proxied)
        edge_put_proxy_refusal(b, c);
    edge_put_answer(b, c, "/", 421, REFUSED_HOST, "this host name is not served at this address",
                    c->region);
    edge_put_error_answers(b, c);
    buf_str(b, "  }\n");
}

static void put_global_server(struct buf *b, const struct edge_config *c, enum way way)
{
    buf_str(b, "  server {\n");
    put_listen(b, c, way, false);
    buf_str(b, "    server_name \"~^[^.]+\\.");
    put_domain_pattern(b, c->domain);
    buf_str(b, "$\" \"~^[^.]+\\.privatelink\\.");
    put_domain_pattern(b, c->domain);
    buf_str(b, "$\";\n");
    put_certificate(b, c->shared_pem, "public");
    put_passed_on(b, c);
    put_public_root(b, c);
    // deeper names and other regions': misdirected (RFC 9110 section 15.5.20)
    buf_str(b, "  }\n  server {\n");
    put_listen(b, c, way, false);
    buf_str(b, "    server_name \"~^.+\\.");
    put_domain_pattern(b, c->domain);
    buf_str(b, "$\";\n");
    put_certificate(b, c->shared_pem, "public");
    put_misdirected(b, c);
}

// A region whose certificate nginx does not take is told why: above all for its dates, which a
// wrong clock spoils.
static void put_certificate_refusal(struct buf *b, const struct edge_config *c)
{
    buf_str(b, "    error_page 495 =400 /_edge/certificate;\n");
    edge_put_error_pages(b, "    ");
    edge_put_answer(b, c, "= /_edge/certificate", 400, REFUSED_DENIED,
                    "region %s refuses the certificate shown: $ssl_client_verify", c->region);
    edge_put_answer(b, c, "= /_edge/stranger", 400, REFUSED_DENIED,
                    "region %s is called here by regions, which show a certificate of theirs",
                    c->region);
}

// Who has no certificate may ask for one thing: to join (fleet/join.h), by POST, with a small body
// that is taken whole before the daemon hears of it. All strangers together have few places, each
// for seconds.
static void put_strangers(struct buf *b)
{
    buf_str(b, "  map \"$ssl_client_verify $uri\" $meridian_stranger {\n    default 1;\n"
               "    \"~^SUCCESS \" \"\";\n    \"~^NONE " EDGE_JOIN_PATH "\\z\" \"\";\n"
               "    \"~^[^/]* /_edge/\" \"\";\n  }\n"
               "  limit_conn_zone all zone=strangers:1m;\n"
               "  limit_req_zone all zone=joins:1m rate=5r/s;\n"
               "  limit_req_status 429; limit_req_log_level info;\n");
}

static void put_join(struct buf *b)
{
    buf_str(
        b, "    if ($meridian_stranger) { rewrite ^ /_edge/stranger last; }\n"
           "    location = " EDGE_JOIN_PATH " {\n"
           "      limit_conn strangers 16; limit_conn by_client 4; limit_req zone=joins burst=20 "
           "nodelay;\n"
           "      client_max_body_size 48k; client_body_buffer_size 48k; client_body_timeout 10s;\n"
           "      proxy_request_buffering on; proxy_read_timeout 60s; proxy_pass "
           "http://meridian_peer;\n");
    put_headers(b, "      ", "\"\"", "\"\"");
    buf_str(b, "      proxy_set_header " EDGE_HEADER_PASSED
               " \"\"; proxy_set_header " EDGE_HEADER_PASSED_PRIVATE " \"\";\n    }\n");
}

static void put_peer_server(struct buf *b, const struct edge_config *c)
{
    char at[ENDPOINT_TEXT_SIZE];
    buf_printf(b,
               "  server {\n    listen %s ssl default_server backlog=1024;\n    server_name _;\n",
               endpoint_format(&c->peer, at));
    put_certificate(b, c->peer_pem, "peer");
    buf_printf(b,
               "    ssl_client_certificate %s; ssl_verify_client optional; ssl_verify_depth 3;\n",
               c->ca_pem);
    put_certificate_refusal(b, c);
    put_join(b);
    put_headers(b, "    ", "$ssl_client_escaped_cert", "\"\"");
    put_shared_locations(b, c);
    buf_str(b, "    location / { proxy_pass http://meridian_peer; }\n  }\n");
}

// The admin listener. Connections are few, so that what anybody may make wait there is little; and
// the daemon's own answers alone go out.
static void put_admin_servers(struct buf *b, const struct edge_config *c)
{
    char at[ENDPOINT_TEXT_SIZE];
    endpoint_format(&c->admin, at);
    buf_printf(b,
               "  server {\n    listen %s ssl default_server backlog=64;\n    server_name _;\n"
               "    ssl_reject_handshake on;\n",
               at);
    edge_put_answer(b, c, "/", 421, REFUSED_HOST, "this host name is not served at this address",
                    c->region);
    edge_put_error_answers(b, c);
    buf_printf(b,
               "  }\n  server {\n    listen %s ssl;\n    server_name *.%s.fe.%s;\n"
               "    limit_conn by_client 16; limit_conn operators 64;\n"
               "    client_max_body_size 64m; client_body_timeout 15s;\n",
               at, c->region, c->domain);
    put_certificate(b, c->region_pem, "admin");
    put_headers(b, "    ", "\"\"", "\"\"");
    buf_str(b, "    proxy_hide_header " HTTP_HEADER_REASON
               "; proxy_hide_header " HTTP_HEADER_PRINCIPAL ";\n"
               "    proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate "
               "X-Accel-Buffering X-Accel-Charset;\n");
    edge_put_answer(b, c, "/", 404, REFUSED_UNSUPPORTED, "nothing is served under this path",
                    c->region);
    edge_put_error_answers(b, c);
    buf_str(b, "    location ~ \"^/v1/\" { proxy_pass http://meridian_admin; }\n  }\n");
}

static void put_client_servers(struct buf *b, const struct edge_config *c, enum way way)
{
    // unknown names get no handshake; an unknown Host behind a known name gets 421
    buf_str(b, "  server {\n");
    put_listen(b, c, way, true);
    buf_str(b, "    server_name _;\n    ssl_reject_handshake on;\n");
    put_misdirected(b, c);
    put_region_server(b, c, way);
    put_global_server(b, c, way);
}

int edge_render(const struct edge_config *c, struct buf *out, struct diag *diag)
{
    int rc = edge_config_check(c, diag);
    if (rc)
        return rc;
    AUTO_BUF struct buf b;
    buf_init(&b, 4 << 20);
    put_frame(&b, c);
    put_maps(&b);
    put_proxies(&b, c);
    put_names(&b, c);
    edge_put_privates(&b, c);
    put_access_log(&b, c);
    put_clients(&b);
    put_strangers(&b);
    edge_put_error_pages(&b, "  ");
    put_upstreams(&b, c);
    if (c->n_https || edge_private_listens(c))
        put_client_servers(&b, c, WAY_STRAIGHT);
    if (c->n_https_proxied)
        put_client_servers(&b, c, WAY_PROXIED);
    put_peer_server(&b, c);
    if (c->admin.port)
        put_admin_servers(&b, c);
    buf_str(&b, "}\n");
    if (b.err)
        return b.err;
    buf_add(out, b.p, b.n);
    return out->err;
}
