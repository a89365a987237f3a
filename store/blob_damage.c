// SPDX-License-Identifier: Apache-2.0
// Damaged blobs; see blob.h. A file whose bytes are not what its name says is moved out of the way,
// so that the region says "absent", and whoever has the right bytes, a client that pushes or
// another region, puts them in its place. The moved file is at the same time the note that
// something is to be mended, over restarts. Called by replication's mender and, when a whole blob
// is published, by blob_upload.c.
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
#include <unistd.h>

#define PIECE_BYTES (1u << 20)
#define NAME_SIZE 96 // "sha256-<hex>"

static void name_format(const struct digest *d, char out[NAME_SIZE])
{
    char hex[2 * sizeof d->b + 1];
    hex_format(d->b, d->n, hex);
    snprintf(out, NAME_SIZE, "%s-%.64s", digest_alg_name((enum digest_alg)d->alg), hex);
}

static bool name_parse(const char *name, struct digest *out)
{
    char text[NAME_SIZE];
    size_t n = strnlen(name, sizeof text);
    const char *dash = strchr(name, '-');
    if (n >= sizeof text || !dash)
        return false;
    memcpy(text, name, n + 1);
    text[dash - name] = ':';
    return digest_parse(text, n, out) == 0;
}

// Made when it is needed first: a store opens on a full disk, too. Its files keep the group of
// blobs/.
static int damaged_dir(struct blob_store *bs, int *out_fd)
{
    bool made;
    int fd;
    struct stat st;
    int rc = blob_dir_at(bs->root_fd, "damaged", 02700, true, &made, &fd);
    if (rc)
        return rc;
    if (made && fstat(bs->blobs_fd, &st) == 0 && fchown(fd, (uid_t)-1, st.st_gid) == 0)
        (void)fchmod(fd, 02700);
    *out_fd = fd;
    return 0;
}

// --- reading ---

// Holds the reader back to so many bytes a second since `began_ms`.
static void pace(int64_t began_ms, uint64_t n_read, uint64_t bytes_per_s)
{
    int64_t due_ms = 0;
    if (bytes_per_s)
        due_ms = began_ms + (int64_t)(n_read * 1000 / bytes_per_s);
    int64_t now = clock_mono_ms();
    if (due_ms > now)
        clock_sleep_ms(due_ms - now);
}

static int file_digest(int fd, uint64_t bytes_per_s, const _Atomic bool *stop, struct digest *out)
{
    struct hasher *h = hasher_new(DIGEST_SHA256);
    AUTO_FREE char *piece = mem_alloc(PIECE_BYTES);
    int rc = ERR_NOMEM;
    if (h && piece)
        rc = 0;
    int64_t began = clock_mono_ms();
    uint64_t at = 0;
    while (!rc) {
        ssize_t n = pread(fd, piece, PIECE_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_from_errno(errno);
        if (n <= 0)
            break;
        hasher_update(h, piece, (size_t)n);
        at += (uint64_t)n;
        pace(began, at, bytes_per_s);
        if (stop && *stop)
            rc = ERR_CANCELED;
        else
            rc = 0;
    }
    if (!rc)
        rc = hasher_final(h, out);
    hasher_free(h);
    return rc;
}

// Does the blob's name still lead to the file that was read? Under the lock, which publishing takes
// as well.
static bool still_named(int shard, const char *hex, int fd)
{
    struct stat read, named;
    return fstat(fd, &read) == 0 && fstatat(shard, hex, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           read.st_ino == named.st_ino && read.st_dev == named.st_dev;
}

static int set_aside(struct blob_store *bs, const struct digest *d, int fd)
{
    AUTO_CLOSE int shard = -1, damaged = -1;
    char hex[2 * SHA256_BYTES + 1], name[NAME_SIZE];
    int rc = blob_shard_open(bs, d, false, &shard);
    if (!rc)
        rc = damaged_dir(bs, &damaged);
    if (rc)
        return rc;
    hex_format(d->b, d->n, hex);
    name_format(d, name);
    pthread_mutex_lock(&bs->lock);
    if (!still_named(shard, hex, fd))
        rc = ERR_BUSY;
    else if (renameat(shard, hex, damaged, name))
        rc = err_from_errno(errno);
    else if (!still_named(damaged, name, fd)) {
        // another process, in a restart, had just published a whole one
        if (renameat(damaged, name, shard, hex))
            rc = err_from_errno(errno);
        else
            rc = ERR_BUSY;
    }
    pthread_mutex_unlock(&bs->lock);
    if (rc)
        return rc;
    if (fsync(damaged) || fsync(shard))
        return err_from_errno(errno);
    return ERR_DIGEST;
}

int blob_verify(struct blob_store *bs, const struct digest *d, uint64_t bytes_per_s,
                const _Atomic bool *stop)
{
    AUTO_CLOSE int fd = -1;
    uint64_t size;
    struct digest is;
    int rc = blob_open(bs, d, &fd, &size);
    if (!rc)
        rc = file_digest(fd, bytes_per_s, stop, &is);
    if (rc)
        return rc;
    if (digest_equal(&is, d))
        return 0;
    return set_aside(bs, d, fd);
}

// --- what is to be mended ---

int blob_damaged_note(struct blob_store *bs, const struct digest *d)
{
    AUTO_CLOSE int damaged = -1;
    char name[NAME_SIZE];
    int rc = damaged_dir(bs, &damaged);
    if (rc)
        return rc;
    name_format(d, name);
    AUTO_CLOSE int fd = openat(damaged, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_from_errno(errno);
    if (fsync(damaged))
        return err_from_errno(errno);
    return 0;
}

static int damaged_open(struct blob_store *bs, int *out_fd)
{
    return blob_dir_at(bs->root_fd, "damaged", 02700, false, NULL, out_fd);
}

int blob_damaged_list(struct blob_store *bs, struct digest *out, size_t max, size_t *out_n)
{
    int fd = -1;
    int rc = damaged_open(bs, &fd);
    *out_n = 0;
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        rc = err_from_errno(errno);
        fd_auto_close(&fd);
        return rc;
    }
    for (struct dirent *e; *out_n < max && (e = readdir(dir));)
        if (name_parse(e->d_name, &out[*out_n]))
            ++*out_n;
    closedir(dir);
    return 0;
}

int blob_damaged_release(struct blob_store *bs, const struct digest *d)
{
    AUTO_CLOSE int damaged = -1;
    char name[NAME_SIZE];
    int rc = damaged_open(bs, &damaged);
    if (rc)
        return rc;
    name_format(d, name);
    AUTO_CLOSE int fd = openat(damaged, name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    return 0;
}

int blob_damaged_forget(struct blob_store *bs, const struct digest *d)
{
    AUTO_CLOSE int damaged = -1;
    char name[NAME_SIZE];
    int rc = damaged_open(bs, &damaged);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    name_format(d, name);
    if (unlinkat(damaged, name, 0) && errno != ENOENT)
        return err_from_errno(errno);
    return 0;
}
