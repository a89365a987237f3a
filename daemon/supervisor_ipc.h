// SPDX-License-Identifier: Apache-2.0
// The link between the supervisor (keeps what needs root: the edge, the privileged ports) and the
// worker (does the work, without privileges). A SOCK_SEQPACKET pair; one message is one packet. The
// supervisor trusts nothing that the worker sends beyond the one-byte kinds below.
#ifndef MERIDIAN_DAEMON_SUPERVISOR_IPC_H
#define MERIDIAN_DAEMON_SUPERVISOR_IPC_H

#include "net/edge.h"

enum ipc_kind {
    IPC_READY = 'r',  // worker: sockets listen, start the edge
    IPC_RELOAD = 'c', // worker: certificates or peers changed, reload the edge
    IPC_EDGE = 'e',   // supervisor: struct edge_status follows
    // supervisor: which addresses of private endpoints the edge does not serve, and why, in
    // edge.last_error; "": it serves all that the machine has
    IPC_PRIVATE = 'b',
    IPC_DRAIN = 'd', // supervisor: the edge is about to drain, end what never ends by itself
    IPC_PING = 'p',  // supervisor: are you alive? Workers of earlier versions do not answer
    IPC_ALIVE = 'v', // worker, from its main thread: yes
    // A restart (daemon/restart.c), in this order
    IPC_RESTART = 'R', // worker: an operator asked for it over the admin socket
    IPC_SERVING = 's', // new worker: names are answered, the rest waits for IPC_ALONE
    IPC_YIELD = 'y',   // supervisor to the old worker: read no more, end what was begun
    IPC_OPEN = 'o',    // old worker, ahead of IPC_RELEASED: writes were open until then
    // old worker: the store is the new one's; uploads under way and TCP clients of DNS may still be
    // served. One of an earlier version has ended its uploads by then
    IPC_RELEASED = 'x',
    IPC_ALONE = 'a',  // supervisor to the new worker: open the store and serve
    IPC_GO_ON = 'A',  // the same, and writes were open until a moment ago
    IPC_FAILED = 'f', // supervisor: the restart came to nothing; edge.last_error says why
};

struct ipc_message {
    char kind;
    // IPC_EDGE; its last_error: IPC_FAILED, IPC_PRIVATE
    struct edge_status edge;
};

int ipc_send(int fd, const struct ipc_message *m); // never blocks; ERR_BUSY when full
int ipc_receive(int fd, struct ipc_message *out);  // ERR_BUSY when nothing is there, ERR_CLOSED

#endif
