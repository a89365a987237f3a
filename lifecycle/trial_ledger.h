// SPDX-License-Identifier: Apache-2.0
// A ledger for trials: the one in force, and over it what the steps that are only tried would have
// written. Steps look into the ledger as they do in earnest, and nothing is appended.
//
//   trial_ledger_init(&l, deps, &arena);
//   x.deps = &l.deps;
//   rc = trial_ledger_entry(&l, &entry, t, by, now_ms, diag);     // after each step
//   trial_ledger_done(&l);
//
// One thread.
#ifndef MERIDIAN_LIFECYCLE_TRIAL_LEDGER_H
#define MERIDIAN_LIFECYCLE_TRIAL_LEDGER_H

#include "base/htab.h"
#include "lifecycle/lifecycle.h"

struct trial_ledger {
    // for the steps; ctx is this struct
    struct lifecycle_deps deps;
    const struct lifecycle_deps *under;
    // of what is kept
    struct arena *arena;
    // keys to struct control_record of this ledger
    struct htab *over;
    const struct control_record **list;
    size_t n, cap;
};

// ERR_NOMEM.
int trial_ledger_init(struct trial_ledger *l, const struct lifecycle_deps *under,
                      struct arena *arena);
void trial_ledger_done(struct trial_ledger *l);
// What an entry with these documents and records would leave in it; `t`: in force before it. diag
// says what the feed would refuse (control/connections_follow.h): ERR_INVAL; ERR_NOMEM.
int trial_ledger_entry(struct trial_ledger *l, const struct control_draft *d,
                       const struct topology *t, int64_t now_ms, struct diag *diag);

#endif
