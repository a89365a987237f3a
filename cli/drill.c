// SPDX-License-Identifier: Apache-2.0
// `meridian drill`: fault drills, asked of a node's resolver. A drill takes a region out of the global
// names for a stated time; every node ends it by its own clock (health/drill.h).
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/show.h"
#include "config/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const columns[] = {"id", "region", "registry", "state",      "by",
                                      "at", "ended",  "leftMs",   "waitingFor", "stoppedBy"};

// The drill of that id; "": the one that runs, else the latest. Borrowed; NULL: none.
static const json_t *find(const json_t *all, const char *id)
{
    const json_t *latest = json_array_get(all, 0);
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)all, i, one)
    {
        if (*id && !strcmp(json_text(one, "id"), id))
            return one;
        if (!*id && !strcmp(json_text(one, "state"), "running"))
            return one;
    }
    if (*id)
        return NULL;
    return latest;
}

// Takes `all`; *out is a new reference.
static int find_said(struct cli *c, json_t *all, const char *id, json_t **out)
{
    *out = json_incref((json_t *)find(all, id));
    json_decref(all);
    if (*out)
        return EXIT_DONE;
    return cli_fail(EXIT_UNKNOWN, "%s: %s%s; `meridian drill list` lists those that are known",
                    c->path, *id ? "there is no drill " : "there was no drill yet", id);
}

// One of them alone; takes `all`.
static int print_one(struct cli *c, json_t *all, const char *id)
{
    json_t *shown;
    int rc = find_said(c, all, id, &shown);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, shown);
    return cli_print_array(c, json_pack("[o]", shown), columns, ARRAY_LEN(columns));
}

// "": the one that runs, or the newest
static int take_id(struct cli *c, int argc, char **argv, const char **out_id)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    *out_id = argc > 1 ? argv[1] : "";
    return rc;
}

static int start(struct cli *c, int argc, char **argv)
{
    const char *region = NULL, *registry = NULL, *how_long = NULL, *more = "";
    uint64_t ms = 0;
    json_t *all = NULL;
    const struct opt rows[] = {
        {0, "region", "REGION", "the region to take out", &region, NULL},
        {0, "for", "TIME", "how long: 10s to 4h; it ends by itself", &how_long, NULL},
        {0, "registry", "REGISTRY", "of this registry's global name alone", &registry, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!region || !how_long)
        return cli_fail(EXIT_USAGE, "drill start: give --region REGION and --for TIME");
    if (duration_parse(how_long, &ms))
        return cli_fail(EXIT_USAGE, "--for %s: a time such as 10m, from 10s to 4h", how_long);
    if (registry)
        more = arena_printf(&c->arena, "&registry=%s", cli_urlencode(c, registry));
    rc = cli_admin(c, "POST",
                   arena_printf(&c->arena, "/v1/drills?region=%s&for_ms=%llu%s",
                                cli_urlencode(c, region), (unsigned long long)ms, more),
                   &all);
    if (rc)
        return rc;
    return print_one(c, all, "");
}

static int stop(struct cli *c, int argc, char **argv)
{
    const char *id, *path = "/v1/drills/stop";
    json_t *all = NULL;
    int rc = take_id(c, argc, argv, &id);
    if (rc)
        return rc;
    if (*id)
        path = arena_printf(&c->arena, "%s?id=%s", path, cli_urlencode(c, id));
    rc = cli_admin(c, "POST", path, &all);
    if (rc)
        return rc;
    return print_one(c, all, id);
}

static int show(struct cli *c, int argc, char **argv)
{
    const char *id;
    json_t *all = NULL;
    int rc = take_id(c, argc, argv, &id);
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/drills", &all);
    if (rc)
        return rc;
    return print_one(c, all, id);
}

static int list(struct cli *c, int argc, char **argv)
{
    json_t *all = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/drills", &all);
    if (rc)
        return rc;
    return cli_print_rows(c, all, columns, ARRAY_LEN(columns));
}

// ---- the report ----

// What a node's report says of that drill; borrowed, NULL: nothing.
static const json_t *seen_by(const json_t *report, const char *id)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(report, "drills"), i, one)
    {
        if (!strcmp(json_text(one, "id"), id))
            return one;
    }
    return NULL;
}

// Each region's row: what it saw, or why nothing is known of it.
static json_t *seen_json(const json_t *fleet, const char *id)
{
    json_t *rows = json_array(), *report;
    size_t i;
    json_array_foreach((json_t *)fleet, i, report)
    {
        const json_t *seen = seen_by(report, id);
        json_t *row = json_object();
        if (seen)
            json_object_update(row, (json_t *)seen);
        json_object_set(row, "region", json_object_get(report, "region"));
        json_object_set(row, "reached", json_object_get(report, "reached"));
        json_object_set_new(row, "seen", json_boolean(seen != NULL));
        json_array_append_new(rows, row);
    }
    return rows;
}

