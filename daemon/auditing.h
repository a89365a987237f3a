// SPDX-License-Identifier: Apache-2.0
// The node's audit log (auth/audit.h): opened by its settings, watched, and counted. Off when
// audit.enabled says so, and on nodes that neither hold a registry nor issue tokens nor have an
// admin listener.
//
//   rc = auditing_start(node, diag, &app.audit);   // NULL: off
//   auditing_judge(&app);                          // housekeeping, every few seconds
#ifndef MERIDIAN_DAEMON_AUDITING_H
#define MERIDIAN_DAEMON_AUDITING_H

#include "auth/audit.h"
#include "daemon/app.h"

bool auditing_wanted(const struct node *n);
int auditing_start(const struct node *n, struct diag *diag, struct audit **out);
// CONDITION_AUDIT: the file takes no lines, or some were lost within the last hour. Tells the log as
// well which topology and which principals came into force since the last call, and that the node
// has started.
void auditing_judge(struct app *app);
// A request that the registry's network rules refuse; the answer is made.
void auditing_refused(const struct app *app, const struct http_request *req, const char *registry);
// Writes what was done or refused for a request, whose client, principal and id it fills in; `req`
// NULL: nobody asked for it. Nothing where there is no audit log.
void auditing_note(const struct app *app, const struct http_request *req, struct audit_event *e);
void auditing_metrics(const struct app *app, struct buf *b);

#endif
