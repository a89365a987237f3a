// SPDX-License-Identifier: Apache-2.0
// store/meta_retention.h: what the rules of a repository take away and why, what they leave, and that
// nothing goes that they had not seen, in one region and in two.
#include "store/meta_retention.h"

#include "store/meta_delete.h"
#include "tests/unit/store/meta_support.h"

#define DAY_MS 86400000ll

static struct region_store east, west;

static const char *const dev_globs[] = {"dev-*"};

static struct repository_policy policy(uint32_t keep_last, uint64_t untagged_ms)
{
    return (struct repository_policy){
        .match = "*",
        .retention = {.untagged_ms = untagged_ms, .keep_last = keep_last, .tags = {dev_globs, 1}}};
}

// As at a time that many days from now.
static struct retention_query query(const struct repository_policy *p, int days)
{
    return (struct retention_query){.registry = REG,
                                    .repository = "app",
                                    .policy = p,
                                    .now_ms = clock_wall_ms() + days * DAY_MS,
                                    .max = 100};
}

static struct retention_plan plan_of(struct region_store *s, const struct retention_query *q,
                                     struct arena *a)
{
    struct retention_plan plan;
    ck_assert_int_eq(meta_retention_plan(s->m, q, a, &plan), 0);
    return plan;
}

static struct retention_done run_of(struct region_store *s, const struct retention_query *q)
{
    struct arena a;
    struct retention_done done;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_retention_run(s->m, q, &a, &done), 0);
    ck_assert_ptr_null(done.next);
    arena_done(&a);
    return done;
}

static bool is_live(struct region_store *s, const char *text)
{
    struct arena a;
    struct manifest_row row;
    struct digest d = digest_str(text);
    arena_init(&a, 0);
    int rc = meta_manifest_get(s->m, REG, "app", NULL, &d, &a, &row);
    arena_done(&a);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    return rc == 0;
}

static void untag(struct region_store *s, const char *tag)
{
    struct arena a;
    struct delete_result r;
    const struct delete_request q = {.registry = REG, .repository = "app", .tag = tag, .by = "ada"};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_tag_delete(s->m, &q, &a, &r), 0);
    arena_done(&a);
}

static void put_at(struct region_store *s, const char *tag, const char *text)
{
    ck_assert_int_eq(put(s, "app", tag, text), 0);
}

static void put_with(struct region_store *s, const char *tag, const char *text, int kind,
                     const char *to)
{
    struct put_result r;
    const struct manifest_ref ref = {kind, digest_str(to), strlen(to)};
    ck_assert_int_eq(put_refs(s, "app", tag, text, &ref, 1, &r), 0);
}

static void lock(struct region_store *s, const char *tag, const char *text, bool del)
{
    struct digest d = digest_str(text ? text : "");
    const struct lock_request q = {.registry = REG,
                                   .repository = "app",
                                   .tag = tag,
                                   .digest = text ? &d : NULL,
                                   .del = del,
                                   .by = "ada"};
    uint64_t stamp;
    ck_assert_int_eq(meta_lock_set(s->m, &q, &stamp), 0);
}

// --- keep-last ---

START_TEST(the_newest_tags_stay)
{
    store_begin(&east, "eastus");
    struct arena a;
    arena_init(&a, 0);
    for (int i = 1; i <= 5; i++) {
        char tag[16], text[16];
        snprintf(tag, sizeof tag, "dev-%d", i);
        snprintf(text, sizeof text, "{%d}", i);
        put_at(&east, tag, text);
    }
    put_at(&east, "latest", "{1}"); // the rule does not name it
    put_at(&east, "dev-1", "{9}");  // and this one is the newest now
    struct repository_policy p = policy(2, 0);
    struct retention_query q = query(&p, 3);
    struct retention_plan plan = plan_of(&east, &q, &a);
    ck_assert_uint_eq(plan.n, 3);
    ck_assert_ptr_null(plan.next);
    ck_assert_str_eq(plan.rows[0].tag, "dev-2");
    ck_assert_str_eq(plan.rows[2].tag, "dev-4");
    ck_assert_str_eq(plan.rows[0].rule, "keep-last");
    ck_assert_str_eq(plan.rows[0].why, "it is not among the 2 newest tags that the rule names");
    ck_assert(!plan.rows[0].locked);
    ck_assert_int_ge(plan.rows[0].age_ms, 3 * DAY_MS);
    ck_assert_int_lt(plan.rows[0].age_ms, 4 * DAY_MS);
    expect_tag(&east, "app", "dev-2", "{2}"); // a plan changes nothing
    struct retention_done done = run_of(&east, &q);
    ck_assert(done.n_tags == 3 && done.n_manifests == 0 && done.n_kept == 0);
    expect_tag(&east, "app", "dev-2", NULL);
    expect_tag(&east, "app", "dev-5", "{5}");
    expect_tag(&east, "app", "dev-1", "{9}");
    expect_tag(&east, "app", "latest", "{1}");
    ck_assert(is_live(&east, "{2}")); // manifests are another rule's
    ck_assert_uint_eq(plan_of(&east, &q, &a).n, 0);
    p = policy(9, 0); // there are fewer
    ck_assert_uint_eq(plan_of(&east, &q, &a).n, 0);
    arena_done(&a);
    store_end(&east);
}
END_TEST

