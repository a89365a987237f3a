// SPDX-License-Identifier: Apache-2.0
// What an entry of the feed makes of connections and of addresses, whatever path it came by: a verb,
// an apply, a rollback, the way back of an operation, a replica or a registry that goes. Whoever
// makes an entry asks here for the records that it has to have (control/feed_draft.c).
//
// By the private endpoints (rows) before and after, and the records that the entry has itself:
//   - a row that comes without a connection gets one, Approved; one whose connection was Rejected
//     is Approved with it
//   - a row that goes, or leaves DNS, makes its connection Rejected; with its registry it becomes
//     Disconnected, and so do connections without a row
//   - members of a row that come and go, do so in its connection
//   - addresses that neither a row nor a connection holds any more, and that DNS has answered less
//     than a day ago, get a `rest` record; those whose time is past lose it, some in each entry
//
// It refuses what would lead caches astray: an address that comes while it is held for somebody else.
//
//   const struct connections_change c = {.before = t, .change = text, .records = own, …};
//   rc = connections_follow(&c, &ledger, &arena, &diag, &records, &n);    // all, with its own
//
// Full topologies only. Pure; any thread.
#ifndef MERIDIAN_CONTROL_CONNECTIONS_FOLLOW_H
#define MERIDIAN_CONTROL_CONNECTIONS_FOLLOW_H

#include "base/diag.h"
#include "control/connections.h"

struct connections_change {
    // in force before it
    const struct topology *before;
    // the change document of the entry, numbered; n 0: none
    struct bytes change;
    // the entry's own
    const struct control_record *records;
    size_t n_records;
    const char *by;
    // wall; of the entry
    int64_t now_ms;
};

// *out: the entry's own records, as they are to be, and those that it needs besides. A change that
// cannot be read leaves them as they are (it will be refused). ERR_INVAL: diag says which address is
// whose; ERR_NOMEM.
int connections_follow(const struct connections_change *c, const struct ledger_look *l,
                       struct arena *arena, struct diag *diag, const struct control_record **out,
                       size_t *out_n);

#endif
