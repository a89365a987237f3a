// SPDX-License-Identifier: Apache-2.0
// What an operation has to remember and its record is too small for: further records of the ledger,
// `part/<operation>/<what>`, each in the entry of the phase that it is of. The engine takes them
// away in the entry that ends the operation.
//
//   rc = part_record(x, "41", json_incref(names), &record);      // into phase.records
//   rc = part_first(x, operation, &key, &value);                 // {key, NULL} takes it away
#ifndef MERIDIAN_LIFECYCLE_PARTS_H
#define MERIDIAN_LIFECYCLE_PARTS_H

#include "lifecycle/verb.h"

// A record of x->operation, in x->arena. Takes `value`. ERR_NOMEM.
int part_record(const struct plan_ctx *x, const char *what, json_t *value,
                struct control_record *out);
// Any one that an operation has left. *out_key in x->arena, *out a new reference. ERR_NOTFOUND: it
// has none; ERR_NOMEM.
int part_first(const struct plan_ctx *x, const char *operation, const char **out_key, json_t **out);
// Those of an operation that has ended, as records that go, in the arena. ERR_NOMEM.
int parts_gone(const struct lifecycle_deps *deps, const char *operation, struct arena *a,
               struct control_record **out, size_t *out_n);

#endif
