// SPDX-License-Identifier: Apache-2.0
// registry/oci_error: every kind of refusal has a code of the table, and errors are the
// specification's JSON, whatever the text.
#include "registry/oci_error.h"

#include "base/bytes.h"
#include "net/http_test.h"
#include "tests/support/check_main.h"

#include <jansson.h>
#include <string.h>

START_TEST(every_kind_has_a_code)
{
    for (int kind = 0; kind < N_REFUSALS; kind++) {
        const char *code = oci_words.code((enum refusal)kind);
        bool known = false;
        for (int i = 0; i < OCI_N_CODES; i++)
            known = known || !strcmp(code, oci_code_text((enum oci_code)i));
        ck_assert_msg(known, "kind %d: %s", kind, code);
    }
    ck_assert_str_eq(oci_words.code(REFUSED_DENIED), "DENIED");
    ck_assert_str_eq(oci_words.code(REFUSED_FILE_GONE), "BLOB_UNKNOWN");
    ck_assert_str_eq(oci_words.code(REFUSED_TOO_LARGE), "SIZE_INVALID");
    ck_assert_str_eq(oci_words.code(REFUSED_BUSY), "TOOMANYREQUESTS");
}
END_TEST

static json_t *first_of(struct bytes body)
{
    json_t *root = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    json_t *one = json_array_get(json_object_get(root, "errors"), 0);
    ck_assert_ptr_nonnull(one);
    json_incref(one);
    json_decref(root);
    return one;
}

static const char *text_of(const json_t *one, const char *key)
{
    return json_string_value(json_object_get(one, key));
}

START_TEST(errors_are_json)
{
    struct http_request *req = http_request_test_new("GET", "/v2/", "h");
    struct http_response resp = {0};
    oci_error(req, &resp, 404, OCI_BLOB_UNKNOWN, "sha256:1", "no \"%s\"", "blob\n");
    ck_assert_int_eq(resp.status, 404);
    ck_assert_str_eq(http_response_get(&resp, "Content-Type"), "application/json");
    ck_assert_str_eq(req->refused_code, "BLOB_UNKNOWN");
    json_t *one = first_of(resp.body);
    ck_assert_str_eq(text_of(one, "code"), "BLOB_UNKNOWN");
    ck_assert_str_eq(text_of(one, "message"), "no \"blob\n\"");
    ck_assert_str_eq(text_of(one, "detail"), "sha256:1");
    json_decref(one);
    oci_error(req, &resp, 500, OCI_UNKNOWN, NULL, "%s", "\xff not UTF-8");
    one = first_of(resp.body);
    ck_assert_str_eq(text_of(one, "code"), "UNKNOWN");
    json_decref(one);
    http_request_test_free(req);
}
END_TEST

// What rooms below refuse comes in the words of the server that was asked.
START_TEST(refusals_of_other_rooms_have_the_words)
{
    struct http_request *req = http_request_test_new("GET", "/", "h");
    struct http_response resp = {0};
    http_refuse(req, &resp, 403, REFUSED_DENIED, "not %s", "you");
    ck_assert(bytes_equal(resp.body, bytes_str("DENIED: not you\n")));
    req->words = &oci_words;
    http_refuse(req, &resp, 403, REFUSED_DENIED, "not %s", "you");
    ck_assert(bytes_equal(
        resp.body, bytes_str("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not you\"}]}")));
    serve_refuse(req, &resp, 429, "later");
    ck_assert_str_eq(http_response_get(&resp, "Retry-After"), "10");
    ck_assert_str_eq(req->refused_code, "TOOMANYREQUESTS");
    resp = (struct http_response){0};
    serve_method(req, &resp, "POST", "by POST");
    ck_assert_int_eq(resp.status, 405);
    ck_assert_str_eq(http_response_get(&resp, "Allow"), "POST");
    http_request_test_free(req);
}
END_TEST

CHECK_MAIN("registry/oci_error", every_kind_has_a_code, errors_are_json,
           refusals_of_other_rooms_have_the_words)
