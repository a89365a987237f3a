// SPDX-License-Identifier: Apache-2.0
// The store on a disk that is full at each step in turn: what was acknowledged stays, what was
// refused leaves nothing that counts, reads go on, and all goes on once there is room, without
// another start.
#include "store/blob.h"
#include "store/files/files.h"
#include "store/spare.h"
#include "tests/support/full_disk.h"
#include "tests/unit/store/meta_support.h"

#include <fcntl.h>
#include <unistd.h>

#define STEPS_MAX 5000

static struct region_store region;
static struct blob_store *bs;
static char dir[64];

// ---- metadata ----

static int tag_points_to(const char *tag, const char *text)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    int rc = meta_manifest_get(region.m, REG, "app", tag, NULL, &a, &row);
    if (!rc)
        ck_assert(row.content.n == strlen(text) && !memcmp(row.content.p, text, row.content.n));
    arena_done(&a);
    return rc;
}

// One writes, with the disk full at the n-th step of it, or from there on: refused whole or taken
// whole, never between.
static void writes(void (*full)(long))
{
    char text[64], before[64] = "";
    bool met = true;
    store_begin(&region, "eastus");
    for (long n = 1; met; n++) {
        ck_assert_int_lt(n, STEPS_MAX);
        snprintf(text, sizeof text, "{%ld}", n);
        uint64_t head = head_seq(&region, "eastus");
        full(n);
        int rc = put(&region, "app", "latest", text);
        int probe = met ? meta_probe(region.m) : 0; // what /healthz asks, while it is full
        int read = *before ? tag_points_to("latest", rc ? before : text) : 0;
        met = full_disk_off() > 0;
        ck_assert_msg(rc == 0 || rc == ERR_NOSPACE, "step %ld: %s", n, err_text(rc));
        ck_assert_msg(met || !rc, "step %ld", n);
        ck_assert_msg(probe == 0 || probe == ERR_NOSPACE, "step %ld: %s", n, err_text(probe));
        ck_assert_int_eq(read, 0); // reads go on
        ck_assert_uint_eq(head_seq(&region, "eastus"), rc ? head : head + 2);
        if (rc) // there is room again: the same write, and no other start before it
            ck_assert_int_eq(put(&region, "app", "latest", text), 0);
        ck_assert_int_eq(meta_probe(region.m), 0);
        ck_assert_int_eq(tag_points_to("latest", text), 0);
        strcpy(before, text);
    }
    feed_verify(&region, "eastus");
    meta_close(region.m);
    store_reopen(&region);
    feed_verify(&region, "eastus");
    ck_assert_int_eq(tag_points_to("latest", before), 0);
    store_end(&region);
}

START_TEST(a_write_is_whole_or_refused_when_the_disk_is_full_from_a_step_on)
{
    writes(full_disk_from);
}
END_TEST

START_TEST(a_write_is_whole_or_refused_when_one_step_finds_no_room)
{
    writes(full_disk_at);
}
END_TEST

// Closing brings the log into the database; opening reads it, or makes one. Neither loses anything.
static void turns(void (*full)(long), bool closing)
{
    bool met = true;
    store_begin(&region, "eastus");
    for (long n = 1; met; n++) {
        char text[64];
        ck_assert_int_lt(n, STEPS_MAX);
        snprintf(text, sizeof text, "{%ld}", n);
        ck_assert_int_eq(put(&region, "app", "latest", text), 0);
        uint64_t head = head_seq(&region, "eastus");
        if (closing)
            full(n);
        meta_close(region.m);
        if (!closing)
            full(n);
        int rc = closing ? 0 : store_try(&region, NULL);
        met = full_disk_off() > 0;
        // when it is asked why, there is room again
        bool unsaid = full == full_disk_at && rc == ERR_IO;
        ck_assert_msg(rc == 0 || rc == ERR_NOSPACE || unsaid, "step %ld: %s", n, err_text(rc));
        if (!closing && !rc)
            meta_close(region.m);
        store_reopen(&region);
        ck_assert_uint_eq(head_seq(&region, "eastus"), head);
        ck_assert_int_eq(tag_points_to("latest", text), 0);
    }
    feed_verify(&region, "eastus");
    store_end(&region);
}

