// SPDX-License-Identifier: Apache-2.0
// `meridian certs create-ca`: where the next private CA of a fleet begins. Nothing uses it yet;
// docs/runbooks/rotate-keys.md has how it takes over.
#include "cli/certs_ca.h"

#include "base/err.h"
#include "certs/ca.h"

#include <stdio.h>

int certs_create_ca(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (!rc && argc != 2)
        rc = cli_fail(EXIT_USAGE, "certs create-ca: name a directory for the CA and its key");
    if (!rc)
        rc = cli_topology_in_force(c);
    if (rc)
        return rc;
    struct diag d;
    diag_init(&d);
    int made = ca_create(argv[1], c->topo->domain, &d);
    diag_print(&d, stderr);
    diag_done(&d);
    if (made)
        return cli_fail(EXIT_FAILED, "certs create-ca: %s: %s", argv[1], err_text(made));
    return cli_done(c, json_pack("{s:s, s:s}", "directory", argv[1], "domain", c->topo->domain),
                    "%s holds a CA for %s; nothing trusts or uses it yet", argv[1],
                    c->topo->domain);
}
