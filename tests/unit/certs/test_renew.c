// SPDX-License-Identifier: Apache-2.0
// certs/renew and certs/serve: renewal ahead of expiry where the CA is, a peer certificate that
// waits for the topology, and the CA's answers to other regions.
#include "base/clock.h"
#include "base/clock_test.h"
#include "certs/certs.h"
#include "certs/signed_request.h"
#include "net/http_test.h"
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

static struct region_keys *keys_of(const char *region)
{
    struct region_keys *k = NULL;
    const char *dir = fixture_path(region);
    ck_assert_int_eq(region_keys_create(dir, region, NULL), 0);
    ck_assert_int_eq(region_keys_open(dir, region, NULL, &k), 0);
    return k;
}

static const char *retired; // since when westeurope's key is; NULL: it is in use

static const char *feed_key_line(const struct region_keys *k)
{
    static char line[320];
    snprintf(line, sizeof line, "    feed_keys: [{ id: %s, key: \"%s\"%s%s%s }]\n",
             region_keys_feed_id(k), region_keys_feed_spki(k), retired ? ", retired: \"" : "",
             retired ? retired : "", retired ? "\"" : "");
    return line;
}

// The same two regions; eastus answers for the CA and may pin a fingerprint, both may have a feed
// key.
static struct topology *topology_with(unsigned version, const char *pinned,
                                      const struct region_keys *east,
                                      const struct region_keys *west)
{
    AUTO_FREE char *prints = mem_printf("    peer_fingerprints: [\"%s\"]\n", pinned ? pinned : "");
    AUTO_FREE char *pin =
        mem_printf("  eastus:\n%s%s", pinned ? prints : "", east ? feed_key_line(east) : "");
    AUTO_FREE char *key = mem_printf("  westeurope:\n%s", west ? feed_key_line(west) : "");
    AUTO_FREE char *y = mem_printf(
        "version: %u\ndomain: meridian.test\nhostmaster: hostmaster@meridian.test\nregions:\n"
        "  - {name: eastus, stamps: [{name: eus-1, ipv4: [127.10.0.1]}], peer: "
        "\"127.10.0.1:8443\"}\n"
        "  - {name: westeurope, stamps: [{name: weu-1, ipv4: [127.10.0.2]}], peer: "
        "\"127.10.0.2:8443\"}\n"
        "name_servers: [eus-1.eastus]\nregistries:\n"
        "  - name: contoso\n    replicas: [{region: eastus}, {region: westeurope}]\n"
        "certificates: {ca_region: eastus}\n%s%s%s",
        version, pinned || east || west ? "identities:\n" : "", pinned || east ? pin : "",
        west ? key : "");
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(y, strlen(y), "test.yaml", &d, &t))
        diag_print(&d, stderr);
    ck_assert_ptr_nonnull(t);
    diag_done(&d);
    return t;
}

