// SPDX-License-Identifier: Apache-2.0
// Words that name something in a registry: contoso/app, contoso/app:1, contoso/app@sha256:….
//
//   struct target at;
//   rc = target_parse(c, "tag history", TARGET_TAG, argv[1], &at);
//
// The texts are the arena's. Single-threaded.
#ifndef MERIDIAN_CLI_TARGET_H
#define MERIDIAN_CLI_TARGET_H

#include "cli/cli.h"

enum target_form { TARGET_REPOSITORY, TARGET_TAG, TARGET_MANIFEST };
struct target {
    const struct registry *registry;
    // of the arena; NULL: the word has none
    const char *repository, *tag, *digest;
};
// An exit status, after saying what is wrong with the word (NULL: there is none), `command` first.
int target_parse(struct cli *c, const char *command, enum target_form form, const char *word,
                 struct target *out);
// As it was given: "contoso/app:1".
const char *target_text(struct cli *c, const struct target *at);
// "repository=…", with "&tag=…" or "&digest=…" when the target has one.
const char *target_query(struct cli *c, const struct target *at);

#endif
