// SPDX-License-Identifier: Apache-2.0
// control/entry, control/place: one form out, all that is malformed refused, and the signature
// covers every byte that counts.
#include "control/entry.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/signing_key.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct signing_key *key_of(uint8_t first)
{
    const uint8_t seed[32] = {first};
    struct signing_key *k = NULL;
    ck_assert_int_eq(signing_key_of_seed(seed, &k), 0);
    return k;
}

// A line without a signature, whose body is `body`.
static char *line_with(const char *body)
{
    json_t *o = json_pack(
        "{s:i, s:i, s:s, s:s, s:s, s:s}", "e", 1, "s", 42, "p",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "k", "root", "g",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAA",
        "b", body);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

#define BODY(more)                                                                         \
    "{\"kind\":\"change\",\"time\":1764460800000,\"by\":\"operator:ada\",\"topology\":43," \
    "\"principals\":7" more "}"
#define P "1:42:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define D "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

START_TEST(a_body_is_read_as_it_was_written)
{
    const struct control_record records[] = {
        {"operation/0001", "{\"b\": [1, 2.5, null], \"a\": \"\\u00e9\\n\"}"},
        {"request/abcdef", NULL},
    };
    const struct control_body b = {.kind = CONTROL_CHANGE,
                                   .time_ms = 1764460800000,
                                   .by = "operator:ada",
                                   .request = "0011",
                                   .topology = 43,
                                   .principals = 7,
                                   .frame = bytes_str("version: 43\n# \"quoted\"\n"),
                                   .change = bytes_str("remove: [contoso]\n"),
                                   .principals_text = bytes_str("users: []\n"),
                                   .records = records,
                                   .n_records = 2};
    struct control_body out;
    struct arena a;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    arena_init(&a, 0);
    ck_assert_int_eq(control_body_format(&b, &text), 0);
    ck_assert_int_eq(control_body_parse(bytes_of(text.p, text.n), &a, NULL, &out), 0);
    ck_assert_int_eq(out.kind, b.kind);
    ck_assert_int_eq(out.time_ms, b.time_ms);
    ck_assert_str_eq(out.by, b.by);
    ck_assert_str_eq(out.request, b.request);
    ck_assert_uint_eq(out.topology, 43);
    ck_assert_uint_eq(out.principals, 7);
    ck_assert(bytes_equal(out.frame, b.frame));
    ck_assert(bytes_equal(out.change, b.change));
    ck_assert(bytes_equal(out.principals_text, b.principals_text));
    ck_assert_uint_eq(out.n_records, 2);
    ck_assert_str_eq(out.records[0].key, "operation/0001");
    ck_assert_str_eq(out.records[0].value, "{\"a\":\"\xc3\xa9\\n\",\"b\":[1,2.5,null]}");
    ck_assert_ptr_null(out.records[1].value);
    arena_done(&a);
}
END_TEST

START_TEST(places_in_bodies_are_read)
{
    static const struct {
        const char *body;
        enum control_kind kind;
    } all[] = {
        {"{\"kind\":\"takeover\",\"time\":1,\"by\":\"root-key\",\"topology\":1,\"principals\":0,"
         "\"takeover\":{\"from\":\"" P "\",\"later\":true}}",
         CONTROL_TAKEOVER},
        {"{\"kind\":\"checkpoint\",\"time\":1,\"by\":\"eastus\",\"topology\":1,\"principals\":0,"
         "\"checkpoint\":{\"at\":\"" P "\",\"digest\":\"" D "\"}}",
         CONTROL_CHECKPOINT},
        {"{\"kind\":\"confirm\",\"time\":1,\"by\":\"root-key\",\"topology\":1,\"principals\":0,"
         "\"confirm\":{\"upto\":\"" P "\"}}",
         CONTROL_CONFIRM},
        {"{\"kind\":\"of-tomorrow\",\"what\":[1]}", CONTROL_UNKNOWN},
        {BODY(",\"unknown\":{\"is\":\"kept\"}"), CONTROL_CHANGE},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct arena a;
        struct control_entry e;
        arena_init(&a, 0);
        AUTO_FREE char *line = line_with(all[i].body);
        ck_assert_int_eq(control_entry_parse(bytes_str(line), &a, NULL, &e), 0);
        ck_assert_int_eq(e.body.kind, all[i].kind);
        // the very bytes go on
        ck_assert(bytes_equal(e.text, bytes_str(all[i].body)));
        AUTO_BUF struct buf out;
        buf_init(&out, 0);
        control_entry_format(&e, &out);
        ck_assert_uint_eq(out.p[out.n - 1], '\n');
        ck_assert(!strncmp(out.p, line, out.n - 1));
        arena_done(&a);
    }
}
END_TEST

START_TEST(malformed_entries_are_refused)
{
    static const char *const bodies[] = {
        "",
        "7",
        "[]",
        "{}",
        "{\"kind\":1}",
        "{\"kind\":\"change\"}",
        "{\"kind\":\"change\",\"time\":1,\"topology\":1,\"principals\":0}", // nobody
        "{\"kind\":\"change\",\"time\":-1,\"by\":\"a\",\"topology\":1,\"principals\":0}",
        "{\"kind\":\"change\",\"time\":1.5,\"by\":\"a\",\"topology\":1,\"principals\":0}",
        "{\"kind\":\"change\",\"time\":1,\"by\":\"\",\"topology\":1,\"principals\":0}",
        BODY(",\"frame\":7"),
        BODY(",\"frame\":\"\""),
        BODY(",\"change\":null"),
        BODY(",\"principalsText\":[]"),
        BODY(",\"records\":{}"),
        BODY(",\"records\":[7]"),
        BODY(",\"records\":[{\"key\":\"a b\",\"value\":1}]"),
        BODY(",\"records\":[{\"key\":\"a\"}]"),
        BODY(",\"records\":[{\"value\":1}]"),
        BODY(",\"time\":2"), // twice
        "{\"kind\":\"takeover\",\"time\":1,\"by\":\"a\",\"topology\":1,\"principals\":0}",
        "{\"kind\":\"takeover\",\"time\":1,\"by\":\"a\",\"topology\":1,\"principals\":0,"
        "\"takeover\":{\"from\":\"1:2\"}}",
        "{\"kind\":\"checkpoint\",\"time\":1,\"by\":\"a\",\"topology\":1,\"principals\":0,"
        "\"checkpoint\":{\"at\":\"" P "\"}}",
    };
    static const char *const lines[] = {
        "",
        "\n",
        "null",
        "{}",
        "[]",
        "{\"e\":1}",
        "{\"e\":0,\"s\":1,\"p\":\"" D "\",\"k\":\"root\",\"g\":\"AA\",\"b\":\"{}\"}",
        "{\"e\":1,\"s\":0,\"p\":\"" D "\",\"k\":\"root\",\"g\":\"AA\",\"b\":\"{}\"}",
        "{\"e\":1,\"s\":1,\"p\":\"00\",\"k\":\"root\",\"g\":\"AA\",\"b\":\"{}\"}",
        "{\"e\":1,\"s\":1,\"p\":\"" D "\",\"k\":\"Root!\",\"g\":\"AA\",\"b\":\"{}\"}",
        "{\"e\":1,\"s\":1,\"p\":\"" D "\",\"k\":\"root\",\"g\":\"AA\",\"b\":\"{}\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies) + ARRAY_LEN(lines); i++) {
        struct arena a;
        struct control_entry e;
        struct diag d;
        AUTO_FREE char *made = NULL;
        const char *line;
        if (i < ARRAY_LEN(bodies))
            line = made = line_with(bodies[i]);
        else
            line = lines[i - ARRAY_LEN(bodies)];
        arena_init(&a, 0);
        diag_init(&d);
        ck_assert_msg(control_entry_parse(bytes_str(line), &a, &d, &e) == ERR_INVAL, "%s", line);
        ck_assert_msg(diag_count(&d) == 1, "%s", line);
        diag_done(&d);
        arena_done(&a);
    }
}
END_TEST

START_TEST(a_signature_is_of_place_chain_and_body)
{
    struct arena a;
    struct control_entry e, was;
    AUTO_FREE char *line = line_with(BODY(""));
    AUTO_BUF struct buf out;
    struct signing_key *root = key_of(1), *other = key_of(2);
    buf_init(&out, 0);
    arena_init(&a, 0);
    ck_assert_int_eq(control_entry_sign(bytes_str(line), root, NULL, &out), 0);
    ck_assert_int_eq(control_entry_parse(bytes_of(out.p, out.n), &a, NULL, &e), 0);
    ck_assert_str_eq(e.key, "root");
    ck_assert_int_eq(control_entry_verify(&e, signing_key_spki(root)), 0);
    ck_assert_int_eq(control_entry_verify(&e, signing_key_spki(other)), ERR_AUTH);
    was = e;
    e.place.epoch++;
    ck_assert_int_eq(control_entry_verify(&e, signing_key_spki(root)), ERR_AUTH);
    e = was;
    e.place.seq++;
    ck_assert_int_eq(control_entry_verify(&e, signing_key_spki(root)), ERR_AUTH);
    e = was;
    e.before[31] ^= 1;
    ck_assert_int_eq(control_entry_verify(&e, signing_key_spki(root)), ERR_AUTH);
    e = was;
    char body[sizeof BODY("")];
    memcpy(body, e.text.p, e.text.n);
    body[10] ^= 1;
    e.text.p = (const uint8_t *)body;
    ck_assert_int_eq(control_entry_verify(&e, signing_key_spki(root)), ERR_AUTH);
    // the hash is of the same
    struct control_entry again = was;
    ck_assert_int_eq(control_entry_hash(&again), 0);
    ck_assert(control_place_same(&again.place, &was.place));
    ck_assert_int_eq(control_entry_hash(&e), 0);
    ck_assert(!control_place_same(&e.place, &was.place));
    // what is signed, as docs/control-feed.md has it
    AUTO_BUF struct buf signed_bytes;
    buf_init(&signed_bytes, 0);
    control_entry_signed(&was, &signed_bytes);
    uint8_t digest[32];
    char hex[65], want[512];
    sha256(BODY(""), strlen(BODY("")), digest);
    hex_format(digest, 32, hex);
    snprintf(want, sizeof want, "meridian control entry 1\n1\n42\n" D "\n%s\n", hex);
    ck_assert_str_eq(buf_cstr(&signed_bytes), want);
    signing_key_free(root);
    signing_key_free(other);
    arena_done(&a);
}
END_TEST

START_TEST(places_have_one_text)
{
    static const char *const bad[] = {
        "",           "1",
        "1:2",        "1:2:",
        "1:2:00",     "01:2:" D,
        "1:02:" D,    "-1:2:" D,
        "1: 2:" D,    "99999999999999999999:2:" D,
        "1:2:" D "0", "1:2:00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff",
    };
    struct control_place p = {0}, q;
    char text[CONTROL_PLACE_TEXT_SIZE];
    ck_assert_int_eq(control_place_parse(P, strlen(P), &p), 0);
    ck_assert_uint_eq(p.epoch, 1);
    ck_assert_uint_eq(p.seq, 42);
    ck_assert_str_eq(control_place_format(&p, text), P);
    ck_assert_int_eq(control_place_parse("1:0:" D, strlen("1:0:" D), &q), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(control_place_parse(bad[i], strlen(bad[i]), &q) == ERR_INVAL, "%s", bad[i]);
    q = p;
    ck_assert(control_place_same(&p, &q));
    q.seq++;
    ck_assert_int_lt(control_place_compare(&p, &q), 0);
    q.seq = 1;
    q.epoch = 2;
    ck_assert_int_lt(control_place_compare(&p, &q), 0);
    ck_assert_int_gt(control_place_compare(&q, &p), 0);
}
END_TEST

CHECK_MAIN("control/entry", a_body_is_read_as_it_was_written, places_in_bodies_are_read,
           malformed_entries_are_refused, a_signature_is_of_place_chain_and_body,
           places_have_one_text)
