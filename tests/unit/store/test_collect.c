// SPDX-License-Identifier: Apache-2.0
// store/collect.h, store/meta_collect.h, store/orphans.h: what goes, what comes in between, and what
// a step that fails leaves. Files of a real folder, over every backend of metadata.
#include "store/collect.h"

#include "base/clock_test.h"
#include "store/files/files.h"
#include "store/files/files_test.h"
#include "store/meta_delete.h"
#include "store/meta_priv.h"
#include "store/orphans.h"
#include "store/publish.h"
#include "tests/unit/store/links_check.h"
#include "tests/unit/store/meta_support.h"

#include <sys/stat.h>
#include <unistd.h>

static struct region_store east;
static struct blob_store *bs;
static int64_t wall_shift_ms;

int64_t __real_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void);

int64_t __wrap_clock_wall_ms(void)
{
    return __real_clock_wall_ms() + wall_shift_ms;
}

static void begin(int64_t grace_ms)
{
    store_begin(&east, "eastus");
    ck_assert_int_eq(blob_files_open(east.dir, &bs), 0);
    meta_set_lease_grace(east.m, grace_ms);
    wall_shift_ms = 0;
}

static void end(void)
{
    blob_store_close(bs);
    if (!east.db)
        links_check(east.path);
    store_end(&east);
}

static void restart(void)
{
    int64_t grace_ms = meta_lease_grace(east.m);
    blob_store_close(bs);
    meta_close(east.m);
    store_reopen(&east);
    ck_assert_int_eq(blob_files_open(east.dir, &bs), 0);
    meta_set_lease_grace(east.m, grace_ms);
}

// --- what people do ---

static void upload(const char *repo, const char *blob)
{
    struct blob_name name;
    struct lease_result r;
    ck_assert_int_eq(blob_put(bs, blob, strlen(blob), &name), 0);
    const struct lease_add add = {.registry = REG,
                                  .repository = repo,
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = strlen(blob)};
    ck_assert_int_eq(blob_publish(bs, east.m, &add, &r), 0);
}

static int mount(const char *repo, const char *blob)
{
    struct lease_result r;
    const struct lease_add add = {.registry = REG, .repository = repo, .digest = digest_str(blob)};
    return meta_lease_add(east.m, &add, &r);
}

static int push(const char *repo, const char *text, const char *blob)
{
    const struct manifest_ref ref = {
        .kind = REF_BLOB, .digest = digest_str(blob), .size = strlen(blob)};
    struct put_result r;
    return put_refs(&east, repo, "latest", text, &ref, 1, &r);
}

static int look(const char *repo, const char *blob, struct blob_here *out)
{
    struct digest d = digest_str(blob);
    return meta_blob_look(east.m, REG, repo, &d, out);
}

static bool exists(const char *repo, const char *blob)
{
    struct blob_here here;
    return look(repo, blob, &here) == 0;
}

// What exists can be read, whole.
static void expect_whole(const char *repo, const char *blob)
{
    struct blob_here here;
    ck_assert_int_eq(look(repo, blob, &here), 0);
    ck_assert_int_eq(blob_verify(bs, &here.name, 0, NULL), 0);
}

static int manifest_dies(const char *repo, const char *text)
{
    struct digest d = digest_str(text);
    struct delete_result out;
    struct arena a;
    arena_init(&a, 0);
    const struct delete_request r = {
        .registry = REG, .repository = repo, .digest = &d, .by = "ada"};
    int rc = meta_manifest_delete(east.m, &r, &a, &out);
    arena_done(&a);
    return rc;
}

// --- the steps ---

static struct arena step_arena;
static struct blob_name *step_names;
static size_t step_n;
static struct collect_counts done;

static void step_leases(void)
{
    clock_sleep_ms(2);
    ck_assert_int_eq(meta_collect_leases(east.m, 16, &done), 0);
}

static void step_blobs(void)
{
    clock_sleep_ms(2);
    step_n = 0;
    ck_assert_int_eq(meta_collect_blobs(east.m, 16, &step_arena, &step_names, &step_n, &done), 0);
}

