// SPDX-License-Identifier: Apache-2.0
// An edit of the principals: a changed copy of the frozen document, whose strings are the document's
// or the edit's arena's. What an edit does not touch is written back as it was; comments are not
// kept.
//
//   AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
//   rc = principals_edit_begin(&e, text, 1, &diag);
//   …change e.users, e.doc.n_users, …
//   rc = principals_edit_finish(&e, now_ms, &diag, &out);
//
// Single-threaded.
#ifndef MERIDIAN_CONTROL_PRINCIPALS_EDIT_H
#define MERIDIAN_CONTROL_PRINCIPALS_EDIT_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "config/principals.h"

struct principals_edit {
    struct arena arena;
    // the document itself; NULL: there is none yet
    struct principals *now;
    struct principals doc;
    // doc's lists, each with room for more
    struct principal *users, *tokens;
    struct scope_map *scope_maps;
    struct revoked_token *revoked;
};

// `room`: how many more each list may get. ERR_INVAL (diag), ERR_TOOBIG, ERR_NOMEM;
// principals_edit_done in any case.
int principals_edit_begin(struct principals_edit *e, struct bytes text, size_t room,
                          struct diag *diag);
void principals_edit_done(struct principals_edit *e);
#define AUTO_PRINCIPALS_EDIT __attribute__((cleanup(principals_edit_done)))
// Raises the version, drops revoked tokens that have ended by themselves, and writes; what is written
// reads back. ERR_EXISTS: nothing but the version would be new. *out need not be initialised.
int principals_edit_finish(struct principals_edit *e, int64_t now_ms, struct diag *diag,
                           struct buf *out);

// NULL: there is none of that name.
struct principal *principals_edit_user(struct principals_edit *e, const char *name);
struct principal *principals_edit_token(struct principals_edit *e, const char *name);
struct scope_map *principals_edit_scope_map(struct principals_edit *e, const char *registry,
                                            const char *name);

#endif
