// SPDX-License-Identifier: Apache-2.0
// `meridian replication`: replicas, and how far each region is. `status` asks the regions' public
// endpoints with an ordinary token that may pull. Waiting is in replication_wait.c.
#include "cli/cli.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/ask.h"
#include "cli/registry_view.h"
#include "cli/replication.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

// ---- status ----

static const char *number(struct cli *c, const json_t *v, const char *unit)
{
    if (json_is_number(v))
        return arena_printf(&c->arena, "%.0f%s", json_number_value(v), unit);
    return "-";
}

// What a region says of itself, in each of its rows: are its writes open, and is there doubt about
// its clock?
static void rows_add(json_t *all, const json_t *doc)
{
    json_t *orders = json_object_get(doc, "orders"), *writes = json_object_get(doc, "writes"),
           *clock = json_object_get(doc, "clock"), *row;
    const char *state = json_string_value(json_object_get(clock, "state"));
    size_t i;
    json_array_foreach(json_object_get(doc, "replications"), i, row)
    {
        if (writes)
            json_object_set(row, "writes", writes);
        if (orders)
            json_object_set(row, "orders", orders);
        if (state && strcmp(state, "differs") == 0)
            json_object_set(row, "clockWarning", json_object_get(clock, "why"));
        json_array_append(all, row);
    }
}

// What is wrong with a region itself, beside its rows, and the cure.
static void say_faults(const char *region, const json_t *doc)
{
    const json_t *faults = json_object_get(doc, "faults");
    for (size_t i = 0; i < json_array_size(faults); i++)
        fprintf(stderr, "%s: %s\n", region, json_string_value(json_array_get(faults, i)));
}

// Rows of all regions of a registry: what each says of each other region as origin.
static json_t *status_rows(struct cli *c, const struct registry *r, const char *repository)
{
    json_t *all = json_array();
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct region *region = &c->topo->regions[r->replicas[i].region];
        struct region_answer a;
        ask_region(c, r, region, repository,
                   arena_printf(&c->arena, "/replication/v1/status?registry=%s", r->name), 10000,
                   &a);
        if (a.how == ASK_ANSWERED && json_is_array(json_object_get(a.doc, "replications"))) {
            rows_add(all, a.doc);
            say_faults(region->name, a.doc);
        } else {
            json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "registry", r->name,
                                                 "region", region->name, "state", ask_state(a.how),
                                                 "lastError", a.why));
        }
        json_decref(a.doc);
    }
    return all;
}

// The exit status that rows stand for: of several the highest. What moves by itself (Syncing,
// Retrying) is no failure.
static int rows_status(const json_t *rows)
{
    static const struct {
        const char *state;
        int status;
    } table[] = {{"Unreachable", EXIT_UNREACHABLE}, {"Denied", EXIT_DENIED},
                 {"ClockAhead", EXIT_CLOCK_AHEAD},  {"Diverged", EXIT_DIVERGED},
                 {"Conflict", EXIT_DIVERGED},       {"NoSpace", EXIT_NO_SPACE},
                 {"Refused", EXIT_FAILED}};
    int worst = EXIT_DONE;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *state = json_string_value(json_object_get(row, "state"));
        for (size_t k = 0; state && k < ARRAY_LEN(table); k++)
            if (!strcmp(state, table[k].state) && table[k].status > worst)
                worst = table[k].status;
    }
    return worst;
}

static const char *clock_cell(struct cli *c, const json_t *row)
{
    const json_t *ms = json_object_get(row, "clockOffsetMs");
    if (ms)
        return arena_printf(&c->arena, "%+.3f s", json_number_value(ms) / 1000);
    return "-";
}

