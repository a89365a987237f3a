// SPDX-License-Identifier: Apache-2.0
// Blobs as files: the layout, finished blobs, and the table of operations; see files.h. Growing
// ones are in upload.c. Called on the pool.
//
// No path is ever built from stored or received text: names come from the algorithm enum and hex
// digits, and every step is opened relative to its directory without following a symlink.
#include "store/files/files.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/files/files_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

// The set-group-ID bit makes files inherit the group through which the edge reads. It usually comes
// from the parent; chmod is left out where it would change nothing, because for an owner outside
// that group it would clear the bit.
// A service manager may forbid the bit (RestrictSUIDSGID of systemd): then the directory does
// without, and all that is made below it is given the group one by one.
static int mode_ensure(int fd, unsigned mode)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_from_errno(errno);
    if ((st.st_mode & 07777) == mode || !fchmod(fd, mode))
        return 0;
    if (errno == EPERM && mode & S_ISGID && !fchmod(fd, mode & ~(unsigned)S_ISGID))
        return 0;
    return err_from_errno(errno);
}

void file_group_ensure(int fd, gid_t group)
{
    struct stat st;
    if (!fstat(fd, &st) && st.st_gid != group)
        (void)!fchown(fd, (uid_t)-1, group);
}

// The group of the directory that it is made in.
static int made_ready(int parent_fd, int fd, unsigned mode)
{
    struct stat parent;
    if (fstat(parent_fd, &parent))
        return err_from_errno(errno);
    file_group_ensure(fd, parent.st_gid);
    return mode_ensure(fd, mode);
}

int file_dir_at(int parent_fd, const char *name, unsigned mode, bool make, bool *out_made,
                int *out_fd)
{
    bool made = false;
    AUTO_CLOSE int fd = openat(parent_fd, name, DIR_FLAGS);
    if (fd < 0 && make && errno == ENOENT) {
        made = mkdirat(parent_fd, name, mode & 0777) == 0;
        if (!made && errno != EEXIST) // another may have been faster
            return err_from_errno(errno);
        fd = openat(parent_fd, name, DIR_FLAGS);
    }
    if (fd < 0)
        return err_from_errno(errno);
    if (made) {
        int rc = made_ready(parent_fd, fd, mode);
        if (rc)
            return rc;
    }
    if (out_made)
        *out_made = made;
    *out_fd = fd;
    fd = -1;
    return 0;
}

// A file is created in uploads/ or partial/ and keeps its group when it moves: so these two take
// the group of blobs/.
static int growing_dir(int root_fd, const char *name, gid_t group, int *out_fd)
{
    int fd = -1;
    int rc = file_dir_at(root_fd, name, 02700, true, NULL, &fd);
    if (rc)
        return rc;
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_gid != group && fchown(fd, (uid_t)-1, group) == 0)
        (void)mode_ensure(fd, 02700);
    *out_fd = fd;
    return 0;
}

static int algorithm_dirs_make(int blobs_fd)
{
    static const enum digest_alg algs[] = {DIGEST_SHA256, DIGEST_SHA512};
    for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
        AUTO_CLOSE int fd = -1;
        int rc = file_dir_at(blobs_fd, digest_alg_name(algs[i]), 02750, true, NULL, &fd);
        if (rc)
            return rc;
    }
    return 0;
}

static int layout_open(struct file_store *fs, const char *dir)
{
    int rc = dir_make(dir, 0755);
    if (rc)
        return rc;
    fs->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fs->root_fd < 0)
        return err_from_errno(errno);
    rc = file_dir_at(fs->root_fd, "blobs", 02750, true, NULL, &fs->blobs_fd);
    if (rc)
        return rc;
    struct stat st;
    if (fstat(fs->blobs_fd, &st))
        return err_from_errno(errno);
    fs->group = st.st_gid;
    rc = growing_dir(fs->root_fd, "uploads", st.st_gid, &fs->uploads_fd);
    if (rc)
        return rc;
    rc = growing_dir(fs->root_fd, "partial", st.st_gid, &fs->part_fd);
    if (rc)
        return rc;
    rc = algorithm_dirs_make(fs->blobs_fd);
    if (rc)
        return rc;
    file_hold_ready(fs);
    if (fsync(fs->blobs_fd) || fsync(fs->root_fd))
        return err_from_errno(errno);
    return 0;
}

