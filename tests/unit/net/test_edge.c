// SPDX-License-Identifier: Apache-2.0
// net/edge with the real nginx in front of a toy app, on free ports of 127.0.0.1 and a folder of
// its own.
#include "net/edge.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/topology.h"
#include "net/fetch.h"
#include "net/http.h"
#include "net/tunnel.h"
#include "registry/oci_error.h"
#include "tests/support/check_main.h"
#include "tests/support/tls_files.h"

#include <dirent.h>
#include <grp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

// --- the toy app ---

static _Atomic size_t sunk;

static int sink_write(struct http_request *req, const uint8_t *p, size_t n)
{
    (void)req, (void)p;
    atomic_fetch_add(&sunk, n);
    return 0;
}
static const struct http_sink sink = {sink_write};

static _Atomic int gated, gate_open;

static void run(struct http_request *req, struct http_response *resp)
{
    if (!strcmp(req->path, "/gate")) {
        atomic_fetch_add(&gated, 1);
        while (!atomic_load(&gate_open))
            clock_sleep_ms(2);
    }
    if (strstr(req->path, "/blobs/sha256:")) {
        (void)http_response_header(req, resp, "Docker-Content-Digest", "sha256:abc");
        (void)http_response_header(req, resp, "ETag", "\"sha256:abc\"");
        (void)http_response_header(req, resp, "Content-Type", "application/octet-stream");
        http_response_accel(resp, 200, strstr(req->path, "gone") ? "/_blob/gone" : "/_blob/one");
        return;
    }
    struct buf b;
    buf_init(&b, 0);
    char ip[IP_TEXT_SIZE];
    buf_printf(&b, "%s %s?%s host=%s listener=%d client=%s private=%s fp=%s sunk=%zu\n",
               req->method_text, req->path, req->query, req->host, req->listener,
               ip_format(&req->client, ip), req->private_endpoint ? req->private_endpoint : "-",
               req->peer_cert_fingerprint ? req->peer_cert_fingerprint : "-", atomic_load(&sunk));
    for (const struct http_header *h = req->headers; h; h = h->next)
        buf_printf(&b, "%s: %s\n", h->name, h->value);
    (void)http_response_text(req, resp, 200, "%s", buf_cstr(&b));
    buf_done(&b);
}

static void begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx;
    *plan = (struct http_plan){.kind = HTTP_PLAN_STREAM, .run = run, .sink = &sink};
    if (!strcmp(req->path, "/refused")) {
        plan->kind = HTTP_PLAN_REPLY;
        (void)http_response_text(req, &plan->response, 401, "no");
    }
}

static void finish(void *ctx, const struct http_request *req, struct http_response *resp)
{
    (void)ctx;
    (void)http_response_header((struct http_request *)(uintptr_t)req, resp, "X-Meridian-Region",
                               "eastus");
    (void)http_response_header((struct http_request *)(uintptr_t)req, resp, "X-Meridian-Stamp",
                               "tst-1");
}

// --- one region: two sockets of the daemon, one edge ---

struct edge_region {
    char name[16], dir[160], pub[200], peer[200], tunnel[200], blobs[200], pem[200], shared[200],
        peer_pem[200];
    struct endpoint https, peer_at;
    struct edge_config c;
    struct http_server *s_pub, *s_peer;
    struct edge *edge;
};

static char top[64], ca[100];
static struct pool *pool;
static struct fetcher *f;
static struct edge_region one, two;

static struct endpoint local(uint16_t port)
{
    char text[32];
    struct endpoint e;
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    ck_assert_int_eq(endpoint_parse(text, 0, &e), 0);
    return e;
}

static void world(void)
{
    snprintf(top, sizeof top, "/tmp/mer-edge-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    tls_make_ca(top, "ca", ca, sizeof ca);
    pool = pool_new(&(struct pool_options){.name = "t", .n_threads = 4, .max_waiting = 256});
    ck_assert_int_eq(fetcher_new(&f), 0);
}

static void region_config(struct edge_region *r, const char *name)
{
    char san[512], leaf[64];
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->dir, sizeof r->dir, "%s/%s", top, name);
    ck_assert_int_eq(dir_make(r->dir, 0755), 0);
    snprintf(r->pub, sizeof r->pub, "%s/http.sock", r->dir);
    snprintf(r->peer, sizeof r->peer, "%s/peer.sock", r->dir);
    snprintf(r->tunnel, sizeof r->tunnel, "%s/tunnel.sock", r->dir);
    snprintf(r->blobs, sizeof r->blobs, "%s/blobs", r->dir);
    ck_assert_int_eq(dir_make(r->blobs, 0755), 0);
    char blob[256];
    snprintf(blob, sizeof blob, "%s/one", r->blobs);
    ck_assert_int_eq(file_write_atomic(blob, "0123456789", 10, 0644), 0);
    snprintf(san, sizeof san, "DNS:*.%s.geo.example.test,DNS:*.%s.data.example.test", name, name);
    snprintf(leaf, sizeof leaf, "region-%s", name);
    tls_make_leaf(top, "ca", leaf, san, r->pem, sizeof r->pem);
    snprintf(leaf, sizeof leaf, "shared-%s", name);
    tls_make_leaf(top, "ca", leaf, "DNS:*.example.test,DNS:*.privatelink.example.test", r->shared,
                  sizeof r->shared);
    snprintf(leaf, sizeof leaf, "peer-%s", name);
    snprintf(san, sizeof san, "DNS:%s.peer.example.test,URI:meridian://example.test/region/%s",
             name, name);
    tls_make_leaf(top, "ca", leaf, san, r->peer_pem, sizeof r->peer_pem);
    r->https = local(tls_free_port());
    r->peer_at = local(tls_free_port());
    r->c = (struct edge_config){.nginx = "/usr/sbin/nginx",
                                .runtime_dir = r->dir,
                                .public_socket = r->pub,
                                .peer_socket = r->peer,
                                .tunnel_socket = r->tunnel,
                                .blob_dir = r->blobs,
                                .words = &oci_words,
                                .domain = "example.test",
                                .region = r->name,
                                .stamp = "tst-1",
                                .pem_owner = geteuid(),
                                .https = &r->https,
                                .n_https = 1,
                                .peer = r->peer_at,
                                .region_pem = r->pem,
                                .shared_pem = r->shared,
                                .peer_pem = r->peer_pem,
                                .ca_pem = ca,
                                .user = geteuid() ? NULL : "root",
                                .n_workers = 1};
}

static unsigned body_rate; // 0: none

static void region_daemon(struct edge_region *r)
{
    struct http_app app = {.begin = begin, .finish = finish, .words = &oci_words};
    struct http_server_options o = {.socket_path = r->pub,
                                    .socket_mode = 0660,
                                    .socket_gid = -1,
                                    .listener = LISTENER_PUBLIC,
                                    .pool = pool,
                                    .body_bytes_s = body_rate,
                                    .body_window_ms = 1000};
    ck_assert_int_eq(http_server_start(&o, &app, &r->s_pub), 0);
    o.socket_path = r->peer;
    o.listener = LISTENER_PEER;
    ck_assert_int_eq(http_server_start(&o, &app, &r->s_peer), 0);
}

static void region_up(struct edge_region *r)
{
    region_daemon(r);
    struct diag d;
    diag_init(&d);
    if (edge_start(&r->c, &d, &r->edge)) {
        diag_print(&d, stderr);
        ck_abort_msg("edge did not start");
    }
    diag_done(&d);
}

static void region_down(struct edge_region *r)
{
    edge_stop(r->edge, 3000);
    http_server_stop(r->s_pub, 1000);
    http_server_stop(r->s_peer, 1000);
}

static void world_end(void)
{
    fetcher_free(f);
    pool_free(pool);
    ck_assert_int_eq(dir_remove_tree(top), 0);
}

