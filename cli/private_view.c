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

// ---- many ----

int private_print_list(struct cli *c, json_t *list, private_row_fn *row, const char *const *head,
                       size_t n_cols)
{
    if (cli_json(c))
        return cli_print_json(c, list);
    size_t n = json_array_size(list);
    const char **cells = arena_array(&c->arena, (n + 1) * n_cols, sizeof *cells);
    if (!cells) {
        json_decref(list);
        return cli_fail(EXIT_FAILED, "out of memory");
    }
    memcpy(cells, head, n_cols * sizeof *cells);
    for (size_t i = 0; i < n; i++)
        row(c, json_array_get(list, i), cells + (i + 1) * n_cols);
    cli_table(cells, n + 1, n_cols);
    json_decref(list);
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

static void member_row(struct cli *c, const json_t *m, const char **cells)
{
    cells[0] = json_text(m, "memberName");
    cells[1] = addresses(c, m);
    cells[2] = json_text(m, "fqdn");
}

static void move_row(struct cli *c, const json_t *m, const char **cells)
{
    (void)c;
    cells[0] = json_text(m, "at");
    cells[1] = json_text(m, "status");
    cells[2] = json_text(m, "by");
    cells[3] = json_text(m, "description");
}

// A table of its own; nothing where there are none.
static int print_part(struct cli *c, const json_t *list, private_row_fn *row,
                      const char *const *head, size_t n_cols)
{
    if (!json_array_size(list))
        return EXIT_DONE;
    putchar('\n');
    return private_print_list(c, json_incref((json_t *)list), row, head, n_cols);
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
    static const char *const member_heads[] = {"member", "address", "name"};
    static const char *const move_heads[] = {"at", "status", "by", "description"};
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
    int rc = print_part(c, json_object_get(doc, "ipConfigurations"), member_row, member_heads,
                        ARRAY_LEN(member_heads));
    if (!rc)
        rc = print_part(c, json_object_get(doc, "moves"), move_row, move_heads,
                        ARRAY_LEN(move_heads));
    json_decref(doc);
    return rc;
}
