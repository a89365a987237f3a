// SPDX-License-Identifier: Apache-2.0
// Requests about what a registry holds; see registry_api.h.
#include "cli/registry_api.h"

#include "base/mem.h"
#include "cli/show.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

#define CALL_MS 60000
#define DETAILS_MAX 100

// ---- one region ----

const char *api_scope(struct cli *c, const struct target *at, const char *actions)
{
    return arena_printf(&c->arena, "repository:%s:%s", at->repository, actions);
}

static const char *host_at(struct cli *c, const struct registry *r, const struct region *region)
{
    char host[HOSTNAME_TEXT_SIZE];
    hostname_format(registry_name_there(r, region->index), c->topo->domain, r->label, region->name,
                    NULL, host);
    return arena_strdup(&c->arena, host);
}

// A token for the scope, in place of the one before.
static int token_take(struct registry_api *api)
{
    struct cli *c = api->c;
    int status = EXIT_FAILED;
    const char *query = arena_printf(&c->arena, "scope=%s", cli_urlencode(c, api->scope));
    c->why = NULL;
    c->quiet = true;
    AUTO_FREE char *token = cli_ask_token(c, api->registry, api->host, api->region, api->password,
                                          query, "access_token", &status);
    c->quiet = false;
    if (!token)
        return status;
    free(api->bearer);
    api->bearer = mem_printf("Authorization: Bearer %s", token);
    if (api->bearer)
        return EXIT_DONE;
    return EXIT_FAILED;
}

static int region_try(struct registry_api *api, const struct region *region)
{
    api->region = region;
    api->host = host_at(api->c, api->registry, region);
    int rc = token_take(api);
    if (rc)
        cli_complain("%s: %s", region->name, api->c->why ? api->c->why : "no token");
    return rc;
}

static int region_named(struct registry_api *api, const char *name)
{
    const struct region *region = cli_region(api->c, name);
    if (!region)
        return EXIT_FAILED;
    if (!registry_replica(api->registry, region->index))
        return cli_fail(EXIT_FAILED, "%s has no replica in %s", api->registry->name, name);
    return region_try(api, region);
}

static int region_any(struct registry_api *api)
{
    int rc = EXIT_UNREACHABLE;
    for (size_t i = 0; rc == EXIT_UNREACHABLE && i < api->registry->n_replicas; i++)
        rc = region_try(api, &api->c->topo->regions[api->registry->replicas[i].region]);
    return rc;
}

int api_open(struct cli *c, const struct registry *r, const char *region, const char *scope,
             struct registry_api *out)
{
    struct registry_api api = {.c = c, .registry = r, .scope = scope};
    int rc;
    *out = (struct registry_api){0};
    if (c->username && !(api.password = cli_password(c)))
        return EXIT_FAILED;
    if (region)
        rc = region_named(&api, region);
    else
        rc = region_any(&api);
    if (rc)
        api_close(&api);
    else
        *out = api;
    return rc;
}

static void secret_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void api_close(struct registry_api *api)
{
    secret_free(api->password);
    secret_free(api->bearer);
    api->password = api->bearer = NULL;
}

// ---- refusals ----

// What is in the way, one a line: the parents of a manifest, say.
static void details_tell(const struct fetch_result *res)
{
    json_t *doc = json_said(&res->body, 0);
    const json_t *list =
        json_object_get(json_array_get(json_object_get(doc, "errors"), 0), "detail");
    for (size_t i = 0; i < json_array_size(list) && i < DETAILS_MAX; i++) {
        const json_t *one = json_array_get(list, i);
        const char *text = json_string_value(one);
        if (!text)
            text = json_string_value(json_object_get(one, "digest"));
        if (text)
            fprintf(stderr, "  %s\n", text);
    }
    json_decref(doc);
}

static int refused(struct registry_api *api, const struct api_request *q,
                   const struct fetch_result *res)
{
    struct cli *c = api->c;
    const char *hint = "";
    int status = EXIT_FAILED;
    if (res->status == 401 || res->status == 403)
        status = EXIT_DENIED;
    else if (res->status == 404)
        status = EXIT_UNKNOWN;
    if (res->status == 401 && c->username)
        hint = ": the user may not do this";
    else if (res->status == 401)
        hint = ": this takes a user who may: give --username";
    cli_complain("%s: %s: %s%s", api->region->name, q->about, cli_refusal(c, res), hint);
    if (res->status == 409)
        details_tell(res);
    return status;
}

// ---- calls ----

static int send_once(struct registry_api *api, const struct api_request *q,
                     struct fetch_result *out)
{
    const char *headers[3] = {api->bearer};
    size_t n = 1;
    if (q->header)
        headers[n++] = q->header;
    if (q->body)
        headers[n++] = "Content-Type: application/json";
    struct bytes body = {0};
    if (q->body)
        body = bytes_str(q->body);
    return cli_endpoint_fetch(api->c, api->host, api->region, q->method ? q->method : "GET",
                              q->path, headers, n, body, NULL, NULL, CALL_MS, out);
}

int api_call(struct registry_api *api, const struct api_request *q, json_t **out_doc)
{
    struct fetch_result res;
    int rc = send_once(api, q, &res);
    if (!rc && res.status == 401 && !token_take(api)) { // it may have come to its end meanwhile
        fetch_result_done(&res);
        rc = send_once(api, q, &res);
    }
    int status = EXIT_DONE;
    if (rc)
        status = cli_fail(EXIT_UNREACHABLE, "%s: %s: %s", api->region->name, q->about, res.message);
    else if (res.status / 100 != 2)
        status = refused(api, q, &res);
    if (!status && out_doc)
        *out_doc = json_said(&res.body, 0);
    fetch_result_done(&res);
    return status;
}

static int page_take(struct registry_api *api, const struct api_request *q, const char *member,
                     json_t *all, char **next)
{
    json_t *doc = NULL;
    int rc = api_call(api, q, &doc);
    if (rc)
        return rc;
    json_t *rows = json_object_get(doc, member);
    const char *more = json_string_value(json_object_get(doc, "next"));
    bool good = json_is_array(rows) && !json_array_extend(all, rows);
    *next = NULL;
    if (good && more && json_array_size(rows))
        *next = arena_strdup(&api->c->arena, more);
    json_decref(doc);
    if (good)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "%s: %s: the answer has no %s", api->region->name, q->about,
                    member);
}

int api_pages(struct registry_api *api, const char *path, const char *about, const char *member,
              json_t **out_rows)
{
    struct cli *c = api->c;
    json_t *all = json_array();
    char *next = NULL, between = strchr(path, '?') ? '&' : '?';
    int rc = EXIT_DONE;
    do {
        const char *last = "";
        if (next)
            last = arena_printf(&c->arena, "&last=%s", cli_urlencode(c, next));
        const char *one = arena_printf(&c->arena, "%s%cn=1000%s", path, between, last);
        rc = page_take(api, &(struct api_request){.path = one, .about = about}, member, all, &next);
        if (!rc && next)
            progress_show("%s: %zu %s", about, json_array_size(all), member);
    } while (!rc && next);
    progress_end();
    if (rc)
        json_decref(all);
    else
        *out_rows = all;
    return rc;
}

json_t *api_document(const struct registry_api *api, const char *repository, const char *member,
                     json_t *rows)
{
    return json_pack("{s:s, s:s, s:s*, s:o}", "registry", api->registry->name, "region",
                     api->region->name, "repository", repository, member, rows);
}