static struct fetch_request to(const struct endpoint *at, const char *url)
{
    return (struct fetch_request){.url = url, .connect_to = at, .ca_file = ca, .timeout_ms = 15000};
}

// An answer of the edge's own: the status, the registry's error JSON, region, stamp and request id.
static void own_answer(const struct fetch_request *q, int status, const char *code)
{
    struct fetch_result r;
    char text[256], want[64];
    ck_assert_msg(fetch_run(f, q, &r) == 0, "%s: %s", q->url, r.message);
    ck_assert_msg(r.status == status, "%s: %d, want %d: %s", q->url, r.status, status,
                  buf_cstr(&r.body));
    snprintf(want, sizeof want, "{\"errors\":[{\"code\":\"%s\",", code);
    ck_assert_msg(!q->method || strcmp(q->method, "HEAD") != 0
                      ? strstr(buf_cstr(&r.body), want) == buf_cstr(&r.body)
                      : !r.body.n,
                  "%s", buf_cstr(&r.body));
    ck_assert_str_eq(fetch_result_header(&r, "Content-Type", text, sizeof text),
                     "application/json");
    ck_assert_str_eq(fetch_result_header(&r, "X-Meridian-Region", text, sizeof text), "eastus");
    const char *once = strstr(buf_cstr(&r.headers), "x-meridian-region:");
    ck_assert_msg(once && !strstr(once + 1, "x-meridian-region:"), "%s", buf_cstr(&r.headers));
    ck_assert_str_eq(fetch_result_header(&r, "X-Meridian-Stamp", text, sizeof text), "tst-1");
    ck_assert_uint_eq(strlen(fetch_result_header(&r, "X-Meridian-Request-Id", text, sizeof text)),
                      32);
    bool later = status == 503 || status == 429;
    ck_assert(later == (fetch_result_header(&r, "Retry-After", text, sizeof text) != NULL));
    fetch_result_done(&r);
}

static int status_of(const struct fetch_request *q, char *body, size_t cap)
{
    struct fetch_result r;
    int rc = fetch_run(f, q, &r);
    if (body)
        snprintf(body, cap, "%s", rc ? r.message : buf_cstr(&r.body));
    int status = rc ? rc : r.status;
    fetch_result_done(&r);
    return status;
}

START_TEST(test_render)
{
    struct endpoint at = local(20443);
    struct edge_peer peers[] = {{"westeurope"}};
    struct edge_config good = {.nginx = "/n",
                               .runtime_dir = "/r",
                               .public_socket = "/r/a",
                               .peer_socket = "/r/b",
                               .tunnel_socket = "/r/c",
                               .blob_dir = "/blobs",
                               .domain = "example.test",
                               .region = "eastus",
                               .stamp = "eus-1",
                               .https = &at,
                               .n_https = 1,
                               .peer = local(20445),
                               .region_pem = "/1",
                               .shared_pem = "/2",
                               .peer_pem = "/3",
                               .ca_pem = "/4",
                               .per_client = 7,
                               .per_network = 9,
                               .peers = peers,
                               .n_peers = 1};
    struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(edge_render(&good, &b, NULL), 0);
    static const char *const has[] = {
        "daemon off;",
        "client_max_body_size 0;",
        "proxy_request_buffering off;",
        "location /oauth2/ {",
        "location = /healthz { limit_conn by_client 7; proxy_pass",
        "proxy_buffering off;",
        "merge_slashes off;",
        "underscores_in_headers off;",
        "ssl_reject_handshake on;",
        "*.eastus.geo.example.test",
        "*.eastus.data.privatelink.example.test",
        "ssl_verify_client optional;",
        "error_page 495 =400 /_edge/certificate;",
        "/blobs/uploads/westeurope\\.[0-9a-f]+$",
        "upstream region_westeurope { server unix:/r/c; keepalive 16; }",
        "return 421 ",
        "limit_conn_log_level info;",
        "limit_conn by_client 7; limit_conn by_network 9; limit_conn clients ",
        "alias /blobs/;",
        "X-Forwarded-For \"\"",
        "large_client_header_buffers 2 16k;",
        "worker_shutdown_timeout 6h;",
        "keepalive_requests 10000;"};
    for (size_t i = 0; i < ARRAY_LEN(has); i++)
        ck_assert_msg(strstr(buf_cstr(&b), has[i]) != NULL, "missing: %s", has[i]);
    ck_assert_ptr_null(strstr(buf_cstr(&b), "include"));
    static const char *const off[] = {"meridian_admin", " http2", "KTLS", " proxy_protocol",
                                      "real_ip"};
    for (size_t i = 0; i < ARRAY_LEN(off); i++)
        ck_assert_msg(!strstr(buf_cstr(&b), off[i]), "%s", off[i]);
    // regions are not counted as clients; strangers, who may join, are
    const char *peer = strstr(buf_cstr(&b), "ssl_verify_client optional;"),
               *join = strstr(peer, "location = /join/v1/region {"), *end = strstr(join, "    }\n");
    ck_assert_ptr_eq(strstr(peer, "limit_conn"), strstr(join, "limit_conn"));
    ck_assert_ptr_null(strstr(end, "limit_conn"));
    ck_assert_ptr_nonnull(strstr(peer, "if ($meridian_stranger) { rewrite ^ /_edge/stranger last"));
    static const char *const bad[] = {"/a b", "/a;",  "/a{",  "/a}", "/a$x", "/a\"",
                                      "/a'",  "/a\n", "/a\\", "/a#", "",     "rel"};
    size_t before = b.n;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        for (int k = 0; k < 9; k++) {
            struct edge_config c = good;
            *(const char **[]){&c.runtime_dir,   &c.public_socket, &c.peer_socket,
                               &c.tunnel_socket, &c.blob_dir,      &c.region_pem,
                               &c.shared_pem,    &c.peer_pem,      &c.ca_pem}[k] = bad[i];
            struct diag d;
            diag_init(&d);
            ck_assert_int_eq(edge_render(&c, &b, &d), ERR_INVAL);
            ck_assert_uint_ge(diag_count(&d), 1);
            diag_done(&d);
        }
    struct edge_config c = good;
    c.admin = local(20446); // and no socket that it leads to
    ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
    c = good;
    c.domain = "example.test;x";
    ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
    c = good, c.region = "East";
    ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
    c = good, c.stamp = "a b";
    ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
    c = good, peers[0].region = "a.*";
    ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
    ck_assert_uint_eq(b.n, before);
    buf_done(&b);
}
END_TEST

START_TEST(test_render_protocols)
{
    struct endpoint at = local(20443), behind = local(20444);
    struct cidr proxies[2];
    ck_assert_int_eq(cidr_parse("192.0.2.80", &proxies[0]), 0);
    ck_assert_int_eq(cidr_parse("2001:db8::/64", &proxies[1]), 0);
    struct edge_config c = {.nginx = "/n",
                            .runtime_dir = "/r",
                            .public_socket = "/r/a",
                            .peer_socket = "/r/b",
                            .tunnel_socket = "/r/c",
                            .blob_dir = "/blobs",
                            .domain = "example.test",
                            .region = "eastus",
                            .stamp = "eus-1",
                            .https = &at,
                            .n_https = 1,
                            .https_proxied = &behind,
                            .n_https_proxied = 1,
                            .proxies = proxies,
                            .n_proxies = 2,
                            .http2 = true,
                            .ktls = true,
                            .peer = local(20445),
                            .region_pem = "/1",
                            .shared_pem = "/2",
                            .peer_pem = "/3",
                            .ca_pem = "/4"};
    struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(edge_render(&c, &b, NULL), 0);
    static const char *const has[] = {
        "listen 127.0.0.1:20443 ssl http2 default_server",
        "listen 127.0.0.1:20444 ssl http2 proxy_protocol default_server",
        "listen 127.0.0.1:20445 ssl default_server",
        "real_ip_header proxy_protocol;",
        "set_real_ip_from 192.0.2.80/32;",
        "set_real_ip_from 2001:db8::/64;",
        "if ($meridian_unproxied) { rewrite ^ /_edge/proxy last; }",
        "http2_max_concurrent_streams 32;",
        "keepalive_requests 1000;",
        "ssl_conf_command Options KTLS;"};
    for (size_t i = 0; i < ARRAY_LEN(has); i++)
        ck_assert_msg(strstr(buf_cstr(&b), has[i]) != NULL, "missing: %s", has[i]);
    ck_assert_ptr_null(strstr(buf_cstr(&b), "aio threads;"));
    c.disk_threads = true;
    c.n_https = 0; // all clients come through balancers
    buf_clear(&b);
    ck_assert_int_eq(edge_render(&c, &b, NULL), 0);
    ck_assert_ptr_null(strstr(buf_cstr(&b), ":20443"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&b), "aio threads;"));
    c.n_proxies = 0; // who could connect?
    ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
    c.n_https_proxied = 0;
    ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
    buf_done(&b);
}
END_TEST

