// SPDX-License-Identifier: Apache-2.0
// Edits of principals.yaml, whole and atomically, 0600: a changed copy of the frozen document, whose
// strings are the document's or the process's arena's. What an edit does not touch is written back
// as it was.
//
//   AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
//   rc = principals_edit_begin(c, path, false, &e);
//   …change e.users, e.doc.n_users, …
//   return principals_edit_commit(&e, "user %s is gone", name);
//
// Single-threaded.
#ifndef MERIDIAN_CLI_PRINCIPALS_EDIT_H
#define MERIDIAN_CLI_PRINCIPALS_EDIT_H

#include "cli/cli.h"
#include "config/principals.h"

struct principals_edit {
    struct cli *c;
    // the document itself; NULL: there is none yet
    struct principals *now;
    const char *path;
    struct principals doc;
    // doc's lists, each with room for one more
    struct principal *users, *tokens;
    struct scope_map *scope_maps;
    struct revoked_token *revoked;
};

// The row that every command which edits has.
#define PRINCIPALS_OPT(to)                                                           \
    {                                                                                \
        0, "principals", "FILE", "the file (default: beside the topology)", to, NULL \
    }

// "principals.yaml" beside the topology. Arena.
const char *principals_default_path(struct cli *c);
// path NULL: the default. An exit status, after saying what is wrong.
int principals_edit_begin(struct cli *c, const char *path, bool may_be_new,
                          struct principals_edit *out);
void principals_edit_done(struct principals_edit *e);
#define AUTO_PRINCIPALS_EDIT __attribute__((cleanup(principals_edit_done)))
// Raises the version, drops revoked tokens that have ended by themselves, writes, and says what was
// done, on stdout; with `quiet` on stderr, since stdout has something better to say. An exit status.
int principals_edit_commit(struct principals_edit *e, bool quiet, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct principal *principals_edit_user(struct principals_edit *e, const char *name);
struct principal *principals_edit_token(struct principals_edit *e, const char *name);
struct scope_map *principals_edit_scope_map(struct principals_edit *e, const char *registry,
                                            const char *name);

// Is it a registry of the topology, as far as that can be read? A grant on a misspelt one would never
// be noticed. False: said.
bool principals_registry_known(struct cli *c, const char *name);
// A list of words with commas between them, cut up in a copy. Arena.
const char *const *principals_words(struct cli *c, const char *list, size_t *out_n);

#endif
