// SPDX-License-Identifier: Apache-2.0
// daemon/app and daemon/admin: which endpoint was called, and what is refused before any room sees
// it.
#include "daemon/app.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "health/deep.h"
#include "net/http_test.h"
#include "registry/signed_url.h"
#include "store/files/files.h"
#include "store/sqlite/sqlite_store.h"
#include "tests/support/check_main.h"

#include <string.h>
#include <unistd.h>

static const char document[] =
    "version: 3\n"
    "domain: example.io\n"
    "hostmaster: hostmaster@example.io\n"
    "regions:\n"
    "  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }], peer: \"192.0.2.1:8443\" }\n"
    "  - { name: westeurope, stamps: [{ name: weu-1, ipv4: [192.0.2.2] }], peer: "
    "\"192.0.2.2:8443\" }\n"
    "name_servers: [eus-1.eastus]\n"
    "registries:\n"
    "  - { name: contoso, regional_endpoints: enabled, replicas: [{ region: eastus }, { region: "
    "westeurope }] }\n"
    "  - { name: quiet, regional_endpoints: disabled, replicas: [{ region: eastus }] }\n"
    "  - { name: western, regional_endpoints: enabled, replicas: [{ region: westeurope }] }\n"
    "  - { name: fenced, regional_endpoints: enabled, public_access: [198.51.100.0/24], replicas: "
    "[{ region: eastus }, { region: westeurope }] "
    "}\n"
    "views:\n  - { name: corp, sources: [10.1.0.0/16] }\n  - { name: lab, sources: [10.2.0.0/16] "
    "}\n"
    // not in DNS yet, or not any more
    "private_endpoints:\n  - { name: p, registry: fenced, view: corp, stage: edge, addresses: { "
    "registry: 10.1.0.4 } }\n"
    "identities:\n"
    "  westeurope: { peer_fingerprints: "
    "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa] }\n";

static struct node node = {.region = "eastus", .stamp = "eus-1"};
static struct vitals vitals = {.lock = PTHREAD_MUTEX_INITIALIZER,
                               .impairment.lock = PTHREAD_MUTEX_INITIALIZER,
                               .conditions.lock = PTHREAD_MUTEX_INITIALIZER};
static struct snapshot topology_cell;
static struct app app = {.node = &node, .topology = &topology_cell, .vitals = &vitals};

static void setup(void)
{
    struct diag d;
    diag_init(&d);
    struct topology *t = NULL;
    if (topology_parse(document, strlen(document), "test.yaml", &d, &t)) {
        diag_print(&d, stderr);
        ck_abort_msg("the test's topology does not parse");
    }
    diag_done(&d);
    snapshot_init(&topology_cell);
    snapshot_publish(&topology_cell, t);
    conditions_init(&vitals.conditions);
}

// Status of one request; the response's headers are looked at by `check` when given.
static char last_body[2048];
static uint8_t last_whole[64 << 10];
static size_t n_last_whole;

static int ask(void (*begin)(void *, struct http_request *, struct http_plan *), const char *method,
               const char *host, const char *path, const char *client, const char *fingerprint)
{
    struct http_request *req = http_request_test_new(method, path, host);
    ck_assert_ptr_nonnull(req);
    req->listener = begin == app_begin_peer ? LISTENER_PEER : LISTENER_PUBLIC;
    req->peer_cert_fingerprint = fingerprint;
    ck_assert_int_eq(ip_parse(client, &req->client), 0);
    const struct http_app http = {.begin = begin, .finish = app_finish, .ctx = &app};
    struct http_response resp = {0};
    http_app_test_run(&http, req, 1024, &resp);
    ck_assert_str_eq(http_response_get(&resp, "X-Meridian-Region"), "eastus");
    ck_assert_str_eq(http_response_get(&resp, "X-Meridian-Stamp"), "eus-1");
    ck_assert_ptr_nonnull(http_response_get(&resp, "X-Meridian-Request-Id"));
    int status = resp.status;
    n_last_whole = resp.body.n < sizeof last_whole ? resp.body.n : sizeof last_whole;
    memcpy(last_whole, resp.body.p, n_last_whole);
    snprintf(last_body, sizeof last_body, "%.*s", (int)resp.body.n, (const char *)resp.body.p);
    http_request_test_free(req);
    return status;
}