START_TEST(test_requests)
{
    world();
    region_config(&one, "eastus");
    region_up(&one);
    char text[8192];
    struct fetch_request q =
        to(&one.https, "https://contoso.eastus.geo.example.test/v2//a%2Fb/?x=%20");
    static const char *const forged[] = {"X-Meridian-Client: 6.6.6.6",
                                         "X-Meridian-Peer-Cert: evil",
                                         "X-Meridian-Other: evil",
                                         "X_Meridian_Client: 6.6.6.6",
                                         "Forwarded: for=evil",
                                         "X-Forwarded-For: evil",
                                         "X-Forwarded-Host: evil",
                                         "X-Forwarded-Proto: evil",
                                         "X-Real-IP: evil",
                                         "X-Meridian-Private-Endpoint: evil",
                                         "X-Accel-Redirect: /_blob/evil",
                                         "X-Meridian-Region: evil",
                                         "Proxy: evil",
                                         "Authorization: Bearer abc"};
    q.headers = forged, q.n_headers = ARRAY_LEN(forged);
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    ck_assert_ptr_nonnull(
        strstr(text, "GET /v2//a%2Fb/?x=%20 host=contoso.eastus.geo.example.test listener=0 "
                     "client=127.0.0.1 private=- fp=- "));
    ck_assert_ptr_nonnull(strstr(text, "Bearer abc"));
    ck_assert_ptr_null(strstr(text, "evil"));
    ck_assert_ptr_null(strstr(text, "6.6.6.6"));
    q = to(&one.https, "https://contoso.example.test/"); // global, and privatelink of it
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    q = to(&one.https, "https://contoso.privatelink.example.test/");
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    // another region's name: certificate does not fit
    q = to(&one.https, "https://contoso.westeurope.geo.example.test/");
    ck_assert_int_eq(status_of(&q, text, sizeof text), ERR_CRYPTO);
    static const char *const hosts[] = {"Host: contoso.westeurope.geo.example.test",
                                        "Host: a.b.example.test", "Host: elsewhere.test",
                                        "Host: 127.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) { // right name in TLS, another in HTTP
        q = to(&one.https, "https://contoso.example.test/");
        q.headers = &hosts[i], q.n_headers = 1;
        own_answer(&q, 421, "NAME_UNKNOWN");
    }
    q = to(&one.https, "https://elsewhere.test/"); // unknown name: no handshake
    ck_assert_int_eq(status_of(&q, text, sizeof text), ERR_CRYPTO);
    static uint8_t body[8 << 20];
    q = to(&one.https, "https://contoso.eastus.geo.example.test/v2/a/blobs/uploads/eastus.1");
    q.method = "PATCH", q.body = bytes_of(body, sizeof body), q.chunked = true;
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "sunk=8388608"));
    region_down(&one);
    world_end();
}
END_TEST

static struct endpoint at_port(const char *ip, uint16_t port)
{
    struct endpoint e = {.port = port};
    ck_assert_int_eq(ip_parse(ip, &e.ip), 0);
    return e;
}

// Over each of its addresses a private endpoint's registry is served under all its names, and nothing
// else is; requests tell by which they came, whatever a client says.
static void ask_privates(bool publicly)
{
    static const char forged[] = "X-Meridian-Private-Endpoint: evil";
    static const char *const header[] = {forged};
    static const struct {
        const char *to, *url, *by;
    } rows[] = {
        {"127.9.0.4", "https://contoso.example.test/v2/", "corp-pe"},
        {"127.9.0.4", "https://contoso.privatelink.example.test/v2/", "corp-pe"},
        {"127.9.0.4", "https://contoso.eastus.data.example.test/", "corp-pe"},
        {"127.9.0.4", "https://contoso.eastus.geo.example.test/healthz", "corp-pe"},
        {"127.9.0.5", "https://contoso.example.test/", "lab-pe"},
        {"127.9.0.5", "https://fabrikam.example.test/", NULL},
        {"127.9.0.5", "https://con.toso.example.test/", NULL},
        {"127.9.0.6", "https://fabrikam.example.test/oauth2/token", "corp-other"},
        {"127.9.0.6", "https://contoso.example.test/healthz", NULL},
        {"127.9.0.6", "https://contoso.eastus.geo.example.test/", NULL},
        {"127.9.0.6", "https://contosofabrikam.example.test/", NULL},
        {"::1", "https://fabrikam.eastus.geo.example.test/", "corp-six"},
        {"::1", "https://contoso.example.test/", NULL},
        {"127.0.0.1", "https://contoso.example.test/", "-"},
        {"127.0.0.1", "https://fabrikam.example.test/", "-"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[8192], want[64];
        struct endpoint at = at_port(rows[i].to, one.https.port);
        if (!publicly && !strcmp(rows[i].to, "127.0.0.1"))
            continue;
        struct fetch_request q = to(&at, rows[i].url);
        q.headers = header, q.n_headers = 1;
        if (!rows[i].by && strstr(rows[i].url, "con.toso")) {
            ck_assert_int_eq(status_of(&q, NULL, 0), ERR_CRYPTO); // no certificate has it
            continue;
        }
        if (!rows[i].by) {
            own_answer(&q, 421, "NAME_UNKNOWN");
            continue;
        }
        ck_assert_msg(status_of(&q, text, sizeof text) == 200, "%zu: %s", i, text);
        snprintf(want, sizeof want, " private=%s ", rows[i].by);
        ck_assert_msg(strstr(text, want) != NULL, "%zu: %s", i, text);
        ck_assert_ptr_null(strstr(text, "evil"));
    }
    // another Host behind the right name
    static const char *const other[] = {"Host: fabrikam.example.test"};
    struct endpoint at = at_port("127.9.0.4", one.https.port);
    struct fetch_request q = to(&at, "https://contoso.example.test/");
    q.headers = other, q.n_headers = 1;
    own_answer(&q, 421, "NAME_UNKNOWN");
}

START_TEST(test_private_addresses)
{
    struct edge_private privates[] = {{.endpoint = "corp-pe", .label = "contoso"},
                                      {.endpoint = "lab-pe", .label = "contoso"},
                                      {.endpoint = "corp-other", .label = "fabrikam"},
                                      {.endpoint = "corp-six", .label = "fabrikam"}};
    static const char *const ips[] = {"127.9.0.4", "127.9.0.5", "127.9.0.6", "::1"};
    struct edge_private sorted[ARRAY_LEN(privates)];
    for (size_t i = 0; i < ARRAY_LEN(privates); i++)
        ck_assert_int_eq(ip_parse(ips[i], &privates[i].ip), 0);
    sorted[0] = privates[3]; // 16 bytes, IPv4 mapped
    memcpy(sorted + 1, privates, 3 * sizeof *privates);
    world();
    region_config(&one, "eastus");
    one.c.privates = sorted, one.c.n_privates = ARRAY_LEN(sorted);
    one.c.private_port = one.https.port;
    // sockets of their own beside that of 127.0.0.1
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
        sorted[i].listens = true;
    region_up(&one);
    ask_privates(true);
    region_down(&one);
    // the IPv4 ones at a wildcard listener, which is not listened to twice
    for (size_t i = 1; i < ARRAY_LEN(sorted); i++)
        sorted[i].listens = false;
    struct endpoint any = at_port("0.0.0.0", one.https.port);
    one.c.https = &any;
    region_up(&one);
    ask_privates(true);
    region_down(&one);
    // beside a wildcard listener for balancers they are told apart, too
    struct cidr proxy;
    ck_assert_int_eq(cidr_parse("192.0.2.80", &proxy), 0);
    one.c.n_https = 0;
    one.c.https_proxied = &any, one.c.n_https_proxied = 1;
    one.c.proxies = &proxy, one.c.n_proxies = 1;
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
        sorted[i].listens = true;
    region_up(&one);
    ask_privates(false);
    region_down(&one);
    world_end();
}
END_TEST

START_TEST(test_private_addresses_checked)
{
    struct edge_private p[2] = {{.endpoint = "corp-pe", .label = "contoso"},
                                {.endpoint = "lab-pe", .label = "contoso"}};
    ck_assert_int_eq(ip_parse("10.4.0.4", &p[0].ip), 0);
    ck_assert_int_eq(ip_parse("10.4.0.5", &p[1].ip), 0);
    world();
    region_config(&one, "eastus");
    struct edge_config c = one.c;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    c.privates = p, c.n_privates = 2, c.private_port = 443;
    ck_assert_int_eq(edge_render(&c, &b, NULL), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&b), "10.4.0.4 corp-pe/contoso;"));
    ck_assert_ptr_null(strstr(buf_cstr(&b), "listen 10.4.0.4"));
    p[0].listens = true;
    ck_assert_int_eq(edge_render(&c, &b, NULL), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&b), "listen 10.4.0.4:443 ssl;"));
    static const char *const bad[] = {NULL, "", "a b", "a;", "a/b", "A", "a{"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        p[1].endpoint = bad[i];
        ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
        p[1].endpoint = "lab-pe", p[1].label = bad[i];
        ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
        p[1].label = "contoso";
    }
    p[1].ip = p[0].ip; // twice
    ck_assert_int_eq(edge_render(&c, &b, NULL), ERR_INVAL);
    world_end();
}
END_TEST

