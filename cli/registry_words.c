// SPDX-License-Identifier: Apache-2.0
// Words become arguments; see registry_words.h.
#include "cli/registry_words.h"

#include <ctype.h>
#include <string.h>

int words_name(struct cli *c, const char *what, const char *given, int argc, char **argv,
               const char **out)
{
    if (given && argc > 1 && strcmp(given, argv[1]) != 0)
        return cli_fail(EXIT_USAGE, "%s: --name says %s, and %s stands there as well", c->path,
                        given, argv[1]);
    if (!given && argc > 1)
        given = argv[1];
    if (!given)
        return cli_fail(EXIT_USAGE, "%s: name %s; usage: meridian %s %s", c->path, what, c->path,
                        c->row->synopsis);
    *out = given;
    return EXIT_DONE;
}

int registry_word(struct cli *c, const char *given, int argc, char **argv, const char **out)
{
    return words_name(c, "a registry", given, argc, argv, out);
}

const char *words_plain(struct cli *c, const char *text)
{
    if (!text)
        return NULL;
    char *out = arena_strdup(&c->arena, text), *to = out;
    for (const char *p = text; *p; p++)
        if (*p != ' ')
            *to++ = (char)tolower((unsigned char)*p);
    *to = 0;
    return out;
}

void words_put(json_t *arguments, const char *member, const char *text)
{
    if (text)
        json_object_set_new(arguments, member, json_string(text));
}

void words_put_list(struct cli *c, json_t *arguments, const char *member,
                    const struct opt_list *list)
{
    if (!list->n)
        return;
    json_t *out = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(out, json_string(words_plain(c, list->v[i])));
    json_object_set_new(arguments, member, out);
}

int words_some(struct cli *c, const json_t *arguments, const char *example)
{
    if (json_object_size(arguments))
        return EXIT_DONE;
    return cli_fail(EXIT_USAGE, "%s: say what is to be other, as in %s", c->path, example);
}

int words_put_ip(struct cli *c, json_t *arguments, const struct opt_list *list)
{
    if (!list->n)
        return EXIT_DONE;
    json_t *members = json_object();
    json_object_set_new(arguments, "ip", members);
    for (size_t i = 0; i < list->n; i++) {
        const char *eq = strchr(list->v[i], '=');
        if (!eq || eq == list->v[i] || !eq[1])
            return cli_fail(EXIT_USAGE, "%s: --ip %s: give it as in registry_eastus=10.4.0.9",
                            c->path, list->v[i]);
        const char *member = arena_strndup(&c->arena, list->v[i], (size_t)(eq - list->v[i]));
        json_t *addresses = json_object_get(members, member);
        if (!addresses) {
            addresses = json_array();
            json_object_set_new(members, member, addresses);
        }
        json_array_append_new(addresses, json_string(eq + 1));
    }
    return EXIT_DONE;
}

bool words_on(const char *choice)
{
    return !strcmp(choice, "true") || !strcmp(choice, "enabled");
}

static void put_switch(json_t *arguments, const char *member, const char *choice)
{
    if (choice)
        json_object_set_new(arguments, member, json_boolean(words_on(choice)));
}

int registry_words_put(struct cli *c, const struct registry_words *w, json_t *arguments)
{
    if (w->network && w->cidrs.n)
        return cli_fail(EXIT_USAGE,
                        "%s: --cidr opens the registry to these networks, and "
                        "--public-network-enabled to all or none: give one of them",
                        c->path);
    if (w->regional)
        words_put(arguments, "regionalEndpoints", words_on(w->regional) ? "Enabled" : "Disabled");
    put_switch(arguments, "dataEndpointEnabled", w->data);
    put_switch(arguments, "publicNetworkEnabled", w->network);
    put_switch(arguments, "anonymousPullEnabled", w->anonymous);
    words_put_list(c, arguments, "cidrs", &w->cidrs);
    return EXIT_DONE;
}
