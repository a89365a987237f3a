// SPDX-License-Identifier: Apache-2.0
// store/hot: what is remembered is what the metadata holds. The histories are those that break the
// simple rule, by which a commit drops what it changes; and on threads a reader never sees less than
// what was acknowledged before it asked, nor less than it saw before.
//
// The tests of the metadata hold this cache against all their own histories: tests/support/hot_shadow.h.
//
// MERIDIAN_RACE_S in the environment: for so many seconds (half a one otherwise).
#define HOT_SHADOW_OFF
#include "store/hot.h"

#include "store/changes.h"
#include "store/files/files.h"
#include "store/meta_collect.h"
#include "store/meta_delete.h"
#include "store/publish.h"
#include "tests/unit/store/meta_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct region_store east;
static struct blob_store *bs;
static struct hot *h;

static void begin(size_t max_bytes)
{
    store_begin(&east, "eastus");
    AUTO_FREE char *dir = mem_printf("%s/store", east.dir);
    ck_assert_int_eq(blob_files_open(dir, &bs), 0);
    ck_assert_int_eq(hot_new(east.m, bs, max_bytes, &h), 0);
}

static void end(void)
{
    hot_free(h);
    blob_store_close(bs);
    store_end(&east);
}

static struct hot_key by_tag(const char *repo, const char *tag)
{
    return (struct hot_key){.registry = REG, .repository = repo, .tag = tag};
}

// What is hot of the tag, or "".
static const char *hot_text(struct arena *a, const char *repo, const char *tag)
{
    const struct hot_key key = by_tag(repo, tag);
    struct manifest_row row;
    int rc = hot_manifest(h, &key, a, &row);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    if (rc)
        return "";
    return arena_strndup(a, (const char *)row.content.p, row.content.n);
}

static int read_tag(struct arena *a, const char *repo, const char *tag)
{
    const struct hot_key key = by_tag(repo, tag);
    struct manifest_row row;
    return hot_manifest_read(h, &key, a, &row);
}

static void tag_dies(const char *repo, const char *tag)
{
    struct delete_result out;
    struct arena a;
    arena_init(&a, 0);
    const struct delete_request r = {.registry = REG, .repository = repo, .tag = tag, .by = "ada"};
    ck_assert_int_eq(meta_tag_delete(east.m, &r, &a, &out), 0);
    arena_done(&a);
}

START_TEST(what_was_read_is_hot_until_it_changes)
{
    begin(0);
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "t", "{1}"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "");
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "{1}");
    struct digest one = digest_str("{1}");
    const struct hot_key by_digest = {.registry = REG, .repository = "app", .digest = &one};
    struct manifest_row row;
    ck_assert_int_eq(hot_manifest(h, &by_digest, &a, &row), ERR_NOTFOUND);
    ck_assert_int_eq(hot_manifest_read(h, &by_digest, &a, &row), 0);
    ck_assert_int_eq(hot_manifest(h, &by_digest, &a, &row), 0);
    ck_assert_str_eq(row.media_type, TYPE);
    ck_assert_str_eq(row.origin, "eastus");
    ck_assert(digest_equal(&row.digest, &one));
    // of another repository, of another registry
    ck_assert_str_eq(hot_text(&a, "lib", "t"), "");
    const struct hot_key other = {.registry = "fabrikam", .repository = "app", .tag = "t"};
    ck_assert_int_eq(hot_manifest(h, &other, &a, &row), ERR_NOTFOUND);
    ck_assert_int_eq(put(&east, "app", "t", "{2}"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "");
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "{2}");
    tag_dies("app", "t");
    ck_assert_str_eq(hot_text(&a, "app", "t"), "");
    ck_assert_int_eq(read_tag(&a, "app", "t"), ERR_NOTFOUND);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(pushes_elsewhere_leave_it_hot)
{
    NEEDS_SQLITE; // the backend in memory has one number for all
    begin(0);
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "t", "{1}"), 0);
    ck_assert_int_eq(put(&east, "lib", "t", "{1}"), 0);
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0);
    ck_assert_int_eq(put(&east, "lib", "t", "{2}"), 0);
    ck_assert_int_eq(meta_probe(east.m), 0);
    meta_pulled(east.m, REG, "app", &(struct digest){.alg = DIGEST_SHA256, .n = SHA256_BYTES});
    ck_assert_int_eq(meta_pulled_flush(east.m), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "{1}");
    arena_done(&a);
    end();
}
END_TEST

