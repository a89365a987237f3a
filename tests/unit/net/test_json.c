// SPDX-License-Identifier: Apache-2.0
// net/json: texts in buffers with a ceiling, and bytes that are exactly as many as asked for.
#include "net/json.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <string.h>

START_TEST(a_text_goes_behind_what_is_there)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 24);
    buf_str(&b, "head ");
    ck_assert_int_eq(json_text_add(json_pack("{s:i}", "a", 1), &b), 0);
    ck_assert_str_eq(buf_cstr(&b), "head {\"a\":1}");
    ck_assert_int_eq(json_text_add(json_pack("{s:s}", "a", "too long for it"), &b), ERR_TOOBIG);
    ck_assert_str_eq(buf_cstr(&b), "head {\"a\":1}");
}
END_TEST

START_TEST(what_could_not_be_made_is_no_memory)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(json_text_add(NULL, &b), ERR_NOMEM);
    ck_assert_uint_eq(b.n, 0);
}
END_TEST

START_TEST(bytes_come_back_as_they_were)
{
    uint8_t in[64], out[64] = {0};
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 37 + 1);
    json_t *o = json_pack("{s:o}", "g", json_binary(in, sizeof in));
    ck_assert(json_binary_take(o, "g", out, sizeof out));
    ck_assert_mem_eq(in, out, sizeof in);
    json_decref(o);
}
END_TEST

START_TEST(other_sizes_and_other_forms_are_refused)
{
    static const char *const forms[] = {"AAECA",  // stray bits
                                        "AAE",    // two bytes
                                        "AAECAw", // four
                                        "AAE=",   // padded
                                        "AA+C",   // of the other alphabet
                                        " AAEC",  // a blank
                                        ""};
    uint8_t out[3];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        json_t *o = json_pack("{s:s}", "g", forms[i]);
        ck_assert_msg(!json_binary_take(o, "g", out, sizeof out), "\"%s\"", forms[i]);
        json_decref(o);
    }
    json_t *o = json_pack("{s:s, s:i, s:n}", "good", "AAEC", "number", 7, "null");
    ck_assert(json_binary_take(o, "good", out, sizeof out));
    ck_assert(!json_binary_take(o, "number", out, sizeof out));
    ck_assert(!json_binary_take(o, "null", out, sizeof out));
    ck_assert(!json_binary_take(o, "absent", out, sizeof out));
    ck_assert(!json_binary_take(NULL, "good", out, sizeof out));
    json_decref(o);
}
END_TEST

CHECK_MAIN("net/json", a_text_goes_behind_what_is_there, what_could_not_be_made_is_no_memory,
           bytes_come_back_as_they_were, other_sizes_and_other_forms_are_refused)
