// SPDX-License-Identifier: Apache-2.0
// `meridian topology export|history|rollback`; see topology_fleet.h.
#include "cli/topology_fleet.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/apply.h"
#include "cli/apply_show.h"
#include "cli/show.h"
#include "cli/what_if_print.h"
#include "control/changes_file.h"
#include "control/document_rows.h"
#include "control/topology_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- export ----

// A file with the changes beside it, as one document.
static int export_file(const char *path, struct buf *out)
{
    struct topology *t = NULL;
    struct diag d;
    size_t n;
    diag_init(&d);
    int rc = topology_file_load(path, &d, &t);
    if (!rc)
        rc = changes_load(path, &d, &t, &n);
    if (!rc && diag_count(&d))
        rc = ERR_INVAL; // a change that cannot be taken would be lost without a word
    diag_print(&d, stderr);
    diag_done(&d);
    if (!rc)
        rc = document_export(t, out);
    snapshot_unref(t);
    if (rc == ERR_UNSUPPORTED)
        return cli_fail(EXIT_FAILED,
                        "%s: its sections must begin lines of their own, so that they can be told "
                        "apart; write the document in block style",
                        path);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s cannot be exported: %s", path, err_text(rc));
    return EXIT_DONE;
}

// To the file whole or not at all; NULL: to standard output.
static int put_out(struct cli *c, const char *file, const struct buf *text)
{
    int rc = 0;
    if (file)
        rc = file_write_atomic(file, text->p, text->n, 0640);
    else if (fwrite(buf_cstr(text), 1, text->n, stdout) != text->n || fflush(stdout))
        rc = ERR_IO;
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s: %s", c->path, file ? file : "standard output",
                        err_text(rc));
    return EXIT_DONE;
}

// The version that a document has; 0: it cannot be read.
static uint64_t version_of(const struct buf *text)
{
    const char *line = buf_cstr(text);
    while (line && strncmp(line, "version:", 8) != 0) {
        line = strchr(line, '\n');
        if (line)
            line++;
    }
    if (!line)
        return 0;
    return strtoull(line + 8, NULL, 10);
}

// What is in force, with the line that apply knows it by. The line of a document that was applied
// came into force with it, and is left out.
static int export_node(struct cli *c, struct buf *out)
{
    AUTO_BUF struct buf text;
    size_t old;
    buf_init(&text, TOPOLOGY_MAX_BYTES);
    int rc = cli_in_force_text(c, 0, &text);
    if (rc)
        return rc;
    uint64_t version = version_of(&text);
    if (version)
        buf_printf(out, EXPORT_MARK "%llu\n", (unsigned long long)version);
    export_mark_read(buf_cstr(&text), &old);
    buf_add(out, text.p + old, text.n - old);
    if (out->err)
        return cli_fail(EXIT_FAILED, "%s: %s", c->path, err_text(out->err));
    return EXIT_DONE;
}

static int topology_export(struct cli *c, int argc, char **argv)
{
    int64_t version = 0;
    const char *file = NULL;
    const struct opt rows[] = {{0, "version", "N", "as it was then (meridian topology history)",
                                .number = &version, .min = 1, .max = INT64_MAX},
                               {0, "out", "FILE", "write it there", &file}};
    AUTO_BUF struct buf text;
    buf_init(&text, TOPOLOGY_MAX_BYTES);
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc == 2 && version)
        return cli_fail(EXIT_USAGE, "%s: a file has no versions: leave out the file, or --version",
                        c->path);
    if (argc == 2)
        rc = export_file(argv[1], &text);
    else if (version)
        rc = cli_in_force_text(c, (uint64_t)version, &text);
    else
        rc = export_node(c, &text);
    if (rc)
        return rc;
    return put_out(c, file, &text);
}

const struct command topology_export_cmd = {
    "export",
    "the whole document in force, as apply takes it; or a file with the changes beside it",
    "[FILE | --version N] [--out FILE]",
    topology_export,
    USES_ADMIN | NO_FORMAT,
    0,
    1,
    {"meridian topology export --out topology.yaml",
     "meridian topology export /etc/meridian/topology.yaml --out new.yaml"}};

