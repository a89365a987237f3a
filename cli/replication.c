// SPDX-License-Identifier: Apache-2.0
// `meridian replication`: replicas, how far each region is, and waiting until a tag is everywhere. `status` and `wait`
// ask the regions' public endpoints with an ordinary token that may pull.
#include "cli/cli.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/register.h"

#include <stdio.h>
#include <string.h>

#define POLL_MS 20000

static const struct command replication_cmds[];

// The host at which a region answers for a registry: its regional name, or the global one while those are off.
static const char *host_at(struct cli *c, const struct registry *r, const struct region *region)
{
    char host[HOSTNAME_TEXT_SIZE];
    hostname_format(r->regional_endpoints ? NAME_REGIONAL : NAME_GLOBAL, c->topo->domain, r->label, region->name, NULL,
                    host);
    return arena_strdup(&c->arena, host);
}

// GET at a region with a token. *out_doc is the JSON answer (may be NULL). Returns the HTTP status, or 0 when not
// reached; `why` then says why.
static int ask(struct cli *c, const struct registry *r, const struct region *region, const char *token,
               const char *path, uint32_t timeout_ms, json_t **out_doc, char *why, size_t why_size)
{
    const char *header = arena_printf(&c->arena, "Authorization: Bearer %s", token);
    struct fetch_result res;
    int rc = cli_endpoint_fetch(c, host_at(c, r, region), region, "GET", path, &header, 1, (struct bytes){0}, NULL,
                                NULL, timeout_ms, &res);
    *out_doc = rc ? NULL : json_loadb(buf_cstr(&res.body), res.body.n, 0, NULL);
    int status = rc ? 0 : res.status;
    if (rc)
        snprintf(why, why_size, "%.*s", (int)why_size - 1, res.message);
    else if (status != 200)
        snprintf(why, why_size, "HTTP %d", status);
    fetch_result_done(&res);
    return status;
}

static char *token_at(struct cli *c, const struct registry *r, const struct region *region, const char *repository,
                      int *out_status)
{
    const char *scope = arena_printf(&c->arena, "repository:%s:pull", repository);
    return cli_token(c, r, host_at(c, r, region), region, scope, out_status);
}

int cli_replication_get(struct cli *c, const struct registry *r, const struct region *region, const char *repository,
                        const char *path, json_t **out_doc)
{
    char why[256];
    int status = EXIT_FAILED;
    json_t *doc = NULL;
    char *token = token_at(c, r, region, repository, &status);
    if (!token)
        return status; // said
    int http = ask(c, r, region, token, path, 20000, &doc, why, sizeof why);
    free(token);
    if (http == 200 && doc) {
        *out_doc = doc;
        return 0;
    }
    json_decref(doc);
    if (http == 401 || http == 403)
        return cli_fail(EXIT_DENIED, "%s: the user may not pull there", region->name);
    return cli_fail(http ? EXIT_FAILED : EXIT_UNREACHABLE, "%s: %s", region->name, http == 200 ? "no JSON" : why);
}

// ---- status ----

static const char *number(struct cli *c, const json_t *v, const char *unit)
{
    return json_is_number(v) ? arena_printf(&c->arena, "%.0f%s", json_number_value(v), unit) : "-";
}

// What a region says of itself, in each of its rows: are its writes open, and is there doubt about its clock?
static void rows_add(json_t *all, const json_t *doc)
{
    json_t *writes = json_object_get(doc, "writes"), *clock = json_object_get(doc, "clock"), *row;
    const char *state = json_string_value(json_object_get(clock, "state"));
    size_t i;
    json_array_foreach(json_object_get(doc, "replications"), i, row)
    {
        if (writes)
            json_object_set(row, "writes", writes);
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
static json_t *status_rows(struct cli *c, const struct registry *r, const char *repository, int *out_status)
{
    json_t *all = json_array();
    c->quiet = true; // the rows say why
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct region *region = &c->topo->regions[r->replicas[i].region];
        char why[256] = "";
        int status = EXIT_DONE, http = 0;
        json_t *doc = NULL;
        char *token = token_at(c, r, region, repository, &status);
        if (token)
            http = ask(c, r, region, token, arena_printf(&c->arena, "/replication/v1/status?registry=%s", r->name),
                       10000, &doc, why, sizeof why);
        bool token_came = token != NULL;
        free(token);
        if (http == 200 && json_is_array(json_object_get(doc, "replications"))) {
            rows_add(all, doc);
            say_faults(region->name, doc);
        } else {
            bool denied = status == EXIT_DENIED || http == 401 || http == 403;
            if (!token_came)
                snprintf(why, sizeof why, "%s", c->why);
            else if (denied)
                snprintf(why, sizeof why, "the user may not pull there");
            json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "registry", r->name, "region", region->name,
                                                 "state", denied ? "Denied" : "Unreachable", "lastError", why));
            *out_status = denied ? EXIT_DENIED : EXIT_UNREACHABLE;
        }
        json_decref(doc);
    }
    return all;
}

