// SPDX-License-Identifier: Apache-2.0
// What the files of `meridian token` share: token.c (tokens), token_credential.c (their passwords),
// token_refresh.c (refresh tokens: listing, revoking). Single-threaded.
#ifndef MERIDIAN_CLI_TOKEN_H
#define MERIDIAN_CLI_TOKEN_H

#include "cli/principals_call.h"
#include "config/password.h"

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

struct token_made { // a password that was made here, and is shown once
    const char *name;
    unsigned id;
    char password[TOKEN_PASSWORD_SIZE];
    int64_t expires_s;
};

// Makes a password; `o` gets its id, its hash and its end, as verbs take them. An exit status.
int token_password_new(struct token_made *m, json_t *o);
// Shows it: alone on stdout, so that a script can take it; with -o json beside name and end. `ctx`:
// struct token_made.
int token_password_show(struct cli *c, void *ctx);

int token_credential(struct cli *c, int argc, char **argv); // token_credential.c
int token_refresh(struct cli *c, int argc, char **argv);    // token_refresh.c
int token_revoke(struct cli *c, int argc, char **argv);     // likewise

#endif
