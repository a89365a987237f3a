// SPDX-License-Identifier: Apache-2.0
// inotify; see file_notices.h.
#include "control/file_notices.h"

#include "base/log.h"
#include "base/mem.h"

#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCHED (IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_ATTRIB | IN_DELETE)

void file_notices_open(struct file_notices *n)
{
    n->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

void file_notices_close(struct file_notices *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

static char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    if (slash == path)
        return mem_strdup("/");
    return mem_strndup(path, (size_t)(slash - path));
}

void file_notices_watch(struct file_notices *n, const char *path)
{
    AUTO_FREE char *dir = dir_of(path);
    if (n->fd < 0 || !dir || inotify_add_watch(n->fd, dir, WATCHED) < 0)
        log_info("config: no change notices for %s; looking every second", path);
}

static void note(const struct inotify_event *e, const char *log_name, struct noticed *out)
{
    bool is_log = e->len && !strcmp(e->name, log_name);
    bool only_grows = !(e->mask & ~(uint32_t)IN_MODIFY);
    if (is_log)
        out->log = true;
    else if (!only_grows)
        out->others = true;
}

struct noticed file_notices_read(struct file_notices *n, const char *log_name)
{
    char events[4096] __attribute__((aligned(8)));
    struct noticed out = {0};
    if (n->fd < 0)
        return out;
    for (ssize_t got; (got = read(n->fd, events, sizeof events)) > 0;)
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *e =
                (const struct inotify_event *)(const void *)(events + at);
            note(e, log_name, &out);
            at += (ssize_t)(sizeof *e + e->len);
        }
    return out;
}