START_TEST(closing_on_a_full_disk_loses_nothing)
{
    turns(full_disk_from, true);
    turns(full_disk_at, true);
}
END_TEST

START_TEST(opening_on_a_full_disk_is_refused_and_loses_nothing)
{
    turns(full_disk_from, false);
    turns(full_disk_at, false);
}
END_TEST

// The log comes to its limit of pages and is brought into the database while the disk is full: the
// write that does it is acknowledged all the same, and nothing is lost.
START_TEST(a_checkpoint_on_a_full_disk_loses_nothing)
{
    static char text[64 << 10];
    memset(text, ' ', sizeof text - 1);
    store_begin(&region, "eastus");
    int n_refused = 0;
    for (int i = 0; i < 200; i++) { // some 17 pages each; a checkpoint comes with a thousand
        char tag[16];
        snprintf(tag, sizeof tag, "t%03d", i);
        memcpy(text, tag, strlen(tag));
        if (i % 7 == 3)
            full_disk_at(i % 60);
        int rc = put(&region, "app", tag, text);
        full_disk_off();
        ck_assert(rc == 0 || rc == ERR_NOSPACE);
        n_refused += rc != 0;
        if (rc)
            ck_assert_int_eq(put(&region, "app", tag, text), 0);
    }
    ck_assert_int_gt(n_refused, 0);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 400);
    feed_verify(&region, "eastus");
    meta_close(region.m);
    store_reopen(&region);
    ck_assert_uint_eq(head_seq(&region, "eastus"), 400);
    feed_verify(&region, "eastus");
    store_end(&region);
}
END_TEST

// ---- blobs ----

