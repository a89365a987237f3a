// SPDX-License-Identifier: Apache-2.0
// certs/sealed: only the box that asked opens it, in the context that it was sealed for, unchanged.
#include "certs/sealed.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <string.h>

static struct sealed_box *box_new(void)
{
    struct sealed_box *b = NULL;
    ck_assert_int_eq(sealed_box_new(&b), 0);
    return b;
}

START_TEST(the_asker_reads_what_was_sealed)
{
    static const char *const texts[] = {"", "s", "a secret of some length, over two blocks of AES"};
    for (size_t i = 0; i < 3; i++) {
        struct sealed_box *b = box_new();
        AUTO_BUF struct buf sealed, plain;
        buf_init(&sealed, 0);
        buf_init(&plain, 0);
        uint8_t key[SEALED_KEY_BYTES];
        ck_assert_int_eq(sealed_seal(sealed_box_key(b), bytes_str("to eastus"), bytes_str(texts[i]),
                                     key, &sealed),
                         0);
        ck_assert_uint_eq(sealed.n, strlen(texts[i]) + SEALED_MORE_BYTES);
        ck_assert_int_eq(
            sealed_open(b, key, bytes_str("to eastus"), bytes_of(sealed.p, sealed.n), &plain), 0);
        ck_assert(bytes_equal(bytes_of(plain.p, plain.n), bytes_str(texts[i])));
        sealed_box_free(b);
    }
}
END_TEST

START_TEST(nobody_else_does)
{
    struct sealed_box *b = box_new(), *other = box_new();
    AUTO_BUF struct buf sealed, plain;
    buf_init(&sealed, 0);
    buf_init(&plain, 0);
    uint8_t key[SEALED_KEY_BYTES], wrong[SEALED_KEY_BYTES];
    struct bytes context = bytes_str("to eastus");
    ck_assert_int_eq(sealed_seal(sealed_box_key(b), context, bytes_str("secret"), key, &sealed), 0);
    struct bytes whole = bytes_of(sealed.p, sealed.n);
    ck_assert_int_eq(sealed_open(other, key, context, whole, &plain), ERR_AUTH);
    ck_assert_int_eq(sealed_open(b, key, bytes_str("to westeurope"), whole, &plain), ERR_AUTH);
    memcpy(wrong, key, sizeof wrong);
    wrong[3] ^= 1;
    ck_assert_int_eq(sealed_open(b, wrong, context, whole, &plain), ERR_AUTH);
    for (size_t i = 0; i < sealed.n; i++) {
        sealed.p[i] ^= 1;
        ck_assert_int_eq(sealed_open(b, key, context, whole, &plain), ERR_AUTH);
        sealed.p[i] ^= 1;
        ck_assert_int_eq(sealed_open(b, key, context, bytes_of(sealed.p, i), &plain), ERR_AUTH);
    }
    ck_assert_uint_eq(plain.n, 0);
    ck_assert_int_eq(sealed_open(b, key, context, whole, &plain), 0);
    sealed_box_free(b);
    sealed_box_free(other);
    sealed_box_free(NULL);
}
END_TEST

START_TEST(a_key_that_is_none_is_refused)
{
    static const uint8_t zero[SEALED_KEY_BYTES]; // of small order
    uint8_t key[SEALED_KEY_BYTES];
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    ck_assert_int_eq(sealed_seal(zero, bytes_str(""), bytes_str("secret"), key, &out), ERR_CRYPTO);
    ck_assert_uint_eq(out.n, 0);
    struct sealed_box *b = box_new();
    static char large[SEALED_MAX_BYTES + 1];
    ck_assert_int_eq(
        sealed_seal(sealed_box_key(b), bytes_str(""), bytes_of(large, sizeof large), key, &out),
        ERR_TOOBIG);
    sealed_box_free(b);
}
END_TEST

CHECK_MAIN("certs/sealed", the_asker_reads_what_was_sealed, nobody_else_does,
           a_key_that_is_none_is_refused)
