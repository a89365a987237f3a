// SPDX-License-Identifier: Apache-2.0
// A replica that is about to go takes no writes any more: what it would take, nobody else would ever
// read. What it has is served to the end.
#include "tests/unit/registry/registry_fixture.h"

#define APP "/v2/team/app"

static char *token_all;

static int put(const char *tag, const char *text)
{
    AUTO_FREE char *target = mem_printf(APP "/manifests/%s", tag);
    return status_of(send_with("PUT", target, REGIONAL, token_all, "Content-Type", OCI_MANIFEST,
                               text, strlen(text), 0));
}

static int ask(const char *method, const char *target)
{
    return status_of(send_with(method, target, REGIONAL, token_all, NULL, NULL, NULL, 0, 0));
}

START_TEST(it_takes_no_writes_and_serves_what_it_has)
{
    char config[DIGEST_TEXT_SIZE];
    world_up();
    token_all = token_make("[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\","
                           "\"push\",\"delete\"]}]");
    blob_push("team/app", "{}", config);
    AUTO_FREE char *text = manifest_text(config, 2, ""), *more = manifest_text(config, 2, " ");
    AUTO_FREE char *blob = mem_printf(APP "/blobs/%s", config);
    ck_assert_int_eq(put("1", text), 201);
    world_replica_leaves = true;
    ck_assert_int_eq(put("2", more), 503);
    ck_assert_int_eq(put("1", more), 503);
    struct exchange x = send_plain("POST", APP "/blobs/uploads/");
    ck_assert_int_eq(x.resp.status, 503);
    ck_assert(body_has(&x, "leaves"));
    ck_assert_str_ne(header_of(&x, "Retry-After"), "");
    exchange_end(&x);
    ck_assert_int_eq(ask("DELETE", APP "/manifests/1"), 503);
    ck_assert_int_eq(ask("GET", APP "/manifests/1"), 200);
    ck_assert_int_eq(ask("GET", APP "/manifests/2"), 404);
    ck_assert_int_eq(ask("GET", blob), 200);
    // it stays after all
    world_replica_leaves = false;
    ck_assert_int_eq(put("2", more), 201);
    free(token_all);
    world_down();
}
END_TEST

CHECK_MAIN("registry/leaving", it_takes_no_writes_and_serves_what_it_has)
