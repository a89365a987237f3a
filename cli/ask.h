// SPDX-License-Identifier: Apache-2.0
// A request to one region about a registry, at its public endpoint with an ordinary token. A
// request that fails has one of three outcomes, each with its own exit status and a sentence: the
// user lacks the right, the region cannot be reached, or the region refuses for a reason of its
// own.
#ifndef MERIDIAN_CLI_ASK_H
#define MERIDIAN_CLI_ASK_H

#include "cli/cli.h"

// The later, the more it is for who asked to mend.
enum ask_outcome { ASK_ANSWERED, ASK_REFUSED, ASK_UNREACHABLE, ASK_DENIED };

struct region_answer {
    enum ask_outcome how;
    // ASK_ANSWERED: the JSON (its owner derefs it); else NULL
    json_t *doc;
    // else: a sentence, with the request's id if there was an answer
    char why[640];
};

void ask_region(struct cli *c, const struct registry *r, const struct region *region,
                const char *repository, const char *path, uint32_t timeout_ms,
                struct region_answer *out);
int ask_exit(enum ask_outcome how);
// "Denied", "Unreachable", "Refused", in the words of `status`
const char *ask_state(enum ask_outcome how);

#endif