// An address, a certificate's names and a socket of its own: neither way does a request cross.
START_TEST(test_the_admin_listener_is_apart)
{
    char socket[220], text[8192];
    struct http_server *operators;
    world();
    region_config(&one, "eastus");
    tls_make_leaf(top, "ca", "region-eastus",
                  "DNS:*.eastus.geo.example.test,DNS:*.eastus.fe.example.test", one.pem,
                  sizeof one.pem);
    snprintf(socket, sizeof socket, "%s/operator.sock", one.dir);
    one.c.admin = local(tls_free_port());
    one.c.admin_socket = socket;
    const struct http_app app = {.begin = begin, .finish = finish, .words = &oci_words};
    const struct http_server_options o = {.socket_path = socket,
                                          .socket_mode = 0660,
                                          .socket_gid = -1,
                                          .listener = LISTENER_OPERATOR,
                                          .pool = pool};
    ck_assert_int_eq(http_server_start(&o, &app, &operators), 0);
    region_up(&one);
    struct fetch_request q = to(&one.c.admin, "https://eus-1.eastus.fe.example.test/v1/status?a=b");
    static const char *const forged[] = {
        "X-Meridian-Client: 6.6.6.6", "X-Meridian-Peer-Cert: evil",   "X-Meridian-Other: evil",
        "X-Forwarded-For: evil",      "X-Accel-Redirect: /_blob/one", "Authorization: Bearer abc"};
    q.headers = forged, q.n_headers = ARRAY_LEN(forged);
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    ck_assert_msg(strstr(text, "GET /v1/status?a=b host=eus-1.eastus.fe.example.test listener=4 "
                               "client=127.0.0.1 private=- fp=- ") != NULL,
                  "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "Bearer abc"));
    ck_assert_ptr_null(strstr(text, "evil"));
    // nothing else is served there: no registry, no blobs, no probe
    static const char *const paths[] = {"/v2/",       "/healthz", "/oauth2/token",
                                        "/_blob/one", "/v1",      "/control/v1/feed"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        AUTO_FREE char *url = mem_printf("https://eus-1.eastus.fe.example.test%s", paths[i]);
        q = to(&one.c.admin, url);
        own_answer(&q, 404, "UNSUPPORTED");
    }
    // what a hostile or mistaken answer of the daemon would lead the edge to is not followed
    q = to(&one.c.admin, "https://eus-1.eastus.fe.example.test/v1/blobs/sha256:1");
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    ck_assert_ptr_null(strstr(text, "0123456789"));
    // public names at the admin listener: no handshake, and no other host behind its own name
    q = to(&one.c.admin, "https://contoso.eastus.geo.example.test/v2/");
    ck_assert_int_eq(status_of(&q, text, sizeof text), ERR_CRYPTO);
    static const char *const hosts[] = {"Host: contoso.example.test",
                                        "Host: eus-1.north.fe.example.test",
                                        "Host: contoso.eastus.geo.example.test"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        q = to(&one.c.admin, "https://eus-1.eastus.fe.example.test/v1/status");
        q.headers = &hosts[i], q.n_headers = 1;
        own_answer(&q, 421, "NAME_UNKNOWN");
    }
    // and the admin API is not to be had at the public listener, by any name
    static const char *const names[] = {"eus-1.eastus.fe.example.test",
                                        "contoso.eastus.geo.example.test"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *url = mem_printf("https://%s/v1/status", names[i]);
        q = to(&one.https, url);
        ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
        ck_assert_msg(strstr(text, "listener=0") != NULL, "%s", text);
    }
    http_server_stop(operators, 100);
    q = to(&one.c.admin, "https://eus-1.eastus.fe.example.test/v1/status");
    own_answer(&q, 503, "UNAVAILABLE");
    region_down(&one);
    world_end();
}
END_TEST

START_TEST(test_blobs)
{
    world();
    region_config(&one, "eastus");
    region_up(&one);
    char text[256];
    struct fetch_result r;
    struct fetch_request q =
        to(&one.https, "https://contoso.eastus.geo.example.test/v2/a/blobs/sha256:1");
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_int_eq(r.status, 200);
    ck_assert_str_eq(buf_cstr(&r.body), "0123456789");
    ck_assert_str_eq(fetch_result_header(&r, "Docker-Content-Digest", text, sizeof text),
                     "sha256:abc");
    ck_assert_str_eq(fetch_result_header(&r, "ETag", text, sizeof text), "\"sha256:abc\"");
    ck_assert_str_eq(fetch_result_header(&r, "X-Meridian-Region", text, sizeof text), "eastus");
    ck_assert_str_eq(fetch_result_header(&r, "Content-Type", text, sizeof text),
                     "application/octet-stream");
    ck_assert_uint_eq(strlen(fetch_result_header(&r, "X-Meridian-Request-Id", text, sizeof text)),
                      32);
    fetch_result_done(&r);
    q.method = "HEAD";
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_str_eq(fetch_result_header(&r, "Content-Length", text, sizeof text), "10");
    ck_assert_str_eq(fetch_result_header(&r, "Docker-Content-Digest", text, sizeof text),
                     "sha256:abc");
    ck_assert_uint_eq(r.body.n, 0);
    fetch_result_done(&r);
    q.method = NULL;
    const char *range = "Range: bytes=2-4";
    q.headers = &range, q.n_headers = 1;
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_int_eq(r.status, 206);
    ck_assert_str_eq(buf_cstr(&r.body), "234");
    fetch_result_done(&r);
    range = "Range: bytes=20-";
    own_answer(&q, 416, "UNSUPPORTED");
    q = to(&one.https, "https://contoso.eastus.geo.example.test/v2/gone/blobs/sha256:1");
    own_answer(&q, 404, "BLOB_UNKNOWN");
    q = to(&one.https, "https://contoso.eastus.geo.example.test/_blob/one"); // internal
    own_answer(&q, 404, "BLOB_UNKNOWN");
    http_server_stop(one.s_pub, 100);
    one.s_pub = NULL;
    q = to(&one.https, "https://contoso.eastus.geo.example.test/v2/"); // daemon down
    own_answer(&q, 503, "UNAVAILABLE");
    ck_assert_int_eq(status_of(&q, text, sizeof text), 503);
    ck_assert_msg(strstr(text, "region eastus is not ready") != NULL, "%s", text);
    region_daemon(&one); // it comes back behind the same edge
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    region_down(&one);
    world_end();
}
END_TEST

// Raw bytes over TLS, as no proper client sends them; the answer as openssl shows it.
// `before`: a shell command that runs once the request is sent, and keeps the connection open.
static char *raw_while(const char *request, const char *more_flags, const char *before)
{
    static char text[8192];
    char file[200], c[700];
    snprintf(file, sizeof file, "%s/raw", top);
    ck_assert_int_eq(file_write_atomic(file, request, strlen(request), 0600), 0);
    snprintf(
        c, sizeof c,
        "(cat %s; %s) | timeout 10 openssl s_client -quiet -connect 127.0.0.1:%u %s 2>/dev/null",
        file, before, one.https.port, more_flags);
    FILE *p = popen(c, "r");
    ck_assert_ptr_nonnull(p);
    size_t n = fread(text, 1, sizeof text - 1, p);
    text[n] = 0;
    pclose(p);
    return text;
}

static char *raw(const char *request, const char *more_flags)
{
    return raw_while(request, more_flags, "true");
}
#define AS_GLOBAL "-servername contoso.example.test"
#define CLOSES "Connection: close\r\n"

static struct snapshot topology;
static struct tunnels *tunnels;

static void fingerprint_of(const char *pem, char out[2 * SHA256_BYTES + 1])
{
    FILE *file = fopen(pem, "r");
    ck_assert_ptr_nonnull(file);
    X509 *x = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned n;
    ck_assert(x && X509_digest(x, EVP_sha256(), sum, &n));
    X509_free(x);
    hex_format(sum, n, out);
}

// Of region one, as its daemon has them.
static void tunnels_up(void)
{
    char pin[2 * SHA256_BYTES + 1], at[ENDPOINT_TEXT_SIZE];
    fingerprint_of(two.peer_pem, pin);
    struct buf b;
    buf_init(&b, 0);
    buf_printf(
        &b,
        "version: 1\ndomain: example.test\nhostmaster: hostmaster@example.test\nregions:\n"
        "  - { name: eastus, stamps: [{ name: e-1, ipv4: [192.0.2.1] }], peer: '192.0.2.1:8443' }\n"
        "  - { name: westeurope, stamps: [{ name: w-1, ipv4: [192.0.2.2] }], peer: '%s' }\n"
        "name_servers: [e-1.eastus]\nregistries:\n  - { name: contoso, replicas: [{ region: eastus "
        "}] }\n"
        "routing: { order: [eastus, westeurope] }\nidentities:\n  westeurope: { peer_fingerprints: "
        "[\"%s\"] }\n",
        endpoint_format(&two.peer_at, at), pin);
    struct topology *t;
    ck_assert_int_eq(topology_parse(buf_cstr(&b), b.n, "test", NULL, &t), 0);
    buf_done(&b);
    snapshot_init(&topology);
    snapshot_publish(&topology, t);
    struct tunnels_options o = {.topology = &topology,
                                .words = &oci_words,
                                .region = "eastus",
                                .stamp = "tst-1",
                                .ca_file = ca,
                                .peer_pem = one.peer_pem};
    ck_assert_int_eq(http_socket_open(one.tunnel, 0660, (uid_t)-1, (gid_t)-1, &o.listen_fd), 0);
    ck_assert_int_eq(tunnels_start(&o, &tunnels), 0);
}

// Without a certificate: one path alone leads to the daemon, as nobody's.
static void strangers(struct fetch_request *q, char *text, size_t cap)
{
    static const char *const closed[] = {"feed",
                                         "",
                                         "join/v1/",
                                         "join/v1/region/",
                                         "join/v1/regions",
                                         "JOIN/v1/region",
                                         "join/v1/region%0a",

                                         "_blob/x",
                                         "//_edge/x",
                                         "healthz"};
    // where the edge's own answers are: nobody's to ask for
    static const char *const own[] = {"_edge/",         "_edge/x",          "_edge/429",
                                      "_edge/stranger", "_edge/../_edge/x", "_edge/join/v1/region"};
    static const char *const claims[] = {"X-Meridian-Peer-Cert: evil",
                                         "X-Meridian-Passed-Client: evil"};
    char url[200];
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        snprintf(url, sizeof url, "https://westeurope.peer.example.test/%s", closed[i]);
        q->url = url;
        ck_assert_msg(status_of(q, text, cap) == 400, "%s: %s", closed[i], text);
    }
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        snprintf(url, sizeof url, "https://westeurope.peer.example.test/%s", own[i]);
        q->url = url;
        ck_assert_msg(status_of(q, text, cap) == 404, "%s: %s", own[i], text);
        ck_assert_msg(!strstr(text, "listener="), "%s: %s", own[i], text); // of the edge alone
    }
    q->url = "https://westeurope.peer.example.test" EDGE_JOIN_PATH;
    q->method = "POST", q->headers = claims, q->n_headers = 2;
    ck_assert_int_eq(status_of(q, text, cap), 200);
    ck_assert_ptr_nonnull(strstr(text, "listener=1"));
    ck_assert_ptr_null(strstr(text, "evil"));
    ck_assert_ptr_nonnull(strstr(text, " fp=- "));
    static uint8_t large[(48 << 10) + 1];
    q->body = bytes_of(large, sizeof large);
    ck_assert_int_eq(status_of(q, text, cap), 413);
    *q = to(&two.peer_at, "https://westeurope.peer.example.test/feed");
}

