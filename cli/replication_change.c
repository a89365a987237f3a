// SPDX-License-Identifier: Apache-2.0
// `meridian replication show|create|update|delete`: replicas of a registry, one in a region. A
// replica is named REGISTRY/REGION, or as az does it: -r REGISTRY -l REGION, or -n REGION.
#include "cli/registry_view.h"

#include "base/mem.h"
#include "cli/registry_words.h"
#include "cli/replication.h"
#include "cli/request.h"

#include <string.h>

struct place_words {
    const char *registry, *location, *name;
    // "contoso/eastus"
    const char *object;
};

#define PLACE_OPTS(p)                                                                         \
    {'r', "registry", "REGISTRY", "the registry", &(p).registry},                             \
        {'l', "location", "REGION", "the replica's region", &(p).location, .also = "region"}, \
    {                                                                                         \
        'n', "name", "REGION", "the replica's name, which is that of its region", &(p).name   \
    }

static int place_take(struct cli *c, struct place_words *p, int argc, char **argv)
{
    const char *word = NULL, *region = p->location;
    if (!region)
        region = p->name;
    if (argc > 1)
        word = argv[1];
    const char *slash = NULL;
    if (word)
        slash = strchr(word, '/');
    if (slash && (p->registry || region))
        return cli_fail(EXIT_USAGE, "%s: %s says it all; leave --registry and --location out",
                        c->path, word);
    if (slash) {
        p->registry = arena_strndup(&c->arena, word, (size_t)(slash - word));
        region = slash + 1;
    } else if (word && p->registry && strcmp(word, p->registry) != 0) {
        return cli_fail(EXIT_USAGE, "%s: --registry says %s, and %s stands there as well", c->path,
                        p->registry, word);
    } else if (word) {
        p->registry = word;
    }
    if (!p->registry || !region)
        return cli_fail(EXIT_USAGE, "%s: name a replica: REGISTRY/REGION, or -r REGISTRY -l REGION",
                        c->path);
    if (p->location && p->name && strcmp(words_plain(c, p->location), words_plain(c, p->name)) != 0)
        return cli_fail(EXIT_USAGE, "%s: a replica has the name of its region: --name %s is not %s",
                        c->path, p->name, p->location);
    p->registry = words_plain(c, p->registry);
    p->location = words_plain(c, region);
    p->object = arena_printf(&c->arena, "%s/%s", p->registry, p->location);
    return EXIT_DONE;
}

static int place_parse(struct cli *c, struct place_words *p, const struct opt *rows, size_t n_rows,
                       int argc, char **argv)
{
    int rc = opt_parse(c, rows, n_rows, argc, argv, &argc);
    if (rc)
        return rc;
    return place_take(c, p, argc, argv);
}

static int print_it(struct cli *c, const struct place_words *p)
{
    const struct registry *r = cli_registry(c, p->registry);
    if (!r)
        return EXIT_FAILED;
    const struct region *region = cli_region(c, p->location);
    if (!region)
        return EXIT_FAILED;
    const struct replica *rep = registry_replica(r, region->index);
    if (!rep)
        return cli_fail(EXIT_UNKNOWN, "%s: registry %s has no replica in %s", c->path, r->name,
                        region->name);
    return replica_print(c, r, rep);
}

int replication_show(struct cli *c, int argc, char **argv)
{
    struct place_words p = {0};
    const struct opt rows[] = {PLACE_OPTS(p)};
    int rc = place_parse(c, &p, rows, ARRAY_LEN(rows), argc, argv);
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    return print_it(c, &p);
}

static int show_changed(struct cli *c, const json_t *answer, void *ctx)
{
    (void)answer;
    int rc = cli_topology_of_node(c);
    if (rc)
        return rc;
    return print_it(c, ctx);
}

// Asks with these arguments (taken), unless `rc` says that they could not be had.
static int change(struct cli *c, const char *verb, struct place_words *p, json_t *arguments, int rc)
{
    const struct request q = {
        .verb = verb, .object = p->object, .arguments = arguments, .show = show_changed, .ctx = p};
    return cli_request_if(c, rc, &q);
}

static void put_switch(json_t *arguments, const char *member, const char *choice)
{
    if (choice)
        json_object_set_new(arguments, member, json_boolean(words_on(choice)));
}

// What both take. `weight` below 0: not said.
static void put_routing(json_t *arguments, const char *routing, int64_t weight)
{
    put_switch(arguments, "globalEndpointRouting", routing);
    if (weight >= 0)
        json_object_set_new(arguments, "weight", json_integer(weight));
}

#define ROUTING_OPTS(routing, weight)                                           \
    {0,                                                                         \
     "global-endpoint-routing",                                                 \
     "true|false",                                                              \
     "does it take clients of the global name?",                                \
     &(routing),                                                                \
     .choices = ON_OFF_CHOICES,                                                 \
     .may_be_bare = true,                                                       \
     .also = "region-endpoint-enabled"},                                        \
    {                                                                           \
        0, "weight", "N", "its share of clients among equally near ones (100)", \
            .number = &(weight), .min = 0, .max = 100                           \
    }

int replication_create(struct cli *c, int argc, char **argv)
{
    struct place_words p = {0};
    const char *routing = NULL, *stamp = NULL;
    int64_t weight = -1;
    bool early = false;
    struct opt_list ip = {0};
    const struct opt rows[] = {
        PLACE_OPTS(p),
        ROUTING_OPTS(routing, weight),
        {0, "stamp", "STAMP", "the stamp of the region that serves it", &stamp},
        {0, "early", NULL, "take clients of the global name before its content is there",
         .flag = &early},
        IP_OPT(ip)};
    int rc = place_parse(c, &p, rows, ARRAY_LEN(rows), argc, argv);
    if (rc)
        return rc;
    json_t *a = json_object();
    put_routing(a, routing, weight);
    words_put(a, "stamp", stamp);
    if (early)
        json_object_set_new(a, "early", json_true());
    rc = words_put_ip(c, a, &ip);
    return change(c, "replication create", &p, a, rc);
}

int replication_update(struct cli *c, int argc, char **argv)
{
    struct place_words p = {0};
    const char *routing = NULL, *drained = NULL, *stamp = NULL;
    int64_t weight = -1;
    const struct opt rows[] = {
        PLACE_OPTS(p),
        ROUTING_OPTS(routing, weight),
        {0, "stamp", "STAMP", "move it to that stamp of its region, by itself", &stamp},
        {0, "drained", "true|false", "lead clients of the global name elsewhere, until it is false",
         &drained, .choices = ON_OFF_CHOICES, .may_be_bare = true}};
    int rc = place_parse(c, &p, rows, ARRAY_LEN(rows), argc, argv);
    if (rc)
        return rc;
    json_t *a = json_object();
    put_routing(a, routing, weight);
    put_switch(a, "drained", drained);
    words_put(a, "stamp", stamp);
    rc = words_some(c, a, "--weight 50");
    return change(c, "replication update", &p, a, rc);
}

int replication_delete(struct cli *c, int argc, char **argv)
{
    struct place_words p = {0};
    bool no_wait = false;
    const struct opt rows[] = {PLACE_OPTS(p),
                               {0, "no-wait-for-content", NULL,
                                "also when the other replicas do not have all that it wrote",
                                .flag = &no_wait}};
    int rc = place_parse(c, &p, rows, ARRAY_LEN(rows), argc, argv);
    if (rc)
        return rc;
    json_t *a = json_object();
    if (no_wait)
        json_object_set_new(a, "waitForContent", json_false());
    return cli_request(
        c, &(struct request){.verb = "replication delete", .object = p.object, .arguments = a});
}
