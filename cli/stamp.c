// SPDX-License-Identifier: Apache-2.0
// `meridian stamp`: the machines of a region that a registry's replica is bound to, and leading
// clients away from one. A stamp is named REGION/STAMP.
#include "cli/cli.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/provisioning.h"
#include "cli/registry_words.h"
#include "cli/request.h"
#include "cli/show.h"
#include "cli/stamp_balance.h"

#include <string.h>

#define STAMPS 256 // a replica has its stamp's index in a byte

struct load { // of a stamp
    size_t replicas, drained;
};

static const char *const columns[] = {"region",   "name",    "addresses",
                                      "replicas", "drained", "orders"};

// By region's and stamp's index.
static void loads_of(const struct topology *t, struct load *loads)
{
    struct catalogue_iter it = {0};
    for (const struct registry *r; (r = topology_next(t, &it));)
        for (size_t i = 0; i < r->n_replicas; i++) {
            struct load *l = &loads[r->replicas[i].region * STAMPS + r->replicas[i].stamp];
            l->replicas++;
            l->drained += r->replicas[i].drained;
        }
}

static json_t *addresses_json(const struct stamp *s)
{
    char text[IP_TEXT_SIZE];
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_ipv4; i++)
        json_array_append_new(list, json_string(ip_format(&s->ipv4[i], text)));
    for (size_t i = 0; i < s->n_ipv6; i++)
        json_array_append_new(list, json_string(ip_format(&s->ipv6[i], text)));
    return list;
}

// Until when the operation waits for caches, or waited, wall; 0: it does not. Only a drain does: the
// way back has nothing that caches would have to forget.
static int64_t wait_until(const json_t *operation)
{
    const json_t *phase;
    size_t i;
    json_array_foreach(json_object_get(operation, "phases"), i, phase)
    {
        if (json_object_get(phase, "waitUntil"))
            return json_integer_value(json_object_get(phase, "waitUntil"));
    }
    return 0;
}

// "drained in the topology by operator:ada since …, safe to stop in 42 s": of a stamp all of whose
// replicas are, by the newest operation on it; "" it is not. Arena.
static const char *topology_drain(struct cli *c, const char *region, const char *stamp,
                                  const struct load *l, const struct provisioning *operations)
{
    char when[CLOCK_TEXT_SIZE];
    const json_t *o =
        provisioning_newest(operations, arena_printf(&c->arena, "stamp/%s/%s", region, stamp));
    if (!l->replicas || l->drained < l->replicas)
        return "";
    const char *state = json_text(o, "state"), *safe = "";
    int64_t until = wait_until(o);
    bool runs = !strcmp(state, "Updating"), done = until && !strcmp(state, "Succeeded");
    if (strcmp(json_text(o, "verb"), "stamp drain") != 0 || (!runs && !done))
        return "drained in the topology"; // each by itself, or by a document
    if (done)
        safe = ", safe to stop";
    else if (until)
        safe = arena_printf(&c->arena, ", safe to stop in %lld s",
                            (long long)(until - clock_wall_ms() + 999) / 1000);
    else
        safe = ", not safe to stop yet";
    return arena_printf(&c->arena, "drained in the topology by %s since %s%s", json_text(o, "by"),
                        clock_format(json_integer_value(json_object_get(o, "created")), when),
                        safe);
}

static json_t *stamps_json(struct cli *c, const char *only_region, const char *only_stamp)
{
    const struct topology *t = c->topo;
    struct load *loads = arena_array(&c->arena, t->n_regions * STAMPS, sizeof *loads);
    json_t *list = json_array();
    struct provisioning operations;
    provisioning_open(c, NULL, &operations);
    loads_of(t, loads);
    for (size_t i = 0; i < t->n_regions; i++) {
        const struct region *region = &t->regions[i];
        for (size_t k = 0; k < region->n_stamps; k++) {
            const struct stamp *s = &region->stamps[k];
            const struct load *l = &loads[i * STAMPS + k];
            if ((only_region && strcmp(only_region, region->name) != 0) ||
                (only_stamp && strcmp(only_stamp, s->name) != 0))
                continue;
            const char *orders = cli_stamp_orders(c, region->name);
            const char *drain = topology_drain(c, region->name, s->name, l, &operations);
            orders =
                arena_printf(&c->arena, "%s%s%s", drain, *drain && *orders ? "; " : "", orders);
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:o, s:I, s:I, s:s?}", "region", region->name, "name",
                                s->name, "addresses", addresses_json(s), "replicas",
                                (json_int_t)l->replicas, "drained", (json_int_t)l->drained,
                                "orders", *orders ? orders : NULL));
        }
    }
    provisioning_close(&operations);
    return list;
}

