// SPDX-License-Identifier: Apache-2.0
// What it does to registers that entries become void: their values before are kept (report_add),
// and compared with those after (report_end). For meta_repair.c and meta_withdrawn.c, inside one
// transaction.
//
//   report_init(&report, &arena);
//   rc = report_add(tx, &report, &ids);         // before: the registers of these entries
//   …entries_void(tx, ids, n, reason)…
//   rc = report_end(tx, &report, a, &out);      // after
//   report_done(&report);
#ifndef MERIDIAN_STORE_META_REPORT_H
#define MERIDIAN_STORE_META_REPORT_H

#include "store/backend_survey.h"
#include "store/register_set.h"

struct report {
    // Each with its value before, and the highest register stamp of its entries that become void
    // (0: none of them does).
    struct register_set registers;
    size_t n_entries, n_jobs;
};

void report_init(struct report *r, struct arena *a);
void report_done(struct report *r); // the arena is the caller's
int report_add(struct tx *tx, struct report *r, const struct id_set *ids);
// A register that is looked at though none of its entries becomes void.
int report_add_register(struct tx *tx, struct report *r, const struct register_name *name);
// `a` holds the list. No register can be added any more.
int report_end(struct tx *tx, struct report *r, struct arena *a, struct void_report *out);

#endif