static void blobs_begin(void)
{
    strcpy(dir, "/tmp/meridian-full-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(blob_files_open(dir, &bs), 0);
}

static void blobs_end(void)
{
    blob_store_close(bs);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static bool blob_is(const struct blob_name *d, const char *text)
{
    struct blob_reader *r;
    size_t n;
    char b[256];
    if (blob_reader_open(bs, d, &r))
        return false;
    ck_assert_int_eq(blob_reader_read(r, 0, b, sizeof b, &n), 0);
    blob_reader_close(r);
    ck_assert(n == strlen(text) && !memcmp(b, text, n)); // whole, when it is there
    return true;
}

static void all_are_whole(const char *text)
{
    struct digest d = digest_str(text);
    struct blob_walk at = {0};
    struct blob_name list[8];
    size_t n;
    while (!at.ended) {
        ck_assert_int_eq(blob_walk(bs, &at, list, ARRAY_LEN(list), &n), 0);
        for (size_t i = 0; i < n; i++)
            if (digest_equal(&list[i].digest, &d))
                ck_assert(blob_is(&list[i], text));
    }
}

static int put_blob(const char *text, struct blob_name *out)
{
    return blob_put(bs, text, strlen(text), out);
}

static int upload_blob(const char *text, struct blob_name *out)
{
    struct blob_upload *u;
    size_t half = strlen(text) / 2;
    struct digest d = digest_str(text);
    int rc = blob_upload_open(bs, "eastus.1", &u);
    if (rc)
        return rc;
    rc = blob_upload_trim(u, 0);
    if (!rc)
        rc = blob_upload_write(u, text, half);
    if (!rc)
        rc = blob_upload_sync(u);
    if (!rc)
        rc = blob_upload_write(u, text + half, strlen(text) - half);
    if (!rc)
        rc = blob_upload_commit(u, &d, out, NULL);
    blob_upload_close(u);
    if (!rc)
        blob_upload_discard(bs, "eastus.1");
    return rc;
}

static int fetch_blob(const char *text, struct blob_name *out)
{
    struct blob_upload *u;
    struct digest d = digest_str(text);
    int rc = blob_partial_open(bs, &d, &u);
    if (rc)
        return rc;
    uint64_t had = blob_upload_size(u); // resumes where it stopped
    ck_assert_uint_le(had, strlen(text));
    rc = blob_upload_write(u, text + had, strlen(text) - (size_t)had);
    if (!rc)
        rc = blob_upload_commit(u, &d, out, NULL);
    blob_upload_close(u);
    return rc;
}

static void blobs_at_each_step(int (*act)(const char *text, struct blob_name *out),
                               void (*full)(long))
{
    bool met = true;
    blobs_begin();
    for (long n = 1; met; n++) {
        char text[64];
        struct blob_name d;
        size_t left_over = 0;
        ck_assert_int_lt(n, STEPS_MAX);
        snprintf(text, sizeof text, "content of step %ld", n);
        full(n);
        int rc = act(text, &d);
        met = full_disk_off() > 0;
        ck_assert_msg(rc == 0 || rc == ERR_NOSPACE, "step %ld: %s", n, err_text(rc));
        ck_assert(rc || met || blob_is(&d, text));
        ck_assert(rc || blob_is(&d, text)); // acknowledged: it is there
        all_are_whole(text);                // refused: not there, or whole
        rc = act(text, &d);
        ck_assert_msg(rc == 0, "step %ld, again: %s", n, err_text(rc));
        ck_assert(blob_is(&d, text));
        ck_assert_int_eq(blob_uploads_expire(bs, INT64_MAX, NULL, NULL, &left_over), 0);
        ck_assert_msg(left_over == 0, "step %ld leaves %zu behind", n, left_over);
    }
    blobs_end();
}

START_TEST(a_blob_is_whole_or_not_there)
{
    blobs_at_each_step(put_blob, full_disk_from);
    blobs_at_each_step(put_blob, full_disk_at);
}
END_TEST

START_TEST(an_upload_is_repeated_once_there_is_room)
{
    blobs_at_each_step(upload_blob, full_disk_from);
    blobs_at_each_step(upload_blob, full_disk_at);
}
END_TEST

START_TEST(a_fetch_goes_on_once_there_is_room)
{
    blobs_at_each_step(fetch_blob, full_disk_from);
    blobs_at_each_step(fetch_blob, full_disk_at);
}
END_TEST

START_TEST(the_layout_is_made_once_there_is_room)
{
    bool met = true;
    for (long n = 1; met; n++) {
        strcpy(dir, "/tmp/meridian-full-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        full_disk_from(n);
        int rc = blob_files_open(dir, &bs);
        met = full_disk_off() > 0;
        ck_assert(rc == 0 || rc == ERR_NOSPACE);
        if (rc)
            ck_assert_int_eq(blob_files_open(dir, &bs), 0);
        blobs_end();
    }
}
END_TEST

START_TEST(the_probe_says_so)
{
    bool met = true;
    blobs_begin();
    for (long n = 1; met; n++) {
        full_disk_from(n);
        bool ok = blob_store_writable(bs, NULL);
        met = full_disk_off() > 0;
        ck_assert(ok == !met);
        ck_assert(blob_store_writable(bs, NULL));
    }
    blobs_end();
}
END_TEST

START_TEST(spare_room_is_there_in_full_or_not_at_all)
{
    bool met = true;
    char path[96];
    blobs_begin();
    snprintf(path, sizeof path, "%s/spare", dir);
    for (long n = 1; met; n++) {
        full_disk_at(n);
        int rc = spare_keep(path, SPARE_BYTES);
        met = full_disk_off() > 0;
        ck_assert(rc == (met ? ERR_NOSPACE : 0));
        ck_assert_int_eq(spare_keep(path, SPARE_BYTES), 0);
        ck_assert_int_eq(unlink(path), 0);
    }
    blobs_end();
}
END_TEST

CHECK_MAIN("store/full_disk", a_write_is_whole_or_refused_when_the_disk_is_full_from_a_step_on,
           a_write_is_whole_or_refused_when_one_step_finds_no_room,
           closing_on_a_full_disk_loses_nothing,
           opening_on_a_full_disk_is_refused_and_loses_nothing,
           a_checkpoint_on_a_full_disk_loses_nothing, a_blob_is_whole_or_not_there,
           an_upload_is_repeated_once_there_is_room, a_fetch_goes_on_once_there_is_room,
           the_layout_is_made_once_there_is_room, the_probe_says_so,
           spare_room_is_there_in_full_or_not_at_all)
