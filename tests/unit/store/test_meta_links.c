// SPDX-License-Identifier: Apache-2.0
// store/meta_links.h and store/meta_usage.h: when a blob exists in a repository, which generation
// serves, what is used, what is refused. Over every backend of metadata.
#include "store/meta_links.h"

#include "base/clock_test.h"
#include "store/meta_delete.h"
#include "store/meta_priv.h"
#include "tests/support/leases.h"
#include "tests/unit/store/meta_support.h"

#include <unistd.h>

static struct region_store east;

static const struct manifest_ref *ref_to(const char *blob)
{
    static struct manifest_ref refs[8];
    static size_t at;
    struct manifest_ref *r = &refs[at++ % ARRAY_LEN(refs)];
    *r = (struct manifest_ref){.kind = REF_BLOB, .digest = digest_str(blob), .size = strlen(blob)};
    return r;
}

static int give(const char *repo, const char *blob)
{
    struct digest d = digest_str(blob);
    return lease_give(east.m, REG, repo, &d, strlen(blob), NULL);
}

static int push(const char *repo, const char *tag, const char *text, const char *blob)
{
    struct put_result r;
    return put_refs(&east, repo, tag, text, ref_to(blob), 1, &r);
}

static struct blob_here look(const char *repo, const char *blob)
{
    struct digest d = digest_str(blob);
    struct blob_here here;
    ck_assert_int_eq(meta_blob_look(east.m, REG, repo, &d, &here), 0);
    ck_assert_uint_eq(here.size, strlen(blob));
    return here;
}

static void expect_absent(const char *repo, const char *blob)
{
    struct digest d = digest_str(blob);
    struct blob_here here;
    ck_assert_int_eq(meta_blob_look(east.m, REG, repo, &d, &here), ERR_NOTFOUND);
}

static void expect_usage(const char *repo, uint64_t bytes, uint64_t blobs, uint64_t manifests,
                         uint64_t tags)
{
    struct usage u;
    ck_assert_int_eq(meta_usage_get(east.m, REG, repo, &u), 0);
    ck_assert_uint_eq(u.bytes, bytes);
    ck_assert_uint_eq(u.blobs, blobs);
    ck_assert_uint_eq(u.manifests, manifests);
    ck_assert_uint_eq(u.tags, tags);
}

// --- a manifest goes, and a hold goes, as the rules do it ---

struct step {
    const char *repo, *text;
};

static void manifest_dies(const char *repo, const char *text)
{
    struct digest d = digest_str(text);
    struct delete_result out;
    struct arena a;
    arena_init(&a, 0);
    const struct delete_request r = {
        .registry = REG, .repository = repo, .digest = &d, .by = "ada"};
    ck_assert_int_eq(meta_manifest_delete(east.m, &r, &a, &out), 0);
    arena_done(&a);
}

static int drop_run(struct tx *tx, void *arg)
{
    const struct step *s = arg;
    struct digest d = digest_str(s->text);
    int64_t repo;
    int rc = repo_find(tx, REG, s->repo, &repo);
    if (!rc)
        rc = hold_drop(tx, repo, &d, strlen(s->text));
    return rc;
}

static void hold_goes(const char *repo, const char *blob)
{
    struct step s = {repo, blob};
    ck_assert_int_eq(meta_write(east.m, drop_run, &s, false), 0);
}

static int state_run(struct tx *tx, void *arg)
{
    const struct blob_row *row = arg;
    return blob_row_set(tx, row);
}

static void blob_becomes(const char *blob, enum blob_state state)
{
    struct digest d = digest_str(blob);
    struct tx *tx;
    struct blob_row row;
    ck_assert_int_eq(backend_read(east.m->b, &tx), 0);
    ck_assert_int_eq(blob_row_get(tx, &d, &row), 0);
    tx_end(tx);
    row.state = state;
    row.since_ms = clock_mono_ms();
    ck_assert_int_eq(meta_write(east.m, state_run, &row, false), 0);
}

static enum blob_state state_of(const char *blob)
{
    struct digest d = digest_str(blob);
    struct tx *tx;
    struct blob_row row;
    ck_assert_int_eq(backend_read(east.m->b, &tx), 0);
    ck_assert_int_eq(blob_row_get(tx, &d, &row), 0);
    tx_end(tx);
    return row.state;
}

// --- links and leases ---

