// SPDX-License-Identifier: Apache-2.0
// store/meta: uploads, links, pushes, listings, the outbox, opening and refusing, full disks,
// failing signers.
#include "store/meta_delete.h"
#include "tests/support/leases.h"
#include "tests/unit/store/meta_support.h"

#include "base/clock_test.h"
#include "base/mem_test.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static struct region_store region;

START_TEST(uploads_live_and_end)
{
    store_begin(&region, "eastus");
    struct arena a;
    struct upload_row r = {"eastus.1", REG, "app", "ci", 0, 100, 100, 0}, back;
    const char **idle;
    size_t n;
    uint64_t size;
    struct digest d = digest_str("blob");
    arena_init(&a, 0);
    ck_assert_int_eq(meta_upload_get(region.m, r.id, &a, &back), ERR_NOTFOUND);
    ck_assert_int_eq(meta_upload_create(region.m, &r, NULL, NULL), 0);
    ck_assert_int_eq(meta_upload_create(region.m, &r, NULL, NULL), ERR_EXISTS);
    ck_assert_int_eq(meta_upload_progress(region.m, r.id, 4096, 200, NULL), 0);
    ck_assert_int_eq(meta_upload_progress(region.m, "other", 1, 1, NULL), ERR_NOTFOUND);
    ck_assert_int_eq(meta_upload_get(region.m, r.id, &a, &back), 0);
    ck_assert_str_eq(back.registry, REG);
    ck_assert_str_eq(back.repository, "app");
    ck_assert_str_eq(back.principal, "ci");
    ck_assert_uint_eq(back.size, 4096);
    ck_assert_int_eq(back.started_ms, 100);
    ck_assert_int_eq(back.touched_ms, 200);
    ck_assert_int_eq(meta_uploads_idle(region.m, 300, 100, 0, 10, &a, &idle, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(meta_uploads_idle(region.m, 301, 100, 0, 10, &a, &idle, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(idle[0], r.id);
    ck_assert_int_eq(lease_look(region.m, REG, "app", &d, &size), ERR_NOTFOUND);
    ck_assert(!meta_repository_exists(region.m, REG, "app"));
    ck_assert_int_eq(lease_give(region.m, REG, "app", &d, 4, &(struct upload_end){r.id, "ci"}), 0);
    // ended in the same transaction
    ck_assert_int_eq(meta_upload_get(region.m, r.id, &a, &back), ERR_NOTFOUND);
    ck_assert_int_eq(lease_look(region.m, REG, "app", &d, &size), 0);
    ck_assert_uint_eq(size, 4);
    ck_assert_int_eq(lease_look(region.m, REG, "other", &d, &size), ERR_NOTFOUND);
    ck_assert_int_eq(lease_look(region.m, "fabrikam", "app", &d, &size), ERR_NOTFOUND);
    ck_assert(meta_repository_exists(region.m, REG, "app"));
    ck_assert_int_eq(meta_upload_delete(region.m, r.id), ERR_NOTFOUND);
    arena_done(&a);
    store_end(&region);
}
END_TEST

static bool may_only(void *ctx, const char *repository)
{
    return strcmp(ctx, repository) == 0;
}

// Idle time is what this region saw go by: over restarts, whatever the wall clock says.
START_TEST(idle_time_of_uploads_is_monotonic)
{
    struct arena a;
    const char **idle;
    size_t n;
    const int64_t hour = 3600000, day = 24 * hour;
    struct upload_row row = {.id = "u", .registry = REG, .repository = "app", .principal = "ci"};
    arena_init(&a, 0);
    clock_virtual_set(clock_wall_ms());
    store_begin(&region, "eastus");
    row.touched_ms = clock_mono_ms();
    ck_assert_int_eq(meta_upload_create(region.m, &row, NULL, NULL), 0);
    clock_virtual_jump_wall(30 * day);
    ck_assert_int_eq(meta_uploads_idle(region.m, clock_mono_ms(), day, 0, 10, &a, &idle, &n), 0);
    ck_assert_uint_eq(n, 0);
    for (int turn = 0; turn < 3; turn++) {
        clock_virtual_advance(8 * hour);
        clock_virtual_jump_wall(-10 * day);
        ck_assert_int_eq(meta_uploads_idle(region.m, clock_mono_ms(), day, 0, 10, &a, &idle, &n),
                         0);
        ck_assert_uint_eq(n, 0);
        meta_close(region.m);
        clock_virtual_set(clock_wall_ms()); // a boot: the monotonic clock begins anew
        clock_virtual_advance(turn * hour);
        store_reopen(&region);
    }
    clock_virtual_advance(1000);
    ck_assert_int_eq(meta_uploads_idle(region.m, clock_mono_ms(), day, 0, 10, &a, &idle, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(meta_upload_progress(region.m, "u", 7, clock_mono_ms(), NULL), 0);
    ck_assert_int_eq(meta_uploads_idle(region.m, clock_mono_ms() + day, day, 0, 10, &a, &idle, &n),
                     0);
    ck_assert_uint_eq(n, 0);
    clock_virtual_off();
    arena_done(&a);
    store_end(&region);
}
END_TEST

static int upload_open(const char *id, const char *registry, const char *principal,
                       enum upload_full *out_full)
{
    const struct upload_row r = {id, registry, "app", principal, 0, 100, 100, 0};
    return meta_upload_create(
        region.m, &r, &(struct upload_bounds){.of_principal = 2, .of_registry = 3}, out_full);
}

START_TEST(uploads_are_bounded_by_principal_and_by_registry)
{
    store_begin(&region, "eastus");
    enum upload_full full = 99;
    struct digest d = digest_str("blob");
    ck_assert_int_eq(upload_open("eastus.1", REG, "ci", &full), 0);
    ck_assert_int_eq(upload_open("eastus.2", REG, "ci", &full), 0);
    ck_assert_int_eq(full, 99);
    ck_assert_int_eq(upload_open("eastus.3", REG, "ci", &full), ERR_FULL);
    ck_assert_int_eq(full, UPLOAD_FULL_PRINCIPAL);
    ck_assert_int_eq(upload_open("eastus.4", "fabrikam", "ci", &full), 0); // another registry
    ck_assert_int_eq(upload_open("eastus.5", REG, "ada", &full), 0);       // another principal
    ck_assert_int_eq(upload_open("eastus.6", REG, "bob", &full), ERR_FULL);
    ck_assert_int_eq(full, UPLOAD_FULL_REGISTRY);
    meta_close(region.m);
    store_reopen(&region); // counted where the uploads are, so a restart changes nothing
    ck_assert_int_eq(upload_open("eastus.3", REG, "ci", &full), ERR_FULL);
    ck_assert_int_eq(upload_open("eastus.6", REG, "bob", NULL), ERR_FULL);
    ck_assert_int_eq(meta_upload_delete(region.m, "eastus.1"), 0);
    ck_assert_int_eq(upload_open("eastus.3", REG, "ci", &full), 0);
    // ended
    ck_assert_int_eq(
        lease_give(region.m, REG, "app", &d, 4, &(struct upload_end){"eastus.2", "ci"}), 0);
    ck_assert_int_eq(upload_open("eastus.6", REG, "bob", &full), 0);
    ck_assert_int_eq(upload_open("eastus.6", REG, "bob", &full), ERR_FULL);
    store_end(&region);
}
END_TEST

static const char *stays; // the one that gives no room
static int n_asked;

static bool gives(void *ctx, const char *id)
{
    (void)ctx;
    n_asked++;
    return !stays || strcmp(stays, id) != 0;
}

static bool only_the_last(void *ctx, const char *id)
{
    (void)ctx;
    return !strcmp(id, "u199");
}

static bool upload_is_there(const char *id, uint64_t *out_size, uint64_t *out_received)
{
    struct upload_row r;
    struct arena a;
    arena_init(&a, 0);
    int rc = meta_upload_get(region.m, id, &a, &r);
    arena_done(&a);
    *out_size = rc ? 0 : r.size;
    *out_received = rc ? 0 : r.received;
    return !rc;
}

static void expect_upload(const char *id, uint64_t size, uint64_t received)
{
    uint64_t is, has;
    ck_assert_msg(upload_is_there(id, &is, &has), "%s", id);
    ck_assert_uint_eq(is, size);
    ck_assert_uint_eq(has, received);
}

static bool is_there(const char *id)
{
    uint64_t size, received;
    return upload_is_there(id, &size, &received);
}

START_TEST(what_was_received_counts_once_it_is_told)
{
    store_begin(&region, "eastus");
    const struct upload_row r = {"u", REG, "app", "ci", 0, 100, 100, 0};
    uint64_t told = 99;
    ck_assert_int_eq(meta_upload_create(region.m, &r, NULL, NULL), 0);
    ck_assert_int_eq(meta_upload_progress(region.m, "u", 10, 101, NULL), 0);
    ck_assert_int_eq(meta_upload_receive(region.m, "u", 10, 25, 102, NULL), 0);
    expect_upload("u", 10, 25);
    ck_assert_int_eq(meta_upload_receive(region.m, "u", 11, 30, 103, NULL), ERR_CONFLICT);
    ck_assert_int_eq(meta_upload_receive(region.m, "u", 10, 9, 103, NULL), ERR_RANGE);
    ck_assert_int_eq(meta_upload_receive(region.m, "other", 10, 30, 103, NULL), ERR_CONFLICT);
    meta_close(region.m);
    store_reopen(&region);
    expect_upload("u", 10, 25);
    ck_assert_int_eq(meta_upload_tell(region.m, "u", &told), 0);
    ck_assert_uint_eq(told, 25);
    expect_upload("u", 25, 25);
    ck_assert_int_eq(meta_upload_tell(region.m, "other", &told), ERR_NOTFOUND);
    store_end(&region);
}
END_TEST

// At the bound the one that was idle longest goes, over restarts and whenever the sweep looked; who
// is busy stays.
START_TEST(the_longest_idle_upload_makes_room)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g"};
    const struct upload_bounds bounds = {.of_principal = 3, .yields = gives};
    struct arena a;
    const char **idle;
    size_t n;
    enum upload_full full = 99;
    store_begin(&region, "eastus");
    arena_init(&a, 0);
    for (int i = 0; i < 7; i++) {
        const struct upload_row r = {ids[i], REG, "app", "ci", 0, 100, 1000 + i, 0};
        stays = i == 5 ? "c" : NULL;
        ck_assert_int_eq(meta_upload_create(region.m, &r, &bounds, &full), 0);
        if (i == 3)
            ck_assert_int_eq(meta_uploads_idle(region.m, 1003, 50, 0, 10, &a, &idle, &n), 0);
    }
    ck_assert_int_eq(full, 99);
    ck_assert(!is_there("a") && !is_there("b") && !is_there("d") && !is_there("c"));
    ck_assert(is_there("e") && is_there("f") && is_there("g"));
    n_asked = 0;
    const struct upload_row one = {"h", REG, "app", "ci", 0, 100, 2000, 0};
    struct upload_bounds busy = bounds;
    // a bound that was lowered: all but one have to go, and one of them stays
    busy.of_principal = 1;
    stays = "f";
    ck_assert_int_eq(meta_upload_create(region.m, &one, &busy, &full), ERR_FULL);
    ck_assert_int_eq(full, UPLOAD_FULL_PRINCIPAL);
    ck_assert_int_eq(n_asked, 3);
    ck_assert(is_there("e") && is_there("f") && is_there("g")); // nothing was dropped in vain
    stays = NULL;
    ck_assert_int_eq(meta_upload_create(region.m, &one, &busy, &full), 0);
    ck_assert(!is_there("e") && !is_there("f") && !is_there("g") && is_there("h"));
    arena_done(&a);
    store_end(&region);
}
END_TEST

START_TEST(many_that_are_busy_are_looked_past)
{
    const struct upload_bounds bounds = {.of_principal = 200, .yields = gives};
    enum upload_full full;
    store_begin(&region, "eastus");
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof id, "u%03d", i);
        const struct upload_row r = {id, REG, "app", "ci", 0, 100, 1000 + i, 0};
        ck_assert_int_eq(meta_upload_create(region.m, &r, &bounds, &full), 0);
    }
    const struct upload_row next = {"next", REG, "app", "ci", 0, 100, 3000, 0};
    struct upload_bounds last = bounds;
    last.yields = only_the_last;
    ck_assert_int_eq(meta_upload_create(region.m, &next, &last, &full), 0);
    ck_assert(is_there("u000") && is_there("u198") && !is_there("u199"));
    store_end(&region);
}
END_TEST

static void sql(const char *path, const char *text)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static bool ended(const char *id, const char *repository, const char *principal, const char *text)
{
    struct digest d = digest_str(text);
    int rc = meta_upload_ended(region.m, REG, repository, &(struct upload_end){id, principal}, &d);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    return !rc;
}

START_TEST(what_ended_is_remembered_as_it_ended)
{
    NEEDS_SQLITE;
    store_begin(&region, "eastus");
    struct digest d = digest_str("blob");
    const struct upload_row r = {"u", REG, "app", "ci", 0, 100, 100, 0};
    ck_assert_int_eq(meta_upload_create(region.m, &r, NULL, NULL), 0);
    ck_assert(!ended("u", "app", "ci", "blob"));
    ck_assert_int_eq(lease_give(region.m, REG, "app", &d, 4, &(struct upload_end){"u", "ci"}), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert(ended("u", "app", "ci", "blob"));
        ck_assert(!ended("u", "app", "ci", "other") && !ended("u", "app", "ada", "blob"));
        ck_assert(!ended("u", "lib", "ci", "blob") && !ended("v", "app", "ci", "blob"));
        meta_close(region.m);
        store_reopen(&region);
    }
    // The last of a principal in a registry are kept, in thousands.
    AUTO_FREE char *more = mem_printf(
        "WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM i WHERE x<4200) INSERT INTO"
        " ended(id,registry,repository,principal,digest,run_ms) SELECT "
        "'m'||x,'%s','app','ci',x'00',0 FROM i",
        REG);
    sql(region.path, more);
    ck_assert(ended("u", "app", "ci", "blob"));
    for (int i = 0; i < 64; i++) {
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        ck_assert_int_eq(lease_give(region.m, REG, "app", &d, 4, &(struct upload_end){id, "ci"}),
                         0);
    }
    ck_assert(!ended("u", "app", "ci", "blob") && ended("n0", "app", "ci", "blob"));
    ck_assert_int_eq(meta_uploads_forget(region.m, -1), 0); // more than one transaction's
    ck_assert(!ended("n63", "app", "ci", "blob"));
    store_end(&region);
}
END_TEST

START_TEST(anonymous_mounts_look_only_where_they_may)
{
    store_begin(&region, "eastus");
    struct digest d = digest_str("blob");
    uint64_t size = 0;
    ck_assert_int_eq(lease_give(region.m, REG, "secret", &d, 4, NULL), 0);
    ck_assert_int_eq(lease_give(region.m, REG, "open", &d, 4, NULL), 0);
    ck_assert_int_eq(lease_look_any(region.m, REG, &d, may_only, (char[]){"open"}, &size), 0);
    ck_assert_uint_eq(size, 4);
    ck_assert_int_eq(lease_look_any(region.m, REG, &d, may_only, (char[]){"none"}, &size),
                     ERR_NOTFOUND);
    ck_assert_int_eq(lease_look_any(region.m, "fabrikam", &d, may_only, (char[]){"open"}, &size),
                     ERR_NOTFOUND);
    store_end(&region);
}
END_TEST

static uint64_t presence_stamp(const char *text)
{
    struct arena a;
    struct manifest_row row;
    struct digest d = digest_str(text);
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(region.m, REG, "app", NULL, &d, &a, &row), 0);
    arena_done(&a);
    return row.stamp;
}

START_TEST(a_push_by_tag_is_stored_and_announced)
{
    store_begin(&region, "eastus");
    struct arena a;
    struct put_result r;
    struct feed_entry *e;
    arena_init(&a, 0);
    ck_assert_int_eq(put_refs(&region, "app", "v1", "{\"one\":1}", NULL, 0, &r), 0);
    ck_assert(r.created);
    expect_tag(&region, "app", "v1", "{\"one\":1}");
    ck_assert_uint_eq(feed_all(&region, "eastus", &a, &e), 2);
    ck_assert_int_eq(e[0].kind, ENTRY_MANIFEST);
    ck_assert(bytes_equal(e[0].content, bytes_str("{\"one\":1}")));
    ck_assert_str_eq(e[0].media_type, TYPE);
    ck_assert_int_eq(e[1].kind, ENTRY_TAG);
    ck_assert_str_eq(e[1].tag, "v1");
    ck_assert_uint_eq(e[1].stamp, r.stamp);
    uint64_t first = r.stamp;
    // again: the tag alone
    ck_assert_int_eq(put_refs(&region, "app", "v1", "{\"one\":1}", NULL, 0, &r), 0);
    ck_assert_uint_gt(r.stamp, first);
    ck_assert(!r.created);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 3);
    ck_assert_int_eq(put(&region, "app", "v1", "{\"two\":2}"), 0);
    ck_assert_int_eq(put(&region, "app", "v2", "{\"one\":1}"), 0);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 6);
    first = presence_stamp("{\"two\":2}");
    ck_assert_int_eq(put(&region, "app", NULL, "{\"two\":2}"), 0); // by digest: asserted anew
    ck_assert_uint_gt(presence_stamp("{\"two\":2}"), first);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 7);
    ck_assert_int_eq(put(&region, "app", NULL, "{\"three\":3}"), 0);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 8);
    struct tag_version *v;
    size_t n;
    struct digest one = digest_str("{\"one\":1}"), two = digest_str("{\"two\":2}");
    ck_assert_int_eq(meta_tag_history(region.m, REG, "app", "v1", 10, &a, &v, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert(digest_equal(&v[0].digest, &two) && digest_equal(&v[1].digest, &one));
    ck_assert_str_eq(v[0].origin, "eastus");
    ck_assert_int_eq(meta_tag_history(region.m, REG, "app", "v9", 10, &a, &v, &n), ERR_NOTFOUND);
    feed_verify(&region, "eastus");
    ck_assert_int_gt(region.n_commits, 0);
    meta_close(region.m); // all of it is there after a restart, and the feed goes on
    store_reopen(&region);
    expect_tag(&region, "app", "v1", "{\"two\":2}");
    ck_assert_int_eq(put(&region, "app", "v3", "{\"four\":4}"), 0);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 10);
    feed_verify(&region, "eastus");
    arena_done(&a);
    store_end(&region);
}
END_TEST

