// SPDX-License-Identifier: Apache-2.0
// certs/renew and certs/serve: renewal ahead of expiry where the CA is, a peer certificate that waits for the topology,
// and the CA's answers to other regions.
#include "base/clock.h"
#include "certs/certs.h"
#include "tests/support/check_main.h"
#include "tests/unit/certs/certs_fixture.h"

#include <jansson.h>
#include <stdatomic.h>

static struct snapshot cell;
static atomic_int n_renewed;

static void on_renewed(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&n_renewed, 1);
}

// The same two regions; eastus answers for the CA and may pin a fingerprint.
static struct topology *topology_make(unsigned version, const char *pinned)
{
    AUTO_FREE char *y =
        mem_printf("version: %u\ndomain: meridian.test\nhostmaster: hostmaster@meridian.test\nregions:\n"
                   "  - {name: eastus, stamps: [{name: eus-1, ipv4: [127.10.0.1]}], peer: \"127.10.0.1:8443\"}\n"
                   "  - {name: westeurope, stamps: [{name: weu-1, ipv4: [127.10.0.2]}], peer: \"127.10.0.2:8443\"}\n"
                   "name_servers: [eus-1.eastus]\nregistries:\n"
                   "  - name: contoso\n    replicas: [{region: eastus}, {region: westeurope}]\n"
                   "certificates: {ca_region: eastus}\n%s%s%s",
                   version, pinned ? "identities:\n  eastus:\n    peer_fingerprints: [\"" : "", pinned ? pinned : "",
                   pinned ? "\"]\n" : "");
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(y, strlen(y), "test.yaml", &d, &t))
        diag_print(&d, stderr);
    ck_assert_ptr_nonnull(t);
    diag_done(&d);
    return t;
}

static struct certs *start(const char *region, const char *ca_dir)
{
    const struct certs_options o = {.certs_dir = fixture_path("certs"),
                                    .region = region,
                                    .topology = &cell,
                                    .ca_dir = ca_dir,
                                    .check_s = 1,
                                    .on_renewed = on_renewed};
    struct certs *c = NULL;
    ck_assert_int_eq(certs_start(&o, NULL, &c), 0);
    return c;
}

static struct cert_info inspect(enum cert_kind kind)
{
    struct cert_info info;
    struct topology *t = snapshot_get(&cell);
    ck_assert_int_eq(certs_inspect(fixture_path("certs"), t, "eastus", kind, &info), 0);
    snapshot_unref(t);
    return info;
}

// Waits until the file of a kind has another fingerprint than `before`.
static bool changes(enum cert_kind kind, const char *before)
{
    for (int64_t end = clock_mono_ms() + 20000; clock_mono_ms() < end; clock_sleep_ms(20))
        if (strcmp(inspect(kind).fingerprint, before))
            return true;
    return false;
}

static void setup(unsigned lifetime_s)
{
    fixture_setup();
    snapshot_init(&cell);
    snapshot_publish(&cell, topology_make(1, NULL));
    struct ca *ca = fixture_ca();
    struct topology *t = snapshot_get(&cell);
    ck_assert_int_eq(certs_enrol(fixture_path("certs"), ca, t, "eastus", true, lifetime_s, NULL), 0);
    snapshot_unref(t);
    ca_close(ca);
}

static void teardown(void)
{
    snapshot_done(&cell);
    fixture_teardown();
}