START_TEST(endpoints_that_do_not_live_here_are_misdirected)
{
    setup();
    static const struct {
        const char *host;
        // 404: the endpoint is here, but nothing is served under the path
        int status;
    } rows[] = {
        {"contoso.example.io", 404},
        {"CONTOSO.example.io:443", 404},
        {"contoso.eastus.geo.example.io", 404},
        {"contoso.privatelink.example.io", 404},
        {"contoso.eastus.geo.privatelink.example.io", 404},
        // another region, although it has a replica there
        {"contoso.westeurope.geo.example.io", 421},
        {"contoso.eastus.data.example.io", 421}, // data endpoints are off
        {"quiet.example.io", 404},
        {"quiet.eastus.geo.example.io", 421}, // regional endpoints are off
        {"western.example.io", 421},          // no replica here
        {"western.eastus.geo.example.io", 421},
        {"nobody.example.io", 421},
        {"eus-1.eastus.fe.example.io", 421},
        {"example.io", 421},
        {"example.com", 421},
        {"192.0.2.1", 421},
        {"", 421},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int got = ask(app_begin_public, "GET", rows[i].host, "/nothing", "203.0.113.5", NULL);
        ck_assert_msg(got == rows[i].status, "%s: %d, want %d", rows[i].host, got, rows[i].status);
    }
    snapshot_done(&topology_cell);
}
END_TEST

START_TEST(network_rules_are_judged_by_the_transport_address)
{
    setup();
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "fenced.example.io", "/nothing", "198.51.100.9", NULL), 404);
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "fenced.example.io", "/nothing", "203.0.113.5", NULL), 403);
    // the sources of its private endpoint's view, also while that is at the edge alone
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "fenced.example.io", "/nothing", "10.1.2.3", NULL), 404);
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "fenced.example.io", "/nothing", "10.2.2.3", NULL), 403);
    snapshot_done(&topology_cell);
}
END_TEST

// Who comes by an address of the registry's private endpoint is in it, whatever the view's sources
// say; and by none of another registry's, nor by one that has no row any more.
START_TEST(who_came_by_a_private_endpoint_is_admitted)
{
    setup();
    static const struct {
        const char *by;
        int status;
    } rows[] = {{"p", 404}, {NULL, 403}, {"q", 403}, {"", 403}, {"p2", 403}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int passed = 0; passed < 2; passed++) {
            struct http_request *req =
                http_request_test_new("GET", "/nothing", "fenced.example.io");
            struct http_response resp = {0};
            struct http_app http = {.begin = app_begin_public, .finish = app_finish, .ctx = &app};
            ck_assert_int_eq(ip_parse("203.0.113.5", &req->client), 0);
            if (passed) {
                http.begin = app_begin_peer;
                req->listener = LISTENER_PEER;
                req->peer_cert_fingerprint =
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
                http_request_test_header(req, EDGE_HEADER_PASSED, "203.0.113.5");
                if (rows[i].by)
                    http_request_test_header(req, EDGE_HEADER_PASSED_PRIVATE, rows[i].by);
            } else {
                req->listener = LISTENER_PUBLIC;
                req->private_endpoint = rows[i].by;
            }
            http_app_test_run(&http, req, 1024, &resp);
            ck_assert_msg(resp.status == rows[i].status, "%zu, %d: %d, want %d", i, passed,
                          resp.status, rows[i].status);
            http_request_test_free(req);
        }
    snapshot_done(&topology_cell);
}
END_TEST

START_TEST(health_says_down_when_the_store_takes_no_writes)
{
    setup();
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "eus-1.eastus.fe.example.io", "/healthz", "203.0.113.5", NULL),
        200);
    condition_set(&vitals.conditions, CONDITION_STORE, CONDITION_DOWN, "blobs cannot be written");
    condition_set(&vitals.conditions, CONDITION_METADATA, CONDITION_DOWN,
                  "entries cannot be written: no space left");
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "eus-1.eastus.fe.example.io", "/healthz", "203.0.113.5", NULL),
        503);
    ck_assert_ptr_nonnull(strstr(last_body, "\"reason\":\"entries cannot be written\""));
    condition_clear(&vitals.conditions, CONDITION_METADATA);
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "eus-1.eastus.fe.example.io", "/healthz", "203.0.113.5", NULL),
        503);
    ck_assert_ptr_nonnull(strstr(last_body, "\"reason\":\"blobs cannot be written\""));
    ck_assert_int_eq(ask(app_begin_public, "DELETE", "eus-1.eastus.fe.example.io", "/healthz",
                         "203.0.113.5", NULL),
                     405);
    snapshot_done(&topology_cell);
}
END_TEST

