// SPDX-License-Identifier: Apache-2.0
// Sandboxes each process: seccomp, capabilities, no_new_privs, no core dumps. Each process calls
// its function once, before it starts a second thread. Node setting `sandbox: strict | off`.
//
//   the worker: an allow-list. Anything else fails with EPERM and is logged once per system call by
//     name: a library that asks for something new degrades and says so, instead of ending the
//     service; what an intruder asks for is refused just the same. No capability, no program can be
//     executed, no process made or looked into, no packet or raw socket, no memory made executable.
//   the reader of nginx's log: an allow-list of a dozen: it reads, writes and looks at the clock.
//   the supervisor, and nginx below it: a deny-list, and the few capabilities that they need.
#ifndef MERIDIAN_DAEMON_SANDBOX_H
#define MERIDIAN_DAEMON_SANDBOX_H

#include "base/diag.h"

#include <stdbool.h>

bool sandbox_built(void); // false under a sanitizer, which asks for too much
// Root only, before the change of user: no capability can come back. Harmless for others.
void sandbox_drop_bounding(void);
// after the change of user; ERR_UNSUPPORTED: the kernel has no seccomp
int sandbox_worker(struct diag *diag);
// in the process that reads nginx's log, after the change of user
int sandbox_log(struct diag *diag);
int sandbox_supervisor(struct diag *diag); // does nothing more a second time
// after an exec, which takes that back: the supervisor of a restart
int sandbox_no_core_dumps(struct diag *diag);
// In the supervisor, once the sockets of before are open, for whose buffers it kept one capability
// more.
int sandbox_sockets_open(struct diag *diag);
// in the child that becomes nginx: system calls only. The supervisor's filter goes along
int sandbox_nginx(void);

#endif
