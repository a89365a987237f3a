// SPDX-License-Identifier: Apache-2.0
// Answers of the admin API in JSON, of any size; refusals go to the log with their code.
//
//   admin_answer(req, resp, 200, json_pack("{s:o}", "names", list));
//   admin_answer(req, resp, 404, admin_error_json("NotFound", "no operation has such an id"));
//
// On pools.
#ifndef MERIDIAN_DAEMON_ADMIN_ANSWER_H
#define MERIDIAN_DAEMON_ADMIN_ANSWER_H

#include "daemon/app.h"

#include <jansson.h>

// Takes `doc`; NULL is a document that could not be made, and answers 500.
void admin_answer(struct http_request *req, struct http_response *resp, int status, json_t *doc);
// {"error": {"code": …, "message": …}}; NULL: no memory.
json_t *admin_error_json(const char *code, const char *message);
// What a node says to changes that takes its topology from files (409).
json_t *admin_files_json(const struct app *app);

#endif
