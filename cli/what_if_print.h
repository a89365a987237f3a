// SPDX-License-Identifier: Apache-2.0
// What a change would do, as the writer computed it: {"object","from","to","changes","dns",
// "certificates","members","notes","exit"}.
#ifndef MERIDIAN_CLI_WHAT_IF_PRINT_H
#define MERIDIAN_CLI_WHAT_IF_PRINT_H

#include "cli/cli.h"

// Would it be refused only because an operation is under way? Then it lists what would change once
// that has ended, and error.message says which one it is.
bool what_if_is_held(const json_t *what_if);
// EXIT_DONE: nothing; EXIT_CHANGES; EXIT_FAILED: it would be refused.
int what_if_exit(const json_t *what_if);
// As text, or in the form that was asked for. EXIT_DONE.
int what_if_show(struct cli *c, const json_t *what_if);

#endif
