// SPDX-License-Identifier: Apache-2.0
// The link between the supervisor (keeps what needs root: the edge, the privileged ports) and the worker (does the
// work, without privileges). A SOCK_SEQPACKET pair; one message is one packet. The supervisor trusts nothing that the
// worker sends beyond the one-byte kinds below.
#ifndef MERIDIAN_DAEMON_LINK_H
#define MERIDIAN_DAEMON_LINK_H

#include "net/edge.h"

enum link_kind {
    LINK_READY = 'r',  // worker: sockets listen, start the edge
    LINK_RELOAD = 'c', // worker: certificates or peers changed, reload the edge
    LINK_EDGE = 'e',   // supervisor: struct edge_status follows
    LINK_DRAIN = 'd',  // supervisor: the edge is about to drain, end what never ends by itself
};

struct link_message {
    char kind;
    struct edge_status edge; // LINK_EDGE
};

int link_send(int fd, const struct link_message *m); // never blocks; ERR_BUSY when full
int link_receive(int fd, struct link_message *out);  // ERR_BUSY when nothing is there, ERR_CLOSED

#endif
