// SPDX-License-Identifier: Apache-2.0
// How `meridian import` proves who it is at the source: nothing, Basic, or a token of the realm that
// the challenge names (distribution-spec's token flow). Tokens are kept for the repository that is
// imported now; the next one's takes their place.
//
// The password goes to the source's realm, wherever the source says that is, as every client of
// registries does it; the realm's address is judged by the guard. Any thread.
#ifndef MERIDIAN_CLI_IMPORT_TOKEN_H
#define MERIDIAN_CLI_IMPORT_TOKEN_H

#include "cli/import_source.h"

struct source_auth;
struct outbound;

int source_auth_new(const struct source_options *o, struct source_auth **out);
void source_auth_free(struct source_auth *a);
// The value of the Authorization header for a repository (NULL: the catalogue), or NULL. Heap.
char *source_auth_header(struct source_auth *a, const char *repository);
// A 401 came: gets what its challenge asks for. 0, or an error with a sentence.
int source_auth_answer(struct source_auth *a, struct outbound *lane, const struct fetch_result *res,
                       const char *repository, char why[IMPORT_WHY_SIZE]);

#endif
