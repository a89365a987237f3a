// SPDX-License-Identifier: Apache-2.0
// See admin_answer.h.
#include "daemon/admin_answer.h"

#include "base/mem.h"
#include "fleet/fleet.h"
#include "net/json.h"
#include "net/refuse.h"

json_t *admin_error_json(const char *code, const char *message)
{
    return json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message);
}

json_t *admin_files_json(const struct app *app)
{
    AUTO_FREE char *why =
        mem_printf("this node takes its topology from files (%s): edit and copy them, or let the "
                   "fleet take it over: meridian control adopt",
                   app->node->topology);
    return admin_error_json("FilesAreTheSource", why ? why : "files are the source");
}

// For the log, which has a line for each refusal.
static void tell_refusal(struct http_request *req, const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *why = json_string_value(json_object_get(error, "message"));
    if (code && why)
        http_request_refused(req, code, why);
}

void admin_answer(struct http_request *req, struct http_response *resp, int status, json_t *doc)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (status >= 400)
        tell_refusal(req, doc);
    if (json_text_add(doc, &text) || fleet_answer_text(resp, "application/json", &text))
        serve_refuse(req, resp, 500, "out of memory");
    else
        resp->status = status;
}