static void step_unlink(void)
{
    for (size_t i = 0; i < step_n; i++) {
        int rc = blob_remove(bs, &step_names[i]);
        ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    }
}

static void step_removed(void)
{
    ck_assert_int_eq(meta_collect_removed(east.m, step_names, step_n), 0);
}

static void (*const steps[])(void) = {step_leases, step_blobs, step_unlink, step_removed};

static void steps_run(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        steps[i]();
}

static struct collect_counts collect_all(void)
{
    struct collect_counts c = {0};
    for (int i = 0; i < 4; i++) {
        clock_sleep_ms(2);
        ck_assert_int_eq(collect_turn(bs, east.m, &c), 0);
    }
    return c;
}

static size_t n_files(void)
{
    struct blob_walk at = {0};
    struct blob_name list[64];
    size_t n, all = 0;
    while (!at.ended) {
        ck_assert_int_eq(blob_walk(bs, &at, list, ARRAY_LEN(list), &n), 0);
        all += n;
    }
    return all;
}

START_TEST(what_nobody_needs_goes_step_by_step)
{
    begin(0);
    struct digest d = digest_str("layer");
    struct blob_name name;
    uint64_t size;
    upload("app", "layer");
    upload("app", "linked");
    ck_assert_int_eq(push("app", "{one}", "linked"), 0);
    arena_init(&step_arena, 0);
    step_leases();
    ck_assert(!exists("app", "layer"));
    ck_assert_uint_eq(done.n_leases, 1);
    ck_assert_uint_eq(done.n_condemned, 1);
    ck_assert_int_eq(meta_blob_find(east.m, &d, &name, &size), 0);
    ck_assert_int_eq(blob_verify(bs, &name, 0, NULL), 0); // its bytes are there
    step_blobs();
    ck_assert_uint_eq(step_n, 1);
    ck_assert_int_eq(meta_blob_find(east.m, &d, &name, &size), ERR_NOTFOUND);
    step_unlink();
    step_removed();
    ck_assert_uint_eq(n_files(), 1);
    expect_whole("app", "linked");
    arena_done(&step_arena);
    struct collect_counts c = collect_all();
    ck_assert_uint_eq(c.n_leases + c.n_deleted + c.n_removed, 0);
    ck_assert_int_eq(manifest_dies("app", "{one}"), 0);
    c = collect_all();
    ck_assert_uint_eq(c.n_removed, 1);
    ck_assert_uint_eq(c.bytes_removed, 6);
    ck_assert_uint_eq(n_files(), 0);
    end();
}
END_TEST

START_TEST(grace_keeps_what_is_being_pushed)
{
    begin(60000);
    upload("app", "layer");
    wall_shift_ms = 25 * 3600000; // a jump of the wall clock ends no grace
    struct collect_counts c = collect_all();
    ck_assert_uint_eq(c.n_leases, 0);
    wall_shift_ms = -25 * 3600000;
    c = collect_all();
    ck_assert_uint_eq(c.n_leases, 0);
    ck_assert_int_eq(push("app", "{one}", "layer"), 0);
    // the manifest goes between a HEAD that said 200 and the PUT that trusts in it
    expect_whole("app", "layer");
    ck_assert_int_eq(manifest_dies("app", "{one}"), 0);
    c = collect_all();
    ck_assert_uint_eq(c.n_leases, 0);
    ck_assert_int_eq(push("app", "{two}", "layer"), 0);
    expect_whole("app", "layer");
    end();
}
END_TEST

START_TEST(a_condemned_blob_waits_for_its_part_of_the_grace)
{
    clock_virtual_set(clock_wall_ms()); // it stands still but for what sleeps
    begin(META_CONDEMNED_PART * 200);
    upload("app", "layer");
    struct collect_counts c = {0};
    clock_sleep_ms(5);
    meta_set_lease_grace(east.m, 0);
    ck_assert_int_eq(meta_collect_leases(east.m, 16, &c), 0);
    ck_assert_uint_eq(c.n_condemned, 1);
    meta_set_lease_grace(east.m, META_CONDEMNED_PART * 200);
    ck_assert_int_eq(collect_turn(bs, east.m, &c), 0);
    ck_assert_uint_eq(c.n_deleted, 0);
    clock_sleep_ms(250);
    ck_assert_int_eq(collect_turn(bs, east.m, &c), 0);
    ck_assert_uint_eq(c.n_removed, 1);
    clock_virtual_off();
    end();
}
END_TEST

