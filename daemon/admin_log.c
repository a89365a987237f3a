// SPDX-License-Identifier: Apache-2.0
// What the worker has logged lately; see admin_log.h.
#include "daemon/admin_log.h"

#include "base/err.h"
#include "base/log.h"

void admin_get_log(struct app *app, struct http_request *req, struct http_response *resp)
{
    AUTO_BUF struct buf lines;
    (void)app;
    buf_init(&lines, 0);
    log_recent(&lines);
    void *kept = NULL;
    if (!lines.err)
        kept = arena_copy(&req->arena, buf_cstr(&lines), lines.n);
    if (kept)
        http_response_bytes(resp, 200, "text/plain; charset=utf-8", bytes_of(kept, lines.n));
    else
        http_response_text(req, resp, 503, "%s\n", err_text(ERR_NOMEM));
}
