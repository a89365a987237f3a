// SPDX-License-Identifier: Apache-2.0
// base/siphash: against the vectors of the paper (appendix A) and of the reference, and against
// OpenSSL's over random keys and lengths.
#include "base/siphash.h"

#include "tests/support/check_main.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

START_TEST(vectors_of_the_authors)
{
    static const struct {
        size_t n;
        uint64_t want;
    } rows[] = {{0, 0x726fdb47dd0e0e31},
                {1, 0x74f839c593dc67fd},
                {8, 0x93f5f5799a932462},
                {15, 0xa129ca6149be45e5},
                {63, 0x958a324ceb064572}};
    uint8_t secret[16], in[64], out[8];
    for (uint8_t i = 0; i < 64; i++)
        in[i] = i;
    memcpy(secret, in, 16);
    struct siphash_key k = siphash_key_of(secret);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(siphash24(&k, in, rows[i].n) == rows[i].want, "%zu", rows[i].n);
    siphash_put(siphash24(&k, in, 0), out);
    ck_assert_int_eq(memcmp(out, "\x31\x0e\x0e\xdd\x47\xdb\x6f\x72", 8), 0);
}
END_TEST

START_TEST(the_same_as_openssl)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    ck_assert_ptr_nonnull(mac);
    uint8_t in[80], secret[16], ours[8], theirs[8];
    size_t size = 8, n_out;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t("size", &size), OSSL_PARAM_construct_end()};
    for (size_t n = 0; n < sizeof in; n++) {
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)rand();
        for (size_t i = 0; i < 16; i++)
            secret[i] = (uint8_t)rand();
        EVP_MAC_CTX *c = EVP_MAC_CTX_new(mac);
        ck_assert_int_eq(EVP_MAC_init(c, secret, 16, params), 1);
        ck_assert_int_eq(EVP_MAC_update(c, in, n), 1);
        ck_assert_int_eq(EVP_MAC_final(c, theirs, &n_out, sizeof theirs), 1);
        EVP_MAC_CTX_free(c);
        struct siphash_key k = siphash_key_of(secret);
        siphash_put(siphash24(&k, in, n), ours);
        ck_assert_msg(!memcmp(ours, theirs, 8), "length %zu", n);
    }
    EVP_MAC_free(mac);
}
END_TEST

CHECK_MAIN("base/siphash", vectors_of_the_authors, the_same_as_openssl)
