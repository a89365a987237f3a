// SPDX-License-Identifier: Apache-2.0
// The frame in a file; see frame_file.h.
#include "daemon/frame_file.h"

#include "base/err.h"
#include "base/fd.h"
#include "control/topology_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int frame_file_write(const char *path, const struct topology *t)
{
    if (!t->frame->text)
        return ERR_UNSUPPORTED;
    return file_write_atomic(path, t->frame->text, t->frame->text_n, 0600);
}

// O_NONBLOCK: a FIFO in its place must not hold us up.
int frame_file_read(const char *path, uid_t owner, struct buf *out)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        return err_from_errno(errno);
    if (!S_ISREG(st.st_mode) || (st.st_uid != owner && st.st_uid != geteuid()))
        return ERR_DENIED;
    for (;;) {
        char *room = buf_room(out, 65536);
        if (!room)
            return out->err;
        ssize_t n = read(fd, room, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        if (n == 0)
            return 0;
        out->n += (size_t)n;
        if (out->n > FRAME_FILE_MAX_BYTES)
            return ERR_TOOBIG;
    }
}

struct topology *frame_file_topology(const char *path, uid_t owner)
{
    struct topology *t = NULL;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (frame_file_read(path, owner, &text))
        return NULL;
    if (topology_file_parse(TOPOLOGY_COMPACT, buf_cstr(&text), text.n, path, NULL, &t))
        return NULL;
    return t;
}
