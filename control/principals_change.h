// SPDX-License-Identifier: Apache-2.0
// Changes of the principals (config/principals.h) as text in, text out. The same code edits a node's
// file, called by the command line, and makes the next document at the writer of a fleet. Pure: no
// file, no clock of its own, and no password: who changes one sends its hash, and reads nobody's.
//
//   const struct principals_ask ask = {.noun = "user", .word = "grant", .object = "ada",
//                                      .arguments = arguments, .now_ms = now};
//   struct buf text;
//   char *what;
//   rc = principals_change(bytes_of(old, n), &ask, &diag, &text, &what);
//   // 0: text is the document, one version further; what: "user ada has a new grant"
//   buf_done(&text);
//   free(what);
//
// Verbs and their arguments, in the spelling of requests; those in brackets may be absent:
//
//   user create                passwordHash [enabled] [registry repositories actions]
//   user update                enabled
//   user passwd                passwordHash
//   user grant                 registry [repositories] [actions]
//   user revoke                [registry]: its grants there; always the refresh tokens
//   user delete
//   user import                users: [{name, passwordHash}] [registry repositories actions]
//   token create               passwords: [{id, passwordHash, expires}] [lifetime] [enabled], and
//                              registry scopeMap [repositories] [refresh], or admin regions
//   token update               [scopeMap] [repositories] [refresh] [admin] [regions] [lifetime]
//                              [enabled]
//   token delete
//   token credential generate  id passwordHash [expires]
//   token credential delete    id
//   token revoke               expires; the object is the id of an access or refresh token (jti)
//   scope-map create           registry repositories actions
//   scope-map update           registry repositories actions [replace]
//   scope-map delete           registry
//
// Lists are arrays of texts, or one text with commas. Times are RFC 3339, in UTC. What is not in
// this list is refused by its name. Rights that are taken away, and passwords that change, raise the
// generation of the user, which ends its refresh tokens. Any thread.
#ifndef MERIDIAN_CONTROL_PRINCIPALS_CHANGE_H
#define MERIDIAN_CONTROL_PRINCIPALS_CHANGE_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/principals.h"

#include <jansson.h>

struct principals_ask {
    // "user", "token", "scope-map"; "create", "credential generate", …
    const char *noun, *word;
    // name of the user, token or scope map; id of a revoked token; "" of an import
    const char *object;
    // an object, or NULL
    const json_t *arguments;
    // wall: dates what is made
    int64_t now_ms;
    // wall, as far as it is sure: revoked tokens that ended by themselves before are not kept. 0: now_ms
    int64_t sure_ms;
    // Is there a registry of this name? A grant on a misspelt one would never be noticed. NULL: it
    // is not asked.
    bool (*registry_known)(void *ctx, const char *name);
    void *ctx;
};

// `text` may be empty: there is no document yet. ERR_INVAL: the verb, an argument or what would come
// of it is not right; ERR_NOTFOUND: nobody of that name; ERR_CONFLICT: there is one of that name
// already, or something uses it; ERR_EXISTS: nothing would change; ERR_NOMEM. With one sentence or
// more in diag. *out_text need not be initialised, and is untouched on failure, as *out_what is.
int principals_change(struct bytes text, const struct principals_ask *ask, struct diag *diag,
                      struct buf *out_text, char **out_what);
// Is there such a verb?
bool principals_verb_known(const char *noun, const char *word);

// What goes with a registry that is deleted, so that the next one of its name has none of it: users'
// grants on it, its scope maps, its named tokens, the issuers that it trusts. ERR_NOTFOUND: the
// document says nothing of it. *out_gone, which may be NULL: an array of sentences, a new reference.
int principals_without_registry(struct bytes text, const char *registry, struct diag *diag,
                                struct buf *out_text, json_t **out_gone);

// What may be shown of the principals: no hash of a password, in none of its members.
//   {"version":7,"users":[…],"tokens":[…],"scopeMaps":[…],"issuers":[…],"revoked":[…]}
// A new reference; NULL: no memory.
json_t *principals_view(const struct principals *p);

#endif