// --- between two steps ---

// Each says whether "layer" must exist in "app" afterwards.
static bool nothing(void)
{
    return false;
}

static bool upload_again(void)
{
    upload("app", "layer");
    return true;
}

static bool mount_it(void)
{
    int rc = mount("app", "layer"); // as an inbound job does whose blob is here, too
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    return rc == 0;
}

static bool head_and_push(void)
{
    struct blob_here here;
    int rc = look("app", "layer", &here);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    if (rc)
        return false;
    ck_assert_int_eq(meta_lease_renew(east.m, REG, "app", &here), 0);
    ck_assert_int_eq(push("app", "{one}", "layer"), 0);
    return true;
}

static bool upload_and_push(void)
{
    upload("app", "layer");
    ck_assert_int_eq(push("app", "{one}", "layer"), 0);
    return true;
}

static bool restart_all(void)
{
    restart();
    return false;
}

static bool (*const acts[])(void) = {nothing,       upload_again,    mount_it,
                                     head_and_push, upload_and_push, restart_all};

static void interrupt(size_t at, size_t act)
{
    meta_set_lease_grace(east.m, 0);
    arena_init(&step_arena, 0);
    upload("app", "layer");
    steps_run(0, at);
    bool must = acts[act]();
    // a lease that was made just now lasts; what ran before was judged with none
    meta_set_lease_grace(east.m, 60000);
    steps_run(at, ARRAY_LEN(steps));
    if (must || exists("app", "layer"))
        expect_whole("app", "layer");
    collect_all();
    if (must)
        expect_whole("app", "layer");
    // and in the end nothing is left that nobody needs
    meta_set_lease_grace(east.m, 0);
    (void)manifest_dies("app", "{one}");
    collect_all();
    blob_retired_remove(bs, INT64_MAX);
    ck_assert(!exists("app", "layer"));
    ck_assert_msg(n_files() == 0, "step %zu, act %zu leaves a file", at, act);
    arena_done(&step_arena);
}

START_TEST(what_comes_between_two_steps_is_kept)
{
    begin(0);
    for (size_t at = 0; at <= ARRAY_LEN(steps); at++)
        for (size_t act = 0; act < ARRAY_LEN(acts); act++)
            interrupt(at, act);
    end();
}
END_TEST

START_TEST(a_crash_after_any_step_is_made_good)
{
    begin(0);
    for (size_t at = 0; at <= ARRAY_LEN(steps); at++) {
        meta_set_lease_grace(east.m, 0);
        arena_init(&step_arena, 0);
        upload("app", "layer");
        steps_run(0, at);
        restart();
        collect_all();
        ck_assert_uint_eq(n_files(), 0);
        ck_assert(!exists("app", "layer"));
        upload("app", "layer");
        meta_set_lease_grace(east.m, 60000);
        collect_all();
        expect_whole("app", "layer");
        arena_done(&step_arena);
        meta_set_lease_grace(east.m, 0);
        collect_all();
    }
    end();
}
END_TEST

