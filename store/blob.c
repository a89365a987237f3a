// SPDX-License-Identifier: Apache-2.0
// Blobs as files: the layout, and finished blobs; see blob.h. Growing ones are in blob_upload.c.
// Called on the pool.
//
// No path is ever built from stored or received text: names come from the algorithm enum and hex
// digits, and every step is opened relative to its directory without following a symlink.
#include "store/blob.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/blob_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LEFT_OVER_MS 600000
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

// The set-group-ID bit makes files inherit the group through which the edge reads. It usually comes
// from the parent; chmod is left out where it would change nothing, because for an owner outside
// that group it would clear the bit.
static int mode_ensure(int fd, unsigned mode)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_from_errno(errno);
    if ((st.st_mode & 07777) != mode && fchmod(fd, mode))
        return err_from_errno(errno);
    return 0;
}

int blob_dir_at(int parent_fd, const char *name, unsigned mode, bool make, bool *out_made,
                int *out_fd)
{
    bool made = make && mkdirat(parent_fd, name, mode & 0777) == 0;
    if (make && !made && errno != EEXIST)
        return err_from_errno(errno);
    AUTO_CLOSE int fd = openat(parent_fd, name, DIR_FLAGS);
    if (fd < 0)
        return err_from_errno(errno);
    int rc = 0;
    if (made)
        rc = mode_ensure(fd, mode);
    if (rc)
        return rc;
    if (out_made)
        *out_made = made;
    *out_fd = fd;
    fd = -1;
    return 0;
}

// Files are born in uploads/ and partial/ and keep their group when they move: so those take the
// group of blobs/.
static int growing_dir(int root_fd, const char *name, gid_t group, int *out_fd)
{
    int fd;
    int rc = blob_dir_at(root_fd, name, 02700, true, NULL, &fd);
    if (rc)
        return rc;
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_gid != group && fchown(fd, (uid_t)-1, group) == 0)
        (void)fchmod(fd, 02700);
    *out_fd = fd;
    return 0;
}

static int layout_open(struct blob_store *bs, const char *dir)
{
    int rc = dir_make(dir, 0755);
    if (rc)
        return rc;
    int root = bs->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_from_errno(errno);
    struct stat st;
    rc = blob_dir_at(root, "blobs", 02750, true, NULL, &bs->blobs_fd);
    if (rc)
        return rc;
    if (fstat(bs->blobs_fd, &st))
        return err_from_errno(errno);
    rc = growing_dir(root, "uploads", st.st_gid, &bs->uploads_fd);
    if (rc)
        return rc;
    rc = growing_dir(root, "partial", st.st_gid, &bs->part_fd);
    if (rc)
        return rc;
    AUTO_CLOSE int alg = -1;
    rc = blob_dir_at(bs->blobs_fd, digest_alg_name(DIGEST_SHA256), 02750, true, NULL, &alg);
    if (rc)
        return rc;
    if (fsync(bs->blobs_fd) || fsync(root))
        return err_from_errno(errno);
    return 0;
}

int blob_store_open(const char *dir, struct blob_store **out)
{
    struct blob_store *bs = mem_zalloc(sizeof *bs);
    if (!bs)
        return ERR_NOMEM;
    bs->root_fd = bs->blobs_fd = bs->uploads_fd = bs->part_fd = -1;
    pthread_mutex_init(&bs->lock, NULL);
    bs->blobs_dir = mem_printf("%s/blobs", dir);
    int rc = ERR_NOMEM;
    if (bs->blobs_dir)
        rc = layout_open(bs, dir);
    if (rc) {
        blob_store_close(bs);
        return rc;
    }
    *out = bs;
    return 0;
}

void blob_store_close(struct blob_store *bs)
{
    if (!bs)
        return;
    fd_auto_close(&bs->root_fd);
    fd_auto_close(&bs->blobs_fd);
    fd_auto_close(&bs->uploads_fd);
    fd_auto_close(&bs->part_fd);
    pthread_mutex_destroy(&bs->lock);
    free(bs->blobs_dir);
    free(bs);
}