static struct topology *topology_make(unsigned version, const char *pinned)
{
    return topology_with(version, pinned, NULL, NULL);
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
    ck_assert_int_eq(certs_enrol(fixture_path("certs"), ca, t, "eastus", true, lifetime_s, NULL),
                     0);
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
    struct cert_info region = inspect(CERT_REGION), shared = inspect(CERT_SHARED),
                     peer = inspect(CERT_PEER);
    struct certs *c = start("eastus", fixture_path("ca"));
    ck_assert(changes(CERT_REGION, region.fingerprint));
    ck_assert(changes(CERT_SHARED, shared.fingerprint));
    for (int64_t end = clock_mono_ms() + 20000;
         clock_mono_ms() < end && !inspect(CERT_PEER).next_fingerprint[0];)
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
    ck_assert_str_eq(
        json_string_value(json_object_get(json_array_get(status, 2), "nextFingerprint")),
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

static atomic_bool ready;

static bool ready_says(void *ctx, const char *fingerprint)
{
    (void)ctx;
    ck_assert_uint_eq(strlen(fingerprint), 64);
    return atomic_load(&ready);
}

static void waits_says(void *ctx, char *out, size_t cap)
{
    (void)ctx;
    snprintf(out, cap, "westeurope has not stored it yet");
}

// The topology names it already; it is not used before all others trust it, and at once when told.
START_TEST(a_peer_certificate_waits_until_it_may_be_used)
{
    setup(0);
    const struct certs_options o = {.certs_dir = fixture_path("certs"),
                                    .region = "eastus",
                                    .topology = &cell,
                                    .ca_dir = fixture_path("ca"),
                                    .check_s = 3600,
                                    .peer_ready = ready_says,
                                    .peer_waits = waits_says};
    struct certs *c = NULL;
    ck_assert_int_eq(certs_start(&o, NULL, &c), 0);
    struct cert_info before = inspect(CERT_PEER);
    const enum cert_kind kind = CERT_PEER;
    ck_assert_int_eq(certs_renew(c, &kind, NULL), 0);
    struct cert_info waiting = inspect(CERT_PEER);
    ck_assert_uint_eq(strlen(waiting.next_fingerprint), 64);
    snapshot_publish(&cell, topology_make(2, waiting.next_fingerprint));
    ck_assert_int_eq(certs_renew(c, &kind, NULL), 0);
    ck_assert_str_eq(inspect(CERT_PEER).fingerprint, before.fingerprint);
    json_t *status = certs_status_json(c);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(status, 2), "nextWaits")),
                     "westeurope has not stored it yet");
    json_decref(status);
    atomic_store(&ready, true);
    certs_poke(c); // the thread would look in an hour
    ck_assert(changes(CERT_PEER, before.fingerprint));
    ck_assert_str_eq(inspect(CERT_PEER).fingerprint, waiting.next_fingerprint);
    status = certs_status_json(c);
    ck_assert(json_is_null(json_object_get(json_array_get(status, 2), "nextWaits")));
    json_decref(status);
    certs_stop(c);
    teardown();
}
END_TEST

static void trusted_are(const char *first, const char *second)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(file_read(fixture_path(first), 1 << 16, &b), 0);
    if (second)
        ck_assert_int_eq(file_read(fixture_path(second), 1 << 16, &b), 0);
    ck_assert_int_eq(file_write_atomic(fixture_path("certs/ca.pem"), b.p, b.n, 0644), 0);
}

