// SPDX-License-Identifier: Apache-2.0
// store/meta: a store that the release before made (meta_v8.sql) goes on: all is there, and its feed
// reads to the byte as it did. A newer store is refused in words.
#include "tests/support/leases.h"
#include "tests/unit/store/links_check.h"
#include "tests/unit/store/meta_support.h"

#include <sqlite3.h>

static struct region_store east;

static void sql_run(const char *path, const char *text)
{
    sqlite3 *h;
    ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(h, text, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
}

static void old_store(struct region_store *s)
{
    struct buf sql;
    *s = (struct region_store){.region = "eastus"};
    snprintf(s->dir, sizeof s->dir, "/tmp/meridian-meta-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(s->dir));
    snprintf(s->path, sizeof s->path, "%s/meta.db", s->dir);
    buf_init(&sql, 0);
    ck_assert_int_eq(file_read(META_V8, 1 << 20, &sql), 0);
    sql_run(s->path, buf_cstr(&sql));
    buf_done(&sql);
}

// --- what clients see ---

static void expect_text(const char *repo, const char *text)
{
    struct arena a;
    struct manifest_row row;
    struct digest d = digest_str(text);
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(east.m, REG, repo, NULL, &d, &a, &row), 0);
    ck_assert(bytes_equal(row.content, bytes_str(text)));
    arena_done(&a);
}

static void expect_link(const char *repo, const char *blob, bool there)
{
    struct digest d = digest_str(blob);
    uint64_t size = 0;
    int rc = lease_look(east.m, REG, repo, &d, &size);
    ck_assert_int_eq(rc, there ? 0 : ERR_NOTFOUND);
    if (there)
        ck_assert_uint_eq(size, strlen(blob));
}

START_TEST(what_clients_see_is_there)
{
    static const char *const want[] = {"{west}", "{two}", "{one}"};
    NEEDS_SQLITE;
    old_store(&east);
    store_reopen(&east);
    struct arena a;
    struct tag_version *v;
    const char **tags;
    size_t n;
    arena_init(&a, 0);
    expect_tag(&east, "app", "v1", "{west}");
    expect_tag(&east, "app", "all", "{index}");
    expect_tag(&east, "app", "nightly", "{nightly4}");
    expect_tag(&east, "app", "stolen", NULL);
    expect_tag(&east, "lib", "v2", "{lib}");
    expect_text("app", "{one}");
    expect_text("app", "{untagged}");
    expect_text("app", "{signature}");
    ck_assert_int_eq(meta_tags_list(east.m, REG, "app", NULL, 100, &a, &tags, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(meta_tag_history(east.m, REG, "app", "v1", 100, &a, &v, &n), 0);
    ck_assert_uint_eq(n, ARRAY_LEN(want));
    for (size_t i = 0; i < n; i++) {
        struct digest d = digest_str(want[i]);
        ck_assert(digest_equal(&v[i].digest, &d));
    }
    ck_assert_str_eq(v[0].origin, "westeurope");
    ck_assert_str_eq(v[1].origin, "eastus");
    expect_link("app", "layer", true);
    expect_link("app", "shared layer", true);
    expect_link("lib", "shared layer", true);
    expect_link("lib", "layer", false);
    arena_done(&a);
    store_end(&east);
}
END_TEST

// Links come to be what manifests refer to, leases the rest; all bytes keep their names.
START_TEST(links_leases_and_usage_are_made)
{
    NEEDS_SQLITE;
    old_store(&east);
    store_reopen(&east);
    struct digest d = digest_str("shared layer");
    struct blob_here here;
    struct usage u;
    ck_assert_int_eq(meta_blob_look(east.m, REG, "lib", &d, &here), 0);
    ck_assert(here.linked && here.size == 12 && !*here.name.generation);
    ck_assert_int_eq(meta_usage_get(east.m, REG, NULL, &u), 0);
    ck_assert_uint_eq(u.blobs, 3);
    ck_assert_uint_gt(u.manifests, 5);
    links_check(east.path);
    ck_assert_int_eq(lease_give(east.m, REG, "new", &d, 12, NULL), 0);
    ck_assert_int_eq(put(&east, "new", "1", "{new}"), 0);
    links_check(east.path);
    meta_close(east.m);
    store_reopen(&east);
    links_check(east.path);
    store_end(&east);
}
END_TEST

// --- the feed ---

static void lines_of(const char *origin, size_t want_n, struct buf *out)
{
    struct arena a;
    struct feed_entry *e;
    arena_init(&a, 0);
    size_t n = feed_all(&east, origin, &a, &e);
    ck_assert_uint_eq(n, want_n);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(entry_format(&e[i], out), 0);
    arena_done(&a);
}

// The digest is of the lines that the version before gave out.
START_TEST(the_feed_reads_the_same_bytes)
{
    NEEDS_SQLITE;
    old_store(&east);
    store_reopen(&east);
    struct buf lines;
    struct digest d;
    char text[DIGEST_TEXT_SIZE];
    buf_init(&lines, 0);
    feed_verify(&east, "eastus");
    lines_of("eastus", 22, &lines);
    lines_of("westeurope", 4, &lines);
    lines_of("northeu", 2, &lines);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, lines.p, lines.n, &d), 0);
    ck_assert_str_eq(digest_format(&d, text),
                     "sha256:24d2d57509b54d2c201f20720c93c62539b8f66396d4edad13d4540c4c94a146");
    struct feed_mark head;
    ck_assert_int_eq(meta_head(east.m, "eastus", &head), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{two}"), 0); // and it goes on
    expect_tag(&east, "app", "v1", "{two}");
    ck_assert_uint_eq(head_seq(&east, "eastus"), head.seq + 1);
    feed_verify(&east, "eastus");
    buf_done(&lines);
    store_end(&east);
}
END_TEST

// --- jobs, void entries, uploads ---

START_TEST(jobs_go_on)
{
    NEEDS_SQLITE;
    old_store(&east);
    store_reopen(&east);
    struct arena a;
    struct job *jobs;
    struct parked *parked;
    struct digest missing;
    size_t n;
    int64_t next;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_parked(east.m, &a, &parked, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(parked[0].origin, "westeurope");
    ck_assert_uint_eq(parked[0].bytes, 5000);
    ck_assert_int_eq(meta_jobs_unpark(east.m, 1 << 20, INT64_MAX, &n), 0);
    ck_assert_int_eq(meta_jobs_due(east.m, clock_mono_ms(), 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 4);
    ck_assert_str_eq(jobs[2].last_error, "connection refused");
    ck_assert_uint_eq(jobs[2].attempts, 1);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(
            meta_apply(east.m, &jobs[i].entry, jobs[i].entry.content, NULL, 0, &missing), 0);
    expect_tag(&east, "web", "w", "{web}");
    expect_tag(&east, "app", "n", "{north}");
    arena_done(&a);
    store_end(&east);
}
END_TEST

START_TEST(what_was_void_stays_so)
{
    NEEDS_SQLITE;
    old_store(&east);
    store_reopen(&east);
    struct arena a;
    struct voided_row *rows;
    size_t n;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_voided(east.m, REG, 0, 100, &a, &rows, &n), 0);
    ck_assert_uint_eq(n, 4);
    ck_assert_str_eq(rows[3].reason, "revoked");
    ck_assert_str_eq(rows[3].was, "stood");
    ck_assert_str_eq(rows[3].entry.tag, "v1");
    ck_assert(rows[3].there);
    struct feed_mark upto = entry_mark(&rows[3].entry);
    ck_assert_int_eq(meta_ingest(east.m, "westeurope", &rows[3].entry, 1, &upto), ERR_AUTH);
    arena_done(&a);
    store_end(&east);
}
END_TEST

START_TEST(uploads_are_resumed)
{
    NEEDS_SQLITE;
    old_store(&east);
    store_reopen(&east);
    struct arena a;
    struct upload_row upload;
    struct digest d = digest_str("layer");
    arena_init(&a, 0);
    ck_assert_int_eq(meta_upload_get(east.m, "0123456789abcdef", &a, &upload), 0);
    ck_assert_uint_eq(upload.size, 7);
    ck_assert_uint_eq(upload.received, 9);
    const struct upload_end end = {"ended-1", "ci"};
    ck_assert_int_eq(meta_upload_ended(east.m, REG, "app", &end, &d), 0);
    arena_done(&a);
    store_end(&east);
}
END_TEST

// --- the other way ---

START_TEST(a_newer_store_is_refused_in_words)
{
    NEEDS_SQLITE;
    old_store(&east);
    sql_run(east.path, "PRAGMA user_version=9999");
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(store_try(&east, &d), ERR_VERSION);
    ck_assert_uint_eq(diag_count(&d), 1);
    ck_assert_ptr_nonnull(strstr(d.lines[0], "start the newer program again"));
    diag_done(&d);
    ck_assert_int_eq(dir_remove_tree(east.dir), 0);
}
END_TEST

CHECK_MAIN("store/meta upgrade", what_clients_see_is_there, links_leases_and_usage_are_made,
           the_feed_reads_the_same_bytes, jobs_go_on, what_was_void_stays_so, uploads_are_resumed,
           a_newer_store_is_refused_in_words)
