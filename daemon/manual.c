// SPDX-License-Identifier: Apache-2.0
// Samples and manual pages of the two files whose keys are option rows; see manual.h. A file of its
// own because config/options.h and getopt.h both name a struct option.
#include "daemon/manual.h"

#include "config/node.h"
#include "config/options.h"
#include "config/topology.h"

#include <stdio.h>
#include <string.h>

int manual_print(const char *what, bool manual)
{
    bool node = strcmp(what, "node") == 0;
    if (!node && strcmp(what, "topology") != 0) {
        fprintf(stderr, "meridiand: %s: node and topology are the files there are\n", what);
        return 2;
    }
    const struct option_set *rows;
    if (node)
        rows = node_options();
    else
        rows = topology_options();
    if (!manual) {
        options_print_sample(rows, stdout);
        return 0;
    }
    printf(".TH %s 5 \"\" \"meridian %s\"\n.SH NAME\n%s\n.SH DESCRIPTION\nYAML. Durations are "
           "written 750ms, 1s, 5m, 1h; "
           "an unknown key is an error with its line.\n.SH KEYS\n",
           node ? "MERIDIAND.YAML" : "MERIDIAN-TOPOLOGY", MERIDIAN_VERSION,
           node ? "meridiand.yaml \\- settings of one node"
                : "meridian-topology \\- the document that all regions share");
    options_print_man(rows, stdout);
    puts(".SH SEE ALSO\n.BR meridiand (8),\n.BR meridian (1)");
    return 0;
}
