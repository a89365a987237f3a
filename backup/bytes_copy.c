// SPDX-License-Identifier: Apache-2.0
// See bytes_copy.h.
#include "backup/bytes_copy.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (256u << 10)

static int piece_take(int to, struct hasher *h, const char *p, size_t n)
{
    if (h)
        hasher_update(h, p, n);
    if (to < 0)
        return 0;
    return fd_write_all(to, p, n);
}

static int all_take(int from, int to, struct hasher *h, uint64_t *out_bytes)
{
    AUTO_FREE char *piece = mem_alloc(PIECE);
    uint64_t sum = 0;
    if (!piece)
        return ERR_NOMEM;
    for (;;) {
        ssize_t n = read(from, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        if (n == 0)
            break;
        int rc = piece_take(to, h, piece, (size_t)n);
        if (rc)
            return rc;
        sum += (uint64_t)n;
    }
    *out_bytes = sum;
    return 0;
}

int bytes_copy(int from, int to, enum digest_alg alg, uint64_t *out_bytes,
               struct digest *out_digest)
{
    struct hasher *h = NULL;
    if (out_digest && !(h = hasher_new(alg)))
        return ERR_NOMEM;
    (void)posix_fadvise(from, 0, 0, POSIX_FADV_SEQUENTIAL);
    int rc = all_take(from, to, h, out_bytes);
    if (!rc && h)
        rc = hasher_final(h, out_digest);
    hasher_free(h);
    return rc;
}

int bytes_copy_new(int from, int dir_fd, const char *name, unsigned mode, enum digest_alg alg,
                   uint64_t *out_bytes, struct digest *out_digest)
{
    AUTO_CLOSE int to =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return err_from_errno(errno);
    int rc = bytes_copy(from, to, alg, out_bytes, out_digest);
    if (!rc && (fchmod(to, mode) || fsync(to)))
        rc = err_from_errno(errno);
    if (rc)
        (void)unlinkat(dir_fd, name, 0);
    return rc;
}
