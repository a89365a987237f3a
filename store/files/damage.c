// SPDX-License-Identifier: Apache-2.0
// Damaged blobs as files; see blob.h. A file whose bytes do not match its name is moved to
// damaged/, so that the region says "absent", and a client that pushes or another region puts the
// right bytes in its place. The moved file is at the same time the note, over restarts, that the
// blob is to be mended.
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

#define NAME_SIZE DIGEST_TEXT_SIZE // "sha512-<hex>"

static void name_format(const struct digest *d, char out[NAME_SIZE])
{
    char hex[DIGEST_HEX_SIZE];
    hex_format(d->b, d->n, hex);
    snprintf(out, NAME_SIZE, "%s-%s", digest_alg_name((enum digest_alg)d->alg), hex);
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

// Made when the first blob is damaged: a store opens on a full disk, too. Its files keep the group
// of blobs/.
static int damaged_make(struct file_store *fs, int *out_fd)
{
    bool made;
    int fd;
    int rc = file_dir_at(fs->root_fd, "damaged", 02700, true, &made, &fd);
    if (rc)
        return rc;
    if (made)
        file_group_ensure(fd, fs->group);
    *out_fd = fd;
    return 0;
}

// ERR_NOTFOUND: no blob was ever damaged.
static int damaged_open(struct file_store *fs, int *out_fd)
{
    return file_dir_at(fs->root_fd, "damaged", 02700, false, NULL, out_fd);
}

int file_set_aside(struct blob_store *bs, const struct blob_name *name)
{
    struct file_store *fs = file_store_of(bs);
    AUTO_CLOSE int shard = -1, damaged = -1;
    char from[FILE_NAME_SIZE], to[NAME_SIZE];
    int rc = file_shard_open(fs, &name->digest, false, &shard);
    if (rc)
        return rc;
    rc = damaged_make(fs, &damaged);
    if (rc)
        return rc;
    file_name(name, from);
    name_format(&name->digest, to);
    if (renameat(shard, from, damaged, to))
        return err_from_errno(errno);
    return fsync(damaged) || fsync(shard) ? err_from_errno(errno) : 0;
}

int file_damaged_note(struct blob_store *bs, const struct digest *d)
{
    AUTO_CLOSE int damaged = -1;
    char name[NAME_SIZE];
    int rc = damaged_make(file_store_of(bs), &damaged);
    if (rc)
        return rc;
    name_format(d, name);
    AUTO_CLOSE int fd = openat(damaged, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_from_errno(errno);
    return fsync(damaged) ? err_from_errno(errno) : 0;
}

int file_damaged_list(struct blob_store *bs, struct digest *out, size_t max, size_t *out_n)
{
    int fd = -1;
    int rc = damaged_open(file_store_of(bs), &fd);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
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

int file_damaged_release(struct blob_store *bs, const struct digest *d)
{
    AUTO_CLOSE int damaged = -1;
    char name[NAME_SIZE];
    int rc = damaged_open(file_store_of(bs), &damaged);
    if (rc)
        return rc;
    name_format(d, name);
    AUTO_CLOSE int fd = openat(damaged, name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_from_errno(errno) : 0;
}

int file_damaged_forget(struct blob_store *bs, const struct digest *d)
{
    AUTO_CLOSE int damaged = -1;
    char name[NAME_SIZE];
    int rc = damaged_open(file_store_of(bs), &damaged);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    name_format(d, name);
    return unlinkat(damaged, name, 0) && errno != ENOENT ? err_from_errno(errno) : 0;
}