START_TEST(test_peers)
{
    world();
    region_config(&one, "eastus");
    region_config(&two, "westeurope");
    struct edge_peer peer = {"westeurope"};
    one.c.peers = &peer, one.c.n_peers = 1;
    region_up(&one);
    region_up(&two);
    tunnels_up();
    char text[4096];
    struct fetch_request q = to(&two.peer_at, "https://westeurope.peer.example.test/feed");
    strangers(&q, text, sizeof text);
    q.client_pem = one.peer_pem;
    const char *forged = "X-Meridian-Peer-Cert: evil";
    q.headers = &forged, q.n_headers = 1;
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "listener=1"));
    const char *fp = strstr(text, "fp=");
    ck_assert_uint_eq(strspn(fp + 3, "0123456789abcdef"), 64);
    ck_assert_ptr_null(strstr(text, "evil"));
    char other[100];
    tls_make_ca(top, "other", other, sizeof other);
    char stranger[200];
    tls_make_leaf(top, "other", "stranger", "DNS:eastus.peer.example.test", stranger,
                  sizeof stranger);
    q.client_pem = stranger;
    ck_assert_int_ne(status_of(&q, text, sizeof text), 200);
    q = to(&one.https, "https://contoso.example.test/_edge/x");
    ck_assert_int_eq(status_of(&q, text, sizeof text), 404);
    ck_assert_ptr_null(strstr(text, "listener="));
    static uint8_t body[1 << 20]; // an upload of westeurope, sent to the global name at eastus
    q = to(&one.https, "https://contoso.example.test/v2/a/b/blobs/uploads/westeurope.0a1b?x=1");
    static const char *const bearer[] = {"Authorization: Bearer abc", "X-Meridian-Peer-Cert: evil",
                                         "X-Meridian-Passed-Client: evil"};
    q.headers = bearer, q.n_headers = 3;
    q.method = "PATCH", q.body = bytes_of(body, sizeof body), q.chunked = true;
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    ck_assert_ptr_nonnull(
        strstr(text, "PATCH /v2/a/b/blobs/uploads/westeurope.0a1b?x=1 host=contoso.example.test "
                     "listener=1"));
    ck_assert_ptr_nonnull(strstr(text, "sunk=1048576"));
    ck_assert_ptr_nonnull(strstr(text, "Bearer abc"));
    ck_assert_ptr_nonnull(strstr(text, "X-Meridian-Passed-Client: 127.0.0.1"));
    ck_assert_ptr_null(strstr(text, "evil"));
    q.url = "https://contoso.example.test/v2/a/b/blobs/uploads/eastus.0a1b"; // its own stays
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    ck_assert_ptr_nonnull(strstr(text, "listener=0"));
    // targets that would be another path over there
    static const char *const tricks[] = {"/feed/../v2/a/blobs/uploads/westeurope.0a",
                                         "/v2/a%2fb/blobs/uploads/westeurope.0a",
                                         "/%76%32/a/blobs/uploads/westeurope.0a",
                                         "/v2/a/blobs/uploads/x/%2e%2e/westeurope.0a",
                                         "/v2/a/blobs/uploads/westeurope.0a#x",
                                         "/feed/%2e%2e/v2/a/blobs/uploads/westeurope.0a"};
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++) {
        char request[300];
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: contoso.example.test\r\n" CLOSES "\r\n", tricks[i]);
        char *got = raw(request, AS_GLOBAL);
        ck_assert_msg(strncmp(got, "HTTP/1.1 404 ", 13) == 0, "%s\n%s", tricks[i], got);
    }
    region_down(&two);
    q.url = "https://contoso.example.test/v2/a/b/blobs/uploads/westeurope.0a1b";
    own_answer(&q, 503, "UNAVAILABLE"); // that region is down
    tunnels_stop(tunnels);
    // nobody carries it there: the region where it goes on is named, not this one
    own_answer(&q, 503, "UNAVAILABLE");
    ck_assert_int_eq(status_of(&q, text, sizeof text), 503);
    ck_assert_msg(strstr(text, "began in region westeurope and goes on only there") != NULL, "%s",
                  text);
    region_down(&one);
    snapshot_done(&topology);
    world_end();
}
END_TEST

