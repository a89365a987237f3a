// SPDX-License-Identifier: Apache-2.0
// The node's audit log (auth/audit.h): opened by its settings, watched, and counted. Off when
// audit.enabled says so, and on nodes that neither hold a registry nor issue tokens.
//
//   rc = auditing_start(node, diag, &app.audit);   // NULL: off
//   auditing_judge(&app);                          // housekeeping, every few seconds
#ifndef MERIDIAN_DAEMON_AUDITING_H
#define MERIDIAN_DAEMON_AUDITING_H

#include "auth/audit.h"
#include "daemon/app.h"

bool auditing_wanted(const struct node *n);
int auditing_start(const struct node *n, struct diag *diag, struct audit **out);
// CONDITION_AUDIT: the file takes no lines, or some were lost within the last hour
void auditing_judge(struct app *app);
void auditing_metrics(const struct app *app, struct buf *b);

#endif
