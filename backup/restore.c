// SPDX-License-Identifier: Apache-2.0
// Restoring a backup; see backup.h.
#include "backup/backup.h"

#include "backup/bytes_copy.h"
#include "backup/check.h"
#include "backup/folder.h"
#include "backup/node_files.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/sqlite/sqlite_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define NEW_NAME ".restoring"

struct restoring {
    const struct restore_want *w;
    struct diag *diag;
    struct folder folder;
    // of the region
    int meta_fd, blobs_fd;
    struct backup_report r;
};

// --- the place ---

static int dir_at(int at, const char *name, unsigned mode, int *out_fd)
{
    if (mkdirat(at, name, mode) && errno != EEXIST)
        return err_from_errno(errno);
    int fd = openat(at, name, DIR_FLAGS);
    if (fd < 0)
        return err_from_errno(errno);
    *out_fd = fd;
    return 0;
}

static int group_give(const struct restoring *t, int fd, unsigned mode)
{
    if (t->w->edge_gid != (gid_t)-1 && fchown(fd, (uid_t)-1, t->w->edge_gid))
        return err_from_errno(errno);
    // an owner outside the group, or a service manager, may not set that bit
    if (fchmod(fd, mode) && fchmod(fd, mode & ~(unsigned)S_ISGID))
        return err_from_errno(errno);
    return 0;
}

static int any_name(void *ctx, int dir_fd, const char *name)
{
    (void)ctx;
    (void)dir_fd;
    (void)name;
    return ERR_EXISTS;
}

static int shard_empty(void *ctx, int dir_fd, const char *name)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, DIR_FLAGS);
    (void)ctx;
    return fd < 0 ? ERR_EXISTS : names_each(fd, any_name, NULL);
}

static int alg_empty(void *ctx, int dir_fd, const char *name)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, DIR_FLAGS);
    (void)ctx;
    return fd < 0 ? ERR_EXISTS : names_each(fd, shard_empty, NULL);
}

// Segments of another control feed among those of the backup would be neither feed.
static bool has_control(const struct restoring *t)
{
    AUTO_FREE char *path = mem_printf("%s/state/control", t->w->data_dir);
    AUTO_CLOSE int fd = path ? open(path, DIR_FLAGS) : -1;
    if (fd < 0)
        return errno != ENOENT;
    return names_each(fd, any_name, NULL) != 0;
}

static int empty_check(const struct restoring *t)
{
    const char *what = NULL;
    if (!faccessat(t->meta_fd, "meta.db", F_OK, AT_SYMLINK_NOFOLLOW))
        what = "metadata (" BACKUP_META ")";
    else if (names_each(t->blobs_fd, alg_empty, NULL))
        what = "blobs (store/blobs)";
    else if (has_control(t))
        what = "a control feed (state/control)";
    if (!what || !faccessat(t->meta_fd, SQLITE_RESTORE_MARK, F_OK, AT_SYMLINK_NOFOLLOW))
        return 0; // or a restore was broken off here: it goes on
    diag_add(t->diag, NULL, 0,
             "%s: has %s already, and a restore never mixes: if nothing there is needed any more, "
             "move `meta`, `store` and `state` away and restore again",
             t->w->data_dir, what);
    return ERR_EXISTS;
}

