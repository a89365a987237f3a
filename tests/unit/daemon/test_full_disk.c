// SPDX-License-Identifier: Apache-2.0
// Other files that a node writes, with the disk full at each step: verdicts, versions of fe.D, the
// CA's record, nginx's copies of certificates. Those of store/ and config/ are tried in these
// rooms.
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/ca.h"
#include "health/state.h"
#include "net/edge_priv.h"
#include "resolver/zone/zone_file.h"
#include "tests/support/check_main.h"
#include "tests/support/full_disk.h"
#include "tests/unit/certs/certs_fixture.h"

#include <dirent.h>

static const struct health_settings settings = {.hold_down_ms = 1000, .hold_down_max_ms = 1000};

static struct health_target target_of(int64_t changed_ms)
{
    struct health_target x = {.up = true, .is_short = true, .changed_ms = changed_ms};
    strcpy(x.region, "eastus");
    strcpy(x.stamp, "eus-1");
    strcpy(x.reason, "503 in 2 ms: short of space");
    return x;
}

START_TEST(verdicts_are_those_of_before_or_the_new_ones)
{
    static struct health_saved saved, read;
    bool met = true;
    fixture_setup();
    const char *path = fixture_path("health.json");
    for (long n = 1; met; n++) {
        struct health_target old = target_of(1), new = target_of(2), got = target_of(0);
        ck_assert_int_eq(health_state_save(path, &old, 1, &saved), 0);
        full_disk_from(n);
        int rc = health_state_save(path, &new, 1, &saved);
        met = full_disk_off() > 0;
        ck_assert(rc == (met ? ERR_NOSPACE : 0));
        got.is_short = false;
        ck_assert_int_eq(health_state_load(path, &settings, 10, &got, 1, &read), 0);
        ck_assert(got.changed_ms == 2 || (rc && got.changed_ms == 1));
        ck_assert(got.is_short && got.up);
    }
    fixture_teardown();
}
END_TEST

static struct zone *zone_of(unsigned version)
{
    char yaml[512];
    struct topology *t = NULL;
    struct zone *z = NULL;
    snprintf(yaml, sizeof yaml,
             "version: %u\ndomain: example.io\nhostmaster: h@example.io\nregions:\n"
             "  - {name: eastus, stamps: [{name: eus-1, ipv4: [192.0.2.%u]}]}\nname_servers: "
             "[eus-1.eastus]\n",
             version, version);
    ck_assert_int_eq(topology_parse(yaml, strlen(yaml), "t", NULL, &t), 0);
    ck_assert_int_eq(zone_frontend(t, NULL, 1700000000, &z), 0);
    snapshot_unref(t);
    return z;
}

START_TEST(versions_of_a_zone_are_whole)
{
    bool met = true;
    fixture_setup();
    struct zone *one = zone_of(1), *two = zone_of(2), *loaded[4];
    ck_assert_int_eq(zone_file_save(fixture_dir, one), 0);
    for (long n = 1; met; n++) {
        size_t n_loaded;
        full_disk_from(n);
        int rc = zone_file_save(fixture_dir, two);
        met = full_disk_off() > 0;
        ck_assert(rc == (met ? ERR_NOSPACE : 0));
        ck_assert_int_eq(zone_file_load_all(fixture_dir, loaded, 4, &n_loaded), 0);
        ck_assert(n_loaded == 2 || (rc && n_loaded == 1));
        for (size_t i = 0; i < n_loaded; i++)
            snapshot_unref(loaded[i]);
        AUTO_FREE char *path = mem_printf("%s/fe-%u.zone", fixture_dir, two->serial);
        unlink(path);
    }
    snapshot_unref(one);
    snapshot_unref(two);
    fixture_teardown();
}
END_TEST

static size_t lines_of(const char *path, size_t *out_whole)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 20);
    *out_whole = 0;
    if (file_read(path, 1 << 20, &b))
        return 0;
    size_t n = 0;
    const char *text = buf_cstr(&b);
    for (const char *line = text; *line; n++) {
        const char *end = strchr(line, '\n');
        *out_whole += end && strstr(line, " until ") && strstr(line, " until ") < end;
        if (!end)
            return n + 1;
        line = end + 1;
    }
    return n;
}