const char *blob_store_dir(const struct blob_store *bs)
{
    return bs->blobs_dir;
}

void blob_relative_path(const struct digest *d, char out[192])
{
    char hex[2 * sizeof d->b + 1];
    hex_format(d->b, d->n <= sizeof d->b ? d->n : 0, hex);
    snprintf(out, 192, "%s/%.2s/%s", digest_alg_name((enum digest_alg)d->alg), hex, hex);
}

static int digest_check(const struct digest *d)
{
    if (d->alg == DIGEST_SHA256 && d->n == SHA256_BYTES)
        return 0;
    return ERR_UNSUPPORTED;
}

int blob_shard_open(struct blob_store *bs, const struct digest *d, bool make, int *out_fd)
{
    int rc = digest_check(d);
    if (rc)
        return rc;
    AUTO_CLOSE int alg = -1;
    rc = blob_dir_at(bs->blobs_fd, digest_alg_name((enum digest_alg)d->alg), 02750, make, NULL,
                     &alg);
    if (rc)
        return rc;
    char shard[3];
    hex_format(d->b, 1, shard);
    AUTO_CLOSE int fd = -1;
    bool made = false;
    rc = blob_dir_at(alg, shard, 02750, make, &made, &fd);
    if (rc)
        return rc;
    if (made && fsync(alg))
        return err_from_errno(errno);
    *out_fd = fd;
    fd = -1;
    return 0;
}

int blob_open(struct blob_store *bs, const struct digest *d, int *out_fd, uint64_t *out_size)
{
    AUTO_CLOSE int dir = -1;
    int rc = blob_shard_open(bs, d, false, &dir);
    if (rc)
        return rc;
    char hex[2 * SHA256_BYTES + 1];
    hex_format(d->b, d->n, hex);
    AUTO_CLOSE int fd = openat(dir, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ELOOP)
            return ERR_CORRUPT;
        return err_from_errno(errno);
    }
    struct stat st;
    if (fstat(fd, &st))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return ERR_CORRUPT;
    *out_size = (uint64_t)st.st_size;
    *out_fd = fd;
    fd = -1;
    return 0;
}

int blob_stat(struct blob_store *bs, const struct digest *d, uint64_t *out_size)
{
    AUTO_CLOSE int dir = -1;
    int rc = blob_shard_open(bs, d, false, &dir);
    if (rc)
        return rc;
    char hex[2 * SHA256_BYTES + 1];
    hex_format(d->b, d->n, hex);
    struct stat st;
    if (fstatat(dir, hex, &st, AT_SYMLINK_NOFOLLOW))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return ERR_CORRUPT;
    *out_size = (uint64_t)st.st_size;
    return 0;
}

int blob_remove(struct blob_store *bs, const struct digest *d)
{
    AUTO_CLOSE int dir = -1;
    int rc = blob_shard_open(bs, d, false, &dir);
    if (rc)
        return rc;
    char hex[2 * SHA256_BYTES + 1];
    hex_format(d->b, d->n, hex);
    if (unlinkat(dir, hex, 0))
        return err_from_errno(errno);
    return 0;
}

int blob_put(struct blob_store *bs, const void *p, size_t n, struct digest *out)
{
    struct digest d;
    char id[64];
    struct blob_upload *u;
    int rc = digest_of(DIGEST_SHA256, p, n, &d);
    if (rc)
        return rc;
    snprintf(id, sizeof id, "put-%lx-%llx-%x", (long)getpid(), (unsigned long long)clock_mono_us(),
             bs->n_temps++);
    rc = blob_upload_open(bs, id, &u);
    if (rc)
        return rc;
    rc = blob_upload_write(u, p, n);
    if (!rc)
        rc = blob_upload_commit(u, &d, NULL);
    blob_upload_close(u);
    blob_upload_discard(bs, id); // nobody comes back for it
    if (!rc)
        *out = d;
    return rc;
}

struct expiry {
    int64_t older_than_wall_ms;
    bool (*known)(void *ctx, const char *id);
    void *ctx;
};

