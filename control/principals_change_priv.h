// SPDX-License-Identifier: Apache-2.0
// What the files of the principals' verbs share, lowest first: principals_args.c (arguments),
// principals_users.c, principals_tokens.c, principals_maps.c (verbs of a noun each), principals_change.c
// (the table). Nobody else includes this.
//
// Every text of a request is judged when it is read here, since the writer of the document trusts
// that names, patterns and hashes have their form.
#ifndef MERIDIAN_CONTROL_PRINCIPALS_CHANGE_PRIV_H
#define MERIDIAN_CONTROL_PRINCIPALS_CHANGE_PRIV_H

#include "control/principals_change.h"
#include "control/principals_edit.h"

struct call { // one verb
    const struct principals_ask *ask;
    struct principals_edit e;
    struct diag *diag;
    // what was done, for people; on e.arena
    const char *what;
};

// Adds the sentence, and is `rc`.
int call_fail(struct call *c, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
// Of a principal that is made: the version that makes it, which is above the generation of whoever had
// the name before and was taken away. His refresh tokens are no more good for the new one.
static inline uint64_t generation_new(const struct call *c)
{
    return c->e.doc.version + 1;
}

// The sentence of what was done.
int call_done(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// --- principals_args.c: ERR_INVAL with a sentence; NULL, or 0 items: it is not given ---
const json_t *arg_of(const struct call *c, const char *name);
int arg_text(struct call *c, const char *name, const char **out);
// One that must be there.
int arg_needed(struct call *c, const char *name, const char **out);
int arg_bool(struct call *c, const char *name, bool *out_given, bool *out);
int arg_words(struct call *c, const char *name, const char *const **out, size_t *out_n);
// Patterns of repositories, regions.
int arg_patterns(struct call *c, const char *name, const char *const **out, size_t *out_n);
int arg_regions(struct call *c, const char *name, const char *const **out, size_t *out_n);
// A registry that is there.
int arg_registry(struct call *c, const char **out);
// The hash under "passwordHash" of `from`.
int arg_hash(struct call *c, const json_t *from, const char **out);
// A time under `name` of `from`; 0: not given.
int arg_time(struct call *c, const json_t *from, const char *name, int64_t *out_s);
// {id, passwordHash, expires} of `from`.
int arg_password(struct call *c, const json_t *from, struct token_password *out);
// A grant of registry, repositories and actions. Of a user the two lists may be absent: pull and push,
// everywhere. Of a scope map (`scope`) they may not, and the actions are in its own words.
int arg_grant(struct call *c, bool scope, struct grant *out);

// --- the verbs ---
int principals_user_create(struct call *c);
int principals_user_update(struct call *c);
int principals_user_passwd(struct call *c);
int principals_user_grant(struct call *c);
int principals_user_revoke(struct call *c);
int principals_user_delete(struct call *c);
int principals_user_import(struct call *c);
int principals_token_create(struct call *c);
int principals_token_update(struct call *c);
int principals_token_delete(struct call *c);
int principals_token_credential_generate(struct call *c);
int principals_token_credential_delete(struct call *c);
int principals_token_revoke(struct call *c);
int principals_scope_map_create(struct call *c);
int principals_scope_map_update(struct call *c);
int principals_scope_map_delete(struct call *c);

#endif