START_TEST(a_long_plan_comes_in_pages)
{
    store_begin(&east, "eastus");
    struct arena a;
    size_t n_tags = 0, n_manifests = 0, n_calls = 0;
    arena_init(&a, 0);
    for (int i = 0; i < 7; i++) {
        char tag[16], text[16];
        snprintf(tag, sizeof tag, "dev-%d", i);
        snprintf(text, sizeof text, "{%d}", i);
        put_at(&east, tag, text);
        snprintf(text, sizeof text, "{u%d}", i);
        put_at(&east, NULL, text);
    }
    struct repository_policy p = policy(1, DAY_MS);
    struct retention_query q = query(&p, 2);
    q.max = 3;
    do {
        struct retention_plan plan = plan_of(&east, &q, &a);
        ck_assert_uint_le(plan.n, 3);
        for (size_t i = 0; i < plan.n; i++) {
            if (plan.rows[i].tag)
                n_tags++;
            else
                n_manifests++;
        }
        q.after = plan.next;
        n_calls++;
    } while (q.after);
    ck_assert(n_tags == 6 && n_manifests == 7);
    ck_assert_uint_ge(n_calls, 5);
    q.after = RETENTION_FROM_START;
    ck_assert_uint_eq(plan_of(&east, &q, &a).n, 3);
    struct retention_plan plan;
    q.after = "nonsense";
    ck_assert_int_eq(meta_retention_plan(east.m, &q, &a, &plan), ERR_INVAL);
    q.after = "msha256:12";
    ck_assert_int_eq(meta_retention_plan(east.m, &q, &a, &plan), ERR_INVAL);
    q.after = NULL;
    q.repository = "nosuch";
    ck_assert_int_eq(meta_retention_plan(east.m, &q, &a, &plan), ERR_NOTFOUND);
    arena_done(&a);
    store_end(&east);
}
END_TEST

// --- untagged ---

START_TEST(what_nobody_names_goes_after_its_time)
{
    store_begin(&east, "eastus");
    struct arena a;
    arena_init(&a, 0);
    put_at(&east, NULL, "{never}");
    put_at(&east, "v1", "{old}");
    put_at(&east, "v1", "{new}"); // {old} has no tag from now on
    put_at(&east, NULL, "{child}");
    put_with(&east, "all", "{index}", REF_MANIFEST, "{child}");
    put_with(&east, NULL, "{signature}", REF_SUBJECT, "{new}");
    put_with(&east, NULL, "{orphan}", REF_SUBJECT, "{never was}");
    struct repository_policy p = policy(0, 7 * DAY_MS);
    struct retention_query q = query(&p, 6);
    ck_assert_uint_eq(plan_of(&east, &q, &a).n, 0);
    q = query(&p, 9);
    struct retention_plan plan = plan_of(&east, &q, &a);
    ck_assert_uint_eq(plan.n, 3);
    for (size_t i = 0; i < plan.n; i++) {
        struct digest orphan = digest_str("{orphan}");
        ck_assert_ptr_null(plan.rows[i].tag);
        ck_assert_str_eq(plan.rows[i].rule, "untagged");
        ck_assert_uint_gt(plan.rows[i].size_bytes, 0);
        if (digest_equal(&plan.rows[i].digest, &orphan))
            ck_assert_str_eq(plan.rows[i].why, "its subject is gone and no tag names it for 9 d, "
                                               "and the rule keeps it for 7 d");
        else
            ck_assert_str_eq(plan.rows[i].why, "no tag names it and no index refers to it for 9 d, "
                                               "and the rule keeps it for 7 d");
    }
    struct retention_done done = run_of(&east, &q);
    ck_assert(done.n_tags == 0 && done.n_manifests == 3);
    ck_assert(!is_live(&east, "{never}") && !is_live(&east, "{old}") &&
              !is_live(&east, "{orphan}"));
    ck_assert(is_live(&east, "{new}") && is_live(&east, "{signature}"));
    ck_assert(is_live(&east, "{child}") && is_live(&east, "{index}"));
    // What hangs on something goes after it.
    untag(&east, "all");
    untag(&east, "v1");
    done = run_of(&east, &q);
    ck_assert(done.n_manifests == 2 && is_live(&east, "{child}") && is_live(&east, "{signature}"));
    done = run_of(&east, &q);
    ck_assert(done.n_manifests == 2 && !is_live(&east, "{child}") &&
              !is_live(&east, "{signature}"));
    ck_assert_uint_eq(plan_of(&east, &q, &a).n, 0);
    arena_done(&a);
    store_end(&east);
}
END_TEST

