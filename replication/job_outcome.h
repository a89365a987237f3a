// SPDX-License-Identifier: Apache-2.0
// What becomes of a job after a try: it ended, waits for another entry, is parked until its content
// fits, looks again for content that no region has got yet, or is tried again with backoff (design
// section 9, invariant 5).
//
// On the dispatcher's thread and the workers'; blocks on the store.
#ifndef MERIDIAN_REPLICATION_JOB_OUTCOME_H
#define MERIDIAN_REPLICATION_JOB_OUTCOME_H

#include "content/grade.h"
#include "store/meta.h"

struct attempt;
struct job_queue;
struct replicator;

// A worker's try, from its begin to its end.
void job_run(struct job_queue *q, struct attempt *a);
// It waits for another entry of its repository, which wakes it. What an index waits for wakes
// nothing: an index polls (kind_apply.h).
void job_waits(struct replicator *r, const struct job *job);
// The blob is here, or its fetch has ended: jobs go on that a relay was to bring it for, or that were put
// off for its flight. Any thread; blocks on the store.
void job_blob_here(struct replicator *r, const struct digest *d);
// A try by the dispatcher failed.
void job_failed(struct replicator *r, const struct job *job, enum grade grade, const char *error);

#endif
