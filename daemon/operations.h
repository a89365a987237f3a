// SPDX-License-Identifier: Apache-2.0
// The engine of operations (lifecycle/lifecycle.h) over this node's control feed and fleet, and the
// thread that goes on with what is under way. Every node has it, because any may become the writer
// by a takeover; on all others it reads the ledger and does nothing else.
//
//   rc = operations_start(&app, &app.operations);      // after the fleet
//   lifecycle_request(operations_engine(app.operations), &request, &answer);
//   operations_end(app.operations);                     // before servers, fleet and feed stop
//   operations_free(app.operations);                    // when no handler can run any more
//
// Where files are the source there is none: NULL.
#ifndef MERIDIAN_DAEMON_OPERATIONS_H
#define MERIDIAN_DAEMON_OPERATIONS_H

#include "daemon/app.h"

struct lifecycle;
struct operations;

// *out: NULL where files are the source.
int operations_start(struct app *app, struct operations **out);
// The thread ends; who waits for an operation gets it as it is. NULL and a second time are fine.
void operations_end(struct operations *o);
bool operations_ended(struct operations *o);
void operations_free(struct operations *o); // NULL is fine
// As retire_due (daemon/retire.h), of the ledger in force.
int64_t operations_content_due(void *app, const char *key);
// NULL: files are the source
struct lifecycle *operations_engine(struct operations *o);

#endif