// Below the table, once for each region.
static void print_notes(json_t *rows)
{
    const char *last = "";
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *region = json_string_value(json_object_get(row, "region"));
        const char *writes = json_string_value(json_object_get(row, "writes"));
        const char *warning = json_string_value(json_object_get(row, "clockWarning"));
        const char *orders = json_string_value(json_object_get(row, "orders"));
        if (!region || strcmp(region, last) == 0)
            continue;
        last = region;
        if (writes && strcmp(writes, "open") != 0)
            printf("%s takes no writes now: %s\n", region, writes);
        if (warning)
            printf("%s warns: %s\n", region, warning);
        if (orders)
            printf("%s is %s\n", region, orders);
    }
}

// Whoever gave what it should not have given: its disk wants a look, also when another region
// helped out.
static void print_wrong(json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *wrong = json_object_get(row, "wrongBytes");
        if (wrong)
            printf("%s got wrong bytes from %s, %lld times since it started; the last time %s\n",
                   json_string_value(json_object_get(row, "region")),
                   json_string_value(json_object_get(row, "origin")),
                   (long long)json_integer_value(json_object_get(wrong, "times")),
                   json_string_value(json_object_get(wrong, "last")));
    }
}

// What was copied ahead for nothing, or could not be.
static void print_ahead(json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *ahead = json_object_get(row, "ahead");
        json_int_t copied = json_integer_value(json_object_get(ahead, "copiedBytes"));
        json_int_t wasted = json_integer_value(json_object_get(ahead, "wastedBytes"));
        json_int_t refused = json_integer_value(json_object_get(ahead, "refused"));
        const char *region = json_string_value(json_object_get(row, "region"));
        const char *origin = json_string_value(json_object_get(row, "origin"));
        if (wasted)
            printf("%s copied %lld B from %s ahead of their manifests since it started, and no "
                   "manifest came for %lld B\n",
                   region, (long long)copied, origin, (long long)wasted);
        if (refused)
            printf("%s left %lld blobs of %s to come with their manifests: disk.ahead was "
                   "reached\n",
                   region, (long long)refused, origin);
    }
}

// "1200 of 5000 entries, 340 kB, 800/s, 5 s to go"
static void print_joining_counts(const json_t *joining)
{
    const json_t *of = json_object_get(joining, "of"),
                 *eta = json_object_get(joining, "etaSeconds");
    printf("%lld", (long long)json_integer_value(json_object_get(joining, "done")));
    if (json_integer_value(of) > 0)
        printf(" of %lld", (long long)json_integer_value(of));
    printf(" entries, %lld B, %.0f entries/s, %.0f B/s",
           (long long)json_integer_value(json_object_get(joining, "bytes")),
           json_number_value(json_object_get(joining, "entriesPerSecond")),
           json_number_value(json_object_get(joining, "bytesPerSecond")));
    if (eta)
        printf(", %lld s to go", (long long)json_integer_value(eta));
}

// Snapshots that are not complete: how far they are, or why they fail.
static void print_joining(json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *joining = json_object_get(row, "joining");
        const char *state = json_string_value(json_object_get(joining, "state"));
        const char *why = json_string_value(json_object_get(joining, "lastError"));
        if (!state || strcmp(state, "COMPLETE") == 0)
            continue;
        printf("%s takes a snapshot of what %s wrote: %s, ",
               json_string_value(json_object_get(row, "region")),
               json_string_value(json_object_get(row, "origin")), state);
        print_joining_counts(joining);
        if (why)
            printf("; %s", why);
        printf("\n");
    }
}

// What comparisons of state found and nobody has made good yet.
static void print_differences(json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *c = json_object_get(row, "compared");
        json_int_t n = json_integer_value(json_object_get(c, "differences"));
        if (n)
            printf("%s shows %lld tags or manifests otherwise than %s: meridian replication "
                   "differences %s\n",
                   json_string_value(json_object_get(row, "region")), (long long)n,
                   json_string_value(json_object_get(row, "origin")),
                   json_string_value(json_object_get(row, "registry")));
    }
}

#define STATUS_COLUMNS 8

