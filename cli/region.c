// SPDX-License-Identifier: Apache-2.0
// `meridian region`: regions of the fleet. A region comes by `meridian fleet join`; `add` only writes
// its row, for those who want the topology to say where it is before. `replace` makes a token for a
// region whose node is lost, `remove` takes one out, `forget` seals one that never comes back.
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/join_token.h"
#include "cli/request.h"
#include "config/topology_control.h"
#include "control/regions.h"

#include <string.h>

static json_t *words(const struct opt_list *l, bool v4)
{
    json_t *list = json_array();
    for (size_t i = 0; i < l->n; i++) {
        struct ip ip;
        if (!ip_parse(l->v[i], &ip) && ip_is_v4(&ip) == v4)
            json_array_append_new(list, json_string(l->v[i]));
    }
    return list;
}

static int region_add(struct cli *c, int argc, char **argv)
{
    const char *stamp = NULL, *peer = NULL, *location = NULL;
    struct opt_list addresses = {0};
    bool name_server = false;
    const struct opt rows[] = {
        {0, "address", "ADDRESS", "address at which clients reach it; may be repeated",
         .list = &addresses},
        {0, "stamp", "STAMP", "name of its stamp; REGION-1 when not given", &stamp},
        {0, "peer", "ADDRESS:PORT", "where other regions reach it; the first address and port 8443",
         &peer},
        {0, "location", "LAT,LONG", "where it is, for routing by distance", &location},
        {0, "name-server", NULL, "its stamp is to answer for the domain", NULL, &name_server}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    struct ip ip;
    for (size_t i = 0; i < addresses.n; i++)
        if (ip_parse(addresses.v[i], &ip))
            return cli_fail(EXIT_USAGE, "--address %s: not an IP address", addresses.v[i]);
    if (!addresses.n)
        return cli_fail(EXIT_USAGE, "region add: give at least one --address");
    if (!stamp)
        stamp = arena_printf(&c->arena, "%s-1", argv[1]);
    if (!peer && strchr(addresses.v[0], ':'))
        peer = arena_printf(&c->arena, "[%s]:8443", addresses.v[0]);
    else if (!peer)
        peer = arena_printf(&c->arena, "%s:8443", addresses.v[0]);
    json_t *arguments = json_pack("{s:s, s:s, s:o, s:o, s:b}", "stamp", stamp, "peer", peer, "ipv4",
                                  words(&addresses, true), "ipv6", words(&addresses, false),
                                  "nameServer", (int)name_server);
    if (location)
        json_object_set_new(arguments, "location", json_string(location));
    return cli_request(
        c, &(struct request){.verb = "region add", .object = argv[1], .arguments = arguments});
}

static int region_remove(struct cli *c, int argc, char **argv)
{
    return cli_request_word(c, "region remove", argc, argv);
}

static int region_forget(struct cli *c, int argc, char **argv)
{
    bool without_away = false;
    const struct opt rows[] = {
        {0, "without-away", NULL,
         "do not wait for regions that are away and may hold more of what it "
         "wrote",
         NULL, &without_away}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    json_t *arguments = json_object();
    if (without_away)
        json_object_set_new(arguments, "withoutAway", json_true());
    return cli_request(c, &(struct request){.verb = "region forget",
                                            .object = argv[1],
                                            .arguments = arguments,
                                            .says_notes = true});
}

static int region_replace(struct cli *c, int argc, char **argv)
{
    const char *valid = NULL;
    const struct opt rows[] = {{0, "valid", "TIME", "how long; 1h when not given", &valid}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    return join_token_make(c, argv[1], valid, true);
}

static json_t *stamps_json(const struct region *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_stamps; i++) {
        const struct stamp *s = &r->stamps[i];
        json_t *addresses = json_array();
        char text[IP_TEXT_SIZE];
        for (size_t k = 0; k < s->n_ipv4; k++)
            json_array_append_new(addresses, json_string(ip_format(&s->ipv4[k], text)));
        for (size_t k = 0; k < s->n_ipv6; k++)
            json_array_append_new(addresses, json_string(ip_format(&s->ipv6[k], text)));
        json_array_append_new(list,
                              json_pack("{s:s, s:o}", "name", s->name, "addresses", addresses));
    }
    return list;
}

// A region without a fingerprint has a row, and has not joined.
static const char *state_of(const struct region *r)
{
    if (r->sealed)
        return "forgotten";
    return r->n_peer_fingerprints ? "joined" : "expected";
}

static json_t *region_json(const struct topology *t, const struct region *r)
{
    char peer[ENDPOINT_TEXT_SIZE];
    return json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "name", r->name, "state", state_of(r),
                     "peer", endpoint_format(&r->peer, peer), "writer", topology_writer(t) == r,
                     "ca", t->ca_region && !strcmp(t->ca_region, r->name), "stamps",
                     stamps_json(r));
}

static int region_list(struct cli *c, int argc, char **argv)
{
    static const char *const columns[] = {"name", "state", "peer", "writer", "ca"};
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < c->topo->n_regions; i++)
        json_array_append_new(list, region_json(c->topo, &c->topo->regions[i]));
    return cli_print_rows(c, list, columns, ARRAY_LEN(columns));
}

static const struct command region_cmds[] = {
    {"list",
     "the regions of the fleet",
     "",
     region_list,
     USES_ADMIN | USES_TOPOLOGY,
     0,
     0,
     {"meridian region list", "meridian region list -o yaml"}},
    {"add",
     "write a region's row before it joins",
     "REGION --address ADDRESS",
     region_add,
     USES_CHANGE,
     1,
     1,
     {"meridian region add westeurope --address 192.0.2.2",
      "meridian region add westeurope --address 192.0.2.2 --stamp weu-1 --what-if"}},
    {"remove",
     "take a region out of the fleet: its keys count for nothing from then on",
     "REGION",
     region_remove,
     USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian region remove westeurope", "meridian region remove westeurope --what-if"}},
    {"forget",
     "seal a region that never comes back: what it wrote counts as far as any other region holds "
     "it, "
     "and nothing waits for it any more",
     "REGION",
     region_forget,
     USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian region forget westeurope --what-if", "meridian region forget westeurope --yes"}},
    {"replace",
     "make a join token for a region whose node is lost; its old keys end when the new node joins",
     "REGION [--valid TIME]",
     region_replace,
     USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian region replace westeurope",
      "meridian region replace westeurope --valid 15m --yes"}},
};

int cmd_region(struct cli *c, int argc, char **argv)
{
    const struct command all[] = {region_cmds[0], region_cmds[1], region_cmds[2],
                                  region_cmds[3], region_cmds[4], region_rebuild_cmd};
    return command_group(c, all, ARRAY_LEN(all), argc, argv);
}
