// SPDX-License-Identifier: Apache-2.0
// Holding published files against their removal, for a backup; see files.h. A holder has a shared
// lock of the file `hold`; whoever removes a file has an exclusive one for that moment, on a
// description of its own, since threads share the locks of a common one. The kernel ends the locks
// of a process with it: a backup that is killed holds nothing up.
#include "store/files/files.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/files/files_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define HOLD_NAME "hold"
#define HOLD_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

// A disk that is full may have no room for it: then a backup makes it, when there is room again.
void file_hold_ready(struct file_store *fs)
{
    AUTO_CLOSE int fd = openat(fs->root_fd, HOLD_NAME, HOLD_FLAGS | O_CREAT, 0600);
    (void)fd;
}

int file_hold_none(struct file_store *fs, int *out_fd)
{
    AUTO_CLOSE int fd = openat(fs->root_fd, HOLD_NAME, HOLD_FLAGS);
    if (fd < 0 && errno == ENOENT)
        return 0; // no backup was ever begun here
    if (fd < 0)
        return err_from_errno(errno);
    if (flock(fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
    *out_fd = fd_take(&fd);
    return 0;
}

int blob_files_hold(const char *dir, int *out_fd)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, HOLD_NAME);
    if (!path)
        return ERR_NOMEM;
    AUTO_CLOSE int fd = open(path, HOLD_FLAGS | O_CREAT, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    while (flock(fd, LOCK_SH))
        if (errno != EINTR)
            return err_from_errno(errno);
    *out_fd = fd_take(&fd);
    return 0;
}
