// SPDX-License-Identifier: Apache-2.0
// certs/plan, certs/ca, certs/enrol: exactly the plan's names, nothing outside it, and what lies on
// disk judged.
#include "certs/ca.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "tests/support/check_main.h"
#include "tests/unit/certs/certs_fixture.h"

#include <openssl/pem.h>

static struct cert_plan plan_of(const char *region, enum cert_kind kind, struct arena *a)
{
    struct cert_plan p;
    ck_assert_int_eq(cert_plan(&fixture_topology, region, kind, a, &p), 0);
    return p;
}

START_TEST(plans_hold_exactly_the_names_of_the_design)
{
    fixture_setup();
    struct arena a;
    arena_init(&a, 0);
    static const char *const region[] = {
        "*.eastus.geo.meridian.test", "*.eastus.data.meridian.test", "*.eastus.fe.meridian.test",
        "*.eastus.geo.privatelink.meridian.test", "*.eastus.data.privatelink.meridian.test"};
    struct cert_plan p = plan_of("eastus", CERT_REGION, &a);
    ck_assert_uint_eq(p.n_dns, ARRAY_LEN(region));
    for (size_t i = 0; i < ARRAY_LEN(region); i++)
        ck_assert_str_eq(p.dns[i], region[i]);
    ck_assert_ptr_null(p.uri);
    ck_assert(!p.client_auth);
    p = plan_of("eastus", CERT_SHARED, &a);
    ck_assert_uint_eq(p.n_dns, 2);
    ck_assert_str_eq(p.dns[0], "*.meridian.test");
    ck_assert_str_eq(p.dns[1], "*.privatelink.meridian.test");
    ck_assert_uint_eq(p.lifetime_s, 7 * 86400);
    ck_assert(cert_plan_covers(&p, "contoso.meridian.test"));
    ck_assert(cert_plan_covers(&p, "Contoso.PrivateLink.meridian.test"));
    ck_assert(!cert_plan_covers(&p, "contoso.eastus.geo.meridian.test"));
    ck_assert(!cert_plan_covers(&p, "meridian.test"));
    ck_assert(!cert_plan_covers(&p, ".meridian.test"));
    p = plan_of("eastus", CERT_REGION, &a);
    ck_assert(cert_plan_covers(&p, "contoso.eastus.geo.meridian.test"));
    ck_assert(!cert_plan_covers(&p, "contoso.westus.geo.meridian.test"));
    p = plan_of("eastus", CERT_PEER, &a);
    ck_assert(cert_plan_covers(&p, "eastus.peer.meridian.test"));
    ck_assert(!cert_plan_covers(&p, "x.eastus.peer.meridian.test"));
    ck_assert_uint_eq(p.n_dns, 1);
    ck_assert_str_eq(p.dns[0], "eastus.peer.meridian.test");
    ck_assert_str_eq(p.uri, "meridian://meridian.test/region/eastus");
    ck_assert(p.client_auth);
    ck_assert_int_eq(cert_plan(&fixture_topology, "east/us", CERT_REGION, &a, &p), ERR_INVAL);
    enum cert_kind kind;
    ck_assert_int_eq(cert_kind_parse("peer", &kind), 0);
    ck_assert_int_eq(kind, CERT_PEER);
    ck_assert_int_eq(cert_kind_parse("Peer", &kind), ERR_INVAL);
    arena_done(&a);
    fixture_teardown();
}
END_TEST