static const char *clock_cell(struct cli *c, const json_t *row)
{
    const json_t *ms = json_object_get(row, "clockOffsetMs");
    return ms ? arena_printf(&c->arena, "%+.3f s", json_number_value(ms) / 1000) : "-";
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
        if (!region || strcmp(region, last) == 0)
            continue;
        last = region;
        if (writes && strcmp(writes, "open") != 0)
            printf("%s takes no writes now: %s\n", region, writes);
        if (warning)
            printf("%s warns: %s\n", region, warning);
    }
}

#define STATUS_COLUMNS 8

static void print_status(struct cli *c, json_t *rows)
{
    size_t n = json_array_size(rows);
    const char **cells = arena_array(&c->arena, STATUS_COLUMNS * (n + 1), sizeof *cells);
    const char *head[] = {"region", "origin", "state", "lag", "entries", "to go", "clock", "last error"};
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
}

static int replication_status(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *repository = "status", *interval = "2", *count = NULL;
    bool watch = false;
    const struct opt rows[] = {
        {'r', "registry", "REGISTRY", "the registry", &name, NULL},
        {0, "repository", "NAME", "ask with pull on this repository, if not on all", &repository, NULL},
        {0, "watch", NULL, "again and again, until interrupted", NULL, &watch},
        {0, "interval", "SECONDS", "between two looks (default 2)", &interval, NULL},
        {0, "count", "N", "end a watch after N looks", &count, NULL}};
    int rc = opt_parse(c, &replication_cmds[1], "replication", rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r)
        return name || argc > 1 ? EXIT_FAILED : EXIT_USAGE;
    if (watch && c->password_stdin)
        return cli_fail(EXIT_USAGE,
                        "--watch asks for tokens again and again: give --password-file, not --password-stdin");
    long left = count ? strtol(count, NULL, 10) : -1;
    for (;;) {
        int status = EXIT_DONE;
        json_t *all = status_rows(c, r, repository, &status);
        if (cli_json(c)) {
            json_dumpf(all, stdout, watch ? JSON_COMPACT : JSON_INDENT(2));
            putchar('\n');
        } else {
            char when[CLOCK_TEXT_SIZE];
            if (watch)
                printf("%s  %s\n", clock_format(clock_wall_ms(), when), r->name);
            print_status(c, all);
        }
        json_decref(all);
        if (fflush(stdout) || !watch || (left > 0 && --left == 0))
            return status;
        clock_sleep_ms(strtol(interval, NULL, 10) * 1000);
    }
}

// ---- list ----

// What a region says of itself as a replica: the least good of its states, or why it says nothing.
static json_t *display_status(struct cli *c, const json_t *rows, const char *region)
{
    static const char *const worst_last[] = {"Ready",      "Syncing",  "Retrying", "Unreachable",
                                             "ClockAhead", "Diverged", "Denied"};
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
            if (!strcmp(state, worst_last[k]))
                worst = k, why = json_string_value(json_object_get(row, "lastError"));
    }
    char when[CLOCK_TEXT_SIZE];
    return json_pack("{s:s, s:s?, s:s}", "displayStatus",
                     n || !c->username ? n ? worst_last[worst] : "Unknown" : "Ready", "message",
                     n || c->username ? why : "the regions were not asked: give --username", "timestamp",
                     clock_format(clock_wall_ms(), when));
}

