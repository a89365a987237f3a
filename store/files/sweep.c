// SPDX-License-Identifier: Apache-2.0
// Growing files that were left behind: which are abandoned, and what partial fetches hold. Called
// on the pool.
#include "store/files/files_priv.h"

#include "base/err.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

// A stream over the directory, with a descriptor of its own: closedir closes that one.
static int dir_open(int dir_fd, DIR **out)
{
    int fd = openat(dir_fd, ".", DIR_FLAGS);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int rc = err_from_errno(errno);
        fd_auto_close(&fd);
        return rc;
    }
    *out = dir;
    return 0;
}

// Removes it unless it is open: nobody opens it between the look and the removal. ERR_BUSY: open.
static int remove_closed(struct file_store *fs, int dir_fd, const char *name)
{
    AUTO_CLOSE int held = -1;
    pthread_mutex_lock(&fs->lock);
    int rc = file_upload_hold(fs, dir_fd, name, &held);
    if (!rc && unlinkat(dir_fd, name, 0))
        rc = err_from_errno(errno);
    if (!rc && dir_fd == fs->part_fd)
        file_spread_forget(dir_fd, name);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

// A file beside a partial fetch goes with that one; one that was left alone is removed here.
static bool is_beside(struct file_store *fs, int dir_fd, const char *name)
{
    char of[BLOB_NAME_SIZE];
    struct stat st;
    if (dir_fd != fs->part_fd || !file_spread_beside(name, of))
        return false;
    pthread_mutex_lock(&fs->lock);
    bool alone = fstatat(dir_fd, of, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
    if (alone)
        file_spread_forget(dir_fd, of);
    pthread_mutex_unlock(&fs->lock);
    return true;
}

// --- abandoned ---

struct expiry {
    int64_t older_than_wall_ms;
    bool (*known)(void *ctx, const char *id);
    void *ctx;
};

// The name is an upload's id, or "=" and the id for its outcome.
static bool owner_known(const struct expiry *x, const char *name)
{
    if (!x->known)
        return false;
    return x->known(x->ctx, name[0] == '=' ? name + 1 : name);
}

static bool is_abandoned(const struct expiry *x, const char *name, const struct stat *st)
{
    int64_t touched_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    if (S_ISDIR(st->st_mode) || touched_ms >= x->older_than_wall_ms)
        return false;
    return !owner_known(x, name);
}

int file_expire(struct blob_store *bs, enum blob_area area, int64_t older_than_wall_ms,
                bool (*known)(void *ctx, const char *id), void *ctx, size_t *n_removed)
{
    struct file_store *fs = file_store_of(bs);
    const struct expiry x = {older_than_wall_ms, known, ctx};
    int dir_fd = area == BLOB_AREA_UPLOADS ? fs->uploads_fd : fs->part_fd;
    DIR *dir;
    int rc = dir_open(dir_fd, &dir);
    if (rc)
        return rc;
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (is_beside(fs, dir_fd, e->d_name))
            continue;
        if (fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (!is_abandoned(&x, e->d_name, &st))
            continue;
        int failed = remove_closed(fs, dir_fd, e->d_name);
        if (!failed)
            ++*n_removed;
        else if (failed != ERR_BUSY && failed != ERR_NOTFOUND)
            rc = failed;
    }
    closedir(dir);
    return rc;
}

// --- partial fetches ---

uint64_t file_partial_size(struct blob_store *bs, const char *name)
{
    struct stat st;
    int dir_fd = file_store_of(bs)->part_fd;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return 0;
    return file_spread_size(dir_fd, name, (uint64_t)st.st_size);
}

// Without the holes.
static uint64_t bytes_held(const struct stat *st)
{
    uint64_t size = (uint64_t)st->st_size, held = (uint64_t)st->st_blocks * 512;
    if (held < size)
        return held;
    return size;
}

int file_partials_drop(struct blob_store *bs, size_t *out_n, uint64_t *out_bytes)
{
    struct file_store *fs = file_store_of(bs);
    DIR *dir;
    int rc = dir_open(fs->part_fd, &dir);
    if (rc)
        return rc;
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (is_beside(fs, fs->part_fd, e->d_name))
            continue;
        if (fstatat(fs->part_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        if (remove_closed(fs, fs->part_fd, e->d_name))
            continue;
        ++*out_n;
        *out_bytes += bytes_held(&st);
    }
    closedir(dir);
    return 0;
}

#define DROPS_MAX 64 // of one call: more go with the next

struct idle { // the partial fetch that was written longest ago
    char name[BLOB_NAME_SIZE];
    int64_t written_ns;
    uint64_t bytes;
};

static int64_t written_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

// The one that was written longest ago, but later than `after_ns`; "" none. All of them hold
// *out_bytes, and the last was written at *out_last_ns.
static int idle_find(struct file_store *fs, int64_t after_ns, struct idle *out, uint64_t *out_bytes,
                     int64_t *out_last_ns)
{
    DIR *dir;
    int rc = dir_open(fs->part_fd, &dir);
    if (rc)
        return rc;
    *out = (struct idle){.written_ns = INT64_MAX};
    *out_bytes = 0;
    *out_last_ns = INT64_MIN;
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (is_beside(fs, fs->part_fd, e->d_name) || strlen(e->d_name) >= BLOB_NAME_SIZE)
            continue;
        if (fstatat(fs->part_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        int64_t at = written_ns(&st);
        *out_bytes += bytes_held(&st);
        if (at > *out_last_ns)
            *out_last_ns = at;
        if (at <= after_ns || at >= out->written_ns)
            continue;
        snprintf(out->name, sizeof out->name, "%s", e->d_name);
        out->written_ns = at;
        out->bytes = bytes_held(&st);
    }
    closedir(dir);
    return 0;
}

int file_partials_bound(struct blob_store *bs, uint64_t max_bytes, size_t *out_n,
                        uint64_t *out_bytes, uint64_t *out_held)
{
    struct file_store *fs = file_store_of(bs);
    struct idle idle = {.written_ns = INT64_MIN};
    while (*out_n < DROPS_MAX) {
        int64_t last_ns;
        int rc = idle_find(fs, idle.written_ns, &idle, out_held, &last_ns);
        if (rc)
            return rc;
        bool is_last = !*idle.name || idle.written_ns == last_ns;
        if (*out_held <= max_bytes || is_last)
            return 0;
        if (remove_closed(fs, fs->part_fd, idle.name))
            continue; // it is open: the next
        ++*out_n;
        *out_bytes += idle.bytes;
    }
    return 0;
}
