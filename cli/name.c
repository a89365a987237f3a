// SPDX-License-Identifier: Apache-2.0
// `meridian name`: names of deleted registries, which are kept for their owners for a time, and
// letting one go before that.
#include "cli/cli.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/registry_words.h"
#include "cli/request.h"
#include "config/reserved.h"

static json_t *reserved_json(const struct reserved_name *x)
{
    char since[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", x->name, "label", x->label, "owner",
                     x->owner, "since", clock_format_s(x->since_s, since), "until",
                     clock_format_s(x->until_s, until));
}

static int name_list(struct cli *c, int argc, char **argv)
{
    static const char *const columns[] = {"name", "owner", "since", "until"};
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < topology_reserved_count(c->topo); i++)
        json_array_append_new(list, reserved_json(topology_reserved_at(c->topo, i)));
    return cli_print_rows(c, list, columns, ARRAY_LEN(columns));
}

static int name_release(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    return cli_request(
        c, &(struct request){.verb = "name release", .object = words_plain(c, argv[1])});
}

static const struct command name_cmds[] = {
    {"list",
     "names of deleted registries that are kept for their owners, and until when",
     "",
     name_list,
     USES_TOPOLOGY | USES_ADMIN,
     0,
     0,
     {"meridian name list", "meridian name list -o tsv --query '[].[name, until]'"}},
    {"release",
     "let a name go: whoever may create registries may take it",
     "NAME",
     name_release,
     USES_CHANGE | TAKES_AWAY,
     1,
     1,
     {"meridian name release contoso", "meridian name release contoso --yes"}},
};

int cmd_name(struct cli *c, int argc, char **argv)
{
    return command_group(c, name_cmds, ARRAY_LEN(name_cmds), argc, argv);
}
