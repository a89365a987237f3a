// SPDX-License-Identifier: Apache-2.0
// What this node sees of fault drills: a thread that looks four times a second at what was answered, and
// keeps a record of each of the last drills (drill_record.h), also over restarts.
//
//   rc = drill_watch_start(app, path, &watch);
//   json_t *list = drill_watch_json(watch);          // any thread; goes into the node's report
//   drill_watch_stop(watch);                         // before the checker and the resolver end
#ifndef MERIDIAN_DAEMON_DRILL_WATCH_H
#define MERIDIAN_DAEMON_DRILL_WATCH_H

#include "daemon/app.h"

#define DRILL_RECORDS_MAX 8 // the latest

struct drill_watch;
int drill_watch_start(struct app *app, const char *path, struct drill_watch **out);
void drill_watch_stop(struct drill_watch *w); // NULL is fine
// An array of records, the latest first: json_t *, a new reference; NULL: out of memory. `w` may be NULL.
void *drill_watch_json(struct drill_watch *w);

#endif
