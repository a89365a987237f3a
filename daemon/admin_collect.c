// SPDX-License-Identifier: Apache-2.0
// On the admin socket:
//
//   GET  /v1/collect[?registry=NAME][&after=TEXT][&n=COUNT]   what the collection would take, and why
//   POST /v1/collect                                          it runs now
//   GET  /v1/usage                                            what each registry uses here
//
// A registry is called by its name where the topology has it, else by its key. On the pool: they
// block on the store.
#include "daemon/admin_collect.h"

#include "base/err.h"
#include "base/exposition.h"
#include "config/policy.h"
#include "daemon/collector.h"
#include "net/refuse.h"
#include "store/meta_collect.h"

#include <jansson.h>
#include <stdlib.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

static const char *kind_name(enum collect_kind kind)
{
    switch (kind) {
    case COLLECT_MANIFEST:
        return "manifest";
    case COLLECT_LEASE:
        return "lease";
    case COLLECT_BLOB:
        break;
    }
    return "blob";
}

// For people.
static const char *name_of(const struct topology *t, const char *key)
{
    const struct registry *reg = topology_registry_by_key(t, key);
    return reg ? reg->name : key;
}

static const char *key_of(const struct topology *t, const char *name)
{
    const struct registry *reg = name ? topology_registry(t, name) : NULL;
    return reg ? reg->key : name;
}

// --- what would go ---

static json_t *items_json(const struct topology *t, const struct collect_item *items, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) {
        char digest[DIGEST_TEXT_SIZE];
        const struct collect_item *x = &items[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:I}", "kind",
                                              kind_name(x->kind), "registry",
                                              name_of(t, x->registry), "repository", x->repository,
                                              "digest", digest_format(&x->digest, digest), "bytes",
                                              (json_int_t)x->size, "why", x->why, "leftSeconds",
                                              (json_int_t)(x->left_ms + 999) / 1000));
    }
    return list;
}

static json_t *space_json(const struct app *app, const struct topology *t, struct arena *a)
{
    struct space_report r;
    json_t *list = json_array();
    if (!list || meta_space_report(app->meta, a, &r)) {
        json_decref(list);
        return NULL;
    }
    for (size_t i = 0; i < r.n; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "registry",
                                              name_of(t, r.registries[i].registry), "bytes",
                                              (json_int_t)r.registries[i].bytes, "ownBytes",
                                              (json_int_t)r.registries[i].own_bytes));
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "bytes", (json_int_t)r.bytes, "blobs",
                     (json_int_t)r.blobs, "sharedBytes", (json_int_t)r.shared_bytes,
                     "condemnedBytes", (json_int_t)r.condemned_bytes, "registries", list);
}

static json_t *plan_json(const struct app *app, const struct topology *t,
                         const struct collect_item *items, size_t n, const char *next)
{
    json_t *doc =
        json_pack("{s:s, s:o}", "region", app->node->region, "items", items_json(t, items, n));
    if (doc && *next)
        json_object_set_new(doc, "next", json_string(next));
    return doc;
}

static void collect_answer(struct app *app, struct http_request *req, struct http_response *resp,
                           const struct topology *t, size_t max, struct arena *a)
{
    const char *registry = key_of(t, http_query_get(req, "registry", 0));
    const char *after = http_query_get(req, "after", 0), *next;
    struct collect_item *items;
    size_t n;
    if (!after)
        after = "";
    int rc = meta_collect_plan(app->meta, registry, after, max, a, &items, &n, &next);
    if (rc == ERR_INVAL) {
        http_response_text(req, resp, 400, "after= takes what the page before called next\n");
        return;
    }
    if (rc) {
        http_response_text(req, resp, 503, "the store cannot be read: %s\n", err_text(rc));
        return;
    }
    json_t *doc = plan_json(app, t, items, n, next);
    if (doc && !*after)
        json_object_set_new(doc, "space", space_json(app, t, a));
    serve_json(req, resp, doc);
}

// 0: it was answered.
static size_t page_asked(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *text = http_query_get(req, "n", 0);
    char *end = NULL;
    if (!app->meta) {
        http_response_text(req, resp, 404, "this node has no store\n");
        return 0;
    }
    if (!text)
        return PAGE_DEFAULT;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || n < 1 || n > PAGE_MAX) {
        http_response_text(req, resp, 400, "n= takes a number from 1 to %d\n", PAGE_MAX);
        return 0;
    }
    return n;
}

