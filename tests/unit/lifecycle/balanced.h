// SPDX-License-Identifier: Apache-2.0
// Loads of a region's stamps for tests, made from a few words.
//
//   struct balanced b;
//   balanced_init(&b, 2);
//   balanced_registry(&b, 0, "contoso", 300);   // 30 % of the hottest node, at each minute
//   balanced_decide(&b);
//   ck_assert_int_eq(b.plan->outcome, BALANCE_NOTHING);
#ifndef MERIDIAN_TESTS_UNIT_LIFECYCLE_BALANCED_H
#define MERIDIAN_TESTS_UNIT_LIFECYCLE_BALANCED_H

#include "lifecycle/balance.h"

#define BALANCED_MOVES 512
#define BALANCED_NOW 1764504000 // Unix time

struct balanced {
    struct balance_stamp *stamps;
    struct balance_move moves[BALANCED_MOVES];
    struct balance_input in;
    struct balance_plan *plan;
};

// Stamps eus-1, eus-2 …, all idle, with all their bins.
void balanced_init(struct balanced *b, size_t n_stamps);
void balanced_done(struct balanced *b);
// One more registry there; its load is in the stamp's bins of both days too. Returns its index.
size_t balanced_registry(struct balanced *b, size_t stamp, const char *name, uint16_t permille);
// Adds load from minute `begin` of each day on, `n` minutes long.
void balanced_add(struct balanced *b, size_t stamp, size_t registry, size_t begin, size_t n,
                  uint16_t permille);
// A move that began so many seconds ago, and is not watched any more; a wave of its own.
struct balance_move *balanced_moved(struct balanced *b, const char *registry, const char *from,
                                    const char *to, int64_t ago_s);
void balanced_decide(struct balanced *b);
// "contoso>eus-2 tail>eus-3" of the plan, wave by wave with "|" between; static.
const char *balanced_moves(const struct balanced *b);
const struct balance_candidate *balanced_candidate(const struct balanced *b, const char *name);

#endif
