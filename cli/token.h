// SPDX-License-Identifier: Apache-2.0
// What the files of `meridian token` share: token.c (tokens), token_credential.c (their passwords),
// token_refresh.c (refresh tokens: listing, revoking). Single-threaded.
#ifndef MERIDIAN_CLI_TOKEN_H
#define MERIDIAN_CLI_TOKEN_H

#include "cli/principals_edit.h"

// When a password ends, by --expires-in (30d) or --expires (a time); neither: never (0). An exit
// status, after saying what is wrong.
struct expiry_ask {
    const char *in, *at;
};
#define EXPIRY_OPTS(ask)                                                                       \
    {0, "expires-in", "DURATION", "the password ends after so long (90d)", &(ask).in, NULL},   \
    {                                                                                          \
        0, "expires", "TIME", "the password ends then (2027-01-31T00:00:00Z)", &(ask).at, NULL \
    }
int token_expiry(const struct expiry_ask *ask, int64_t *out_s);

// Makes a password and puts it into the token's slot `id`; `out` is what to show, once. Heap of the
// arena. An exit status.
int token_password_put(struct cli *c, struct named_token *t, unsigned id, int64_t expires_s,
                       const char **out);
// Shows it: alone on stdout, so that a script can take it; with -o json beside name and end.
int token_password_show(struct cli *c, const char *name, unsigned id, const char *password,
                        int64_t expires_s);
// A copy of how the token stands in the document, which may be changed.
struct named_token *token_change(struct cli *c, struct principal *p);
int token_find(struct principals_edit *e, const char *name, struct principal **out);

int token_credential(struct cli *c, int argc, char **argv);
int token_refresh(struct cli *c, int argc, char **argv);
int token_revoke(struct cli *c, int argc, char **argv);

#endif
