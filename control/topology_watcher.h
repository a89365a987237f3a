// SPDX-License-Identifier: Apache-2.0
// Watches the topology and the principals and swaps them whole. A bad edit leaves the old one in
// force and says why: in the log, and in `meridian config check` (through topology_watcher_status).
// Versions only go up: a document whose version is lower than the one in force is refused; the same
// version with other content too.
//
// Changes of single registries come by the file of changes beside the topology (control/changes_file.h)
// and are taken as they are appended; a whole topology with a higher version supersedes them.
//
// Principals without a version (0) are taken at every change.
//
// The last good ones are kept at <state_dir>/topology.last (compiled, with the changes up to a
// minute ago) and principals.last.yaml (0600), so that a restart on a broken file still serves (and
// says so), and one on the same topology does not read the document again. At start a file with a
// lower version than the last good one is refused too; the same version with other content is
// taken, with a warning. One thread of its own, inotify with a one-second stat as the backstop.
#ifndef MERIDIAN_CONTROL_TOPOLOGY_WATCHER_H
#define MERIDIAN_CONTROL_TOPOLOGY_WATCHER_H

#include "base/diag.h"
#include "base/snapshot.h"
#include "config/topology.h"

#include <stdbool.h>
#include <stdint.h>

struct topology_watcher;

struct topology_status {
    // in force
    uint64_t version;
    // wall
    int64_t loaded_at_ms;
    // the file itself could not be used at start
    bool from_last_good;
    // how many edits were refused since start
    uint64_t refused;
    // heap, NULL when the file and what is in force agree
    char *refused_why;
    // Of the topology: what came by changes.

    // documents, since start
    uint64_t n_changes, changes_refused;
    // wall; 0: never
    int64_t changed_at_ms;
    // heap; why the last refused one was, NULL after one that was taken
    char *changes_why;
};

// Loads both once (failing that: the last good; failing that too: an error), creates state_dir if
// need be, publishes to the cells, starts the thread. `form`: of the topology. `on_change` (may be
// NULL) is called on that thread after each later publish of a topology, with frame false when only
// registries changed; it must not call topology_watcher_poke or _stop. principals_path may be NULL
// (a node that needs none): nothing is published to that cell then.
int topology_watcher_start(const char *topology_path, enum topology_form form,
                           const char *principals_path, const char *state_dir,
                           struct snapshot *topology_cell, struct snapshot *principals_cell,
                           void (*on_change)(void *ctx, bool frame), void *ctx, struct diag *diag,
                           struct topology_watcher **out);
void topology_watcher_stop(struct topology_watcher *w);
// free refused_why and changes_why of each
void topology_watcher_status(struct topology_watcher *w, struct topology_status *out_topology,
                             struct topology_status *out_principals);
// look now; returns when both files were looked at
void topology_watcher_poke(struct topology_watcher *w);

#endif