// Look, commit and drop, remember: the old value would stay for ever.
START_TEST(a_look_before_a_commit_is_not_remembered_after_it)
{
    begin(0);
    struct arena a;
    arena_init(&a, 0);
    const char *text = "bytes";
    struct digest d = digest_str(text);
    const struct hot_key key = {.registry = REG, .repository = "app", .digest = &d};
    const struct blob_serve serve = {.kind = BLOB_SERVE_PATH, .path = "first"};
    for (int i = 0; i < 2; i++) { // published, and published again as another generation
        struct blob_name name;
        struct lease_result r;
        struct blob_here here;
        struct hot_blob hot;
        struct hot_look look = {0};
        int rc = hot_blob_look(h, &key, &look, &here);
        ck_assert_int_eq(rc, i ? 0 : ERR_NOTFOUND);
        ck_assert_int_eq(blob_put(bs, text, strlen(text), &name), 0);
        const struct lease_add add = {.registry = REG,
                                      .repository = "app",
                                      .digest = d,
                                      .published = &name,
                                      .size = strlen(text)};
        ck_assert_int_eq(blob_publish(bs, east.m, &add, &r), 0);
        if (!rc)
            hot_blob_end(h, &key, &look, &here, &serve);
        ck_assert_int_eq(hot_blob(h, &key, NULL, &hot), ERR_NOTFOUND);
    }
    arena_done(&a);
    end();
}
END_TEST

// The same with a database whose readers see a commit late.
START_TEST(a_reader_that_is_behind_fills_nothing)
{
    if (backend_is("sqlite"))
        return;
    begin(0);
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(put(&east, "app", "t", "{1}"), 0);
    memory_db_hold(east.db, true);
    ck_assert_int_eq(put(&east, "app", "t", "{2}"), 0);
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0); // of what was before
    ck_assert_str_eq(hot_text(&a, "app", "t"), "");
    memory_db_hold(east.db, false);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "");
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "{2}");
    arena_done(&a);
    end();
}
END_TEST