// --- locks ---

START_TEST(what_is_locked_stays)
{
    store_begin(&east, "eastus");
    struct arena a;
    arena_init(&a, 0);
    put_at(&east, "dev-1", "{1}");
    put_at(&east, "dev-2", "{2}");
    put_at(&east, "dev-3", "{3}");
    put_at(&east, NULL, "{a}");
    put_at(&east, NULL, "{b}");
    lock(&east, "dev-1", NULL, true);
    lock(&east, NULL, "{a}", true);
    struct repository_policy p = policy(1, DAY_MS);
    struct retention_query q = query(&p, 2);
    struct retention_plan plan = plan_of(&east, &q, &a);
    ck_assert_uint_eq(plan.n, 4);
    ck_assert(plan.rows[0].locked && !plan.rows[1].locked);
    ck_assert_uint_eq(plan.rows[2].locked + plan.rows[3].locked, 1);
    struct retention_done done = run_of(&east, &q);
    ck_assert(done.n_tags == 1 && done.n_manifests == 1 && done.n_kept == 2);
    expect_tag(&east, "app", "dev-1", "{1}");
    ck_assert(is_live(&east, "{a}") && !is_live(&east, "{b}"));
    lock(&east, "dev-1", NULL, false);
    lock(&east, NULL, NULL, true); // the whole repository
    done = run_of(&east, &q);
    ck_assert(done.n_tags == 0 && done.n_manifests == 0 && done.n_kept == 3);
    arena_done(&a);
    store_end(&east);
}
END_TEST

// --- what was not seen wins ---

START_TEST(what_changed_since_it_was_judged_stays)
{
    store_begin(&east, "eastus");
    struct arena a;
    uint64_t stamp;
    arena_init(&a, 0);
    put_at(&east, "dev-1", "{1}");
    put_at(&east, "dev-2", "{2}");
    put_at(&east, NULL, "{u}");
    struct repository_policy p = policy(1, DAY_MS);
    struct retention_query q = query(&p, 2);
    struct retention_plan plan = plan_of(&east, &q, &a);
    ck_assert_uint_eq(plan.n, 2);
    put_at(&east, "dev-1", "{1}"); // the same again is a newer value
    put_at(&east, "kept", "{u}");
    for (size_t i = 0; i < plan.n; i++) {
        const struct retention_row *row = &plan.rows[i];
        const struct rule_delete r = {.registry = REG,
                                      .repository = "app",
                                      .tag = row->tag,
                                      .digest = row->tag ? NULL : &row->digest,
                                      .stamp = row->stamp,
                                      .epoch = row->epoch,
                                      .origin = row->origin,
                                      .rule = row->rule};
        ck_assert_int_eq(meta_rule_delete(east.m, &r, &stamp), ERR_CONFLICT);
    }
    expect_tag(&east, "app", "dev-1", "{1}");
    expect_tag(&east, "app", "kept", "{u}");
    arena_done(&a);
    store_end(&east);
}
END_TEST

static void jobs_run(struct region_store *s)
{
    for (size_t n = 1; n;) {
        struct arena a;
        struct job *jobs;
        struct digest missing;
        int64_t next;
        arena_init(&a, 0);
        ck_assert_int_eq(meta_jobs_due(s->m, clock_mono_ms(), 32, &a, &jobs, &n, &next), 0);
        for (size_t i = 0; i < n; i++)
            ck_assert_int_eq(
                meta_apply(s->m, &jobs[i].entry, jobs[i].entry.content, NULL, 0, &missing), 0);
        arena_done(&a);
    }
}

// All that `from` wrote arrives and is applied.
static void carry(struct region_store *from, struct region_store *to)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(from, from->region, &a, &e);
    struct feed_mark upto;
    ck_assert_int_eq(meta_head(from->m, from->region, &upto), 0);
    ck_assert_int_eq(meta_ingest(to->m, from->region, e, n, &upto), 0);
    arena_done(&a);
    jobs_run(to);
}

static void expect_same(void)
{
    AUTO_BUF struct buf e, w;
    buf_init(&e, 0);
    buf_init(&w, 0);
    listing(&east, &e);
    listing(&west, &w);
    ck_assert_str_eq(buf_cstr(&e), buf_cstr(&w));
}

