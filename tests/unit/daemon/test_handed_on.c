// SPDX-License-Identifier: Apache-2.0
// daemon/handed_on: what the writer said is passed on as it is; what something in between said
// becomes an error that tells who answered what.
#include "daemon/handed_on.h"

#include "tests/support/check_main.h"

#include <string.h>

static int status;

static json_t *answer(int of_writer, const char *body)
{
    struct fleet_answer a = {.status = of_writer};
    buf_init(&a.body, 1 << 20);
    buf_str(&a.body, body);
    json_t *doc = handed_on_answer("eastus", &a, &status);
    fleet_answer_done(&a);
    ck_assert_ptr_nonnull(doc);
    return doc;
}

static void expect_same(int of_writer, const char *body)
{
    json_t *was = json_loads(body, 0, NULL), *is = answer(of_writer, body);
    ck_assert_int_eq(status, of_writer);
    ck_assert(json_equal(was, is));
    json_decref(was);
    json_decref(is);
}

START_TEST(what_the_engine_says_is_passed_on)
{
    expect_same(202, "{\"operation\":{\"id\":\"0123456789abcdef\"}}");
    expect_same(200, "{\"whatIf\":{\"exit\":10}}");
    expect_same(200, "{\"code\":\"NothingToDo\",\"message\":\"it is so already\"}");
    expect_same(409, "{\"error\":{\"code\":\"Refused\",\"message\":\"no\"}}");
    expect_same(503, "{\"error\":{\"code\":\"NoMajority\",\"message\":\"wait\"}}");
}
END_TEST

static void expect_strange(int of_writer, const char *body, const char *told)
{
    json_t *doc = answer(of_writer, body);
    const json_t *error = json_object_get(doc, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *why = json_string_value(json_object_get(error, "message"));
    char number[32];
    snprintf(number, sizeof number, "status %d", of_writer);
    ck_assert_int_eq(status, 503);
    ck_assert_str_eq(code, "Unavailable");
    ck_assert_msg(strstr(why, "the writer region eastus") && strstr(why, number), "%s", why);
    ck_assert_msg(strstr(why, told) && strstr(why, "meridian operation list"), "%s", why);
    ck_assert_uint_lt(strlen(why), 512);
    json_decref(doc);
}

START_TEST(what_something_else_says_is_told_with_its_status)
{
    expect_strange(502, "<html>\r\n<h1>502 Bad Gateway</h1>",
                   "\"<html>  <h1>502 Bad Gateway</h1>\"");
    expect_strange(
        503, "{\"errors\":[{\"code\":\"UNAVAILABLE\",\"message\":\"region eastus is not ready\"}]}",
        "\"region eastus is not ready\"");
    expect_strange(200, "", "\"\"");
    expect_strange(200, "[]", "\"[]\"");
    expect_strange(202, "{\"operation\":", "\"{\"operation\":\"");
    expect_strange(500, "{\"error\":\"text\"}", "{\"error\":\"text\"}");
    expect_strange(200, "\x01\xff\x7f", "\"   \"");
}
END_TEST

START_TEST(little_is_repeated_of_a_long_one)
{
    static char body[100000];
    memset(body, 'x', sizeof body - 1);
    expect_strange(413, body, "xxxx");
}
END_TEST

CHECK_MAIN("daemon/handed_on", what_the_engine_says_is_passed_on,
           what_something_else_says_is_told_with_its_status, little_is_repeated_of_a_long_one)
