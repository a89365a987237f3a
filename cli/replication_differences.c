// SPDX-License-Identifier: Apache-2.0
// `meridian replication differences`: what comparisons of state between regions have found, of each
// region that is asked: what differs, both values, since when, what is done about it; and what was
// made good lately. It asks the regions' public endpoints.
#include "cli/cli.h"

#include "base/mem.h"

#include <string.h>

#define COLUMNS 8

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (s && *s)
        return s;
    return "-";
}

// "app:v1", "app@sha256:0123456789ab", or a repository's lock.
static const char *what_of(struct cli *c, const json_t *o)
{
    const char *subject = text_of(o, "subject"), *repository = text_of(o, "repository");
    if (strncmp(subject, "tag:", 4) == 0)
        return arena_printf(&c->arena, "%s:%s", repository, subject + 4);
    if (strncmp(subject, "manifest:", 9) == 0)
        return arena_printf(&c->arena, "%s@%.19s", repository, subject + 9);
    return arena_printf(&c->arena, "%s (its lock)", repository);
}

// Values are lines of which the first says what they are of.
static const char *value_of(struct cli *c, const json_t *o, const char *key)
{
    const char *s = text_of(o, key), *line = strchr(s, '\n');
    if (!line)
        return strcmp(s, "-") == 0 ? "not shown" : "shown";
    char *copy = arena_strdup(&c->arena, line + 1);
    for (char *p = copy; p && *p; p++)
        if (*p == '\n')
            *p = ';';
    return copy ? copy : "-";
}

static int region_add(struct cli *c, const struct registry *r, const struct region *region,
                      const char *repository, json_t *all)
{
    json_t *doc = NULL, *o;
    size_t i;
    int rc = cli_replication_get(
        c, r, region, repository,
        arena_printf(&c->arena, "/replication/v1/differences?registry=%s", r->name), &doc);
    json_array_foreach(json_object_get(doc, "differences"), i, o)
    {
        json_object_set_new(o, "region", json_string(region->name));
        json_array_append(all, o);
    }
    json_decref(doc);
    return rc;
}

static void print_differences(struct cli *c, const json_t *rows)
{
    size_t n = json_array_size(rows), i;
    const char **cells = arena_array(&c->arena, COLUMNS * (n + 1), sizeof *cells);
    const char *head[COLUMNS] = {"region", "peer",  "what",  "here",
                                 "there",  "since", "until", "what is done"};
    json_t *o;
    memcpy(cells, head, sizeof head);
    json_array_foreach(rows, i, o)
    {
        const char *row[COLUMNS] = {text_of(o, "region"),    text_of(o, "peer"),
                                    what_of(c, o),           value_of(c, o, "here"),
                                    value_of(c, o, "there"), text_of(o, "since"),
                                    text_of(o, "until"),     text_of(o, "what")};
        memcpy(cells + COLUMNS * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, COLUMNS);
}

// What is not good yet is what a script asks for.
static int rows_status(const json_t *rows)
{
    size_t i;
    json_t *o;
    json_array_foreach(rows, i, o)
    {
        if (!json_object_get(o, "until"))
            return EXIT_DIVERGED;
    }
    return EXIT_DONE;
}

static int differences_run(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *repository = "status", *at = NULL;
    const struct opt rows[] = {
        {'r', "registry", "REGISTRY", "the registry", &name, NULL},
        {0, "region", "REGION", "as this region sees them only", &at, NULL},
        {0, "repository", "NAME",
         "also of this repository, of a user whose catalogue does not show it", &repository, NULL}};
    int worst = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (worst)
        return worst;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    const struct region *only = NULL;
    if (at)
        only = cli_region(c, at);
    if (at && !only)
        return EXIT_FAILED;
    json_t *all = json_array();
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct region *region = &c->topo->regions[r->replicas[i].region];
        if (only && only != region)
            continue;
        int rc = region_add(c, r, region, repository, all);
        if (rc > worst)
            worst = rc;
    }
    if (!worst)
        worst = rows_status(all);
    if (cli_json(c)) {
        cli_print_json(c, all);
    } else {
        print_differences(c, all);
        json_decref(all);
    }
    return worst;
}

const struct command replication_differences_cmd = {
    "differences",
    "what comparisons between regions found, and what was made good",
    "-r REGISTRY [--region R]",
    differences_run,
    USES_ENDPOINT,
    0,
    1,
    {"meridian replication differences contoso -u ada",
     "meridian replication differences contoso --region eastus -o json"}};