START_TEST(a_blob_is_hot_while_it_is_held_and_whole)
{
    begin(0);
    const char *text = "bytes";
    struct digest d = digest_str(text);
    const struct hot_key key = {.registry = REG, .repository = "app", .digest = &d};
    struct blob_name name, unrelated;
    struct lease_result r;
    struct blob_here here;
    struct blob_serve serve;
    struct hot_look look;
    struct hot_blob hot;
    ck_assert_int_eq(blob_put(bs, "other", 5, &unrelated), 0);
    ck_assert_int_eq(blob_put(bs, text, strlen(text), &name), 0);
    const struct lease_add add = {
        .registry = REG, .repository = "app", .digest = d, .published = &name, .size = 5};
    ck_assert_int_eq(blob_publish(bs, east.m, &add, &r), 0);
    const struct blob_serve_want want = {.name = &name, .size = 5};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(hot_blob_look(h, &key, &look, &here), 0);
        ck_assert_int_eq(blob_serve(bs, &want, &serve), 0);
        hot_blob_end(h, &key, &look, &here, &serve);
        ck_assert_int_eq(hot_blob(h, &key, NULL, &hot), 0);
        ck_assert_str_eq(hot.serve.path, serve.path);
        ck_assert(!hot.here.linked);
        if (i == 0) { // a manifest links it
            const struct manifest_ref ref = {.kind = REF_BLOB, .digest = d, .size = 5};
            struct put_result put;
            ck_assert_int_eq(put_refs(&east, "app", "t", "{1}", &ref, 1, &put), 0);
            ck_assert_int_eq(hot_blob(h, &key, NULL, &hot), ERR_NOTFOUND);
            tag_dies("app", "t");
            struct delete_result out;
            struct arena a;
            struct digest one = digest_str("{1}");
            arena_init(&a, 0);
            const struct delete_request del = {
                .registry = REG, .repository = "app", .digest = &one, .by = "ada"};
            ck_assert_int_eq(meta_manifest_delete(east.m, &del, &a, &out), 0);
            arena_done(&a);
        } else if (i == 1) { // any file goes
            ck_assert_int_eq(blob_remove(bs, &unrelated), 0);
            ck_assert_int_eq(hot_blob(h, &key, NULL, &hot), ERR_NOTFOUND);
        }
    }
    // its bytes are damaged, and the scrub finds that
    AUTO_FREE char *path = mem_printf("%s/store/blobs/%s", east.dir, serve.path);
    ck_assert_int_eq(file_write_atomic(path, "BYTES", 5, 0600), 0);
    ck_assert_int_eq(hot_blob(h, &key, NULL, &hot), 0);
    ck_assert_int_eq(blob_verify(bs, &name, 0, NULL), ERR_DIGEST);
    ck_assert_int_eq(hot_blob(h, &key, NULL, &hot), ERR_NOTFOUND);
    end();
}
END_TEST

// --- each kind of change ---

static struct arena kinds;
static uint8_t chain[32];

// The next entry of westus, signed by a key that was stolen. text NULL: it ends the tag.
static void westus_says(uint64_t seq, uint64_t stamp, enum entry_kind kind, const char *text)
{
    struct feed_mark mark;
    struct digest missing;
    struct buf body;
    struct feed_entry e = {.version = 2,
                           .origin = "westus",
                           .epoch = 1,
                           .seq = seq,
                           .stamp = stamp,
                           .kind = kind,
                           .registry = REG,
                           .repository = "app",
                           .tag = kind == ENTRY_TAG || kind == ENTRY_TAG_GONE ? "t" : "",
                           .media_type = kind == ENTRY_MANIFEST ? TYPE : "",
                           .by = "eve",
                           .rule = "",
                           .registry_seq = seq};
    buf_init(&body, 0);
    if (text)
        e.digest = digest_str(text);
    if (kind == ENTRY_MANIFEST)
        e.size = strlen(text);
    memcpy(e.registry_prev, chain, sizeof chain);
    ck_assert_int_eq(entry_body_make(&e, &body), 0);
    const void *copy = arena_copy(&kinds, body.p, body.n);
    ck_assert_int_eq(entry_body_parse(bytes_of(copy, body.n), &kinds, &e), 0);
    buf_done(&body);
    entry_body_hash(&e, chain);
    e.key = "stolen";
    e.hash[0] = (uint8_t)seq;
    mark = entry_mark(&e);
    struct bytes content = {0};
    if (kind == ENTRY_MANIFEST)
        content = bytes_str(text);
    ck_assert_int_eq(meta_ingest(east.m, "westus", &e, 1, &mark), 0);
    ck_assert_int_eq(meta_apply(east.m, &e, content, NULL, 0, &missing), 0);
}

static uint64_t soon(void)
{
    return meta_stamp_limit(east.m) - 1000;
}

static void another_region_moves_the_tag(void)
{
    uint64_t now = soon();
    westus_says(1, now, ENTRY_MANIFEST, "{2}");
    westus_says(2, now + 1, ENTRY_TAG, "{2}");
}

static void another_region_deletes_the_tag(void)
{
    westus_says(1, soon(), ENTRY_TAG_GONE, NULL);
}

static void another_region_deletes_the_manifest(void)
{
    westus_says(1, soon(), ENTRY_MANIFEST_GONE, "{1}");
}

