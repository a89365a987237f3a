// SPDX-License-Identifier: Apache-2.0
// Orders that an operator gives to the resolvers through a node's admin socket: `replication
// drain|undrain`, `health impair|clear`, and what they and the other resolvers say: `health
// orders|peers`.
#include "cli/cli.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 1000

static const char *const order_columns[] = {"order", "state", "region",   "registry",   "on",
                                            "by",    "safe",  "safeInMs", "waitingFor", "text"};
static const char *const peer_columns[] = {
    "region",        "resolver",  "heardMsAgo", "error",           "headroom",         "impaired",
    "clockOffsetMs", "deepError", "version",    "topologyVersion", "principalsVersion"};

static int show(struct cli *c, const char *path, const char *const *columns, size_t n, int argc,
                char **argv)
{
    json_t *doc = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_admin(c, "GET", path, &doc);
    if (rc)
        return rc;
    return cli_print_rows(c, doc, columns, n);
}

// Only where a node is: without one nothing is said, for commands that need none.
static const json_t *orders_here(struct cli *c)
{
    bool asked = c->asked_orders;
    c->asked_orders = true;
    if (asked || access(c->admin, R_OK | W_OK) || (!c->fetcher && fetcher_new(&c->fetcher)))
        return c->orders;
    struct fetch_result r;
    const struct fetch_request q = {.method = "GET",
                                    .url = "http://admin/v1/health/orders",
                                    .unix_socket = c->admin,
                                    .timeout_ms = 5000,
                                    .max_bytes = 4 << 20};
    int rc = fetch_run(c->fetcher, &q, &r);
    if (rc || r.status != 200)
        c->orders = NULL;
    else
        c->orders = json_said(&r.body, 0);
    fetch_result_done(&r);
    return c->orders;
}

// The texts of those in force there: of all registries, and (unless NULL) of the one with that label.
static const char *orders_of(struct cli *c, const char *region, const char *label, const char *out)
{
    const json_t *all = orders_here(c);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        const char *of = json_string_value(json_object_get(one, "region"));
        const char *registry = json_string_value(json_object_get(one, "registry"));
        // only of one that is in force
        const char *text = json_string_value(json_object_get(one, "text"));
        if (!text || !of || !registry || strcmp(of, region) != 0)
            continue;
        if (strcmp(registry, "*") == 0 || (label && strcmp(registry, label) == 0))
            out = arena_printf(&c->arena, "%s%s%s", out, *out ? "; " : "", text);
    }
    return out;
}

const char *cli_stamp_orders(struct cli *c, const char *region)
{
    return orders_of(c, region, NULL, "");
}

const char *cli_region_orders(struct cli *c, const struct registry *r, const struct replica *rep,
                              const char *told)
{
    const char *out = rep->drained ? "drained in the topology" : "",
               *region = c->topo->regions[rep->region].name;
    if (told)
        return arena_printf(&c->arena, "%s%s%s", out, *out ? "; " : "", told);
    return orders_of(c, region, r->label, out);
}

static int health_orders_run(struct cli *c, int argc, char **argv)
{
    return show(c, "/v1/health/orders", order_columns, ARRAY_LEN(order_columns), argc, argv);
}

static int health_peers_run(struct cli *c, int argc, char **argv)
{
    return show(c, "/v1/health/peers", peer_columns, ARRAY_LEN(peer_columns), argc, argv);
}

static int give(struct cli *c, const char *order, const char *region, const char *registry, bool on,
                json_t **out)
{
    const char *more = "";
    if (registry)
        more = arena_printf(&c->arena, "&registry=%s", cli_urlencode(c, registry));
    return cli_admin(c, "POST",
                     arena_printf(&c->arena, "/v1/health/orders?order=%s&region=%s%s&on=%s", order,
                                  cli_urlencode(c, region), more, on ? "true" : "false"),
                     out);
}

