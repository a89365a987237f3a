// SPDX-License-Identifier: Apache-2.0
// The route table; see routes.h. Invariants, which tests/unit/registry/test_routes.c checks:
//   1. A route and method have at most one row.
//   2. Every row but that of /v2/ needs an action, and one that is no read needs more than to read.
//   3. Every row has a handler, and every route a row.
#include "registry/routes.h"

#include "registry/registry_priv.h"

#include "base/err.h"
#include "base/mem.h"

#define BIT(m) METHOD_BIT(HTTP_##m)

const struct route_row route_rows[] = {
    {.route = ROUTE_BASE, .methods = METHODS_READ, .body = HTTP_PLAN_REPLY, .begin = base_begin},
    {.route = ROUTE_CATALOG,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_CATALOG,
     .asks = "*",
     .body = HTTP_PLAN_RUN,
     .act = catalog_read},
    {.route = ROUTE_TAGS,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_META_READ,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .act = tags_read},
    {.route = ROUTE_MANIFEST,
     .methods = METHODS_READ,
     .action = ACTION_PULL,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .begin = manifest_read_begin},
    {.route = ROUTE_MANIFEST,
     .methods = BIT(PUT),
     .class = REQUEST_WRITE,
     .action = ACTION_PUSH | ACTION_ADD,
     .event = "push",
     .asks = "pull,push",
     .body = HTTP_PLAN_COLLECT,
     .begin = manifest_put_begin},
    {.route = ROUTE_MANIFEST,
     .methods = BIT(DELETE),
     .class = REQUEST_DELETE,
     .action = ACTION_DELETE,
     .event = "delete",
     .asks = "pull,delete",
     .body = HTTP_PLAN_RUN,
     .begin = manifest_delete_begin},
    {.route = ROUTE_BLOB,
     .methods = METHODS_READ,
     .action = ACTION_PULL,
     .asks = "pull",
     .by_signature = true,
     .on_data = true,
     .body = HTTP_PLAN_RUN,
     .begin = blob_read_begin},
    {.route = ROUTE_UPLOADS,
     .methods = BIT(POST),
     .class = REQUEST_WRITE,
     .action = ACTION_PUSH | ACTION_ADD,
     .event = "upload",
     .asks = "pull,push",
     .body = HTTP_PLAN_STREAM,
     .look = upload_mount_read,
     .begin = upload_post_begin},
    {.route = ROUTE_UPLOAD,
     .methods = METHODS_READ,
     .class = REQUEST_WRITE,
     .action = ACTION_PUSH | ACTION_ADD,
     .asks = "pull,push",
     .by_signature = true,
     .body = HTTP_PLAN_RUN,
     .begin = upload_get_begin},
    {.route = ROUTE_UPLOAD,
     .methods = BIT(PATCH),
     .class = REQUEST_WRITE,
     .action = ACTION_PUSH | ACTION_ADD,
     .asks = "pull,push",
     .by_signature = true,
     .body = HTTP_PLAN_STREAM,
     .begin = upload_patch_begin},
    {.route = ROUTE_UPLOAD,
     .methods = BIT(PUT),
     .class = REQUEST_WRITE,
     .action = ACTION_PUSH | ACTION_ADD,
     .event = "upload",
     .asks = "pull,push",
     .by_signature = true,
     .body = HTTP_PLAN_STREAM,
     .begin = upload_put_begin},
    {.route = ROUTE_UPLOAD,
     .methods = BIT(DELETE),
     .class = REQUEST_WRITE,
     .action = ACTION_PUSH | ACTION_ADD,
     .asks = "pull,push",
     .by_signature = true,
     .body = HTTP_PLAN_RUN,
     .begin = upload_delete_begin},
    {.route = ROUTE_REFERRERS,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_PULL | ACTION_META_READ,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .begin = referrers_begin},
    {.route = ROUTE_X_REPOSITORIES,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_CATALOG,
     .asks = "*",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .begin = x_repositories_begin},
    {.route = ROUTE_X_USAGE,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_CATALOG,
     .asks = "*",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .begin = x_usage_begin},
    {.route = ROUTE_X_REPOSITORY,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_META_READ,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .begin = x_repository_begin},
    {.route = ROUTE_X_REPOSITORY,
     .methods = BIT(DELETE),
     .class = REQUEST_DELETE,
     .action = ACTION_DELETE,
     .event = "delete",
     .asks = "pull,delete",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .act = x_repository_delete},
    {.route = ROUTE_X_TAGS,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_META_READ,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .act = x_tags_read},
    {.route = ROUTE_X_MANIFESTS,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_META_READ,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .act = x_manifests_read},
    {.route = ROUTE_X_HISTORY,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_META_READ,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .act = x_history_read},
    {.route = ROUTE_X_RESTORE,
     .methods = BIT(POST),
     .class = REQUEST_WRITE,
     .action = ACTION_PUSH,
     .event = "restore",
     .asks = "pull,push",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .act = x_restore},
    {.route = ROUTE_X_LOCK,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_META_READ,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .act = x_lock_read},
    {.route = ROUTE_X_LOCK,
     .methods = BIT(PUT),
     .class = REQUEST_WRITE,
     .action = ACTION_META_WRITE,
     .event = "lock",
     .asks = "pull,delete",
     .body = HTTP_PLAN_COLLECT,
     .look = extension_look,
     .begin = x_lock_put_begin},
    {.route = ROUTE_X_RETENTION,
     .methods = METHODS_READ,
     .class = REQUEST_LIST,
     .action = ACTION_META_READ,
     .asks = "pull",
     .body = HTTP_PLAN_RUN,
     .look = extension_look,
     .begin = x_retention_begin},
};
const size_t n_route_rows = ARRAY_LEN(route_rows);

const struct route_row *route_row_find(enum route_kind kind, enum http_method method)
{
    for (size_t i = 0; i < n_route_rows; i++)
        if (route_rows[i].route == kind && (route_rows[i].methods & METHOD_BIT(method)))
            return &route_rows[i];
    return NULL;
}

bool route_on_data(enum route_kind kind)
{
    for (size_t i = 0; i < n_route_rows; i++)
        if (route_rows[i].route == kind && route_rows[i].on_data)
            return true;
    return false;
}

const char *route_allow(enum route_kind kind, struct arena *a)
{
    const char *text = "";
    for (size_t i = 0; text && i < n_route_rows; i++) {
        if (route_rows[i].route != kind)
            continue;
        for (enum http_method m = HTTP_GET; text && m < HTTP_OTHER; m++)
            if (route_rows[i].methods & METHOD_BIT(m))
                text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", http_method_text(m));
    }
    return text;
}
