// SPDX-License-Identifier: Apache-2.0
// The manual page meridian(1), from the rows of commands, options and exit statuses, as mdoc(7). The
// build makes the page from it; what commands do in more words stands in docs/man/meridian.7.
#ifndef MERIDIAN_CLI_MANUAL_H
#define MERIDIAN_CLI_MANUAL_H

#include "cli/cli.h"

#include <stdio.h>

#define MANUAL_WORD "--manual"

int manual_page_print(struct cli *c, FILE *out);

#endif