static void print_status(struct cli *c, json_t *rows)
{
    size_t n = json_array_size(rows);
    const char **cells = arena_array(&c->arena, STATUS_COLUMNS * (n + 1), sizeof *cells);
    const char *head[] = {"region",  "origin", "state", "lag",
                          "entries", "to go",  "clock", "last error"};
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(rows, i);
        const char *origin = json_string_value(json_object_get(o, "origin"));
        const char *state = json_string_value(json_object_get(o, "state"));
        const char *error = json_string_value(json_object_get(o, "lastError"));
        const char *row[] = {json_string_value(json_object_get(o, "region")),
                             origin ? origin : "-",
                             state ? state : "-",
                             number(c, json_object_get(o, "lagSeconds"), " s"),
                             number(c, json_object_get(o, "lagEntries"), ""),
                             number(c, json_object_get(o, "bytesToGo"), " B"),
                             clock_cell(c, o),
                             error ? error : ""};
        memcpy(cells + STATUS_COLUMNS * (i + 1), row, sizeof row);
    }
    cli_table(cells, n + 1, STATUS_COLUMNS);
    print_notes(rows);
    print_wrong(rows);
    print_ahead(rows);
    print_joining(rows);
    print_differences(rows);
}

static int replication_status(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *repository = "status";
    const struct opt rows[] = {
        {'r', "registry", "REGISTRY", "the registry", &name, NULL},
        {0, "repository", "NAME", "ask with pull on this repository, if not on all", &repository}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    json_t *all = status_rows(c, r, repository);
    int status = rows_status(all);
    if (cli_json(c)) {
        cli_print_json(c, all);
        return status;
    }
    print_status(c, all);
    json_decref(all);
    return status;
}

// ---- list ----

// What a region says of itself as a replica: the least good of its states, or why it says nothing.
static json_t *display_status(struct cli *c, const json_t *rows, const char *region)
{
    static const char *const worst_last[] = {"Ready",    "Syncing",  "NeedsUpgrade", "Retrying",
                                             "NoSpace",  "Refused",  "Unreachable",  "ClockAhead",
                                             "Diverged", "Conflict", "Denied"};
    size_t worst = 0, i, n = 0;
    const char *why = NULL;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *of = json_string_value(json_object_get(row, "region"));
        const char *state = json_string_value(json_object_get(row, "state"));
        if (!of || !state || strcmp(of, region) != 0)
            continue;
        n++;
        if (json_object_get(row, "origin") && !strcmp(state, "Unreachable"))
            state = "Retrying"; // this region answers; it is one of its sources that does not
        for (size_t k = worst + 1; k < ARRAY_LEN(worst_last); k++)
            if (!strcmp(state, worst_last[k])) {
                worst = k;
                why = json_string_value(json_object_get(row, "lastError"));
            }
    }
    const char *status = worst_last[worst];
    if (!n && !c->username) {
        status = "Unknown";
        why = "the regions were not asked: give --username";
    }
    char when[CLOCK_TEXT_SIZE];
    return json_pack("{s:s, s:s?, s:s}", "displayStatus", status, "message", why, "timestamp",
                     clock_format(clock_wall_ms(), when));
}

// What a region that was asked says of operators' orders for it; NULL: it was not, or nothing.
static const char *orders_told(const json_t *rows, const char *region)
{
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *of = json_string_value(json_object_get(row, "region"));
        const char *orders = json_string_value(json_object_get(row, "orders"));
        if (of && orders && strcmp(of, region) == 0)
            return orders;
    }
    return NULL;
}

#define LIST_COLUMNS 7