// ---- history ----

static int topology_history(struct cli *c, int argc, char **argv)
{
    static const char *const columns[] = {"version", "time", "by", "what"};
    int64_t n = 20;
    const struct opt rows[] = {{0, "last", "N", "how many, the latest first (default 20)",
                                .number = &n, .min = 1, .max = 100000}};
    json_t *doc = NULL;
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = cli_admin(c, "GET",
                       arena_printf(&c->arena, "/v1/topology/history?n=%lld", (long long)n), &doc);
    if (rc)
        return rc;
    json_t *list = json_incref(json_object_get(doc, "history"));
    json_decref(doc);
    if (cli_json(c))
        return cli_print_json(c, list);
    return cli_print_array(c, list, columns, ARRAY_LEN(columns));
}

const struct command topology_history_cmd = {
    "history",
    "the versions that there were: when, by whom, what",
    "[--last N]",
    topology_history,
    USES_ADMIN | MAY_WATCH,
    0,
    0,
    {"meridian topology history", "meridian topology history --last 100 -o json"}};

// ---- rollback ----

static int show_preview(struct cli *c, json_t *answer)
{
    json_t *what_if = json_object_get(answer, "whatIf");
    if (cli_json(c))
        return cli_print_json(c, json_incref(answer));
    what_if_show(c, what_if);
    apply_show_kept(json_object_get(answer, "answer"));
    return EXIT_DONE;
}

static int show_done(struct cli *c, json_t *answer)
{
    if (cli_json(c))
        return cli_print_json(c, json_incref(answer));
    apply_show_kept(json_object_get(answer, "answer"));
    change_show_notes(stdout, json_object_get(answer, "notes"));
    if (json_object_get(answer, "operation"))
        change_show_end(c, json_object_get(answer, "operation"));
    else
        puts("nothing to do: what is in force says the same, but for what never goes back");
    return EXIT_DONE;
}

// What would go is asked first; what is done then follows the version that was looked at.
static int roll_back(struct cli *c, const json_t *arguments)
{
    json_t *answer = NULL;
    int rc = change_preview(c, "topology rollback", arguments, &answer);
    if (!c->what_if && what_if_is_held(json_object_get(answer, "whatIf")))
        rc = EXIT_CONFLICT;
    if (c->what_if || (rc && rc != EXIT_CHANGES)) {
        if (answer)
            show_preview(c, answer);
        json_decref(answer);
        return rc;
    }
    const char *gone = apply_removed(c, json_object_get(answer, "answer"));
    rc = EXIT_DONE;
    if (gone)
        rc = cli_confirm(c, gone);
    if (!rc && !c->if_version)
        c->if_version =
            json_integer_value(json_object_get(json_object_get(answer, "whatIf"), "from"));
    json_decref(answer);
    answer = NULL;
    if (!rc)
        rc = change_make(c, "topology rollback", arguments, &answer);
    if (answer) {
        int shown = show_done(c, answer);
        if (!rc)
            rc = shown;
    }
    json_decref(answer);
    return rc;
}

static int topology_rollback_cli(struct cli *c, int argc, char **argv)
{
    const struct opt rows[] = {
        {'y', "yes", NULL, "do not ask before registries go", .flag = &c->yes}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    char *end;
    long long version = strtoll(argv[1], &end, 10);
    if (*end || version < 1)
        return cli_fail(EXIT_USAGE,
                        "%s: %s: the version to go back to is a number (meridian "
                        "topology history)",
                        c->path, argv[1]);
    json_t *arguments = json_pack("{s:I}", "version", (json_int_t)version);
    if (!arguments)
        return cli_fail(EXIT_FAILED, "%s: %s", c->path, err_text(ERR_NOMEM));
    rc = roll_back(c, arguments);
    json_decref(arguments);
    return rc;
}

const struct command topology_rollback_cmd = {
    "rollback",
    "back to an earlier version, by a new one; keys, revocations and incarnations never go back",
    "VERSION",
    topology_rollback_cli,
    USES_CHANGE,
    1,
    1,
    {"meridian topology rollback 41 --what-if", "meridian topology rollback 41 --yes"}};
