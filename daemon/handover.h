// SPDX-License-Identifier: Apache-2.0
// The record that a supervisor leaves for the program that replaces it. `meridian node restart` and
// SIGUSR2 exec the program at the same path again, perhaps a newer one, in the same process.
// Descriptors stay open over the exec; the record says which is which. It is in a memfd, whose
// number is in the environment: MERIDIAN_HANDOVER.
//
// The same process wrote the record, and it is checked nevertheless: handover_read verifies that
// every number is an open descriptor of the right kind, and restart.c that every pid is a child.
#ifndef MERIDIAN_DAEMON_HANDOVER_H
#define MERIDIAN_DAEMON_HANDOVER_H

#include "base/diag.h"
#include "config/node.h"
#include "net/edge.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HANDOVER_ENV "MERIDIAN_HANDOVER"
#define HANDOVER_VERSION 2 // 2: the pipe of nginx's log

struct handover {
    // whose locks and sockets these are
    char *data_dir, *runtime_dir;
    int lock_fd;
    pid_t worker;
    int ipc_fd;
    struct edge_handover edge;
    // that are listened on
    int *fds;
    size_t n_fds;
};

int handover_write(const struct handover *h, int *out_fd); // a memfd, without close-on-exec
// Reads and closes it. ERR_VERSION, ERR_CORRUPT with a sentence. Descriptors get close-on-exec
// back.
int handover_read(int fd, struct diag *diag, struct handover *out);
// The environment's record, which is then taken out of it. ERR_NOTFOUND: none.
int handover_from_env(struct diag *diag, struct handover *out);
// May a node with these settings go on from there? Where its data lies does not change under a
// running node.
int handover_fits(const struct handover *h, const struct node *n, struct diag *diag);
// All descriptors of the record: kept over an exec, or not.
void handover_keep(const struct handover *h, bool keep);
void handover_done(struct handover *h); // memory only

#endif
