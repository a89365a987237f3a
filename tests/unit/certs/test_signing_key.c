// SPDX-License-Identifier: Apache-2.0
// certs/signing_key: made once, kept private, signs what its SPKI verifies, and nothing else.
#include "certs/signing_key.h"

#include "base/digest.h"
#include "certs/keys.h"
#include "tests/support/check_main.h"
#include "tests/unit/certs/certs_fixture.h"

START_TEST(a_key_is_made_once_and_private)
{
    fixture_setup();
    struct diag d;
    diag_init(&d);
    struct stat st;
    ck_assert_int_eq(signing_key_create(fixture_path("ada.pem"), &d), 0);
    ck_assert_int_eq(stat(fixture_path("ada.pem"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(signing_key_create(fixture_path("ada.pem"), &d), ERR_EXISTS);
    ck_assert(fixture_says(&d, "never replaced"));
    struct signing_key *k = NULL;
    ck_assert_int_eq(chmod(fixture_path("ada.pem"), 0640), 0);
    ck_assert_int_eq(signing_key_open(fixture_path("ada.pem"), &d, &k), ERR_DENIED);
    ck_assert(fixture_says(&d, "chmod 600"));
    ck_assert_int_eq(signing_key_open(fixture_path("none.pem"), &d, &k), ERR_NOTFOUND);
    ck_assert_ptr_null(k);
    diag_done(&d);
    fixture_teardown();
}
END_TEST

START_TEST(a_key_of_another_kind_is_refused)
{
    fixture_setup();
    ck_assert_int_eq(region_keys_create(fixture_path("keys"), "eastus", NULL), 0);
    struct signing_key *k = NULL;
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(signing_key_open(fixture_path("keys/token.pem"), &d, &k), ERR_CRYPTO);
    ck_assert(fixture_says(&d, "Ed25519"));
    ck_assert_int_eq(signing_key_open(fixture_path("keys/url.key"), &d, &k), ERR_CRYPTO);
    diag_done(&d);
    fixture_teardown();
}
END_TEST

START_TEST(it_signs_what_its_public_half_verifies)
{
    fixture_setup();
    struct signing_key *a = NULL, *b = NULL;
    ck_assert_int_eq(signing_key_create(fixture_path("a.pem"), NULL), 0);
    ck_assert_int_eq(signing_key_create(fixture_path("b.pem"), NULL), 0);
    ck_assert_int_eq(signing_key_open(fixture_path("a.pem"), NULL, &a), 0);
    ck_assert_int_eq(signing_key_open(fixture_path("b.pem"), NULL, &b), 0);
    uint8_t sig[64];
    ck_assert_int_eq(signing_key_sign(a, "word", 4, sig), 0);
    ck_assert_int_eq(ed25519_verify(signing_key_spki(a), "word", 4, sig), 0);
    ck_assert_int_eq(ed25519_verify(signing_key_spki(a), "ward", 4, sig), ERR_AUTH);
    ck_assert_int_eq(ed25519_verify(signing_key_spki(b), "word", 4, sig), ERR_AUTH);
    signing_key_free(a);
    signing_key_free(b);
    signing_key_free(NULL);
    fixture_teardown();
}
END_TEST

START_TEST(a_seed_stands_for_one_key)
{
    // RFC 8032 section 7.1, test 1
    static const char seed[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                      public[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    uint8_t bytes[32], der[64];
    char hex[65];
    size_t n = 0;
    struct signing_key *k = NULL;
    ck_assert_int_eq(hex_parse(seed, 64, bytes, 32), 0);
    ck_assert_int_eq(signing_key_of_seed(bytes, &k), 0);
    const char *spki = signing_key_spki(k);
    ck_assert_int_eq(b64_parse(spki, strlen(spki), der, sizeof der, &n), 0);
    ck_assert_uint_eq(n, 44);
    hex_format(der + 12, 32, hex);
    ck_assert_str_eq(hex, public);
    signing_key_free(k);
}
END_TEST

START_TEST(people_compare_fingerprints)
{
    // SHA-256 of "abc" (FIPS 180-2)
    char text[65];
    ck_assert_int_eq(signing_key_fingerprint("YWJj", text), 0);
    ck_assert_str_eq(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_int_eq(signing_key_fingerprint("", text), ERR_INVAL);
    ck_assert_int_eq(signing_key_fingerprint("no base64", text), ERR_INVAL);
}
END_TEST

CHECK_MAIN("certs/signing_key", a_key_is_made_once_and_private, a_key_of_another_kind_is_refused,
           it_signs_what_its_public_half_verifies, a_seed_stands_for_one_key,
           people_compare_fingerprints)
