// SPDX-License-Identifier: Apache-2.0
// The folder of a backup; see folder.h.
#include "backup/folder.h"

#include "backup/bytes_copy.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORM_NAME "backup.json"
#define NEW_PREFIX "new-"
#define NAME_SIZE 40
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define FILE_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

static int dir_at(int at, const char *name, bool make, int *out_fd)
{
    if (make && mkdirat(at, name, 0700) && errno != EEXIST)
        return err_from_errno(errno);
    int fd = openat(at, name, DIR_FLAGS);
    if (fd < 0)
        return err_from_errno(errno);
    *out_fd = fd;
    return 0;
}

// A name for what is being written.
static void new_name(struct folder *f, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, NEW_PREFIX "%u", f->n_made++);
}

// --- opening ---

int names_each(int dir_fd, int (*fn)(void *ctx, int dir_fd, const char *name), void *ctx)
{
    int fd = openat(dir_fd, ".", DIR_FLAGS); // closedir closes it
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    int rc = 0;
    if (!d) {
        rc = err_from_errno(errno);
        fd_auto_close(&fd);
        return rc;
    }
    for (const struct dirent *e; !rc && (errno = 0, e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = fn(ctx, fd, e->d_name);
    if (!rc && errno)
        rc = err_from_errno(errno);
    closedir(d);
    return rc;
}

// A copy of the metadata that is being made has files of SQLite's beside it.
static bool is_new(const char *name)
{
    static const char *const metas[] = {"meta", "meta-journal", "meta-wal", "meta-shm"};
    const size_t n = strlen(NEW_PREFIX);
    if (strncmp(name, NEW_PREFIX, n) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(metas); i++)
        if (!strcmp(name + n, metas[i]))
            return true;
    return name[n] && strspn(name + n, "0123456789") == strlen(name + n);
}

static int stranger(void *ctx, int dir_fd, const char *name)
{
    (void)ctx;
    (void)dir_fd;
    bool ours = is_new(name) || !strcmp(name, "files") || !strcmp(name, "blobs") ||
                !strcmp(name, FORM_NAME);
    return ours ? 0 : ERR_CONFLICT;
}

static int leftover_drop(void *ctx, int dir_fd, const char *name)
{
    (void)ctx;
    if (is_new(name) && unlinkat(dir_fd, name, 0) && errno != ENOENT)
        return err_from_errno(errno);
    return 0;
}

// For writing: it is ours alone, and what a death left is gone.
static int folder_claim(struct folder *f, struct diag *diag)
{
    if (flock(f->dir_fd, LOCK_EX | LOCK_NB)) {
        diag_add(diag, NULL, 0, "%s: another backup into it, or a restore from it, runs", f->dir);
        return ERR_BUSY;
    }
    int rc = names_each(f->dir_fd, stranger, NULL);
    if (rc == ERR_CONFLICT)
        diag_add(diag, NULL, 0,
                 "%s: holds files that are no backup's: name an empty folder, or one of a backup",
                 f->dir);
    if (!rc && fchmod(f->dir_fd, 0700))
        rc = err_from_errno(errno);
    if (!rc)
        rc = names_each(f->dir_fd, leftover_drop, NULL);
    return rc;
}

static int folder_parts(struct folder *f, bool write, struct diag *diag)
{
    int rc = 0;
    if (write)
        rc = folder_claim(f, diag);
    else if (flock(f->dir_fd, LOCK_SH | LOCK_NB)) {
        diag_add(diag, NULL, 0, "%s: a backup into it runs", f->dir);
        rc = ERR_BUSY;
    }
    if (!rc)
        rc = dir_at(f->dir_fd, "files", write, &f->files_fd);
    if (!rc)
        rc = dir_at(f->dir_fd, "blobs", write, &f->blobs_fd);
    return rc;
}

int folder_open(const char *dir, bool write, struct diag *diag, struct folder *out)
{
    struct folder f = {.dir = dir, .dir_fd = -1, .files_fd = -1, .blobs_fd = -1};
    *out = f;
    if (write && mkdir(dir, 0700) && errno != EEXIST) {
        int rc = err_from_errno(errno);
        diag_add(diag, NULL, 0, "%s: cannot be made: %s", dir, err_text(rc));
        return rc;
    }
    f.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = f.dir_fd < 0 ? err_from_errno(errno) : 0;
    size_t said = diag ? diag_count(diag) : 0;
    if (!rc)
        rc = folder_parts(&f, write, diag);
    if (!rc) {
        *out = f;
        return 0;
    }
    if (rc == ERR_NOTFOUND)
        diag_add(diag, NULL, 0, "%s: there is no backup", dir);
    else if (diag && diag_count(diag) == said)
        diag_add(diag, NULL, 0, "%s: cannot be used: %s", dir, err_text(rc));
    folder_close(&f);
    return rc;
}

void folder_close(struct folder *f)
{
    fd_auto_close(&f->files_fd);
    fd_auto_close(&f->blobs_fd);
    fd_auto_close(&f->dir_fd);
}

// --- backup.json ---

int folder_form_get(const struct folder *f, struct buf *out)
{
    AUTO_CLOSE int fd = openat(f->dir_fd, FORM_NAME, FILE_FLAGS);
    if (fd < 0)
        return err_from_errno(errno);
    for (;;) {
        char piece[16384];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        if (n == 0)
            return out->err;
        buf_add(out, piece, (size_t)n);
    }
}

static int new_write(struct folder *f, struct bytes text, char name[NAME_SIZE])
{
    new_name(f, name);
    AUTO_CLOSE int fd =
        openat(f->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    int rc = fd_write_all(fd, text.p, text.n);
    if (!rc && fsync(fd))
        rc = err_from_errno(errno);
    if (rc)
        (void)unlinkat(f->dir_fd, name, 0);
    return rc;
}

int folder_form_put(struct folder *f, struct bytes text)
{
    char name[NAME_SIZE];
    int rc = new_write(f, text, name);
    if (rc)
        return rc;
    if (renameat(f->dir_fd, name, f->dir_fd, FORM_NAME)) {
        rc = err_from_errno(errno);
        (void)unlinkat(f->dir_fd, name, 0);
        return rc;
    }
    return fsync(f->dir_fd) ? err_from_errno(errno) : 0;
}

// --- files/ ---

static void file_name_of(const uint8_t sum[SHA256_BYTES], char out[2 * SHA256_BYTES + 1])
{
    hex_format(sum, SHA256_BYTES, out);
}

static int new_to_files(struct folder *f, const char *name, const uint8_t sum[SHA256_BYTES])
{
    char hex[2 * SHA256_BYTES + 1];
    file_name_of(sum, hex);
    if (!renameat(f->dir_fd, name, f->files_fd, hex))
        return 0;
    int rc = err_from_errno(errno);
    (void)unlinkat(f->dir_fd, name, 0);
    return rc;
}

int folder_file_put(struct folder *f, int fd, uint64_t *out_bytes, uint8_t out_sha256[SHA256_BYTES])
{
    char name[NAME_SIZE];
    struct digest d;
    new_name(f, name);
    int rc = bytes_copy_new(fd, f->dir_fd, name, 0600, DIGEST_SHA256, out_bytes, &d);
    if (!rc)
        rc = new_to_files(f, name, d.b);
    if (!rc)
        memcpy(out_sha256, d.b, SHA256_BYTES);
    return rc;
}

int folder_file_adopt(struct folder *f, const char *name, uint64_t *out_bytes,
                      uint8_t out_sha256[SHA256_BYTES])
{
    struct digest d;
    AUTO_CLOSE int fd = openat(f->dir_fd, name, FILE_FLAGS);
    int rc = fd < 0 ? err_from_errno(errno) : 0;
    if (!rc)
        rc = bytes_copy(fd, -1, DIGEST_SHA256, out_bytes, &d);
    if (rc)
        return rc;
    memcpy(out_sha256, d.b, SHA256_BYTES);
    return new_to_files(f, name, d.b);
}

int folder_file_open(const struct folder *f, const uint8_t sum[SHA256_BYTES], int *out_fd)
{
    char hex[2 * SHA256_BYTES + 1];
    file_name_of(sum, hex);
    int fd = openat(f->files_fd, hex, FILE_FLAGS);
    if (fd < 0)
        return err_from_errno(errno);
    *out_fd = fd;
    return 0;
}

char *folder_file_path(const struct folder *f, const uint8_t sum[SHA256_BYTES])
{
    char hex[2 * SHA256_BYTES + 1];
    file_name_of(sum, hex);
    return mem_printf("%s/files/%s", f->dir, hex);
}

// --- blobs/ ---

static unsigned alg_index(const struct digest *d)
{
    return d->alg == DIGEST_SHA512;
}

static int shard_open(const struct folder *f, const struct digest *d, bool make, int *out_fd)
{
    char name[3];
    AUTO_CLOSE int alg = -1;
    assert(digest_ok(d));
    int rc = dir_at(f->blobs_fd, digest_alg_name((enum digest_alg)d->alg), make, &alg);
    if (rc)
        return rc;
    hex_format(d->b, 1, name);
    return dir_at(alg, name, make, out_fd);
}

static int size_check(int dir_fd, const char *name, uint64_t size)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
        return ERR_DIGEST;
    return 0;
}

// Another file system, or one without links, or one that has too many of this file.
static bool no_link(int e)
{
    return e == EXDEV || e == EPERM || e == EOPNOTSUPP || e == EMLINK || e == EACCES;
}

static int new_copy(struct folder *f, const struct blob_put *put, const char *name)
{
    uint64_t n = 0;
    AUTO_CLOSE int from = openat(put->from_fd, put->from_name, FILE_FLAGS);
    int rc = from < 0 ? err_from_errno(errno) : 0;
    if (!rc)
        rc = bytes_copy_new(from, f->dir_fd, name, 0600, DIGEST_SHA256, &n, NULL);
    if (!rc && n != put->size) {
        (void)unlinkat(f->dir_fd, name, 0);
        rc = ERR_DIGEST;
    }
    return rc;
}

static int new_make(struct folder *f, const struct blob_put *put, const char *name,
                    bool *out_linked)
{
    int rc = size_check(put->from_fd, put->from_name, put->size);
    *out_linked = false;
    if (rc)
        return rc;
    if (!put->copy && !linkat(put->from_fd, put->from_name, f->dir_fd, name, 0)) {
        *out_linked = true;
        return 0;
    }
    if (!put->copy && !no_link(errno))
        return err_from_errno(errno);
    return new_copy(f, put, name);
}

int folder_blob_put(struct folder *f, const struct blob_put *put, bool *out_linked)
{
    char name[NAME_SIZE], hex[DIGEST_HEX_SIZE];
    AUTO_CLOSE int shard = -1;
    new_name(f, name);
    int rc = shard_open(f, put->digest, true, &shard);
    if (!rc)
        rc = new_make(f, put, name, out_linked);
    if (rc)
        return rc;
    hex_format(put->digest->b, put->digest->n, hex);
    if (renameat(f->dir_fd, name, shard, hex))
        rc = err_from_errno(errno);
    // two names of one file stay two by a rename
    (void)unlinkat(f->dir_fd, name, 0);
    if (!rc)
        f->touched[alg_index(put->digest)][put->digest->b[0]] = true;
    return rc;
}

int folder_blob_open(const struct folder *f, const struct digest *d, uint64_t size, int *out_fd)
{
    char hex[DIGEST_HEX_SIZE];
    AUTO_CLOSE int shard = -1;
    int rc = shard_open(f, d, false, &shard);
    if (rc)
        return rc;
    hex_format(d->b, d->n, hex);
    rc = size_check(shard, hex, size);
    if (rc)
        return rc;
    int fd = openat(shard, hex, FILE_FLAGS);
    if (fd < 0)
        return err_from_errno(errno);
    *out_fd = fd;
    return 0;
}

int folder_blob_drop(struct folder *f, const struct digest *d)
{
    char hex[DIGEST_HEX_SIZE];
    AUTO_CLOSE int shard = -1;
    int rc = shard_open(f, d, false, &shard);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    hex_format(d->b, d->n, hex);
    return unlinkat(shard, hex, 0) && errno != ENOENT ? err_from_errno(errno) : 0;
}

static int shard_sync(const struct folder *f, enum digest_alg alg, unsigned shard)
{
    struct digest d = {.alg = (uint8_t)alg, .n = (uint8_t)digest_alg_bytes(alg)};
    d.b[0] = (uint8_t)shard;
    AUTO_CLOSE int fd = -1;
    int rc = shard_open(f, &d, false, &fd);
    if (rc)
        return rc;
    return fsync(fd) ? err_from_errno(errno) : 0;
}

static int alg_sync(struct folder *f, enum digest_alg alg, bool touched[256])
{
    bool any = false;
    for (unsigned i = 0; i < 256; i++) {
        int rc = touched[i] ? shard_sync(f, alg, i) : 0;
        if (rc)
            return rc;
        any |= touched[i];
        touched[i] = false;
    }
    AUTO_CLOSE int fd = -1;
    int rc = any ? dir_at(f->blobs_fd, digest_alg_name(alg), false, &fd) : 0;
    if (!rc && any && fsync(fd))
        rc = err_from_errno(errno);
    return rc;
}

int folder_sync(struct folder *f)
{
    int rc = alg_sync(f, DIGEST_SHA256, f->touched[0]);
    if (!rc)
        rc = alg_sync(f, DIGEST_SHA512, f->touched[1]);
    if (!rc && (fsync(f->blobs_fd) || fsync(f->files_fd) || fsync(f->dir_fd)))
        rc = err_from_errno(errno);
    return rc;
}
