// SPDX-License-Identifier: Apache-2.0
// certs/trust, certs/ca_next, and certs/renew while one CA takes over from another.
#include "certs/trust.h"

#include "base/clock.h"
#include "certs/ca_next.h"
#include "tests/support/check_main.h"
#include "tests/unit/certs/certs_fixture.h"

#include <stdatomic.h>

static char first[65], second[65];

static void next_made(struct buf *pem)
{
    ck_assert_int_eq(ca_next_make(fixture_path("ca"), "meridian.test", NULL), 0);
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), second, pem), 0);
    ck_assert_str_ne(first, second);
}

static void setup(struct ca **out)
{
    fixture_setup();
    *out = fixture_ca();
    struct ca_in_use now;
    ck_assert_int_eq(ca_in_use_look(fixture_path("ca"), &now), 0);
    ck_assert(now.until_ms > clock_wall_ms() && now.from_ms < clock_wall_ms());
    memcpy(first, now.fingerprint, sizeof first);
}

static void in_use_is(const char *fingerprint)
{
    struct ca_in_use now;
    struct ca *ca = NULL;
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    ck_assert_int_eq(ca_open(fixture_path("ca"), NULL, &ca), 0); // key and certificate fit
    ck_assert_str_eq(ca_fingerprint(ca), fingerprint);
    ck_assert_int_eq(ca_in_use_certificate(fixture_path("ca"), &pem), 0);
    ck_assert_str_eq(buf_cstr(&pem), ca_certificate_pem(ca));
    ck_assert_int_eq(trust_ends_ms(bytes_of(pem.p, pem.n)) > clock_wall_ms(), 1);
    ca_close(ca);
    ck_assert_int_eq(ca_in_use_look(fixture_path("ca"), &now), 0);
    ck_assert_str_eq(now.fingerprint, fingerprint);
}

START_TEST(the_next_one_takes_over_on_disk)
{
    struct ca *ca;
    char fingerprint[65];
    setup(&ca);
    ca_close(ca);
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), fingerprint, NULL), ERR_NOTFOUND);
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), ERR_NOTFOUND);
    next_made(NULL);
    in_use_is(first);
    ck_assert_int_eq(ca_next_make(fixture_path("ca"), "meridian.test", NULL), ERR_EXISTS);
    ck_assert_int_eq(ca_next_discard(fixture_path("ca")), 0);
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), fingerprint, NULL), ERR_NOTFOUND);
    ck_assert_int_eq(ca_next_discard(fixture_path("ca")), 0);
    next_made(NULL);
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), 0);
    in_use_is(second);
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), fingerprint, NULL), ERR_NOTFOUND);
    ck_assert_int_ne(access(fixture_path("ca/next"), F_OK), 0);
    fixture_teardown();
}
END_TEST

START_TEST(what_a_crash_leaves_is_ended)
{
    struct ca *ca;
    char fingerprint[65];
    setup(&ca);
    ca_close(ca);
    next_made(NULL);
    ck_assert_int_eq(rename(fixture_path("ca/next/ca.key"), fixture_path("ca/ca.key")), 0);
    in_use_is(second); // ca_open ends it
    memcpy(first, second, sizeof first);
    next_made(NULL);
    ck_assert_int_eq(unlink(fixture_path("ca/next/ca.pem")), 0); // made by half
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), fingerprint, NULL), ERR_NOTFOUND);
    in_use_is(first);
    next_made(NULL); // over it
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), 0);
    in_use_is(second);
    fixture_teardown();
}
END_TEST

START_TEST(a_key_that_is_kept_elsewhere_leaves_the_one_in_use)
{
    struct ca *ca;
    char fingerprint[65];
    setup(&ca);
    ca_close(ca);
    next_made(NULL);
    ck_assert_int_eq(rename(fixture_path("ca/next/ca.key"), fixture_path("away")), 0);
    in_use_is(first); // ca_open takes nothing
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), ERR_NOTFOUND);
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), fingerprint, NULL), ERR_NOTFOUND);
    in_use_is(first);
    ck_assert_int_eq(rename(fixture_path("away"), fixture_path("ca/next/ca.key")), 0);
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), 0);
    in_use_is(second);
    fixture_teardown();
}
END_TEST

static unsigned mode_of(const char *name)
{
    struct stat st;
    ck_assert_int_eq(stat(fixture_path(name), &st), 0);
    return st.st_mode & 07777;
}

