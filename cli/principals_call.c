// SPDX-License-Identifier: Apache-2.0
// Reading and changing the principals, in a file or at the writer; see principals_call.h.
#include "cli/principals_call.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/request.h"
#include "config/principals.h"
#include "control/principals_change.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *principals_default_path(struct cli *c)
{
    const char *slash = strrchr(c->topology, '/');
    if (slash)
        return arena_printf(&c->arena, "%.*s/principals.yaml", (int)(slash - c->topology),
                            c->topology);
    return "principals.yaml";
}

int principals_are_fleets(struct cli *c, const char *path, bool *out)
{
    *out = false;
    if (path)
        return 0;
    *out = c->server || c->key;
    if (*out || access(c->admin, R_OK | W_OK))
        return 0;
    json_t *doc = NULL;
    bool quiet = c->quiet;
    c->quiet = true; // a node that is not running leaves the file
    int rc = cli_admin(c, "GET", "/v1/status", &doc);
    c->quiet = quiet;
    const char *source = json_string_value(json_object_get(doc, "source"));
    *out = !rc && source && !strcmp(source, "feed");
    json_decref(doc);
    return 0;
}

bool principals_registry_known(struct cli *c, const char *name)
{
    return access(c->topology, R_OK) != 0 || cli_registry(c, name);
}

void principals_argument(json_t *arguments, const char *name, const char *value)
{
    if (value)
        json_object_set_new(arguments, name, json_string(value));
}

const char *principals_joined(struct cli *c, const json_t *list)
{
    const char *text = "", *between = "";
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        text = arena_printf(&c->arena, "%s%s%s", text, between, json_string_value(one));
        between = ",";
    }
    return text;
}

// --- the file ---

// *out NULL: there is none yet.
static int file_load(const char *path, bool may_be_new, struct principals **out)
{
    struct diag d;
    int rc = 0;
    *out = NULL;
    diag_init(&d);
    if (!may_be_new || !access(path, F_OK))
        rc = principals_load(path, &d, out);
    if (rc) {
        diag_print(&d, stderr);
        cli_complain("%s: %s (name the file with --principals)", path, err_text(rc));
    }
    diag_done(&d);
    if (rc)
        return EXIT_FAILED;
    return EXIT_DONE;
}

static int refuse(struct cli *c, const char *path, const struct diag *d, int rc)
{
    if (rc == ERR_EXISTS) {
        const char *why = d->n ? d->lines[0] : "it is so already";
        return cli_done(c, json_pack("{s:s, s:s}", "file", path, "nothingToDo", why),
                        "%s: nothing to do: %s", path, why);
    }
    for (size_t i = 0; i < d->n; i++)
        cli_complain("%s: %s", path, d->lines[i]);
    if (!d->n)
        cli_complain("%s: %s", path, err_text(rc));
    if (rc == ERR_INVAL)
        return cli_fail(EXIT_USAGE, "%s stays as it was", path);
    return EXIT_FAILED;
}

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

static int file_done(struct cli *c, const struct principals_call *q, const char *path,
                     const char *what, uint64_t version)
{
    if (c->what_if) {
        json_t *doc = json_pack("{s:s, s:s, s:I}", "file", path, "what", what, "version",
                                (json_int_t)version);
        cli_done(c, doc, "%s: %s (it would be version %llu)", path, what,
                 (unsigned long long)version);
        return EXIT_CHANGES;
    }
    if (q->show) {
        fprintf(stderr, "%s: %s (version %llu)\n", path, what, (unsigned long long)version);
        return q->show(c, q->ctx);
    }
    return cli_done(
        c, json_pack("{s:s, s:s, s:I}", "file", path, "what", what, "version", (json_int_t)version),
        "%s: %s (version %llu)", path, what, (unsigned long long)version);
}

static int file_change(struct cli *c, const struct principals_call *q, const char *path,
                       const struct principals *now, struct diag *d)
{
    struct buf old, text;
    char *what;
    const struct principals_ask ask = {.noun = q->noun,
                                       .word = q->word,
                                       .object = q->object,
                                       .arguments = q->arguments,
                                       .now_ms = clock_wall_ms()};
    uint64_t version = 0;
    buf_init(&old, 0);
    int rc = 0;
    if (now) {
        version = now->version;
        rc = principals_format(now, &old);
    }
    if (!rc)
        rc = principals_change(bytes_of(old.p, old.n), &ask, d, &text, &what);
    wipe(&old);
    if (rc)
        return refuse(c, path, d, rc);
    if (!c->what_if)
        rc = file_write_atomic(path, text.p, text.n, 0600);
    wipe(&text);
    if (rc)
        rc = cli_fail(EXIT_FAILED, "%s: cannot be written: %s", path, err_text(rc));
    else
        rc = file_done(c, q, path, what, version + 1);
    free(what);
    return rc;
}

static int file_call(struct cli *c, const struct principals_call *q)
{
    const char *path = q->path ? q->path : principals_default_path(c),
               *registry = json_string_value(json_object_get(q->arguments, "registry"));
    struct principals *now = NULL;
    if (registry && !principals_registry_known(c, registry))
        return EXIT_FAILED;
    int rc = file_load(path, q->may_be_new, &now);
    if (!rc && c->if_version && (!now || now->version != (uint64_t)c->if_version))
        rc = cli_fail(EXIT_CONFLICT, "%s: version %llu is in force, not %lld", path,
                      (unsigned long long)(now ? now->version : 0), (long long)c->if_version);
    if (!rc) {
        struct diag d;
        diag_init(&d);
        rc = file_change(c, q, path, now, &d);
        diag_done(&d);
    }
    snapshot_unref(now);
    return rc;
}

// --- the fleet ---

static int fleet_call(struct cli *c, const struct principals_call *q)
{
    const char *verb = arena_printf(&c->arena, "%s %s", q->noun, q->word);
    const struct request request = {
        .verb = verb, .object = q->object, .arguments = json_incref(q->arguments)};
    if (!q->show || c->what_if)
        return cli_request(c, &request);
    json_t *answer = NULL;
    int rc = cli_request_answer(c, &request, &answer);
    const char *id = json_string_value(json_object_get(json_object_get(answer, "operation"), "id"));
    if (answer)
        fprintf(stderr, "operation %s: %s %s\n", id ? id : "?", verb, q->object);
    // also of an operation that is still under way: what is shown is known here alone
    if (answer && (!rc || rc == EXIT_NOT_YET)) {
        int shown = q->show(c, q->ctx);
        if (!rc)
            rc = shown;
    }
    json_decref(answer);
    return rc;
}

int principals_call(struct cli *c, const struct principals_call *q)
{
    bool fleets;
    struct principals_call mine = *q;
    if (!mine.arguments)
        mine.arguments = json_object();
    int rc = principals_are_fleets(c, q->path, &fleets);
    if (!rc && fleets)
        rc = fleet_call(c, &mine);
    else if (!rc)
        rc = file_call(c, &mine);
    json_decref(mine.arguments);
    return rc;
}

int principals_read(struct cli *c, const char *path, bool may_be_absent, json_t **out)
{
    bool fleets;
    struct principals *now;
    int rc = principals_are_fleets(c, path, &fleets);
    if (rc)
        return rc;
    if (fleets)
        return cli_admin(c, "GET", "/v1/principals", out);
    rc = file_load(path ? path : principals_default_path(c), may_be_absent, &now);
    if (rc)
        return rc;
    *out = now ? principals_view(now) : json_object();
    snapshot_unref(now);
    if (*out)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "out of memory");
}
