// SPDX-License-Identifier: Apache-2.0
// Lists in pages: the tags of a repository, the repositories of a registry that the caller may see
// (distribution-spec 1.1, "Listing Tags"). Names are sorted by their bytes. A page has at most PAGE_MAX names; Link
// (RFC 8288) leads to the next. Runs on the pool.
#include "registry/registry_priv.h"

#include "base/err.h"
#include "registry/visible.h"

#include <jansson.h>

struct names {
    struct page_ask ask;
    const char **list;
    // one more than wanted when there is more
    size_t n;
};

static json_t *names_json(const struct names *p)
{
    size_t n;
    if (p->n < p->ask.n)
        n = p->n;
    else
        n = p->ask.n;
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (json_array_append_new(list, json_string(p->list[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

// Takes over root. Names need no escaping in a URL: their grammars see to that.
static void names_answer(struct op *op, struct http_response *resp, const struct names *p,
                         json_t *root, const char *path)
{
    int rc = ERR_NOMEM;
    if (root)
        rc = http_response_json(op->req, resp, 200, root);
    if (rc) {
        answer_error(op, resp, rc, "listing");
        return;
    }
    if (p->ask.n && p->n > p->ask.n)
        page_link(op, resp,
                  &(struct page_next){.path = path, .n = p->ask.n, .last = p->list[p->ask.n - 1]});
}

void tags_read(struct op *op, struct http_response *resp)
{
    struct names p;
    if (!page_ask_read(op, resp, PAGE_MAX, &p.ask))
        return;
    int rc = meta_tags_list(op->s->meta, op->registry, op->route.name, p.ask.last, p.ask.n + 1,
                            &op->req->arena, &p.list, &p.n);
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
        list = names_json(&p);
    names_answer(op, resp, &p,
                 list ? json_pack("{s:s, s:o}", "name", op->route.name, "tags", list) : NULL, path);
}

// --- the catalogue: what of it the caller may see ---

struct catalog {
    struct op *op;
    struct names names;
    // what was read last
    const char **read;
};

static int catalog_more(void *ctx, const char *after, size_t n, size_t *out_n)
{
    struct catalog *c = ctx;
    return meta_repositories_list(c->op->s->meta, c->op->registry, after, n, &c->op->req->arena,
                                  &c->read, out_n);
}

static const char *catalog_name(void *ctx, size_t i)
{
    return ((struct catalog *)ctx)->read[i];
}

static void catalog_take(void *ctx, size_t i)
{
    struct catalog *c = ctx;
    c->names.list[c->names.n++] = c->read[i];
}

static int catalog_find(struct op *op, struct names *p)
{
    struct catalog c = {.op = op, .names = *p};
    const struct visible_list list = {catalog_more, catalog_name, catalog_take, &c};
    c.names.list = arena_array(&op->req->arena, p->ask.n + 1, sizeof *c.names.list);
    if (!c.names.list)
        return ERR_NOMEM;
    int rc = visible_page(&op->access, p->ask.last, p->ask.n + 1, &op->req->arena, &list);
    *p = c.names;
    return rc;
}

void catalog_read(struct op *op, struct http_response *resp)
{
    struct names p = {0};
    if (!page_ask_read(op, resp, PAGE_MAX, &p.ask))
        return;
    int rc = catalog_find(op, &p);
    if (rc) {
        answer_error(op, resp, rc, "listing repositories");
        return;
    }
    json_t *list = names_json(&p);
    names_answer(op, resp, &p, list ? json_pack("{s:o}", "repositories", list) : NULL,
                 "/v2/_catalog");
}
