// SPDX-License-Identifier: Apache-2.0
// The queue of durable jobs: one for each entry that was read and is not applied yet. A dispatcher
// takes what is due, in turns by registry, applies what needs nothing from elsewhere itself (tags,
// manifests whose blobs are here), and hands the rest to workers. So tags and small things never
// wait behind a region that cannot be reached.
//
//   job_queue_new(r, 4, &q); job_queue_start(q);
//   …
//   job_queue_kick(q);                      // something may have become due
//
// Threads: any; its own are one dispatcher (job_dispatch.c) and the workers.
//
// Invariants (5 and 6 are the design's, section 9)
//   1. A job is with one worker at most.
//   5. No entry is lost with its job: it ends only in the transaction that applies it, else it is
//      retried with backoff (job_outcome.h). One whose content has no room is parked (room.h), and
//      takes neither worker nor place from those behind it.
//   6. Jobs are fair by registry: in one pass a registry whose job found no free worker waits, the
//      others go on. Jobs that nobody could give anything now take no worker, and make way for
//      those behind them.
#ifndef MERIDIAN_REPLICATION_JOB_QUEUE_H
#define MERIDIAN_REPLICATION_JOB_QUEUE_H

#include "store/meta.h"

struct absences;
struct job_queue;
struct replicator;

int job_queue_new(struct replicator *r, size_t n_workers, struct job_queue **out);
int job_queue_start_workers(struct job_queue *q);
int job_queue_start_dispatcher(struct job_queue *q);
// Something may have become due.
void job_queue_kick(struct job_queue *q);
// A region that may give content came back: what fails meanwhile is tried again soon.
void job_queue_returned(struct job_queue *q);
unsigned job_queue_returns(struct job_queue *q); // how often that happened
size_t job_queue_workers(const struct job_queue *q);
// Is a worker left for other jobs?
bool job_queue_has_idle(struct job_queue *q);
// What runs for this registry and origin: how many jobs, and their bytes that are still missing.
void job_queue_progress(struct job_queue *q, const char *registry, const char *origin,
                        uint64_t *out_n, uint64_t *out_bytes);
// After life_end: joins all threads. NULL is ignored.
void job_queue_stop(struct job_queue *q);
void job_queue_free(struct job_queue *q);

// --- for job_dispatch.c ---
// Gives the job to a free worker. ERR_BUSY: none is free.
int job_queue_give(struct job_queue *q, const struct job *job);
bool job_queue_runs(struct job_queue *q, int64_t id);
uint64_t job_queue_kicks(struct job_queue *q);
// Until it is kicked, since `n_kicks` were counted, or the stop.
void job_queue_rest(struct job_queue *q, uint64_t n_kicks, int64_t ms);
struct absences *job_queue_absences(const struct job_queue *q);
// The dispatcher's thread; `replicator`: struct replicator *.
void *job_dispatch_main(void *replicator);

#endif
