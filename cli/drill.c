// SPDX-License-Identifier: Apache-2.0
// `meridian drill`: fault drills, asked of a node's resolver. A drill takes a region out of the global
// names for a stated time; every node ends it by its own clock (health/drill.h).
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/show.h"
#include "config/options.h"

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

// One of them alone; takes `all`.
static int print_one(struct cli *c, json_t *all, const char *id)
{
    const json_t *one = find(all, id);
    if (!one) {
        json_decref(all);
        return cli_fail(EXIT_UNKNOWN, "%s: %s%s; `meridian drill list` lists those that are known",
                        c->path, *id ? "there is no drill " : "there was no drill yet", id);
    }
    json_t *shown = json_incref((json_t *)one);
    json_decref(all);
    if (cli_json(c))
        return cli_print_json(c, shown);
    return cli_print_array(c, json_pack("[o]", shown), columns, ARRAY_LEN(columns));
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
    const char *id = "";
    json_t *all = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc > 1)
        id = argv[1];
    rc = cli_admin(c, "POST",
                   *id ? arena_printf(&c->arena, "/v1/drills/stop?id=%s", cli_urlencode(c, id))
                       : "/v1/drills/stop",
                   &all);
    if (rc)
        return rc;
    return print_one(c, all, id);
}

static int show(struct cli *c, int argc, char **argv)
{
    const char *id = "";
    json_t *all = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc > 1)
        id = argv[1];
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
