// SPDX-License-Identifier: Apache-2.0
// `meridian operation`: what the fleet was asked to change, how far it is, waiting for its end and
// calling it off; see operation.h.
#include "cli/operation.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/request.h"
#include "cli/show.h"
#include "config/options.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS 5000 // how long a node holds a question open
// Between two looks at a node that holds none open (it does not know who asks, or others wait there):
// short at first, then twice as long each time.
#define PAUSE_MIN_MS 60
#define PAUSE_MAX_MS 480
// An operation that was just begun comes to a node that is not the writer by the feed.
#define COMES_MS 3000

static bool has_ended(const char *state)
{
    return !strcmp(state, "Succeeded") || !strcmp(state, "Failed") || !strcmp(state, "Canceled");
}

static const char *names_of(struct cli *c, const json_t *list)
{
    const char *out = "";
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(one);
        if (name)
            out = arena_printf(&c->arena, "%s%s%s", out, *out ? ", " : "", name);
    }
    return out;
}

static const char *phase_waits(struct cli *c, const json_t *phase)
{
    const char *regions = names_of(c, json_object_get(phase, "waitsFor"));
    const json_t *until = json_object_get(phase, "waitUntil");
    char text[CLOCK_TEXT_SIZE];
    if (*regions)
        return arena_printf(&c->arena, "waits for %s", regions);
    if (*json_text(phase, "lacks"))
        return json_text(phase, "lacks");
    if (json_is_integer(until))
        return arena_printf(&c->arena, "until %s", clock_format(json_integer_value(until), text));
    return "";
}

const char *operation_phase(struct cli *c, const json_t *operation)
{
    size_t i;
    json_t *phase;
    json_array_foreach(json_object_get(operation, "phases"), i, phase)
    {
        if (strcmp(json_text(phase, "state"), "running") != 0)
            continue;
        const char *name = json_text(phase, "name"), *waits = phase_waits(c, phase);
        if (*waits)
            return arena_printf(&c->arena, "%s, %s", name, waits);
        return name;
    }
    return "";
}

static const char *time_text(struct cli *c, const json_t *operation, const char *key)
{
    const json_t *v = json_object_get(operation, key);
    char text[CLOCK_TEXT_SIZE];
    if (json_is_integer(v))
        return arena_strdup(&c->arena, clock_format(json_integer_value(v), text));
    return json_text(operation, key);
}

// ---- one ----

static const char *error_text(const json_t *operation)
{
    const json_t *error = json_object_get(operation, "error");
    if (json_is_object(error))
        return json_text(error, "message");
    return json_text(operation, "error");
}

static void print_phases(struct cli *c, const json_t *phases)
{
    size_t n = json_array_size(phases);
    const char *head[] = {"phase", "state", "version", "started", "ended", "waits"};
    if (!n)
        return;
    const char **cells = arena_array(&c->arena, (n + 1) * ARRAY_LEN(head), sizeof *cells);
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(phases, i);
        const char *row[] = {json_text(p, "name"),        json_text(p, "state"),
                             json_count(c, p, "version"), time_text(c, p, "started"),
                             time_text(c, p, "ended"),    phase_waits(c, p)};
        memcpy(cells + (i + 1) * ARRAY_LEN(head), row, sizeof row);
    }
    putchar('\n');
    cli_table(cells, n + 1, ARRAY_LEN(head));
}

static void print_line(const char *name, const char *value)
{
    if (*value)
        printf("%-10s %s\n", name, value);
}

int cli_operation_print(struct cli *c, json_t *o)
{
    if (cli_json(c))
        return cli_print_json(c, o);
    print_line("id", json_text(o, "id"));
    print_line("change", json_text(o, "verb"));
    print_line("object", json_text(o, "object"));
    print_line("by", json_text(o, "by"));
    print_line("state", json_text(o, "state"));
    print_line("error", error_text(o));
    print_line("from", json_count(c, o, "from"));
    print_line("to", json_count(c, o, "to"));
    print_line("created", time_text(c, o, "created"));
    print_line("updated", time_text(c, o, "updated"));
    print_line("later", names_of(c, json_object_get(o, "later")));
    print_phases(c, json_object_get(o, "phases"));
    json_decref(o);
    return EXIT_DONE;
}

// ---- waiting ----