// What came is the sink's, and the client is told why, by the daemon's own words.
START_TEST(test_a_slow_body)
{
    world();
    region_config(&one, "eastus");
    body_rate = 10;
    region_up(&one);
    char *got = raw_while(
        "PATCH /up HTTP/1.1\r\nHost: contoso.example.test\r\nContent-Length: 90\r\n\r\nabcde",
        AS_GLOBAL, "for i in 1 2 3 4 5 6; do sleep 0.5; printf x 2>/dev/null || exit 0; done");
    ck_assert_msg(strncmp(got, "HTTP/1.1 408 ", 13) == 0, "%s", got);
    ck_assert_msg(strstr(got, "fewer than 10 bytes a second") != NULL, "%s", got);
    ck_assert_msg(strstr(got, "X-Meridian-Request-Id: ") != NULL, "%s", got);
    ck_assert_uint_ge(atomic_load(&sunk), 5);
    region_down(&one);
    world_end();
}
END_TEST

START_TEST(test_own_answers)
{
    world();
    region_config(&one, "eastus");
    region_up(&one);
    static char target[20000];
    char said[512];
    memset(target, 'x', sizeof target - 1);
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, "https://contoso.example.test/%s", target);
    struct fetch_request q = to(&one.https, buf_cstr(&b));
    own_answer(&q, 414, "UNSUPPORTED");
    buf_clear(&b);
    buf_printf(&b, "A: %s", target);
    const char *header = buf_cstr(&b);
    q = to(&one.https, "https://contoso.example.test/");
    q.headers = &header, q.n_headers = 1;
    own_answer(&q, 431, "UNSUPPORTED"); // too large a header
    ck_assert_int_eq(status_of(&q, said, sizeof said), 431);
    ck_assert_msg(strstr(said, "larger than 16 KiB") != NULL, "%s", said);
    // small ones, too many of them: the daemon counts
    static char names[101][24];
    const char *many[101];
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        snprintf(names[i], sizeof names[i], "X-%zu: y", i);
        many[i] = names[i];
    }
    q = to(&one.https, "https://contoso.example.test/");
    q.headers = many, q.n_headers = 90;
    ck_assert_int_eq(status_of(&q, NULL, 0), 200);
    q.n_headers = 101;
    own_answer(&q, 431, "UNSUPPORTED");
    ck_assert_int_eq(status_of(&q, said, sizeof said), 431);
    ck_assert_msg(strstr(said, "more than 100 header fields") != NULL, "%s", said);
    q = to(&one.https, "https://contoso.example.test/");
    q.method = "TRACE";
    own_answer(&q, 405, "UNSUPPORTED");
    q.method = "HEAD", q.url = "https://contoso.example.test/_blob/x";
    own_answer(&q, 404, "BLOB_UNKNOWN");
    static const struct {
        const char *request;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\n" CLOSES "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n" CLOSES "\r\n", 400},
        {"GET / HTTP/3.7\r\nHost: contoso.example.test\r\n\r\n", 505},
        {"G@T / HTTP/1.1\r\nHost: contoso.example.test\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: contoso.example.test\r\nTransfer-Encoding: "
         "chunked\r\nContent-Length: "
         "3\r\n\r\n0\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: contoso.example.test\r\nTransfer-Encoding: gzip\r\n" CLOSES
         "\r\n",
         405},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char want[32], *got = raw(rows[i].request, AS_GLOBAL);
        snprintf(want, sizeof want, "HTTP/1.1 %d ", rows[i].status);
        ck_assert_msg(strncmp(got, want, strlen(want)) == 0, "%s\n%s", rows[i].request, got);
        ck_assert_msg(strstr(got, "{\"errors\":[{") && strstr(got, "X-Meridian-Region: eastus"),
                      "%s", got);
    }
    // an absolute target's host is the one that the daemon hears, whatever Host says
    char *got =
        raw("GET https://contoso.example.test/a?b HTTP/1.1\r\nHost: evil.test\r\n" CLOSES "\r\n",
            AS_GLOBAL);
    ck_assert_msg(strstr(got, "GET /a?b host=contoso.example.test ") != NULL, "%s", got);
    got = raw("GET https://evil.test/ HTTP/1.1\r\nHost: contoso.example.test\r\n" CLOSES "\r\n",
              AS_GLOBAL);
    ck_assert_msg(strncmp(got, "HTTP/1.1 421 ", 13) == 0, "%s", got);
    got = raw("GET /v2/x/../y HTTP/1.1\r\nHost: contoso.example.test\r\n" CLOSES "\r\n", AS_GLOBAL);
    ck_assert_msg(strncmp(got, "HTTP/1.1 400 ", 13) == 0, "%s", got);
    region_down(&one);
    world_end();
}
END_TEST

// A large body that is refused unread: the client must hear the refusal, not that the connection
// broke.
START_TEST(test_refused_early)
{
    world();
    region_config(&one, "eastus");
    region_up(&one);
    static uint8_t body[4 << 20];
    char text[512];
    for (int i = 0; i < 40; i++) {
        struct fetch_request q = to(&one.https, "https://contoso.eastus.geo.example.test/refused");
        q.method = "PATCH", q.body = bytes_of(body, sizeof body), q.chunked = i % 2;
        int status = status_of(&q, text, sizeof text);
        ck_assert_msg(status == 401, "%d: %d %s", i, status, text);
    }
    region_down(&one);
    world_end();
}
END_TEST

