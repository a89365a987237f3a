// SPDX-License-Identifier: Apache-2.0
// The control feed of this node, at the admin socket:
//
//   GET  /v1/control          {"source","region","writer","weWrite","confirmed","owned","adopted",
//                             "place","applied","topologyVersion","principalsVersion","time",
//                             "rootWord","epochFrom","entries","alarm",
//                             "void":[{"place","time","by","what","topologyVersion"}]}
//   POST /v1/control/draft    {"kind":"takeover","region":R[,"controlKey":SPKI]} or
//                           {"kind":"confirm"[,"upto":PLACE]}
//                             → {"line":TEXT}: what the root key is to sign; nothing changes here
//   POST /v1/control/signed   the signed line → {"place":PLACE}. Only the signature counts for who
//                             may
//
// Errors: {"error":{"code","message"}}; FilesAreTheSource where files are the source.
#ifndef MERIDIAN_DAEMON_ADMIN_CONTROL_H
#define MERIDIAN_DAEMON_ADMIN_CONTROL_H

#include "daemon/app.h"

#define ADMIN_CONTROL_DRAFT_MAX_BYTES (64u << 10)

void admin_get_control(struct app *app, struct http_request *req, struct http_response *resp);
void admin_post_control_draft(struct app *app, struct http_request *req,
                              struct http_response *resp);
void admin_post_control_signed(struct app *app, struct http_request *req,
                               struct http_response *resp);

#endif
