// SPDX-License-Identifier: Apache-2.0
// GET of what the specification has no words for: tags and manifests in detail, and the values that
// a tag had. Runs on the pool.
#include "registry/extension.h"
#include "registry/registry_priv.h"

#include "base/err.h"

#include <string.h>

static void not_found(struct op *op, struct http_response *resp, int rc, const char *what)
{
    if (rc == ERR_NOTFOUND)
        oci_error(op->req, resp, 404, OCI_NAME_UNKNOWN, NULL, "no such repository");
    else
        answer_error(op, resp, rc, what);
}

static const char *list_path(struct op *op, const char *word, const char *more)
{
    const char *path = arena_printf(&op->req->arena, "/registry/v1/%s?repository=%s%s", word,
                                    op->route.name, more);
    if (!path)
        op->failed = ERR_NOMEM;
    return path;
}

// --- tags ---

static json_t *tag_json(const struct op *op, const struct tag_detail *t)
{
    json_t *o = json_object();
    x_text(o, "tag", t->tag);
    x_digest(o, "digest", &t->digest);
    x_text(o, "mediaType", t->media_type);
    x_number(o, "size", t->size);
    x_value(op, o, t->stamp, t->origin, t->by);
    x_bool(o, "createOnly", t->create_only);
    x_lock(o, "locked", t->lock_write, t->lock_delete);
    return o;
}

void x_tags_read(struct op *op, struct http_response *resp)
{
    struct page_ask page;
    struct tag_detail *rows;
    size_t n;
    if (!x_page_read(op, resp, &page))
        return;
    int rc = meta_tags_detail(op->s->meta, op->registry, op->route.name, page.last, page.n + 1,
                              &op->req->arena, &rows, &n);
    if (rc) {
        not_found(op, resp, rc, "listing tags");
        return;
    }
    json_t *root = x_named(op, NULL, NULL), *list = json_array();
    bool more = page.n && n > page.n;
    for (size_t i = 0; list && i < n && i < page.n; i++)
        json_array_append_new(list, tag_json(op, &rows[i]));
    x_own(root, "tags", list);
    const char *path = list_path(op, "tags", "");
    if (more && path)
        x_page_next(op, resp, root, path, &page, rows[page.n - 1].tag);
    x_answer(op, resp, 200, root, "listing tags");
}

// --- manifests ---

static json_t *tags_json(const char **tags, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, json_string(tags[i]));
    return list;
}

// Why it is there although no tag of its own may lead to it: in the order in which people look.
static const char *held_text(unsigned held)
{
    if (held & HELD_BY_TAG)
        return "tag";
    if (held & HELD_BY_INDEX)
        return "index";
    if (held & HELD_BY_LOCK)
        return "lock";
    return "itself";
}

static json_t *manifest_json(const struct op *op, const struct manifest_detail *m)
{
    json_t *o = json_object();
    x_digest(o, "digest", &m->digest);
    x_text(o, "mediaType", m->media_type);
    x_number(o, "size", m->size);
    x_value(op, o, m->stamp, m->origin, m->by);
    x_text(o, "heldBy", held_text(m->held));
    x_own(o, "tags", tags_json(m->tags, m->n_tags));
    if (m->has_subject)
        x_digest(o, "subject", &m->subject);
    x_lock(o, "locked", m->lock_write, m->lock_delete);
    return o;
}

struct manifests_ask {
    struct page_ask page;
    bool untagged;
    struct digest last;
};

// False: answered.
static bool manifests_ask_read(struct op *op, struct http_response *resp, struct manifests_ask *ask)
{
    const char *untagged = http_query_get(op->req, "untagged", 0);
    ask->untagged = untagged && !strcmp(untagged, "true");
    if (!x_page_read(op, resp, &ask->page))
        return false;
    if (!ask->page.last || !digest_parse(ask->page.last, strlen(ask->page.last), &ask->last))
        return true;
    oci_error(op->req, resp, 400, OCI_DIGEST_INVALID, NULL, "last is not a digest");
    return false;
}

// A page of untagged ones holds those of a page of all: it may be empty and have a next one.
static json_t *manifests_list(const struct op *op, const struct manifests_ask *ask,
                              const struct manifest_detail *rows, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n && i < ask->page.n; i++)
        if (!ask->untagged || !rows[i].n_tags)
            json_array_append_new(list, manifest_json(op, &rows[i]));
    return list;
}

void x_manifests_read(struct op *op, struct http_response *resp)
{
    struct manifests_ask ask;
    struct manifest_detail *rows;
    size_t n;
    if (!manifests_ask_read(op, resp, &ask))
        return;
    int rc = meta_manifests_list(op->s->meta, op->registry, op->route.name,
                                 ask.page.last ? &ask.last : NULL, ask.page.n + 1, &op->req->arena,
                                 &rows, &n);
    if (rc) {
        not_found(op, resp, rc, "listing manifests");
        return;
    }
    json_t *root = x_named(op, NULL, NULL);
    x_own(root, "manifests", manifests_list(op, &ask, rows, n));
    const char *path = list_path(op, "manifests", ask.untagged ? "&untagged=true" : "");
    char text[DIGEST_TEXT_SIZE];
    if (ask.page.n && n > ask.page.n && path)
        x_page_next(op, resp, root, path, &ask.page,
                    digest_format(&rows[ask.page.n - 1].digest, text));
    x_answer(op, resp, 200, root, "listing manifests");
}

// --- history ---

static json_t *version_json(const struct op *op, const struct tag_version *v)
{
    json_t *o = json_object();
    x_digest(o, "digest", &v->digest);
    x_bool(o, "gone", v->gone);
    x_value(op, o, v->stamp, v->origin, v->by);
    x_number(o, "epoch", v->epoch);
    x_bool(o, "here", v->here);
    return o;
}

void x_history_read(struct op *op, struct http_response *resp)
{
    struct page_ask page;
    struct tag_version *rows;
    size_t n;
    if (!page_ask_read(op, resp, META_HISTORY_MAX, &page))
        return;
    int rc = meta_tag_history(op->s->meta, op->registry, op->route.name, op->route.tag, page.n,
                              &op->req->arena, &rows, &n);
    if (rc == ERR_NOTFOUND) {
        oci_error(op->req, resp, 404, OCI_MANIFEST_UNKNOWN, NULL,
                  "there was never such a tag in this repository");
        return;
    }
    if (rc) {
        answer_error(op, resp, rc, "reading a tag's history");
        return;
    }
    json_t *root = x_named(op, "tag", op->route.tag), *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, version_json(op, &rows[i]));
    x_own(root, "versions", list);
    x_answer(op, resp, 200, root, "reading a tag's history");
}