START_TEST(a_link_follows_the_manifests_and_a_lease_takes_over)
{
    store_begin(&east, "eastus");
    expect_absent("app", "layer");
    ck_assert_int_eq(push("app", "1", "{one}", "layer"), ERR_NOTFOUND);
    ck_assert_int_eq(give("app", "layer"), 0);
    ck_assert(!look("app", "layer").linked);
    expect_absent("other", "layer");
    ck_assert_int_eq(push("app", "1", "{one}", "layer"), 0);
    ck_assert_int_eq(push("app", "2", "{two}", "layer"), 0);
    ck_assert_int_eq(push("app", "3", "{two}", "layer"), 0); // the same manifest counts once
    ck_assert(look("app", "layer").linked);
    manifest_dies("app", "{one}");
    ck_assert(look("app", "layer").linked);
    manifest_dies("app", "{two}");
    ck_assert(!look("app", "layer").linked); // between a HEAD that said 200 and its PUT
    ck_assert_int_eq(push("app", "3", "{three}", "layer"), 0);
    ck_assert(look("app", "layer").linked);
    store_end(&east);
}
END_TEST

static bool named(void *ctx, const char *repository)
{
    return strcmp(repository, ctx) == 0;
}

START_TEST(any_repository_of_the_registry_is_a_source)
{
    store_begin(&east, "eastus");
    struct digest d = digest_str("layer");
    struct blob_here here;
    struct link_row *rows;
    struct arena a;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(give("secret", "layer"), 0);
    ck_assert_int_eq(give("open", "layer"), 0);
    ck_assert_int_eq(lease_give(east.m, "fabrikam", "app", &d, 5, NULL), 0);
    ck_assert_int_eq(meta_blob_look_any(east.m, REG, &d, named, (char[]){"open"}, &here), 0);
    ck_assert(here.size == 5 && !here.linked);
    ck_assert_int_eq(meta_blob_look_any(east.m, REG, &d, named, (char[]){"app"}, &here),
                     ERR_NOTFOUND);
    ck_assert_int_eq(meta_links_of(east.m, &d, 9, &a, &rows, &n), 0);
    ck_assert_uint_eq(n, 3);
    arena_done(&a);
    store_end(&east);
}
END_TEST

START_TEST(a_hold_revives_a_condemned_blob)
{
    store_begin(&east, "eastus");
    struct digest d = digest_str("layer");
    struct blob_name name;
    uint64_t size;
    const struct lease_add mount = {.registry = REG, .repository = "app", .digest = d};
    struct lease_result r;
    ck_assert_int_eq(meta_lease_add(east.m, &mount, &r), ERR_NOTFOUND);
    ck_assert_int_eq(give("app", "layer"), 0);
    hold_goes("app", "layer");
    blob_becomes("layer", BLOB_CONDEMNED);
    ck_assert_int_eq(meta_blob_find(east.m, &d, &name, &size), 0);
    ck_assert_int_eq(meta_lease_add(east.m, &mount, &r), 0);
    ck_assert_int_eq(state_of("layer"), BLOB_LIVE);
    ck_assert_uint_eq(r.size, 5);
    hold_goes("app", "layer");
    blob_becomes("layer", BLOB_DELETED);
    ck_assert_int_eq(meta_blob_find(east.m, &d, &name, &size), ERR_NOTFOUND);
    ck_assert_int_eq(meta_lease_add(east.m, &mount, &r), ERR_NOTFOUND); // its bytes are going
    ck_assert_int_eq(state_of("layer"), BLOB_DELETED);
    store_end(&east);
}
END_TEST

static struct lease_result publish(const char *blob, const char *generation)
{
    struct blob_name name = {.digest = digest_str(blob)};
    snprintf(name.generation, sizeof name.generation, "%s", generation);
    struct lease_add add = {.registry = REG,
                            .repository = "app",
                            .digest = name.digest,
                            .published = &name,
                            .size = strlen(blob)};
    struct lease_result r;
    ck_assert_int_eq(meta_lease_add(east.m, &add, &r), 0);
    ck_assert_str_eq(look("app", blob).name.generation, r.serves.generation);
    return r;
}

#define GEN_1 "0000000000000001"
#define GEN_2 "0000000000000002"
#define GEN_3 "0000000000000003"