static int stamp_list(struct cli *c, int argc, char **argv)
{
    const char *region = NULL;
    const struct opt rows[] = {
        {'l', "location", "REGION", "only of this region", &region, .also = "region"}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    if (region && !cli_region(c, words_plain(c, region)))
        return EXIT_FAILED;
    return cli_print_rows(c, stamps_json(c, words_plain(c, region), NULL), columns,
                          ARRAY_LEN(columns));
}

// "eastus/eus-1"; or a stamp's name alone, where one region alone has it.
static int split(struct cli *c, const char *word, const char **out_region, const char **out_stamp)
{
    const char *slash = strchr(word, '/');
    if (slash) {
        *out_region = words_plain(c, arena_strndup(&c->arena, word, (size_t)(slash - word)));
        *out_stamp = slash + 1;
        return EXIT_DONE;
    }
    return cli_fail(EXIT_USAGE, "%s: a stamp is named REGION/STAMP, as in eastus/eus-1", c->path);
}

static int stamp_show(struct cli *c, int argc, char **argv)
{
    const char *region, *stamp;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = split(c, argv[1], &region, &stamp);
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    json_t *list = stamps_json(c, region, stamp);
    if (!json_array_size(list)) {
        json_decref(list);
        return cli_fail(EXIT_UNKNOWN, "%s: there is no stamp %s; `meridian stamp list` lists them",
                        c->path, argv[1]);
    }
    if (!cli_json(c))
        return cli_print_rows(c, list, columns, ARRAY_LEN(columns));
    json_t *one = json_incref(json_array_get(list, 0));
    json_decref(list);
    return cli_print_json(c, one);
}

static int drain(struct cli *c, int argc, char **argv, bool drained)
{
    const char *region, *stamp;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = split(c, argv[1], &region, &stamp);
    if (rc)
        return rc;
    return cli_request(c,
                       &(struct request){.verb = "stamp drain",
                                         .object = arena_printf(&c->arena, "%s/%s", region, stamp),
                                         .arguments = json_pack("{s:b}", "drained", drained)});
}

static int stamp_drain(struct cli *c, int argc, char **argv)
{
    return drain(c, argc, argv, true);
}

static int stamp_undrain(struct cli *c, int argc, char **argv)
{
    return drain(c, argc, argv, false);
}

static const struct command stamp_cmds[] = {
    {"list",
     "the stamps of all regions, with what is bound to them",
     "[--location REGION]",
     stamp_list,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian stamp list", "meridian stamp list --location eastus -o json"}},
    {"show",
     "one stamp",
     "REGION/STAMP",
     stamp_show,
     USES_TOPOLOGY | USES_ADMIN,
     1,
     1,
     {"meridian stamp show eastus/eus-1",
      "meridian stamp show eastus/eus-1 --query addresses -o tsv"}},
    {"drain",
     "lead clients of the global names of all its registries elsewhere",
     "REGION/STAMP",
     stamp_drain,
     USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian stamp drain eastus/eus-1 --what-if", "meridian stamp drain eastus/eus-1 --yes"}},
    {"undrain",
     "let it take clients again",
     "REGION/STAMP",
     stamp_undrain,
     USES_CHANGE,
     1,
     1,
     {"meridian stamp undrain eastus/eus-1", "meridian stamp undrain eastus/eus-1 --no-wait"}},
    {"balance",
     "which registries of a region should move to which stamp, and why; it moves nothing",
     "--region REGION --load FILE [--explain]",
     stamp_balance,
     0,
     0,
     0,
     {"meridian stamp balance --region eastus --load eastus.json --explain",
      "meridian stamp balance --region eastus --load eastus.json -o json --query waves"}},
};

int cmd_stamp(struct cli *c, int argc, char **argv)
{
    return command_group(c, stamp_cmds, ARRAY_LEN(stamp_cmds), argc, argv);
}