static int place_open(struct restoring *t)
{
    AUTO_CLOSE int data = open(t->w->data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int store = -1;
    int rc = data < 0 ? err_from_errno(errno) : 0;
    if (!rc)
        rc = dir_at(data, "meta", 0700, &t->meta_fd);
    if (!rc)
        rc = dir_at(data, "store", 0710, &store);
    if (!rc)
        rc = dir_at(store, "blobs", 0750, &t->blobs_fd);
    if (!rc)
        rc = group_give(t, t->blobs_fd, 02750);
    if (rc)
        diag_add(t->diag, NULL, 0, "%s: cannot be made ready: %s", t->w->data_dir, err_text(rc));
    return rc;
}

// --- refusals ---

static int form_judge(const struct restoring *t)
{
    const struct sqlite_facts *x = &t->r.form.facts;
    if (strcmp(x->region, t->w->region) != 0) {
        diag_add(t->diag, NULL, 0,
                 "%s: is a backup of region %s, and this node is of %s: a region is restored from "
                 "its own backup alone",
                 t->w->dir, x->region, t->w->region);
        return ERR_CONFLICT;
    }
    if (x->schema > sqlite_schema_newest()) {
        diag_add(t->diag, NULL, 0,
                 "%s: has schema version %lld, and this program knows up to %d: restore it with "
                 "release %s or a later one",
                 t->w->dir, (long long)x->schema, sqlite_schema_newest(), t->r.form.program);
        return ERR_VERSION;
    }
    return 0;
}

// --- blobs ---

static int shard_of(const struct restoring *t, const struct digest *d, int *out_fd)
{
    char name[3];
    AUTO_CLOSE int alg = -1;
    int rc = dir_at(t->blobs_fd, digest_alg_name((enum digest_alg)d->alg), 0750, &alg);
    if (!rc)
        rc = group_give(t, alg, 02750);
    hex_format(d->b, 1, name);
    if (!rc)
        rc = dir_at(alg, name, 0750, out_fd);
    if (!rc)
        rc = group_give(t, *out_fd, 02750);
    return rc;
}

static int blob_copy(const struct restoring *t, int from, int shard)
{
    uint64_t n;
    int rc = bytes_copy_new(from, shard, NEW_NAME, 0640, DIGEST_SHA256, &n, NULL);
    AUTO_CLOSE int fd = -1;
    if (!rc)
        fd = openat(shard, NEW_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (!rc && fd < 0)
        rc = err_from_errno(errno);
    if (!rc)
        rc = group_give(t, fd, 0640);
    return rc;
}

// A link where one can be made: the file is never changed, neither here nor there, but for its
// group and mode, by which the edge reads it.
static int blob_new(const struct restoring *t, const struct digest *d, int from, int shard)
{
    char hex[DIGEST_HEX_SIZE], path[2 * DIGEST_HEX_SIZE], word[3];
    (void)unlinkat(shard, NEW_NAME, 0);
    hex_format(d->b, d->n, hex);
    hex_format(d->b, 1, word);
    snprintf(path, sizeof path, "%s/%s/%s", digest_alg_name((enum digest_alg)d->alg), word, hex);
    if (t->w->copy || linkat(t->folder.blobs_fd, path, shard, NEW_NAME, 0))
        return blob_copy(t, from, shard);
    return group_give(t, from, 0640);
}

static int blob_restore(void *ctx, const struct blob_name *name, uint64_t size)
{
    struct restoring *t = ctx;
    char hex[DIGEST_HEX_SIZE], file[2 * DIGEST_HEX_SIZE];
    AUTO_CLOSE int shard = -1, from = -1;
    struct stat st;
    if (backup_misses(&t->r.form, &name->digest))
        return 0;
    int rc = folder_blob_open(&t->folder, &name->digest, size, &from);
    if (!rc)
        rc = shard_of(t, &name->digest, &shard);
    if (rc)
        return rc;
    hex_format(name->digest.b, name->digest.n, hex);
    snprintf(file, sizeof file, "%s%s%s", hex, name->generation[0] ? "." : "", name->generation);
    if (!fstatat(shard, file, &st, AT_SYMLINK_NOFOLLOW) && (uint64_t)st.st_size == size) {
        t->r.n_left++; // of a restore that was broken off
        return 0;
    }
    rc = blob_new(t, &name->digest, from, shard);
    if (!rc && renameat(shard, NEW_NAME, shard, file))
        rc = err_from_errno(errno);
    if (rc)
        return rc;
    t->r.n_new++;
    t->r.new_bytes += size;
    return 0;
}

// Names in a folder are on the disk once it was synced, and it itself once the one above was.
static int shard_sync(void *ctx, int dir_fd, const char *name)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, DIR_FLAGS);
    (void)ctx;
    if (fd < 0 || fsync(fd))
        return err_from_errno(errno);
    return 0;
}