static void its_key_is_revoked(void)
{
    struct meta_revoked told;
    struct meta_swept swept = {.more = true};
    const struct meta_revocation r = {.origin = "westus", .key = "stolen", .epoch = 1};
    ck_assert_int_eq(meta_revoke(east.m, &r, 1, &told), 0);
    while (swept.more)
        ck_assert_int_eq(meta_revoke_sweep(east.m, 100, &swept), 0);
}

static void the_tag_moves(void)
{
    ck_assert_int_eq(put(&east, "app", "t", "{2}"), 0);
}

static void the_tag_is_deleted(void)
{
    tag_dies("app", "t");
}

static void the_manifest_is_deleted(void)
{
    struct delete_result out;
    struct digest one = digest_str("{1}");
    const struct delete_request del = {
        .registry = REG, .repository = "app", .digest = &one, .by = "ada"};
    ck_assert_int_eq(meta_manifest_delete(east.m, &del, &kinds, &out), 0);
}

static void nothing(void)
{
}

START_TEST(each_kind_of_change_is_seen)
{
    const struct {
        void (*before)(void), (*act)(void);
        const char *then; // what the tag shows; NULL: there is none
    } rows[] = {{nothing, the_tag_moves, "{2}"},
                {nothing, the_tag_is_deleted, NULL},
                {nothing, the_manifest_is_deleted, NULL},
                {nothing, another_region_moves_the_tag, "{2}"},
                {nothing, another_region_deletes_the_tag, NULL},
                {nothing, another_region_deletes_the_manifest, NULL},
                {another_region_moves_the_tag, its_key_is_revoked, "{1}"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin(0);
        arena_init(&kinds, 0);
        memset(chain, 0, sizeof chain);
        ck_assert_int_eq(put(&east, "app", "t", "{1}"), 0);
        rows[i].before();
        ck_assert_int_eq(read_tag(&kinds, "app", "t"), 0);
        ck_assert_str_ne(hot_text(&kinds, "app", "t"), "");
        rows[i].act();
        ck_assert_msg(!*hot_text(&kinds, "app", "t"), "row %zu: an old value is hot", i);
        ck_assert_int_eq(read_tag(&kinds, "app", "t"), rows[i].then ? 0 : ERR_NOTFOUND);
        if (rows[i].then)
            ck_assert_str_eq(hot_text(&kinds, "app", "t"), rows[i].then);
        arena_done(&kinds);
        end();
    }
}
END_TEST

START_TEST(a_manifest_that_no_tag_shows)
{
    begin(0);
    struct digest one = digest_str("{1}");
    const struct hot_key key = {.registry = REG, .repository = "app", .digest = &one};
    struct manifest_row row;
    arena_init(&kinds, 0);
    ck_assert_int_eq(put(&east, "app", NULL, "{1}"), 0);
    ck_assert_int_eq(hot_manifest_read(h, &key, &kinds, &row), 0);
    ck_assert_int_eq(hot_manifest(h, &key, &kinds, &row), 0);
    the_manifest_is_deleted();
    ck_assert_int_eq(hot_manifest(h, &key, &kinds, &row), ERR_NOTFOUND);
    arena_done(&kinds);
    end();
}
END_TEST

static void blob_publish_in(const char *repo, const char *text)
{
    struct blob_name name;
    struct lease_result r;
    ck_assert_int_eq(blob_put(bs, text, strlen(text), &name), 0);
    const struct lease_add add = {.registry = REG,
                                  .repository = repo,
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = strlen(text)};
    ck_assert_int_eq(blob_publish(bs, east.m, &add, &r), 0);
}

static void blob_read_in(const struct hot_key *key)
{
    const struct blob_serve serve = {.kind = BLOB_SERVE_PATH};
    struct hot_look look;
    struct blob_here here;
    struct hot_blob hot;
    ck_assert_int_eq(hot_blob_look(h, key, &look, &here), 0);
    hot_blob_end(h, key, &look, &here, &serve);
    ck_assert_int_eq(hot_blob(h, key, NULL, &hot), 0);
}

// Two repositories hold it: what happens in one is seen in the other where it must be.
START_TEST(a_blob_of_two_repositories)
{
    begin(0);
    struct digest d = digest_str("bytes");
    const struct hot_key app = {.registry = REG, .repository = "app", .digest = &d},
                         lib = {.registry = REG, .repository = "lib", .digest = &d};
    struct hot_blob hot;
    struct collect_counts counts = {0};
    blob_publish_in("app", "bytes");
    blob_publish_in("lib", "bytes");
    blob_read_in(&app);
    blob_publish_in("lib", "bytes"); // another generation serves now
    ck_assert_int_eq(hot_blob(h, &app, NULL, &hot), ERR_NOTFOUND);
    const struct manifest_ref ref = {.kind = REF_BLOB, .digest = d, .size = 5};
    struct put_result put;
    ck_assert_int_eq(put_refs(&east, "lib", "t", "{1}", &ref, 1, &put), 0);
    blob_read_in(&app);
    blob_read_in(&lib);
    meta_set_lease_grace(east.m, 1);
    clock_sleep_ms(3);
    ck_assert_int_eq(meta_collect_leases(east.m, 16, &counts), 0);
    ck_assert_uint_eq(counts.n_leases, 1);
    ck_assert_int_eq(hot_blob(h, &app, NULL, &hot), ERR_NOTFOUND);
    end();
}
END_TEST

START_TEST(its_bytes_are_bounded)
{
    enum { MAX = 64 << 10 };
    begin(MAX);
    struct arena a;
    struct hot_stats stats;
    arena_init(&a, 0);
    AUTO_FREE char *text = mem_printf("{%02000d}", 1);
    for (int i = 0; i < 100; i++) {
        AUTO_FREE char *tag = mem_printf("t%d", i);
        ck_assert_int_eq(put(&east, "app", tag, text), 0);
    }
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < 100; i++) {
            AUTO_FREE char *tag = mem_printf("t%d", i);
            ck_assert_int_eq(read_tag(&a, "app", tag), 0);
            ck_assert_str_eq(hot_text(&a, "app", tag), text); // what was read last always fits
            hot_stats_get(h, &stats);
            ck_assert_uint_le(stats.bytes, MAX);
            ck_assert_uint_ge(stats.n, 1);
        }
    ck_assert_uint_gt(stats.n, 10);
    ck_assert_uint_eq(stats.hits, 200);
    // one that would push out many others is not kept
    AUTO_FREE char *large = mem_printf("{%08000d}", 1);
    ck_assert_int_eq(put(&east, "app", "large", large), 0);
    ck_assert_int_eq(read_tag(&a, "app", "large"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "large"), "");
    arena_done(&a);
    end();
}
END_TEST

