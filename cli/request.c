// SPDX-License-Identifier: Apache-2.0
// Requests for changes; see request.h.
#include "cli/request.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "certs/signing_key.h"
#include "cli/apply.h"
#include "cli/operation.h"
#include "cli/show.h"
#include "cli/what_if_print.h"
#include "config/options.h"
#include "control/request.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SEND_TIMEOUT_MS 60000

// The fleet that the request is for: --fleet, or what the node at the admin socket says, or the
// topology file. An exit status, said.
static int fleet_name(struct cli *c, const char **out)
{
    *out = c->fleet;
    if (*out)
        return EXIT_DONE;
    if (!c->server) {
        json_t *doc = NULL;
        int rc = cli_admin(c, "GET", "/v1/status", &doc);
        if (!rc)
            *out = arena_strdup(&c->arena, json_text(doc, "domain"));
        json_decref(doc);
        return rc;
    }
    if (access(c->topology, R_OK) == 0 && !cli_topology(c)) {
        *out = c->topo->domain;
        return EXIT_DONE;
    }
    return cli_fail(EXIT_USAGE, "%s: for which fleet is it signed? Give --fleet DOMAIN", c->path);
}

static int say_diag(struct diag *d, int status)
{
    diag_print(d, stderr);
    diag_done(d);
    return status;
}

static int sign(struct cli *c, struct bytes text, struct buf *out)
{
    struct signing_key *key;
    struct diag d;
    diag_init(&d);
    int rc = signing_key_open(c->key, &d, &key);
    if (rc)
        return say_diag(&d, cli_fail(EXIT_FAILED, "%s: the operator's key %s cannot be used: %s",
                                     c->path, c->key, err_text(rc)));
    diag_done(&d);
    rc = control_request_sign(key, c->operator_name, text, out);
    signing_key_free(key);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: the request cannot be signed: %s", c->path, err_text(rc));
    return EXIT_DONE;
}

// What is sent: an envelope, or the bare text for the writer's own admin socket.
static int compose(struct cli *c, const struct request *q, const json_t *arguments, struct buf *out)
{
    struct control_request r = {.verb = q->verb,
                                .object = q->object,
                                .arguments = (json_t *)arguments,
                                .if_version = (uint64_t)c->if_version,
                                .what_if = c->what_if,
                                .quorum = c->quorum,
                                .expires_ms = clock_wall_ms() + CONTROL_REQUEST_LIFE_MS};
    if (!c->key != !c->operator_name)
        return cli_fail(EXIT_USAGE, "%s: --operator and --key go together", c->path);
    if (c->server && !c->key)
        return cli_fail(EXIT_USAGE,
                        "%s: from afar a change is signed: give --operator NAME and --key FILE",
                        c->path);
    if (c->operator_name && !control_operator_name_ok(c->operator_name))
        return cli_fail(EXIT_USAGE, "%s: --operator %.64s: no operator can have that name", c->path,
                        c->operator_name);
    r.operator= c->operator_name;
    AUTO_BUF struct buf text;
    buf_init(&text, CONTROL_REQUEST_MAX_BYTES);
    int rc = fleet_name(c, &r.fleet);
    if (rc)
        return rc;
    rc = control_request_nonce(r.nonce);
    if (!rc)
        rc = control_request_format(&r, c->key ? &text : out);
    if (rc == ERR_INVAL)
        return cli_fail(EXIT_USAGE,
                        "%s: \"%.80s\" cannot be a name: at most 512 characters of ASCII, and no "
                        "blanks",
                        c->path, q->object);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: the request cannot be made: %s", c->path, err_text(rc));
    if (!c->key)
        return EXIT_DONE;
    return sign(c, bytes_of(text.p, text.n), out);
}

// The same request may be sent again: the node knows it by its nonce.
static int post(struct cli *c, struct bytes body, json_t **out)
{
    struct fetch_result r;
    int rc = cli_node_fetch(c, "POST", "/v1/requests", body, SEND_TIMEOUT_MS, &r);
    if (rc)
        return rc;
    json_t *doc = json_said(&r.body, 0);
    if (r.status / 100 != 2) {
        rc = cli_node_refused(c, &r);
        if (c->what_if && rc != EXIT_DENIED && rc != EXIT_UNREACHABLE)
            rc = EXIT_FAILED; // one status for "it would be refused"
    } else if (!json_is_object(doc)) {
        rc = cli_fail(EXIT_FAILED, "%s: the answer of %s is no JSON", c->path, cli_node_name(c));
    }
    fetch_result_done(&r);
    if (rc) {
        json_decref(doc);
        return rc;
    }
    *out = doc;
    return EXIT_DONE;
}

// Puts the operation as it ended into the answer.
static int wait_end(struct cli *c, const struct request *q, json_t *answer)
{
    json_t *operation = json_object_get(answer, "operation"), *ended = NULL;
    const char *id = json_string_value(json_object_get(operation, "id"));
    if (!id)
        return EXIT_DONE;
    uint64_t ms = 0;
    duration_parse(c->change_timeout, &ms); // looked at before it was sent
    int rc = cli_operation_wait(c, id, q->end, (int64_t)ms, &ended);
    if (ended)
        json_object_set_new(answer, "operation", ended);
    return rc;
}

int cli_request_answer(struct cli *c, const struct request *q, json_t **out)
{
    AUTO_BUF struct buf body;
    buf_init(&body, CONTROL_ENVELOPE_MAX_BYTES);
    json_t *arguments = q->arguments, *answer = NULL;
    if (!arguments)
        arguments = json_object();
    int rc = EXIT_DONE;
    uint64_t ms;
    if (duration_parse(c->change_timeout, &ms))
        rc = cli_fail(EXIT_USAGE, "%s: --timeout %s: give it as in 90s or 10m", c->path,
                      c->change_timeout);
    if (!rc)
        rc = compose(c, q, arguments, &body);
    if (!rc)
        rc = post(c, bytes_of(body.p, body.n), &answer);
    json_decref(arguments);
    if (rc)
        return rc;
    if (c->what_if)
        rc = what_if_exit(json_object_get(answer, "whatIf"));
    else if (q->says_notes)
        change_show_notes(stderr, json_object_get(answer, "notes"));
    if (!c->what_if && !c->no_wait)
        rc = wait_end(c, q, answer);
    *out = answer;
    return rc;
}

int cli_request(struct cli *c, const struct request *q)
{
    json_t *answer = NULL;
    int rc = cli_request_answer(c, q, &answer);
    if (!answer)
        return rc;
    json_t *operation = json_object_get(answer, "operation"),
           *what_if = json_object_get(answer, "whatIf");
    int shown = EXIT_DONE;
    if (what_if && c->what_if)
        shown = what_if_show(c, what_if);
    else if (!operation)
        shown = cli_done(c, json_incref(answer), "nothing to do: it is so already");
    else if (rc || c->no_wait || !q->show)
        shown = cli_operation_print(c, json_incref(operation));
    else
        shown = q->show(c, answer, q->ctx);
    json_decref(answer);
    if (rc)
        return rc;
    return shown;
}

int cli_request_if(struct cli *c, int rc, const struct request *q)
{
    if (!rc)
        return cli_request(c, q);
    json_decref(q->arguments);
    return rc;
}

int cli_request_word(struct cli *c, const char *verb, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    return cli_request(c, &(struct request){.verb = verb, .object = argv[1]});
}