static int alg_sync(void *ctx, int dir_fd, const char *name)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, DIR_FLAGS);
    if (fd < 0)
        return err_from_errno(errno);
    int rc = names_each(fd, shard_sync, ctx);
    if (!rc && fsync(fd))
        rc = err_from_errno(errno);
    return rc;
}

// Those of a restore that was broken off, too.
static int blobs_sync(const struct restoring *t)
{
    int rc = names_each(t->blobs_fd, alg_sync, NULL);
    if (!rc && fsync(t->blobs_fd))
        rc = err_from_errno(errno);
    return rc;
}

// --- the whole ---

static int mark_set(const struct restoring *t)
{
    AUTO_CLOSE int fd =
        openat(t->meta_fd, SQLITE_RESTORE_MARK, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fsync(fd) || fsync(t->meta_fd))
        return err_from_errno(errno);
    return 0;
}

static int mark_clear(const struct restoring *t)
{
    if (unlinkat(t->meta_fd, SQLITE_RESTORE_MARK, 0) || fsync(t->meta_fd))
        return err_from_errno(errno);
    return 0;
}

static int meta_restore(const struct restoring *t, const struct backup_file *meta)
{
    static const char *const sides[] = {"meta.db-wal", "meta.db-shm", "meta.db-journal", NEW_NAME};
    AUTO_CLOSE int from = -1;
    uint64_t n;
    int rc = folder_file_open(&t->folder, meta->sha256, &from);
    for (size_t i = 0; i < ARRAY_LEN(sides) && !rc; i++)
        if (unlinkat(t->meta_fd, sides[i], 0) && errno != ENOENT)
            rc = err_from_errno(errno);
    if (!rc)
        rc = bytes_copy_new(from, t->meta_fd, NEW_NAME, 0600, DIGEST_SHA256, &n, NULL);
    if (!rc && renameat(t->meta_fd, NEW_NAME, t->meta_fd, "meta.db"))
        rc = err_from_errno(errno);
    if (!rc && fsync(t->meta_fd))
        rc = err_from_errno(errno);
    return rc;
}

// Invariant 3: the metadata last.
static int all_restore(struct restoring *t)
{
    const struct backup_file *meta = backup_form_find(&t->r.form, BACKUP_META);
    AUTO_FREE char *path = folder_file_path(&t->folder, meta->sha256);
    int rc = path ? mark_set(t) : ERR_NOMEM;
    if (!rc)
        rc = sqlite_blobs_each(path, blob_restore, t);
    if (!rc)
        rc = blobs_sync(t);
    if (!rc)
        rc = node_files_restore(&t->folder, &t->r.form, t->w->data_dir, &t->r.keys_left);
    if (!rc)
        rc = meta_restore(t, meta);
    if (!rc)
        rc = mark_clear(t);
    if (rc)
        diag_add(t->diag, NULL, 0,
                 "%s: the restore was broken off: %s; the daemon does not start there until it was "
                 "run again to its end",
                 t->w->data_dir, err_text(rc));
    return rc;
}

static int folder_restore(struct restoring *t, struct arena *a)
{
    int rc = folder_form_read(&t->folder, a, t->diag, &t->r.form);
    if (!rc)
        rc = form_judge(t);
    if (!rc)
        rc = folder_check(&t->folder, t->w->verify, a, t->diag, &t->r);
    if (!rc)
        rc = place_open(t);
    if (!rc)
        rc = empty_check(t);
    t->r.n_kept = 0;
    if (rc)
        return rc;
    return all_restore(t);
}

int backup_restore(const struct restore_want *w, struct arena *a, struct diag *diag,
                   struct backup_report *out)
{
    struct restoring t = {.w = w, .diag = diag, .meta_fd = -1, .blobs_fd = -1};
    int rc = folder_open(w->dir, false, diag, &t.folder);
    if (rc)
        return rc;
    rc = folder_restore(&t, a);
    fd_auto_close(&t.meta_fd);
    fd_auto_close(&t.blobs_fd);
    folder_close(&t.folder);
    if (!rc)
        *out = t.r;
    return rc;
}