START_TEST(ca_is_made_once_and_private)
{
    fixture_setup();
    struct stat st;
    ca_close(fixture_ca());
    ck_assert_int_eq(ca_create(fixture_path("ca"), "meridian.test", NULL), ERR_EXISTS);
    ck_assert_int_eq(stat(fixture_path("ca"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    ck_assert_int_eq(stat(fixture_path("ca/ca.key"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(chmod(fixture_path("ca/ca.key"), 0644), 0);
    struct ca *ca = NULL;
    ck_assert_int_eq(ca_open(fixture_path("ca"), NULL, &ca), ERR_DENIED);
    ck_assert_int_eq(unlink(fixture_path("ca/ca.key")), 0);
    ck_assert_int_eq(ca_open(fixture_path("ca"), NULL, &ca), ERR_NOTFOUND);
    ck_assert_int_eq(ca_create(fixture_path("x"), "not a domain", NULL), ERR_INVAL);
    fixture_teardown();
}
END_TEST

START_TEST(ca_with_a_foreign_key_is_refused)
{
    fixture_setup();
    ca_close(fixture_ca());
    ck_assert_int_eq(ca_create(fixture_path("ca2"), "meridian.test", NULL), 0);
    ck_assert_int_eq(rename(fixture_path("ca2/ca.key"), fixture_path("ca/ca.key")), 0);
    struct ca *ca = NULL;
    ck_assert_int_eq(ca_open(fixture_path("ca"), NULL, &ca), ERR_CRYPTO);
    fixture_teardown();
}
END_TEST

// --- requests that must be refused ---

struct bad_request {
    const char *what;
    // OpenSSL text; other_ext "basicConstraints=…"
    const char *san, *other_ext;
    const char *subject;
    // NULL: P-256
    const char *key;
    bool torn_signature;
    const char *says;
};

static void request_make(const struct bad_request *r, struct buf *out)
{
    AUTO_PKEY EVP_PKEY *key = !r->key ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                              : !strcmp(r->key, "RSA")
                                  ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, "EC", r->key);
    AUTO_REQ X509_REQ *req = X509_REQ_new();
    ck_assert(X509_REQ_set_pubkey(req, key));
    if (r->subject)
        X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_ASC,
                                   (const unsigned char *)r->subject, -1, -1, 0);
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    if (r->san)
        sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, r->san));
    if (r->other_ext)
        sk_X509_EXTENSION_push(
            exts, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, r->other_ext));
    if (sk_X509_EXTENSION_num(exts))
        ck_assert(X509_REQ_add_extensions(req, exts));
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    AUTO_PKEY EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    ck_assert(X509_REQ_sign(req, r->torn_signature ? other : key, EVP_sha256()));
    AUTO_BIO BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, req);
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    buf_add(out, p, (size_t)n);
}

#define GOOD_NAME "DNS:*.eastus.geo.meridian.test"

static const struct bad_request bad_requests[] = {
    {.what = "another region's name",
     .san = GOOD_NAME ",DNS:*.westeurope.geo.meridian.test",
     .says = "is not in the"},
    {.what = "the shared name", .san = "DNS:*.meridian.test", .says = "is not in the"},
    {.what = "a name below the wildcard",
     .san = "DNS:contoso.eastus.geo.meridian.test",
     .says = "is not in the"},
    {.what = "another domain",
     .san = "DNS:*.eastus.geo.meridian.test.evil.example",
     .says = "is not in the"},
    {.what = "upper case", .san = "DNS:*.EASTUS.geo.meridian.test", .says = "is not in the"},
    {.what = "an address", .san = GOOD_NAME ",IP:127.0.0.1", .says = "of a kind"},
    {.what = "an e-mail address", .san = "email:a@meridian.test", .says = "of a kind"},
    {.what = "a URI not in this plan",
     .san = "URI:meridian://meridian.test/region/eastus",
     .says = "is not in the"},
    {.what = "a name that hides as a URI",
     .san = "URI:*.eastus.geo.meridian.test",
     .says = "malformed"},
    {.what = "a name with a blank",
     .san = "DNS:*.eastus.geo.meridian.test evil",
     .says = "malformed"},
    {.what = "no names", .says = "alternative names"},
    {.what = "to be a CA", .san = GOOD_NAME, .other_ext = "CA:TRUE", .says = "no other extension"},
    {.what = "only to be a CA", .other_ext = "CA:TRUE", .says = "no other extension"},
    {.what = "a subject", .san = GOOD_NAME, .subject = "evil.example", .says = "subject"},
    {.what = "an RSA key", .san = GOOD_NAME, .key = "RSA", .says = "P-256"},
    {.what = "a P-384 key", .san = GOOD_NAME, .key = "P-384", .says = "P-256"},
    {.what = "a secp256k1 key", .san = GOOD_NAME, .key = "secp256k1", .says = "P-256"},
    {.what = "no proof of possession", .san = GOOD_NAME, .torn_signature = true, .says = "prove"},
};

