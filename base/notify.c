// SPDX-License-Identifier: Apache-2.0
// The protocol between a service and its manager; see notify.h.
#include "base/notify.h"

#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int address_of(const char *name, struct sockaddr_un *out, socklen_t *out_size)
{
    size_t n = strlen(name);
    if (strncmp(name, "vsock", 5) == 0)
        return ERR_UNSUPPORTED;
    if ((*name != '/' && *name != '@') || n < 2 || n >= sizeof out->sun_path)
        return ERR_INVAL;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, name, n);
    if (*name == '@') // of the abstract kind: its name begins with NUL, and has none at its end
        out->sun_path[0] = 0;
    else
        n++;
    *out_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return 0;
}

// Positive, or 0.
static int64_t number(const char *text)
{
    if (!text)
        return 0;
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < 0)
        return 0;
    return v;
}

// The variables go to all that a service starts: only the process they name is watched.
static int64_t watchdog_from_env(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    if (pid && number(pid) != getpid())
        return 0;
    return number(getenv("WATCHDOG_USEC")) / 1000;
}

int notify_from_env(struct notify *out)
{
    *out = (struct notify){0};
    const char *name = getenv("NOTIFY_SOCKET");
    if (!name || !*name)
        return 0;
    int rc = address_of(name, &out->to, &out->to_size);
    if (rc)
        return rc;
    out->on = true;
    out->watchdog_ms = watchdog_from_env();
    return 0;
}

int notify_send(const struct notify *n, const char *lines)
{
    if (!n->on)
        return 0;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    size_t size = strlen(lines);
    ssize_t sent = sendto(fd, lines, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                          (const struct sockaddr *)&n->to, n->to_size);
    if (sent == (ssize_t)size)
        return 0;
    if (sent < 0 && errno == EAGAIN)
        return ERR_BUSY;
    if (sent < 0)
        return err_from_errno(errno);
    return ERR_IO;
}

void notify_text(char *value)
{
    for (char *p = value; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = ' ';
}
