// SPDX-License-Identifier: Apache-2.0
// GET and HEAD of referrers (distribution-spec 1.1, "Listing Referrers"): an image index of the
// manifests whose `subject` has the digest, made anew for each request. A subject that is nowhere,
// and a repository that is, have an empty list: the answer says nothing of what exists. Runs on the
// pool.
//
// A page ends after PAGE_REFERRERS manifests, or sooner when they are large; with a filter it may
// hold none of them and still have a next one. Descriptors are made from what was stored: a manifest
// that was understood at its push is understood here.
#include "registry/registry_priv.h"

#include "base/err.h"
#include "base/log.h"

#include <jansson.h>
#include <string.h>

#define PAGE_REFERRERS 100
#define PAGE_BYTES (1u << 20)
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"

struct listing {
    struct op *op;
    struct page_ask page;
    // NULL: no filter
    const char *artifact_type;
    struct digest after;
    struct referrers_page found;
    // array of descriptors
    json_t *manifests;
};

// The type that the descriptor says: the manifest's own, else that of an image's config. NULL: none.
static const char *artifact_type_of(json_t *top)
{
    const char *own = json_string_value(json_object_get(top, "artifactType"));
    if (own && *own)
        return own;
    return json_string_value(json_object_get(json_object_get(top, "config"), "mediaType"));
}

static bool is_wanted(const struct listing *l, const char *type)
{
    if (!l->artifact_type)
        return true;
    return type && strcmp(type, l->artifact_type) == 0;
}

// Takes its own references of what it needs of `top`.
static json_t *descriptor(const struct manifest_row *row, json_t *top, const char *type)
{
    char text[DIGEST_TEXT_SIZE];
    json_t *d = json_pack("{s:s, s:s, s:I}", "mediaType", row->media_type, "digest",
                          digest_format(&row->digest, text), "size", (json_int_t)row->content.n);
    json_t *annotations = json_object_get(top, "annotations");
    int failed = !d;
    if (!failed && type)
        failed = json_object_set_new(d, "artifactType", json_string(type));
    if (!failed && json_is_object(annotations))
        failed = json_object_set(d, "annotations", annotations);
    if (!failed)
        return d;
    json_decref(d);
    return NULL;
}

static int row_add(struct listing *l, const struct manifest_row *row)
{
    json_error_t err;
    json_t *top =
        json_loadb((const char *)row->content.p, row->content.n, JSON_REJECT_DUPLICATES, &err);
    if (!top && json_error_code(&err) == json_error_out_of_memory)
        return ERR_NOMEM;
    if (!top)
        return ERR_CORRUPT;
    const char *type = artifact_type_of(top);
    int rc = 0;
    if (is_wanted(l, type)) {
        json_t *d = descriptor(row, top, type);
        if (!d || json_array_append_new(l->manifests, d))
            rc = ERR_NOMEM;
    }
    json_decref(top);
    return rc;
}

static int rows_add(struct listing *l)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < l->found.n; i++)
        rc = row_add(l, &l->found.rows[i]);
    return rc;
}

static int rows_find(struct listing *l, struct arena *a)
{
    const struct op *op = l->op;
    const struct referrers_ask ask = {.registry = op->registry,
                                      .repository = op->route.name,
                                      .subject = &op->route.digest,
                                      .after = l->page.last ? &l->after : NULL,
                                      .max = l->page.n,
                                      .max_bytes = PAGE_BYTES};
    return meta_referrers(op->s->meta, &ask, a, &l->found);
}

static void next_link(struct listing *l, struct http_response *resp)
{
    struct op *op = l->op;
    char subject[DIGEST_TEXT_SIZE], last[DIGEST_TEXT_SIZE];
    if (!l->found.more || !l->found.n)
        return;
    const char *path = arena_printf(&op->req->arena, "/v2/%s/referrers/%s", op->route.name,
                                    digest_format(&op->route.digest, subject));
    if (!path) {
        op->failed = ERR_NOMEM;
        return;
    }
    digest_format(&l->found.rows[l->found.n - 1].digest, last);
    struct page_next next = {.path = path, .n = l->page.n, .last = last};
    if (l->artifact_type) {
        next.key = "artifactType";
        next.value = l->artifact_type;
    }
    page_link(op, resp, &next);
}

static void index_answer(struct listing *l, struct http_response *resp)
{
    struct op *op = l->op;
    json_t *root = json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType", OCI_INDEX,
                             "manifests", l->manifests);
    int rc = ERR_NOMEM;
    if (root)
        rc = http_response_json(op->req, resp, 200, root);
    if (rc) {
        answer_error(op, resp, rc, "listing referrers");
        return;
    }
    answer_header(op, resp, "Content-Type", "%s", OCI_INDEX);
    if (l->artifact_type)
        answer_header(op, resp, "OCI-Filters-Applied", "artifactType");
    next_link(l, resp);
}

static void list(struct listing *l, struct http_response *resp, struct arena *a)
{
    int rc = rows_find(l, a);
    if (!rc)
        rc = rows_add(l);
    if (rc)
        answer_error(l->op, resp, rc, "listing referrers");
    else
        index_answer(l, resp);
}

// False: answered.
static bool last_read(struct listing *l, struct http_response *resp)
{
    if (!l->page.last || !digest_parse(l->page.last, strlen(l->page.last), &l->after))
        return true;
    oci_error(l->op->req, resp, 400, OCI_DIGEST_INVALID, NULL,
              "last is not a digest that a page of this list ended with");
    return false;
}

static void referrers_read(struct op *op, struct http_response *resp)
{
    struct listing l = {.op = op, .artifact_type = http_query_get(op->req, "artifactType", 0)};
    struct arena a;
    if (l.artifact_type && !*l.artifact_type)
        l.artifact_type = NULL;
    if (!page_ask_read(op, resp, PAGE_REFERRERS, &l.page) || !last_read(&l, resp))
        return;
    l.manifests = json_array();
    if (!l.manifests) {
        answer_error(op, resp, ERR_NOMEM, "listing referrers");
        return;
    }
    arena_init(&a, 0);
    list(&l, resp, &a);
    arena_done(&a);
    json_decref(l.manifests);
}

void referrers_begin(struct op *op, struct http_plan *plan)
{
    op_manifests_fit(op);
    op_plan(op, plan, HTTP_PLAN_RUN, referrers_read);
}