static const char *end_text(const char *state)
{
    if (!strcmp(state, "Failed"))
        return "failed";
    if (!strcmp(state, "Canceled"))
        return "was called off";
    return "had all in force before it could be called off";
}

// Where the time is over, or the operation ended: what that is in an exit status.
static int outcome(struct cli *c, const char *id, const char *wanted, const json_t *o)
{
    const char *state = json_text(o, "state"), *error = error_text(o);
    const char *later = names_of(c, json_object_get(o, "later"));
    if (!strcmp(state, wanted)) {
        if (*later)
            fprintf(stderr, "These regions take it when they are back: %s\n", later);
        return EXIT_DONE;
    }
    if (has_ended(state))
        return cli_fail(EXIT_FAILED, "%s: operation %s %s%s%s", c->path, id, end_text(state),
                        *error ? ": " : "", error);
    return cli_fail(EXIT_NOT_YET,
                    "%s: operation %s goes on (%s); `meridian operation wait %s` waits", c->path,
                    id, *state ? state : "nothing was heard of it", id);
}

// Is it worth asking again? It starts, or stops, or others wait there, or it has not heard of it yet.
static bool may_change(int status, bool fresh)
{
    if (status == 503 || status == 429)
        return true;
    return status == 404 && fresh;
}

// One look, which the node may hold open; `fresh`: the operation may not have come there yet.
// EXIT_UNREACHABLE is for another look, and not said.
static int look(struct cli *c, const char *id, int64_t hold_ms, bool fresh, json_t **out)
{
    struct fetch_result r;
    const char *path = arena_printf(&c->arena, "/v1/operations/%s?wait_ms=%lld",
                                    cli_urlencode(c, id), (long long)hold_ms);
    bool quiet = c->quiet;
    c->quiet = true;
    int rc = cli_node_fetch(c, "GET", path, (struct bytes){0}, (uint32_t)hold_ms + 10000, &r);
    c->quiet = quiet;
    if (rc)
        return rc;
    json_t *doc = json_said(&r.body, 0);
    if (may_change(r.status, fresh))
        rc = EXIT_UNREACHABLE;
    else if (r.status != 200)
        rc = cli_node_refused(c, &r);
    else if (!json_is_string(json_object_get(doc, "state")))
        rc = cli_fail(EXIT_FAILED, "%s: the answer of %s is no operation", c->path,
                      cli_node_name(c));
    fetch_result_done(&r);
    if (rc) {
        json_decref(doc);
        return rc;
    }
    *out = doc;
    return EXIT_DONE;
}

int cli_operation_wait(struct cli *c, const char *id, const char *wanted, int64_t timeout_ms,
                       json_t **out)
{
    int64_t begin = clock_mono_ms(), until = begin + timeout_ms, pause_ms = PAUSE_MIN_MS;
    json_t *o = NULL;
    int rc = EXIT_DONE;
    for (;;) {
        int64_t asked = clock_mono_ms(), left = until - asked;
        if (left < 0)
            left = 0;
        json_t *now = NULL;
        bool fresh = !o && left > 0 && asked - begin < COMES_MS;
        rc = look(c, id, left < LOOK_MS ? left : LOOK_MS, fresh, &now);
        if (now) {
            json_decref(o);
            o = now;
        }
        if (rc && rc != EXIT_UNREACHABLE)
            break;
        if (o && has_ended(json_text(o, "state")))
            break;
        if (clock_mono_ms() >= until)
            break;
        progress_show("%s: %s %s", json_text(o, "object"), json_text(o, "state"),
                      operation_phase(c, o));
        if (clock_mono_ms() - asked < PAUSE_MAX_MS)
            clock_sleep_ms(left < pause_ms ? left : pause_ms);
        if (pause_ms < PAUSE_MAX_MS)
            pause_ms *= 2;
    }
    progress_end();
    *out = o;
    if (rc && rc != EXIT_UNREACHABLE)
        return rc;
    if (!wanted)
        wanted = "Succeeded";
    return outcome(c, id, wanted, o);
}

// ---- commands ----

static int operation_show(struct cli *c, int argc, char **argv)
{
    json_t *doc = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_admin(c, "GET",
                       arena_printf(&c->arena, "/v1/operations/%s", cli_urlencode(c, argv[1])),
                       &doc);
    if (rc)
        return rc;
    return cli_operation_print(c, doc);
}

