// SPDX-License-Identifier: Apache-2.0
// certs/keys: made once, kept private, sign what their topology form verifies, and nothing else.
#include "certs/keys.h"

#include "base/digest.h"
#include "tests/support/check_main.h"
#include "tests/unit/certs/certs_fixture.h"

#include <pthread.h>

static struct region_keys *keys_open(const char *sub)
{
    struct region_keys *k = NULL;
    ck_assert_int_eq(region_keys_create(fixture_path(sub), "eastus", NULL), 0);
    ck_assert_int_eq(region_keys_open(fixture_path(sub), "eastus", NULL, &k), 0);
    return k;
}

START_TEST(keys_are_made_once_and_private)
{
    fixture_setup();
    struct region_keys *k = keys_open("keys");
    char id[80];
    snprintf(id, sizeof id, "%s", region_keys_token_id(k));
    ck_assert_int_eq(strncmp(id, "eastus-token-", 13), 0);
    ck_assert_uint_eq(strlen(id), 13 + 8);
    ck_assert_int_eq(strncmp(region_keys_feed_id(k), "eastus-feed-", 12), 0);
    region_keys_free(k);
    k = keys_open("keys"); // creating again keeps what is there
    ck_assert_str_eq(region_keys_token_id(k), id);
    region_keys_free(k);
    struct stat st;
    ck_assert_int_eq(stat(fixture_path("keys"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    static const char *const files[] = {"keys/token.pem", "keys/feed.pem", "keys/control.pem",
                                        "keys/url.key"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        ck_assert_int_eq(stat(fixture_path(files[i]), &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
    }
    fixture_teardown();
}
END_TEST

START_TEST(control_key_may_be_missing_and_signs_when_it_is_there)
{
    fixture_setup();
    uint8_t sig[64];
    struct region_keys *k = keys_open("keys");
    ck_assert_int_eq(strncmp(region_keys_control_id(k), "eastus-ctl-", 11), 0);
    ck_assert_int_eq(region_keys_sign_control(k, "change", 6, sig), 0);
    ck_assert_int_eq(ed25519_verify(region_keys_control_spki(k), "change", 6, sig), 0);
    ck_assert_int_eq(ed25519_verify(region_keys_feed_spki(k), "change", 6, sig), ERR_AUTH);
    region_keys_free(k);
    ck_assert_int_eq(unlink(fixture_path("keys/control.pem")), 0); // of an earlier release
    ck_assert_int_eq(region_keys_open(fixture_path("keys"), "eastus", NULL, &k), 0);
    ck_assert_ptr_null(region_keys_control_id(k));
    ck_assert_ptr_null(region_keys_control_spki(k));
    ck_assert_int_eq(region_keys_sign_control(k, "change", 6, sig), ERR_NOTFOUND);
    region_keys_free(k);
    fixture_teardown();
}
END_TEST

START_TEST(key_id_is_of_the_spki)
{
    fixture_setup();
    struct region_keys *k = keys_open("keys");
    uint8_t der[256], sum[32];
    size_t n;
    const char *spki = region_keys_token_spki(k);
    ck_assert_int_eq(b64_parse(spki, strlen(spki), der, sizeof der, &n), 0);
    sha256(der, n, sum);
    char hex[9];
    hex_format(sum, 4, hex);
    ck_assert_str_eq(region_keys_token_id(k) + strlen("eastus-token-"), hex);
    region_keys_free(k);
    fixture_teardown();
}
END_TEST

START_TEST(keys_that_others_may_read_are_refused)
{
    static const char *const files[] = {"keys/token.pem", "keys/feed.pem", "keys/control.pem",
                                        "keys/url.key"};
    fixture_setup();
    region_keys_free(keys_open("keys"));
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct region_keys *k = NULL;
        struct diag d;
        diag_init(&d);
        ck_assert_int_eq(chmod(fixture_path(files[i]), 0640), 0);
        ck_assert_int_eq(region_keys_open(fixture_path("keys"), "eastus", &d, &k), ERR_DENIED);
        ck_assert(fixture_says(&d, "chmod 600"));
        ck_assert_ptr_null(k);
        diag_done(&d);
        ck_assert_int_eq(chmod(fixture_path(files[i]), 0600), 0);
    }
    fixture_teardown();
}
END_TEST

START_TEST(wrong_keys_in_the_files_are_refused)
{
    fixture_setup();
    region_keys_free(keys_open("keys"));
    struct region_keys *k = NULL;
    ck_assert_int_eq(rename(fixture_path("keys/token.pem"), fixture_path("keys/t")), 0);
    ck_assert_int_eq(region_keys_open(fixture_path("keys"), "eastus", NULL, &k), ERR_NOTFOUND);
    ck_assert_int_eq(rename(fixture_path("keys/feed.pem"), fixture_path("keys/token.pem")), 0);
    ck_assert_int_eq(rename(fixture_path("keys/t"), fixture_path("keys/feed.pem")), 0);
    // exchanged
    ck_assert_int_eq(region_keys_open(fixture_path("keys"), "eastus", NULL, &k), ERR_CRYPTO);
    ck_assert_int_eq(file_write_atomic(fixture_path("keys/token.pem"), "junk", 4, 0600), 0);
    ck_assert_int_eq(region_keys_open(fixture_path("keys"), "eastus", NULL, &k), ERR_CRYPTO);
    ck_assert_int_eq(region_keys_open(fixture_path("keys"), "../x", NULL, &k), ERR_INVAL);
    fixture_teardown();
}
END_TEST

START_TEST(signatures_verify_only_unchanged_and_with_their_key)
{
    fixture_setup();
    struct region_keys *k = keys_open("keys"), *other = keys_open("other");
    uint8_t sig[64];
    for (int i = 0; i < 50; i++) { // r and s with leading zeros come up too
        char text[32];
        snprintf(text, sizeof text, "message %d", i);
        ck_assert_int_eq(region_keys_sign_token(k, text, strlen(text), sig), 0);
        ck_assert_int_eq(es256_verify(region_keys_token_spki(k), text, strlen(text), sig), 0);
        ck_assert_int_eq(es256_verify(region_keys_token_spki(other), text, strlen(text), sig),
                         ERR_AUTH);
        sig[i] ^= 1;
        ck_assert_int_eq(es256_verify(region_keys_token_spki(k), text, strlen(text), sig),
                         ERR_AUTH);
    }
    uint8_t zero[64] = {0};
    ck_assert_int_eq(es256_verify(region_keys_token_spki(k), "x", 1, zero), ERR_AUTH);
    ck_assert_int_eq(region_keys_sign_feed(k, "entry", 5, sig), 0);
    ck_assert_int_eq(ed25519_verify(region_keys_feed_spki(k), "entry", 5, sig), 0);
    ck_assert_int_eq(ed25519_verify(region_keys_feed_spki(k), "entrx", 5, sig), ERR_AUTH);
    ck_assert_int_eq(ed25519_verify(region_keys_feed_spki(other), "entry", 5, sig), ERR_AUTH);
    region_keys_free(k);
    region_keys_free(other);
    fixture_teardown();
}
END_TEST

// n - s for the order of P-256, most significant byte first.
static void other_s(const uint8_t s[32], uint8_t out[32])
{
    BIGNUM *n = NULL, *b = BN_bin2bn(s, 32, NULL);
    ck_assert_int_ne(
        BN_hex2bn(&n, "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551"), 0);
    ck_assert(BN_sub(b, n, b) && BN_bn2binpad(b, out, 32) == 32);
    BN_free(n);
    BN_free(b);
}

START_TEST(of_the_two_signatures_of_a_message_the_lower_is_made_and_both_are_taken)
{
    fixture_setup();
    struct region_keys *k = keys_open("keys");
    for (int i = 0; i < 50; i++) { // by chance half of them would be the higher one
        uint8_t sig[64], other[32];
        char text[32];
        snprintf(text, sizeof text, "message %d", i);
        ck_assert_int_eq(region_keys_sign_token(k, text, strlen(text), sig), 0);
        other_s(sig + 32, other);
        ck_assert_int_lt(memcmp(sig + 32, other, 32), 0);
        memcpy(sig + 32, other, 32); // what a region of an earlier version may have signed
        ck_assert_int_eq(es256_verify(region_keys_token_spki(k), text, strlen(text), sig), 0);
    }
    region_keys_free(k);
    fixture_teardown();
}
END_TEST

START_TEST(unusable_public_keys_are_told_apart_from_bad_signatures)
{
    fixture_setup();
    struct region_keys *k = keys_open("keys");
    uint8_t sig[64] = {1};
    char torn[512];
    // kinds exchanged
    ck_assert_int_eq(es256_verify(region_keys_feed_spki(k), "x", 1, sig), ERR_CRYPTO);
    ck_assert_int_eq(ed25519_verify(region_keys_token_spki(k), "x", 1, sig), ERR_CRYPTO);
    ck_assert_int_eq(es256_verify("", "x", 1, sig), ERR_CRYPTO);
    ck_assert_int_eq(es256_verify("!!!!", "x", 1, sig), ERR_CRYPTO);
    snprintf(torn, sizeof torn, "%.40s", region_keys_token_spki(k));
    ck_assert_int_eq(es256_verify(torn, "x", 1, sig), ERR_CRYPTO);
    region_keys_free(k);
    fixture_teardown();
}
END_TEST

struct verify_job {
    const struct region_keys *k;
    int failed;
};

static void *verify_many(void *arg)
{
    struct verify_job *j = arg;
    for (int i = 0; i < 50; i++) {
        uint8_t sig[64];
        j->failed |= region_keys_sign_token(j->k, "text", 4, sig) ||
                     es256_verify(region_keys_token_spki(j->k), "text", 4, sig);
        j->failed |= region_keys_sign_feed((void *)j->k, "text", 4, sig) ||
                     ed25519_verify(region_keys_feed_spki(j->k), "text", 4, sig);
    }
    return NULL;
}

START_TEST(keys_are_shared_by_threads)
{
    fixture_setup();
    struct region_keys *k = keys_open("keys");
    pthread_t threads[4];
    struct verify_job jobs[4];
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct verify_job){k, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, verify_many, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(jobs[i].failed, 0);
    }
    region_keys_free(k);
    fixture_teardown();
}
END_TEST

CHECK_MAIN("certs/keys", keys_are_made_once_and_private,
           control_key_may_be_missing_and_signs_when_it_is_there, key_id_is_of_the_spki,
           keys_that_others_may_read_are_refused, wrong_keys_in_the_files_are_refused,
           signatures_verify_only_unchanged_and_with_their_key,
           of_the_two_signatures_of_a_message_the_lower_is_made_and_both_are_taken,
           unusable_public_keys_are_told_apart_from_bad_signatures, keys_are_shared_by_threads)