START_TEST(a_pair_that_does_not_fit_is_not_taken)
{
    struct ca *ca;
    char fingerprint[65];
    setup(&ca);
    ca_close(ca);
    next_made(NULL);
    ck_assert_uint_eq(mode_of("ca/next"), 0700);
    ck_assert_uint_eq(mode_of("ca/next/ca.key"), 0600);
    ck_assert_int_eq(chmod(fixture_path("ca/next/ca.key"), 0640), 0); // others may read it
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), fingerprint, NULL), ERR_DENIED);
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), ERR_DENIED);
    in_use_is(first);
    ck_assert_int_eq(ca_create(fixture_path("other"), "meridian.test", NULL), 0);
    ck_assert_int_eq(rename(fixture_path("other/ca.key"), fixture_path("ca/next/ca.key")), 0);
    ck_assert_int_eq(ca_next_look(fixture_path("ca"), fingerprint, NULL), ERR_CRYPTO);
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), ERR_CRYPTO);
    in_use_is(first); // it issues still
    ck_assert_int_eq(ca_next_discard(fixture_path("ca")), 0);
    next_made(NULL);
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), 0);
    in_use_is(second);
    ck_assert_uint_eq(mode_of("ca/ca.key"), 0600);
    fixture_teardown();
}
END_TEST

static void trusts(size_t n, const char *one, const char *two)
{
    char list[TRUST_MAX][65];
    size_t got;
    ck_assert_int_eq(trust_list(fixture_path("certs/ca.pem"), list, &got), 0);
    ck_assert_uint_eq(got, n);
    ck_assert_str_eq(list[0], one);
    if (two)
        ck_assert_str_eq(list[1], two);
}

START_TEST(ca_pem_holds_what_it_is_told_to)
{
    struct ca *ca;
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    setup(&ca);
    ck_assert_int_eq(
        certs_enrol(fixture_path("certs"), ca, &fixture_topology, "eastus", true, 0, NULL), 0);
    next_made(&pem);
    struct bytes next = bytes_of(pem.p, pem.n);
    trusts(1, first, NULL);
    ck_assert_int_eq(trust_remove(fixture_path("certs"), first, NULL), ERR_CONFLICT);
    ck_assert_int_eq(trust_add(fixture_path("certs"), next, NULL), 1);
    trusts(2, first, second);
    ck_assert_int_eq(trust_add(fixture_path("certs"), next, NULL), 0);
    ck_assert_int_eq(trust_first(fixture_path("certs"), next, NULL), 1);
    trusts(2, second, first);
    ck_assert_int_eq(trust_first(fixture_path("certs"), next, NULL), 0);
    ck_assert_int_eq(trust_add(fixture_path("certs"), next, NULL), 0);
    ck_assert_int_eq(trust_remove(fixture_path("certs"), second, NULL), 1);
    ck_assert_int_eq(trust_remove(fixture_path("certs"), second, NULL), 0);
    trusts(1, first, NULL);
    ck_assert_int_eq(trust_first(fixture_path("certs"), next, NULL), 1);
    trusts(2, second, first);
    char uses[TRUST_MAX][65];
    size_t n;
    ck_assert_int_eq(trust_issuers(fixture_path("certs"), uses, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(uses[0], first);
    ca_close(ca);
    fixture_teardown();
}
END_TEST

START_TEST(only_a_ca_of_this_domain_alone_is_one)
{
    struct ca *ca;
    char fingerprint[65];
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    setup(&ca);
    ca_close(ca);
    next_made(&pem);
    int64_t now = clock_wall_ms();
    struct bytes good = bytes_of(pem.p, pem.n);
    ck_assert_int_eq(trust_judge(good, "meridian.test", now, NULL, fingerprint), 0);
    ck_assert_str_eq(fingerprint, second);
    ck_assert_int_eq(trust_judge(good, "idian.test", now, NULL, fingerprint), ERR_DENIED);
    ck_assert_int_eq(trust_judge(good, "x.meridian.test", now, NULL, fingerprint), ERR_DENIED);
    ck_assert_int_eq(trust_judge(good, "meridian.test", now + 4000 * 86400000LL, NULL, fingerprint),
                     ERR_DENIED);
    ck_assert_int_eq(trust_judge(bytes_str("x"), "meridian.test", now, NULL, fingerprint),
                     ERR_DENIED);
    AUTO_FREE char *twice = mem_printf("%s%s", buf_cstr(&pem), buf_cstr(&pem));
    ck_assert_int_eq(trust_judge(bytes_str(twice), "meridian.test", now, NULL, fingerprint),
                     ERR_DENIED);
    fixture_teardown();
}
END_TEST

// --- renewal ---

static struct snapshot cell;
static atomic_int n_renewed;

static void on_renewed(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&n_renewed, 1);
}

static struct topology *topology_make(void)
{
    static const char text[] =
        "version: 1\ndomain: meridian.test\nhostmaster: hostmaster@meridian.test\nregions:\n"
        "  - {name: eastus, stamps: [{name: eus-1, ipv4: [127.10.0.1]}], peer: "
        "\"127.10.0.1:8443\"}\n"
        "name_servers: [eus-1.eastus]\nregistries:\n"
        "  - name: contoso\n    replicas: [{region: eastus}]\n"
        "certificates: {ca_region: eastus}\n";
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(text, strlen(text), "test.yaml", &d, &t))
        diag_print(&d, stderr);
    ck_assert_ptr_nonnull(t);
    diag_done(&d);
    return t;
}

