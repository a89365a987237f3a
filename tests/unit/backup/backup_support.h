// SPDX-License-Identifier: Apache-2.0
// What the tests of backups share: a region in a data folder of its own, with images that are made of
// their numbers, and folders beside it.
#ifndef MERIDIAN_TESTS_BACKUP_SUPPORT_H
#define MERIDIAN_TESTS_BACKUP_SUPPORT_H

#include "backup/backup.h"
#include "backup/folder.h"
#include "store/collect.h"
#include "store/files/files.h"
#include "store/meta_delete.h"
#include "store/publish.h"
#include "tests/unit/store/meta_support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAYER_BYTES 3000

struct world {
    // all is below it
    char dir[64];
    char data[80], backup[80], other[80];
    struct region_store region;
    struct blob_store *bs;
    struct arena a;
    struct diag d;
};

static inline void said_show(const struct diag *d)
{
    diag_print(d, stderr);
}

static inline void world_open(struct world *w)
{
    snprintf(w->region.path, sizeof w->region.path, "%s/meta/meta.db", w->data);
    store_reopen(&w->region);
    meta_set_lease_grace(w->region.m, 0);
    char store[128];
    snprintf(store, sizeof store, "%s/store", w->data);
    ck_assert_int_eq(blob_files_open(store, &w->bs), 0);
}

static inline void world_close(struct world *w)
{
    blob_store_close(w->bs);
    meta_close(w->region.m);
    w->bs = NULL;
    w->region.m = NULL;
}

static inline void file_put(const char *dir, const char *name, const char *text)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600), 0);
}

static inline void dir_put(const char *dir, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    ck_assert_int_eq(dir_make(path, 0700), 0);
}

static inline bool there(const char *dir, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

// In memory where the system has such a folder: these tests sync a lot, and look at what was asked of
// the disk, not at the disk.
static inline void world_begin(struct world *w)
{
    *w = (struct world){.dir = "/dev/shm/meridian-backup-XXXXXX"};
    if (access("/dev/shm", W_OK))
        strcpy(w->dir, "/tmp/meridian-backup-XXXXXX");
    w->region.region = "eastus";
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    snprintf(w->data, sizeof w->data, "%s/data", w->dir);
    snprintf(w->backup, sizeof w->backup, "%s/backup", w->dir);
    snprintf(w->other, sizeof w->other, "%s/other", w->dir);
    dir_put(w->data, "meta");
    dir_put(w->data, "state/control");
    dir_put(w->data, "keys");
    dir_put(w->data, "certs");
    file_put(w->data, "state/control/1-1", "a segment");
    file_put(w->data, "state/health.json", "{}");
    file_put(w->data, "state/spare", "made anew");
    file_put(w->data, "keys/feed.pem", "a key");
    file_put(w->data, "certs/peer.pem", "another");
    arena_init(&w->a, 0);
    diag_init(&w->d);
    world_open(w);
}

static inline void world_end(struct world *w)
{
    if (w->bs)
        world_close(w);
    arena_done(&w->a);
    diag_done(&w->d);
    ck_assert_int_eq(dir_remove_tree(w->dir), 0);
}

// --- images ---

// Layer 0 is one that four images share.
static inline size_t layer_text(int image, int layer, char out[LAYER_BYTES])
{
    int of = layer == 0 ? image % 4 : 1000 + image;
    memset(out, 'a' + of % 26, LAYER_BYTES);
    snprintf(out, LAYER_BYTES, "layer %d of %d", layer, of);
    return LAYER_BYTES - (size_t)(of % 7);
}

static inline int layer_store(struct world *w, int image, int layer, struct manifest_ref *ref)
{
    char text[LAYER_BYTES];
    size_t n = layer_text(image, layer, text);
    struct blob_here here;
    struct blob_name name;
    struct lease_result result;
    *ref = (struct manifest_ref){.kind = REF_BLOB, .size = n};
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, n, &ref->digest), 0);
    int rc = meta_blob_look(w->region.m, REG, "app", &ref->digest, &here);
    if (!rc)
        return meta_lease_renew(w->region.m, REG, "app", &here);
    rc = blob_put(w->bs, text, n, &name);
    if (rc)
        return rc;
    const struct lease_add add = {
        .registry = REG, .repository = "app", .digest = ref->digest, .published = &name, .size = n};
    return blob_publish(w->bs, w->region.m, &add, &result);
}

