// SPDX-License-Identifier: Apache-2.0
// `meridian replication repair-clock`: mends a region's store that holds stamps of the future,
// through its node's admin socket. Says what it would do, and does it with --apply.
#include "cli/cli.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static long long number(const json_t *doc, const char *key)
{
    return (long long)json_integer_value(json_object_get(doc, key));
}

static const char *text(const json_t *doc, const char *key, const char *none)
{
    const char *s = json_string_value(json_object_get(doc, key));
    if (s)
        return s;
    return none;
}

static void print_registers(struct cli *c, const json_t *doc)
{
    const json_t *list = json_object_get(doc, "registers");
    size_t n = json_array_size(list);
    if (!n)
        return;
    const char **cells = arena_array(&c->arena, 5 * (n + 1), sizeof *cells);
    const char *head[] = {"what", "was", "of", "stamped", "is"};
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        const char *tag = text(o, "tag", "");
        const char *row[] = {arena_printf(&c->arena, "%s/%s%s%s", text(o, "registry", "?"),
                                          text(o, "repository", "?"), *tag ? ":" : "", tag),
                             text(o, "was", "-"), text(o, "origin", "-"), text(o, "stamped", "-"),
                             text(o, "is", "gone")};
        memcpy(cells + 5 * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, 5);
    if (number(doc, "registersLeftOut"))
        printf("and %lld more\n", number(doc, "registersLeftOut"));
}

static bool is_nothing(const json_t *doc)
{
    return !number(doc, "entries") && !number(doc, "tags") && !number(doc, "manifestsGone") &&
           !strcmp(text(doc, "clockWas", ""), text(doc, "clockIs", ""));
}

static void print_repair(struct cli *c, const json_t *doc)
{
    bool applied = json_is_true(json_object_get(doc, "applied"));
    const char *are = "would be";
    if (applied)
        are = "are";
    if (is_nothing(doc)) {
        printf("%s holds no stamps of the future (its clock says %s): nothing to do\n",
               text(doc, "region", "?"), text(doc, "time", "?"));
        return;
    }
    printf("%s, whose clock says %s:\n", text(doc, "region", "?"), text(doc, "time", "?"));
    printf("  %lld entries %s void, with %lld jobs; %lld of them this region's own, of which %lld "
           "%s announced again\n",
           number(doc, "entries"), are, number(doc, "jobs"), number(doc, "ownEntries"),
           number(doc, "announcedAgain"), are);
    printf("  the stamp that it writes on from %s %s, and was %s\n", applied ? "is" : "would be",
           text(doc, "clockIs", "none"), text(doc, "clockWas", "none"));
    printf("  %lld tags %s other values or gone, %lld manifests %s gone\n", number(doc, "tags"),
           are, number(doc, "manifestsGone"), are);
    print_registers(c, doc);
    if (!applied)
        printf("nothing was changed: --apply does it\n");
}

static int repair_clock(struct cli *c, int argc, char **argv)
{
    bool apply = false, what_if = false;
    json_t *doc = NULL;
    const struct opt rows[] = {{0, "apply", NULL, "do it; else it is only said", NULL, &apply},
                               {0, "what-if", NULL,
                                "only say what would be done (so it is without --apply)", NULL,
                                &what_if}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 1 || (apply && what_if))
        return cli_fail(EXIT_USAGE, argc != 1 ? "repair-clock: takes no argument"
                                              : "repair-clock: either --apply or --what-if");
    rc = cli_admin(
        c, "POST",
        apply ? "/v1/replication/repair-clock?apply=true" : "/v1/replication/repair-clock", &doc);
    if (rc)
        return rc;
    int status = EXIT_DONE;
    if (what_if && !is_nothing(doc))
        status = EXIT_CHANGES;
    if (cli_json(c)) {
        rc = cli_print_json(c, doc);
        return rc ? rc : status;
    }
    print_repair(c, doc);
    json_decref(doc);
    return status;
}

const struct command replication_repair_cmd = {
    "repair-clock",
    "mends a store that holds stamps of the future",
    "[--apply | --what-if]",
    repair_clock,
    USES_ADMIN,
    0,
    0,
    {"meridian replication repair-clock", "meridian replication repair-clock --apply"}};
