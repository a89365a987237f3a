// SPDX-License-Identifier: Apache-2.0
// Messages between supervisor and worker; see supervisor_ipc.h.
#include "daemon/supervisor_ipc.h"

#include "base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

static bool has_status(char kind)
{
    return kind == IPC_EDGE || kind == IPC_FAILED || kind == IPC_PRIVATE;
}

int ipc_send(int fd, const struct ipc_message *m)
{
    size_t n = 1;
    if (has_status(m->kind))
        n = sizeof *m;
    ssize_t w = send(fd, m, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (w == (ssize_t)n)
        return 0;
    if (w < 0 && errno == EAGAIN)
        return ERR_BUSY;
    return ERR_CLOSED;
}

int ipc_receive(int fd, struct ipc_message *out)
{
    struct ipc_message m = {0};
    ssize_t r = recv(fd, &m, sizeof m, MSG_DONTWAIT);
    if (r < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return ERR_BUSY;
        return ERR_CLOSED;
    }
    if (r == 0)
        return ERR_CLOSED;
    if (has_status(m.kind) && r != (ssize_t)sizeof m)
        return ERR_PROTO;
    m.edge.last_error[sizeof m.edge.last_error - 1] = 0;
    *out = m;
    return 0;
}
