// SPDX-License-Identifier: Apache-2.0
// How all nodes are; see fleet_status.h.
#include "cli/fleet_status.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS 11

static const char *text_of(const json_t *report, const char *member)
{
    const char *text = json_string_value(json_object_get(report, member));
    if (text)
        return text;
    return "";
}

static const char *number_of(struct cli *c, const json_t *report, const char *member)
{
    const json_t *v = json_object_get(report, member);
    if (!json_is_integer(v))
        return "";
    return arena_printf(&c->arena, "%lld", (long long)json_integer_value(v));
}

const char *fleet_certificates_until(struct cli *c, const json_t *report)
{
    const char *first = "";
    size_t i;
    json_t *one;
    (void)c;
    json_array_foreach(json_object_get(report, "certificates"), i, one)
    {
        const char *end = json_string_value(json_object_get(one, "notAfter"));
        if (end && (!*first || strcmp(end, first) < 0))
            first = end;
    }
    return first;
}

const char *fleet_clock(struct cli *c, const json_t *report)
{
    const json_t *ms = json_object_get(report, "clockOffsetMs");
    if (!json_is_integer(ms))
        return "";
    return arena_printf(&c->arena, "%+lld ms", (long long)json_integer_value(ms));
}

// "open", "closed"; "" nobody said.
static const char *writes_of(const json_t *report)
{
    const json_t *why = json_object_get(report, "writesClosed");
    if (json_is_null(why))
        return "open";
    if (json_is_string(why))
        return "closed";
    return "";
}

static const char *keys_of(struct cli *c, const json_t *report)
{
    const char *all = "", *key;
    json_t *id;
    json_object_foreach(json_object_get(report, "keys"), key, id)
    {
        if (json_is_string(id))
            all = arena_printf(&c->arena, "%s%s%s", all, *all ? "," : "", json_string_value(id));
    }
    return all;
}

// Of the control feed: "2:105", the writer's with a star.
static const char *feed_of(struct cli *c, const json_t *report)
{
    const json_t *control = json_object_get(report, "control");
    if (!control)
        return text_of(report, "source");
    return arena_printf(&c->arena, "%s:%s%s", number_of(c, control, "epoch"),
                        number_of(c, control, "seq"),
                        json_is_true(json_object_get(control, "writes")) ? "*" : "");
}

static void row_fill(struct cli *c, const json_t *report, const char **cells)
{
    bool reached = json_is_true(json_object_get(report, "reached"));
    cells[0] = text_of(report, "region");
    cells[1] = "away";
    if (reached)
        cells[1] = text_of(report, "status");
    cells[2] = text_of(report, "version");
    cells[3] = feed_of(c, report);
    cells[4] = number_of(c, report, "topologyVersion");
    cells[5] = number_of(c, report, "principalsVersion");
    cells[6] = fleet_clock(c, report);
    cells[7] = writes_of(report);
    cells[8] = fleet_certificates_until(c, report);
    cells[9] = keys_of(c, report);
    cells[10] = text_of(report, "since");
}

static void print_table(struct cli *c, const json_t *all)
{
    static const char *const heads[COLUMNS] = {"region", "status",   "release",
                                               "feed",   "topology", "principals",
                                               "clock",  "writes",   "certificates until",
                                               "keys",   "since"};
    size_t n = json_array_size(all), i;
    const char **cells = arena_array(&c->arena, (n + 1) * COLUMNS, sizeof *cells);
    json_t *one;
    if (!cells)
        abort();
    memcpy(cells, heads, sizeof heads);
    json_array_foreach((json_t *)all, i, one) row_fill(c, one, cells + (i + 1) * COLUMNS);
    cli_table(cells, n + 1, COLUMNS);
}

// What is wrong, a line each; true: something that a person must see to now.
static bool print_wrong(const json_t *report)
{
    const char *region = text_of(report, "region"), *why = text_of(report, "why");
    bool bad = false;
    size_t i;
    json_t *one;
    if (!json_is_true(json_object_get(report, "reached"))) {
        printf("%s: away: %s\n", region, why);
        return true;
    }
    json_array_foreach(json_object_get(report, "conditions"), i, one)
    {
        const char *severity = text_of(one, "severity");
        printf("%s: %s: %s (%s, since %s)\n", region, severity, text_of(one, "sentence"),
               text_of(one, "name"), text_of(one, "since"));
        bad = bad || strcmp(severity, "down") == 0;
    }
    return bad;
}

static bool is_bad(const json_t *report)
{
    return !json_is_true(json_object_get(report, "reached")) ||
           strcmp(text_of(report, "status"), "down") == 0;
}

int fleet_status(struct cli *c)
{
    json_t *all = NULL, *one;
    size_t i;
    int rc = cli_admin(c, "GET", "/v1/fleet", &all);
    if (rc)
        return rc;
    bool bad = false;
    if (cli_json(c)) {
        json_array_foreach(all, i, one) bad = bad || is_bad(one);
        rc = cli_print_json(c, all);
    } else {
        print_table(c, all);
        json_array_foreach(all, i, one) bad |= print_wrong(one);
        json_decref(all);
    }
    if (!rc && bad)
        return EXIT_FAILED;
    return rc;
}
