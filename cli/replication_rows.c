// SPDX-License-Identifier: Apache-2.0
// Rows of a registry, asked of each of its regions and shown as one table; see replication.h.
#include "cli/replication.h"

#include "base/mem.h"

const char *replication_text(const json_t *o, const char *member)
{
    const char *s = json_string_value(json_object_get(o, member));
    if (s && *s)
        return s;
    return "-";
}

void replication_rows_take(const json_t *doc, const char *name, const struct region *at,
                           json_t *all)
{
    json_t *o;
    size_t i;
    json_array_foreach(json_object_get(doc, name), i, o)
    {
        json_object_set_new(o, "region", json_string(at->name));
        json_array_append(all, o);
    }
}

static int rows_ask(struct cli *c, const struct replication_rows *w, const struct registry *r,
                    const struct region *only, const char *repository, json_t *all)
{
    int worst = EXIT_DONE;
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct region *region = &c->topo->regions[r->replicas[i].region];
        if (only && only != region)
            continue;
        int rc = w->add(c, r, region, repository, all);
        if (rc > worst)
            worst = rc;
    }
    return worst;
}

int replication_rows_run(struct cli *c, const struct replication_rows *w, int argc, char **argv)
{
    const char *name = NULL, *repository = "status", *at = NULL;
    const struct opt rows[] = {
        {'r', "registry", "REGISTRY", "the registry", &name, NULL},
        {0, "region", "REGION", w->region_help, &at, NULL},
        {0, "repository", "NAME",
         "also of this repository, of a user whose catalogue does not show it", &repository, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r && !name && argc <= 1)
        return EXIT_USAGE;
    if (!r)
        return EXIT_FAILED;
    const struct region *only = NULL;
    if (at)
        only = cli_region(c, at);
    if (at && !only)
        return EXIT_FAILED;
    json_t *all = json_array();
    rc = rows_ask(c, w, r, only, repository, all);
    if (!rc && w->judge)
        rc = w->judge(all);
    if (cli_json(c)) {
        cli_print_json(c, all);
    } else {
        w->print(c, all);
        json_decref(all);
    }
    return rc;
}
