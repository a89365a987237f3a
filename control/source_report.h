// SPDX-License-Identifier: Apache-2.0
// What a source tells of one document (struct topology_status of control/source.h), and the log
// lines beside it. The source's thread writes; any thread copies.
//
//   source_report_init(&r, "topology");
//   source_report_in_force(&r, 43, false);
//   source_report_refused(&r, diag_text(&why));
//   source_report_copy(&r, &status);
#ifndef MERIDIAN_CONTROL_SOURCE_REPORT_H
#define MERIDIAN_CONTROL_SOURCE_REPORT_H

#include "control/source.h"

#include <pthread.h>

struct source_report {
    // "topology"
    const char *what;
    pthread_mutex_t lock;
    // under the lock; only the source's thread writes
    struct topology_status status;
};

void source_report_init(struct source_report *r, const char *what);
void source_report_done(struct source_report *r);
void source_report_copy(struct source_report *r,
                        struct topology_status *out); // the caller frees its strings

// A whole document is in force.
void source_report_in_force(struct source_report *r, uint64_t version, bool from_last_good);
// The document is what is in force.
void source_report_agrees(struct source_report *r);
// Takes over `why` (heap; NULL: memory ended). The same reason twice is one refusal: it was looked
// at again.
void source_report_refused(struct source_report *r, char *why);
// `n` changes were taken, up to that version; `all`: and none was refused.
void source_report_changes_taken(struct source_report *r, uint64_t version, size_t n, bool all);
void source_report_change_refused(struct source_report *r, struct diag *why);

#endif