// While the CA is replaced two are trusted, and what either issued is good; once the old one is
// dropped, what it issued is renewed by itself.
START_TEST(another_ca_takes_over_while_both_are_trusted)
{
    setup(0);
    ck_assert_int_eq(ca_create(fixture_path("ca2"), "meridian.test", NULL), 0);
    struct cert_info old = inspect(CERT_REGION);
    struct certs *c = start("eastus", fixture_path("ca2"));
    const enum cert_kind kind = CERT_REGION;
    ck_assert_int_lt(certs_renew(c, &kind, NULL), 0); // nobody trusts it yet
    ck_assert_str_eq(inspect(CERT_REGION).fingerprint, old.fingerprint);
    trusted_are("ca/ca.pem", "ca2/ca.pem");
    ck_assert_str_eq(inspect(CERT_REGION).problem, "");
    ck_assert_int_eq(certs_renew(c, &kind, NULL), 0);
    struct cert_info now = inspect(CERT_REGION), shared = inspect(CERT_SHARED);
    ck_assert_str_eq(now.problem, "");
    ck_assert_str_ne(now.issuer, old.issuer);
    ck_assert_str_eq(shared.problem, "");
    ck_assert_str_eq(shared.issuer, old.issuer);
    certs_stop(c);
    trusted_are("ca2/ca.pem", NULL);
    ck_assert_int_eq(inspect(CERT_REGION).fault, CERT_FINE);
    ck_assert_int_eq(inspect(CERT_SHARED).fault, CERT_FOREIGN);
    c = start("eastus", fixture_path("ca2"));
    ck_assert(changes(CERT_SHARED, shared.fingerprint));
    ck_assert_str_eq(inspect(CERT_SHARED).problem, "");
    certs_stop(c);
    // beside what is no CA's certificate none counts
    trusted_are("ca2/ca.pem", "certs/region.pem");
    ck_assert_int_eq(inspect(CERT_REGION).fault, CERT_NO_CA);
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
    ck_assert_ptr_nonnull(strstr(
        json_string_value(json_object_get(json_array_get(status, 0), "lastError")), "ca_dir"));
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

// --- a clock that is not to be dated by ---

static atomic_int clock_rc;

static int clock_says(void *ctx, char *why, size_t cap)
{
    (void)ctx;
    snprintf(why, cap, "its clock is 45.000 s behind westeurope");
    return atomic_load(&clock_rc);
}

// Expired, it would open no door: neither to those who are to be asked, nor to clocks to compare with.
START_TEST(a_peer_certificate_that_ends_is_replaced_whoever_lacks_the_next_one)
{
    setup(2);
    atomic_store(&ready, false);
    atomic_store(&clock_rc, 0);
    const struct certs_options o = {.certs_dir = fixture_path("certs"),
                                    .region = "eastus",
                                    .topology = &cell,
                                    .ca_dir = fixture_path("ca"),
                                    .check_s = 1,
                                    .clock_ok = clock_says,
                                    .peer_ready = ready_says,
                                    .peer_waits = waits_says};
    struct certs *c = NULL;
    struct cert_info before = inspect(CERT_PEER);
    ck_assert_int_eq(certs_start(&o, NULL, &c), 0);
    const enum cert_kind kind = CERT_PEER;
    ck_assert_int_eq(certs_renew(c, &kind, NULL), 0);
    struct cert_info waiting = inspect(CERT_PEER);
    ck_assert_str_eq(waiting.fingerprint, before.fingerprint); // the topology does not name it
    atomic_store(&clock_rc, ERR_BUSY);
    snapshot_publish(&cell, topology_make(2, waiting.next_fingerprint));
    ck_assert(changes(CERT_PEER, before.fingerprint));
    ck_assert_str_eq(inspect(CERT_PEER).fingerprint, waiting.next_fingerprint);
    certs_stop(c);
    teardown();
}
END_TEST

// By a clock that is known to be wrong nothing ends.
START_TEST(a_wrong_clock_ends_no_peer_certificate)
{
    setup(2);
    atomic_store(&ready, false);
    atomic_store(&clock_rc, 0);
    const struct certs_options o = {.certs_dir = fixture_path("certs"),
                                    .region = "eastus",
                                    .topology = &cell,
                                    .ca_dir = fixture_path("ca"),
                                    .check_s = 3600,
                                    .clock_ok = clock_says,
                                    .peer_ready = ready_says};
    struct certs *c = NULL;
    ck_assert_int_eq(certs_start(&o, NULL, &c), 0);
    struct cert_info before = inspect(CERT_PEER);
    const enum cert_kind kind = CERT_PEER;
    ck_assert_int_eq(certs_renew(c, &kind, NULL), 0);
    atomic_store(&clock_rc, ERR_CONFLICT);
    snapshot_publish(&cell, topology_make(2, inspect(CERT_PEER).next_fingerprint));
    ck_assert_int_eq(certs_renew(c, &kind, NULL), 0);
    ck_assert_str_eq(inspect(CERT_PEER).fingerprint, before.fingerprint);
    certs_stop(c);
    teardown();
}
END_TEST

static void suspect_says(void *ctx, const char *region, char *out, size_t cap)
{
    (void)ctx;
    snprintf(out, cap, "the clock of %s is suspect", region ? region : "nobody");
}

static struct certs *start_clocked(const char *ca_dir)
{
    const struct certs_options o = {.certs_dir = fixture_path("certs"),
                                    .region = "eastus",
                                    .topology = &cell,
                                    .ca_dir = ca_dir,
                                    .check_s = 1,
                                    .on_renewed = on_renewed,
                                    .clock_ok = clock_says,
                                    .clock_suspect = suspect_says};
    struct certs *c = NULL;
    ck_assert_int_eq(certs_start(&o, NULL, &c), 0);
    return c;
}

static bool error_comes(struct certs *c, const char *part)
{
    struct cert_info info;
    char error[CERTS_ERROR_SIZE];
    for (int64_t end = clock_mono_ms() + 20000; clock_mono_ms() < end; clock_sleep_ms(20))
        if (!certs_look(c, CERT_REGION, &info, error) && strstr(error, part))
            return true;
    return false;
}

START_TEST(nothing_is_issued_by_a_clock_that_is_wrong_or_not_compared)
{
    setup(60); // all are due
    struct cert_info before = inspect(CERT_REGION);
    atomic_store(&clock_rc, ERR_BUSY);
    struct certs *c = start_clocked(fixture_path("ca"));
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(certs_renew(c, NULL, &d), ERR_BUSY);
    ck_assert(fixture_says(&d, "is not compared with the other regions' yet"));
    diag_done(&d);
    atomic_store(&clock_rc, ERR_CONFLICT);
    ck_assert(error_comes(
        c, "by the clock of eastus, which is far from the other regions': its clock is 45.000 s"));
    ck_assert_str_eq(inspect(CERT_REGION).fingerprint, before.fingerprint);
    ck_assert_int_eq(certs_renew(c, NULL, NULL), ERR_CONFLICT);
    ck_assert_str_eq(inspect(CERT_REGION).fingerprint, before.fingerprint);
    atomic_store(&clock_rc, 0);
    ck_assert(changes(CERT_REGION, before.fingerprint)); // by itself, without a long wait
    certs_stop(c);
    teardown();
}
END_TEST

// The dates of what is here do not fit the clock of this node: who is suspect stands in the
// problem.
START_TEST(a_date_that_does_not_fit_names_the_suspect_clock)
{
    setup(0);
    atomic_store(&clock_rc, 0);
    struct certs *c = start_clocked(NULL);
    struct cert_info info;
    char error[CERTS_ERROR_SIZE];
    clock_virtual_set(clock_wall_ms() - 400000);
    ck_assert_int_eq(certs_look(c, CERT_REGION, &info, error), 0);
    ck_assert_int_eq(info.fault, CERT_NOT_VALID_YET);
    ck_assert_str_eq(info.problem, "not valid yet; the clock of eastus is suspect");
    clock_virtual_off();
    certs_stop(c);
    teardown();
}
END_TEST

START_TEST(what_a_ca_dated_wrongly_is_not_taken)
{
    setup(0);
    struct arena a;
    arena_init(&a, 0);
    struct cert_plan plan;
    struct topology *t = snapshot_get(&cell);
    ck_assert_int_eq(cert_plan(t, "eastus", CERT_REGION, &a, &plan), 0);
    AUTO_BUF struct buf csr, pem;
    buf_init(&csr, 0);
    buf_init(&pem, 0);
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(cert_request(&plan, NULL, &key, &csr), 0);
    struct ca *ca = NULL;
    ck_assert_int_eq(ca_open(fixture_path("ca"), NULL, &ca), 0);
    clock_virtual_set(clock_wall_ms() + 3600000); // the CA's clock is an hour ahead
    ck_assert_int_eq(ca_issue(ca, &plan, bytes_of(csr.p, csr.n), 0, NULL, &pem), 0);
    clock_virtual_off();
    AUTO_AUTHORITIES pem_authorities *root = cert_ca_of(fixture_path("certs"), NULL);
    struct cert_info before = inspect(CERT_REGION);
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(cert_install(fixture_path("certs"), "region.pem", bytes_of(pem.p, pem.n), key,
                                  &plan, root, "the clock of westeurope is suspect", &d),
                     ERR_EXPIRED);
    ck_assert(fixture_says(&d, "is not valid now: it begins at "));
    ck_assert(fixture_says(&d, "; the clock of westeurope is suspect"));
    diag_done(&d);
    ck_assert_str_eq(inspect(CERT_REGION).fingerprint, before.fingerprint);
    EVP_PKEY_free(key);
    ca_close(ca);
    snapshot_unref(t);
    arena_done(&a);
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

static int ask(const char *method, const char *target, const char *body,
               enum http_listener listener, struct buf *out)
{
    const struct http_app app = {.begin = begin};
    struct http_request *req = http_request_test_new(method, target, "eastus.peer.meridian.test");
    struct http_response resp;
    req->listener = listener;
    http_request_test_body(req, body, strlen(body));
    http_app_test_run(&app, req, 100, &resp);
    if (out) {
        buf_clear(out);
        buf_add(out, resp.body.p, resp.body.n);
    }
    int status = resp.status;
    http_request_test_free(req);
    return status;
}

#define NONCE "/certs/v1/nonce"
#define RENEW "/certs/v1/renew"

struct asking { // a request of westeurope's for its regional certificate
    struct arena arena;
    struct region_keys *keys;
    struct cert_plan plan;
    EVP_PKEY *key;
    struct buf csr, text, answer;
    char nonce[NONCE_TEXT_SIZE];
};

static void asking_begin(struct asking *q)
{
    setup(0);
    arena_init(&q->arena, 0);
    q->keys = keys_of("westeurope");
    snapshot_publish(&cell, topology_with(2, NULL, NULL, q->keys));
    struct topology *t = snapshot_get(&cell);
    ck_assert_int_eq(cert_plan(t, "westeurope", CERT_REGION, &q->arena, &q->plan), 0);
    snapshot_unref(t);
    buf_init(&q->csr, 0);
    buf_init(&q->text, 0);
    buf_init(&q->answer, 0);
    ck_assert_int_eq(cert_request(&q->plan, NULL, &q->key, &q->csr), 0);
    serving = start("eastus", fixture_path("ca"));
}

static void asking_end(struct asking *q)
{
    certs_stop(serving);
    EVP_PKEY_free(q->key);
    region_keys_free(q->keys);
    buf_done(&q->csr);
    buf_done(&q->text);
    buf_done(&q->answer);
    arena_done(&q->arena);
    teardown();
}

static void peer_is(const char *region)
{
    static struct topology *t;
    snapshot_unref(t);
    t = snapshot_get(&cell);
    serving_peer = region ? topology_region(t, region) : NULL;
    if (region)
        ck_assert_ptr_nonnull(serving_peer);
    else {
        snapshot_unref(t);
        t = NULL;
    }
}

static void take_nonce(struct asking *q)
{
    ck_assert_int_eq(ask("POST", NONCE, "", LISTENER_PEER, &q->answer), 200);
    json_t *o = json_loadb(q->answer.p, q->answer.n, 0, NULL);
    snprintf(q->nonce, sizeof q->nonce, "%s", json_string_value(json_object_get(o, "nonce")));
    ck_assert_uint_eq(strlen(q->nonce), NONCE_TEXT_SIZE - 1);
    json_decref(o);
}

// Asks with what is given, signed by `keys`; the status. The answer is kept.
static int ask_signed(struct asking *q, struct region_keys *keys, const char *region,
                      enum cert_kind kind)
{
    const struct signed_request s = {.domain = "meridian.test",
                                     .region = region,
                                     .kind = kind,
                                     .nonce = q->nonce,
                                     .csr = buf_cstr(&q->csr)};
    buf_clear(&q->text);
    ck_assert_int_eq(signed_request_format(&s, keys, &q->text), 0);
    return ask("POST", RENEW, buf_cstr(&q->text), LISTENER_PEER, &q->answer);
}

static bool answer_says(struct asking *q, const char *part)
{
    return strstr(buf_cstr(&q->answer), part) != NULL;
}

START_TEST(a_ca_whose_clock_is_wrong_refuses_in_words)
{
    struct asking q = {0};
    asking_begin(&q);
    certs_stop(serving);
    atomic_store(&clock_rc, ERR_CONFLICT);
    serving = start_clocked(fixture_path("ca"));
    peer_is("westeurope");
    take_nonce(&q);
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 503);
    ck_assert(answer_says(
        &q, "no certificate is issued or renewed by the clock of eastus, which is far"));
    atomic_store(&clock_rc, 0);
    take_nonce(&q);
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 200);
    asking_end(&q);
}
END_TEST