static struct cert_info region_now(void)
{
    struct cert_info i;
    ck_assert_int_eq(
        certs_inspect(fixture_path("certs"), &fixture_topology, "eastus", CERT_REGION, &i), 0);
    return i;
}

static bool comes(const char *authority)
{
    for (int64_t end = clock_mono_ms() + 20000; clock_mono_ms() < end; clock_sleep_ms(20))
        if (!strcmp(region_now().authority, authority))
            return true;
    return false;
}

static int fails(void *ctx, struct diag *diag)
{
    (void)ctx, (void)diag;
    return ERR_NOSPACE;
}

static int takes(void *ctx, struct diag *diag)
{
    (void)ctx;
    return ca_next_take(fixture_path("ca"), diag);
}

START_TEST(what_another_ca_has_issued_is_renewed_ahead_of_time)
{
    struct ca *ca;
    AUTO_BUF struct buf pem;
    buf_init(&pem, 0);
    setup(&ca);
    ck_assert_int_eq(
        certs_enrol(fixture_path("certs"), ca, &fixture_topology, "eastus", true, 0, NULL), 0);
    ca_close(ca);
    ck_assert_str_eq(region_now().authority, first);
    next_made(&pem);
    ck_assert_int_eq(trust_add(fixture_path("certs"), bytes_of(pem.p, pem.n), NULL), 1);
    snapshot_init(&cell);
    snapshot_publish(&cell, topology_make());
    const struct certs_options o = {.certs_dir = fixture_path("certs"),
                                    .region = "eastus",
                                    .topology = &cell,
                                    .ca_dir = fixture_path("ca"),
                                    .check_s = 1,
                                    .on_renewed = on_renewed};
    struct certs *c = NULL;
    ck_assert_int_eq(certs_start(&o, NULL, &c), 0);
    certs_prefer(c, second); // a moment before the CA's node goes over
    for (int64_t end = clock_mono_ms() + 20000; clock_mono_ms() < end && !atomic_load(&n_renewed);)
        clock_sleep_ms(20);
    // and does not issue all the while: seen for three seconds, or until it does
    for (int64_t end = clock_mono_ms() + 3000;
         clock_mono_ms() < end && atomic_load(&n_renewed) <= 10;)
        clock_sleep_ms(20);
    ck_assert_str_eq(region_now().authority, first);
    ck_assert_int_le(atomic_load(&n_renewed), 10);
    ck_assert_int_eq(certs_ca_change(c, fails, NULL, NULL), ERR_NOSPACE);
    ck_assert_int_eq(certs_ca_change(c, takes, NULL, NULL), 0);
    ck_assert(comes(second));
    ck_assert_str_eq(region_now().problem, "");
    ck_assert_int_eq(certs_ca_follow(c, second, NULL), 0); // it is so
    pem.n = 0;
    next_made(&pem); // `second` is the third one now
    ck_assert_int_eq(trust_add(fixture_path("certs"), bytes_of(pem.p, pem.n), NULL), 1);
    ck_assert_int_eq(ca_next_take(fixture_path("ca"), NULL), 0); // by the process before this one
    ck_assert_int_eq(certs_ca_follow(c, second, NULL), 0);
    certs_prefer(c, second);
    ck_assert(comes(second));
    certs_stop(c);
    snapshot_done(&cell);
    fixture_teardown();
}
END_TEST

CHECK_MAIN("certs/trust", the_next_one_takes_over_on_disk, what_a_crash_leaves_is_ended,
           a_key_that_is_kept_elsewhere_leaves_the_one_in_use,
           a_pair_that_does_not_fit_is_not_taken, ca_pem_holds_what_it_is_told_to,
           only_a_ca_of_this_domain_alone_is_one,
           what_another_ca_has_issued_is_renewed_ahead_of_time)
