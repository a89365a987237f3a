// SPDX-License-Identifier: Apache-2.0
// Making and verifying backups: what is in one, what is refused, and what is found in one that is not
// whole.
#include "tests/unit/backup/backup_support.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

static struct world w;
static struct backup_report done;

START_TEST(a_backup_of_an_open_store_is_whole_and_a_second_one_brings_what_is_new)
{
    world_begin(&w);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(image_push(&w, i), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert_uint_eq(done.form.facts.n_tags, 8);
    ck_assert_uint_eq(done.form.facts.n_blobs, 12); // 4 that are shared
    ck_assert_uint_eq(done.n_new, 12);
    ck_assert_uint_eq(done.form.facts.head.seq, head_seq(&w.region, "eastus"));
    ck_assert_uint_eq(done.form.n_missing, 0);
    ck_assert_int_eq(verify(&w, &done), 0);
    ck_assert_uint_eq(done.n_read, 12);
    ck_assert_int_eq(image_push(&w, 8), 0);
    image_delete(&w, 0);
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert_uint_eq(done.n_new, 1);
    ck_assert_int_eq(verify(&w, &done), 0);
    ck_assert_uint_eq(done.form.facts.head.seq, head_seq(&w.region, "eastus"));
    world_end(&w);
}
END_TEST

static size_t names_in(const char *dir, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    DIR *d = opendir(path);
    size_t n = 0;
    ck_assert_ptr_nonnull(d);
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

START_TEST(what_a_backup_does_not_name_any_more_leaves_it)
{
    char digest[DIGEST_TEXT_SIZE], text[LAYER_BYTES], path[200];
    struct digest d;
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(image_push(&w, 1), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    size_t n = layer_text(1, 1, text);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, n, &d), 0);
    digest_format(&d, digest);
    snprintf(path, sizeof path, "blobs/sha256/%.2s/%s", digest + 7, digest + 7);
    ck_assert(there(w.backup, path));
    size_t n_files = names_in(w.backup, "files");
    image_delete(&w, 1);
    for (int i = 0; i < 4; i++) // lease, condemned, deleted, removed
        collect_now(&w);
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert(!there(w.backup, path));
    ck_assert_uint_eq(names_in(w.backup, "files"), n_files); // the metadata of before is gone
    ck_assert_int_eq(verify(&w, &done), 0);
    world_end(&w);
}
END_TEST

START_TEST(keys_are_in_it_only_when_asked_for_and_nobody_else_reads_them)
{
    const struct backup_want want = {
        .data_dir = w.data, .dir = w.backup, .region = "eastus", .with_keys = true};
    struct stat st;
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert_ptr_nonnull(backup_form_find(&done.form, "state/control/1-1"));
    ck_assert_ptr_null(backup_form_find(&done.form, "state/spare"));
    ck_assert_ptr_null(backup_form_find(&done.form, "keys/feed.pem"));
    ck_assert_ptr_null(backup_form_find(&done.form, "certs/peer.pem"));
    ck_assert_int_eq(backup_take(&want, &w.a, &w.d, &done), 0);
    const struct backup_file *key = backup_form_find(&done.form, "keys/feed.pem");
    ck_assert_ptr_nonnull(key);
    ck_assert_ptr_nonnull(backup_form_find(&done.form, "certs/peer.pem"));
    char hex[2 * SHA256_BYTES + 1];
    hex_format(key->sha256, SHA256_BYTES, hex);
    AUTO_FREE char *path = mem_printf("%s/files/%s", w.backup, hex);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(stat(w.backup, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    ck_assert_int_eq(verify(&w, &done), 0);
    ck_assert(done.form.keys);
    // the next one without them has none
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert(access(path, F_OK));
    world_end(&w);
}
END_TEST

// --- pushes, deletions and collection beside it ---

static _Atomic bool ends;
static _Atomic int n_pushed;

static void *life(void *ctx)
{
    (void)ctx;
    for (int i = 0; !atomic_load(&ends); i++) {
        ck_assert_int_eq(image_push(&w, i), 0);
        atomic_store(&n_pushed, i + 1);
        if (i >= 3)
            image_delete(&w, i - 3);
        collect_now(&w);
    }
    return NULL;
}

START_TEST(a_backup_beside_pushes_deletions_and_collection_misses_nothing)
{
    pthread_t thread;
    world_begin(&w);
    atomic_store(&ends, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, life, NULL), 0);
    for (int i = 0; i < 8; i++) {
        int pushed = atomic_load(&n_pushed);
        while (atomic_load(&n_pushed) < pushed + 3)
            usleep(1000);
        ck_assert_int_eq(take(&w, &done), 0);
        ck_assert_uint_eq(done.form.n_missing, 0);
        int rc = verify(&w, &done);
        if (rc)
            said_show(&w.d);
        ck_assert_int_eq(rc, 0);
    }
    atomic_store(&ends, true);
    pthread_join(thread, NULL);
    world_end(&w);
}
END_TEST

START_TEST(what_is_held_is_not_removed_until_the_holder_is_gone)
{
    char store[128], text[LAYER_BYTES];
    int hold = -1;
    struct blob_name name;
    uint64_t size;
    world_begin(&w);
    snprintf(store, sizeof store, "%s/store", w.data);
    size_t n = layer_text(0, 0, text);
    ck_assert_int_eq(blob_put(w.bs, text, n, &name), 0);
    ck_assert_int_eq(blob_files_hold(store, &hold), 0);
    ck_assert_int_eq(blob_remove(w.bs, &name), ERR_BUSY);
    ck_assert_int_eq(blob_stat(w.bs, &name, &size), 0);
    close(hold);
    ck_assert_int_eq(blob_remove(w.bs, &name), 0);
    ck_assert_int_eq(blob_stat(w.bs, &name, &size), ERR_NOTFOUND);
    world_end(&w);
}
END_TEST

START_TEST(a_collection_that_finds_all_held_is_no_failure_and_goes_on_later)
{
    char store[128];
    int hold = -1;
    world_begin(&w);
    snprintf(store, sizeof store, "%s/store", w.data);
    ck_assert_int_eq(image_push(&w, 0), 0);
    image_delete(&w, 0);
    ck_assert_int_eq(blob_files_hold(store, &hold), 0);
    for (int i = 0; i < 4; i++)
        collect_now(&w);
    struct collect_counts c = {0};
    next_ms();
    ck_assert_int_eq(collect_turn(w.bs, w.region.m, &c), 0);
    ck_assert_uint_eq(c.n_removed, 0);
    ck_assert(c.held);
    close(hold);
    c = (struct collect_counts){0};
    ck_assert_int_eq(collect_turn(w.bs, w.region.m, &c), 0);
    ck_assert_uint_eq(c.n_removed, 2);
    ck_assert(!c.held);
    world_end(&w);
}
END_TEST

// No row has named it, so no backup does.
START_TEST(what_a_quota_refuses_goes_although_a_backup_holds)
{
    char store[128], text[LAYER_BYTES];
    int hold = -1;
    struct blob_name name;
    struct lease_result result;
    const struct usage_limits limits = {.registry_bytes = 10, .repository_bytes = 10};
    uint64_t size;
    world_begin(&w);
    snprintf(store, sizeof store, "%s/store", w.data);
    size_t n = layer_text(0, 0, text);
    ck_assert_int_eq(blob_put(w.bs, text, n, &name), 0);
    ck_assert_int_eq(blob_files_hold(store, &hold), 0);
    const struct lease_add add = {.registry = REG,
                                  .repository = "app",
                                  .digest = name.digest,
                                  .published = &name,
                                  .size = n,
                                  .limits = &limits};
    ck_assert_int_eq(blob_publish(w.bs, w.region.m, &add, &result), ERR_QUOTA);
    ck_assert_int_eq(blob_stat(w.bs, &name, &size), ERR_NOTFOUND);
    close(hold);
    world_end(&w);
}
END_TEST

#define REMOVALS 300

static void *remover(void *arg)
{
    unsigned of = *(const unsigned *)arg;
    for (unsigned i = 0; i < REMOVALS; i++) {
        char text[64];
        struct blob_name name;
        int n = snprintf(text, sizeof text, "%u of %u", i, of);
        ck_assert_int_eq(blob_put(w.bs, text, (size_t)n, &name), 0);
        ck_assert_int_eq(blob_remove(w.bs, &name), 0);
    }
    return NULL;
}

START_TEST(two_who_remove_do_not_take_each_other_for_a_backup)
{
    pthread_t threads[2];
    unsigned of[2] = {0, 1};
    world_begin(&w);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, remover, &of[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    world_end(&w);
}
END_TEST

// --- what the region has lost ---

static void blob_path(int image, int layer, char out[256], const char *root, const char *end)
{
    char text[LAYER_BYTES], digest[DIGEST_TEXT_SIZE];
    struct digest d;
    size_t n = layer_text(image, layer, text);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, n, &d), 0);
    digest_format(&d, digest);
    snprintf(out, 256, "%s/sha256/%.2s/%s%s", root, digest + 7, digest + 7, end);
}

static void store_path(int image, int layer, char out[256])
{
    char text[LAYER_BYTES], root[128], end[BLOB_GENERATION_SIZE + 1];
    struct digest d;
    struct blob_here here;
    size_t n = layer_text(image, layer, text);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, n, &d), 0);
    ck_assert_int_eq(meta_blob_look(w.region.m, REG, "app", &d, &here), 0);
    snprintf(root, sizeof root, "%s/store/blobs", w.data);
    snprintf(end, sizeof end, ".%s", here.name.generation);
    blob_path(image, layer, out, root, end);
}

