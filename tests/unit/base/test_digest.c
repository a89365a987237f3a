// SPDX-License-Identifier: Apache-2.0
// base/digest: published vectors, one text per value, and nothing lenient in the encodings.
#include "base/digest.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <limits.h>
#include <string.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

START_TEST(sha256_vectors) // FIPS 180-4 examples
{
    static const struct {
        const char *in, *hex;
    } t[] = {{"", EMPTY},
             {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
             {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct digest d, stepped;
        char text[DIGEST_TEXT_SIZE], want[DIGEST_TEXT_SIZE] = "sha256:";
        ck_assert_int_eq(digest_of(DIGEST_SHA256, t[i].in, strlen(t[i].in), &d), 0);
        ck_assert_str_eq(digest_format(&d, text), strcat(want, t[i].hex));
        struct hasher *h = hasher_new(DIGEST_SHA256);
        for (const char *p = t[i].in; *p; p++)
            hasher_update(h, p, 1);
        ck_assert_int_eq(hasher_final(h, &stepped), 0);
        ck_assert_int_eq(hasher_final(h, &stepped), ERR_CRYPTO); // used up
        hasher_free(h);
        ck_assert(digest_equal(&d, &stepped));
        uint8_t plain[SHA256_BYTES];
        sha256(t[i].in, strlen(t[i].in), plain);
        ck_assert_mem_eq(plain, d.b, SHA256_BYTES);
    }
}
END_TEST

START_TEST(sha512_vectors) // FIPS 180-4 examples
{
    static const struct {
        const char *in, *hex;
    } t[] = {{"", "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
                  "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
             {"abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
             {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
              "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
              "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
              "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct digest d, back;
        char text[DIGEST_TEXT_SIZE], want[DIGEST_TEXT_SIZE] = "sha512:";
        ck_assert_int_eq(digest_of(DIGEST_SHA512, t[i].in, strlen(t[i].in), &d), 0);
        ck_assert_uint_eq(d.n, SHA512_BYTES);
        ck_assert(digest_ok(&d));
        ck_assert_str_eq(digest_format(&d, text), strcat(want, t[i].hex));
        ck_assert_int_eq(digest_parse(text, strlen(text), &back), 0);
        ck_assert(digest_equal(&d, &back));
        struct hasher *h = hasher_new(DIGEST_SHA512);
        ck_assert_int_eq(hasher_alg(h), DIGEST_SHA512);
        hasher_update(h, t[i].in, strlen(t[i].in));
        ck_assert_int_eq(hasher_final(h, &back), 0);
        hasher_free(h);
        ck_assert(digest_equal(&d, &back));
    }
}
END_TEST

START_TEST(an_algorithm_has_one_name_and_one_length)
{
    enum digest_alg alg = (enum digest_alg)9;
    ck_assert(digest_alg_parse("sha512", 6, &alg));
    ck_assert_int_eq(alg, DIGEST_SHA512);
    ck_assert(digest_alg_parse("sha256", 6, &alg));
    ck_assert_int_eq(alg, DIGEST_SHA256);
    ck_assert(!digest_alg_parse("sha51", 5, &alg));
    ck_assert(!digest_alg_parse("sha5120", 7, &alg));
    ck_assert(!digest_alg_parse("", 0, &alg));
    ck_assert(!digest_alg_parse("SHA512", 6, &alg));
    ck_assert_int_eq(alg, DIGEST_SHA256);
    ck_assert_uint_eq(digest_alg_bytes(DIGEST_SHA256), 32);
    ck_assert_uint_eq(digest_alg_bytes(DIGEST_SHA512), 64);
    ck_assert_uint_eq(digest_alg_bytes((enum digest_alg)0), 0);
    ck_assert_uint_eq(digest_alg_bytes((enum digest_alg)3), 0);
    ck_assert(digest_ok(&(struct digest){.alg = DIGEST_SHA256, .n = 32}));
    ck_assert(!digest_ok(&(struct digest){.alg = DIGEST_SHA256, .n = 64}));
    ck_assert(!digest_ok(&(struct digest){.alg = DIGEST_SHA512, .n = 32}));
    ck_assert(!digest_ok(&(struct digest){.alg = 0, .n = 0}));
    ck_assert(!digest_ok(&(struct digest){.alg = 3, .n = 64}));
}
END_TEST

START_TEST(hmac_vectors) // RFC 4231 cases 1, 2, 6
{
    uint8_t key1[20], key6[131], mac[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    memset(key1, 0x0b, sizeof key1);
    memset(key6, 0xaa, sizeof key6);
    ck_assert_int_eq(hmac_sha256(key1, sizeof key1, "Hi There", 8, mac), 0);
    hex_format(mac, sizeof mac, hex);
    ck_assert_str_eq(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    ck_assert_int_eq(hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac), 0);
    hex_format(mac, sizeof mac, hex);
    ck_assert_str_eq(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    ck_assert_int_eq(hmac_sha256(key6, sizeof key6,
                                 "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac),
                     0);
    hex_format(mac, sizeof mac, hex);
    ck_assert_str_eq(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    ck_assert_int_eq(hmac_sha256("k", (size_t)INT_MAX + 1, "", 0, mac), ERR_RANGE);
}
END_TEST

START_TEST(digest_texts)
{
    static const struct {
        const char *text;
        int rc;
    } t[] = {{"sha256:" EMPTY, 0},
             {"sha256:" EMPTY "0", ERR_INVAL},
             {"sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", ERR_INVAL},
             {"sha256:g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", ERR_INVAL},
             {"sha256:", ERR_INVAL},
             {"sha256", ERR_INVAL},
             {"", ERR_INVAL},
             {":" EMPTY, ERR_INVAL},
             {" sha256:" EMPTY, ERR_INVAL},
             {"sha256:" EMPTY " ", ERR_INVAL},
             {"sha256:sha256:" EMPTY, ERR_INVAL},
             {"SHA256:" EMPTY, ERR_INVAL},
             {"sha512:" EMPTY EMPTY, 0},
             {"sha512:" EMPTY EMPTY "0", ERR_INVAL},
             {"sha512:" EMPTY, ERR_INVAL},
             {"sha256:" EMPTY EMPTY, ERR_INVAL},
             {"sha384:" EMPTY, ERR_UNSUPPORTED},
             {"md5:d41d8cd98f00b204e9800998ecf8427e", ERR_UNSUPPORTED},
             {"multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", ERR_UNSUPPORTED},
             {"sha2566:" EMPTY, ERR_UNSUPPORTED},
             {"sha256+:" EMPTY, ERR_INVAL},
             {"a..b:" EMPTY, ERR_INVAL},
             {".a:" EMPTY, ERR_INVAL},
             {"md5:../../etc/passwd", ERR_INVAL},
             {"sha512:", ERR_INVAL}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct digest d = {.alg = 77};
        char back[DIGEST_TEXT_SIZE];
        int rc = digest_parse(t[i].text, strlen(t[i].text), &d);
        ck_assert_msg(rc == t[i].rc, "'%s': %s", t[i].text, err_name(rc));
        if (rc)
            ck_assert_uint_eq(d.alg, 77);
        else
            ck_assert_str_eq(digest_format(&d, back), t[i].text);
    }
    struct digest d;
    ck_assert_int_eq(digest_parse("sha256:" EMPTY, 70, &d), ERR_INVAL); // one digit short
    ck_assert_int_eq(digest_parse("sha\0sha:ab", 10, &d), ERR_INVAL);
    ck_assert_int_eq(digest_of((enum digest_alg)9, "", 0, &d), ERR_CRYPTO);
}
END_TEST

START_TEST(base64_vectors) // RFC 4648 section 10
{
    static const struct {
        const char *in, *std, *url;
    } t[] = {{"", "", ""},
             {"f", "Zg==", "Zg"},
             {"fo", "Zm8=", "Zm8"},
             {"foo", "Zm9v", "Zm9v"},
             {"foob", "Zm9vYg==", "Zm9vYg"},
             {"fooba", "Zm9vYmE=", "Zm9vYmE"},
             {"\xfb\xff\xfe", "+//+", "-__-"}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        char out[b64_size(6)];
        uint8_t back[8];
        size_t n = strlen(t[i].in), got = 99;
        ck_assert_uint_eq(b64_format(t[i].in, n, out), strlen(t[i].std));
        ck_assert_str_eq(out, t[i].std);
        ck_assert_int_eq(b64_parse(out, strlen(out), back, sizeof back, &got), 0);
        ck_assert(got == n && !memcmp(back, t[i].in, n));
        ck_assert_uint_eq(b64url_format(t[i].in, n, out), strlen(t[i].url));
        ck_assert_str_eq(out, t[i].url);
        ck_assert_int_eq(b64url_parse(out, strlen(out), back, n, &got), 0); // room to the byte
        ck_assert(got == n && !memcmp(back, t[i].in, n));
    }
}
END_TEST

START_TEST(lenient_base64_is_refused)
{
    static const char *const url[] = {"Zg==", "Zm8=",  "Z",    "Zm9vY", "Zh",   "Zm9",
                                      "Zm 8", "Zm8\n", " Zm8", "Zm+8",  "Zm/8", "Zm.8"};
    static const char *const std[] = {
        "Zg", "Zg=", "Zm8", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==", "Zm9v\n", "Zm-_", "=Zg="};
    uint8_t out[16];
    size_t n = 99;
    for (size_t i = 0; i < sizeof url / sizeof url[0]; i++)
        ck_assert_msg(b64url_parse(url[i], strlen(url[i]), out, sizeof out, &n) == ERR_INVAL,
                      "'%s'", url[i]);
    for (size_t i = 0; i < sizeof std / sizeof std[0]; i++)
        ck_assert_msg(b64_parse(std[i], strlen(std[i]), out, sizeof out, &n) == ERR_INVAL, "'%s'",
                      std[i]);
    ck_assert_int_eq(b64url_parse("Zm\0v", 4, out, sizeof out, &n), ERR_INVAL);
    ck_assert_int_eq(b64url_parse("Zm9v", 4, out, 2, &n), ERR_TOOBIG);
    ck_assert_uint_eq(n, 99);
}
END_TEST

START_TEST(hex_and_random)
{
    uint8_t b[4];
    ck_assert_int_eq(hex_parse("00fF7a80", 8, b, 4), 0);
    ck_assert_mem_eq(b, "\x00\xff\x7a\x80", 4);
    ck_assert_int_eq(hex_parse("00ff7a8", 7, b, 4), ERR_INVAL);
    ck_assert_int_eq(hex_parse("00ff7a8g", 8, b, 4), ERR_INVAL);
    char one[65], two[65];
    ck_assert_int_eq(random_hex(one, 32), 0);
    ck_assert_int_eq(random_hex(two, 32), 0);
    ck_assert_uint_eq(strlen(one), 64);
    ck_assert_str_ne(one, two);
    ck_assert_int_eq(random_hex(one, 65), ERR_RANGE);
    ck_assert_int_eq(random_bytes(b, (size_t)INT_MAX + 1), ERR_RANGE);
}
END_TEST

CHECK_MAIN("base/digest", sha256_vectors, sha512_vectors, an_algorithm_has_one_name_and_one_length,
           hmac_vectors, digest_texts, base64_vectors, lenient_base64_is_refused, hex_and_random)
