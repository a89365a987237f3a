// SPDX-License-Identifier: Apache-2.0
// See admin_ca.h.
#include "daemon/admin_ca.h"

#include "base/diag.h"
#include "base/err.h"
#include "base/mem.h"
#include "daemon/admin_answer.h"
#include "daemon/ca_rolling.h"

#include <stdlib.h>
#include <string.h>

#define ISSUE_AFTER_MAX_MS (365 * 24 * 3600 * 1000LL)

void admin_get_ca(struct app *app, struct http_request *req, struct http_response *resp)
{
    admin_answer(req, resp, 200, ca_rolling_json(atomic_load(&app->ca_rolling)));
}

static int status_of(int rc)
{
    if (rc == ERR_INVAL)
        return 400;
    if (rc == ERR_UNSUPPORTED || rc == ERR_CONFLICT || rc == ERR_EXISTS)
        return 409;
    return 503;
}

static int begin(struct ca_rolling *r, const char *after, struct diag *d)
{
    char *end = NULL;
    long long ms = 0;
    if (after)
        ms = strtoll(after, &end, 10);
    if (!after || !*after || *end || ms < 0 || ms > ISSUE_AFTER_MAX_MS) {
        diag_add(d, NULL, 0, "issue_after_ms: milliseconds, a year at most");
        return ERR_INVAL;
    }
    return ca_rolling_ask_begin(r, ms, d);
}

static int run(struct ca_rolling *r, struct http_request *req, struct diag *d)
{
    const char *what = http_query_get(req, "do", 0);
    if (!what)
        what = "";
    if (!strcmp(what, "begin"))
        return begin(r, http_query_get(req, "issue_after_ms", 0), d);
    if (!strcmp(what, "cancel"))
        return ca_rolling_ask_cancel(r, d);
    if (!strcmp(what, "without-away"))
        return ca_rolling_ask_without_away(r, d);
    if (!strcmp(what, "drop-old"))
        return ca_rolling_ask_drop(r, d);
    if (!strcmp(what, "back"))
        return ca_rolling_ask_back(r, d);
    diag_add(d, NULL, 0, "do: begin, cancel, without-away, drop-old or back");
    return ERR_INVAL;
}

void admin_post_ca(struct app *app, struct http_request *req, struct http_response *resp)
{
    struct diag d;
    diag_init(&d);
    int rc = run(atomic_load(&app->ca_rolling), req, &d);
    if (rc) {
        AUTO_FREE char *text = diag_text(&d);
        admin_answer(req, resp, status_of(rc),
                     admin_error_json("Refused", text && *text ? text : err_text(rc)));
    } else {
        admin_get_ca(app, req, resp);
    }
    diag_done(&d);
}