static _Atomic int stop_asking, asked, refused;

static void *ask_on(void *arg)
{
    (void)arg;
    struct fetch_request q = to(&one.https, "https://contoso.eastus.geo.example.test/x");
    while (!atomic_load(&stop_asking)) {
        q.fresh_connection = atomic_load(&asked) % 2;
        char text[300];
        if (status_of(&q, text, sizeof text) != 200) {
            atomic_fetch_add(&refused, 1);
            fprintf(stderr, "%s\n", text);
        }
        atomic_fetch_add(&asked, 1);
    }
    return NULL;
}

static void asked_more(int n)
{
    for (int from = atomic_load(&asked), i = 0; atomic_load(&asked) < from + n; i++) {
        ck_assert_int_lt(i, 4000);
        clock_sleep_ms(5);
    }
}

static void serial_of(char *out, size_t cap)
{
    char c[600];
    snprintf(c, sizeof c,
             "echo | openssl s_client -connect 127.0.0.1:%u -servername a.eastus.geo.example.test "
             "2>/dev/null | openssl "
             "x509 -noout -serial",
             one.https.port);
    FILE *p = popen(c, "r");
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_nonnull(fgets(out, (int)cap, p));
    pclose(p);
}

static size_t workers_of(pid_t master, char *out, size_t cap)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)master, (int)master);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    size_t n = fread(out, 1, cap - 1, file);
    fclose(file);
    out[n] = 0;
    return n;
}

// Nothing has changed: nginx is not told, its workers stay, and with them the connections that
// clients keep.
START_TEST(test_reload_of_the_same)
{
    world();
    region_config(&one, "eastus");
    region_up(&one);
    struct edge_status s;
    edge_status(one.edge, &s);
    char before[200], after[200];
    for (int i = 0; !workers_of(s.pid, before, sizeof before); i++) { // the ports open first
        ck_assert_int_lt(i, 2000);
        clock_sleep_ms(5);
    }
    ck_assert_int_eq(edge_reload(one.edge, &one.c, NULL), 0);
    // in which a reload would have started others; the case above waits for that
    clock_sleep_ms(300);
    workers_of(s.pid, after, sizeof after);
    ck_assert_str_eq(before, after);
    tls_make_leaf(top, "ca", "region-eastus", "DNS:*.eastus.geo.example.test", one.pem,
                  sizeof one.pem);
    ck_assert_int_eq(edge_reload(one.edge, &one.c, NULL), 0);
    int i = 0;
    do { // a certificate that has changed is another configuration
        ck_assert_int_lt(i++, 500);
        clock_sleep_ms(20);
        workers_of(s.pid, after, sizeof after);
    } while (!strcmp(before, after));
    region_down(&one);
    world_end();
}
END_TEST

START_TEST(test_reload)
{
    world();
    region_config(&one, "eastus");
    region_up(&one);
    char before[100], after[100];
    serial_of(before, sizeof before);
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, ask_on, NULL), 0);
    for (int i = 0; i < 3; i++) {
        asked_more(10);
        tls_make_leaf(top, "ca", "region-eastus", "DNS:*.eastus.geo.example.test", one.pem,
                      sizeof one.pem);
        ck_assert_int_eq(edge_reload(one.edge, &one.c, NULL), 0);
    }
    int i = 0;
    do {
        ck_assert_int_lt(i++, 100);
        clock_sleep_ms(20);
        serial_of(after, sizeof after);
    } while (!strcmp(before, after));
    struct edge_config c = one.c; // refused: the old one serves on
    c.region_pem = "/nowhere/at.all";
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(edge_reload(one.edge, &c, &d), ERR_INVAL);
    char *said = diag_text(&d);
    ck_assert_ptr_nonnull(strstr(said, "/nowhere/at.all"));
    free(said);
    diag_done(&d);
    asked_more(10);
    atomic_store(&stop_asking, 1);
    for (i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    ck_assert_int_eq(atomic_load(&refused), 0);
    struct edge_status s;
    edge_status(one.edge, &s);
    ck_assert_int_eq(s.state, EDGE_RUNNING);
    ck_assert_uint_eq(s.n_restarts, 0);
    ck_assert_ptr_nonnull(strstr(s.last_error, "/nowhere/at.all"));
    region_down(&one);
    world_end();
}
END_TEST

// Processes of the group that still run; zombies, which somebody else has yet to reap, do not.
static int group_alive(pid_t group)
{
    int n = 0;
    DIR *d = opendir("/proc");
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));) {
        char p[300], text[512];
        snprintf(p, sizeof p, "/proc/%s/stat", e->d_name);
        FILE *in = e->d_name[0] >= '0' && e->d_name[0] <= '9' ? fopen(p, "r") : NULL;
        char state;
        int parent, pgrp;
        if (in && fgets(text, sizeof text, in) && strrchr(text, ')') &&
            sscanf(strrchr(text, ')') + 1, " %c %d %d", &state, &parent, &pgrp) == 3 &&
            pgrp == group && state != 'Z')
            n++;
        if (in)
            fclose(in);
    }
    closedir(d);
    return n;
}

static void *ask_gate(void *arg)
{
    struct fetch_request q = to(&one.https, "https://contoso.eastus.geo.example.test/gate");
    *(int *)arg = status_of(&q, NULL, 0);
    return NULL;
}

static void *open_gate_later(void *arg)
{
    clock_sleep_ms(300);
    atomic_store(&gate_open, 1);
    return arg;
}

// Both families, workers that are not root, a ceiling for one address, and a stop that waits for a
// transfer.
START_TEST(test_listeners_users_limits_drain)
{
    world();
    region_config(&one, "eastus");
    struct endpoint both[2] = {one.https};
    char text[64];
    snprintf(text, sizeof text, "[::1]:%u", one.https.port);
    ck_assert_int_eq(endpoint_parse(text, 0, &both[1]), 0);
    one.c.https = both, one.c.n_https = 2, one.c.per_client = 1;
    bool root = geteuid() == 0;
    if (root) {
        one.c.user = "nobody";
        one.c.group = getgrgid(getpwnam("nobody")->pw_gid)->gr_name;
        ck_assert_int_eq(chmod(top, 0755), 0);
    }
    region_daemon(&one);
    if (root) // as the daemon gives its sockets to the edge's group
        ck_assert_int_eq(chmod(one.pub, 0666), 0);
    struct diag d;
    diag_init(&d);
    int rc = edge_start(&one.c, &d, &one.edge);
    diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_int_eq(rc, 0);
    struct edge_status s;
    edge_status(one.edge, &s);
    struct fetch_request q = to(&both[1], "https://contoso.eastus.geo.example.test/x");
    char body[4096];
    ck_assert_int_eq(status_of(&q, body, sizeof body), 200);
    ck_assert_ptr_nonnull(strstr(body, "client=::1 "));
    q = to(&one.https, "https://contoso.eastus.geo.example.test/v2/a/blobs/sha256:1");
    ck_assert_int_eq(status_of(&q, body, sizeof body), 200); // blobs too, as that user
    int status = 0;
    pthread_t t, opener;
    ck_assert_int_eq(pthread_create(&t, NULL, ask_gate, &status), 0);
    for (int i = 0; !atomic_load(&gated); i++) {
        ck_assert_int_lt(i, 5000);
        clock_sleep_ms(2);
    }
    q = to(&one.https, "https://contoso.eastus.geo.example.test/x");
    own_answer(&q, 429, "TOOMANYREQUESTS");
    ck_assert_int_eq(pthread_create(&opener, NULL, open_gate_later, NULL), 0);
    edge_stop(one.edge, 10000), one.edge = NULL;
    pthread_join(t, NULL);
    pthread_join(opener, NULL);
    ck_assert_int_eq(status, 200); // in flight: finished
    ck_assert(!tls_port_open(one.https.port));
    ck_assert_int_eq(group_alive(s.pid), 0);
    region_down(&one);
    world_end();
}
END_TEST

