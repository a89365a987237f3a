// SPDX-License-Identifier: Apache-2.0
// The base of a three-way apply: what the document said that was applied last. It is kept in the
// ledger, and small, because it is what is in force but for the rows that commands have changed
// since. Those rows stand in records as the document has them:
//
//   applied/topology           {"rows": 2, "lost": false, "at": 41}   how many records there are,
//                              and the version that the last apply came to
//   applied/registry/contoso   {"row": "name: contoso\n…", "by": "operator:ada"}
//   applied/registry/fabrikam  {"row": null, "by": …}            the document has no such registry
//   applied/private/NAME, applied/section/KEY                    likewise
//
// The first change of a row by a command writes its record, in the entry of that change; a later one
// by somebody else puts his name there, so that `by` is who changed the row last. An entry that has
// a record of these itself is an apply, and none are written beside; it takes away those of all rows
// in which the document and what is in force agree again. What was adopted at the start counts as
// applied. Beyond APPLIED_ROWS_MAX records none are written any more
// ("lost"): of rows without one it is then not known who has changed them.
//
//   rc = applied_keep(&(struct applied_change){…}, look_up, ctx, &arena, &records, &n);
//
// Pure; any thread.
#ifndef MERIDIAN_CONTROL_APPLIED_H
#define MERIDIAN_CONTROL_APPLIED_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/document.h"
#include "config/topology.h"

#include <stdbool.h>
#include <stddef.h>

#define APPLIED_PREFIX "applied/"
#define APPLIED_MARK "applied/topology"
#define APPLIED_ROWS_MAX 20000

struct applied_record { // of the ledger
    // JSON; NULL: gone
    const char *key, *value;
};

struct applied_change { // by a command
    // in force before it
    const struct topology *before;
    // the documents of the entry; n 0: none
    struct bytes frame, change;
    const char *by;
};

// A record of the ledger, appended to `out` (which may be NULL: only whether it is there).
// ERR_NOTFOUND.
typedef int applied_look_up(void *ctx, const char *key, struct buf *out);

// The records that an entry with this change has to have beside its own. Strings live in the arena.
// ERR_NOMEM; a change that cannot be read gives none (it will be refused).
int applied_keep(const struct applied_change *c, applied_look_up *look_up, void *ctx,
                 struct arena *arena, struct applied_record **out, size_t *out_n);

// ---- for control/document_apply.c ----

struct applied_mark {
    size_t rows;
    bool lost;
    // 0: nothing was applied since the beginning, or by a release that did not note it
    uint64_t at;
};

// "applied/registry/contoso". NULL: out of memory.
const char *applied_key(struct arena *arena, const char *kind, const char *name);
// What the base says of a row. *out_known false: there is no record, so it is as in force. *out NULL:
// the document does not have it. `out_by` may be NULL.
int applied_row(applied_look_up *look_up, void *ctx, struct arena *arena, const char *key,
                bool *out_known, const struct doc_node **out, const char **out_by);
// A record's value; `row` NULL: the document does not have it. NULL: out of memory.
const char *applied_value(struct arena *arena, const struct doc_node *row, const char *by);
struct applied_mark applied_mark_read(applied_look_up *look_up, void *ctx);
const char *applied_mark_value(struct arena *arena, const struct applied_mark *m);

#endif