START_TEST(the_ca_answers_a_region_for_itself_only)
{
    struct asking q = {0};
    asking_begin(&q);
    peer_is("westeurope");
    take_nonce(&q);
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 200);
    AUTO_AUTHORITIES pem_authorities *root = cert_ca_of(fixture_path("certs"), NULL);
    ck_assert_int_eq(cert_install(fixture_path("certs"), "other.pem",
                                  bytes_of(q.answer.p, q.answer.n), q.key, &q.plan, root, NULL,
                                  NULL),
                     0);
    ck_assert_int_eq(ask("GET", RENEW, "", LISTENER_PEER, NULL), 405);
    ck_assert_int_eq(ask("GET", NONCE, "", LISTENER_PEER, NULL), 405);
    ck_assert_int_eq(ask("POST", RENEW, "{}", LISTENER_PUBLIC, NULL), 403);
    ck_assert_int_eq(ask("POST", NONCE, "", LISTENER_PUBLIC, NULL), 403);
    ck_assert_int_eq(ask("POST", "/certs/v1/other", "", LISTENER_PEER, NULL), 404);
    take_nonce(&q);
    // another's, by its own key
    ck_assert_int_eq(ask_signed(&q, q.keys, "eastus", CERT_REGION), 403);
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_PEER), 403); // names of another kind
    ck_assert(answer_says(&q, "is not in the peer plan"));
    peer_is("eastus"); // westeurope's request with eastus's certificate
    take_nonce(&q);
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 403);
    peer_is(NULL);
    ck_assert_int_eq(ask("POST", RENEW, "{}", LISTENER_PEER, NULL), 403);
    ck_assert_int_eq(ask("POST", NONCE, "", LISTENER_PEER, NULL), 403);
    peer_is("westeurope");
    certs_stop(serving);
    serving = start("eastus", NULL);
    ck_assert_int_eq(ask("POST", RENEW, "{}", LISTENER_PEER, NULL), 404);
    ck_assert_int_eq(ask("POST", NONCE, "", LISTENER_PEER, NULL), 404);
    peer_is(NULL);
    asking_end(&q);
}
END_TEST