static int replication_list(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *repository = "status";
    const struct opt own[] = {
        {'r', "registry", "REGISTRY", "the registry", &name, NULL},
        {0, "repository", "NAME", "ask with pull on this repository, if not on all", &repository, NULL}};
    int rc = opt_parse(c, &replication_cmds[0], "replication", own, ARRAY_LEN(own), argc, argv, &argc);
    if (rc)
        return rc;
    const struct registry *r = cli_registry_given(c, name, argc, argv);
    if (!r)
        return name || argc > 1 ? EXIT_FAILED : EXIT_USAGE;
    int ignored = EXIT_DONE;
    json_t *rows = c->username || r->anonymous_pull ? status_rows(c, r, repository, &ignored) : json_array();
    json_t *list = json_array();
    const char **cells = arena_array(&c->arena, 6 * (r->n_replicas + 1), sizeof *cells);
    const char *head[] = {"name", "location", "provisioning state", "status", "global routing", "home stamp"};
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *rep = &r->replicas[i];
        const char *region = c->topo->regions[rep->region].name, *stamp = topology_replica_stamp(c->topo, rep)->name;
        json_t *status = display_status(c, rows, region);
        const char *shown = json_string_value(json_object_get(status, "displayStatus"));
        // What the topology states is in force: there is no provisioning that could still be under way.
        const char *row[] = {region,
                             region,
                             "Succeeded",
                             arena_strdup(&c->arena, shown ? shown : ""),
                             rep->global_routing ? "true" : "false",
                             stamp};
        memcpy(cells + 6 * (i + 1), row, sizeof row);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b, s:s, s:o}", "name", region, "location", region,
                                              "provisioningState", "Succeeded", "regionEndpointEnabled",
                                              rep->global_routing, "homeStamp", stamp, "status", status));
    }
    json_decref(rows);
    if (cli_json(c))
        return cli_print_json(list);
    json_decref(list);
    cli_table(cells, r->n_replicas + 1, 6);
    return EXIT_DONE;
}

// ---- wait ----

struct wait {
    struct cli *c;
    const struct registry *r;
    const char *repository, *tag; // tag "" when a digest is waited for
    const char *digest;
    struct register_value value; // of the tag, as it was highest anywhere at the call; origin NULL: nowhere yet
    int64_t until_ms;            // mono
};

static uint64_t number_of(const json_t *doc, const char *key)
{
    const char *s = json_string_value(json_object_get(doc, key));
    return s ? strtoull(s, NULL, 10) : 0;
}

// The value that a region told; its strings are the document's. false: it has none.
static bool value_of(const json_t *doc, struct register_value *out)
{
    const char *digest = json_string_value(json_object_get(doc, "digest"));
    const char *origin = json_string_value(json_object_get(doc, "origin"));
    struct register_value v = {number_of(doc, "stamp"), origin, number_of(doc, "epoch"), {0}};
    if (!digest || !origin || digest_parse(digest, strlen(digest), &v.digest))
        return false;
    *out = v;
    return true;
}

static const char *have_path(struct wait *w, uint64_t wait_ms)
{
    struct cli *c = w->c;
    return arena_printf(&c->arena, "/replication/v1/have?registry=%s&repository=%s&%s=%s%s", w->r->name,
                        cli_urlencode(c, w->repository), *w->tag ? "tag" : "digest",
                        cli_urlencode(c, *w->tag ? w->tag : w->digest),
                        wait_ms ? arena_printf(&c->arena, "&wait_ms=%llu", (unsigned long long)wait_ms) : "");
}

