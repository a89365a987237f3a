// SPDX-License-Identifier: Apache-2.0
// Refresh tokens, told on the admin socket; see admin_tokens.h. On the pool: the list is on the disk.
#include "daemon/admin_tokens.h"

#include "auth/issued.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT 200

// 0: not a number, or none that a page may have.
static size_t page_size(struct http_request *req)
{
    const char *n = http_query_get(req, "n", 0);
    if (!n)
        return PAGE_DEFAULT;
    size_t digits = strspn(n, "0123456789");
    if (!digits || digits > 4 || n[digits])
        return 0;
    size_t wanted = strtoul(n, NULL, 10);
    if (wanted > ISSUED_PAGE_MAX)
        return 0;
    return wanted;
}

static void read_page(struct app *app, const struct issued_ask *ask, struct http_request *req,
                      struct http_response *resp)
{
    json_t *doc = NULL;
    struct principals *all = snapshot_get(app->principals);
    int rc = ERR_NOTFOUND;
    if (all)
        rc = issued_read(app->issued, ask, all, &doc);
    snapshot_unref(all);
    if (!rc && http_response_json(req, resp, 200, doc))
        http_response_text(req, resp, 500, "out of memory\n");
    else if (rc == ERR_INVAL || rc == ERR_NOTFOUND)
        http_response_text(req, resp, 400, "cursor: it leads nowhere; begin without one\n");
    else if (rc)
        http_response_text(req, resp, 500, "the list cannot be read: %s\n", err_text(rc));
}

void admin_get_issued(struct app *app, struct http_request *req, struct http_response *resp)
{
    const struct issued_ask ask = {.registry = http_query_get(req, "registry", 0),
                                   .principal = http_query_get(req, "principal", 0),
                                   .n = page_size(req),
                                   .cursor = http_query_get(req, "cursor", 0)};
    if (!app->issued)
        http_response_text(req, resp, 404, "this node issues no tokens\n");
    else if (!ask.registry)
        http_response_text(req, resp, 400, "registry: missing\n");
    else if (!ask.n)
        http_response_text(req, resp, 400, "n: from 1 to %d\n", ISSUED_PAGE_MAX);
    else
        read_page(app, &ask, req, resp);
}
