// SPDX-License-Identifier: Apache-2.0
// Lists in pages: the tags of a repository, the repositories of a registry (distribution-spec 1.1,
// "Listing Tags"). Names are sorted by their bytes. A page has at most PAGE_MAX names; Link
// (RFC 8288) leads to the next. Runs on the pool.
#include "registry/registry_priv.h"

#include "base/err.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct page {
    // wanted
    size_t n;
    // NULL: from the start
    const char *after;
    const char **names;
    // one more than wanted when there is more
    size_t n_names;
};

// False: answered.
static bool page_read(struct op *op, struct http_response *resp, struct page *p)
{
    const char *n = http_query_get(op->req, "n", 0), *last = http_query_get(op->req, "last", 0);
    *p = (struct page){.n = PAGE_MAX, .after = last && *last ? last : NULL};
    if (!n)
        return true;
    size_t digits = strspn(n, "0123456789");
    if (!digits || n[digits]) {
        oci_error(op->req, resp, 400, OCI_PAGINATION_NUMBER_INVALID, NULL, "n is not a number");
        return false;
    }
    unsigned long long wanted = PAGE_MAX;
    if (digits <= 9)
        wanted = strtoull(n, NULL, 10);
    if (wanted < PAGE_MAX)
        p->n = (size_t)wanted;
    else
        p->n = PAGE_MAX;
    return true;
}

static json_t *page_json(const struct page *p)
{
    size_t n;
    if (p->n_names < p->n)
        n = p->n_names;
    else
        n = p->n;
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (json_array_append_new(list, json_string(p->names[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

// Takes over root. Names need no escaping in a URL: their grammars see to that.
static void page_answer(struct op *op, struct http_response *resp, const struct page *p,
                        json_t *root, const char *path)
{
    int rc = ERR_NOMEM;
    if (root)
        rc = http_response_json(op->req, resp, 200, root);
    if (rc) {
        answer_error(op, resp, rc, "listing");
        return;
    }
    if (p->n && p->n_names > p->n)
        answer_header(op, resp, "Link", "<%s?n=%zu&last=%s>; rel=\"next\"", path, p->n,
                      p->names[p->n - 1]);
}

void tags_read(struct op *op, struct http_response *resp)
{
    struct page p;
    if (!page_read(op, resp, &p))
        return;
    int rc = meta_tags_list(op->s->meta, op->registry, op->route.name, p.after, p.n + 1,
                            &op->req->arena, &p.names, &p.n_names);
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_NAME_UNKNOWN, NULL, "no such repository");
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "listing tags");
        return;
    }
    const char *path = arena_printf(&op->req->arena, "/v2/%s/tags/list", op->route.name);
    json_t *list = NULL;
    if (path)
        list = page_json(&p);
    page_answer(op, resp, &p,
                list ? json_pack("{s:s, s:o}", "name", op->route.name, "tags", list) : NULL, path);
}

void catalog_read(struct op *op, struct http_response *resp)
{
    struct page p;
    if (!page_read(op, resp, &p))
        return;
    int rc = meta_repositories_list(op->s->meta, op->registry, p.after, p.n + 1, &op->req->arena,
                                    &p.names, &p.n_names);
    if (rc) {
        answer_error(op, resp, rc, "listing repositories");
        return;
    }
    json_t *list = page_json(&p);
    page_answer(op, resp, &p, list ? json_pack("{s:o}", "repositories", list) : NULL,
                "/v2/_catalog");
}
