// SPDX-License-Identifier: Apache-2.0
// See writer_post.h. No state.
#include "daemon/writer_post.h"

#include "base/err.h"
#include "base/mem.h"

#define ASK_MS 10000

static int answer_take(const char *writer, const struct fetch_result *got, struct diag *diag,
                       struct buf *out)
{
    if (got->status == 200) {
        buf_add(out, got->body.p, got->body.n);
        return out->err;
    }
    diag_add(diag, NULL, 0, "the writer %s refuses (status %d): %.300s", writer, got->status,
             buf_cstr(&got->body));
    if (got->status == 409)
        return ERR_CONFLICT;
    return ERR_DENIED;
}

int writer_post(const struct fleet_caller *by, const struct topology *t, const char *writer,
                const char *path, struct bytes body, struct diag *diag, struct buf *out)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    struct fleet_call call;
    struct fetch_result got;
    int rc = fleet_call_make(by, t, writer, path, &call);
    if (rc) {
        diag_add(diag, NULL, 0, "the writer %s has no peer listener", writer);
        return rc;
    }
    call.q.method = "POST";
    call.q.body = body;
    call.q.headers = headers;
    call.q.n_headers = ARRAY_LEN(headers);
    call.q.timeout_ms = ASK_MS;
    call.q.max_bytes = WRITER_ANSWER_BYTES;
    call.q.fresh_connection = true;
    rc = fetch_run(by->fetcher, &call.q, &got);
    if (rc)
        diag_add(diag, NULL, 0, "the writer %s cannot be asked: %s", writer, got.message);
    else
        rc = answer_take(writer, &got, diag, out);
    fetch_result_done(&got);
    return rc;
}
