// SPDX-License-Identifier: Apache-2.0
// fleet/beat: a beat is the writer region's word and nobody else's, and nothing of it can be changed.
#include "fleet/beat.h"

#include "base/err.h"
#include "base/fd.h"
#include "certs/keys.h"
#include "tests/support/check_main.h"

#include <string.h>

struct place_keys { // of two regions
    char dir[2][64];
    struct region_keys *keys[2];
};

static void keys_make(struct place_keys *k)
{
    static const char *const names[] = {"eastus", "westus"};
    for (int i = 0; i < 2; i++) {
        struct diag d;
        diag_init(&d);
        strcpy(k->dir[i], "/tmp/beat.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(k->dir[i]));
        ck_assert_int_eq(region_keys_create(k->dir[i], names[i], &d), 0);
        ck_assert_int_eq(region_keys_open(k->dir[i], names[i], &d, &k->keys[i]), 0);
        diag_done(&d);
    }
}

static void keys_done(struct place_keys *k)
{
    for (int i = 0; i < 2; i++) {
        region_keys_free(k->keys[i]);
        dir_remove_tree(k->dir[i]);
    }
}

static struct topology *topology_of(const struct place_keys *k, const char *writer)
{
    AUTO_BUF struct buf b;
    struct topology *t = NULL;
    struct diag d;
    buf_init(&b, 0);
    buf_printf(&b,
               "version: 1\ndomain: example.io\nregions:\n  - name: eastus\n    stamps: [{ name: "
               "s-1, ipv4: [127.77.0.1] }]\n    peer: 127.77.0.1:9443\n  - name: westus\n    "
               "stamps: [{ name: s-1, ipv4: [127.77.0.2] }]\n    peer: 127.77.0.2:9443\n"
               "name_servers: [s-1.eastus]\ncontrol:\n  root: \"%s\"\n  writer: %s\nidentities:\n",
               region_keys_feed_spki(k->keys[0]), writer); // any Ed25519 key
    for (int i = 0; i < 2; i++)
        buf_printf(&b, "  %s:\n    control_keys: [{ id: %s, key: \"%s\" }]\n",
                   i ? "westus" : "eastus", region_keys_control_id(k->keys[i]),
                   region_keys_control_spki(k->keys[i]));
    diag_init(&d);
    if (topology_parse(b.p, b.n, "t.yaml", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    return t;
}

START_TEST(the_writers_word_counts_and_no_other)
{
    struct place_keys k;
    keys_make(&k);
    struct topology *east = topology_of(&k, "eastus"), *west = topology_of(&k, "westus");
    struct control_place p = {.epoch = 3, .seq = 77};
    struct beat b, read;
    memset(p.hash, 0xab, sizeof p.hash);
    ck_assert_int_eq(beat_sign(k.keys[0], &p, 1764460800000, &b), 0);
    ck_assert_int_eq(beat_verify(&b, east), 0);
    ck_assert_int_eq(beat_verify(&b, west), ERR_AUTH); // another region writes

    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    beat_format(&b, &text);
    ck_assert_uint_le(text.n, BEAT_LINE_MAX);
    ck_assert_int_eq(beat_parse(bytes_of(text.p, text.n), &read), 0);
    ck_assert(control_place_same(&read.place, &p));
    ck_assert_int_eq(read.time_ms, b.time_ms);
    ck_assert_int_eq(beat_verify(&read, east), 0);

    struct beat other = b;
    other.time_ms++;
    ck_assert_int_eq(beat_verify(&other, east), ERR_AUTH);
    other = b;
    other.place.seq++;
    ck_assert_int_eq(beat_verify(&other, east), ERR_AUTH);
    other = b;
    other.place.hash[31] ^= 1;
    ck_assert_int_eq(beat_verify(&other, east), ERR_AUTH);
    strcpy(other.key, "eastus-ctl-00000000");
    ck_assert_int_eq(beat_verify(&other, east), ERR_AUTH);
    ck_assert_int_eq(beat_sign(NULL, &p, 1, &b), ERR_NOTFOUND);
    snapshot_unref(east);
    snapshot_unref(west);
    keys_done(&k);
}
END_TEST

START_TEST(an_answer_is_for_who_asked)
{
    static const uint8_t asked[BEAT_NONCE_BYTES] = {1, 2, 3}, before[BEAT_NONCE_BYTES] = {1, 2};
    struct place_keys k;
    keys_make(&k);
    struct topology *east = topology_of(&k, "eastus"), *west = topology_of(&k, "westus");
    struct control_place p = {.epoch = 3, .seq = 77};
    struct beat b, read, other;
    ck_assert_int_eq(beat_sign(k.keys[0], &p, 1764460800000, &b), 0);
    ck_assert_int_eq(beat_answers(&b, asked, east), ERR_AUTH); // it has none
    ck_assert_int_eq(beat_answer(NULL, asked, &b), ERR_NOTFOUND);
    ck_assert_int_eq(beat_answer(k.keys[1], asked, &b), ERR_NOTFOUND); // another one's beat
    ck_assert(!b.has_answer);
    ck_assert_int_eq(beat_answer(k.keys[0], asked, &b), 0);

    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    beat_format(&b, &text);
    ck_assert_uint_le(text.n, BEAT_LINE_MAX);
    ck_assert_int_eq(beat_parse(bytes_of(text.p, text.n), &read), 0);
    ck_assert_int_eq(beat_verify(&read, east), 0);
    ck_assert_int_eq(beat_answers(&read, asked, east), 0);
    ck_assert_int_eq(beat_answers(&read, before, east), ERR_AUTH);
    ck_assert_int_eq(beat_answers(&read, asked, west), ERR_AUTH);
    // it is of that beat and of no other, and a beat's signature is no answer
    other = read;
    other.time_ms++;
    ck_assert_int_eq(beat_answers(&other, asked, east), ERR_AUTH);
    other = read;
    other.place.seq++;
    ck_assert_int_eq(beat_answers(&other, asked, east), ERR_AUTH);
    other = read;
    memcpy(other.answer, other.signature, sizeof other.answer);
    ck_assert_int_eq(beat_answers(&other, asked, east), ERR_AUTH);
    other = read;
    memcpy(other.nonce, before, sizeof other.nonce); // kept from before, under another name
    ck_assert_int_eq(beat_answers(&other, before, east), ERR_AUTH);
    snapshot_unref(east);
    snapshot_unref(west);
    keys_done(&k);
}
END_TEST

START_TEST(what_is_no_beat)
{
#define HASH "abababababababababababababababababababababababababababababababab"
#define SIG "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define NONCE "000102030405060708090a0b0c0d0e0f"
    static const char good[] =
        "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"" HASH "\",\"time\":5},\"k\":\"a\",\"g\":\"" SIG "\"}";
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"" HASH "\",\"time\":5},\"k\":\"a\",\"g\":\"AAAA\"}",
        "{\"beat\":{\"e\":-1,\"s\":2,\"p\":\"" HASH "\",\"time\":5},\"k\":\"a\",\"g\":\"" SIG "\"}",
        "{\"beat\":{\"e\":1,\"s\":2.5,\"p\":\"" HASH "\",\"time\":5},\"k\":\"a\",\"g\":\"" SIG
        "\"}",
        "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"ab\",\"time\":5},\"k\":\"a\",\"g\":\"" SIG "\"}",
        "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"" HASH "\",\"time\":5},\"k\":\"\",\"g\":\"" SIG "\"}",
        "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"" HASH "\",\"time\":\"5\"},\"k\":\"a\",\"g\":\"" SIG
        "\"}",
        "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"" HASH "\",\"time\":5},\"k\":\"a\",\"g\":\"" SIG
        "\",\"n\":\"00\",\"a\":\"" SIG "\"}",
        "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"" HASH "\",\"time\":5},\"k\":\"a\",\"g\":\"" SIG
        "\",\"n\":7}",
        "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"" HASH "\",\"time\":5},\"k\":\"a\",\"g\":\"" SIG
        "\",\"n\":\"" NONCE "\"}",
    };
    struct beat b;
    ck_assert_int_eq(beat_parse(bytes_str(good), &b), 0);
    ck_assert(!b.has_answer);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(beat_parse(bytes_str(bad[i]), &b), ERR_INVAL);
    char key[400];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_printf(&text,
               "{\"beat\":{\"e\":1,\"s\":2,\"p\":\"" HASH "\",\"time\":5},\"k\":\"%s\",\"g\":\"" SIG
               "\"}",
               key);
    ck_assert_int_eq(beat_parse(bytes_of(text.p, text.n), &b), ERR_INVAL);
}
END_TEST

CHECK_MAIN("fleet/beat", the_writers_word_counts_and_no_other, an_answer_is_for_who_asked,
           what_is_no_beat)
