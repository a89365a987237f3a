// SPDX-License-Identifier: Apache-2.0
// `meridian replication differences`: what comparisons of state between regions have found, of each
// region that is asked: what differs, both values, since when, what is done about it; and what was
// made good lately. It asks the regions' public endpoints.
#include "cli/replication.h"

#include "base/mem.h"

#include <string.h>

#define COLUMNS 8

// "app:v1", "app@sha256:0123456789ab", or a repository's lock.
static const char *what_of(struct cli *c, const json_t *o)
{
    const char *subject = replication_text(o, "subject"),
               *repository = replication_text(o, "repository");
    if (strncmp(subject, "tag:", 4) == 0)
        return arena_printf(&c->arena, "%s:%s", repository, subject + 4);
    if (strncmp(subject, "manifest:", 9) == 0)
        return arena_printf(&c->arena, "%s@%.19s", repository, subject + 9);
    return arena_printf(&c->arena, "%s (its lock)", repository);
}

// Values are lines of which the first says what they are of.
static const char *value_of(struct cli *c, const json_t *o, const char *key)
{
    const char *s = replication_text(o, key), *line = strchr(s, '\n');
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
    json_t *doc = NULL;
    int rc = cli_replication_get(
        c, r, region, repository,
        arena_printf(&c->arena, "/replication/v1/differences?registry=%s", r->name), &doc);
    replication_rows_take(doc, "differences", region, all);
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
        const char *row[COLUMNS] = {replication_text(o, "region"),
                                    replication_text(o, "peer"),
                                    what_of(c, o),
                                    value_of(c, o, "here"),
                                    value_of(c, o, "there"),
                                    replication_text(o, "since"),
                                    replication_text(o, "until"),
                                    replication_text(o, "what")};
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
    static const struct replication_rows rows = {"as this region sees them only", region_add,
                                                 print_differences, rows_status};
    return replication_rows_run(c, &rows, argc, argv);
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
