// SPDX-License-Identifier: Apache-2.0
// certs/joiner: the key stays where it was made, a joiner that was killed is the same one, and what
// comes back is judged.
#include "certs/joiner.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/unit/certs/certs_fixture.h"

static struct buf asked(const char *dir)
{
    struct buf csr;
    buf_init(&csr, 0);
    ck_assert_int_eq(certs_join_request(fixture_path(dir), "meridian.test", "eastus", NULL, &csr),
                     0);
    return csr;
}

static struct certs *ca_node(void)
{
    static struct snapshot cell;
    struct certs *c = NULL;
    ca_close(fixture_ca());
    ck_assert_int_eq(region_keys_create(fixture_path("keys"), "eastus", NULL), 0);
    struct certs_options o = {.certs_dir = fixture_path("node"),
                              .region = "eastus",
                              .topology = &cell,
                              .ca_dir = fixture_path("ca")};
    ck_assert_int_eq(certs_start(&o, NULL, &c), 0);
    return c;
}

START_TEST(a_joiner_asks_installs_and_is_enrolled)
{
    fixture_setup();
    struct certs *c = ca_node();
    AUTO_BUF struct buf csr = asked("joiner"), again = asked("joiner"), pem, ca;
    buf_init(&pem, 0);
    buf_init(&ca, 0);
    ck_assert_str_eq(csr.p, again.p); // a retry is the same joiner
    ck_assert_ptr_null(strstr(csr.p, "PRIVATE"));
    ck_assert_int_eq(
        certs_issue_joiner(c, &fixture_topology, "eastus", bytes_of(csr.p, csr.n), NULL, &pem), 0);
    ck_assert_int_eq(file_read(fixture_path("ca/ca.pem"), 1 << 20, &ca), 0);
    struct bytes ca_pem = bytes_of(ca.p, ca.n), cert = bytes_of(pem.p, pem.n);
    ck_assert_int_eq(
        certs_join_install(fixture_path("joiner"), "meridian.test", "eastus", ca_pem, cert, NULL),
        0);
    struct cert_info info;
    ck_assert_int_eq(
        certs_inspect(fixture_path("joiner"), &fixture_topology, "eastus", CERT_PEER, &info), 0);
    ck_assert_str_eq(info.problem, "");
    char fingerprint[65];
    ck_assert_int_eq(certs_fingerprint(cert, fingerprint), 0);
    ck_assert_str_eq(fingerprint, info.fingerprint);
    struct stat st;
    ck_assert_int_eq(stat(fixture_path("joiner/peer.pem"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    certs_join_done(fixture_path("joiner"));
    AUTO_BUF struct buf other = asked("joiner");
    ck_assert_str_ne(csr.p, other.p);
    certs_stop(c);
    fixture_teardown();
}
END_TEST

START_TEST(what_the_ca_did_not_give_is_refused)
{
    fixture_setup();
    struct certs *c = ca_node();
    AUTO_BUF struct buf csr = asked("joiner"), theirs = asked("other"), pem, ca, foreign;
    buf_init(&pem, 0);
    buf_init(&ca, 0);
    buf_init(&foreign, 0);
    ck_assert_int_eq(certs_issue_joiner(c, &fixture_topology, "eastus",
                                        bytes_of(theirs.p, theirs.n), NULL, &pem),
                     0);
    ck_assert_int_eq(file_read(fixture_path("ca/ca.pem"), 1 << 20, &ca), 0);
    const char *dir = fixture_path("joiner");
    struct bytes ca_pem = bytes_of(ca.p, ca.n), cert = bytes_of(pem.p, pem.n);
    // for another key; of no form; of another CA
    ck_assert_int_eq(certs_join_install(dir, "meridian.test", "eastus", ca_pem, cert, NULL),
                     ERR_PROTO);
    ck_assert_int_eq(
        certs_join_install(dir, "meridian.test", "eastus", ca_pem, bytes_str("x"), NULL),
        ERR_PROTO);
    ck_assert_int_eq(ca_create(fixture_path("ca2"), "meridian.test", NULL), 0);
    ck_assert_int_eq(file_read(fixture_path("ca2/ca.pem"), 1 << 20, &foreign), 0);
    buf_clear(&pem);
    ck_assert_int_eq(
        certs_issue_joiner(c, &fixture_topology, "eastus", bytes_of(csr.p, csr.n), NULL, &pem), 0);
    ck_assert_int_eq(certs_join_install(dir, "meridian.test", "eastus",
                                        bytes_of(foreign.p, foreign.n), bytes_of(pem.p, pem.n),
                                        NULL),
                     ERR_CRYPTO);
    // a region gets no other region's names, and nodes without the CA issue nothing
    buf_clear(&pem);
    ck_assert_int_eq(
        certs_issue_joiner(c, &fixture_topology, "westeurope", bytes_of(csr.p, csr.n), NULL, &pem),
        ERR_DENIED);
    ck_assert_int_eq(
        certs_issue_joiner(NULL, &fixture_topology, "eastus", bytes_of(csr.p, csr.n), NULL, &pem),
        ERR_UNSUPPORTED);
    ck_assert_uint_eq(pem.n, 0);
    certs_stop(c);
    fixture_teardown();
}
END_TEST

CHECK_MAIN("certs/joiner", a_joiner_asks_installs_and_is_enrolled,
           what_the_ca_did_not_give_is_refused)
