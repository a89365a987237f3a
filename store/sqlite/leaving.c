// SPDX-License-Identifier: Apache-2.0
// Who else may be writing. A process that has handed the database over may go on writing what is not
// minted. It holds the second lock file, shared with others that left, until it has closed the
// database; its successor looks whether it does.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>

int leaving_open(struct sqlite_backend *b, struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s.leaving", b->path);
    if (!path)
        return ERR_NOMEM;
    b->leaving_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->leaving_fd >= 0)
        return 0;
    int rc = err_from_errno(errno);
    diag_add(diag, path, 0, "cannot be opened: %s", err_text(rc));
    return rc;
}

void beside_look(struct sqlite_backend *b)
{
    bool alone = flock(b->leaving_fd, LOCK_EX | LOCK_NB) == 0;
    if (alone)
        (void)flock(b->leaving_fd, LOCK_UN);
    atomic_store(&b->beside, !alone);
}

void leaving_begin(struct sqlite_backend *b)
{
    (void)flock(b->leaving_fd, LOCK_SH);
}
