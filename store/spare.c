// SPDX-License-Identifier: Apache-2.0
// Spare room for a start on a full disk; see spare.h.
#include "store/spare.h"

#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t spare_size(uint64_t reserve_bytes)
{
    if (reserve_bytes / 4 < SPARE_BYTES)
        return reserve_bytes / 4;
    return SPARE_BYTES;
}

int spare_keep(const char *path, uint64_t bytes)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st))
        return err_from_errno(errno);
    if ((uint64_t)st.st_size == bytes && (uint64_t)st.st_blocks * 512 >= bytes)
        return 0;
    if (ftruncate(fd, 0))
        return err_from_errno(errno);
    int e = posix_fallocate(fd, 0, (off_t)bytes);
    if (!e)
        return 0;
    // empty: spare_use must not take a part for the whole
    (void)!ftruncate(fd, 0);
    return err_from_errno(e);
}

bool spare_use(const char *path)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) || !st.st_blocks)
        return false;
    off_t left = st.st_size - (off_t)SPARE_START_BYTES;
    if (left < 0)
        left = 0;
    if (ftruncate(fd, left))
        return false;
    return fsync(fd) == 0;
}
