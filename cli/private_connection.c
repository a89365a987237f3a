// SPDX-License-Identifier: Apache-2.0
// `meridian private-endpoint-connection`: connections of private networks to a registry, from the
// registry's side. The network's side is private_endpoint.c.
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/private_view.h"
#include "cli/registry_words.h"
#include "cli/request.h"
#include "cli/show.h"

#include <string.h>

struct words {
    const char *name, *registry, *message;
    bool now;
};

#define WORDS_OPTS(w)                                                                       \
    {'n', "name", "NAME", "the connection's name", &(w).name},                              \
    {                                                                                       \
        'r', "registry", "REGISTRY", "the registry", &(w).registry, .also = "registry-name" \
    }
#define MESSAGE_OPT(w)                                                                       \
    {                                                                                        \
        0, "message", "TEXT", "to the network's side, at most 140 characters", &(w).message, \
            .also = "description"                                                            \
    }
#define NOW_OPT(w)                                                                         \
    {                                                                                      \
        0, "now", NULL,                                                                    \
            "edge and DNS at once: clients that have its addresses in caches are refused", \
            .flag = &(w).now                                                               \
    }

static int take(struct cli *c, struct words *w, const struct opt *rows, size_t n_rows, int argc,
                char **argv)
{
    int rc = opt_parse(c, rows, n_rows, argc, argv, &argc);
    if (!rc)
        rc = words_name(c, "a private endpoint", w->name, argc, argv, &w->name);
    if (rc)
        return rc;
    if (!w->registry)
        return cli_fail(EXIT_USAGE, "%s: of which registry? Give -r REGISTRY", c->path);
    w->registry = words_plain(c, w->registry);
    return EXIT_DONE;
}

// ---- looking ----

static void list_row(struct cli *c, const json_t *one, const char **cells)
{
    (void)c;
    const json_t *state = json_object_get(one, "privateLinkServiceConnectionState");
    cells[0] = json_text(one, "name");
    cells[1] = json_text(one, "view");
    cells[2] = json_text(state, "status");
    cells[3] = json_text(state, "description");
    cells[4] = json_text(one, "provisioningState");
}

static int connection_list(struct cli *c, int argc, char **argv)
{
    static const char *const heads[] = {"name", "view", "status", "description",
                                        "provisioning state"};
    const char *registry = NULL;
    json_t *list = NULL;
    const struct opt rows[] = {
        {'r', "registry", "REGISTRY", "the registry", &registry, .also = "registry-name"}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (!rc)
        rc = registry_word(c, registry, argc, argv, &registry);
    if (!rc)
        rc = private_get_all(c, words_plain(c, registry), NULL, &list);
    if (rc)
        return rc;
    return private_print_list(c, list, list_row, heads, ARRAY_LEN(heads));
}

static int connection_show(struct cli *c, int argc, char **argv)
{
    struct words w = {0};
    json_t *doc = NULL;
    const struct opt rows[] = {WORDS_OPTS(w)};
    int rc = take(c, &w, rows, ARRAY_LEN(rows), argc, argv);
    if (!rc)
        rc = private_get(c, w.name, w.registry, &doc);
    return rc ? rc : private_print(c, doc);
}

// ---- changing ----

static int show_changed(struct cli *c, const json_t *answer, void *ctx)
{
    const struct words *w = ctx;
    json_t *doc = NULL;
    (void)answer;
    int rc = private_get(c, w->name, w->registry, &doc);
    return rc ? rc : private_print(c, doc);
}

static int change(struct cli *c, const char *verb, struct words *w)
{
    json_t *a = json_object();
    words_put(a, "registry", w->registry);
    words_put(a, "message", w->message);
    if (w->now)
        json_object_set_new(a, "now", json_true());
    return cli_request(c, &(struct request){.verb = verb,
                                            .object = w->name,
                                            .arguments = a,
                                            .show = show_changed,
                                            .ctx = w,
                                            .says_notes = true});
}

static int connection_approve(struct cli *c, int argc, char **argv)
{
    struct words w = {0};
    const struct opt rows[] = {WORDS_OPTS(w), MESSAGE_OPT(w)};
    int rc = take(c, &w, rows, ARRAY_LEN(rows), argc, argv);
    return rc ? rc : change(c, "private-endpoint-connection approve", &w);
}

static int connection_reject(struct cli *c, int argc, char **argv)
{
    struct words w = {0};
    const struct opt rows[] = {WORDS_OPTS(w), MESSAGE_OPT(w), NOW_OPT(w)};
    int rc = take(c, &w, rows, ARRAY_LEN(rows), argc, argv);
    return rc ? rc : change(c, "private-endpoint-connection reject", &w);
}

static int connection_delete(struct cli *c, int argc, char **argv)
{
    struct words w = {0};
    const struct opt rows[] = {WORDS_OPTS(w), MESSAGE_OPT(w), NOW_OPT(w)};
    int rc = take(c, &w, rows, ARRAY_LEN(rows), argc, argv);
    return rc ? rc : change(c, "private-endpoint-connection delete", &w);
}

static const struct command connection_cmds[] = {
    {"list",
     "connections of private networks to a registry",
     "-r REGISTRY",
     connection_list,
     USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian private-endpoint-connection list -r contoso",
      "meridian private-endpoint-connection list -r contoso -o tsv --query "
      "\"[?privateLinkServiceConnectionState.status=='Pending'].name\""}},
    {"show",
     "one connection: its addresses, and who moved it",
     "NAME -r REGISTRY",
     connection_show,
     USES_ADMIN | MAY_WATCH,
     0,
     1,
     {"meridian private-endpoint-connection show corp-pe -r contoso",
      "meridian private-endpoint-connection show -n corp-pe -r contoso -o json"}},
    {"approve",
     "let a network reach the registry under private addresses",
     "NAME -r REGISTRY [--message TEXT]",
     connection_approve,
     USES_CHANGE,
     0,
     1,
     {"meridian private-endpoint-connection approve corp-pe -r contoso --what-if",
      "meridian private-endpoint-connection approve corp-pe -r contoso --message 'for the plant'"}},
    {"reject",
     "do not, or not any more: DNS first, access when caches have forgotten it",
     "NAME -r REGISTRY [--message TEXT] [--now]",
     connection_reject,
     USES_CHANGE | TAKES_AWAY,
     0,
     1,
     {"meridian private-endpoint-connection reject corp-pe -r contoso --message 'no more'",
      "meridian private-endpoint-connection reject corp-pe -r contoso --now --yes"}},
    {"delete",
     "end a connection for good: the network has to ask for a new one",
     "NAME -r REGISTRY [--now]",
     connection_delete,
     USES_CHANGE | TAKES_AWAY,
     0,
     1,
     {"meridian private-endpoint-connection delete corp-pe -r contoso",
      "meridian private-endpoint-connection delete corp-pe -r contoso --now --yes"}},
};

int cmd_private_connection(struct cli *c, int argc, char **argv)
{
    return command_group(c, connection_cmds, ARRAY_LEN(connection_cmds), argc, argv);
}