START_TEST(what_a_manifest_refers_to_must_be_there)
{
    store_begin(&region, "eastus");
    struct put_result r;
    struct digest blob = digest_str("layer"), child = digest_str("{child}"),
                  foreign = digest_str("foreign");
    struct manifest_ref refs[] = {
        {REF_BLOB, blob, 5}, {REF_FOREIGN, foreign, 1}, {REF_SUBJECT, child, 7}};
    ck_assert_int_eq(lease_give(region.m, REG, "elsewhere", &blob, 5, NULL), 0);
    ck_assert_int_eq(put_refs(&region, "app", "v1", "{child}", refs, 3, &r), ERR_NOTFOUND);
    ck_assert(digest_equal(&r.missing, &blob)); // linked in another repository only
    ck_assert_uint_eq(head_seq(&region, "eastus"), 0);
    ck_assert(!meta_repository_exists(region.m, REG, "app")); // a failed push leaves nothing
    ck_assert_int_eq(lease_give(region.m, REG, "app", &blob, 5, NULL), 0);
    struct manifest_ref index[] = {{REF_MANIFEST, child, 7}};
    ck_assert_int_eq(put_refs(&region, "app", "all", "{index}", index, 1, &r), ERR_NOTFOUND);
    ck_assert(digest_equal(&r.missing, &child));
    ck_assert_int_eq(put_refs(&region, "app", NULL, "{child}", refs, 3, &r), 0);
    ck_assert_int_eq(put_refs(&region, "app", "all", "{index}", index, 1, &r), 0);
    expect_tag(&region, "app", "all", "{index}");
    store_end(&region);
}
END_TEST