static int impair(struct cli *c, bool on, int argc, char **argv)
{
    const char *region = NULL;
    json_t *doc = NULL;
    const struct opt rows[] = {
        {0, "region", "REGION", "where the registry cannot be served", &region, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 2 || !region)
        return cli_fail(EXIT_USAGE, "health %s: give one REGISTRY and --region REGION",
                        c->row->name);
    rc = give(c, "impair", region, argv[1], on, &doc);
    if (rc)
        return rc;
    return cli_print_rows(c, doc, order_columns, ARRAY_LEN(order_columns));
}

static int health_impair_run(struct cli *c, int argc, char **argv)
{
    return impair(c, true, argc, argv);
}

static int health_clear_run(struct cli *c, int argc, char **argv)
{
    return impair(c, false, argc, argv);
}

// The drain of that region and registry ("*": all) among the orders. NULL: it is not in force.
static const json_t *drain_of(const json_t *orders, const char *region, const char *registry)
{
    size_t i;
    json_t *x;
    json_array_foreach((json_t *)orders, i, x)
    {
        const char *order = json_string_value(json_object_get(x, "order")),
                   *where = json_string_value(json_object_get(x, "region")),
                   *whose = json_string_value(json_object_get(x, "registry"));
        if (order && where && whose && !strcmp(order, "drain") && !strcmp(where, region) &&
            !strcmp(whose, registry) && json_is_true(json_object_get(x, "on")))
            return x;
    }
    return NULL;
}

static void tell(const json_t *drain)
{
    const json_t *left = json_object_get(drain, "safeInMs"),
                 *wait = json_object_get(drain, "waitingFor");
    if (json_is_integer(left)) {
        fprintf(stderr, "safe in %lld s\n", (long long)((json_integer_value(left) + 999) / 1000));
        return;
    }
    for (size_t i = 0; i < json_array_size(wait); i++)
        fprintf(stderr, "%s%s", i ? ", " : "waiting for the resolver of ",
                json_string_value(json_array_get(wait, i)));
    fprintf(stderr, "\n");
}

// Takes `doc`, and puts the last answer in its place.
static int wait_safe(struct cli *c, const char *region, const char *label, int64_t timeout_ms,
                     json_t **doc)
{
    int64_t until = clock_mono_ms() + timeout_ms, told = 0;
    for (;;) {
        const json_t *drain = drain_of(*doc, region, label);
        if (!drain)
            return cli_fail(EXIT_FAILED, "drain: it was taken back meanwhile");
        if (json_is_true(json_object_get(drain, "safe")))
            return EXIT_DONE;
        int64_t now = clock_mono_ms();
        if (now - told >= 10 * LOOK_MS || !told) {
            tell(drain);
            told = now;
        }
        if (now >= until)
            return cli_fail(EXIT_NOT_YET, "drain: it is not yet safe to stop %s", region);
        clock_sleep_ms(LOOK_MS);
        json_decref(*doc);
        *doc = NULL;
        int rc = cli_admin(c, "GET", "/v1/health/orders", doc);
        if (rc)
            return rc;
    }
}

static int64_t seconds(const char *text)
{
    char *unit;
    double n = strtod(text, &unit);
    int64_t each = -1;
    if (!strcmp(unit, "s") || !*unit)
        each = 1000;
    else if (!strcmp(unit, "m"))
        each = 60000;
    else if (!strcmp(unit, "ms"))
        each = 1;
    if (n >= 0 && n <= 1e7 && each > 0)
        return (int64_t)(n * (double)each);
    return -1;
}

static int drain(struct cli *c, bool on, int argc, char **argv)
{
    const char *region = NULL, *timeout = "10m";
    bool wait = false;
    json_t *doc = NULL;
    const struct opt rows[] = {
        {0, "region", "REGION", "the region", &region, NULL},
        {0, "wait", NULL, "until it is safe to stop the region", NULL, &wait},
        {0, "timeout", "TIME", "how long to wait: 90s, 10m (default)", &timeout, NULL}};
    int rc = opt_parse(c, rows, on ? ARRAY_LEN(rows) : 1, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc > 2 || !region || seconds(timeout) < 0)
        return cli_fail(EXIT_USAGE,
                        "replication %s: give --region REGION, and at most one REGISTRY",
                        c->row->name);
    const char *label = "*";
    if (argc == 2 && wait) { // orders are shown by login label
        const struct registry *r = NULL;
        if (!cli_topology(c))
            r = cli_registry(c, argv[1]);
        if (!r)
            return EXIT_FAILED;
        label = r->label;
    }
    rc = give(c, "drain", region, argc == 2 ? argv[1] : NULL, on, &doc);
    if (!rc && wait)
        rc = wait_safe(c, region, label, seconds(timeout), &doc);
    if (rc) {
        json_decref(doc);
        return rc;
    }
    return cli_print_rows(c, doc, order_columns, ARRAY_LEN(order_columns));
}

static int replication_drain_run(struct cli *c, int argc, char **argv)
{
    return drain(c, true, argc, argv);
}

static int replication_undrain_run(struct cli *c, int argc, char **argv)
{
    return drain(c, false, argc, argv);
}

const struct command health_impair_cmd = {
    "impair",
    "a registry cannot be served in a region: it fails over alone",
    "REGISTRY --region R",
    health_impair_run,
    USES_ADMIN,
    1,
    1,
    {"meridian health impair contoso --region eastus",
     "meridian health impair contoso --region westeurope -o json"}};
const struct command health_clear_cmd = {
    "clear",
    "it can be served there again",
    "REGISTRY --region R",
    health_clear_run,
    USES_ADMIN,
    1,
    1,
    {"meridian health clear contoso --region eastus",
     "meridian health clear contoso --region westeurope -o json"}};
const struct command health_orders_cmd = {
    "orders",
    "what operators drained, impaired and forced",
    "",
    health_orders_run,
    USES_ADMIN | MAY_WATCH,
    0,
    0,
    {"meridian health orders", "meridian health orders --watch"}};
const struct command health_peers_cmd = {
    "peers",
    "the other resolvers, and what regions say of themselves",
    "",
    health_peers_run,
    USES_ADMIN | MAY_WATCH,
    0,
    0,
    {"meridian health peers", "meridian health peers -o tsv --query '[].[region, clockOffsetMs]'"}};
const struct command replication_drain_cmd = {
    "drain",
    "lead clients of the global name elsewhere, until undrain",
    "[REGISTRY] --region R [--wait] [--timeout T]",
    replication_drain_run,
    USES_TOPOLOGY | USES_ADMIN,
    0,
    1,
    {"meridian replication drain --region eastus --wait",
     "meridian replication drain contoso --region eastus"}};
const struct command replication_undrain_cmd = {
    "undrain",
    "take a drain back",
    "[REGISTRY] --region R",
    replication_undrain_run,
    USES_TOPOLOGY | USES_ADMIN,
    0,
    1,
    {"meridian replication undrain --region eastus",
     "meridian replication undrain contoso --region eastus"}};