void admin_get_collect(struct app *app, struct http_request *req, struct http_response *resp)
{
    size_t max = page_asked(app, req, resp);
    if (!max)
        return;
    struct topology *t = snapshot_get(app->topology);
    struct arena a;
    arena_init(&a, 0);
    collect_answer(app, req, resp, t, max, &a);
    arena_done(&a);
    snapshot_unref(t);
}

void admin_post_collect(struct app *app, struct http_request *req, struct http_response *resp)
{
    const struct task_new task = {.kind = TASK_COLLECT, .key = COLLECTOR_KEY, .registry = ""};
    if (!app->meta || !app->tasks) {
        http_response_text(req, resp, 404, "this node has no store\n");
        return;
    }
    int rc = meta_task_add(app->meta, &task);
    if (rc) {
        http_response_text(req, resp, 503, "the collection cannot be queued: %s\n", err_text(rc));
        return;
    }
    task_runner_wake(app->tasks);
    serve_json(req, resp, json_pack("{s:s, s:b}", "region", app->node->region, "queued", true));
}

// --- usage ---

static json_t *usage_row_json(const struct topology *t, const struct usage_row *row)
{
    const struct registry *reg = topology_registry_by_key(t, row->registry);
    uint64_t quota = 0;
    if (reg)
        quota = policy_quota(reg);
    json_t *o =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "registry", name_of(t, row->registry),
                  "repositories", (json_int_t)row->n_repositories, "manifests",
                  (json_int_t)row->usage.manifests, "tags", (json_int_t)row->usage.tags, "bytes",
                  (json_int_t)row->usage.bytes, "over", quota && row->usage.bytes > quota);
    if (o)
        json_object_set_new(o, "quota", quota ? json_integer((json_int_t)quota) : json_null());
    if (o && !reg)
        json_object_set_new(o, "gone", json_true());
    return o;
}

void admin_get_usage(struct app *app, struct http_request *req, struct http_response *resp)
{
    struct usage_row *rows;
    size_t n;
    struct arena a;
    if (!app->meta) {
        http_response_text(req, resp, 404, "this node has no store\n");
        return;
    }
    arena_init(&a, 0);
    int rc = meta_usage_registries(app->meta, &a, &rows, &n);
    if (rc) {
        http_response_text(req, resp, 503, "the store cannot be read: %s\n", err_text(rc));
        arena_done(&a);
        return;
    }
    struct topology *t = snapshot_get(app->topology);
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, usage_row_json(t, &rows[i]));
    snapshot_unref(t);
    arena_done(&a);
    serve_json(req, resp, json_pack("{s:s, s:o}", "region", app->node->region, "usage", list));
}

// --- metrics ---

static void family(struct buf *out, const struct usage_row *rows, size_t n, const char *name,
                   const char *help, uint64_t (*get)(const struct usage *u))
{
    exposition_family(out, name, "gauge", help);
    for (size_t i = 0; i < n; i++) {
        exposition_begin(out, name);
        exposition_label(out, "registry", rows[i].registry);
        exposition_value(out, (double)get(&rows[i].usage));
    }
}

static uint64_t bytes_of_usage(const struct usage *u)
{
    return u->bytes;
}

static uint64_t manifests_of_usage(const struct usage *u)
{
    return u->manifests;
}

static uint64_t tags_of_usage(const struct usage *u)
{
    return u->tags;
}

// The limits beside the use: of registries that have one.
static void quotas(const struct app *app, struct buf *out, const struct usage_row *rows, size_t n)
{
    static const char name[] = "meridian_registry_quota_bytes";
    struct topology *t = snapshot_get(app->topology);
    exposition_family(out, name, "gauge", "Its quota in this region.");
    for (size_t i = 0; t && i < n; i++) {
        const struct registry *r = topology_registry_by_key(t, rows[i].registry);
        if (!r || !policy_quota(r))
            continue;
        exposition_begin(out, name);
        exposition_label(out, "registry", rows[i].registry);
        exposition_value(out, (double)policy_quota(r));
    }
    snapshot_unref(t);
}

void usage_metrics(const struct app *app, struct buf *out)
{
    struct usage_row *rows;
    size_t n;
    struct arena a;
    if (!app->meta)
        return;
    arena_init(&a, 0);
    if (meta_usage_registries(app->meta, &a, &rows, &n) == 0) {
        family(out, rows, n, "meridian_registry_bytes", "Bytes of a registry in this region.",
               bytes_of_usage);
        family(out, rows, n, "meridian_registry_manifests", "Its manifests.", manifests_of_usage);
        family(out, rows, n, "meridian_registry_tags", "Its tags.", tags_of_usage);
        quotas(app, out, rows, n);
    }
    arena_done(&a);
}