// What the CA signs is in its record, a line each, or it is not handed out.
START_TEST(the_record_of_the_ca_has_whole_lines)
{
    bool met = true;
    fixture_setup();
    struct ca *ca = fixture_ca();
    struct arena a;
    arena_init(&a, 0);
    struct cert_plan plan;
    ck_assert_int_eq(cert_plan(&fixture_topology, "eastus", CERT_REGION, &a, &plan), 0);
    AUTO_BUF struct buf csr;
    buf_init(&csr, 0);
    EVP_PKEY *made = NULL;
    ck_assert_int_eq(cert_request(&plan, NULL, &made, &csr), 0);
    AUTO_PKEY EVP_PKEY *key = made;
    size_t n_issued = 0, whole;
    for (long n = 1; met; n++) {
        AUTO_BUF struct buf pem;
        buf_init(&pem, 0);
        full_disk_from(n);
        int rc = ca_issue(ca, &plan, bytes_of(csr.p, csr.n), 0, NULL, &pem);
        met = full_disk_off() > 0;
        ck_assert(rc == (met ? ERR_NOSPACE : 0));
        ck_assert(rc == 0 || !pem.n);
        n_issued += rc == 0;
        ck_assert_uint_eq(lines_of(fixture_path("ca/issued"), &whole), n_issued);
        ck_assert_uint_eq(whole, n_issued);
    }
    ck_assert_uint_eq(n_issued, 1);
    ca_close(ca);
    arena_done(&a);
    fixture_teardown();
}
END_TEST

static size_t copies(void)
{
    size_t n = 0;
    DIR *d = opendir(fixture_path("edge"));
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

START_TEST(nginx_has_its_old_certificates_or_the_new_ones)
{
    bool met = true;
    fixture_setup();
    ck_assert_int_eq(mkdir(fixture_path("edge"), 0755), 0);
    static const char *const names[] = {"region.pem", "shared.pem", "peer.pem", "ca.pem"};
    struct edge_pems before = {0};
    char paths[5][128]; // fixture_path's do not live that long
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        snprintf(paths[i], sizeof paths[i], "%s",
                 fixture_path(i < ARRAY_LEN(names) ? names[i] : "edge"));
    struct edge_config c = {.runtime_dir = paths[4],
                            .region_pem = paths[0],
                            .shared_pem = paths[1],
                            .peer_pem = paths[2],
                            .ca_pem = paths[3],
                            .pem_owner = geteuid()};
    for (long n = 0; met; n++) {
        struct edge_pems now;
        char text[64];
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            snprintf(text, sizeof text, "%s of round %ld", names[i], n);
            ck_assert_int_eq(file_write_atomic(fixture_path(names[i]), text, strlen(text), 0600),
                             0);
        }
        full_disk_from(n);
        int rc = edge_pems_copy(&c, NULL, &now);
        met = full_disk_off() > 0 || n == 0;
        ck_assert(rc == (met && n ? ERR_NOSPACE : 0));
        for (size_t i = 0; n && i < EDGE_PEMS; i++) // those in use stay
            ck_assert_int_eq(access(before.path[i], R_OK), 0);
        if (rc) {
            edge_pems_sweep(c.runtime_dir, &before);
            ck_assert_uint_eq(copies(), EDGE_PEMS);
            ck_assert_int_eq(edge_pems_copy(&c, NULL, &now), 0);
        }
        edge_pems_sweep(c.runtime_dir, &now);
        ck_assert_uint_eq(copies(), EDGE_PEMS);
        edge_pems_free(&before);
        before = now;
    }
    edge_pems_free(&before);
    fixture_teardown();
}
END_TEST

CHECK_MAIN("daemon/full_disk", verdicts_are_those_of_before_or_the_new_ones,
           versions_of_a_zone_are_whole, the_record_of_the_ca_has_whole_lines,
           nginx_has_its_old_certificates_or_the_new_ones)