// A restart: two processes have the database open for a while.
START_TEST(nothing_is_hot_beside_another_process)
{
    NEEDS_SQLITE;
    begin(0);
    struct arena a;
    arena_init(&a, 0);
    struct region_store next = east;
    ck_assert_int_eq(put(&east, "app", "t", "{1}"), 0);
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0);
    meta_hand_over(east.m);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "");
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "");
    store_reopen(&next);
    struct hot *mine = h;
    ck_assert_int_eq(hot_new(next.m, bs, 0, &h), 0);
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "");
    meta_close(east.m);
    ck_assert_int_eq(put(&next, "app", "t", "{2}"), 0); // its writer looks, before it commits
    ck_assert_int_eq(read_tag(&a, "app", "t"), 0);
    ck_assert_str_eq(hot_text(&a, "app", "t"), "{2}");
    hot_free(h);
    h = mine;
    meta_close(next.m);
    store_reopen(&east);
    hot_free(h);
    ck_assert_int_eq(hot_new(east.m, bs, 0, &h), 0);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(no_number_while_a_commit_is_under_way)
{
    struct changes *c = mem_zalloc(sizeof *c);
    struct touched t = {0};
    ck_assert_ptr_nonnull(c);
    changes_init(c);
    uint64_t seven = changes_number(c, 7), eight = changes_number(c, 8);
    ck_assert(seven && eight);
    touched_add(&t, 7);
    changes_end(c, &t); // rolled back
    ck_assert_uint_eq(changes_number(c, 7), seven);
    touched_add(&t, 7);
    touched_add(&t, 7);
    changes_begin(c, &t);
    ck_assert_uint_eq(changes_number(c, 7), 0);
    ck_assert_uint_eq(changes_number(c, 8), eight);
    changes_end(c, &t);
    ck_assert_uint_gt(changes_number(c, 7), seven);
    seven = changes_number(c, 7);
    for (unsigned i = 0; i <= TOUCHED_MAX; i++)
        touched_add(&t, i + 100);
    changes_begin(c, &t);
    ck_assert_uint_eq(changes_number(c, 7), 0);
    changes_end(c, &t);
    ck_assert_uint_gt(changes_number(c, 7), seven);
    ck_assert_uint_gt(changes_number(c, 8), eight);
    free(c);
}
END_TEST