// A region that is cut off tags, with 201, what a rule takes away elsewhere afterwards.
START_TEST(a_rule_takes_nothing_that_another_region_tagged_meanwhile)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    put_at(&east, "v1", "{m}");
    untag(&east, "v1");
    carry(&east, &west);
    put_at(&west, "keep", "{m}"); // east does not hear of it
    struct repository_policy p = policy(0, DAY_MS);
    struct retention_query q = query(&p, 2);
    ck_assert_uint_eq(run_of(&east, &q).n_manifests, 1); // by a later stamp than that of the tag
    ck_assert(!is_live(&east, "{m}"));
    carry(&east, &west);
    expect_tag(&west, "app", "keep", "{m}");
    carry(&west, &east);
    expect_tag(&east, "app", "keep", "{m}");
    expect_same();
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(a_rule_takes_no_tag_that_another_region_moved_meanwhile)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    put_at(&east, "dev-1", "{1}");
    put_at(&east, "dev-2", "{2}");
    carry(&east, &west);
    put_at(&west, "dev-1", "{w}");
    struct repository_policy p = policy(1, 0);
    struct retention_query q = query(&p, 1);
    ck_assert_uint_eq(run_of(&east, &q).n_tags, 1);
    expect_tag(&east, "app", "dev-1", NULL);
    carry(&west, &east);
    carry(&east, &west);
    expect_tag(&east, "app", "dev-1", "{w}");
    expect_same();
    store_end(&east);
    store_end(&west);
}
END_TEST

static void created_at(struct region_store *s, const char *tag, const char *text)
{
    struct put_result r;
    const struct manifest_put p = {.registry = REG,
                                   .repository = "app",
                                   .tag = tag,
                                   .digest = digest_str(text),
                                   .content = bytes_str(text),
                                   .media_type = "application/vnd.oci.image.manifest.v1+json",
                                   .create_only = true};
    ck_assert_int_eq(meta_manifest_put(s->m, &p, &r), 0);
}

// Such a tag has no other value, so its tombstone has to end that one, in every region.
START_TEST(a_rule_takes_a_tag_that_was_only_created)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    created_at(&east, "dev-1", "{1}");
    created_at(&east, "dev-2", "{2}");
    carry(&east, &west);
    expect_tag(&west, "app", "dev-1", "{1}");
    struct repository_policy p = policy(1, 0);
    struct retention_query q = query(&p, 1);
    ck_assert_uint_eq(run_of(&east, &q).n_tags, 1);
    expect_tag(&east, "app", "dev-1", NULL);
    carry(&east, &west);
    expect_tag(&west, "app", "dev-1", NULL);
    expect_tag(&west, "app", "dev-2", "{2}");
    expect_same();
    created_at(&west, "dev-1", "{3}"); // and anew
    carry(&west, &east);
    expect_tag(&east, "app", "dev-1", "{3}");
    expect_same();
    ck_assert_uint_eq(run_of(&east, &q).n_tags, 1); // dev-2 by now: dev-1 is the newest
    carry(&east, &west);
    expect_tag(&west, "app", "dev-2", NULL);
    expect_tag(&west, "app", "dev-1", "{3}");
    expect_same();
    store_end(&east);
    store_end(&west);
}
END_TEST

START_TEST(a_second_runner_does_no_harm)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    put_at(&east, "dev-1", "{1}");
    put_at(&east, "dev-2", "{2}");
    put_at(&east, NULL, "{u}");
    carry(&east, &west);
    struct repository_policy p = policy(1, DAY_MS);
    struct retention_query q = query(&p, 2);
    struct retention_done in_east = run_of(&east, &q), in_west = run_of(&west, &q);
    ck_assert(in_east.n_tags == 1 && in_east.n_manifests == 1);
    ck_assert(in_west.n_tags == 1 && in_west.n_manifests == 1);
    put_at(&west, "dev-1", "{again}"); // after both
    carry(&east, &west);
    carry(&west, &east);
    expect_same();
    expect_tag(&east, "app", "dev-1", "{again}");
    expect_tag(&east, "app", "dev-2", "{2}");
    ck_assert(!is_live(&east, "{u}") && !is_live(&west, "{u}"));
    store_end(&east);
    store_end(&west);
}
END_TEST

CHECK_MAIN("store/meta retention", the_newest_tags_stay, a_long_plan_comes_in_pages,
           what_nobody_names_goes_after_its_time, what_is_locked_stays,
           what_changed_since_it_was_judged_stays,
           a_rule_takes_nothing_that_another_region_tagged_meanwhile,
           a_rule_takes_no_tag_that_another_region_moved_meanwhile,
           a_rule_takes_a_tag_that_was_only_created, a_second_runner_does_no_harm)
