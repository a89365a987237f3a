// SPDX-License-Identifier: Apache-2.0
// `meridian login`: gets a refresh token and writes it where docker, podman, skopeo, oras and helm
// look: the `auths` of config.json, one entry per endpoint, with its port unless that is 443, for
// so clients key credentials. The user name there is the zero GUID, which says that the password is
// a refresh token. With --expose-token nothing is written and {loginServer, accessToken} is
// printed.
#include "cli/cli.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/endpoints.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>

#define ZERO_GUID "00000000-0000-0000-0000-000000000000"

static const char *auth_file(struct cli *c, const char *given)
{
    const char *v = given;
    if (!v)
        v = getenv("REGISTRY_AUTH_FILE");
    if (v && *v)
        return v;
    v = getenv("DOCKER_CONFIG");
    if (v && *v)
        return arena_printf(&c->arena, "%s/config.json", v);
    v = getenv("HOME");
    if (v && *v)
        return arena_printf(&c->arena, "%s/.docker/config.json", v);
    return NULL;
}

// A refresh token from one endpoint. Heap; NULL after saying why.
static char *refresh_token(struct cli *c, const struct registry *r, const char *host,
                           const struct region *region, const char *password, int *out_status)
{
    return cli_ask_token(c, r, host, region, password, "client_id=meridian&offline_token=true",
                         "refresh_token", out_status);
}

static int store_token(struct cli *c, const char *path, const char *host, const char *token)
{
    AUTO_BUF struct buf now = {0};
    int rc = file_read(path, 4 << 20, &now);
    if (rc && rc != ERR_NOTFOUND)
        return cli_fail(EXIT_FAILED, "%s: %s", path, err_text(rc));
    json_t *doc;
    if (now.n)
        doc = json_loadb(now.p, now.n, 0, NULL);
    else
        doc = json_object();
    if (!json_is_object(doc)) {
        json_decref(doc);
        return cli_fail(EXIT_FAILED, "%s is not a JSON object; name another file with --auth-file",
                        path);
    }
    json_t *auths = json_object_get(doc, "auths");
    if (!auths) {
        auths = json_object();
        json_object_set_new(doc, "auths", auths);
    }
    AUTO_FREE char *pair = mem_printf(ZERO_GUID ":%s", token);
    AUTO_FREE char *basic = NULL;
    if (pair)
        basic = mem_alloc(b64_size(strlen(pair)));
    if (basic) {
        b64_format(pair, strlen(pair), basic);
        json_object_set_new(auths, host, json_pack("{s:s}", "auth", basic));
    }
    char *text = NULL;
    if (basic)
        text = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    const char *dir = dirname(arena_strdup(&c->arena, path));
    if (!text)
        rc = ERR_NOMEM;
    else
        rc = dir_make(dir, 0700);
    if (!rc)
        rc = file_write_atomic(path, text, strlen(text), 0600);
    free(text);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s", path, err_text(rc));
    return EXIT_DONE;
}

struct target {
    // as clients name it: with the port unless that is 443
    const char *host, *shown;
    const struct region *region;
};

static size_t targets_of(struct cli *c, const struct registry *r, const char *endpoint, bool all,
                         struct target *out)
{
    size_t n = 0;
    char host[HOSTNAME_TEXT_SIZE];
    if (!endpoint) {
        hostname_format(NAME_GLOBAL, c->topo->domain, r->label, NULL, NULL, host);
        out[n++] = (struct target){arena_strdup(&c->arena, host), cli_public_host(c, host), NULL};
    }
    for (size_t i = 0; i < r->n_replicas && r->regional_endpoints; i++) {
        const struct region *region = &c->topo->regions[r->replicas[i].region];
        if (!all && (!endpoint || strcmp(endpoint, region->name) != 0))
            continue;
        if (!registry_name_is_public(r, NAME_REGIONAL, region->index))
            continue;
        hostname_format(NAME_REGIONAL, c->topo->domain, r->label, region->name, NULL, host);
        out[n++] = (struct target){arena_strdup(&c->arena, host), cli_public_host(c, host), region};
    }
    return n;
}

// The global name leads to any region that answers: tries the replicas in their order.
static char *token_for(struct cli *c, const struct registry *r, const struct target *t,
                       const char *password, int *out_status)
{
    if (t->region)
        return refresh_token(c, r, t->host, t->region, password, out_status);
    char *token = NULL;
    *out_status = EXIT_UNREACHABLE;
    for (size_t i = 0; i < r->n_replicas && !token && *out_status == EXIT_UNREACHABLE; i++)
        token = refresh_token(c, r, t->host, &c->topo->regions[r->replicas[i].region], password,
                              out_status);
    return token;
}

static int login_all(struct cli *c, const struct registry *r, const struct target *targets,
                     size_t n, const char *password, const char *file, bool expose)
{
    int worst = EXIT_DONE;
    json_t *exposed = json_array();
    for (size_t i = 0; i < n; i++) {
        int status = EXIT_DONE;
        char *token = token_for(c, r, &targets[i], password, &status);
        if (token && expose) {
            status = EXIT_DONE;
            json_array_append_new(exposed, json_pack("{s:s, s:s}", "loginServer", targets[i].shown,
                                                     "accessToken", token));
        } else if (token) {
            status = store_token(c, file, targets[i].shown, token);
            if (!status)
                cli_tell(c,
                         json_pack("{s:s, s:s}", "loginServer", targets[i].shown, "username",
                                   c->username),
                         "%s: logged in as %s", targets[i].shown, c->username);
        }
        if (token)
            explicit_bzero(token, strlen(token));
        free(token);
        if (status > worst)
            worst = status;
    }
    if (expose && json_array_size(exposed) == 1)
        cli_print_json(c, json_incref(json_array_get(exposed, 0)));
    else if (expose && json_array_size(exposed))
        cli_print_json(c, json_incref(exposed));
    json_decref(exposed);
    return worst;
}

int cmd_login(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *endpoint = NULL, *given = NULL;
    bool all = false, expose = false;
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "the registry", &name, NULL},
        {0, "endpoint", "REGION", "the regional endpoint there", &endpoint, NULL},
        {0, "all", NULL, "the global and every regional endpoint", NULL, &all},
        {0, "expose-token", NULL, "print the refresh token, write nothing", NULL, &expose},
        {0, "auth-file", "FILE", "where to write (REGISTRY_AUTH_FILE, DOCKER_CONFIG)", &given,
         NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (all && endpoint)
        return cli_fail(EXIT_USAGE, "login: --endpoint and --all exclude each other");
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    if (!c->username)
        return cli_fail(EXIT_USAGE, "login: give --username");
    if (endpoint && !r->regional_endpoints)
        return cli_fail(EXIT_FAILED, "regional endpoints of %s are disabled", r->name);
    struct target *targets = arena_array(&c->arena, r->n_replicas + 1, sizeof *targets);
    size_t n = targets_of(c, r, endpoint, all, targets);
    if (!n)
        return cli_fail(EXIT_FAILED, "%s has no replica in region %s that DNS leads to", r->name,
                        endpoint);
    const char *file = auth_file(c, given);
    if (!file && !expose)
        return cli_fail(
            EXIT_FAILED,
            "no place to write to: set HOME or REGISTRY_AUTH_FILE, or give --auth-file");
    char *password = cli_password(c);
    if (!password)
        return EXIT_FAILED;
    rc = login_all(c, r, targets, n, password, file, expose);
    explicit_bzero(password, strlen(password));
    free(password);
    return rc;
}