static void byte_change(const char *path, off_t at)
{
    char c;
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &c, 1, at), 1);
    c ^= 1;
    ck_assert_int_eq(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

START_TEST(blobs_that_the_region_lost_are_listed)
{
    char lost[256], cut[256], bad[256];
    world_begin(&w);
    const struct backup_want want = {
        .data_dir = w.data, .dir = w.backup, .region = "eastus", .verify = true};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(image_push(&w, i), 0);
    store_path(0, 1, lost);
    store_path(1, 1, cut);
    store_path(2, 1, bad);
    ck_assert_int_eq(remove(lost), 0);
    ck_assert_int_eq(truncate(cut, 10), 0);
    byte_change(bad, 20);
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert_uint_eq(done.form.n_missing, 2);
    ck_assert_int_eq(verify(&w, &done),
                     ERR_CORRUPT); // the third is in it, and is not what it should be
    fresh_words(&w);
    ck_assert_int_eq(backup_take(&want, &w.a, &w.d, &done), 0); // reads all
    ck_assert_uint_eq(done.form.n_missing, 3);
    ck_assert_int_eq(verify(&w, &done), 0);
    world_end(&w);
}
END_TEST

// --- refusals ---

START_TEST(a_folder_of_something_else_is_left_alone)
{
    world_begin(&w);
    dir_put(w.backup, "");
    static const char *const others[] = {"letters.txt", "new-report.pdf", "new-", "new-1x",
                                         "new-meta.pdf"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", w.backup, others[i]);
        file_put(w.backup, others[i], "dear");
        ck_assert_msg(take(&w, &done) == ERR_CONFLICT, "%s is taken for a backup's", others[i]);
        ck_assert(was_said(&w, "no backup's"));
        ck_assert(there(w.backup, others[i]));
        ck_assert(!there(w.backup, "backup.json"));
        ck_assert_int_eq(remove(path), 0);
    }
    // what a death leaves
    static const char *const ours[] = {"new-0", "new-17", "new-meta", "new-meta-wal"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        file_put(w.backup, ours[i], "half");
    ck_assert_int_eq(take(&w, &done), 0);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        ck_assert(!there(w.backup, ours[i]));
    world_end(&w);
}
END_TEST

START_TEST(a_backup_of_another_region_is_left_alone)
{
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    const struct backup_want want = {.data_dir = w.data, .dir = w.backup, .region = "westeurope"};
    fresh_words(&w);
    ck_assert_int_eq(backup_take(&want, &w.a, &w.d, &done), ERR_CONFLICT);
    ck_assert(was_said(&w, "of region eastus, not of westeurope"));
    // nor is one made where the metadata is another region's than the node's settings say
    const struct backup_want fresh = {.data_dir = w.data, .dir = w.other, .region = "westeurope"};
    ck_assert_int_eq(backup_take(&fresh, &w.a, &w.d, &done), ERR_CONFLICT);
    ck_assert(!there(w.other, "backup.json"));
    ck_assert_int_eq(verify(&w, &done), 0);
    world_end(&w);
}
END_TEST

START_TEST(without_metadata_or_with_damaged_there_is_no_backup_and_the_one_before_stays)
{
    world_begin(&w);
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(image_push(&w, i), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    uint64_t seq = done.form.facts.head.seq;
    ck_assert_int_eq(image_push(&w, 40), 0);
    world_close(&w);
    AUTO_FREE char *db = mem_printf("%s/meta/meta.db", w.data);
    struct stat st;
    ck_assert_int_eq(stat(db, &st), 0);
    int fd = open(db, O_RDWR);
    for (off_t at = 8192; at < st.st_size; at += 4096)
        ck_assert_int_eq(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, at), 8);
    close(fd);
    ck_assert_int_eq(take(&w, &done), ERR_CORRUPT);
    ck_assert(was_said(&w, "damaged"));
    ck_assert_int_eq(verify(&w, &done), 0);
    ck_assert_uint_eq(done.form.facts.head.seq, seq);
    ck_assert_int_eq(remove(db), 0);
    ck_assert_int_eq(take(&w, &done), ERR_NOTFOUND);
    ck_assert_int_eq(verify(&w, &done), 0);
    world_end(&w);
}
END_TEST

START_TEST(two_backups_into_one_folder_do_not_meet)
{
    struct folder f;
    world_begin(&w);
    ck_assert_int_eq(folder_open(w.backup, true, NULL, &f), 0);
    ck_assert_int_eq(take(&w, &done), ERR_BUSY);
    ck_assert_int_eq(verify(&w, &done), ERR_BUSY);
    folder_close(&f);
    ck_assert_int_eq(take(&w, &done), 0);
    world_end(&w);
}
END_TEST

// --- what is found in one that is not whole ---

// Each file of the backup in turn: a byte of it changed, cut, gone. `harm` undoes nothing.
static void tree_each(const char *dir, void (*fn)(const char *path))
{
    DIR *d = opendir(dir);
    ck_assert_ptr_nonnull(d);
    for (const struct dirent *e; (e = readdir(d));) {
        struct stat st;
        AUTO_FREE char *path = mem_printf("%s/%s", dir, e->d_name);
        if (e->d_name[0] == '.')
            continue;
        ck_assert_int_eq(lstat(path, &st), 0);
        if (S_ISDIR(st.st_mode))
            tree_each(path, fn);
        else
            fn(path);
    }
    closedir(d);
}

static int n_harmed;

static void harm(const char *path)
{
    struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(file_read(path, 64 << 20, &b), 0);
    ck_assert_int_gt(b.n, 0);
    byte_change(path, (off_t)b.n / 2);
    ck_assert_msg(verify(&w, &done), "%s: a changed byte is not found", path);
    ck_assert_int_gt(diag_count(&w.d), 0);
    ck_assert_int_eq(file_write_atomic(path, b.p, b.n - 2, 0600), 0);
    ck_assert_msg(verify(&w, &done), "%s: its cut end is not found", path);
    ck_assert_int_eq(remove(path), 0);
    ck_assert_msg(verify(&w, &done), "%s: its loss is not found", path);
    ck_assert_int_eq(file_write_atomic(path, b.p, b.n, 0600), 0);
    ck_assert_int_eq(verify(&w, &done), 0);
    buf_done(&b);
    n_harmed++;
}

START_TEST(whatever_is_changed_cut_or_gone_is_found)
{
    world_begin(&w);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(image_push(&w, i), 0);
    const struct backup_want want = {
        .data_dir = w.data, .dir = w.backup, .region = "eastus", .with_keys = true, .copy = true};
    ck_assert_int_eq(backup_take(&want, &w.a, &w.d, &done), 0);
    n_harmed = 0;
    tree_each(w.backup, harm);
    // backup.json, meta.db, two of state, two of keys, six blobs
    ck_assert_int_eq(n_harmed, 12);
    world_end(&w);
}
END_TEST

START_TEST(a_torn_blob_in_a_backup_is_brought_again)
{
    char path[256], root[128];
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    const struct backup_want want = {
        .data_dir = w.data, .dir = w.backup, .region = "eastus", .copy = true};
    ck_assert_int_eq(backup_take(&want, &w.a, &w.d, &done), 0);
    snprintf(root, sizeof root, "%s/blobs", w.backup);
    blob_path(0, 1, path, root, "");
    ck_assert_int_eq(truncate(path, 5), 0);
    ck_assert_int_eq(backup_take(&want, &w.a, &w.d, &done), 0);
    ck_assert_uint_eq(done.n_new, 1);
    ck_assert_int_eq(verify(&w, &done), 0);
    world_end(&w);
}
END_TEST

CHECK_MAIN("backup/take", a_backup_of_an_open_store_is_whole_and_a_second_one_brings_what_is_new,
           what_a_backup_does_not_name_any_more_leaves_it,
           keys_are_in_it_only_when_asked_for_and_nobody_else_reads_them,
           a_backup_beside_pushes_deletions_and_collection_misses_nothing,
           what_is_held_is_not_removed_until_the_holder_is_gone,
           a_collection_that_finds_all_held_is_no_failure_and_goes_on_later,
           what_a_quota_refuses_goes_although_a_backup_holds,
           two_who_remove_do_not_take_each_other_for_a_backup,
           blobs_that_the_region_lost_are_listed, a_folder_of_something_else_is_left_alone,
           a_backup_of_another_region_is_left_alone,
           without_metadata_or_with_damaged_there_is_no_backup_and_the_one_before_stays,
           two_backups_into_one_folder_do_not_meet, whatever_is_changed_cut_or_gone_is_found,
           a_torn_blob_in_a_backup_is_brought_again)
