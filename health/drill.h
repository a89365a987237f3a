// SPDX-License-Identifier: Apache-2.0
// Fault drills as values: a region is taken out of the global names for a stated time, as if its
// probes failed, and comes back by itself. Resolvers exchange the drills that they know, as they do
// operators' orders (orders.h). Owned by the checker, under its lock.
//
//   health_drills_merge(&drills, &told, wall_ms, mono_ms);     // given here, or heard of
//   if (health_drills_turn(&drills, wall_ms, mono_ms))         // at every turn
//       …publish…
//
// Invariants
// 1. Each node ends a drill by its own monotonic clock, whoever is gone by then. It takes no part for
//    longer than `for_ms`, however wall clocks jump. What it hears later can only shorten that.
// 2. A node that hears of a drill later takes part for the time that is left: the least of what the
//    teller says is left, and of what both wall clocks say.
// 3. Over a restart it goes on for the least of what was left when the file was written, and of what
//    the wall clock says. The file is written every HEALTH_DRILL_SAVE_MS while a drill runs.
// 4. A drill that ended here never begins again here.
// 5. Of two that were started at two nodes at the same time the earlier one stands, everywhere: which
//    one yields follows from the two records alone.
#ifndef MERIDIAN_HEALTH_DRILL_H
#define MERIDIAN_HEALTH_DRILL_H

#include "base/bytes.h"
#include "health/health.h"
#include "health/orders.h"

#define HEALTH_DRILLS_MAX 32
#define HEALTH_DRILL_SAVE_MS 10000
#define HEALTH_DRILL_KEPT_MS HEALTH_ORDER_KEPT_MS

struct health_drill {
    char id[HEALTH_DRILL_ID_SIZE];
    char region[HOSTNAME_REGION_SIZE];
    // "": all registries
    char label[HOSTNAME_LABEL_SIZE];
    // who asked: "root@eastus"
    char by[HEALTH_BY_SIZE];
    // wall, of the node that was asked
    int64_t at_ms, for_ms;
    // likewise; 0: nobody has stopped it
    int64_t stopped_ms;
    char stopped_by[HEALTH_BY_SIZE];
    // in a message or a file: how long it still runs at who wrote it; -1: nothing is said
    int64_t left_ms;

    // here
    enum health_drill_state state;
    // monotonic, while it runs
    int64_t end_mono_ms;
    // wall; 0: not
    int64_t begun_ms, ended_ms;
    // by our index: whose resolvers have said that they hold it
    region_set known;
};

struct health_drills {
    size_t n;
    struct health_drill list[HEALTH_DRILLS_MAX];
};

struct health_drill *health_drills_find(struct health_drills *d, const char *id);
// That runs here; NULL: none.
const struct health_drill *health_drills_running(const struct health_drills *d);
// 1: something new; 0: nothing; ERR_RANGE: from the future; ERR_NOSPACE: all places are of drills
// that run.
int health_drills_merge(struct health_drills *d, const struct health_drill *x, int64_t wall_ms,
                        int64_t mono_ms);
// Ends what is over or yields, and forgets what is old. True: one has ended.
bool health_drills_turn(struct health_drills *d, int64_t wall_ms, int64_t mono_ms);
// Monotonic: when the next one ends; INT64_MAX: none runs.
int64_t health_drills_next_ms(const struct health_drills *d);
int64_t health_drill_left_ms(const struct health_drill *x, int64_t mono_ms); // 0: it does not run
const char *health_drill_state_name(enum health_drill_state s);

// Into the member "drills" of a JSON object (json_t *), and back. Who knows nothing of drills passes
// the member over.
//   "drills":[{"id":ID,"region":R,"label":L,"by":B,"at_ms":N,"for_ms":N,"left_ms":N,
//              "stopped_ms":N,"stopped_by":B},…]
// `own`: for the state file, with all of them and what became of each here. Else for other resolvers:
// those that run, and those that were stopped and might still run somewhere. ERR_NOMEM.
int health_drills_put(const struct health_drills *d, bool own, int64_t wall_ms, int64_t mono_ms,
                      void *object);
// *out is as it was written: for the others' messages, to merge. ERR_CORRUPT and ERR_NOMEM leave it.
int health_drills_get(const void *object, bool own, struct health_drills *out);
// What was read from the state file goes on (invariant 3).
void health_drills_resume(struct health_drills *d, int64_t wall_ms, int64_t mono_ms);

// All that the checker knows now. Any thread.
void health_drills_copy(struct health *h, struct health_drills *out);

#endif
