// SPDX-License-Identifier: Apache-2.0
// See prune.h.
#include "backup/prune.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct prune {
    const struct backup_form *form;
    // what the metadata names, in order
    struct digest *named;
    size_t n, cap;
    enum digest_alg alg;
};

static int named_add(void *ctx, const struct blob_name *name, uint64_t size)
{
    struct prune *p = ctx;
    (void)size;
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 1024;
        struct digest *more = mem_realloc(p->named, cap * sizeof *more);
        if (!more)
            return ERR_NOMEM;
        p->named = more;
        p->cap = cap;
    }
    p->named[p->n++] = name->digest;
    return 0;
}

static int blob_judge(void *ctx, int dir_fd, const char *name)
{
    const struct prune *p = ctx;
    struct digest d = {.alg = (uint8_t)p->alg, .n = (uint8_t)digest_alg_bytes(p->alg)};
    if (hex_parse(name, strlen(name), d.b, d.n))
        return 0; // none of ours
    if (p->n && bsearch(&d, p->named, p->n, sizeof d, backup_digest_order))
        return 0;
    return unlinkat(dir_fd, name, 0) && errno != ENOENT ? err_from_errno(errno) : 0;
}

static int shard_judge(void *ctx, int dir_fd, const char *name)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, DIR_FLAGS);
    if (fd < 0)
        return 0;
    return names_each(fd, blob_judge, ctx);
}

static int blobs_prune(const struct folder *f, struct prune *p, enum digest_alg alg)
{
    AUTO_CLOSE int fd = openat(f->blobs_fd, digest_alg_name(alg), DIR_FLAGS);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_from_errno(errno);
    p->alg = alg;
    return names_each(fd, shard_judge, p);
}

static int file_judge(void *ctx, int dir_fd, const char *name)
{
    const struct prune *p = ctx;
    uint8_t sum[SHA256_BYTES];
    if (hex_parse(name, strlen(name), sum, sizeof sum))
        return 0;
    for (size_t i = 0; i < p->form->n_files; i++)
        if (!memcmp(p->form->files[i].sha256, sum, sizeof sum))
            return 0;
    return unlinkat(dir_fd, name, 0) && errno != ENOENT ? err_from_errno(errno) : 0;
}

int folder_prune(struct folder *f, const struct backup_form *form)
{
    struct prune p = {.form = form};
    const struct backup_file *meta = backup_form_find(form, BACKUP_META);
    AUTO_FREE char *path = folder_file_path(f, meta->sha256);
    int rc = path ? sqlite_blobs_each(path, named_add, &p) : ERR_NOMEM;
    if (!rc)
        rc = blobs_prune(f, &p, DIGEST_SHA256);
    if (!rc)
        rc = blobs_prune(f, &p, DIGEST_SHA512);
    if (!rc)
        rc = names_each(f->files_fd, file_judge, &p);
    free(p.named);
    return rc;
}
