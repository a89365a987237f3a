// SPDX-License-Identifier: Apache-2.0
// `meridian show-endpoints`: the hostnames of a registry. Field names are those of `az acr
// show-endpoints`.
#include "cli/registry_view.h"

#include "base/mem.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

static json_t *endpoint_list(struct cli *c, enum name_kind kind, const struct registry *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_replicas; i++) {
        if (!registry_name_is_public(r, kind, r->replicas[i].region))
            continue;
        const char *region = c->topo->regions[r->replicas[i].region].name;
        const char *orders = cli_region_orders(c, r, &r->replicas[i], NULL);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s*}", "region", region, "endpoint",
                                              registry_host(c, kind, r, region), "orders",
                                              *orders ? orders : NULL));
    }
    return list;
}

static json_t *endpoints_json(struct cli *c, const struct registry *r)
{
    return json_pack("{s:s, s:o, s:o}", "loginServer", registry_host(c, NAME_GLOBAL, r, NULL),
                     "dataEndpoints", endpoint_list(c, NAME_DATA, r), "regionalEndpoints",
                     endpoint_list(c, NAME_REGIONAL, r));
}

int cmd_show_endpoints(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    const struct opt rows[] = {{'n', "name", "REGISTRY", "the registry", &name, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r) {
        if (name || argc > 1)
            return EXIT_FAILED;
        return EXIT_USAGE;
    }
    if (cli_json(c))
        return cli_print_json(c, endpoints_json(c, r));
    size_t n = 0;
    const char **cells = arena_array(&c->arena, 4 * (2 + 2 * r->n_replicas), sizeof *cells);
    const char *head[] = {"kind", "region", "endpoint", "orders"};
    memcpy(cells, head, sizeof head);
    cells[4] = "global", cells[5] = "", cells[6] = registry_host(c, NAME_GLOBAL, r, NULL),
    cells[7] = "";
    n = 2;
    const enum name_kind kinds[] = {NAME_REGIONAL, NAME_DATA};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < r->n_replicas; i++) {
            if (!registry_name_is_public(r, kinds[k], r->replicas[i].region))
                continue;
            const char *region = c->topo->regions[r->replicas[i].region].name;
            cells[4 * n] = k ? "data" : "regional";
            cells[4 * n + 1] = region;
            cells[4 * n + 2] = registry_host(c, kinds[k], r, region);
            cells[4 * n + 3] = cli_region_orders(c, r, &r->replicas[i], NULL);
            n++;
        }
    cli_table(cells, n, 4);
    return EXIT_DONE;
}
