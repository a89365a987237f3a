// SPDX-License-Identifier: Apache-2.0
// What a node says of itself through its admin socket: `status`, `health`, `certs`, `config`, `dns
// explain`.
#include "cli/certs_ca.h"
#include "cli/cli.h"
#include "cli/fleet_status.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/advice.h"
#include "config/node.h"
#include "config/principals.h"
#include "control/topology_file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

// A JSON value as a table cell.
static const char *cell(struct cli *c, const json_t *v)
{
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        return arena_printf(&c->arena, "%lld", (long long)json_integer_value(v));
    if (json_is_boolean(v)) {
        if (json_is_true(v))
            return "true";
        return "false";
    }
    if (json_is_array(v)) {
        const char *all = "";
        size_t i;
        json_t *one;
        json_array_foreach(v, i, one) all =
            arena_printf(&c->arena, "%s%s%s", all, i ? "," : "", cell(c, one));
        return all;
    }
    return "";
}

// A member's name as the head of a column: words apart.
static const char *head_of(struct cli *c, const char *member)
{
    char *out = arena_alloc(&c->arena, 2 * strlen(member) + 1), *o = out;
    if (!out)
        abort();
    for (; *member; member++) {
        if (isupper((unsigned char)*member))
            *o++ = ' ';
        if (*member == '_')
            *o++ = ' ';
        else
            *o++ = *member;
    }
    *o = 0;
    return out;
}

int cli_print_array(struct cli *c, json_t *doc, const char *const *columns, size_t n_columns)
{
    size_t n = json_array_size(doc);
    const char **cells = arena_array(&c->arena, (n + 1) * n_columns, sizeof *cells);
    for (size_t j = 0; j < n_columns; j++) {
        cells[j] = head_of(c, columns[j]);
        for (size_t i = 0; i < n; i++)
            cells[(i + 1) * n_columns + j] =
                cell(c, json_object_get(json_array_get(doc, i), columns[j]));
    }
    cli_table(cells, n + 1, n_columns);
    json_decref(doc);
    return EXIT_DONE;
}

int cli_print_rows(struct cli *c, json_t *doc, const char *const *columns, size_t n_columns)
{
    if (cli_json(c))
        return cli_print_json(c, doc);
    return cli_print_array(c, doc, columns, n_columns);
}

// Members of an object, one a line; objects inside are indented below their name.
static void print_members(struct cli *c, const json_t *doc, int indent)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)doc, key, v)
    {
        if (json_is_object(v)) {
            printf("%*s%s:\n", indent, "", key);
            print_members(c, v, indent + 2);
        } else if (json_is_array(v)) {
            size_t i;
            json_t *one;
            json_array_foreach(v, i, one)
                printf("%*s%-*s %s\n", indent, "", 20 - indent, i ? "" : key, cell(c, one));
        } else if (!json_is_null(v) && !(json_is_string(v) && !*json_string_value(v))) {
            printf("%*s%-*s %s\n", indent, "", 20 - indent, key, cell(c, v));
        }
    }
}

static int print_object(struct cli *c, json_t *doc)
{
    if (cli_json(c))
        return cli_print_json(c, doc);
    print_members(c, doc, 0);
    json_decref(doc);
    return EXIT_DONE;
}

// What is wrong with the node, one condition a line.
static void print_conditions(const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        const char *name = "", *severity = "", *since = "", *sentence = "";
        json_unpack(one, "{s?s, s?s, s?s, s?s}", "name", &name, "severity", &severity, "since",
                    &since, "sentence", &sentence);
        printf("%s: %s (%s, since %s)\n", severity, sentence, name, since);
    }
}

// First all that is so, then what is wrong: that is what stays in sight.
static int print_status(struct cli *c, json_t *doc)
{
    if (cli_json(c))
        return cli_print_json(c, doc);
    json_t *conditions = json_incref(json_object_get(doc, "conditions"));
    json_object_del(doc, "conditions");
    print_members(c, doc, 0);
    print_conditions(conditions);
    json_decref(conditions);
    json_decref(doc);
    return EXIT_DONE;
}