// The file of an upload, or the note of its outcome (its id and a '=').
static bool owner_known(const struct expiry *x, const char *name)
{
    char id[256];
    size_t n = strcspn(name, "=");
    if (!x->known || n >= sizeof id)
        return false;
    memcpy(id, name, n);
    id[n] = '\0';
    return x->known(x->ctx, id);
}

static int expire_in(struct blob_store *bs, int dir_fd, const struct expiry *x, size_t *n_removed)
{
    int fd = openat(dir_fd, ".", DIR_FLAGS); // its own descriptor: fdopendir takes it
    DIR *dir = NULL;
    if (fd >= 0)
        dir = fdopendir(fd);
    if (!dir) {
        int rc = err_from_errno(errno);
        fd_auto_close(&fd);
        return rc;
    }
    int rc = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        int64_t touched_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
        if (S_ISDIR(st.st_mode) || touched_ms >= x->older_than_wall_ms || owner_known(x, e->d_name))
            continue;
        pthread_mutex_lock(&bs->lock); // nobody opens it between the look and the removal
        AUTO_CLOSE int held = -1;
        if (!blob_upload_hold(bs, dir_fd, e->d_name, &held)) {
            if (unlinkat(dir_fd, e->d_name, 0) == 0)
                ++*n_removed;
            else if (errno != ENOENT)
                rc = err_from_errno(errno);
        }
        pthread_mutex_unlock(&bs->lock);
    }
    closedir(dir);
    return rc;
}

int blob_uploads_expire(struct blob_store *bs, int64_t older_than_wall_ms,
                        bool (*known)(void *ctx, const char *id), void *ctx, size_t *out_removed)
{
    size_t n = 0;
    struct expiry uploads = {older_than_wall_ms, known, ctx},
                  parts = {older_than_wall_ms, NULL, NULL};
    int64_t left_over_ms = clock_wall_ms() - LEFT_OVER_MS;
    if (known && uploads.older_than_wall_ms < left_over_ms)
        uploads.older_than_wall_ms = left_over_ms;
    int rc = expire_in(bs, bs->uploads_fd, &uploads, &n);
    int rc2 = expire_in(bs, bs->part_fd, &parts, &n);
    if (out_removed)
        *out_removed = n;
    if (rc)
        return rc;
    return rc2;
}

int blob_partials_drop(struct blob_store *bs, size_t *out_n, uint64_t *out_bytes)
{
    int fd = openat(bs->part_fd, ".", DIR_FLAGS); // its own descriptor: fdopendir takes it
    DIR *dir = NULL;
    if (fd >= 0)
        dir = fdopendir(fd);
    *out_n = 0;
    *out_bytes = 0;
    if (!dir) {
        int rc = err_from_errno(errno);
        fd_auto_close(&fd);
        return rc;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (fstatat(bs->part_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        pthread_mutex_lock(&bs->lock); // nobody opens it between the look and the removal
        AUTO_CLOSE int held = -1;
        if (!blob_upload_hold(bs, bs->part_fd, e->d_name, &held) &&
            unlinkat(bs->part_fd, e->d_name, 0) == 0) {
            ++*out_n;
            *out_bytes += (uint64_t)st.st_size;
        }
        pthread_mutex_unlock(&bs->lock);
    }
    closedir(dir);
    return 0;
}

bool blob_store_writable(struct blob_store *bs, uint64_t *out_free_bytes)
{
    struct statvfs vfs;
    if (fstatvfs(bs->uploads_fd, &vfs))
        return false;
    if (out_free_bytes)
        *out_free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    char name[32];
    snprintf(name, sizeof name, ".probe-%x", bs->n_probes++);
    int fd =
        openat(bs->uploads_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    static const char text[4096] = "probe\n";
    bool ok = fd_write_all(fd, text, sizeof text) == 0 && fsync(fd) == 0;
    ok &= close(fd) == 0;
    ok &= unlinkat(bs->uploads_fd, name, 0) == 0;
    return ok;
}
