// SPDX-License-Identifier: Apache-2.0
// Calls of a node: at its admin socket, or with --server at its admin listener; see cli.h.
#include "cli/cli.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/plain.h"
#include "cli/server.h"
#include "cli/show.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX_BYTES (512u << 20) // a topology of half a million registries

const char *cli_node_name(const struct cli *c)
{
    if (c->server)
        return c->server;
    return c->admin;
}

int cli_want_fetcher(struct cli *c)
{
    if (c->fetcher || fetcher_new(&c->fetcher) == 0)
        return 0;
    return cli_fail(EXIT_FAILED, "cannot start the HTTP client");
}

// Of a socket the HTTP client says nothing that helps.
static const char *unreachable(struct cli *c, const char *message)
{
    if (c->server)
        return arena_printf(&c->arena, "%s: %s (name a node's admin listener with --server)",
                            c->server, message);
    if (access(c->admin, R_OK | W_OK))
        return arena_printf(&c->arena, "%s: %s (is the node running? name its socket with --admin)",
                            c->admin, strerror(errno));
    return arena_printf(
        &c->arena, "%s: no answer (is the node running? name its socket with --admin)", c->admin);
}

static int call_socket(struct cli *c, struct fetch_request *q, const char *path_and_query,
                       struct fetch_result *out)
{
    q->url = arena_printf(&c->arena, "http://admin%s", path_and_query);
    q->unix_socket = c->admin;
    return fetch_run(c->fetcher, q, out);
}

// With a bearer, where there is somebody to be. One that ended while a command waits is renewed.
static int call_server(struct cli *c, struct fetch_request *q, const char *path_and_query,
                       struct fetch_result *out, int *out_failed)
{
    struct cli_server *s;
    int rc = cli_server_find(c, &s);
    for (int tries = 0; !rc && tries < 2; tries++) {
        if (!s->bearer)
            rc = cli_server_login(c, s);
        if (rc)
            return rc;
        q->url = arena_printf(&c->arena, "%s%s", s->url, path_and_query);
        q->ca_file = c->ca;
        q->connect_to = s->to.port ? &s->to : NULL;
        q->headers = &s->bearer;
        q->n_headers = s->bearer ? 1 : 0;
        *out_failed = fetch_run(c->fetcher, q, out);
        if (*out_failed || out->status != 401 || !s->bearer || tries)
            return EXIT_DONE;
        fetch_result_done(out);
        s->bearer = NULL;
    }
    return rc;
}

int cli_node_fetch(struct cli *c, const char *method, const char *path_and_query, struct bytes body,
                   uint32_t timeout_ms, struct fetch_result *out)
{
    *out = (struct fetch_result){0};
    int rc = cli_want_fetcher(c), failed = 0;
    struct fetch_request q = {
        .method = method, .body = body, .timeout_ms = timeout_ms, .max_bytes = ANSWER_MAX_BYTES};
    if (c->answer_max_bytes)
        q.max_bytes = c->answer_max_bytes;
    if (!rc && c->server)
        rc = call_server(c, &q, path_and_query, out, &failed);
    else if (!rc)
        failed = call_socket(c, &q, path_and_query, out);
    if (rc || !failed)
        return rc;
    c->why = unreachable(c, out->message);
    if (failed == ERR_TOOBIG)
        c->why = arena_printf(&c->arena, "%s: %s", cli_node_name(c), out->message);
    if (!c->quiet)
        cli_complain("%s", c->why);
    fetch_result_done(out);
    return EXIT_UNREACHABLE;
}

// The sentence of an answer that is an error: {"error":{"code","message"}}, {"errors":[{"message"}]},
// or plain text. *out_code: "" without.
static const char *sentence(struct cli *c, const struct fetch_result *r, const char **out_code)
{
    json_t *doc = json_said(&r->body, 0);
    const json_t *error = json_object_get(doc, "error");
    if (!json_is_object(error))
        error = json_array_get(json_object_get(doc, "errors"), 0);
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    *out_code = arena_strdup(&c->arena, code ? code : "");
    const char *text = buf_cstr(&r->body);
    if (message)
        text = message;
    char *out = arena_printf(&c->arena, "%.2000s", text);
    json_decref(doc);
    if (!out)
        return "";
    out[strcspn(out, "\r\n")] = 0;
    text_plain(out, strlen(out));
    return out;
}

static const struct {
    const char *code;
    int status;
} codes[] = {{"NotTheWriter", EXIT_UNREACHABLE},
             {"NoMajority", EXIT_UNREACHABLE},
             {"OperationInProgress", EXIT_CONFLICT},
             {"VersionMismatch", EXIT_CONFLICT},
             {"NameReserved", EXIT_CONFLICT},
             {"AlreadyExists", EXIT_CONFLICT},
             {"NotFound", EXIT_UNKNOWN}};

int cli_node_refused(struct cli *c, const struct fetch_result *r)
{
    const char *code, *text = sentence(c, r, &code);
    int status = EXIT_FAILED;
    if (r->status == 401 || r->status == 403)
        status = EXIT_DENIED;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (!strcmp(code, codes[i].code))
            status = codes[i].status;
    if (!*text)
        text = "it gives no reason";
    if (*code)
        return cli_fail(status, "%s: %s (%s)", c->path, text, code);
    return cli_fail(status, "%s: %s (HTTP %d from %s)", c->path, text, r->status, cli_node_name(c));
}

int cli_admin(struct cli *c, const char *method, const char *path_and_query, json_t **out_doc)
{
    struct fetch_result r;
    int rc = cli_node_fetch(c, method, path_and_query, (struct bytes){0}, 60000, &r);
    if (rc)
        return rc;
    json_t *doc = json_said(&r.body, JSON_DECODE_ANY);
    if (r.status / 100 != 2)
        rc = cli_node_refused(c, &r);
    else if (!doc)
        rc = cli_fail(EXIT_FAILED, "%s: the answer of %s is no JSON", c->path, cli_node_name(c));
    fetch_result_done(&r);
    if (rc) {
        json_decref(doc);
        return rc;
    }
    *out_doc = doc;
    return EXIT_DONE;
}
