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
    {ROUTE_X_AUDIT, "/registry/v1/audit", "GET, HEAD"},
    {ROUTE_X_LOCK, "/registry/v1/lock?repository=team/app&tag=1", "GET, HEAD, PUT"},
};

#define READING (ACTION_PULL | ACTION_META_READ | ACTION_CATALOG | ACTION_AUDIT)

static bool is_action(unsigned a)
{
    bool of_registry = a & ACTIONS_OF_REGISTRY, of_repository = a & ~ACTIONS_OF_REGISTRY;
    return of_registry != of_repository && a < 2 * ACTION_AUDIT;
}

START_TEST(every_row_has_an_action_and_a_handler)
{
    for (size_t i = 0; i < n_route_rows; i++) {
        const struct route_row *r = &route_rows[i];
        ck_assert_msg(r->methods && !(r->methods & METHOD_BIT(HTTP_OTHER)), "row %zu", i);
        ck_assert_msg(r->begin || r->act, "row %zu has no handler", i);
        ck_assert_msg(!r->begin || !r->act, "row %zu has two handlers", i);
        bool reads = r->class == REQUEST_READ || r->class == REQUEST_LIST;
        // a GET of an upload belongs to the push
        if (r->route != ROUTE_UPLOAD)
            ck_assert_msg(reads == !(r->methods & ~METHODS_READ), "row %zu: its class", i);
        if (r->route == ROUTE_BASE)
            continue;
        ck_assert_msg(is_action(r->action) && r->asks, "row %zu has no action", i);
        // what is no read is never open to whoever may pull
        if (r->methods & ~METHODS_READ)
            ck_assert_msg(!(r->action & READING), "row %zu writes", i);
        if (r->body >= HTTP_PLAN_COLLECT)
            ck_assert_msg(!(r->action & READING), "row %zu takes a body", i);
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
            const struct {
                const char *who, *token;
                unsigned actions;
            } callers[] = {
                {"pull", token_pull, actions_of_old(ACTION_PULL)},
                {"list", token_catalog, ACTION_CATALOG},
                {"push", token_push, actions_of_old(ACTION_PULL | ACTION_PUSH)},
                {"delete", token_delete, actions_of_old(ACTION_PULL | ACTION_DELETE)},
            };
            for (size_t k = 0; k < ARRAY_LEN(callers); k++) {
                bool may = !row->action || (row->action & callers[k].actions);
                status = call(word, routes[i].path, callers[k].token, &in);
                ck_assert_msg(in == may, "%s %s by who may %s: %d", word, routes[i].path,
                              callers[k].who, status);
            }
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

// --- every role against every row ---

// Who is let in, by the letters of `roles`. Written by hand, beside the table of routes: a row there
// that nobody has thought about here fails.
static const struct {
    enum route_kind kind;
    unsigned methods;
    const char *roles;
} matrix[] = {
    {ROUTE_BASE, METHODS_READ, "pwaidl"},
    {ROUTE_CATALOG, METHODS_READ, "i"},
    {ROUTE_TAGS, METHODS_READ, "wid"},
    {ROUTE_MANIFEST, METHODS_READ, "pwi"},
    {ROUTE_MANIFEST, METHOD_BIT(HTTP_PUT), "wa"},
    {ROUTE_MANIFEST, METHOD_BIT(HTTP_DELETE), "d"},
    {ROUTE_BLOB, METHODS_READ, "pwi"},
    {ROUTE_UPLOADS, METHOD_BIT(HTTP_POST), "wa"},
    {ROUTE_UPLOAD, METHODS_READ, "wa"},
    {ROUTE_UPLOAD, METHOD_BIT(HTTP_PATCH), "wa"},
    {ROUTE_UPLOAD, METHOD_BIT(HTTP_PUT), "wa"},
    {ROUTE_UPLOAD, METHOD_BIT(HTTP_DELETE), "wa"},
    {ROUTE_REFERRERS, METHODS_READ, "pwid"},
    {ROUTE_X_REPOSITORIES, METHODS_READ, "i"},
    {ROUTE_X_USAGE, METHODS_READ, "i"},
    {ROUTE_X_REPOSITORY, METHODS_READ, "wid"},
    {ROUTE_X_REPOSITORY, METHOD_BIT(HTTP_DELETE), "d"},
    {ROUTE_X_TAGS, METHODS_READ, "wid"},
    {ROUTE_X_MANIFESTS, METHODS_READ, "wid"},
    {ROUTE_X_HISTORY, METHODS_READ, "wid"},
    {ROUTE_X_RESTORE, METHOD_BIT(HTTP_POST), "w"},
    {ROUTE_X_LOCK, METHODS_READ, "wid"},
    {ROUTE_X_LOCK, METHOD_BIT(HTTP_PUT), ""},
    {ROUTE_X_RETENTION, METHODS_READ, "wid"},
    {ROUTE_X_AUDIT, METHODS_READ, "l"},
};

static const struct {
    char letter;
    const char *name;
} roles[] = {
    {'p', "_pull"},        {'w', "_push"},   {'a', "_upload_only"},
    {'i', "_investigate"}, {'d', "_delete"}, {'l', "_audit"},
};

// As the token service would make it for a named token with this scope map in team/app. Caller
// frees.
static char *role_token(const char *role)
{
    struct access_grant grants[2];
    size_t n = 0;
    unsigned actions = scope_map_role(role);
    ck_assert_uint_ne(actions, 0);
    if (actions & ~ACTIONS_OF_REGISTRY)
        grants[n++] = (struct access_grant){"team/app", actions & ~ACTIONS_OF_REGISTRY};
    if (actions & ACTIONS_OF_REGISTRY)
        grants[n++] = (struct access_grant){"*", actions & ACTIONS_OF_REGISTRY};
    struct arena a;
    arena_init(&a, 0);
    char *token = mem_strdup(fixture_access(0, "contoso.meridian.test", 0, grants, n, NOW_MS, &a));
    arena_done(&a);
    return token;
}

static const char *path_of(enum route_kind kind)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        if (routes[i].kind == kind)
            return routes[i].path;
    ck_abort_msg("route %d has no path here", kind);
}

static const char *allowed_of(enum route_kind kind, enum http_method m)
{
    for (size_t i = 0; i < ARRAY_LEN(matrix); i++)
        if (matrix[i].kind == kind && (matrix[i].methods & METHOD_BIT(m)))
            return matrix[i].roles;
    ck_abort_msg("%s of %s: nobody has said which roles may do it; say it in the matrix",
                 http_method_text(m), path_of(kind));
}

static int status_at(enum http_method m, const char *path, const char *host, const char *token)
{
    return status_of(send_with(http_method_text(m), path, host, token, NULL, NULL, NULL, 0, 0));
}

// Who may only add is told so where he reads, and that nothing is there where he looks.
static int refusal_of(const char *role, enum route_kind kind, enum http_method m)
{
    bool content = kind == ROUTE_MANIFEST || kind == ROUTE_BLOB;
    if (strcmp(role, "_upload_only") != 0 || !content)
        return 401;
    if (m == HTTP_GET)
        return 403;
    if (m == HTTP_HEAD)
        return 404;
    return 401;
}

static void role_judge(const struct route_row *row, enum http_method m)
{
    const char *path = path_of(row->route);
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        AUTO_FREE char *token = role_token(roles[i].name);
        int status = status_at(m, path, REGIONAL, token);
        if (strchr(allowed_of(row->route, m), roles[i].letter))
            ck_assert_msg(status != 401 && status != 403 && status != 405, "%s %s by %s: %d",
                          http_method_text(m), path, roles[i].name, status);
        else
            ck_assert_msg(status == refusal_of(roles[i].name, row->route, m), "%s %s by %s: %d",
                          http_method_text(m), path, roles[i].name, status);
    }
}