static const char *seconds_of(struct cli *c, const json_t *row, const char *member)
{
    const json_t *ms = json_object_get(row, member);
    if (json_is_integer(ms))
        return arena_printf(&c->arena, "%.1f s", (double)json_integer_value(ms) / 1000);
    return "-";
}

// "429: 3, 503: 1": of the codes from 400 on, less the challenges (401), which every login has.
static const char *failed_of(struct cli *c, const json_t *row)
{
    const char *out = "", *code;
    json_t *n;
    if (!json_is_true(json_object_get(row, "seen")))
        return "-";
    json_object_foreach(json_object_get(row, "codes"), code, n)
    {
        bool fails = *code >= '4' && strcmp(code, "401") != 0;
        if (fails)
            out = arena_printf(&c->arena, "%s%s%s: %lld", out, *out ? ", " : "", code,
                               (long long)json_integer_value(n));
    }
    if (*out)
        return out;
    return "none";
}

#define REPORT_COLUMNS 9

static void report_row(struct cli *c, const json_t *row, const char **cells)
{
    const char *told = "seen";
    if (!json_is_true(json_object_get(row, "reached")))
        told = "away";
    else if (!json_is_true(json_object_get(row, "seen")))
        told = "nothing";
    cells[0] = json_text(row, "region");
    cells[1] = told;
    cells[2] = seconds_of(c, row, "rerouteMs");
    cells[3] = json_count(c, row, "ledThere");
    cells[4] = seconds_of(c, row, "returnMs");
    cells[5] = json_count(c, row, "requests");
    cells[6] = json_count(c, row, "late");
    cells[7] = failed_of(c, row);
    cells[8] = json_count(c, row, "lagEntries");
}

static int print_report(struct cli *c, json_t *doc)
{
    static const char *const heads[REPORT_COLUMNS] = {
        "region",         "told",       "led elsewhere after",
        "led there",      "back after", "requests",
        "after the TTLs", "failed",     "behind by"};
    const json_t *rows = json_object_get(doc, "regions"), *drill = json_object_get(doc, "drill");
    size_t n = json_array_size(rows), i;
    const char **cells = arena_array(&c->arena, (n + 1) * REPORT_COLUMNS, sizeof *cells);
    json_t *one;
    if (cli_json(c))
        return cli_print_json(c, doc);
    if (!cells) {
        json_decref(doc);
        return cli_fail(EXIT_FAILED, "out of memory");
    }
    printf("drill %s: region %s, registry %s, for %s by %s: %s\n", json_text(drill, "id"),
           json_text(drill, "region"), json_text(drill, "registry"), seconds_of(c, drill, "forMs"),
           json_text(drill, "by"), json_text(drill, "state"));
    memcpy(cells, heads, sizeof heads);
    json_array_foreach((json_t *)rows, i, one) report_row(c, one, cells + (i + 1) * REPORT_COLUMNS);
    cli_table(cells, n + 1, REPORT_COLUMNS);
    json_decref(doc);
    return EXIT_DONE;
}

static int report(struct cli *c, int argc, char **argv)
{
    const char *id;
    json_t *all = NULL, *fleet = NULL, *drill = NULL;
    int rc = take_id(c, argc, argv, &id);
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/drills", &all);
    if (!rc)
        rc = find_said(c, all, id, &drill);
    if (rc)
        return rc;
    rc = cli_admin(c, "GET", "/v1/fleet", &fleet);
    if (rc) {
        json_decref(drill);
        return rc;
    }
    json_t *rows = seen_json(fleet, json_text(drill, "id"));
    json_decref(fleet);
    return print_report(c, json_pack("{s:o, s:o}", "drill", drill, "regions", rows));
}

static const struct command drill_cmds[] = {
    {"start",
     "take a region out of the global names for a stated time",
     "--region R --for TIME [--registry REGISTRY]",
     start,
     USES_ADMIN | TAKES_AWAY,
     0,
     0,
     {"meridian drill start --region eastus --for 10m --yes",
      "meridian drill start --region eastus --for 2m --registry contoso --yes"}},
    {"stop",
     "end it before its time, on all nodes",
     "[ID]",
     stop,
     USES_ADMIN,
     0,
     1,
     {"meridian drill stop", "meridian drill stop 0a1b2c3d4e5f6071"}},
    {"show",
     "the drill that runs, else the latest; or that of an id",
     "[ID]",
     show,
     USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian drill show", "meridian drill show -o tsv --query leftMs"}},
    {"report",
     "what each region saw of a drill: how soon it led elsewhere and back, what failed meanwhile",
     "[ID]",
     report,
     USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian drill report", "meridian drill report -o json --query 'regions[].rerouteMs'"}},
    {"list",
     "drills of the last 30 days, as the node that is asked knows them",
     "",
     list,
     USES_ADMIN,
     0,
     0,
     {"meridian drill list", "meridian drill list -o json --query '[].state'"}},
};

int cmd_drill(struct cli *c, int argc, char **argv)
{
    return command_group(c, drill_cmds, ARRAY_LEN(drill_cmds), argc, argv);
}