START_TEST(content_of_a_dead_manifest_goes_after_its_grace)
{
    begin(60000);
    struct digest d = digest_str("{one}");
    struct arena a;
    struct bytes content;
    struct collect_item *items;
    const char *type, *after;
    size_t n;
    int64_t at_ms;
    arena_init(&a, 0);
    upload("app", "layer");
    ck_assert_int_eq(push("app", "{one}", "layer"), 0);
    meta_pulled(east.m, REG, "app", &d);
    ck_assert_int_eq(meta_pulled_flush(east.m), 0);
    ck_assert_int_eq(manifest_dies("app", "{one}"), 0);
    struct collect_counts c = collect_all();
    ck_assert_uint_eq(c.n_manifests, 0);
    ck_assert_int_eq(meta_collect_plan(east.m, REG, "", 9, &a, &items, &n, &after), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(items[1].kind, COLLECT_MANIFEST);
    ck_assert(digest_equal(&items[1].digest, &d) && items[1].left_ms > 50000);
    ck_assert_int_eq(meta_manifest_content(east.m, REG, "app", &d, &a, &content, &type), 0);
    // pushed again, it lives with what is here
    ck_assert_int_eq(push("app", "{one}", "layer"), 0);
    ck_assert_int_eq(manifest_dies("app", "{one}"), 0);
    meta_set_lease_grace(east.m, 0);
    c = collect_all();
    ck_assert_uint_eq(c.n_manifests, 1);
    ck_assert_int_eq(meta_manifest_content(east.m, REG, "app", &d, &a, &content, &type),
                     ERR_NOTFOUND);
    ck_assert_int_eq(meta_pulled_get(east.m, REG, "app", &d, &at_ms), ERR_NOTFOUND);
    ck_assert_uint_eq(n_files(), 0);
    ck_assert_int_eq(push("app", "{one}", "layer"), ERR_NOTFOUND);
    upload("app", "layer");
    ck_assert_int_eq(push("app", "{one}", "layer"), 0);
    expect_whole("app", "layer");
    arena_done(&a);
    end();
}
END_TEST

START_TEST(a_file_that_cannot_be_removed_keeps_its_row)
{
    begin(0);
    struct digest d = digest_str("layer");
    struct blob_name name;
    uint64_t size;
    struct collect_counts c = {0};
    upload("app", "layer");
    upload("app", "other");
    ck_assert_int_eq(meta_blob_find(east.m, &d, &name, &size), 0);
    AUTO_FREE char *path = files_test_path(east.dir, &name);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0); // unlink fails
    clock_sleep_ms(2);
    ck_assert_int_eq(meta_collect_leases(east.m, 16, &c), 0);
    clock_sleep_ms(2);
    ck_assert_int_eq(collect_turn(bs, east.m, &c), 0);
    ck_assert_uint_eq(c.n_removed, 1); // it is in nobody's way
    ck_assert_int_ne(collect_turn(bs, east.m, &c), 0);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(collect_turn(bs, east.m, &c), 0);
    struct tx *tx;
    struct blob_row row;
    ck_assert_int_eq(backend_read(east.m->b, &tx), 0);
    ck_assert_int_eq(blob_row_get(tx, &d, &row), ERR_NOTFOUND);
    tx_end(tx);
    end();
}
END_TEST

// --- files without a row ---

static uint64_t sweep(struct orphans *o)
{
    uint64_t n = 0, bytes = 0;
    bool ended = false;
    while (!ended)
        ck_assert_int_eq(orphans_step(o, 3, &n, &bytes, &ended), 0);
    return n;
}

START_TEST(files_that_no_row_names_are_swept)
{
    clock_virtual_set(clock_wall_ms()); // it stands still but for what sleeps
    begin(60);
    struct orphans *o;
    struct blob_name lost, noted;
    uint64_t size;
    ck_assert_int_eq(orphans_new(bs, east.m, 60, &o), 0);
    for (int i = 0; i < 10; i++)
        upload("app", (char[]){(char)('a' + i), 0});
    ck_assert_int_eq(push("app", "{one}", "a"), 0);
    ck_assert_int_eq(blob_put(bs, "lost", 4, &lost), 0);
    ck_assert_int_eq(blob_put(bs, "noted", 5, &noted), 0);
    ck_assert_uint_eq(sweep(o), 0);
    ck_assert_uint_eq(sweep(o), 0); // not before its grace is over
    clock_sleep_ms(40);
    // the PUT comes again, and finds the bytes of the first
    const struct lease_add add = {.registry = REG,
                                  .repository = "app",
                                  .digest = noted.digest,
                                  .published = &noted,
                                  .size = 5};
    struct lease_result r;
    ck_assert_int_eq(blob_publish(bs, east.m, &add, &r), 0);
    clock_sleep_ms(40);
    ck_assert_uint_eq(sweep(o), 1);
    ck_assert_int_eq(blob_stat(bs, &lost, &size), ERR_NOTFOUND);
    expect_whole("app", "noted");
    expect_whole("app", "a");
    ck_assert_uint_eq(sweep(o), 0);
    orphans_free(o);
    clock_virtual_off();
    end();
}
END_TEST

