// SPDX-License-Identifier: Apache-2.0
// Restoring: all is there again, and nothing goes over anything; and backup.json, read as what
// somebody else may have written.
#include "tests/unit/backup/backup_support.h"

static struct world w;
static struct backup_report done;

START_TEST(a_lost_disk_is_restored_as_it_was_at_the_backup)
{
    struct stat st;
    world_begin(&w);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(image_push(&w, i), 0);
    image_delete(&w, 2);
    ck_assert_int_eq(take(&w, &done), 0);
    uint64_t seq = head_seq(&w.region, "eastus");
    ck_assert_int_eq(image_push(&w, 6), 0);
    world_close(&w);
    world_lose(&w);
    ck_assert_int_eq(restore(&w, &done), 0);
    ck_assert(!done.keys_left);
    ck_assert(there(w.data, "state/control/1-1"));
    ck_assert(!there(w.data, "keys/feed.pem"));
    world_open(&w);
    ck_assert_uint_eq(head_seq(&w.region, "eastus"), seq);
    for (int i = 0; i < 6; i++)
        if (i != 2)
            image_check(&w, i);
    ck_assert(image_gone(&w, 2));
    ck_assert(image_gone(&w, 6));
    ck_assert_int_eq(image_push(&w, 7), 0);
    image_check(&w, 7);
    AUTO_FREE char *db = mem_printf("%s/meta/meta.db", w.data);
    ck_assert_int_eq(stat(db, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(verify(&w, &done), 0); // what goes on there does not touch the backup
    world_end(&w);
}
END_TEST

START_TEST(keys_come_back_and_those_that_are_there_stay)
{
    const struct backup_want want = {
        .data_dir = w.data, .dir = w.backup, .region = "eastus", .with_keys = true};
    struct buf b;
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(backup_take(&want, &w.a, &w.d, &done), 0);
    world_close(&w);
    world_lose(&w);
    dir_put(w.data, "keys");
    file_put(w.data, "keys/feed.pem", "a new key");
    ck_assert_int_eq(restore(&w, &done), 0);
    ck_assert(done.keys_left);
    ck_assert(there(w.data, "certs/peer.pem"));
    AUTO_FREE char *key = mem_printf("%s/keys/feed.pem", w.data);
    buf_init(&b, 0);
    ck_assert_int_eq(file_read(key, 100, &b), 0);
    ck_assert_str_eq(buf_cstr(&b), "a new key");
    buf_done(&b);
    world_end(&w);
}
END_TEST

START_TEST(nothing_is_restored_over_anything)
{
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert_int_eq(image_push(&w, 1), 0);
    world_close(&w);
    ck_assert_int_eq(restore(&w, &done), ERR_EXISTS);
    ck_assert(was_said(&w, "has metadata"));
    AUTO_FREE char *db = mem_printf("%s/meta/meta.db", w.data);
    ck_assert_int_eq(remove(db), 0);
    ck_assert_int_eq(restore(&w, &done), ERR_EXISTS);
    ck_assert(was_said(&w, "has blobs"));
    ck_assert(!there(w.data, "meta/meta.db"));
    ck_assert(!there(w.data, "meta/" SQLITE_RESTORE_MARK));
    world_close(&w);
    world_lose(&w);
    dir_put(w.data, "state/control");
    file_put(w.data, "state/control/2-9", "another feed");
    ck_assert_int_eq(restore(&w, &done), ERR_EXISTS);
    ck_assert(was_said(&w, "has a control feed"));
    ck_assert(!there(w.data, "state/control/1-1"));
    ck_assert(!there(w.data, "meta/" SQLITE_RESTORE_MARK));
    file_put(w.data, "meta/" SQLITE_RESTORE_MARK, ""); // one that was broken off goes on
    ck_assert_int_eq(restore(&w, &done), 0);
    world_lose(&w);
    dir_put(w.data, "state/control"); // without anything in it
    ck_assert_int_eq(restore(&w, &done), 0);
    world_end(&w);
}
END_TEST

static void form_change(void (*change)(struct backup_form *f))
{
    struct folder f;
    struct backup_form form = done.form;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    change(&form);
    ck_assert_int_eq(backup_form_write(&form, &text), 0);
    ck_assert_int_eq(folder_open(w.backup, true, NULL, &f), 0);
    ck_assert_int_eq(folder_form_put(&f, bytes_of(text.p, text.n)), 0);
    folder_close(&f);
}

static void of_west(struct backup_form *f)
{
    f->facts.region = "westeurope";
}

static void of_tomorrow(struct backup_form *f)
{
    f->facts.schema = sqlite_schema_newest() + 1;
}

static void one_tag_more(struct backup_form *f)
{
    f->facts.n_tags++;
}

static void nothing_there(void)
{
    ck_assert(!there(w.data, "meta/meta.db"));
    ck_assert(!there(w.data, "meta/" SQLITE_RESTORE_MARK));
}

static const char *const claims[] = {"state/replication.json", "state/joining-westeurope.json"};

// As backups of an earlier program have them.
static void with_claims(struct backup_form *f)
{
    struct backup_file *files = arena_array(&w.a, f->n_files + ARRAY_LEN(claims), sizeof *files);
    ck_assert_ptr_nonnull(files);
    memcpy(files, f->files, f->n_files * sizeof *files);
    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        files[f->n_files] = *backup_form_find(f, "state/health.json");
        files[f->n_files++].path = claims[i];
    }
    f->files = files;
}

static void claims_gone(void)
{
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        ck_assert_msg(!there(w.data, claims[i]), "%s", claims[i]);
}

// They are younger than the metadata, and say that it has what it has not.
START_TEST(what_says_how_far_others_were_read_is_not_restored)
{
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        file_put(w.data, claims[i], "{}");
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert_ptr_nonnull(backup_form_find(&done.form, "state/health.json"));
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        ck_assert_ptr_null(backup_form_find(&done.form, claims[i]));
    world_close(&w);
    form_change(with_claims);
    world_lose(&w);
    ck_assert_int_eq(restore(&w, &done), 0);
    ck_assert_ptr_nonnull(backup_form_find(&done.form, claims[0]));
    ck_assert(there(w.data, "state/health.json"));
    claims_gone();
    // nor do those stay that are there
    world_lose(&w);
    dir_put(w.data, "state");
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        file_put(w.data, claims[i], "{}");
    file_put(w.data, "state/other.json", "{}");
    ck_assert_int_eq(restore(&w, &done), 0);
    claims_gone();
    ck_assert(there(w.data, "state/other.json"));
    world_end(&w);
}
END_TEST

START_TEST(another_regions_a_later_schemas_and_a_false_one_are_refused)
{
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    const struct backup_report kept = done;
    struct arena keep = w.a; // the form hangs off it
    arena_init(&w.a, 0);
    world_close(&w);
    world_lose(&w);
    form_change(of_west);
    ck_assert_int_eq(restore(&w, &done), ERR_CONFLICT);
    ck_assert(was_said(&w, "is a backup of region westeurope"));
    nothing_there();
    done = kept;
    form_change(of_tomorrow);
    ck_assert_int_eq(restore(&w, &done), ERR_VERSION);
    ck_assert(was_said(&w, "this program knows up to"));
    nothing_there();
    done = kept;
    form_change(one_tag_more);
    ck_assert_int_eq(restore(&w, &done), ERR_CORRUPT);
    ck_assert(was_said(&w, "not what backup.json says"));
    nothing_there();
    arena_done(&keep);
    world_end(&w);
}
END_TEST

START_TEST(a_backup_that_is_not_whole_is_refused)
{
    char path[256], digest[DIGEST_TEXT_SIZE], text[LAYER_BYTES];
    struct digest d;
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    world_close(&w);
    world_lose(&w);
    size_t n = layer_text(0, 1, text);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, n, &d), 0);
    digest_format(&d, digest);
    snprintf(path, sizeof path, "%s/blobs/sha256/%.2s/%s", w.backup, digest + 7, digest + 7);
    ck_assert_int_eq(remove(path), 0);
    ck_assert_int_eq(restore(&w, &done), ERR_CORRUPT);
    ck_assert(was_said(&w, digest));
    nothing_there();
    ck_assert_int_eq(dir_remove_tree(w.backup), 0);
    ck_assert_int_eq(restore(&w, &done), ERR_NOTFOUND);
    ck_assert(was_said(&w, "there is no backup"));
    world_end(&w);
}
END_TEST

