// SPDX-License-Identifier: Apache-2.0
// See private_view.h.
#include "cli/private_view.h"

#include "base/mem.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

static const char *with_filter(struct cli *c, const char *path, const char *name, const char *value)
{
    if (!value)
        return path;
    return arena_printf(&c->arena, "%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', name,
                        cli_urlencode(c, value));
}

static int get(struct cli *c, const char *path, json_t **out)
{
    json_t *doc = NULL;
    int rc = cli_admin(c, "GET", path, &doc);
    if (rc)
        return rc;
    *out = json_incref(json_object_get(doc, "privateEndpoints"));
    json_decref(doc);
    if (*out)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "%s: the answer of %s has no list of private endpoints", c->path,
                    cli_node_name(c));
}

int private_get(struct cli *c, const char *name, const char *registry, json_t **out)
{
    json_t *list = NULL;
    const char *path = with_filter(c, "/v1/private-endpoints", "name", name);
    int rc = get(c, with_filter(c, path, "registry", registry), &list);
    if (rc)
        return rc;
    *out = json_incref(json_array_get(list, 0));
    json_decref(list);
    if (*out)
        return EXIT_DONE;
    if (registry)
        return cli_fail(EXIT_UNKNOWN, "%s: registry %s has no private endpoint connection %s",
                        c->path, registry, name);
    return cli_fail(EXIT_UNKNOWN, "%s: there is no private endpoint %s", c->path, name);
}

int private_get_all(struct cli *c, const char *registry, const char *view, json_t **out)
{
    const char *path = with_filter(c, "/v1/private-endpoints", "registry", registry);
    return get(c, with_filter(c, path, "view", view), out);
}

int private_word(struct cli *c, const char *given, int argc, char **argv, const char **out)
{
    if (given && argc > 1 && strcmp(given, argv[1]) != 0)
        return cli_fail(EXIT_USAGE, "%s: --name says %s, and %s stands there as well", c->path,
                        given, argv[1]);
    if (!given && argc > 1)
        given = argv[1];
    if (!given)
        return cli_fail(EXIT_USAGE, "%s: name a private endpoint; usage: meridian %s %s", c->path,
                        c->path, c->row->synopsis);
    *out = given;
    return EXIT_DONE;
}

// ---- one ----

static void print_line(const char *name, const char *value)
{
    if (value && *value)
        printf("%-13s %s\n", name, value);
}

static const char *addresses(struct cli *c, const json_t *member)
{
    const char *out = "";
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(member, "privateIpAddresses"), i, one) out =
        arena_printf(&c->arena, "%s%s%s", out, *out ? ", " : "", json_string_value(one));
    return out;
}

static void print_members(struct cli *c, const json_t *list)
{
    const char *head[] = {"member", "address", "name"};
    size_t n = json_array_size(list);
    const char **cells = arena_array(&c->arena, (n + 1) * ARRAY_LEN(head), sizeof *cells);
    if (!n || !cells)
        return;
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(list, i);
        const char *row[] = {json_text(m, "memberName"), addresses(c, m), json_text(m, "fqdn")};
        memcpy(cells + (i + 1) * ARRAY_LEN(head), row, sizeof row);
    }
    putchar('\n');
    cli_table(cells, n + 1, ARRAY_LEN(head));
}

static void print_moves(struct cli *c, const json_t *list)
{
    const char *head[] = {"at", "status", "by", "description"};
    size_t n = json_array_size(list);
    const char **cells = arena_array(&c->arena, (n + 1) * ARRAY_LEN(head), sizeof *cells);
    if (!n || !cells)
        return;
    memcpy(cells, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(list, i);
        const char *row[] = {json_text(m, "at"), json_text(m, "status"), json_text(m, "by"),
                             json_text(m, "description")};
        memcpy(cells + (i + 1) * ARRAY_LEN(head), row, sizeof row);
    }
    putchar('\n');
    cli_table(cells, n + 1, ARRAY_LEN(head));
}

static const char *in_dns(const json_t *doc)
{
    const json_t *v = json_object_get(doc, "inDns");
    if (json_is_true(v))
        return "yes";
    if (json_is_false(v))
        return "no: at the edge alone";
    return "no";
}

int private_print(struct cli *c, json_t *doc)
{
    const json_t *state = json_object_get(doc, "privateLinkServiceConnectionState");
    if (cli_json(c))
        return cli_print_json(c, doc);
    print_line("name", json_text(doc, "name"));
    print_line("registry", json_text(doc, "registry"));
    print_line("view", json_text(doc, "view"));
    print_line("pool", json_text(doc, "pool"));
    print_line("status", json_text(state, "status"));
    print_line("description", json_text(state, "description"));
    print_line("provisioning", json_text(doc, "provisioningState"));
    print_line("error", json_text(doc, "error"));
    print_line("answered by", json_text(doc, "answeredBy"));
    print_line("in DNS", in_dns(doc));
    print_line("rests until", json_text(doc, "restsUntil"));
    print_members(c, json_object_get(doc, "ipConfigurations"));
    print_moves(c, json_object_get(doc, "moves"));
    json_decref(doc);
    return EXIT_DONE;
}