// What the edge of the CA's node could send: the public certificate of another region is all that
// its header says.
START_TEST(a_peer_certificate_alone_gets_no_certificate)
{
    struct asking q = {0};
    asking_begin(&q);
    struct region_keys *other = keys_of("eastus");
    peer_is("westeurope");
    ck_assert_int_eq(ask("POST", RENEW "?kind=region", buf_cstr(&q.csr), LISTENER_PEER, &q.answer),
                     403);
    ck_assert(answer_says(&q, "not signed with the feed key of westeurope"));
    ck_assert(answer_says(&q, "upgrade meridiand there"));
    ck_assert_int_eq(ask("POST", RENEW, "{}", LISTENER_PEER, &q.answer), 403);
    take_nonce(&q);
    // a key that the topology does not have
    ck_assert_int_eq(ask_signed(&q, other, "westeurope", CERT_REGION), 403);
    ck_assert(answer_says(&q, "has no feed key"));
    // another region's, and its own has left
    snapshot_publish(&cell, topology_with(3, NULL, other, NULL));
    peer_is("westeurope");
    ck_assert_int_eq(ask_signed(&q, other, "westeurope", CERT_REGION), 403);
    ck_assert(answer_says(&q, "has no feed key"));
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 403);
    ck_assert(answer_says(&q, "has no feed key"));
    retired = "2030-01-01T00:00:00Z"; // whenever: it may verify old entries, and no more
    snapshot_publish(&cell, topology_with(4, NULL, NULL, q.keys));
    peer_is("westeurope");
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 403);
    ck_assert(answer_says(&q, "has no feed key"));
    retired = NULL;
    snapshot_publish(&cell, topology_with(5, NULL, other, q.keys));
    peer_is("westeurope");
    // none of it used the nonce up
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 200);
    peer_is(NULL);
    region_keys_free(other);
    asking_end(&q);
}
END_TEST

