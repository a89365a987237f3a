// SPDX-License-Identifier: Apache-2.0
// certs_public_json: what is shown of PEM files that hold keys as well.
#include "certs/certs.h"

#include "tests/support/check_main.h"
#include "tests/unit/certs/certs_fixture.h"

#include <jansson.h>

static void read_all(const char *name, struct buf *out)
{
    buf_init(out, 0);
    ck_assert_int_eq(file_read(fixture_path(name), 1 << 20, out), 0);
}

static const char *text(const json_t *all, size_t i, const char *member)
{
    return json_string_value(json_object_get(json_array_get(all, i), member));
}

// The file as it lies on the disk: chain and key.
START_TEST(certificates_are_shown_and_keys_are_not)
{
    AUTO_BUF struct buf pem, both;
    fixture_setup();
    struct ca *ca = fixture_ca();
    ck_assert_int_eq(
        certs_enrol(fixture_path("certs"), ca, &fixture_topology, "eastus", true, 0, NULL), 0);
    read_all("certs/peer.pem", &pem);
    buf_init(&both, 0);
    const char *key = strstr(buf_cstr(&pem), "-----BEGIN PRIVATE KEY-----");
    ck_assert_ptr_nonnull(key);
    buf_str(&both, key); // a key ahead of the certificates too
    buf_str(&both, "words between\n");
    buf_add(&both, pem.p, pem.n);
    buf_str(&both, ca_certificate_pem(ca));
    json_t *all = certs_public_json(bytes_of(both.p, both.n));
    ck_assert_uint_eq(json_array_size(all), 2);
    ck_assert_str_eq(text(all, 0, "names"),
                     "eastus.peer.meridian.test meridian://meridian.test/region/eastus");
    ck_assert_str_eq(text(all, 0, "issuer"), text(all, 1, "subject"));
    ck_assert_str_eq(text(all, 1, "issuer"), text(all, 1, "subject"));
    ck_assert_uint_eq(strlen(text(all, 0, "fingerprint")), 64);
    ck_assert_uint_eq(strlen(text(all, 0, "notAfter")), strlen("2026-11-23T19:58:50Z"));
    ck_assert_str_gt(text(all, 0, "notAfter"), text(all, 0, "notBefore"));
    ck_assert_str_gt(text(all, 0, "serial"), "");
    AUTO_FREE char *said = json_dumps(all, 0);
    for (const char *line = strchr(key, '\n') + 1; *line != '-'; line = strchr(line, '\n') + 1) {
        AUTO_FREE char *one = mem_strndup(line, strcspn(line, "\n"));
        ck_assert_ptr_null(strstr(said, one));
    }
    json_decref(all);
    ca_close(ca);
    fixture_teardown();
}
END_TEST

START_TEST(what_is_no_certificate_is_passed_over)
{
    static const char *const texts[] = {
        "", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n"
        "-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_t *all = certs_public_json(bytes_str(texts[i]));
        ck_assert_ptr_nonnull(all);
        ck_assert_uint_eq(json_array_size(all), 0);
        json_decref(all);
    }
}
END_TEST

CHECK_MAIN("certs/public", certificates_are_shown_and_keys_are_not,
           what_is_no_certificate_is_passed_over)
