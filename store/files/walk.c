// SPDX-License-Identifier: Apache-2.0
// Published files, one after the other: what is there, whether or not the metadata names it. Called
// on the pool.
#include "store/files/files_priv.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define SHARDS 256u

// in the order of a walk
static const enum digest_alg algorithms[] = {DIGEST_SHA256, DIGEST_SHA512};

// "<hex>" or "<hex>.<generation>". False: no file of ours.
static bool name_parse(enum digest_alg alg, const char *file, struct blob_name *out)
{
    char text[DIGEST_TEXT_SIZE + FILE_NAME_SIZE];
    struct blob_name name = {0};
    int n = snprintf(text, sizeof text, "%s:%s", digest_alg_name(alg), file);
    if (n < 0 || (size_t)n >= sizeof text)
        return false;
    char *dot = strchr(text, '.');
    if (dot) {
        *dot++ = '\0';
        if (!*dot || !blob_generation_ok(dot))
            return false;
        snprintf(name.generation, sizeof name.generation, "%s", dot);
    }
    if (digest_parse(text, strlen(text), &name.digest))
        return false;
    *out = name;
    return true;
}

// A stream over a shard. ERR_NOTFOUND: no blob ever was in it.
static int shard_open(struct file_store *fs, enum digest_alg alg, unsigned shard, DIR **out)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%02x", digest_alg_name(alg), shard);
    int fd = openat(fs->blobs_fd, path, DIR_FLAGS);
    if (fd < 0)
        return err_from_errno(errno);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int rc = err_from_errno(errno);
        fd_auto_close(&fd);
        return rc;
    }
    *out = dir;
    return 0;
}

// The names of one shard behind the first `skip`, at most max. True: the shard has no more.
static bool shard_read(DIR *dir, enum digest_alg alg, size_t skip, struct blob_name *out,
                       size_t max, size_t *out_n)
{
    size_t seen = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        struct blob_name name;
        if (!name_parse(alg, e->d_name, &name))
            continue;
        if (seen++ < skip)
            continue;
        if (*out_n == max)
            return false;
        out[(*out_n)++] = name;
    }
    return true;
}

static int shard_step(struct file_store *fs, struct blob_walk *at, struct blob_name *out,
                      size_t max, size_t *out_n)
{
    enum digest_alg alg = algorithms[at->shard / SHARDS];
    DIR *dir = NULL;
    int rc = shard_open(fs, alg, at->shard % SHARDS, &dir);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    size_t before = *out_n;
    bool whole = true;
    if (dir) {
        whole = shard_read(dir, alg, at->skip, out, max, out_n);
        closedir(dir);
    }
    at->skip += *out_n - before;
    if (!whole)
        return 0;
    at->shard++;
    at->skip = 0;
    return 0;
}

int file_walk(struct blob_store *bs, struct blob_walk *at, struct blob_name *out, size_t max,
              size_t *out_n)
{
    int rc = 0;
    while (!rc && *out_n < max && at->shard < ARRAY_LEN(algorithms) * SHARDS)
        rc = shard_step(file_store_of(bs), at, out, max, out_n);
    if (at->shard == ARRAY_LEN(algorithms) * SHARDS)
        at->ended = true;
    return rc;
}