START_TEST(every_role_may_do_what_it_is_for_and_nothing_else)
{
    world_up();
    for (size_t i = 0; i < n_route_rows; i++)
        for (enum http_method m = HTTP_GET; m < HTTP_OTHER; m++)
            if (route_rows[i].methods & METHOD_BIT(m))
                role_judge(&route_rows[i], m);
    world_down();
}
END_TEST

// What is for one registry, or for one repository of it, is for no other, whatever its name.
START_TEST(a_role_ends_at_its_registry_and_repository)
{
    world_up();
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        AUTO_FREE char *token = role_token(roles[i].name);
        for (size_t k = 0; k < n_route_rows; k++)
            for (enum http_method m = HTTP_GET; m < HTTP_OTHER; m++) {
                const struct route_row *row = &route_rows[k];
                if (!(row->methods & METHOD_BIT(m)))
                    continue;
                int status = status_at(m, path_of(row->route), "fabrikam.meridian.test", token);
                ck_assert_msg(status == 401, "%s %s of another registry by %s: %d",
                              http_method_text(m), path_of(row->route), roles[i].name, status);
            }
        ck_assert_int_eq(status_at(HTTP_HEAD, "/v2/team/app2/manifests/1", REGIONAL, token), 401);
        ck_assert_int_eq(status_at(HTTP_POST, "/v2/team/blobs/uploads/", REGIONAL, token), 401);
        ck_assert_int_eq(status_at(HTTP_GET, "/v2/team/app/app/tags/list", REGIONAL, token), 401);
    }
    world_down();
}
END_TEST

CHECK_MAIN("registry/routes", every_row_has_an_action_and_a_handler,
           no_method_of_a_route_has_two_rows, the_front_door_does_what_the_table_says,
           what_has_no_row_is_405_with_allow, every_role_may_do_what_it_is_for_and_nothing_else,
           a_role_ends_at_its_registry_and_repository)