static inline int image_push(struct world *w, int image)
{
    struct manifest_ref refs[2];
    char text[64], tag[16];
    struct put_result result;
    int rc = 0;
    for (int i = 0; i < 2 && !rc; i++)
        rc = layer_store(w, image, i, &refs[i]);
    snprintf(text, sizeof text, "{\"image\":%d}", image);
    snprintf(tag, sizeof tag, "t%d", image);
    if (!rc)
        rc = put_refs(&w->region, "app", tag, text, refs, 2, &result);
    return rc;
}

static inline void image_delete(struct world *w, int image)
{
    char text[64];
    snprintf(text, sizeof text, "{\"image\":%d}", image);
    struct digest d = digest_str(text);
    struct delete_request q = {.registry = REG, .repository = "app", .digest = &d};
    struct delete_result result = {0};
    struct arena a;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_delete(w->region.m, &q, &a, &result), 0);
    arena_done(&a);
}

// A grace of nothing is over in the next millisecond.
static inline void next_ms(void)
{
    for (int64_t ms = clock_mono_ms(); clock_mono_ms() == ms;)
        usleep(200);
}

static inline void collect_now(struct world *w)
{
    struct collect_counts c = {.more = true};
    next_ms();
    for (int i = 0; c.more && i < 1000; i++) {
        c = (struct collect_counts){0};
        ck_assert_int_eq(collect_turn(w->bs, w->region.m, &c), 0);
    }
}

// The image of that tag is there, with the bytes of its layers.
static inline void image_check(struct world *w, int image)
{
    char tag[16], want[LAYER_BYTES], got[LAYER_BYTES];
    struct manifest_row row;
    struct arena a;
    arena_init(&a, 0);
    snprintf(tag, sizeof tag, "t%d", image);
    ck_assert_int_eq(meta_manifest_get(w->region.m, REG, "app", tag, NULL, &a, &row), 0);
    for (int i = 0; i < 2; i++) {
        size_t n = layer_text(image, i, want), n_got = 0;
        struct digest d;
        struct blob_here here;
        struct blob_reader *r;
        ck_assert_int_eq(digest_of(DIGEST_SHA256, want, n, &d), 0);
        ck_assert_int_eq(meta_blob_look(w->region.m, REG, "app", &d, &here), 0);
        ck_assert_int_eq(blob_reader_open(w->bs, &here.name, &r), 0);
        ck_assert_int_eq(blob_reader_read(r, 0, got, sizeof got, &n_got), 0);
        ck_assert(n_got == n && !memcmp(want, got, n));
        blob_reader_close(r);
    }
    arena_done(&a);
}

static inline bool image_gone(struct world *w, int image)
{
    char tag[16];
    struct manifest_row row;
    struct arena a;
    arena_init(&a, 0);
    snprintf(tag, sizeof tag, "t%d", image);
    int rc = meta_manifest_get(w->region.m, REG, "app", tag, NULL, &a, &row);
    arena_done(&a);
    return rc == ERR_NOTFOUND;
}

// --- calls ---

static inline void fresh_words(struct world *w)
{
    arena_done(&w->a);
    arena_init(&w->a, 0);
    diag_done(&w->d);
    diag_init(&w->d);
}

static inline int take(struct world *w, struct backup_report *out)
{
    const struct backup_want want = {.data_dir = w->data, .dir = w->backup, .region = "eastus"};
    fresh_words(w);
    return backup_take(&want, &w->a, &w->d, out);
}

static inline int verify(struct world *w, struct backup_report *out)
{
    fresh_words(w);
    return backup_verify(w->backup, true, &w->a, &w->d, out);
}

static inline int restore(struct world *w, struct backup_report *out)
{
    const struct restore_want want = {
        .data_dir = w->data, .dir = w->backup, .region = "eastus", .edge_gid = (gid_t)-1};
    fresh_words(w);
    return backup_restore(&want, &w->a, &w->d, out);
}

// The disk is lost: nothing of the data folder is left. The store is closed.
static inline void world_lose(struct world *w)
{
    ck_assert_int_eq(dir_remove_tree(w->data), 0);
    ck_assert_int_eq(dir_make(w->data, 0711), 0);
}

static inline bool was_said(const struct world *w, const char *words)
{
    for (size_t i = 0; i < w->d.n; i++)
        if (strstr(w->d.lines[i], words))
            return true;
    return false;
}

#endif
