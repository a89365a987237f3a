// SPDX-License-Identifier: Apache-2.0
// What-if as text: what changes, then DNS by view, certificates and members; see what_if_print.h.
#include "cli/what_if_print.h"

#include "base/mem.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

#define CELLS 6

int what_if_exit(const json_t *what_if)
{
    json_int_t status = json_integer_value(json_object_get(what_if, "exit"));
    if (status == EXIT_DONE)
        return EXIT_DONE;
    if (status == EXIT_CHANGES)
        return EXIT_CHANGES;
    return EXIT_FAILED;
}

bool what_if_is_held(const json_t *what_if)
{
    const json_t *error = json_object_get(what_if, "error");
    return !strcmp(json_text(error, "code"), "OperationInProgress");
}

static void print_rows(const char **cells, size_t n)
{
    size_t widths[CELLS] = {0};
    for (size_t i = 0; i < n * CELLS; i++)
        if (strlen(cells[i]) > widths[i % CELLS])
            widths[i % CELLS] = strlen(cells[i]);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < CELLS; k++)
            if (widths[k])
                printf("%-*s ", k + 1 < CELLS ? (int)widths[k] : 0, cells[i * CELLS + k]);
        putchar('\n');
    }
}

static const char *number(struct cli *c, const json_t *o, const char *key)
{
    if (json_is_integer(json_object_get(o, key)))
        return json_count(c, o, key);
    return "";
}

// One list of the document as aligned lines: "dns public  + name ttl type data".
static void print_list(struct cli *c, const json_t *list, const char *what,
                       const char *const keys[CELLS - 1])
{
    size_t n = json_array_size(list);
    if (!n) {
        printf("%s: no change\n", what);
        return;
    }
    const char **cells = arena_array(&c->arena, n * CELLS, sizeof *cells);
    for (size_t i = 0; cells && i < n; i++) {
        const json_t *row = json_array_get(list, i);
        cells[i * CELLS] = what;
        for (size_t k = 0; k + 1 < CELLS; k++) {
            const char *cell = "";
            if (keys[k])
                cell = json_text(row, keys[k]);
            if (keys[k] && !*cell)
                cell = number(c, row, keys[k]);
            cells[i * CELLS + k + 1] = cell;
        }
    }
    if (cells)
        print_rows(cells, n);
}

static void print_texts(const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) printf("%s\n", json_string_value(one));
}

static const char *side(const json_t *row, const char *key)
{
    const char *text = json_text(row, key);
    if (*text)
        return text;
    return "(none)";
}

// "registry/contoso regional_endpoints: disabled -> enabled"
static void print_changes(const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        const char *member = json_text(one, "member");
        printf("%s%s%s: %s -> %s\n", json_text(one, "row"), *member ? " " : "", member,
               side(one, "was"), side(one, "is"));
    }
}

// "300 CNAME eus-1.eastus.fe.example.io", and how many clients are given it if not all are
static const char *data_of(struct cli *c, const json_t *row)
{
    const char *clients = json_text(row, "clients");
    if (*clients)
        return arena_printf(&c->arena, "%s %s %s (%s of clients)", number(c, row, "ttl"),
                            json_text(row, "type"), json_text(row, "data"), clients);
    return arena_printf(&c->arena, "%s %s %s", number(c, row, "ttl"), json_text(row, "type"),
                        json_text(row, "data"));
}

// Records need two words less than there are members: ttl, type and data stand together.
static void print_dns(struct cli *c, json_t *list)
{
    static const char *const keys[CELLS - 1] = {"view", "change", "name", "record"};
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
        json_object_set_new(row, "record", json_string(data_of(c, row)));
    print_list(c, list, "dns", keys);
}

int what_if_show(struct cli *c, const json_t *what_if)
{
    static const char *const certificates[CELLS - 1] = {"region", "kind", "change", "name"};
    static const char *const members[CELLS - 1] = {"view", "privateEndpoint", "change", "member",
                                                   "address"};
    if (cli_json(c))
        return cli_print_json(c, json_incref((json_t *)what_if));
    json_t *doc = json_deep_copy(what_if);
    const char *error = json_text(doc, "error");
    const json_t *said = json_object_get(doc, "error");
    if (json_is_object(said))
        error = json_text(said, "message");
    if (*error)
        printf("%s: refused: %s\n", json_text(doc, "object"), error);
    else if (what_if_exit(doc) == EXIT_DONE)
        printf("%s: nothing changes (version %s)\n", json_text(doc, "object"),
               json_count(c, doc, "from"));
    else
        printf("%s: version %s -> %s\n", json_text(doc, "object"), json_count(c, doc, "from"),
               json_count(c, doc, "to"));
    print_changes(json_object_get(doc, "changes"));
    if (what_if_is_held(doc))
        printf("after that:\n");
    if (json_object_get(doc, "dns") && what_if_exit(doc) != EXIT_DONE) {
        print_dns(c, json_object_get(doc, "dns"));
        print_list(c, json_object_get(doc, "certificates"), "certificates", certificates);
        print_list(c, json_object_get(doc, "members"), "members", members);
    }
    print_texts(json_object_get(doc, "notes"));
    json_decref(doc);
    return EXIT_DONE;
}