START_TEST(requests_outside_the_plan_are_refused)
{
    fixture_setup();
    struct ca *ca = fixture_ca();
    struct arena a;
    arena_init(&a, 0);
    struct cert_plan plan = plan_of("eastus", CERT_REGION, &a);
    for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
        AUTO_BUF struct buf csr, pem;
        struct diag d;
        diag_init(&d);
        buf_init(&csr, 0);
        buf_init(&pem, 0);
        request_make(&bad_requests[i], &csr);
        int rc = ca_issue(ca, &plan, bytes_of(csr.p, csr.n), 0, &d, &pem);
        ck_assert_msg(rc == ERR_DENIED && !pem.n, "%s: got %s", bad_requests[i].what, err_name(rc));
        ck_assert_msg(fixture_says(&d, bad_requests[i].says), "%s: said \"%s\"",
                      bad_requests[i].what, d.n ? d.lines[0] : "");
        diag_done(&d);
    }
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    static const char *const junk[] = {
        "", "junk",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"};
    for (size_t i = 0; i < ARRAY_LEN(junk); i++)
        ck_assert_int_eq(ca_issue(ca, &plan, bytes_str(junk[i]), 0, NULL, &pem), ERR_DENIED);
    arena_done(&a);
    ca_close(ca);
    fixture_teardown();
}
END_TEST

START_TEST(the_ca_signs_no_other_domain_even_when_the_plan_says_so)
{
    fixture_setup();
    struct ca *ca = fixture_ca();
    struct arena a;
    arena_init(&a, 0);
    fixture_topology.domain = "evil.example";
    struct cert_plan plan = plan_of("eastus", CERT_REGION, &a);
    AUTO_BUF struct buf csr, pem;
    buf_init(&csr, 0);
    buf_init(&pem, 0);
    EVP_PKEY *made = NULL;
    ck_assert_int_eq(cert_request(&plan, NULL, &made, &csr), 0);
    AUTO_PKEY EVP_PKEY *key = made;
    ck_assert_int_eq(ca_issue(ca, &plan, bytes_of(csr.p, csr.n), 0, NULL, &pem), ERR_DENIED);
    ck_assert_uint_eq(pem.n, 0);
    arena_done(&a);
    ca_close(ca);
    fixture_teardown();
}
END_TEST

