// SPDX-License-Identifier: Apache-2.0
// The admin listener that --server names (docs/administration.md): what is dialled, under which name
// its certificate is verified, and the bearer that calls carry.
//
//   --server https://eus-1.eastus.fe.example.io:8444      by its name
//   --server https://192.0.2.10:8444, --server eastus     the name and the address are the topology's
//
// With --token-name and --token-file calls carry a bearer of that region, got once, and again when it
// is refused. Without them they carry none: what an operator has signed needs none.
// Single-threaded.
#ifndef MERIDIAN_CLI_SERVER_H
#define MERIDIAN_CLI_SERVER_H

#include "cli/cli.h"

struct cli_server {
    // "https://NAME:PORT"
    const char *url;
    // dialled in its place; port 0: what the name resolves to
    struct endpoint to;
    // "Authorization: Bearer …"; NULL: none yet, or nobody to be
    const char *bearer;
};

// *out lives in the arena. An exit status, said.
int cli_server_find(struct cli *c, struct cli_server **out);
// A bearer, where there is somebody to be; the one before is forgotten. An exit status, said.
int cli_server_login(struct cli *c, struct cli_server *s);

#endif