START_TEST(certificates_near_their_end_are_renewed_and_the_edge_told)
{
    setup(60); // two thirds of its life, backdating included, are over
    struct cert_info region = inspect(CERT_REGION), shared = inspect(CERT_SHARED), peer = inspect(CERT_PEER);
    struct certs *c = start("eastus", fixture_path("ca"));
    ck_assert(changes(CERT_REGION, region.fingerprint));
    ck_assert(changes(CERT_SHARED, shared.fingerprint));
    for (int64_t end = clock_mono_ms() + 20000; clock_mono_ms() < end && !inspect(CERT_PEER).next_fingerprint[0];)
        clock_sleep_ms(20);
    for (int64_t end = clock_mono_ms() + 20000; clock_mono_ms() < end && !atomic_load(&n_renewed);)
        clock_sleep_ms(20);
    ck_assert_int_ge(atomic_load(&n_renewed), 1);
    ck_assert_str_eq(inspect(CERT_REGION).problem, "");
    ck_assert(inspect(CERT_REGION).renew_at_ms > clock_wall_ms());

    struct cert_info waiting = inspect(CERT_PEER); // the peer certificate waits
    ck_assert_str_eq(waiting.fingerprint, peer.fingerprint);
    ck_assert_uint_eq(strlen(waiting.next_fingerprint), 64);
    const enum cert_kind kind = CERT_PEER;
    ck_assert_int_eq(certs_renew(c, &kind, NULL), 0); // asked again: the same one waits on
    ck_assert_str_eq(inspect(CERT_PEER).next_fingerprint, waiting.next_fingerprint);
    json_t *status = certs_status_json(c);
    ck_assert_uint_eq(json_array_size(status), 3);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(status, 2), "nextFingerprint")),
                     waiting.next_fingerprint);
    json_decref(status);
    snapshot_publish(&cell, topology_make(2, waiting.next_fingerprint));
    ck_assert(changes(CERT_PEER, peer.fingerprint));
    ck_assert_str_eq(inspect(CERT_PEER).fingerprint, waiting.next_fingerprint);
    ck_assert_str_eq(inspect(CERT_PEER).next_fingerprint, "");
    certs_stop(c);
    teardown();
}
END_TEST

START_TEST(renewal_now_replaces_what_is_fine)
{
    setup(0);
    struct cert_info before = inspect(CERT_SHARED), region = inspect(CERT_REGION);
    struct certs *c = start("eastus", fixture_path("ca"));
    const enum cert_kind kind = CERT_SHARED;
    ck_assert_int_eq(certs_renew(c, &kind, NULL), 0);
    ck_assert_str_ne(inspect(CERT_SHARED).fingerprint, before.fingerprint);
    ck_assert_str_eq(inspect(CERT_REGION).fingerprint, region.fingerprint);
    certs_stop(c);
    teardown();
}
END_TEST

START_TEST(a_renewal_that_fails_leaves_the_old_file_and_says_why)
{
    setup(0);
    struct certs *c = start("eastus", NULL); // eastus is the ca_region, and has no CA at hand
    struct cert_info before = inspect(CERT_REGION);
    struct diag d;
    diag_init(&d);
    ck_assert_int_lt(certs_renew(c, NULL, &d), 0);
    ck_assert(fixture_says(&d, "ca_dir"));
    diag_done(&d);
    ck_assert_str_eq(inspect(CERT_REGION).fingerprint, before.fingerprint);
    json_t *status = certs_status_json(c);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(json_array_get(status, 0), "lastError")), "ca_dir"));
    json_decref(status);
    certs_stop(c);
    // A CA that ca.pem does not know: what it issues is not taken.
    ck_assert_int_eq(ca_create(fixture_path("ca2"), "meridian.test", NULL), 0);
    c = start("eastus", fixture_path("ca2"));
    ck_assert_int_lt(certs_renew(c, NULL, NULL), 0);
    ck_assert_str_eq(inspect(CERT_REGION).fingerprint, before.fingerprint);
    certs_stop(c);
    teardown();
}
END_TEST

static void torn_file(const char *name)
{
    ck_assert_int_eq(file_write_atomic(fixture_path(name), "-----BEGIN CERT", 15, 0600), 0);
}

START_TEST(what_a_crash_left_beside_is_harmless_and_what_is_damaged_is_replaced)
{
    setup(0);
    struct cert_info before = inspect(CERT_REGION);
    torn_file("certs/region.pem.tmp"); // a writer died before its rename
    ck_assert_str_eq(inspect(CERT_REGION).fingerprint, before.fingerprint);
    torn_file("certs/shared.pem");
    torn_file("certs/peer-next.pem");
    ck_assert_str_eq(inspect(CERT_SHARED).problem, "holds no certificate");
    ck_assert_str_eq(inspect(CERT_PEER).next_fingerprint, "");
    struct certs *c = start("eastus", fixture_path("ca"));
    ck_assert(changes(CERT_SHARED, ""));
    ck_assert_str_eq(inspect(CERT_SHARED).problem, "");
    certs_stop(c);
    teardown();
}
END_TEST