static const char *with_filter(struct cli *c, const char *path, const char *name, const char *value)
{
    if (!value)
        return path;
    return arena_printf(&c->arena, "%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', name,
                        cli_urlencode(c, value));
}

static int print_list(struct cli *c, const json_t *list)
{
    size_t n = json_array_size(list);
    const char *head[] = {"id", "change", "object", "state", "phase", "by", "created", "later"};
    const char **cells = arena_array(&c->arena, (n + 1) * ARRAY_LEN(head), sizeof *cells);
    if (!cells)
        return cli_fail(EXIT_FAILED, "out of memory");
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        const char *row[] = {json_text(o, "id"),         json_text(o, "verb"),
                             json_text(o, "object"),     json_text(o, "state"),
                             operation_phase(c, o),      json_text(o, "by"),
                             time_text(c, o, "created"), names_of(c, json_object_get(o, "later"))};
        memcpy(cells + (i + 1) * ARRAY_LEN(head), row, sizeof row);
    }
    cli_table(cells, n + 1, ARRAY_LEN(head));
    return EXIT_DONE;
}

static int operation_list(struct cli *c, int argc, char **argv)
{
    const char *object = NULL, *state = NULL;
    json_t *doc = NULL;
    const struct opt rows[] = {
        {0, "object", "OBJECT", "only of this, as in registry/contoso", &object},
        {0, "state", "STATE", "only in this state", &state,
         .choices = "Creating|Updating|Deleting|Succeeded|Failed|Canceled"}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const char *path = with_filter(c, "/v1/operations", "object", object);
    rc = cli_admin(c, "GET", with_filter(c, path, "state", state), &doc);
    if (rc)
        return rc;
    json_t *list = json_object_get(doc, "operations");
    if (!list)
        list = doc;
    if (cli_json(c)) {
        json_incref(list);
        json_decref(doc);
        return cli_print_json(c, list);
    }
    rc = print_list(c, list);
    json_decref(doc);
    return rc;
}

static int operation_wait(struct cli *c, int argc, char **argv)
{
    const char *timeout = "10m";
    uint64_t ms;
    json_t *o = NULL;
    const struct opt rows[] = {
        {0, "timeout", "TIME", "how long to wait: 90s, 10m (default)", &timeout}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (duration_parse(timeout, &ms))
        return cli_fail(EXIT_USAGE, "%s: --timeout %s: give it as in 90s or 10m", c->path, timeout);
    rc = cli_operation_wait(c, argv[1], NULL, (int64_t)ms, &o);
    if (!o)
        return rc;
    int shown = cli_operation_print(c, o);
    if (rc)
        return rc;
    return shown;
}

static int operation_cancel(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    return cli_request(
        c, &(struct request){.verb = "operation cancel", .object = argv[1], .end = "Canceled"});
}

static const struct command operation_cmds[] = {
    {"show",
     "one operation: its phases, and what it waits for",
     "ID",
     operation_show,
     USES_ADMIN | MAY_WATCH,
     1,
     1,
     {"meridian operation show 0a1b2c3d4e5f6071",
      "meridian operation show 0a1b2c3d4e5f6071 --query state -o tsv"}},
    {"list",
     "operations, the newest first",
     "[--object OBJECT] [--state STATE]",
     operation_list,
     USES_ADMIN | MAY_WATCH,
     0,
     0,
     {"meridian operation list --state Updating",
      "meridian operation list --object registry/contoso --watch"}},
    {"wait",
     "until an operation has ended",
     "ID [--timeout TIME]",
     operation_wait,
     USES_ADMIN,
     1,
     1,
     {"meridian operation wait 0a1b2c3d4e5f6071",
      "meridian operation wait 0a1b2c3d4e5f6071 --timeout 30m"}},
    {"cancel",
     "call an operation off: what it has done is taken back",
     "ID",
     operation_cancel,
     USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian operation cancel 0a1b2c3d4e5f6071",
      "meridian operation cancel 0a1b2c3d4e5f6071 --operator ada --key ada.pem --yes"}},
};

int cmd_operation(struct cli *c, int argc, char **argv)
{
    return command_group(c, operation_cmds, ARRAY_LEN(operation_cmds), argc, argv);
}