static void byte_changes(struct asking *q, const char *in, char to)
{
    char *at = strstr(q->text.p, in);
    ck_assert_ptr_nonnull(at);
    at[strlen(in)] = at[strlen(in)] == to ? 'A' : to;
}

START_TEST(a_signed_request_is_good_once_and_as_it_was_signed)
{
    struct asking q = {0};
    asking_begin(&q);
    peer_is("westeurope");
    take_nonce(&q);
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 200);
    // the same once more
    ck_assert_int_eq(ask("POST", RENEW, q.text.p, LISTENER_PEER, &q.answer), 403);
    ck_assert(answer_says(&q, "nonce"));
    snprintf(q.nonce, sizeof q.nonce, "%064d", 7); // one that nobody gave
    ck_assert_int_eq(ask_signed(&q, q.keys, "westeurope", CERT_REGION), 403);
    static const char *const parts[] = {"\\\"nonce\\\":\\\"", "BEGIN CERTIFICATE REQUEST-----\\\\n",
                                        "\"signature\":\""};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        take_nonce(&q);
        buf_clear(&q.text);
        const struct signed_request s = {.domain = "meridian.test",
                                         .region = "westeurope",
                                         .kind = CERT_REGION,
                                         .nonce = q.nonce,
                                         .csr = buf_cstr(&q.csr)};
        ck_assert_int_eq(signed_request_format(&s, q.keys, &q.text), 0);
        (void)buf_cstr(&q.text);
        byte_changes(&q, parts[i], 'B');
        ck_assert_int_eq(ask("POST", RENEW, q.text.p, LISTENER_PEER, &q.answer), 403);
        ck_assert_msg(answer_says(&q, "its signature is not of"), "%s: %s", parts[i],
                      buf_cstr(&q.answer));
    }
    peer_is(NULL);
    asking_end(&q);
}
END_TEST