START_TEST(conditions_and_malformed_puts)
{
    store_begin(&region, "eastus");
    struct put_result r;
    struct digest one = digest_str("{1}"), two = digest_str("{2}");
    struct manifest_put p = {REG,  "app",           two, TYPE, bytes_str("{2}"), NULL, 0,
                             "v1", .if_match = &one};
    ck_assert_int_eq(meta_manifest_put(region.m, &p, &r), ERR_CONFLICT); // no such tag yet
    ck_assert_int_eq(put(&region, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(meta_manifest_put(region.m, &p, &r), 0);
    ck_assert_int_eq(meta_manifest_put(region.m, &p, &r), ERR_CONFLICT);
    expect_tag(&region, "app", "v1", "{2}");
    p.if_match = NULL;
    p.digest = one;
    ck_assert_int_eq(meta_manifest_put(region.m, &p, &r), ERR_DIGEST);
    p.digest = two;
    p.tag = "no/tag";
    ck_assert_int_eq(meta_manifest_put(region.m, &p, &r), ERR_INVAL);
    p.tag = NULL;
    p.repository = "../up";
    ck_assert_int_eq(meta_manifest_put(region.m, &p, &r), ERR_INVAL);
    p.repository = "app";
    p.media_type = "x";
    ck_assert_int_eq(meta_manifest_put(region.m, &p, &r), ERR_INVAL);
    store_end(&region);
}
END_TEST

START_TEST(listings_page_in_byte_order)
{
    store_begin(&region, "eastus");
    struct arena a;
    const char **names;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_tags_list(region.m, REG, "app", NULL, 10, &a, &names, &n), ERR_NOTFOUND);
    for (int i = 0; i < 150; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "t%03d", (i * 7) % 150);
        ck_assert_int_eq(put(&region, "app", tag, "{x}"), 0);
    }
    ck_assert_int_eq(put(&region, "app", "B", "{x}"), 0);
    ck_assert_int_eq(put(&region, "zoo/a", "v", "{x}"), 0);
    ck_assert_int_eq(put(&region, "ape", "v", "{x}"), 0);
    struct digest d = digest_str("b");
    ck_assert_int_eq(lease_give(region.m, REG, "arriving", &d, 1, NULL), 0);
    ck_assert_int_eq(meta_tags_list(region.m, REG, "arriving", NULL, 10, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(meta_tags_list(region.m, REG, "app", NULL, 1000, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 151);
    ck_assert_str_eq(names[0], "B");
    for (size_t i = 1; i < n; i++)
        ck_assert_int_lt(strcmp(names[i - 1], names[i]), 0);
    ck_assert_int_eq(meta_tags_list(region.m, REG, "app", "t010", 3, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(names[0], "t011");
    ck_assert_int_eq(meta_repositories_list(region.m, REG, NULL, 10, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(names[0], "ape");
    ck_assert_str_eq(names[2], "zoo/a");
    ck_assert_int_eq(meta_repositories_list(region.m, REG, "app", 1, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(names[0], "zoo/a");
    ck_assert_int_eq(meta_repositories_list(region.m, "fabrikam", NULL, 10, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 0);
    arena_done(&a);
    store_end(&region);
}
END_TEST

START_TEST(closed_stores_refuse_own_writes)
{
    store_begin(&region, "eastus");
    struct arena a;
    arena_init(&a, 0);
    ck_assert_ptr_null(meta_closed_why(region.m, &a));
    meta_gate_close(region.m, META_GATE_RECOVERY, "asking the peers");
    ck_assert_str_eq(meta_closed_why(region.m, &a), "asking the peers");
    ck_assert_int_eq(put(&region, "app", "v1", "{1}"), ERR_BUSY);
    struct upload_row r = {"u", REG, "app", "ci", 0, 1, 1};
    ck_assert_int_eq(meta_upload_create(region.m, &r, NULL, NULL), ERR_BUSY);
    ck_assert(meta_writable(region.m)); // the database itself can be written
    meta_close(region.m);
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(store_try(&region, &d), 0); // closed again after a start
    ck_assert_ptr_nonnull(meta_closed_why(region.m, &a));
    ck_assert_int_eq(put(&region, "app", "v1", "{1}"), ERR_BUSY);
    meta_gate_open(region.m, META_GATE_RECOVERY);
    ck_assert_int_eq(put(&region, "app", "v1", "{1}"), 0);
    diag_done(&d);
    arena_done(&a);
    store_end(&region);
}
END_TEST

// A gate that opens does not open what another one closed.
START_TEST(writes_are_open_when_no_gate_is_closed)
{
    store_begin(&region, "eastus");
    struct arena a;
    arena_init(&a, 0);
    meta_gate_close(region.m, META_GATE_CLOCK, "the clock is 2.0 s ahead");
    meta_gate_close(region.m, META_GATE_RECOVERY, "recovering");
    meta_gate_close(region.m, META_GATE_KEY, "the key is revoked");
    meta_gate_close(region.m, META_GATE_SEALED, "it was forgotten");
    ck_assert_str_eq(meta_closed_why(region.m, &a),
                     "recovering; the clock is 2.0 s ahead; the key is revoked; it was forgotten");
    for (int g = 0; g < META_GATE_STAMPS; g++) {
        ck_assert_int_eq(put(&region, "app", "v1", "{1}"), ERR_BUSY);
        meta_gate_open(region.m, (enum meta_gate)g);
    }
    ck_assert_ptr_null(meta_closed_why(region.m, &a));
    ck_assert_int_eq(put(&region, "app", "v1", "{1}"), 0);
    meta_gate_close(region.m, META_GATE_CLOCK, "one");
    meta_gate_close(region.m, META_GATE_CLOCK, "two"); // the newer sentence
    ck_assert_str_eq(meta_closed_why(region.m, &a), "two");
    meta_gate_open(region.m, META_GATE_RECOVERY); // open already
    ck_assert_int_eq(put(&region, "app", "v2", "{1}"), ERR_BUSY);
    meta_gate_open(region.m, META_GATE_CLOCK);
    ck_assert_int_eq(put(&region, "app", "v2", "{1}"), 0);
    arena_done(&a);
    store_end(&region);
}
END_TEST

// A long sentence is cut, and what stands behind it is not lost.
START_TEST(sentences_of_gates_are_bounded)
{
    store_begin(&region, "eastus");
    char text[2 * META_WHY_SIZE];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    struct arena a;
    arena_init(&a, 0);
    for (int g = 0; g < META_GATE_STAMPS; g++)
        meta_gate_close(region.m, (enum meta_gate)g, text);
    const char *why = meta_closed_why(region.m, &a);
    ck_assert_uint_eq(strlen(why), META_GATE_STAMPS * (META_WHY_SIZE - 1) +
                                       (META_GATE_STAMPS - 1) * strlen("; "));
    arena_done(&a);
    store_end(&region);
}
END_TEST

START_TEST(a_failing_signer_fails_the_write_and_leaves_nothing)
{
    store_begin(&region, "eastus");
    struct put_result r;
    struct digest d = digest_str("{1}");
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&region, "app", "v0", "{0}"), 0);
    region.sign_rc = ERR_CRYPTO;
    ck_assert_int_eq(put_refs(&region, "app", "v1", "{1}", NULL, 0, &r), ERR_CRYPTO);
    ck_assert_int_eq(meta_manifest_get(region.m, REG, "app", NULL, &d, &a, &row), ERR_NOTFOUND);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 2);
    region.sign_rc = 0;
    ck_assert_int_eq(put_refs(&region, "app", "v1", "{1}", NULL, 0, &r), 0);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 4);
    feed_verify(&region, "eastus");
    arena_done(&a);
    store_end(&region);
}
END_TEST

START_TEST(stamps_outlive_a_clock_that_jumps_back)
{
    clock_virtual_set(1800000000000);
    store_begin(&region, "eastus");
    struct put_result one, two;
    ck_assert_int_eq(put_refs(&region, "app", "v1", "{1}", NULL, 0, &one), 0);
    meta_close(region.m);
    clock_virtual_jump_wall(-50000); // within the skew; test_meta_clock has what lies beyond
    store_reopen(&region);
    ck_assert_int_eq(put_refs(&region, "app", "v1", "{2}", NULL, 0, &two), 0);
    ck_assert_uint_gt(two.stamp, one.stamp);
    expect_tag(&region, "app", "v1", "{2}");
    feed_verify(&region, "eastus");
    store_end(&region);
    clock_virtual_off();
}
END_TEST

static void expect_refused(int want, const char *word)
{
    struct diag d;
    diag_init(&d);
    int rc = store_try(&region, &d);
    ck_assert_int_eq(rc, want);
    char *text = diag_text(&d);
    ck_assert_msg(text && strstr(text, word), "%s", text ? text : "nothing said");
    free(text);
    diag_done(&d);
}

START_TEST(what_is_not_ours_is_refused)
{
    NEEDS_SQLITE;
    store_begin(&region, "eastus");
    struct stat st;
    ck_assert_int_eq(stat(region.path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    struct region_store other = region;
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(store_try(&other, &d), ERR_BUSY); // one process, one writer
    ck_assert_uint_eq(diag_count(&d), 1);
    diag_done(&d);
    meta_close(region.m);
    region.region = "westeurope";
    expect_refused(ERR_CONFLICT, "belongs to region eastus");
    region.region = "eastus";
    sql(region.path, "PRAGMA user_version=99");
    expect_refused(ERR_VERSION, "schema version 99");
    sql(region.path, "PRAGMA user_version=1; PRAGMA application_id=5");
    expect_refused(ERR_CORRUPT, "another program");
    ck_assert_int_eq(file_write_atomic(region.path,
                                       "this is no database at all, but long enough to look at", 54,
                                       0600),
                     0);
    expect_refused(ERR_CORRUPT, "no database");
    dir_remove_tree(region.dir);
}
END_TEST

START_TEST(a_damaged_page_is_found)
{
    NEEDS_SQLITE;
    store_begin(&region, "eastus");
    for (int i = 0; i < 50; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "t%d", i);
        ck_assert_int_eq(put(&region, "app", tag, "{some content that fills pages}"), 0);
    }
    meta_close(region.m);
    int fd = open(region.path, O_RDWR);
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    for (off_t at = 4096; at + 4096 <= st.st_size; at += 8192)
        ck_assert_int_eq(pwrite(fd, junk, sizeof junk, at), (int)sizeof junk);
    close(fd);
    expect_refused(ERR_CORRUPT, "damaged");
    dir_remove_tree(region.dir);
}
END_TEST

START_TEST(a_page_damaged_in_life_ends_writing)
{
    NEEDS_SQLITE;
    store_begin(&region, "eastus");
    for (int i = 0; i < 50; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "t%d", i);
        ck_assert_int_eq(put(&region, "app", tag, "{some content that fills pages}"), 0);
    }
    meta_close(region.m); // empties the log: what is read comes from the file
    store_reopen(&region);
    ck_assert(meta_writable(region.m));
    int fd = open(region.path, O_RDWR);
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    for (off_t at = 4096; at + 4096 <= st.st_size; at += 4096)
        ck_assert_int_eq(pwrite(fd, junk, sizeof junk, at), (int)sizeof junk);
    close(fd);
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(region.m, REG, "app", "t1", NULL, &a, &row), ERR_CORRUPT);
    ck_assert(!meta_writable(region.m));
    arena_done(&a);
    store_end(&region);
}
END_TEST

START_TEST(full_disk_is_said_and_loses_nothing)
{
    NEEDS_SQLITE;
    region = (struct region_store){.region = "eastus"};
    strcpy(region.dir, "/tmp/meridian-full-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(region.dir));
    if (mount("tmpfs", region.dir, "tmpfs", 0, "size=1m")) {
        printf("left out: cannot mount a tmpfs here\n");
        rmdir(region.dir);
        return;
    }
    snprintf(region.path, sizeof region.path, "%s/meta.db", region.dir);
    store_reopen(&region);
    static char text[16 << 10];
    memset(text, ' ', sizeof text - 1);
    int rc = 0, n_ok = 0;
    for (int i = 0; i < 1000 && !rc; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "t%d", i);
        memcpy(text, tag, strlen(tag));
        rc = put(&region, "app", tag, text);
        n_ok += rc == 0;
    }
    ck_assert_int_eq(rc, ERR_NOSPACE);
    ck_assert_int_gt(n_ok, 0);
    ck_assert_uint_eq(head_seq(&region, "eastus"), (unsigned)n_ok * 2);
    feed_verify(&region, "eastus");
    meta_close(region.m);
    ck_assert_int_eq(mount(NULL, region.dir, NULL, MS_REMOUNT, "size=8m"), 0); // somebody made room
    store_reopen(&region);
    ck_assert_int_eq(put(&region, "app", "after", "{after}"), 0);
    ck_assert_uint_eq(head_seq(&region, "eastus"), (unsigned)n_ok * 2 + 2);
    feed_verify(&region, "eastus");
    meta_close(region.m);
    umount(region.dir);
    rmdir(region.dir);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    store_begin(&region, "eastus");
    bool done = false;
    unsigned n_put = 0;
    for (long n = 1; n < 200 && !done; n++) {
        struct arena a;
        struct manifest_row row;
        const char **names;
        size_t k;
        arena_init(&a, 0);
        mem_fault_after(n);
        int rc = put(&region, "app", "v1", "{torture}");
        n_put += rc == 0;
        if (!rc)
            rc = meta_manifest_get(region.m, REG, "app", "v1", NULL, &a, &row);
        if (!rc)
            rc = meta_tags_list(region.m, REG, "app", NULL, 5, &a, &names, &k);
        long hits = mem_fault_hits();
        mem_fault_after(0);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
        done = rc == 0 && hits == 0;
        arena_done(&a);
    }
    ck_assert(done);
    // the tag each time, the manifest once
    ck_assert_uint_eq(head_seq(&region, "eastus"), n_put + 1);
    feed_verify(&region, "eastus");
    store_end(&region);
}
END_TEST

// Its row is written anew when its register changes, in a transaction that others share.
START_TEST(a_large_manifest_is_deleted_like_a_small_one)
{
    static const size_t sizes[] = {200000, 300000, 1000000, 4000000};
    store_begin(&region, "eastus");
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct arena a;
        struct delete_result out;
        AUTO_FREE char *text = mem_alloc(sizes[i] + 1);
        memset(text, 'a' + (int)i, sizes[i]);
        text[sizes[i]] = 0;
        ck_assert_int_eq(put(&region, "app", "v1", text), 0);
        struct digest d = digest_str(text);
        const struct delete_request r = {.registry = REG, .repository = "app", .digest = &d};
        arena_init(&a, 0);
        ck_assert_int_eq(meta_manifest_delete(region.m, &r, &a, &out), 0);
        arena_done(&a);
    }
    store_end(&region);
}
END_TEST

CHECK_MAIN("store/meta", a_large_manifest_is_deleted_like_a_small_one, uploads_live_and_end,
           idle_time_of_uploads_is_monotonic, uploads_are_bounded_by_principal_and_by_registry,
           what_was_received_counts_once_it_is_told, the_longest_idle_upload_makes_room,
           many_that_are_busy_are_looked_past, what_ended_is_remembered_as_it_ended,
           anonymous_mounts_look_only_where_they_may, a_push_by_tag_is_stored_and_announced,
           what_a_manifest_refers_to_must_be_there, conditions_and_malformed_puts,
           listings_page_in_byte_order, closed_stores_refuse_own_writes,
           writes_are_open_when_no_gate_is_closed, sentences_of_gates_are_bounded,
           a_failing_signer_fails_the_write_and_leaves_nothing,
           stamps_outlive_a_clock_that_jumps_back, what_is_not_ours_is_refused,
           a_damaged_page_is_found, a_page_damaged_in_life_ends_writing,
           full_disk_is_said_and_loses_nothing, memory_may_end_anywhere)
