// SPDX-License-Identifier: Apache-2.0
// A topology source: where the topology in force comes from, and where changes of it go. The
// principals come by the same way. A node has one source, and does not know which kind: files
// (control/file_source.h), and one day the control feed.
//
//   struct topology_source *s;
//   rc = file_source_open(&(struct file_source_options){…}, &s);
//   rc = topology_source_load(s, &(struct source_cells){&topology, &principals}, &diag);
//   rc = topology_source_follow(s, on_change, ctx);     // from now on by itself
//   rc = topology_source_propose(s, t->version, &proposal, &diag, &version);
//   topology_source_close(s);
//
// Invariants of every source
// 1. What it publishes was parsed and validated whole.
// 2. The version in force never goes down while the source is open.
// 3. A proposal that was accepted is durable, and is followed like any other change.
//
// A source calls on_change on its own thread. All functions here may be called from any thread, one
// load, follow and close each, in that order; close ends what the source runs.
#ifndef MERIDIAN_CONTROL_SOURCE_H
#define MERIDIAN_CONTROL_SOURCE_H

#include "base/bytes.h"
#include "base/diag.h"
#include "base/snapshot.h"
#include "config/topology.h"

#include <stdbool.h>
#include <stdint.h>

struct change;
struct topology_source;

// Where versions in force are published. The cells outlive the source.
struct source_cells {
    struct snapshot *topology;
    // used only by a source that has principals
    struct snapshot *principals;
};

// `frame`: more than registries changed (config/topology.h). Must call none of the functions here.
typedef void topology_source_change(void *ctx, bool frame);

struct proposal {
    // of the change, for messages
    const char *source;
    // a change document (control/change.h), maybe without a version
    const char *text;
    size_t n;
};

struct topology_status { // of the topology, or of the principals
    // in force
    uint64_t version;
    // wall
    int64_t loaded_at_ms;
    // the document itself could not be used at start
    bool from_last_good;
    // how many documents were refused since start
    uint64_t refused;
    // heap; NULL when the document and what is in force agree
    char *refused_why;

    // Changes of registries, in documents since start.
    uint64_t n_changes, changes_refused;
    // wall; 0: never
    int64_t changed_at_ms;
    // heap; why the last refused change was, NULL after one that was taken
    char *changes_why;
};

// Publishes what is in force, or the last good version when that cannot be read. On failure there
// is neither, and diag says why.
int topology_source_load(struct topology_source *s, const struct source_cells *cells,
                         struct diag *diag);
// From now on each new version is published as it comes, and then told to on_change (may be NULL).
int topology_source_follow(struct topology_source *s, topology_source_change *on_change, void *ctx);

// Proposes a change that follows version `expected`; changer_apply judges it. *out_version: that it
// makes. ERR_CONFLICT: another version is in force by now; ERR_INVAL: the change cannot be;
// ERR_EXISTS: its own version is in force already; or an error of where the source keeps changes.
// diag says why. Returns when the change is durable; on_change tells when it is in force here.
int topology_source_propose(struct topology_source *s, uint64_t expected, const struct proposal *p,
                            struct diag *diag, uint64_t *out_version);
// The same of a change as a value; its version is that of the source to give.
int topology_source_propose_change(struct topology_source *s, uint64_t expected,
                                   const struct change *change, struct diag *diag,
                                   uint64_t *out_version);

// Returns when all that was there at the call is in force or refused.
void topology_source_look(struct topology_source *s);
// Copies; the caller frees refused_why and changes_why of each.
void topology_source_status(struct topology_source *s, struct topology_status *out_topology,
                            struct topology_status *out_principals);
// What the last good version is kept as is on disk then, or the log says why not. NULL is fine.
void topology_source_close(struct topology_source *s);

// ---- for the sources ----

struct topology_source_ops {
    int (*load)(struct topology_source *s, const struct source_cells *cells, struct diag *diag);
    int (*follow)(struct topology_source *s, topology_source_change *on_change, void *ctx);
    int (*propose)(struct topology_source *s, uint64_t expected, const struct proposal *p,
                   struct diag *diag, uint64_t *out_version);
    void (*look)(struct topology_source *s);
    void (*status)(struct topology_source *s, struct topology_status *out_topology,
                   struct topology_status *out_principals);
    void (*close)(struct topology_source *s);
};

// First member of what a source is.
struct topology_source {
    const struct topology_source_ops *ops;
};

#endif