// 503 as for down, so that load balancers and resolvers of the version before lead elsewhere; in
// words another thing.
START_TEST(health_says_short_when_the_disk_takes_no_content)
{
    setup();
    vitals.disk = (struct space_view){.disk = {.free_bytes = 1000}, .reserve_bytes = 5000};
    atomic_store(&vitals.headroom, 10);
    condition_set(&vitals.conditions, CONDITION_DISK, CONDITION_SHORT, "1000 bytes free");
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "eus-1.eastus.fe.example.io", "/healthz", "203.0.113.5", NULL),
        503);
    ck_assert_str_eq(
        last_body,
        "{\"status\":\"short\",\"reason\":\"the disk is full up to its reserve: pulls are "
        "served, pushes are refused\"}");
    ck_assert_int_eq(ask(app_begin_peer, "GET", "eastus.peer.example.io", "/healthz", "192.0.2.2",
                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                     503);
    ck_assert_ptr_nonnull(strstr(last_body, "\"status\":\"short\""));
    ck_assert_ptr_nonnull(strstr(last_body, "\"severity\":\"short\""));
    ck_assert_ptr_nonnull(strstr(last_body, "\"sentence\":\"1000 bytes free\""));
    ck_assert_ptr_nonnull(strstr(last_body, "\"diskFreeBytes\":1000,\"diskReserveBytes\":5000"));
    ck_assert_ptr_nonnull(strstr(last_body, "\"headroom\":10")); // it serves what it has
    // down is worse
    condition_set(&vitals.conditions, CONDITION_TOKEN_SIGNING, CONDITION_DOWN, "no key");
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "eus-1.eastus.fe.example.io", "/healthz", "203.0.113.5", NULL),
        503);
    ck_assert_str_eq(last_body, "{\"status\":\"down\",\"reason\":\"tokens cannot be signed\"}");
    condition_clear(&vitals.conditions, CONDITION_TOKEN_SIGNING);
    condition_clear(&vitals.conditions, CONDITION_DISK);
    ck_assert_int_eq(
        ask(app_begin_public, "GET", "eus-1.eastus.fe.example.io", "/healthz", "203.0.113.5", NULL),
        200);
    snapshot_done(&topology_cell);
}
END_TEST

// Its readers take no more (health/deep.h), however much is wrong.
START_TEST(the_deep_document_is_bounded)
{
    setup();
    static char longest[CONDITION_SENTENCE_SIZE];
    memset(longest, '"', sizeof longest - 1); // escaped: twice as long
    for (int i = 0; i < N_CONDITIONS; i++)
        condition_set(&vitals.conditions, (enum condition)i, CONDITION_WARNING, "%s", longest);
    for (int i = 0; i < IMPAIRMENT_FAULTS * IMPAIRMENT_MAX; i++) {
        char label[HOSTNAME_LABEL_SIZE];
        snprintf(label, sizeof label, "%050d", i / IMPAIRMENT_FAULTS);
        impairment_fault(&vitals.impairment, label, clock_mono_ms());
    }
    const char *known = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    ck_assert_int_eq(
        ask(app_begin_peer, "GET", "eastus.peer.example.io", "/healthz", "192.0.2.2", known), 200);
    struct health_deep d;
    ck_assert_int_eq(health_deep_parse(bytes_of(last_whole, n_last_whole), "eastus", &d), 0);
    ck_assert_uint_eq(d.n_impaired, IMPAIRMENT_MAX);
    impairment_init(&vitals.impairment);
    snapshot_done(&topology_cell);
}
END_TEST

