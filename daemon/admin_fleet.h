// SPDX-License-Identifier: Apache-2.0
// How this node is, for the fleet's other nodes, and how all nodes are, for the admin socket:
//
//   GET /v1/fleet[?timeout_ms=N]   every node's report, this one first; asks them all
//
// A report: {"region","stamp","version","since","status":"up"|"short"|"down","reason","writesClosed",
//  "source","topologyVersion","topologyHash","principalsVersion","wallMs",
//  "certificates":[{"kind","notAfter","renewAt","problem"}],"keys":{"token","feed"},
//  "conditions":[…],"drills":[…] (daemon/drill_record.h)}
// The call adds "reached", "why", "ageMs", "clockOffsetMs" and "clockErrorMs" (as compared here).
#ifndef MERIDIAN_DAEMON_ADMIN_FLEET_H
#define MERIDIAN_DAEMON_ADMIN_FLEET_H

#include "daemon/app.h"

// struct fleet_hooks: ctx is the app. json_t *.
void *admin_fleet_report(void *app);
// Beside each region's row: release and versions that it has, as heard last. `rows`: json_t *.
void admin_fleet_add(struct app *app, void *rows);
// The region's wall clock less ours, as it was compared last, goes into `row` (json_t *); null: it
// was not.
void admin_fleet_clock(struct app *app, void *row);
void admin_get_fleet(struct app *app, struct http_request *req, struct http_response *resp);

#endif