START_TEST(the_row_says_which_generation_serves)
{
    store_begin(&east, "eastus");
    struct lease_result r = publish("layer", GEN_1);
    ck_assert(!r.replaced);
    r = publish("layer", GEN_1); // the same PUT again
    ck_assert(!r.replaced);
    r = publish("layer", GEN_2); // the one before may be damaged
    ck_assert_str_eq(r.serves.generation, GEN_2);
    ck_assert(r.replaced);
    ck_assert_str_eq(r.old.generation, GEN_1);
    hold_goes("app", "layer");
    blob_becomes("layer", BLOB_DELETED);
    r = publish("layer", GEN_3); // its file is being removed: that generation only
    ck_assert_str_eq(r.serves.generation, GEN_3);
    ck_assert(r.replaced);
    ck_assert_int_eq(state_of("layer"), BLOB_LIVE);
    store_end(&east);
}
END_TEST

START_TEST(a_head_renews_a_lease_at_half_and_nothing_else)
{
    clock_virtual_set(clock_wall_ms()); // it stands still but for what sleeps
    store_begin(&east, "eastus");
    ck_assert_int_eq(give("app", "layer"), 0);
    meta_set_lease_grace(east.m, 400);
    clock_sleep_ms(50);
    struct blob_here here = look("app", "layer");
    ck_assert_int_ge(here.age_ms, 50);
    ck_assert_int_eq(meta_lease_renew(east.m, REG, "app", &here), 0);
    ck_assert_int_ge(look("app", "layer").age_ms, 50); // not yet
    clock_sleep_ms(200);
    here = look("app", "layer");
    ck_assert_int_eq(meta_lease_renew(east.m, REG, "app", &here), 0);
    ck_assert_int_lt(look("app", "layer").age_ms, 200);
    ck_assert_int_eq(push("app", "1", "{one}", "layer"), 0);
    here = look("app", "layer");
    ck_assert_int_eq(here.age_ms, 0);
    here.age_ms = 1000000;
    ck_assert_int_eq(meta_lease_renew(east.m, REG, "app", &here), 0);
    here = (struct blob_here){.name.digest = digest_str("absent"), .age_ms = 1000000};
    ck_assert_int_eq(meta_lease_renew(east.m, REG, "app", &here), ERR_NOTFOUND);
    clock_virtual_off();
    store_end(&east);
}
END_TEST

