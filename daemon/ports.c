// SPDX-License-Identifier: Apache-2.0
// Are the edge's ports free? See ports.h. Called on the supervisor's only thread, before it forks.
#include "daemon/ports.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

// 0, or the errno of the attempt to listen there.
static int try_listen(const struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(at, &sa);
    int on = 1;
    AUTO_CLOSE int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // TIME_WAIT is no hindrance
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        (sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on)))
        return errno;
    if (bind(fd, (struct sockaddr *)&sa, n) || listen(fd, 1))
        return errno;
    return 0;
}

static void say(const struct endpoint *at, int e, struct diag *diag)
{
    char text[ENDPOINT_TEXT_SIZE];
    endpoint_format(at, text);
    if (e == EADDRINUSE)
        diag_add(diag, NULL, 0,
                 "%s: another program listens on this port; end it (ss -Hltnp shows it), or choose "
                 "another "
                 "address or port under listen:",
                 text);
    else if (e == EADDRNOTAVAIL)
        diag_add(diag, NULL, 0,
                 "%s: this machine does not have the address; correct listen:", text);
    else
        diag_add(diag, NULL, 0, "%s: cannot listen: %s", text, strerror(e));
}

int ports_free(const struct endpoint *at, size_t n, int64_t until_mono_ms, struct diag *diag)
{
    int first = 0;
    for (size_t i = 0; i < n; i++) {
        int e;
        while ((e = try_listen(&at[i])) == EADDRINUSE && clock_mono_ms() < until_mono_ms)
            clock_sleep_ms(50);
        if (e)
            say(&at[i], e, diag);
        if (!first)
            first = e;
    }
    if (first)
        return err_from_errno(first);
    return 0;
}