// --- on threads ---

static _Atomic bool stop;
static _Atomic long acknowledged;
static _Atomic uint64_t n_reads, n_hot;

static void *writer(void *arg)
{
    (void)arg;
    for (long i = 1; !stop; i++) {
        AUTO_FREE char *text = mem_printf("%ld", i);
        ck_assert_int_eq(put(&east, "app", "t", text), 0);
        atomic_store(&acknowledged, i);
    }
    return NULL;
}

static void *reader(void *arg)
{
    long last = 0;
    (void)arg;
    while (!stop) {
        struct arena a;
        struct manifest_row row;
        const struct hot_key key = by_tag("app", "t");
        long least = atomic_load(&acknowledged);
        arena_init(&a, 0);
        int rc = hot_manifest(h, &key, &a, &row);
        n_hot += rc == 0;
        if (rc == ERR_NOTFOUND)
            rc = hot_manifest_read(h, &key, &a, &row);
        ck_assert_int_eq(rc, 0);
        char text[24];
        snprintf(text, sizeof text, "%.*s", (int)row.content.n, (const char *)row.content.p);
        long is = strtol(text, NULL, 10);
        ck_assert_msg(is >= least, "%ld after %ld was acknowledged", is, least);
        ck_assert_msg(is >= last, "%ld after %ld was seen", is, last);
        last = is;
        arena_done(&a);
        n_reads++;
    }
    return NULL;
}

START_TEST(nobody_sees_an_old_value)
{
    enum { READERS = 3 };
    pthread_t threads[READERS + 1];
    const char *for_s = getenv("MERIDIAN_RACE_S");
    begin(0);
    ck_assert_int_eq(put(&east, "app", "t", "0"), 0);
    ck_assert_int_eq(pthread_create(&threads[READERS], NULL, writer, NULL), 0);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, reader, NULL), 0);
    int64_t until_ms = clock_mono_ms() + (for_s ? 1000 * atoi(for_s) : 500);
    // on a busy machine until there was something to see
    while (clock_mono_ms() < until_ms || acknowledged < 20 || n_hot < 20)
        clock_sleep_ms(10);
    stop = true;
    for (int i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_gt(n_reads, n_hot);
    end();
}
END_TEST

CHECK_MAIN("store/hot", what_was_read_is_hot_until_it_changes, pushes_elsewhere_leave_it_hot,
           a_look_before_a_commit_is_not_remembered_after_it, a_reader_that_is_behind_fills_nothing,
           a_blob_is_hot_while_it_is_held_and_whole, each_kind_of_change_is_seen,
           a_manifest_that_no_tag_shows, a_blob_of_two_repositories, its_bytes_are_bounded,
           nothing_is_hot_beside_another_process, no_number_while_a_commit_is_under_way,
           nobody_sees_an_old_value)