START_TEST(peers_are_known_by_their_fingerprint)
{
    setup();
    const char *known = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const char *stranger = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    ck_assert_int_eq(
        ask(app_begin_peer, "GET", "eastus.peer.example.io", "/healthz", "192.0.2.2", known), 200);
    ck_assert_int_eq(ask(app_begin_peer, "POST", "eastus.peer.example.io", "/health/v1/observation",
                         "192.0.2.2", known),
                     404); // no resolver here
    ck_assert_int_eq(ask(app_begin_peer, "POST", "eastus.peer.example.io", "/health/v1/observation",
                         "192.0.2.2", stranger),
                     403);
    ck_assert_int_eq(ask(app_begin_public, "POST", "contoso.eastus.geo.example.io",
                         "/health/v1/observation", "192.0.2.2", NULL),
                     404);
    ck_assert_int_eq(
        ask(app_begin_peer, "GET", "eastus.peer.example.io", "/healthz", "192.0.2.2", stranger),
        403);
    ck_assert_int_eq(
        ask(app_begin_peer, "GET", "eastus.peer.example.io", "/healthz", "192.0.2.2", NULL), 403);
    ck_assert_int_eq(
        ask(app_begin_peer, "GET", "fenced.example.io", "/nothing", "192.0.2.2", known), 404);
    snapshot_done(&topology_cell);
}
END_TEST

// What a region's edge passes on for a client has that client's rights, not the region's.
START_TEST(passed_on_requests_carry_the_clients_authority_only)
{
    setup();
    static const struct {
        const char *host, *path, *client;
        int status;
    } rows[] = {
        {"fenced.example.io", "/nothing", "198.51.100.9", 404}, // inside the registry's networks
        {"fenced.example.io", "/nothing", "203.0.113.5", 403},
        {"contoso.example.io", "/nothing", "203.0.113.5", 404},
        {"contoso.example.io", "/certs/v1/renew", "203.0.113.5", 404}, // regions only
        // the region has no clients there
        {"quiet.example.io", "/nothing", "203.0.113.5", 403},
        {"eastus.peer.example.io", "/healthz", "203.0.113.5", 421},
        {"contoso.example.io", "/nothing", "not an address", 400},
        {"contoso.example.io", "/nothing", "", 400},
    };
    const struct http_app http = {.begin = app_begin_peer, .finish = app_finish, .ctx = &app};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request *req = http_request_test_new("GET", rows[i].path, rows[i].host);
        req->listener = LISTENER_PEER;
        req->peer_cert_fingerprint =
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        http_request_test_header(req, EDGE_HEADER_PASSED, rows[i].client);
        struct http_response resp = {0};
        http_app_test_run(&http, req, 1024, &resp);
        ck_assert_msg(resp.status == rows[i].status, "%zu: %d, want %d", i, resp.status,
                      rows[i].status);
        ck_assert(req->listener == LISTENER_PUBLIC && !req->peer_cert_fingerprint);
        http_request_test_free(req);
    }
    snapshot_done(&topology_cell);
}
END_TEST

START_TEST(admin_is_for_root_and_the_daemon)
{
    setup();
    const struct http_app http = {.begin = app_begin_admin, .finish = app_finish, .ctx = &app};
    static const struct {
        const char *method, *path;
        unsigned uid;
        int status;
    } rows[] = {
        {"GET", "/v1/status", 12345, 403},
        {"GET", "/v1/nothing", 0, 404},
        {"POST", "/v1/status", 0, 404},
        {"GET", "/v1/health", 0, 404},
        {"GET", "/v1/dns/explain?name=x", 0, 400},
        {"POST", "/v1/health/force?region=eastus&state=sideways", 0, 400},
        {"POST", "/v1/certs/renew?kind=everything", 0, 400},
        {"GET", "/v1/replication", 0, 404},
        {"GET", "/v1/status", 0, 200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request *req = http_request_test_new(rows[i].method, rows[i].path, "admin");
        req->listener = LISTENER_ADMIN;
        req->peer_uid = rows[i].uid;
        struct http_response resp = {0};
        http_app_test_run(&http, req, 1024, &resp);
        ck_assert_msg(resp.status == rows[i].status, "%s %s: %d, want %d", rows[i].method,
                      rows[i].path, resp.status, rows[i].status);
        http_request_test_free(req);
    }
    snapshot_done(&topology_cell);
}
END_TEST

// --- with a registry behind it ---

static char dir[] = "app-test-XXXXXX";
static const uint8_t url_key[SIGNED_URL_KEY_BYTES] = {5};
static struct blob_store *blobs;

static int sign_nothing(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    (void)ctx, (void)p, (void)n;
    memset(sig, 0, ENTRY_SIG_BYTES);
    return 0;
}

static void registry_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    AUTO_FREE char *store = mem_printf("%s/store", dir), *db = mem_printf("%s/meta.db", dir);
    ck_assert_int_eq(blob_files_open(store, &blobs), 0);
    const struct meta_options mo = {
        .region = "eastus", .key_id = "eastus-feed-0", .sign = sign_nothing};
    ck_assert_int_eq(sqlite_meta_open(db, &mo, NULL, &app.meta), 0);
    meta_gate_open(app.meta, META_GATE_RECOVERY);
    const struct registry_service_options o = {
        .region = "eastus", .blobs = blobs, .meta = app.meta, .url_key = url_key};
    ck_assert_int_eq(registry_service_new(&o, &app.registry), 0);
}