// It fails at once, again and again: the waits double up to their cap.
START_TEST(test_backoff_cap)
{
    world();
    region_config(&one, "eastus");
    region_up(&one);
    struct edge_status s;
    edge_status(one.edge, &s);
    kill(s.pid, SIGKILL);
    char conf[200];
    snprintf(conf, sizeof conf, "%s/nginx.conf", one.dir);
    ck_assert_int_eq(file_write_atomic(conf, "broken", 6, 0600), 0);
    for (int i = 0; group_alive(s.pid); i++) {
        ck_assert_int_lt(i, 2000);
        clock_sleep_ms(5);
    }
    clock_virtual_set(1700000000000);
    int64_t waits[10];
    for (size_t k = 0; k < ARRAY_LEN(waits);) {
        edge_tick(one.edge);
        edge_status(one.edge, &s);
        if (s.state == EDGE_BACKOFF) {
            waits[k++] = s.next_try_ms - clock_mono_ms();
            clock_virtual_advance(waits[k - 1]);
            edge_tick(one.edge); // tries again
        } else
            usleep(2000); // the child's death takes real time
    }
    for (size_t k = 0; k < ARRAY_LEN(waits); k++)
        ck_assert_int_eq(waits[k], k < 7 ? 100 << k : 10000);
    ck_assert_uint_eq(s.n_restarts, ARRAY_LEN(waits) - 1);
    clock_virtual_off();
    region_down(&one);
    world_end();
}
END_TEST

START_TEST(test_master_killed)
{
    world();
    region_config(&one, "eastus");
    region_up(&one);
    struct edge_status s;
    char text[300];
    for (unsigned k = 1; k <= 2; k++) {
        edge_status(one.edge, &s);
        pid_t old = s.pid;
        ck_assert_int_gt(old, 0);
        kill(old, SIGKILL);
        for (int i = 0; s.n_restarts < k || s.state != EDGE_RUNNING; i++) {
            ck_assert_int_lt(i, 2000);
            clock_sleep_ms(5);
            edge_tick(one.edge);
            edge_status(one.edge, &s);
        }
        ck_assert_int_ne(s.pid, old);
        for (int i = 0; group_alive(old); i++) {
            ck_assert_int_lt(i, 1000);
            clock_sleep_ms(5);
        }
        ck_assert_ptr_nonnull(strstr(s.last_error, "signal 9"));
        tls_wait_port(one.https.port);
    }
    struct fetch_request q = to(&one.https, "https://contoso.eastus.geo.example.test/x");
    ck_assert_int_eq(status_of(&q, text, sizeof text), 200);
    region_down(&one);
    ck_assert(!tls_port_open(one.https.port));
    world_end();
}
END_TEST

// Ports closed and no process left, or the test fails.
static void nothing_left(pid_t master)
{
    for (int i = 0;
         tls_port_open(one.https.port) || tls_port_open(one.peer_at.port) || group_alive(master);
         i++) {
        ck_assert_msg(i < 4000, "nginx stayed behind");
        clock_sleep_ms(5);
    }
}

// A supervisor in a process of its own that has started its edge; its pid and nginx's.
static pid_t supervisor_fork(pid_t *out_master)
{
    int say[2];
    ck_assert_int_eq(pipe(say), 0);
    pid_t supervisor = fork();
    if (!supervisor) {
        struct edge_status s;
        if (edge_start(&one.c, NULL, &one.edge))
            _exit(1);
        edge_status(one.edge, &s);
        if (write(say[1], &s.pid, sizeof s.pid) != sizeof s.pid)
            _exit(1);
        for (;;)
            clock_sleep_ms(1000);
    }
    close(say[1]);
    ck_assert_int_eq(read(say[0], out_master, sizeof *out_master), sizeof *out_master);
    close(say[0]);
    for (int i = 0; group_alive(*out_master) < 2; i++) { // the master and its worker
        ck_assert_int_lt(i, 4000);
        clock_sleep_ms(5);
    }
    return supervisor;
}

START_TEST(test_parent_killed)
{
    world();
    region_config(&one, "eastus");
    fetcher_free(f), f = NULL; // no threads across the fork
    pool_free(pool), pool = NULL;
    pid_t master, supervisor = supervisor_fork(&master);
    kill(supervisor, SIGKILL);
    waitpid(supervisor, NULL, 0);
    nothing_left(master);
    if (geteuid() == 0) { // the master killed, and nobody there who could clean up after it
        supervisor = supervisor_fork(&master);
        kill(supervisor, SIGSTOP);
        kill(master, SIGKILL);
        nothing_left(master);
        kill(supervisor, SIGKILL);
        waitpid(supervisor, NULL, 0);
    }
    world_end();
}
END_TEST

START_TEST(test_start_refused)
{
    world();
    region_config(&one, "eastus");
    struct diag d;
    diag_init(&d);
    struct edge *e = NULL;
    one.c.shared_pem = "/nowhere/shared.pem";
    ck_assert_int_eq(edge_start(&one.c, &d, &e), ERR_INVAL);
    ck_assert_ptr_null(e);
    one.c.shared_pem = one.shared;
    one.c.nginx = "/nowhere/nginx";
    ck_assert_int_eq(edge_start(&one.c, &d, &e), ERR_INVAL);
    char *said = diag_text(&d);
    ck_assert_ptr_nonnull(strstr(said, "/nowhere/shared.pem"));
    ck_assert_ptr_nonnull(strstr(said, "cannot be executed"));
    free(said);
    diag_done(&d);
    one.c.nginx = "/usr/sbin/nginx";
    char odd[200];
    snprintf(odd, sizeof odd, "%s/odd", top);
    one.c.region_pem = odd;
    // a link, a pipe that nobody writes to, a stranger's file
    for (int kind = 0; kind < (geteuid() ? 2 : 3); kind++) {
        if (kind == 0)
            ck_assert_int_eq(symlink(one.pem, odd), 0);
        else if (kind == 1)
            ck_assert_int_eq(mkfifo(odd, 0600), 0);
        else
            ck_assert_int_eq(file_write_atomic(odd, "x", 1, 0600) || chown(odd, 12345, 12345), 0);
        diag_init(&d);
        ck_assert_int_eq(edge_start(&one.c, &d, &e), ERR_INVAL);
        ck_assert_msg(d.n == 1 && strstr(d.lines[0], odd), "%s",
                      d.n ? d.lines[0] : "nothing was said");
        diag_done(&d);
        ck_assert_int_eq(unlink(odd), 0);
    }
    one.c.region_pem = one.pem; // a port that is taken
    struct sockaddr_storage ss;
    socklen_t n = endpoint_to_sockaddr(&one.https, &ss);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, n), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    diag_init(&d);
    ck_assert_int_eq(edge_start(&one.c, &d, &e), ERR_IO);
    said = diag_text(&d);
    ck_assert_ptr_nonnull(strstr(said, "in use"));
    free(said);
    diag_done(&d);
    close(fd);
    world_end();
}
END_TEST

CHECK_MAIN("net/edge", test_render, test_render_protocols, test_requests, test_private_addresses,
           test_private_addresses_checked, test_the_admin_listener_is_apart, test_blobs, test_peers,
           test_a_slow_body, test_own_answers, test_refused_early, test_reload,
           test_reload_of_the_same, test_listeners_users_limits_drain, test_backoff_cap,
           test_master_killed, test_parent_killed, test_start_refused)