// --- backup.json ---

static int form_read(const struct backup_form *f)
{
    AUTO_BUF struct buf text;
    struct backup_form is;
    buf_init(&text, 0);
    ck_assert_int_eq(backup_form_write(f, &text), 0);
    return backup_form_read(bytes_of(text.p, text.n), &w.a, &w.d, &is);
}

START_TEST(a_path_that_leads_elsewhere_is_no_form)
{
    static const char *const bad[] = {"../etc/passwd", "/etc/passwd",     "state/../keys/x",
                                      "state//x",      "state/",          "meta/other.db",
                                      "log/audit.log", "keys/./feed.pem", "certs/.hidden"};
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert_int_eq(form_read(&done.form), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct backup_file files[2] = {done.form.files[0], {.path = bad[i], .mode = 0600}};
        struct backup_form form = done.form;
        form.files = files;
        form.n_files = 2;
        ck_assert_str_eq(files[0].path, BACKUP_META);
        ck_assert_msg(form_read(&form) == ERR_CORRUPT, "%s is taken", bad[i]);
    }
    world_end(&w);
}
END_TEST

START_TEST(no_cut_and_no_changed_byte_of_a_form_is_taken)
{
    AUTO_BUF struct buf text;
    struct backup_form is;
    buf_init(&text, 0);
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    ck_assert_int_eq(backup_form_write(&done.form, &text), 0);
    for (size_t i = 0; i + 2 < text.n; i++) {
        ck_assert(backup_form_read(bytes_of(text.p, i), &w.a, NULL, &is));
        char c = text.p[i];
        bool blank = c == ' ' || c == '\n';
        text.p[i] = blank ? 'x' : (char)(c ^ 1);
        ck_assert_msg(backup_form_read(bytes_of(text.p, text.n), &w.a, NULL, &is), "byte %zu", i);
        text.p[i] = c;
    }
    ck_assert_int_eq(backup_form_read(bytes_of(text.p, text.n), &w.a, NULL, &is), 0);
    world_end(&w);
}
END_TEST

CHECK_MAIN("backup/restore", a_lost_disk_is_restored_as_it_was_at_the_backup,
           keys_come_back_and_those_that_are_there_stay, nothing_is_restored_over_anything,
           what_says_how_far_others_were_read_is_not_restored,
           another_regions_a_later_schemas_and_a_false_one_are_refused,
           a_backup_that_is_not_whole_is_refused, a_path_that_leads_elsewhere_is_no_form,
           no_cut_and_no_changed_byte_of_a_form_is_taken)
