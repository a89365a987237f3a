// SPDX-License-Identifier: Apache-2.0
// What a service tells its manager: sd_notify(3)'s protocol, without libsystemd. One datagram of
// lines "NAME=VALUE" to the unix socket that the environment names; podman, runit's and other
// managers' shims take the same.
//
//   struct notify n;
//   notify_from_env(&n);                    // nobody asks: n.on is false, and sending does nothing
//   rc = notify_send(&n, "READY=1\nSTATUS=serving");
//
// One thread. A message is sent over a socket of its own, so that there is nothing to close, or to
// hand over to a program that takes this one's place (exec): that one reads the same environment.
// Sending never blocks: a manager that does not read loses the message, ERR_BUSY.
#ifndef MERIDIAN_BASE_NOTIFY_H
#define MERIDIAN_BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    bool on;
    // the manager ends a service of which it hears no WATCHDOG=1 for so long; 0: it does not watch
    int64_t watchdog_ms;
    struct sockaddr_un to;
    socklen_t to_size;
};

// NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. The environment stays as it is. ERR_UNSUPPORTED: a
// socket of another family than unix (vsock); ERR_INVAL: not a socket's name. *out is off then.
int notify_from_env(struct notify *out);

// `lines` without a newline at the end. Values must have no newline, notify_text sees to that.
// 0 also when nobody asks.
int notify_send(const struct notify *n, const char *lines);

// Makes text of others fit for a value: control characters become blanks, in place.
void notify_text(char *value);

#endif