// Grace is counted anew: nobody knows how long the region stood still.
START_TEST(a_start_gives_every_lease_its_whole_grace)
{
    store_begin(&east, "eastus");
    ck_assert_int_eq(give("app", "layer"), 0);
    ck_assert_int_eq(give("app", "other"), 0);
    hold_goes("app", "other");
    blob_becomes("other", BLOB_CONDEMNED);
    clock_sleep_ms(300);
    ck_assert_int_ge(look("app", "layer").age_ms, 300);
    int64_t closed_ms = clock_mono_ms();
    meta_close(east.m);
    store_reopen(&east);
    ck_assert_int_le(look("app", "layer").age_ms, clock_mono_ms() - closed_ms);
    struct tx *tx;
    struct arena a;
    struct hold_row *holds;
    struct blob_row *blobs;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(backend_read(east.m->b, &tx), 0);
    ck_assert_int_eq(leases_before(tx, closed_ms, 9, &a, &holds, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(leases_before(tx, INT64_MAX, 9, &a, &holds, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(blobs_in(tx, BLOB_CONDEMNED, closed_ms, 9, &a, &blobs, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(blobs_in(tx, BLOB_CONDEMNED, INT64_MAX, 9, &a, &blobs, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(blobs_in(tx, BLOB_DELETED, INT64_MAX, 9, &a, &blobs, &n), 0);
    ck_assert_uint_eq(n, 0);
    tx_end(tx);
    arena_done(&a);
    store_end(&east);
}
END_TEST

START_TEST(blobs_are_walked_in_the_order_of_digests)
{
    store_begin(&east, "eastus");
    struct tx *tx;
    struct arena a;
    struct blob_row *rows;
    struct digest at;
    size_t n, n_all = 0;
    arena_init(&a, 0);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(give("app", (char[]){(char)('a' + i), 0}), 0);
    ck_assert_int_eq(backend_read(east.m->b, &tx), 0);
    ck_assert_int_eq(blobs_after(tx, NULL, 3, &a, &rows, &n), 0);
    while (n) {
        for (size_t i = 0; i < n; i++, n_all++) {
            if (n_all)
                ck_assert_int_lt(memcmp(at.b, rows[i].name.digest.b, at.n), 0);
            at = rows[i].name.digest;
        }
        ck_assert_int_eq(blobs_after(tx, &at, 3, &a, &rows, &n), 0);
    }
    ck_assert_uint_eq(n_all, 10);
    tx_end(tx);
    arena_done(&a);
    store_end(&east);
}
END_TEST

// --- pulls ---

START_TEST(pulls_are_kept_to_the_hour)
{
    store_begin(&east, "eastus");
    struct digest d = digest_str("{one}"), absent = digest_str("{absent}");
    int64_t at_ms;
    ck_assert_int_eq(put(&east, "app", "1", "{one}"), 0);
    ck_assert_int_eq(meta_pulled_get(east.m, REG, "app", &d, &at_ms), ERR_NOTFOUND);
    int64_t before_ms = clock_wall_ms();
    for (int i = 0; i < 1000; i++)
        meta_pulled(east.m, REG, "app", &d);
    meta_pulled(east.m, REG, "app", &absent);
    meta_pulled(east.m, REG, "nowhere", &d);
    ck_assert_int_eq(meta_pulled_get(east.m, REG, "app", &d, &at_ms), ERR_NOTFOUND);
    ck_assert_int_eq(meta_pulled_flush(east.m), 0);
    ck_assert_int_eq(meta_pulled_get(east.m, REG, "app", &d, &at_ms), 0);
    ck_assert_int_eq(at_ms % META_PULLED_GRAIN_MS, 0);
    ck_assert_int_gt(at_ms, before_ms - META_PULLED_GRAIN_MS);
    ck_assert_int_le(at_ms, clock_wall_ms());
    ck_assert_int_eq(meta_pulled_get(east.m, REG, "app", &absent, &at_ms), ERR_NOTFOUND);
    meta_pulled(east.m, REG, "app", &d); // not flushed: lost with the process, and freed
    meta_close(east.m);
    store_reopen(&east);
    ck_assert_int_eq(meta_pulled_get(east.m, REG, "app", &d, &at_ms), 0);
    // many at once: those that find no room are noted when they are pulled again
    for (int i = 0; i < 5000; i++) {
        char text[32];
        snprintf(text, sizeof text, "{none %d}", i);
        struct digest other = digest_str(text);
        meta_pulled(east.m, REG, "app", &other);
    }
    ck_assert_int_eq(meta_pulled_flush(east.m), 0);
    ck_assert_int_eq(meta_pulled_flush(east.m), 0);
    store_end(&east);
}
END_TEST

// --- usage and quotas ---

START_TEST(usage_follows_what_comes_and_goes)
{
    store_begin(&east, "eastus");
    struct usage_row *rows;
    struct arena a;
    size_t n;
    expect_usage(NULL, 0, 0, 0, 0);
    expect_usage("app", 0, 0, 0, 0);
    ck_assert_int_eq(give("app", "layer"), 0);
    ck_assert_int_eq(give("app", "layer"), 0);
    expect_usage("app", 5, 1, 0, 0);
    ck_assert_int_eq(push("app", "1", "{one}", "layer"), 0);
    ck_assert_int_eq(push("app", "2", "{one}", "layer"), 0);
    ck_assert_int_eq(push("app", "2", "{one}", "layer"), 0);
    expect_usage("app", 10, 1, 1, 2);
    ck_assert_int_eq(give("lib", "layer"), 0); // once for the registry
    ck_assert_int_eq(give("lib", "other!"), 0);
    expect_usage("lib", 11, 2, 0, 0);
    expect_usage(NULL, 16, 2, 1, 2);
    struct digest d = digest_str("layer");
    ck_assert_int_eq(lease_give(east.m, "fabrikam", "app", &d, 5, NULL), 0);
    expect_usage(NULL, 16, 2, 1, 2);
    arena_init(&a, 0);
    ck_assert_int_eq(meta_usage_list(east.m, REG, NULL, 9, &a, &rows, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(rows[1].repository, "lib");
    ck_assert_uint_eq(rows[1].usage.bytes, 11);
    ck_assert_int_eq(meta_usage_list(east.m, REG, "app", 9, &a, &rows, &n), 0);
    ck_assert_uint_eq(n, 1);
    arena_done(&a);
    manifest_dies("app", "{one}");
    expect_usage("app", 5, 1, 0, 0);
    hold_goes("app", "layer");
    expect_usage("app", 0, 0, 0, 0);
    expect_usage(NULL, 11, 2, 0, 0);
    hold_goes("lib", "layer");
    expect_usage(NULL, 6, 1, 0, 0);
    meta_close(east.m);
    store_reopen(&east);
    expect_usage(NULL, 6, 1, 0, 0);
    store_end(&east);
}
END_TEST

static int give_within(const char *repo, const char *blob, uint64_t registry, uint64_t repository,
                       struct lease_result *r)
{
    const struct blob_name name = {.digest = digest_str(blob)};
    const struct usage_limits limits = {registry, repository};
    const struct lease_add add = {.registry = REG,
                                  .repository = repo,
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = strlen(blob),
                                  .limits = &limits};
    return meta_lease_add(east.m, &add, r);
}

START_TEST(a_quota_refuses_what_is_pushed_here)
{
    store_begin(&east, "eastus");
    struct lease_result r;
    struct usage_over over;
    ck_assert_int_eq(give_within("app", "12345", 0, 5, &r), 0);
    ck_assert_int_eq(give_within("app", "12345", 1, 1, &r), 0); // it adds nothing
    ck_assert_int_eq(give_within("app", "6", 100, 5, &r), ERR_QUOTA);
    ck_assert(!r.over.of_registry);
    ck_assert_uint_eq(r.over.use_bytes, 5);
    ck_assert_uint_eq(r.over.limit_bytes, 5);
    ck_assert_uint_eq(r.over.more_bytes, 1);
    expect_absent("app", "6");
    expect_usage("app", 5, 1, 0, 0);
    ck_assert_int_eq(give_within("lib", "678", 7, 0, &r), ERR_QUOTA);
    ck_assert(r.over.of_registry);
    ck_assert_uint_eq(r.over.use_bytes, 5);
    ck_assert_int_eq(give_within("lib", "12345", 5, 5, &r), 0); // the registry has it already
    ck_assert_int_eq(give_within("lib", "123456789", UINT64_MAX, 14, &r), 0);
    // what another region wrote comes in all the same, and shows as over
    ck_assert_int_eq(give("app", "replicated"), 0);
    expect_usage("app", 15, 2, 0, 0);
    const struct usage_limits limits = {.repository_bytes = 5};
    ck_assert_int_eq(meta_quota_look(east.m, REG, "app", &limits, 1, &over), ERR_QUOTA);
    ck_assert_uint_eq(over.use_bytes, 15);
    ck_assert_int_eq(meta_quota_look(east.m, REG, "new", &limits, 5, &over), 0);
    ck_assert_int_eq(meta_quota_look(east.m, REG, "new", &limits, 6, &over), ERR_QUOTA);
    ck_assert_int_eq(meta_quota_look(east.m, REG, "app", NULL, UINT64_MAX, &over), 0);
    store_end(&east);
}
END_TEST

START_TEST(a_quota_refuses_a_manifest)
{
    store_begin(&east, "eastus");
    const struct usage_limits limits = {.repository_bytes = 8};
    struct manifest_put p = {.registry = REG,
                             .repository = "app",
                             .digest = digest_str("{one}"),
                             .media_type = TYPE,
                             .content = bytes_str("{one}"),
                             .tag = "1",
                             .limits = &limits};
    struct put_result r;
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &r), 0);
    uint64_t seq = head_seq(&east, "eastus");
    p.tag = "2";
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &r), 0); // it is here
    p.digest = digest_str("{two}");
    p.content = bytes_str("{two}");
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &r), ERR_QUOTA);
    ck_assert_uint_eq(r.over.use_bytes, 5);
    ck_assert_uint_eq(r.over.more_bytes, 5);
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq + 1); // nothing was announced
    expect_usage("app", 5, 0, 1, 2);
    store_end(&east);
}
END_TEST

CHECK_MAIN("store/meta links", a_link_follows_the_manifests_and_a_lease_takes_over,
           any_repository_of_the_registry_is_a_source, a_hold_revives_a_condemned_blob,
           the_row_says_which_generation_serves, a_head_renews_a_lease_at_half_and_nothing_else,
           a_start_gives_every_lease_its_whole_grace, blobs_are_walked_in_the_order_of_digests,
           pulls_are_kept_to_the_hour, usage_follows_what_comes_and_goes,
           a_quota_refuses_what_is_pushed_here, a_quota_refuses_a_manifest)