// Fixes the value at the call: the newest one, by the register's order, that any region has now.
static int fix_target(struct wait *w)
{
    int status = EXIT_FAILED;
    bool reached = false;
    for (size_t i = 0; i < w->r->n_replicas; i++) {
        const struct region *region = &w->c->topo->regions[w->r->replicas[i].region];
        int64_t left = w->until_ms - clock_mono_ms();
        w->c->token_ms = left > 9000 ? 10000 : left > 0 ? (uint32_t)left + 1000 : 1000;
        char why[256], *token = token_at(w->c, w->r, region, w->repository, &status);
        json_t *doc = NULL;
        int http = token ? ask(w->c, w->r, region, token, have_path(w, 0), 10000, &doc, why, sizeof why) : 0;
        free(token);
        reached = reached || http;
        struct register_value v;
        if (http == 200 && value_of(doc, &v) && (!w->value.origin || register_order(&v, &w->value) > 0)) {
            w->value = v;
            w->value.origin = arena_strdup(&w->c->arena, v.origin);
            w->digest = arena_strdup(&w->c->arena, json_string_value(json_object_get(doc, "digest")));
        }
        json_decref(doc);
    }
    if (w->value.origin)
        return EXIT_DONE;
    return reached ? cli_fail(EXIT_FAILED, "%s/%s%s%s is in no region that answers", w->r->name, w->repository,
                              *w->tag ? ":" : "@", *w->tag ? w->tag : w->digest)
                   : cli_fail(status == EXIT_DENIED ? EXIT_DENIED : EXIT_UNREACHABLE, "no region answers");
}

// Clock ahead: its writer's clock was, and this region takes nothing so far ahead of its own.
enum outcome { WAIT_DONE, WAIT_SUPERSEDED, WAIT_TIMEOUT, WAIT_UNREACHABLE, WAIT_CLOCK_AHEAD };
static const char *const outcome_names[] = {"done", "superseded", "timeout", "unreachable", "clock-ahead"};
static const int outcome_status[] = {EXIT_DONE, EXIT_DONE, EXIT_NOT_YET, EXIT_UNREACHABLE, EXIT_CLOCK_AHEAD};

static const char *until_path(struct wait *w, uint64_t wait_ms)
{
    const char *path = have_path(w, wait_ms);
    if (!*w->tag) // the stamp only tells whether it can come at all now
        return arena_printf(&w->c->arena, "%s&stamp=%llu", path, (unsigned long long)w->value.stamp);
    return arena_printf(&w->c->arena, "%s&stamp=%llu&origin=%s&epoch=%llu&digest=%s", path,
                        (unsigned long long)w->value.stamp, w->value.origin, (unsigned long long)w->value.epoch,
                        cli_urlencode(w->c, w->digest));
}

// Is the wait for a region over with what it has now? A digest that is waited for is there or not; a tag has the value
// that was fixed, or a newer one.
static bool outcome_of(struct wait *w, const json_t *doc, enum outcome *out)
{
    struct register_value here;
    if (!value_of(doc, &here))
        return false;
    if (*w->tag && register_order(&here, &w->value) < 0)
        return false;
    *out = digest_equal(&here.digest, &w->value.digest) ? WAIT_DONE : WAIT_SUPERSEDED;
    return true;
}

// Until this region has it or newer.
static enum outcome wait_region(struct wait *w, const struct region *region)
{
    bool reached = false;
    for (int64_t left; (left = w->until_ms - clock_mono_ms()) > 0 || !reached;) {
        int status = EXIT_DONE;
        w->c->token_ms = left > 19000 ? 20000
                         : left > 0   ? (uint32_t)left + 1000
                                      : 1000; // a hung region is no reason to wait longer
        char why[256], *token = token_at(w->c, w->r, region, w->repository, &status);
        json_t *doc = NULL;
        uint64_t poll = left > POLL_MS ? POLL_MS : left > 0 ? (uint64_t)left : 1;
        int http =
            token ? ask(w->c, w->r, region, token, until_path(w, poll), (uint32_t)poll + 5000, &doc, why, sizeof why)
                  : 0;
        free(token);
        w->c->quiet = true; // said once
        enum outcome how;
        bool over = http == 200 && outcome_of(w, doc, &how);
        bool ahead = json_is_true(json_object_get(doc, "clockAhead"));
        json_decref(doc);
        reached = reached || http;
        if (over)
            return how;
        if (http == 200 && ahead)
            return WAIT_CLOCK_AHEAD;
        if (left <= 0)
            break;
        clock_sleep_ms(http == 200 ? 50 : 500);
    }
    return reached ? WAIT_TIMEOUT : WAIT_UNREACHABLE;
}

