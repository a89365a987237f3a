// SPDX-License-Identifier: Apache-2.0
// `meridian audit`: who did what in a registry, from the audit logs of its regions, newest first. Each
// region has the lines of what it answered.
#include "cli/registry_api.h"

#include "base/mem.h"
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_DEFAULT 100
#define EVENTS_MAX 100000

// The newest `most` events of one region, at the end of `all`.
static int events_of(struct registry_api *api, const char *since, size_t most, json_t *all)
{
    struct cli *c = api->c;
    const char *more = "", *last = "";
    if (since)
        more = arena_printf(&c->arena, "&since=%s", cli_urlencode(c, since));
    for (size_t n = 0; n < most;) {
        json_t *page = NULL;
        size_t ask = most - n < 1000 ? most - n : 1000;
        const struct api_request q = {
            .path = arena_printf(&c->arena, "/registry/v1/audit?n=%zu%s%s", ask, more, last),
            .about = api->registry->name};
        int rc = api_call(api, &q, &page);
        if (rc)
            return rc;
        json_t *events = json_object_get(page, "events");
        const char *next = json_string_value(json_object_get(page, "next"));
        n += json_array_size(events);
        json_array_extend(all, events);
        if (next)
            last = arena_printf(&c->arena, "&last=%s", cli_urlencode(c, next));
        json_decref(page);
        if (!next)
            return EXIT_DONE;
    }
    return EXIT_DONE;
}

static int region_add(struct cli *c, const struct registry *r, const char *region,
                      const char *since, size_t most, json_t *all)
{
    struct registry_api api;
    int rc = api_open(c, r, region, "registry:audit:*", &api);
    if (!rc)
        rc = events_of(&api, since, most, all);
    api_close(&api);
    return rc;
}

static int newest_first(const void *a, const void *b)
{
    json_t *const *x = a, *const *y = b;
    return strcmp(json_text(*y, "time"), json_text(*x, "time"));
}

// As one list by time. Takes `all`; NULL: no memory.
static json_t *merged(json_t *all, size_t most)
{
    size_t n = json_array_size(all);
    json_t *out = json_array();
    AUTO_FREE json_t **list = mem_zalloc_array(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        list[i] = json_array_get(all, i);
    if (list)
        qsort(list, n, sizeof(json_t *), newest_first);
    for (size_t i = 0; list && i < n && i < most; i++)
        json_array_append(out, list[i]);
    json_decref(all);
    if (list)
        return out;
    json_decref(out);
    return NULL;
}

static void print_events(struct cli *c, const json_t *all)
{
    static const char *const keys[] = {"time",   "region",     "what",      "outcome", "principal",
                                       "client", "repository", "reference", "digest",  "why"};
    size_t n = json_array_size(all);
    const char **cells = arena_array(&c->arena, ARRAY_LEN(keys) * (n + 1), sizeof *cells);
    memcpy(cells, keys, sizeof keys);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(keys); k++)
            cells[(i + 1) * ARRAY_LEN(keys) + k] = json_text(json_array_get(all, i), keys[k]);
    cli_table(cells, n + 1, ARRAY_LEN(keys));
}

static int audit_of(struct cli *c, const struct registry *r, const char *region, const char *since,
                    size_t most)
{
    json_t *all = json_array();
    int worst = EXIT_DONE;
    size_t asked = 0;
    for (size_t i = 0; i < r->n_replicas; i++) {
        const char *name = c->topo->regions[r->replicas[i].region].name;
        if (region && strcmp(region, name) != 0)
            continue;
        asked++;
        int rc = region_add(c, r, name, since, most, all);
        if (rc > worst)
            worst = rc;
    }
    all = merged(all, most);
    if (!asked)
        worst = cli_fail(EXIT_FAILED, "%s has no replica in %s", r->name, region);
    else if (cli_json(c))
        cli_print_json(c, json_incref(all));
    else
        print_events(c, all);
    json_decref(all);
    return worst;
}

int cmd_audit(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *region = NULL, *since = NULL;
    int64_t most = EVENTS_DEFAULT;
    const struct opt rows[] = {
        {'n', "name", "REGISTRY", "the registry", &name, NULL},
        {0, "region", "REGION", "only what this region answered (default: all of the registry's)",
         &region, NULL},
        {0, "since", "TIME", "only then or later, as in 2026-11-29T09:20:55Z", &since, NULL},
        {0, "last", "N", "so many of the newest (default: 100)", .number = &most, .min = 1,
         .max = EVENTS_MAX}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (!name && argc != 2)
        return cli_fail(EXIT_USAGE, "audit: give a REGISTRY");
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r)
        return EXIT_FAILED;
    if (c->password_stdin && !region && r->n_replicas > 1)
        return cli_fail(EXIT_USAGE, "audit asks every region: give --password-file, not "
                                    "--password-stdin, or one --region");
    return audit_of(c, r, region, since, (size_t)most);
}
