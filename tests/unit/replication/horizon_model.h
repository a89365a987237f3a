// SPDX-License-Identifier: Apache-2.0
// A fleet of three regions with one tag, small enough to look at every state that it can come to:
// writes, deletions, reading in any order, words of members, dropping, a joiner, a region that begins
// with an empty store, and entries that are announced again. Whether things may go is asked of
// replication/horizon.h, or of a simpler rule that is known to be wrong.
//
//   struct model_result r;
//   model_run(&(struct model_options){.rule = MODEL_TRUE, .n_writes = 1, .n_deletes = 1}, &r);
//   ck_assert_msg(!r.broken, "%s", r.history);
//
// What must hold in every state: a region that has read all that every other one has to give shows
// what the newest write or deletion of all says.
#ifndef MERIDIAN_TESTS_HORIZON_MODEL_H
#define MERIDIAN_TESTS_HORIZON_MODEL_H

#include <stdbool.h>
#include <stddef.h>

enum model_rule {
    MODEL_TRUE,
    // Row 1 of the hard histories: a tombstone goes when all marks on its origin have passed it.
    MODEL_MARKS_OF_ORIGIN,
    // the dead value and its tombstone go in one step
    MODEL_ONE_STEP,
    // a region with an empty store reads at once, while words of its earlier store count
    MODEL_NO_LEASE,
    // what is announced again is taken whatever the floor
    MODEL_NO_FLOOR,
};

struct model_options {
    enum model_rule rule;
    unsigned n_writes, n_deletes;
    // the third region joins: it is no member at first
    bool joins;
    // so often one region loses its store and begins anew
    unsigned n_resets;
    // so many own writes are announced again, dead or not
    unsigned n_restates;
    // the clock of the second region is behind
    bool slow;
};

struct model_result {
    bool broken;
    size_t n_states;
    // a tombstone went somewhere, in so many states: the rule does something
    size_t n_ended;
    // the steps that led to the broken state, one after the other
    char history[1024];
};

void model_run(const struct model_options *o, struct model_result *out);

#endif