START_TEST(enrolment_gives_three_good_files)
{
    fixture_setup();
    struct ca *ca = fixture_ca();
    ck_assert_int_eq(
        certs_enrol(fixture_path("certs"), ca, &fixture_topology, "eastus", false, 0, NULL), 0);
    char first[3][65];
    for (int kind = 0; kind < 3; kind++) {
        struct cert_info info;
        struct stat st;
        ck_assert_int_eq(certs_inspect(fixture_path("certs"), &fixture_topology, "eastus",
                                       (enum cert_kind)kind, &info),
                         0);
        ck_assert_msg(info.present && !info.problem[0], "%s: %s",
                      cert_kind_name((enum cert_kind)kind), info.problem);
        ck_assert_int_eq(stat(info.path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert_uint_eq(strlen(info.fingerprint), 64);
        ck_assert(info.not_before_ms <= clock_wall_ms() - 290000); // five minutes in the past
        ck_assert(info.renew_at_ms > info.not_before_ms && info.renew_at_ms < info.not_after_ms);
        ck_assert_ptr_nonnull(strstr(info.issuer, "Meridian private CA"));
        ck_assert_uint_eq(strlen(info.serial), 32);
        snprintf(first[kind], 65, "%s", info.fingerprint);
    }
    // Again without `all`: what is fine stays. A missing one and one for another region are made
    // anew.
    ck_assert_int_eq(unlink(fixture_path("certs/shared.pem")), 0);
    ck_assert_int_eq(
        certs_enrol(fixture_path("certs"), ca, &fixture_topology, "eastus", false, 0, NULL), 0);
    struct cert_info info;
    certs_inspect(fixture_path("certs"), &fixture_topology, "eastus", CERT_REGION, &info);
    ck_assert_str_eq(info.fingerprint, first[CERT_REGION]);
    certs_inspect(fixture_path("certs"), &fixture_topology, "eastus", CERT_SHARED, &info);
    ck_assert_str_eq(info.problem, "");
    ck_assert_str_ne(info.fingerprint, first[CERT_SHARED]);
    certs_inspect(fixture_path("certs"), &fixture_topology, "westeurope", CERT_REGION, &info);
    ck_assert_ptr_nonnull(strstr(info.problem, "lacks the name *.westeurope.geo.meridian.test"));
    ck_assert_int_eq(
        certs_enrol(fixture_path("certs"), ca, &fixture_topology, "eastus", true, 0, NULL), 0);
    certs_inspect(fixture_path("certs"), &fixture_topology, "eastus", CERT_PEER, &info);
    ck_assert_str_ne(info.fingerprint, first[CERT_PEER]);
    ca_close(ca);
    fixture_teardown();
}
END_TEST

static void file_join(const char *to, const char *cert_of, const char *key_of)
{
    AUTO_BUF struct buf c, k, both;
    buf_init(&c, 0);
    buf_init(&k, 0);
    buf_init(&both, 0);
    ck_assert_int_eq(file_read(cert_of, 65536, &c), 0);
    ck_assert_int_eq(file_read(key_of, 65536, &k), 0);
    AUTO_X509 X509 *x = pem_parse_x509(bytes_of(c.p, c.n));
    AUTO_PKEY EVP_PKEY *key = pem_parse_key(bytes_of(k.p, k.n));
    pem_add_x509(&both, x);
    pem_add_key(&both, key);
    ck_assert_int_eq(file_write_atomic(to, both.p, both.n, 0600), 0);
}

START_TEST(inspection_names_each_problem)
{
    fixture_setup();
    struct ca *ca = fixture_ca();
    struct cert_info info;
    const char *dir = fixture_path("certs");
    certs_inspect(dir, &fixture_topology, "eastus", CERT_REGION, &info);
    ck_assert_str_eq(info.problem, "missing");
    ck_assert(!info.present);
    ck_assert_int_eq(certs_enrol(dir, ca, &fixture_topology, "eastus", true, 100, NULL), 0);
    int64_t now = clock_wall_ms();
    clock_virtual_set(now + 101000);
    certs_inspect(dir, &fixture_topology, "eastus", CERT_REGION, &info);
    ck_assert_str_eq(info.problem, "expired");
    clock_virtual_set(now - 400000);
    certs_inspect(dir, &fixture_topology, "eastus", CERT_REGION, &info);
    ck_assert_str_eq(info.problem, "not valid yet");
    clock_virtual_off();
    ck_assert_int_eq(chmod(fixture_path("certs/region.pem"), 0644), 0);
    certs_inspect(dir, &fixture_topology, "eastus", CERT_REGION, &info);
    ck_assert_ptr_nonnull(strstr(info.problem, "chmod 600"));
    file_join(fixture_path("certs/region.pem"), fixture_path("certs/region.pem"),
              fixture_path("certs/shared.pem"));
    certs_inspect(dir, &fixture_topology, "eastus", CERT_REGION, &info);
    ck_assert_ptr_nonnull(strstr(info.problem, "does not match"));
    ck_assert_int_eq(file_write_atomic(fixture_path("certs/region.pem"), "junk", 4, 0600), 0);
    certs_inspect(dir, &fixture_topology, "eastus", CERT_REGION, &info);
    ck_assert_str_eq(info.problem, "holds no certificate");
    ck_assert_int_eq(ca_create(fixture_path("ca2"), "meridian.test", NULL), 0);
    ck_assert_int_eq(rename(fixture_path("ca2/ca.pem"), fixture_path("certs/ca.pem")), 0);
    certs_inspect(dir, &fixture_topology, "eastus", CERT_SHARED, &info);
    ck_assert_ptr_nonnull(strstr(info.problem, "not issued by"));
    ca_close(ca);
    fixture_teardown();
}
END_TEST

CHECK_MAIN("certs/ca", plans_hold_exactly_the_names_of_the_design, ca_is_made_once_and_private,
           ca_with_a_foreign_key_is_refused, requests_outside_the_plan_are_refused,
           the_ca_signs_no_other_domain_even_when_the_plan_says_so,
           enrolment_gives_three_good_files, inspection_names_each_problem)