START_TEST(nonces_are_bounded_end_and_belong_to_one_region)
{
    static struct nonces n;
    char first[NONCE_TEXT_SIZE], text[NONCE_TEXT_SIZE], other[NONCE_TEXT_SIZE];
    nonces_init(&n);
    ck_assert_int_eq(nonces_give(&n, "eastus", 1000, first), 0);
    ck_assert(!nonces_take(&n, "westeurope", first, 1001));
    ck_assert(nonces_take(&n, "eastus", first, 1001));
    ck_assert(!nonces_take(&n, "eastus", first, 1001));
    ck_assert_int_eq(nonces_give(&n, "eastus", 1000, text), 0);
    ck_assert(!nonces_take(&n, "eastus", text, 1000 + NONCE_LIFE_MS)); // too late
    ck_assert_int_eq(nonces_give(&n, "westeurope", 2000, other), 0);
    ck_assert_int_eq(nonces_give(&n, "eastus", 2000, first), 0);
    for (unsigned i = 0; i < 2 * NONCES_MAX; i++) // one region asks and asks: its own oldest goes
        ck_assert_int_eq(nonces_give(&n, "eastus", 2001 + i, text), 0);
    ck_assert(!nonces_take(&n, "eastus", first, 3000));
    ck_assert(nonces_take(&n, "eastus", text, 3000));
    ck_assert(nonces_take(&n, "westeurope", other, 3000));
    char name[HOSTNAME_REGION_SIZE];
    int rc = 0, given = 0;
    for (unsigned i = 0; !rc && i <= NONCES_MAX; i++, given++) { // more regions than a topology has
        snprintf(name, sizeof name, "r%u", i);
        rc = nonces_give(&n, name, 4000, text);
    }
    ck_assert_int_eq(rc, ERR_BUSY);
    ck_assert_int_ge(given, NONCES_MAX - NONCES_PER_REGION);
    ck_assert_int_eq(nonces_give(&n, "eastus", 4000 + NONCE_LIFE_MS, text), 0);
    nonces_done(&n);
}
END_TEST

CHECK_MAIN("certs/renew", certificates_near_their_end_are_renewed_and_the_edge_told,
           renewal_now_replaces_what_is_fine, another_ca_takes_over_while_both_are_trusted,
           a_peer_certificate_waits_until_it_may_be_used,
           a_peer_certificate_that_ends_is_replaced_whoever_lacks_the_next_one,
           a_wrong_clock_ends_no_peer_certificate,
           a_renewal_that_fails_leaves_the_old_file_and_says_why,
           what_a_crash_left_beside_is_harmless_and_what_is_damaged_is_replaced,
           nothing_is_issued_by_a_clock_that_is_wrong_or_not_compared,
           a_date_that_does_not_fit_names_the_suspect_clock, what_a_ca_dated_wrongly_is_not_taken,
           a_ca_whose_clock_is_wrong_refuses_in_words, the_ca_answers_a_region_for_itself_only,
           a_peer_certificate_alone_gets_no_certificate,
           a_signed_request_is_good_once_and_as_it_was_signed,
           nonces_are_bounded_end_and_belong_to_one_region)
