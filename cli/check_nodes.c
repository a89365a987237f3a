// SPDX-License-Identifier: Apache-2.0
// `check-health --nodes`: the nodes of the fleet, as one of them has heard it. See check.h.
#include "cli/check.h"
#include "cli/fleet_status.h"

#include <string.h>

static const char *text_of(const json_t *v, const char *member, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(v, member));
    if (text)
        return text;
    return otherwise;
}

static long long number_of(const json_t *v, const char *member)
{
    return (long long)json_integer_value(json_object_get(v, member));
}

// What is looked at, with what was found: that is shown whether it is fine or not.
static const char *facts_of(struct cli *c, const json_t *report)
{
    const char *clock = fleet_clock(c, report), *until = fleet_certificates_until(c, report);
    bool closed = json_is_string(json_object_get(report, "writesClosed"));
    return arena_printf(
        &c->arena, "node (release %s, topology %lld, principals %lld, clock %s, writes %s%s%s)",
        text_of(report, "version", "?"), number_of(report, "topologyVersion"),
        number_of(report, "principalsVersion"), *clock ? clock : "as here",
        closed ? "closed" : "open", *until ? ", certificates until " : "", until);
}

// The first condition that is more than a hint; NULL: none. Every condition of a node says how it is
// mended.
static const char *condition_of(struct cli *c, const json_t *report)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(report, "conditions"), i, one) return arena_printf(
        &c->arena, "%s (%s)", text_of(one, "sentence", "?"), text_of(one, "name", "?"));
    return NULL;
}

static bool check_node(struct check *k, const json_t *report)
{
    const char *region = text_of(report, "region", "?");
    const struct place p = {.kind = NAME_FRONTEND,
                            .host = region,
                            .at = topology_region(k->c->topo, region),
                            .led = true};
    if (!json_is_true(json_object_get(report, "reached")))
        return check_report(k, &p, "node", "NODE_AWAY_ERROR", text_of(report, "why", "no answer"));
    const char *why = condition_of(k->c, report);
    return check_report(k, &p, facts_of(k->c, report), why ? "NODE_CONDITION_ERROR" : NULL, why);
}

bool check_nodes(struct check *k)
{
    json_t *all = NULL, *one;
    size_t i;
    bool go = true;
    int rc = cli_admin(k->c, "GET", "/v1/fleet", &all);
    if (rc) { // it said why
        k->n_errors++;
        if (!k->status)
            k->status = rc;
        return k->ignore_errors;
    }
    json_array_foreach(all, i, one) if (go) go = check_node(k, one);
    json_decref(all);
    return go;
}
