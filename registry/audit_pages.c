// SPDX-License-Identifier: Apache-2.0
// GET /registry/v1/audit: the audit log of this registry in this region, newest first, in pages, for
// who may read it (ACTION_AUDIT). Lines of other registries are not shown; each region has its own.
// Reads files, on the pool.
#include "registry/extension.h"
#include "registry/registry_priv.h"

#include "base/err.h"

#include <string.h>

static void refused(struct op *op, struct http_response *resp, int rc)
{
    if (rc == ERR_INVAL)
        oci_error(
            op->req, resp, 400, OCI_UNSUPPORTED, NULL,
            "since is a time in UTC, as in 2026-11-29T09:20:55Z, and last what a page of this "
            "list ended with");
    else if (rc == ERR_NOTFOUND)
        oci_error(op->req, resp, 404, OCI_NOT_FOUND, NULL,
                  "what follows in region %s was rotated away meanwhile: begin with the newest "
                  "page",
                  op->s->region);
    else
        answer_error(op, resp, rc, "reading the audit log");
}

// The lines are JSON already (audit_read).
static void answer(struct op *op, struct http_response *resp, const struct page_ask *ask,
                   const char *since, const struct audit_page *page)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "{\"registry\":\"%s\",\"region\":\"%s\",\"events\":[", op->registry_name,
               op->s->region);
    buf_add(&text, page->lines.p, page->lines.n);
    buf_str(&text, "]");
    if (*page->next)
        buf_printf(&text, ",\"next\":\"%s\"", page->next);
    buf_str(&text, "}");
    const char *body = NULL;
    if (!text.err)
        body = arena_strndup(&op->req->arena, text.p, text.n);
    if (!body) {
        answer_error(op, resp, ERR_NOMEM, "reading the audit log");
        return;
    }
    http_response_bytes(resp, 200, "application/json", bytes_of(body, text.n));
    if (*page->next)
        page_link(op, resp,
                  &(struct page_next){.path = "/registry/v1/audit",
                                      .n = ask->n,
                                      .last = page->next,
                                      .key = since ? "since" : NULL,
                                      .value = since});
}

void x_audit_read(struct op *op, struct http_response *resp)
{
    struct page_ask ask;
    struct audit_page page;
    const char *since = http_query_get(op->req, "since", 0);
    if (!op->s->audit) {
        oci_error(op->req, resp, 404, OCI_NOT_FOUND, NULL, "region %s keeps no audit log",
                  op->s->region);
        return;
    }
    if (!x_page_read(op, resp, &ask))
        return;
    if (!ask.n)
        ask.n = 1;
    const struct audit_ask q = {
        .registry = op->registry, .n = ask.n, .since = since, .cursor = ask.last};
    int rc = audit_read(op->s->audit, &q, &page);
    if (rc)
        refused(op, resp, rc);
    else
        answer(op, resp, &ask, since, &page);
    audit_page_done(&page);
}