static int replication_list(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *repository = "status";
    const struct opt own[] = {{'r', "registry", "REGISTRY", "the registry", &name, NULL},
                              {0, "repository", "NAME",
                               "ask with pull on this repository, if not on all", &repository,
                               NULL}};
    int rc = opt_parse(c, own, ARRAY_LEN(own), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    json_t *rows;
    if (c->username || r->anonymous_pull)
        rows = status_rows(c, r, repository);
    else
        rows = json_array();
    struct provisioning states;
    provisioning_open(c, NULL, &states);
    json_t *list = json_array();
    const char **cells = arena_array(&c->arena, LIST_COLUMNS * (r->n_replicas + 1), sizeof *cells);
    const char *head[] = {"name",   "location",       "provisioning state",
                          "status", "global routing", "home stamp",
                          "orders"};
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *rep = &r->replicas[i];
        const char *region = c->topo->regions[rep->region].name;
        json_t *status = display_status(c, rows, region);
        const char *told = orders_told(rows, region);
        const char *orders = cli_region_orders(c, r, rep, told);
        const char *shown = json_string_value(json_object_get(status, "displayStatus"));
        json_t *o = replica_json(c, r, rep, &states);
        const char *row[] = {region,
                             region,
                             arena_strdup(&c->arena, json_text(o, "provisioningState")),
                             arena_strdup(&c->arena, shown ? shown : ""),
                             rep->global_routing ? "true" : "false",
                             cli_home_stamp(c, r, rep),
                             orders};
        memcpy(cells + LIST_COLUMNS * (i + 1), row, sizeof row);
        json_object_set_new(o, "status", status);
        if (*orders)
            json_object_set_new(o, "orders", json_string(orders));
        json_array_append_new(list, o);
    }
    json_decref(rows);
    provisioning_close(&states);
    if (cli_json(c))
        return cli_print_json(c, list);
    cli_table(cells, r->n_replicas + 1, LIST_COLUMNS); // some cells are texts of the list
    json_decref(list);
    return EXIT_DONE;
}

static const struct command replication_cmds[] = {
    {"list",
     "replicas of a registry",
     "-r REGISTRY",
     replication_list,
     USES_ENDPOINT | USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian replication list contoso",
      "meridian replication list -r contoso -u ada --password-file pw"}},
    {"status",
     "how far each region is with each other's writes",
     "-r REGISTRY [--watch]",
     replication_status,
     USES_ENDPOINT | USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian replication status contoso -u ada", "meridian replication status contoso --watch"}},
    {"show",
     "one replica",
     "REGISTRY/REGION",
     replication_show,
     USES_TOPOLOGY | USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian replication show contoso/eastus",
      "meridian replication show -r contoso -n eastus -o yaml"}},
    {"create",
     "a replica in one more region",
     "REGISTRY/REGION [--global-endpoint-routing true|false] [--stamp STAMP] [--weight N]",
     replication_create,
     USES_CHANGE,
     0,
     1,
     {"meridian replication create contoso/westeurope --what-if",
      "meridian replication create -r contoso -l westeurope --global-endpoint-routing false"}},
    {"update",
     "whether it takes clients of the global name, and how many; or at which stamp it is",
     "REGISTRY/REGION [--global-endpoint-routing true|false] [--weight N] | --stamp STAMP",
     replication_update,
     USES_CHANGE,
     0,
     1,
     {"meridian replication update contoso/eastus --global-endpoint-routing false",
      "meridian replication update -r contoso -n eastus --weight 50"}},
    {"delete",
     "take a replica away: its names first, its content after the retention",
     "REGISTRY/REGION",
     replication_delete,
     USES_CHANGE | TAKES_AWAY,
     0,
     1,
     {"meridian replication delete contoso/westeurope --what-if",
      "meridian replication delete -r contoso -n westeurope --yes"}},
};

int cmd_replication(struct cli *c, int argc, char **argv)
{
    const struct command all[] = {
        replication_cmds[0],    replication_cmds[1],     replication_cmds[2],
        replication_cmds[3],    replication_cmds[4],     replication_cmds[5],
        replication_wait_cmd,   replication_drain_cmd,   replication_undrain_cmd,
        replication_feed_cmd,   replication_revoked_cmd, replication_differences_cmd,
        replication_repair_cmd, replication_rebind_cmd};
    return command_group(c, all, ARRAY_LEN(all), argc, argv);
}
