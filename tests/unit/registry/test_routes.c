// SPDX-License-Identifier: Apache-2.0
// registry/routes: the table is whole, and what it says is what the front door does, for every
// route with every method and for each kind of caller.
#include "registry/routes.h"

#include "tests/unit/registry/registry_fixture.h"

#define DIGEST0 "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define UPLOAD0 "eastus.00000000000000000000000000000000"

static const struct {
    enum route_kind kind;
    const char *path, *allow;
} routes[] = {
    {ROUTE_BASE, "/v2/", "GET, HEAD"},
    {ROUTE_CATALOG, "/v2/_catalog", "GET, HEAD"},
    {ROUTE_TAGS, "/v2/team/app/tags/list", "GET, HEAD"},
    {ROUTE_MANIFEST, "/v2/team/app/manifests/1", "GET, HEAD, PUT, DELETE"},
    {ROUTE_BLOB, "/v2/team/app/blobs/" DIGEST0, "GET, HEAD"},
    {ROUTE_UPLOADS, "/v2/team/app/blobs/uploads/", "POST"},
    {ROUTE_UPLOAD, "/v2/team/app/blobs/uploads/" UPLOAD0, "GET, HEAD, PATCH, PUT, DELETE"},
    {ROUTE_REFERRERS, "/v2/team/app/referrers/" DIGEST0, "GET, HEAD"},
    {ROUTE_X_REPOSITORIES, "/registry/v1/repositories", "GET, HEAD"},
    {ROUTE_X_USAGE, "/registry/v1/usage", "GET, HEAD"},
    {ROUTE_X_REPOSITORY, "/registry/v1/repository?repository=team/app", "GET, HEAD, DELETE"},
    {ROUTE_X_TAGS, "/registry/v1/tags?repository=team/app", "GET, HEAD"},
    {ROUTE_X_MANIFESTS, "/registry/v1/manifests?repository=team/app", "GET, HEAD"},
    {ROUTE_X_HISTORY, "/registry/v1/history?repository=team/app&tag=1", "GET, HEAD"},
    {ROUTE_X_RESTORE, "/registry/v1/restore?repository=team/app&tag=1&digest=" DIGEST0, "POST"},
    {ROUTE_X_RETENTION, "/registry/v1/retention?repository=team/app", "GET, HEAD"},
    {ROUTE_X_LOCK, "/registry/v1/lock?repository=team/app&tag=1", "GET, HEAD, PUT"},
};

static bool is_one_action(unsigned a)
{
    return a == ACTION_PULL || a == ACTION_PUSH || a == ACTION_DELETE || a == ACTION_CATALOG;
}

START_TEST(every_row_has_an_action_and_a_handler)
{
    for (size_t i = 0; i < n_route_rows; i++) {
        const struct route_row *r = &route_rows[i];
        ck_assert_msg(r->methods && !(r->methods & METHOD_BIT(HTTP_OTHER)), "row %zu", i);
        ck_assert_msg(r->begin || r->act, "row %zu has no handler", i);
        ck_assert_msg(!r->begin || !r->act, "row %zu has two handlers", i);
        if (r->route == ROUTE_BASE)
            continue;
        ck_assert_msg(is_one_action(r->action) && r->asks, "row %zu has no action", i);
        // what is no read is never open to whoever may pull
        if (r->methods & ~METHODS_READ)
            ck_assert_msg(r->action & (ACTION_PUSH | ACTION_DELETE), "row %zu writes", i);
        if (r->body >= HTTP_PLAN_COLLECT)
            ck_assert_msg(r->action & (ACTION_PUSH | ACTION_DELETE), "row %zu takes a body", i);
    }
}
END_TEST

START_TEST(no_method_of_a_route_has_two_rows)
{
    unsigned seen[N_ROUTES] = {0};
    for (size_t i = 0; i < n_route_rows; i++) {
        const struct route_row *r = &route_rows[i];
        ck_assert_msg(!(seen[r->route] & r->methods), "row %zu", i);
        seen[r->route] |= r->methods;
    }
    ck_assert_uint_eq(seen[ROUTE_NONE], 0);
    for (int kind = ROUTE_BASE; kind < N_ROUTES; kind++)
        ck_assert_msg(seen[kind], "route %d has no row", kind);
}
END_TEST

static int call(const char *method, const char *path, const char *token, bool *out_admitted)
{
    struct exchange x = send_with(method, path, REGIONAL, token, NULL, NULL, NULL, 0, 0);
    int status = x.resp.status;
    *out_admitted = status != 401 && status != 405;
    exchange_end(&x);
    return status;
}

// Anonymous callers and those who may only pull are let in where the table says so, and nowhere
// else.
START_TEST(the_front_door_does_what_the_table_says)
{
    bool in;
    world_up();
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        for (enum http_method m = HTTP_GET; m < HTTP_OTHER; m++) {
            const char *word = http_method_text(m);
            const struct route_row *row = route_row_find(routes[i].kind, m);
            int status = call(word, routes[i].path, NULL, &in);
            ck_assert_msg(status == (row ? 401 : 405), "%s %s without a token: %d", word,
                          routes[i].path, status);
            if (!row)
                continue;
            bool pulls = row->action == ACTION_PULL || !row->action;
            status = call(word, routes[i].path, token_pull, &in);
            ck_assert_msg(in == pulls, "%s %s by who may pull: %d", word, routes[i].path, status);
            bool catalog = row->action == ACTION_CATALOG || !row->action;
            status = call(word, routes[i].path, token_catalog, &in);
            ck_assert_msg(in == catalog, "%s %s by who may list: %d", word, routes[i].path, status);
            bool pushes = row->action & (ACTION_PULL | ACTION_PUSH) || !row->action;
            status = call(word, routes[i].path, token_push, &in);
            ck_assert_msg(in == pushes, "%s %s by who may push: %d", word, routes[i].path, status);
            bool deletes = row->action & (ACTION_PULL | ACTION_DELETE) || !row->action;
            status = call(word, routes[i].path, token_delete, &in);
            ck_assert_msg(in == deletes, "%s %s by who may delete: %d", word, routes[i].path,
                          status);
        }
    world_down();
}
END_TEST

START_TEST(what_has_no_row_is_405_with_allow)
{
    world_up();
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        for (enum http_method m = HTTP_GET; m < HTTP_OTHER; m++) {
            if (route_row_find(routes[i].kind, m))
                continue;
            struct exchange x = send_plain(http_method_text(m), routes[i].path);
            ck_assert_int_eq(x.resp.status, 405);
            ck_assert_str_eq(header_of(&x, "Allow"), routes[i].allow);
            exchange_end(&x);
        }
    world_down();
}
END_TEST

CHECK_MAIN("registry/routes", every_row_has_an_action_and_a_handler,
           no_method_of_a_route_has_two_rows, the_front_door_does_what_the_table_says,
           what_has_no_row_is_405_with_allow)
