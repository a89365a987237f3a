// SPDX-License-Identifier: Apache-2.0
// One document of a node, as its file changes: looked at, judged against what is in force,
// published whole, kept as the last good one. A bad edit leaves the old one in force and says why.
//
//   rc = watched_document_init(&w, &watched_topology, form, path, "…/topology.last", publish, ctx);
//   rc = watched_document_load(&w, &diag);             // at start
//   if (watched_document_look(&w, now, forced)) …      // something new was published
//   watched_document_keep(&w);                         // now and then
//   watched_document_done(&w);
//
// Versions only go up: a document whose version is lower than the one in force is refused; the same
// version with other content too. A version 0 (of principals that have none) is taken at every
// change. At start a lower version than the last good one is refused too; the same version with
// other content is taken, with a warning. One thread; the report is for any.
#ifndef MERIDIAN_CONTROL_WATCHED_DOCUMENT_H
#define MERIDIAN_CONTROL_WATCHED_DOCUMENT_H

#include "control/last_good.h"
#include "control/source_report.h"
#include "control/watched_file.h"

#include <stdbool.h>
#include <stdint.h>

struct document_kind;
extern const struct document_kind watched_topology, watched_principals;

struct watched_document {
    const struct document_kind *kind;
    char *path;
    enum topology_form form;
    // takes over a reference
    void (*publish)(void *ctx, void *value);
    void *ctx;
    struct source_report report;
    struct last_good last;
    // of the file when it was looked at last
    struct signature seen;
    // in force; of a topology, changes raise it too
    uint64_t version;
    // of the file that this began with
    uint64_t file_version;
    uint8_t hash[SHA256_BYTES];
    // wall: what was refused may be taken from then on; 0: only when it changes
    int64_t again_s;
};

int watched_document_init(struct watched_document *w, const struct document_kind *kind,
                          enum topology_form form, const char *path, const char *last_path,
                          void (*publish)(void *ctx, void *value), void *ctx);
void watched_document_done(struct watched_document *w);
// Publishes the file, unless it is broken or older than the last good one; else the last good one.
// Fails when there is neither; then diag says why.
int watched_document_load(struct watched_document *w, struct diag *diag);
// `now`: in force (NULL: nothing is judged by it). `forced`: also when the file is as it was.
bool watched_document_look(struct watched_document *w, const void *now, bool forced);
// Tries again to keep what could not be kept.
void watched_document_keep(struct watched_document *w);

#endif