int cmd_status(struct cli *c, int argc, char **argv)
{
    bool all = false;
    const struct opt rows[] = {{0, "all", NULL,
                                "every node of the fleet: release, versions, clock, certificates",
                                NULL, &all}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    json_t *doc = NULL;
    if (!rc && all)
        return fleet_status(c);
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/status", &doc);
    if (rc)
        return rc;
    return print_status(c, doc);
}

// ---- node ----

#define RESTART_LIMIT_MS 120000

// The admin socket answers as soon as the old worker, and later the new one, serves it: in between
// a call waits.
static int node_restart(struct cli *c, int argc, char **argv)
{
    json_t *doc = NULL;
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_admin(c, "POST", "/v1/node/restart", &doc);
    json_int_t old = 0;
    if (!rc)
        old = json_integer_value(json_object_get(doc, "pid"));
    json_decref(doc);
    for (int64_t until = clock_mono_ms() + RESTART_LIMIT_MS; !rc; clock_sleep_ms(100)) {
        rc = cli_admin(c, "GET", "/v1/status", &doc);
        if (rc)
            return rc;
        const char *failed = json_string_value(json_object_get(doc, "restartError"));
        json_int_t now = json_integer_value(json_object_get(doc, "pid"));
        if (failed)
            rc = cli_fail(EXIT_FAILED, "%s", failed);
        else if (now != old)
            return print_status(c, doc);
        else if (clock_mono_ms() > until)
            rc = cli_fail(EXIT_NOT_YET, "the old worker, pid %lld, still serves", (long long)old);
        json_decref(doc);
    }
    return rc;
}

static const struct command node_cmds[] = {
    {"restart",
     "a new worker, of the program now installed, takes over without a lost query",
     "[--admin SOCKET]",
     node_restart,
     USES_ADMIN,
     0,
     0,
     {"meridian node restart", "meridian node restart --admin /run/meridian/admin.sock"}},
};

int cmd_node(struct cli *c, int argc, char **argv)
{
    return command_group(c, node_cmds, ARRAY_LEN(node_cmds), argc, argv);
}

// ---- health ----

static const char *const health_columns[] = {"region",   "stamp",  "up",     "short",
                                             "headroom", "reason", "orders", "votes"};

static int print_health(struct cli *c, json_t *doc)
{
    return cli_print_rows(c, doc, health_columns, ARRAY_LEN(health_columns));
}

static int health_show(struct cli *c, int argc, char **argv)
{
    bool votes = false;
    const struct opt rows[] = {
        {0, "votes", NULL, "who says what of each stamp, and what is counted", NULL, &votes}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    json_t *doc = NULL;
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/health", &doc);
    if (rc || !votes || cli_json(c)) {
        if (rc)
            return rc;
        return print_health(c, doc);
    }
    json_incref(doc);
    print_health(c, doc);
    rc = cli_print_votes(c, doc);
    json_decref(doc);
    return rc;
}

static int health_force_cmd(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 3)
        return cli_fail(EXIT_USAGE, "health force: give a region and up, down or auto");
    json_t *doc = NULL;
    rc = cli_admin(c, "POST",
                   arena_printf(&c->arena, "/v1/health/force?region=%s&state=%s",
                                cli_urlencode(c, argv[1]), cli_urlencode(c, argv[2])),
                   &doc);
    if (rc)
        return rc;
    return print_health(c, doc);
}

static const struct command health_cmds[] = {
    {"show",
     "this node's verdict on every stamp",
     "[--votes]",
     health_show,
     USES_ADMIN | MAY_WATCH,
     0,
     0,
     {"meridian health show --votes", "meridian health show --watch"}},
    {"force",
     "overrule the probes of a region, at all resolvers",
     "REGION up|down|auto",
     health_force_cmd,
     USES_ADMIN,
     2,
     2,
     {"meridian health force eastus down", "meridian health force eastus auto"}},
};

int cmd_health(struct cli *c, int argc, char **argv)
{
    const struct command all[] = {health_cmds[0],   health_cmds[1],    health_impair_cmd,
                                  health_clear_cmd, health_orders_cmd, health_peers_cmd};
    return command_group(c, all, ARRAY_LEN(all), argc, argv);
}

// ---- certs ----

static const char *const cert_columns[] = {"kind", "notAfter", "renewAt", "names", "problem"};

static int print_certs(struct cli *c, json_t *doc)
{
    if (cli_json(c))
        return cli_print_json(c, doc);
    // of the peer's certificate: nobody trusts it before the topology names it
    const char *waits = "";
    const char *failed = "";
    const char *ca = certs_ca_line(c);
    size_t i;
    json_t *cert;
    json_array_foreach(doc, i, cert)
    {
        const char *kind = json_string_value(json_object_get(cert, "kind"));
        const char *error = json_string_value(json_object_get(cert, "lastError"));
        if (kind && error)
            failed = arena_printf(&c->arena, "%sthe %s certificate could not be renewed: %s\n",
                                  failed, kind, error);
        const char *next = json_string_value(json_object_get(cert, "nextFingerprint"));
        const char *why = json_string_value(json_object_get(cert, "nextWaits"));
        if (next && why)
            waits = arena_printf(&c->arena, "a new peer certificate %.16s waits: %s\n", next, why);
        else if (next)
            waits = arena_printf(
                &c->arena,
                "a new peer certificate waits; add %s to this region's peer_fingerprints\n", next);
    }
    int rc = cli_print_array(c, doc, cert_columns, ARRAY_LEN(cert_columns));
    fputs(waits, stdout);
    fputs(failed, stdout);
    fputs(ca, stdout);
    return rc;
}

static int certs_show(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    json_t *doc = NULL;
    if (!rc)
        rc = cli_admin(c, "GET", "/v1/certs", &doc);
    if (rc)
        return rc;
    return print_certs(c, doc);
}

static int certs_renew_cmd(struct cli *c, int argc, char **argv)
{
    const char *kind = NULL;
    const struct opt rows[] = {
        {0, "kind", "KIND", "region, shared or peer; all when left out", &kind, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    json_t *doc = NULL;
    const char *path = "/v1/certs/renew";
    if (kind)
        path = arena_printf(&c->arena, "/v1/certs/renew?kind=%s", cli_urlencode(c, kind));
    if (!rc)
        rc = cli_admin(c, "POST", path, &doc);
    if (rc)
        return rc;
    return print_certs(c, doc);
}

static const struct command certs_cmds[] = {
    {"show",
     "names, expiry and next renewal",
     "[--admin SOCKET]",
     certs_show,
     USES_ADMIN | MAY_WATCH,
     0,
     0,
     {"meridian certs show", "meridian certs show -o tsv --query '[].[kind, notAfter]'"}},
    {"renew",
     "renew now, ahead of time",
     "[--kind KIND]",
     certs_renew_cmd,
     USES_ADMIN,
     0,
     0,
     {"meridian certs renew", "meridian certs renew --kind region"}},
    {"roll-ca",
     "another private CA takes over, on the node that has it; by itself before that one ends",
     "[--issue-after TIME | --show | --cancel | --without-away | --drop-old | --back] [--yes]",
     certs_roll_ca,
     USES_ADMIN,
     0,
     0,
     {"meridian certs roll-ca", "meridian certs roll-ca --drop-old --yes"}},
    {"create-ca",
     "a further private CA for the fleet, to take over from the one in use",
     "DIR",
     certs_create_ca,
     USES_ADMIN | USES_TOPOLOGY,
     1,
     1,
     {"meridian certs create-ca /etc/meridian/ca-2",
      "meridian certs create-ca /etc/meridian/ca-2 -o json"}},
};

int cmd_certs(struct cli *c, int argc, char **argv)
{
    return command_group(c, certs_cmds, ARRAY_LEN(certs_cmds), argc, argv);
}

// ---- config ----

static int check_file(struct cli *c, const char *path,
                      int (*load)(const char *, struct diag *, uint64_t *))
{
    struct diag d;
    diag_init(&d);
    uint64_t version = 0;
    int rc = load(path, &d, &version);
    diag_print(&d, stderr);
    if (!rc)
        cli_tell(c, json_pack("{s:s, s:I}", "file", path, "version", (json_int_t)version),
                 "%s: good, version %llu", path, (unsigned long long)version);
    else
        fprintf(stderr, "%s: %zu error%s\n", path, diag_count(&d), diag_count(&d) == 1 ? "" : "s");
    diag_done(&d);
    if (rc)
        return EXIT_FAILED;
    return EXIT_DONE;
}

static int load_topology(const char *path, struct diag *d, uint64_t *version)
{
    struct topology *t = NULL;
    int rc = topology_file_load(path, d, &t);
    if (rc)
        *version = 0;
    else
        *version = t->version;
    if (!rc)
        topology_advise(t, path, d);
    snapshot_unref(t);
    return rc;
}

static int load_principals(const char *path, struct diag *d, uint64_t *version)
{
    struct principals *p = NULL;
    int rc = principals_load(path, d, &p);
    if (rc)
        *version = 0;
    else
        *version = p->version;
    snapshot_unref(p);
    return rc;
}

static int load_node(const char *path, struct diag *d, uint64_t *version)
{
    struct node *n = NULL;
    int rc = node_load(path, d, &n);
    *version = 0;
    node_free(n);
    return rc;
}

static int config_check(struct cli *c, int argc, char **argv)
{
    const char *principals = NULL, *node = NULL;
    bool in_force = false;
    const struct opt rows[] = {
        {0, "principals", "FILE", "check this file of principals too", &principals, NULL},
        {0, "node", "FILE", "check these node settings too", &node, NULL},
        {0, "in-force", NULL, "ask a node what it has in force, and why a later edit is not", NULL,
         &in_force}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (in_force) {
        json_t *doc = NULL;
        rc = cli_admin(c, "GET", "/v1/config", &doc);
        const char *why =
            json_string_value(json_object_get(json_object_get(doc, "topology"), "refusedWhy"));
        bool refused = why != NULL;
        if (rc)
            return rc;
        rc = print_object(c, doc);
        if (rc)
            return rc;
        if (refused)
            return EXIT_FAILED;
        return EXIT_DONE;
    }
    rc = check_file(c, argc > 1 ? argv[1] : c->topology, load_topology);
    if (principals && check_file(c, principals, load_principals))
        rc = EXIT_FAILED;
    if (node && check_file(c, node, load_node))
        rc = EXIT_FAILED;
    return rc;
}

static const struct command config_cmds[] = {
    {"check",
     "every error of a topology, or what a node has in force",
     "[FILE | --in-force]",
     config_check,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     1,
     {"meridian config check topology.yaml --principals principals.yaml",
      "meridian config check --in-force"}},
};

int cmd_config(struct cli *c, int argc, char **argv)
{
    return command_group(c, config_cmds, ARRAY_LEN(config_cmds), argc, argv);
}

static const char *with_member(struct cli *c, const char *path, const char *name, const char *value)
{
    if (!value)
        return path;
    return arena_printf(&c->arena, "%s&%s=%s", path, name, cli_urlencode(c, value));
}

// ---- dns ----

static const char *const region_columns[] = {"region",   "stamp",  "tier",     "placedBy",
                                             "measured", "weight", "headroom", "up",
                                             "short",    "chosen", "reason",   "votes"};

static const char *const move_columns[] = {"region", "was", "stamp", "since", "leadsTo", "reason"};

static int dns_explain(struct cli *c, int argc, char **argv)
{
    const char *client = NULL, *subnet = NULL, *view = NULL;
    const struct opt rows[] = {
        {0, "client", "ADDR", "whose view and route (default 127.0.0.1)", &client, NULL},
        {0, "view", "NAME", "as that view answers, or public", &view, NULL},
        {0, "subnet", "CIDR", "as if the query had this Client Subnet option", &subnet, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 2)
        return cli_fail(EXIT_USAGE, "dns explain: give one NAME");
    if (!client && !view)
        client = "127.0.0.1";
    json_t *doc = NULL;
    const char *path =
        arena_printf(&c->arena, "/v1/dns/explain?name=%s", cli_urlencode(c, argv[1]));
    path = with_member(c, path, "client", client);
    path = with_member(c, path, "view", view);
    path = with_member(c, path, "subnet", subnet);
    rc = cli_admin(c, "GET", path, &doc);
    if (rc)
        return rc;
    if (cli_json(c))
        return cli_print_json(c, doc);
    json_t *routing = json_object_get(doc, "routing");
    json_t *regions = json_incref(json_object_get(routing, "regions"));
    json_t *moves = json_incref(json_object_get(doc, "moves"));
    json_object_del(doc, "moves");
    if (routing)
        json_object_del(routing, "regions");
    print_object(c, doc);
    if (json_array_size(regions)) {
        putchar('\n');
        cli_print_array(c, json_incref(regions), region_columns, ARRAY_LEN(region_columns));
        rc = cli_print_votes(c, regions);
    }
    if (json_array_size(moves)) {
        putchar('\n');
        cli_print_array(c, json_incref(moves), move_columns, ARRAY_LEN(move_columns));
    }
    json_decref(moves);
    json_decref(regions);
    return rc;
}

static const struct command dns_cmds[] = {
    {"explain",
     "what this resolver answers a client, and why",
     "NAME [--client ADDR] [--view NAME] [--subnet CIDR]",
     dns_explain,
     USES_ADMIN,
     1,
     1,
     {"meridian dns explain contoso.example.io --client 192.0.2.7",
      "meridian dns explain contoso.eastus.geo.example.io --view corp -o yaml"}},
    {"export",
     "a zone of the topology as a master file; asks no node",
     "--zone D|fe [--expand]",
     cmd_dns_export,
     USES_TOPOLOGY | NO_FORMAT,
     0,
     0,
     {"meridian dns export --zone fe",
      "meridian dns export --zone D --expand --pin eastus -o example.io.zone"}},
    {"keys", "keys that the zones are signed with",
     "generate | publish | roll | retire | remove | list | ds", cmd_dns_keys},
};

int cmd_dns(struct cli *c, int argc, char **argv)
{
    return command_group(c, dns_cmds, ARRAY_LEN(dns_cmds), argc, argv);
}