// --- what would go ---

START_TEST(a_plan_lists_what_would_go_and_why)
{
    begin(60000);
    struct arena a;
    struct collect_item *items;
    const char *after = "";
    size_t n, n_all = 0;
    arena_init(&a, 0);
    for (int i = 0; i < 7; i++) {
        upload("app", (char[]){(char)('a' + i), 0});
        clock_sleep_ms(1);
    }
    upload("app", "linked");
    ck_assert_int_eq(push("app", "{one}", "linked"), 0);
    do {
        int64_t last_ms = 0;
        ck_assert_int_eq(meta_collect_plan(east.m, REG, after, 3, &a, &items, &n, &after), 0);
        for (size_t i = 0; i < n; i++, n_all++) {
            ck_assert_int_eq(items[i].kind, COLLECT_LEASE);
            ck_assert_str_eq(items[i].repository, "app");
            ck_assert_int_gt(items[i].left_ms, 0);
            ck_assert_int_le(items[i].left_ms, 60000);
            ck_assert_int_ge(items[i].left_ms, last_ms);
            ck_assert_ptr_nonnull(strstr(items[i].why, "no live manifest"));
            last_ms = items[i].left_ms;
        }
    } while (*after);
    ck_assert_uint_eq(n_all, 7);
    ck_assert_int_eq(meta_collect_plan(east.m, "fabrikam", "", 9, &a, &items, &n, &after), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(meta_collect_plan(east.m, NULL, "junk", 9, &a, &items, &n, &after), ERR_INVAL);
    struct collect_counts c = {0};
    meta_set_lease_grace(east.m, 0);
    clock_sleep_ms(2);
    ck_assert_int_eq(meta_collect_leases(east.m, 2, &c), 0);
    ck_assert(c.more);
    ck_assert_int_eq(meta_collect_plan(east.m, NULL, "", 99, &a, &items, &n, &after), 0);
    ck_assert_uint_eq(n, 7);
    ck_assert_int_eq(items[5].kind, COLLECT_BLOB);
    ck_assert_str_eq(items[5].why, "no repository has it any more");
    arena_done(&a);
    end();
}
END_TEST

START_TEST(the_space_report_tells_whose_bytes_they_are)
{
    begin(60000);
    struct arena a;
    struct space_report r;
    struct lease_result lr;
    arena_init(&a, 0);
    upload("app", "12345");
    upload("lib", "12345");
    upload("lib", "67");
    const struct lease_add add = {
        .registry = "fabrikam", .repository = "x", .digest = digest_str("12345")};
    ck_assert_int_eq(meta_lease_add(east.m, &add, &lr), 0);
    ck_assert_int_eq(meta_space_report(east.m, &a, &r), 0);
    ck_assert_uint_eq(r.bytes, 7);
    ck_assert_uint_eq(r.blobs, 2);
    ck_assert_uint_eq(r.shared_bytes, 5);
    ck_assert_uint_eq(r.condemned_bytes, 0);
    ck_assert_uint_eq(r.n, 2);
    ck_assert_str_eq(r.registries[0].registry, REG);
    ck_assert_uint_eq(r.registries[0].bytes, 7);
    ck_assert_uint_eq(r.registries[0].own_bytes, 2);
    ck_assert_uint_eq(r.registries[1].bytes, 5);
    ck_assert_uint_eq(r.registries[1].own_bytes, 0);
    arena_done(&a);
    end();
}
END_TEST

CHECK_MAIN("store/collect", what_nobody_needs_goes_step_by_step, grace_keeps_what_is_being_pushed,
           a_condemned_blob_waits_for_its_part_of_the_grace, what_comes_between_two_steps_is_kept,
           a_crash_after_any_step_is_made_good, content_of_a_dead_manifest_goes_after_its_grace,
           a_file_that_cannot_be_removed_keeps_its_row, files_that_no_row_names_are_swept,
           a_plan_lists_what_would_go_and_why, the_space_report_tells_whose_bytes_they_are)
