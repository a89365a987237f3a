// SPDX-License-Identifier: Apache-2.0
// The topology that commands look at: what a node has in force, or a file; see cli.h.
#include "cli/cli.h"

#include "base/diag.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_TIMEOUT_MS 120000

static int take(struct cli *c, const struct buf *text)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    int rc = topology_parse(buf_cstr(text), text->n, cli_node_name(c), &d, &t);
    if (rc)
        diag_print(&d, stderr);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: the topology of %s cannot be used: %s", c->path,
                        cli_node_name(c), err_text(rc));
    snapshot_unref(c->topo);
    c->topo = t;
    c->from_node = true;
    return EXIT_DONE;
}

int cli_topology_of_node(struct cli *c)
{
    struct fetch_result r;
    int rc = cli_node_fetch(c, "GET", "/v1/topology", (struct bytes){0}, READ_TIMEOUT_MS, &r);
    if (rc)
        return rc;
    if (r.status == 200)
        rc = take(c, &r.body);
    else
        rc = cli_node_refused(c, &r);
    fetch_result_done(&r);
    return rc;
}

int cli_topology_in_force(struct cli *c)
{
    if (c->topo)
        return EXIT_DONE;
    if (c->server)
        return cli_topology_of_node(c);
    bool named = strcmp(c->topology, CLI_DEFAULT_TOPOLOGY) != 0;
    if (!named && access(c->admin, R_OK | W_OK) == 0)
        return cli_topology_of_node(c);
    return cli_topology(c);
}