// --- the CA's side ---

static struct certs *serving;
static const struct region *serving_peer;

static void begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx;
    certs_begin(serving, req, serving_peer, plan);
}

static int ask(const char *method, const char *target, const char *csr, enum http_listener listener, struct buf *out)
{
    const struct http_app app = {.begin = begin};
    struct http_request *req = http_request_test_new(method, target, "eastus.peer.meridian.test");
    struct http_response resp;
    req->listener = listener;
    http_request_test_body(req, csr, strlen(csr));
    http_app_test_run(&app, req, 100, &resp);
    if (out)
        buf_add(out, resp.body.p, resp.body.n);
    int status = resp.status;
    http_request_test_free(req);
    return status;
}

START_TEST(the_ca_answers_a_region_for_itself_only)
{
    setup(0);
    struct topology *t = snapshot_get(&cell);
    struct arena a;
    arena_init(&a, 0);
    struct cert_plan plan;
    ck_assert_int_eq(cert_plan(t, "westeurope", CERT_REGION, &a, &plan), 0);
    AUTO_BUF struct buf csr, pem;
    buf_init(&csr, 0);
    buf_init(&pem, 0);
    EVP_PKEY *made = NULL;
    ck_assert_int_eq(cert_request(&plan, NULL, &made, &csr), 0);
    AUTO_PKEY EVP_PKEY *key = made;
    serving = start("eastus", fixture_path("ca"));
    serving_peer = topology_region(t, "westeurope");
    static const char target[] = "/certs/v1/renew?kind=region";
    ck_assert_int_eq(ask("POST", target, csr.p, LISTENER_PEER, &pem), 200);
    AUTO_X509 X509 *root = cert_ca_of(fixture_path("certs"), NULL);
    ck_assert_int_eq(cert_install(fixture_path("certs"), "other.pem", bytes_of(pem.p, pem.n), key, &plan, root, NULL),
                     0);
    ck_assert_int_eq(ask("GET", target, csr.p, LISTENER_PEER, NULL), 405);
    ck_assert_int_eq(ask("POST", target, csr.p, LISTENER_PUBLIC, NULL), 403);
    ck_assert_int_eq(ask("POST", "/certs/v1/renew?kind=region&region=eastus", csr.p, LISTENER_PEER, NULL), 403);
    ck_assert_int_eq(ask("POST", "/certs/v1/renew?kind=root", csr.p, LISTENER_PEER, NULL), 400);
    ck_assert_int_eq(ask("POST", "/certs/v1/renew", csr.p, LISTENER_PEER, NULL), 400);
    ck_assert_int_eq(ask("POST", "/certs/v1/renew?kind=peer", csr.p, LISTENER_PEER, NULL),
                     403); // names of another kind
    ck_assert_int_eq(ask("POST", "/certs/v1/other", csr.p, LISTENER_PEER, NULL), 404);
    ck_assert_int_eq(ask("POST", target, "junk", LISTENER_PEER, NULL), 403);
    serving_peer = topology_region(t, "eastus"); // westeurope's request from eastus
    ck_assert_int_eq(ask("POST", target, csr.p, LISTENER_PEER, NULL), 403);
    serving_peer = NULL;
    ck_assert_int_eq(ask("POST", target, csr.p, LISTENER_PEER, NULL), 403);
    certs_stop(serving);
    serving_peer = topology_region(t, "westeurope");
    serving = start("eastus", NULL);
    ck_assert_int_eq(ask("POST", target, csr.p, LISTENER_PEER, NULL), 404);
    certs_stop(serving);
    snapshot_unref(t);
    arena_done(&a);
    teardown();
}
END_TEST

CHECK_MAIN("certs/renew", certificates_near_their_end_are_renewed_and_the_edge_told, renewal_now_replaces_what_is_fine,
           a_renewal_that_fails_leaves_the_old_file_and_says_why,
           what_a_crash_left_beside_is_harmless_and_what_is_damaged_is_replaced,
           the_ca_answers_a_region_for_itself_only)