static int parse_target(struct wait *w, char *text)
{
    char *slash = strchr(text, '/');
    if (!slash)
        return cli_fail(EXIT_USAGE, "wait: give REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST");
    *slash = 0;
    w->r = cli_registry(w->c, text);
    if (!w->r)
        return EXIT_FAILED;
    w->repository = slash + 1;
    char *at = strchr(slash + 1, '@'), *colon = strrchr(slash + 1, ':');
    w->tag = "";
    if (at) {
        *at = 0;
        w->digest = at + 1;
    } else {
        w->tag = colon ? colon + 1 : "latest";
        if (colon)
            *colon = 0;
    }
    return 0;
}

static int64_t parse_seconds(const char *s)
{
    char *end = NULL;
    long v = strtol(s, &end, 10);
    int64_t unit = !strcmp(end, "ms") ? 1 : !*end || !strcmp(end, "s") ? 1000 : !strcmp(end, "m") ? 60000 : 0;
    return end == s || v < 0 || v > 86400 ? -1 : unit ? v * unit : -1;
}

static int replication_wait(struct cli *c, int argc, char **argv)
{
    const char *region_name = "all", *timeout = "60s";
    const struct opt rows[] = {{0, "region", "REGION", "this region, or all (default)", &region_name, NULL},
                               {0, "timeout", "TIME", "60s, 500ms, 5m (default 60s)", &timeout, NULL}};
    int rc = opt_parse(c, &replication_cmds[2], "replication", rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    int64_t ms = parse_seconds(timeout);
    if (argc != 2 || ms < 0)
        return cli_fail(EXIT_USAGE,
                        argc != 2 ? "wait: give one REGISTRY/REPOSITORY:TAG" : "wait: --timeout 60s, 500ms or 5m");
    if (c->password_stdin)
        return cli_fail(EXIT_USAGE, "wait asks several regions for tokens: give --password-file, not --password-stdin");
    struct wait w = {.c = c, .until_ms = clock_mono_ms() + ms};
    rc = parse_target(&w, argv[1]);
    if (rc)
        return rc;
    const struct region *only = strcmp(region_name, "all") ? cli_region(c, region_name) : NULL;
    if (!only && strcmp(region_name, "all") != 0)
        return EXIT_FAILED;
    if (only && !registry_replica(w.r, only->index))
        return cli_fail(EXIT_FAILED, "%s has no replica in %s", w.r->name, only->name);
    rc = fix_target(&w);
    if (rc)
        return rc;
    json_t *doc = json_array();
    const char *cells[3 * (TOPOLOGY_MAX_REGIONS + 1)] = {"region", "outcome", "digest"};
    size_t n = 1;
    int worst = EXIT_DONE;
    for (size_t i = 0; i < w.r->n_replicas; i++) {
        const struct region *region = &c->topo->regions[w.r->replicas[i].region];
        if (only && only != region)
            continue;
        enum outcome how = wait_region(&w, region);
        const char *outcome = outcome_names[how];
        int status = outcome_status[how];
        worst = status > worst ? status : worst;
        cells[3 * n] = region->name, cells[3 * n + 1] = outcome, cells[3 * n + 2] = w.digest;
        n++;
        json_array_append_new(
            doc, json_pack("{s:s, s:s, s:s}", "region", region->name, "outcome", outcome, "digest", w.digest));
    }
    if (cli_json(c))
        cli_print_json(doc);
    else {
        json_decref(doc);
        cli_table(cells, n, 3);
    }
    return worst;
}

static const struct command replication_cmds[] = {
    {"list", "replicas of a registry", "-r REGISTRY", replication_list},
    {"status", "how far each region is with each other's writes", "-r REGISTRY [--watch]", replication_status},
    {"wait", "until a tag or digest is there, as new as now", "REGISTRY/REPOSITORY:TAG [--region R] [--timeout T]",
     replication_wait},
};

int cmd_replication(struct cli *c, int argc, char **argv)
{
    const struct command all[] = {replication_cmds[0],     replication_cmds[1],     replication_cmds[2],
                                  replication_drain_cmd,   replication_undrain_cmd, replication_feed_cmd,
                                  replication_revoked_cmd, replication_repair_cmd};
    return command_group(c, "replication", all, ARRAY_LEN(all), argc, argv);
}
