// SPDX-License-Identifier: Apache-2.0
// Quotas at the edge: 403 with use and limit, before bytes come, at the end of an upload, of a mount
// and of a manifest; and the leases that HEAD renews.
#include "registry/registry.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/registry/registry_fixture.h"

static int expect_refused(struct exchange x, const char *words)
{
    int status = x.resp.status;
    ck_assert_int_eq(status, 403);
    ck_assert(body_has(&x, "DENIED"));
    ck_assert_msg(body_has(&x, words), "the answer does not say: %s", words);
    exchange_end(&x);
    return status;
}

static struct exchange blob_post(const char *repository, const char *text)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(text, strlen(text), digest);
    AUTO_FREE char *target = mem_printf("/v2/%s/blobs/uploads/?digest=%s", repository, digest);
    return send_body("POST", target, text, strlen(text));
}

static struct exchange manifest_put(const char *repository, const char *content)
{
    char config[DIGEST_TEXT_SIZE];
    digest_text(content, strlen(content), config);
    AUTO_FREE char *text = manifest_text(config, strlen(content), "");
    AUTO_FREE char *target = mem_printf("/v2/%s/manifests/1", repository);
    return send_with("PUT", target, REGIONAL, token_push, "Content-Type", OCI_MANIFEST, text,
                     strlen(text), 99);
}

START_TEST(a_repository_is_held_to_its_quota)
{
    world_quota = 1000;
    world_repository_quota = 100;
    world_up();
    char text[90];
    memset(text, 'x', sizeof text);
    text[89] = '\0';
    ck_assert_int_eq(status_of(blob_post("team/app", text)), 201);
    ck_assert_int_eq(status_of(blob_post("team/app", text)), 201); // it is there already
    expect_refused(blob_post("team/app", "another blob"),
                   "repository team/app is used up in region eastus: it uses 89 of 100 bytes, and "
                   "this needs 12 more");
    expect_refused(manifest_put("team/app", text), "it uses 89 of 100 bytes");
    ck_assert_int_eq(status_of(blob_post("team/other", "another blob")), 201);
    ck_assert_int_eq(status_of(blob_post("team/app", "ten bytes.")), 201);
    ck_assert_int_eq(status_of(send_body("POST", "/v2/team/app/blobs/uploads/", "", 0)), 202);
    ck_assert_int_eq(status_of(blob_post("team/app", ".")), 201); // 100
    expect_refused(send_body("POST", "/v2/team/app/blobs/uploads/", "", 0),
                   "it uses 100 of 100 bytes");
    world_down();
    world_quota = world_repository_quota = 0;
}
END_TEST

START_TEST(a_registry_is_held_to_its_quota)
{
    world_quota = 100;
    world_up();
    char text[90], digest[DIGEST_TEXT_SIZE];
    memset(text, 'x', sizeof text);
    text[89] = '\0';
    ck_assert_int_eq(status_of(blob_post("team/app", text)), 201);
    expect_refused(blob_post("team/other", "another blob"),
                   "registry contoso is used up in region eastus: it uses 89 of 100 bytes");
    digest_text(text, strlen(text), digest);
    AUTO_FREE char *mount =
        mem_printf("/v2/team/other/blobs/uploads/?mount=%s&from=team/app", digest);
    ck_assert_int_eq(status_of(send_body("POST", mount, "", 0)), 201); // once in the registry
    world_down();
    world_quota = 0;
}
END_TEST

static int64_t lease_age(const char *repository, const char *text)
{
    struct digest d;
    struct blob_here here;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, strlen(text), &d), 0);
    ck_assert_int_eq(meta_blob_look(world_meta, "contoso", repository, &d, &here), 0);
    ck_assert(!here.linked);
    return here.age_ms;
}

// The wall clock stays, by which tokens expire.
static void mono_advance(int64_t ms)
{
    clock_virtual_advance(ms);
    clock_virtual_jump_wall(-ms);
}

START_TEST(who_may_push_renews_a_lease_by_head)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    blob_push("team/app", "layer", digest);
    AUTO_FREE char *target = mem_printf("/v2/team/app/blobs/%s", digest);
    mono_advance(META_LEASE_GRACE_MS / 4);
    int64_t old_ms = lease_age("team/app", "layer");
    ck_assert_int_ge(old_ms, META_LEASE_GRACE_MS / 4);
    ck_assert_int_eq(status_of(send_plain("HEAD", target)), 200);
    ck_assert_int_eq(lease_age("team/app", "layer"), old_ms); // most of it is left
    mono_advance(META_LEASE_GRACE_MS / 2);
    old_ms = lease_age("team/app", "layer");
    ck_assert_int_eq(
        status_of(send_with("HEAD", target, REGIONAL, token_pull, NULL, NULL, NULL, 0, 0)), 200);
    ck_assert_int_eq(lease_age("team/app", "layer"), old_ms); // he may not push
    ck_assert_int_eq(status_of(send_plain("GET", target)), 200);
    ck_assert_int_eq(lease_age("team/app", "layer"), old_ms);
    ck_assert_int_eq(status_of(send_plain("HEAD", target)), 200);
    ck_assert_int_lt(lease_age("team/app", "layer"), 1000);
    world_down();
}
END_TEST

CHECK_MAIN("registry/quota", a_repository_is_held_to_its_quota, a_registry_is_held_to_its_quota,
           who_may_push_renews_a_lease_by_head)