static void file_store_close(struct blob_store *bs)
{
    struct file_store *fs = file_store_of(bs);
    fd_auto_close(&fs->root_fd);
    fd_auto_close(&fs->blobs_fd);
    fd_auto_close(&fs->uploads_fd);
    fd_auto_close(&fs->part_fd);
    pthread_mutex_destroy(&fs->lock);
    free(fs);
}

static bool file_writable(struct blob_store *bs, uint64_t *out_free_bytes)
{
    struct file_store *fs = file_store_of(bs);
    struct statvfs vfs;
    if (fstatvfs(fs->uploads_fd, &vfs))
        return false;
    if (out_free_bytes)
        *out_free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    char name[32];
    snprintf(name, sizeof name, ".probe-%x", fs->n_probes++);
    int fd =
        openat(fs->uploads_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    static const char text[4096] = "probe\n";
    bool ok = fd_write_all(fd, text, sizeof text) == 0 && fsync(fd) == 0;
    ok &= close(fd) == 0;
    ok &= unlinkat(fs->uploads_fd, name, 0) == 0;
    return ok;
}

// --- finished blobs ---

int file_shard_open(struct file_store *fs, const struct digest *d, bool make, int *out_fd)
{
    assert(digest_ok(d)); // store/blob.c checked it
    AUTO_CLOSE int alg = -1;
    int rc = file_dir_at(fs->blobs_fd, digest_alg_name((enum digest_alg)d->alg), 02750, make, NULL,
                         &alg);
    if (rc)
        return rc;
    char shard[3];
    hex_format(d->b, 1, shard);
    AUTO_CLOSE int fd = -1;
    bool made = false;
    rc = file_dir_at(alg, shard, 02750, make, &made, &fd);
    if (rc)
        return rc;
    if (made && fsync(alg))
        return err_from_errno(errno);
    *out_fd = fd;
    fd = -1;
    return 0;
}

void file_name(const struct blob_name *name, char out[FILE_NAME_SIZE])
{
    char hex[DIGEST_HEX_SIZE];
    const char *dot = "";
    assert(blob_generation_ok(name->generation)); // store/blob.c checked it
    if (*name->generation)
        dot = ".";
    hex_format(name->digest.b, name->digest.n, hex);
    snprintf(out, FILE_NAME_SIZE, "%s%s%s", hex, dot, name->generation);
}

static int file_reader_open(struct blob_store *bs, const struct blob_name *name,
                            struct blob_reader **out)
{
    struct file_store *fs = file_store_of(bs);
    AUTO_CLOSE int dir = -1;
    int rc = file_shard_open(fs, &name->digest, false, &dir);
    if (rc)
        return rc;
    char text[FILE_NAME_SIZE];
    file_name(name, text);
    AUTO_CLOSE int fd = openat(dir, text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP ? ERR_CORRUPT : err_from_errno(errno);
    struct stat st;
    if (fstat(fd, &st))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return ERR_CORRUPT;
    struct file_reader *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->base = (struct blob_reader){.backend = bs->backend, .size = (uint64_t)st.st_size};
    r->fd = fd;
    fd = -1;
    *out = &r->base;
    return 0;
}

static int file_reader_read(struct blob_reader *br, uint64_t at, void *p, size_t cap, size_t *out_n)
{
    struct file_reader *r = (struct file_reader *)br;
    size_t n = 0;
    while (n < cap) {
        ssize_t got = pread(r->fd, (char *)p + n, cap - n, (off_t)(at + n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_from_errno(errno);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *out_n = n;
    return 0;
}

static void file_reader_close(struct blob_reader *br)
{
    struct file_reader *r = (struct file_reader *)br;
    fd_auto_close(&r->fd);
    free(r);
}

static int file_stat(struct blob_store *bs, const struct blob_name *name, uint64_t *out_size)
{
    AUTO_CLOSE int dir = -1;
    int rc = file_shard_open(file_store_of(bs), &name->digest, false, &dir);
    if (rc)
        return rc;
    char text[FILE_NAME_SIZE];
    struct stat st;
    file_name(name, text);
    if (fstatat(dir, text, &st, AT_SYMLINK_NOFOLLOW))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return ERR_CORRUPT;
    *out_size = (uint64_t)st.st_size;
    return 0;
}

// The edge sends the file itself.
static int file_serve(struct blob_store *bs, const struct blob_serve_want *want,
                      struct blob_serve *out)
{
    const struct digest *d = &want->name->digest;
    uint64_t size;
    int rc = file_stat(bs, want->name, &size);
    if (rc)
        return rc;
    if (size != want->size)
        return ERR_DIGEST;
    char text[FILE_NAME_SIZE];
    file_name(want->name, text);
    out->kind = BLOB_SERVE_PATH;
    snprintf(out->path, sizeof out->path, "%s/%.2s/%s", digest_alg_name((enum digest_alg)d->alg),
             text, text);
    return 0;
}

// For the moment of it nobody can hold: nor can another one who removes.
static int unheld_remove(struct file_store *fs, int dir, const char *text)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    int unheld = -1;
    pthread_mutex_lock(&one_at_a_time);
    int rc = file_hold_none(fs, &unheld);
    if (!rc && unlinkat(dir, text, 0))
        rc = err_from_errno(errno);
    fd_auto_close(&unheld);
    pthread_mutex_unlock(&one_at_a_time);
    return rc;
}

static int file_remove(struct blob_store *bs, const struct blob_name *name, bool unnamed)
{
    AUTO_CLOSE int dir = -1;
    int rc = file_shard_open(file_store_of(bs), &name->digest, false, &dir);
    if (rc)
        return rc;
    char text[FILE_NAME_SIZE];
    file_name(name, text);
    if (!unnamed)
        return unheld_remove(file_store_of(bs), dir, text);
    return unlinkat(dir, text, 0) ? err_from_errno(errno) : 0;
}

// --- the table ---

static const struct blob_backend files_backend = {
    .name = "files",
    .close = file_store_close,
    .writable = file_writable,
    .stat = file_stat,
    .remove = file_remove,
    .walk = file_walk,
    .serve = file_serve,
    .reader_open = file_reader_open,
    .reader_read = file_reader_read,
    .reader_close = file_reader_close,
    .follow_open = file_follow_open,
    .follow_look = file_follow_look,
    .upload_open = file_upload_open,
    .upload_write = file_upload_write,
    .upload_sync = file_upload_sync,
    .upload_trim = file_upload_trim,
    .upload_spread = file_upload_spread,
    .upload_put = file_upload_put,
    .upload_chunk_done = file_upload_chunk_done,
    .upload_chunk_there = file_upload_chunk_there,
    .upload_digest = file_upload_digest,
    .upload_read = file_upload_read,
    .upload_commit = file_upload_commit,
    .upload_close = file_upload_close,
    .upload_outcome = file_upload_outcome,
    .upload_elsewhere = file_upload_elsewhere,
    .upload_discard = file_upload_discard,
    .partial_size = file_partial_size,
    .partials_drop = file_partials_drop,
    .partials_bound = file_partials_bound,
    .expire = file_expire,
    .set_aside = file_set_aside,
    .damaged_note = file_damaged_note,
    .damaged_list = file_damaged_list,
    .damaged_release = file_damaged_release,
    .damaged_forget = file_damaged_forget,
};

int blob_files_open(const char *dir, struct blob_store **out)
{
    struct file_store *fs = mem_zalloc(sizeof *fs);
    if (!fs)
        return ERR_NOMEM;
    blob_store_init(&fs->base, &files_backend);
    fs->root_fd = fs->blobs_fd = fs->uploads_fd = fs->part_fd = -1;
    pthread_mutex_init(&fs->lock, NULL);
    int rc = layout_open(fs, dir);
    if (rc) {
        file_store_close(&fs->base);
        return rc;
    }
    *out = &fs->base;
    return 0;
}