static void registry_down(void)
{
    registry_service_free(take_ptr(app.registry));
    meta_close(take_ptr(app.meta));
    blob_store_close(blobs);
    dir_remove_tree(dir);
}

START_TEST(a_challenge_leads_to_the_host_that_was_called)
{
    setup();
    registry_up();
    static const char *const hosts[] = {"contoso.example.io", "contoso.privatelink.example.io",
                                        "contoso.eastus.geo.example.io",
                                        "contoso.eastus.geo.privatelink.example.io"};
    const struct http_app http = {.begin = app_begin_public, .finish = app_finish, .ctx = &app};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct http_request *req = http_request_test_new("GET", "/v2/", hosts[i]);
        struct http_response resp = {0};
        http_app_test_run(&http, req, 0, &resp);
        AUTO_FREE char *realm = mem_printf(
            "realm=\"https://%s/oauth2/token\",service=\"contoso.example.io\"", hosts[i]);
        const char *said = http_response_get(&resp, "WWW-Authenticate");
        ck_assert_msg(said && strstr(said, realm), "%s: %s", hosts[i],
                      said ? said : "no challenge");
        http_request_test_free(req);
    }
    registry_down();
    snapshot_done(&topology_cell);
}
END_TEST

// The whole way from the Host header: the router's idea of the endpoint must not widen what was
// signed.
START_TEST(a_signed_url_holds_at_the_host_that_stands_in_it)
{
    setup();
    registry_up();
    static const struct {
        const char *host;
        // 404: the signature holds, and there is no such upload
        int status;
    } rows[] = {
        {"contoso.eastus.geo.example.io", 404},
        {"Contoso.EastUS.geo.example.io.:8443", 404},
        {"contoso.eastus.geo.privatelink.example.io", 401},
        {"contoso.example.io", 401},
        {"contoso.privatelink.example.io", 401},
    };
    struct signed_url u = {.kind = "upload",
                           .methods = SIGNED_URL_UPLOAD_METHODS,
                           .host = "contoso.eastus.geo.example.io",
                           .registry = "contoso",
                           .repository = "team/app",
                           .object = "eastus.0123456789abcdef0123456789abcdef",
                           .principal = "ada",
                           .expires_s = clock_wall_ms() / 1000 + 60};
    struct arena a;
    const char *value;
    arena_init(&a, 0);
    ck_assert_int_eq(signed_url_make(url_key, &u, &a, &value), 0);
    AUTO_FREE char *target = mem_printf("/v2/team/app/blobs/uploads/%s?sig=%s", u.object, value);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int got = ask(app_begin_public, "GET", rows[i].host, target, "203.0.113.5", NULL);
        ck_assert_msg(got == rows[i].status, "%s: %d, want %d", rows[i].host, got, rows[i].status);
    }
    arena_done(&a);
    registry_down();
    snapshot_done(&topology_cell);
}
END_TEST

CHECK_MAIN("daemon/app", a_challenge_leads_to_the_host_that_was_called,
           a_signed_url_holds_at_the_host_that_stands_in_it,
           endpoints_that_do_not_live_here_are_misdirected,
           network_rules_are_judged_by_the_transport_address,
           who_came_by_a_private_endpoint_is_admitted,
           health_says_down_when_the_store_takes_no_writes,
           health_says_short_when_the_disk_takes_no_content, the_deep_document_is_bounded,
           peers_are_known_by_their_fingerprint,
           passed_on_requests_carry_the_clients_authority_only, admin_is_for_root_and_the_daemon)
