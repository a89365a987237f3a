// SPDX-License-Identifier: Apache-2.0
// Content that no region has got yet: how long each job has waited for it. It is waited for
// quietly, looked for at growing distances; after a while that counts as a failure.
//
//   ms = absence_wait_ms(absences, job->id);
//   if (ms >= 0) … look again then … else … it failed …
//   absence_end(absences, job->id);                 // it came, or the job ended another way
//
// Threads: any; a lock of its own. At most 512 jobs are remembered; one more counts as failed.
#ifndef MERIDIAN_REPLICATION_ABSENCE_H
#define MERIDIAN_REPLICATION_ABSENCE_H

#include <stddef.h>
#include <stdint.h>

struct absences;
struct digest;

// After `patience_ms` of waiting it is a failure.
int absences_new(int64_t patience_ms, struct absences **out);
void absences_free(struct absences *l); // NULL is ignored
// How long to wait until the next look; -1: it was waited for long enough, or nobody remembers it.
int64_t absence_wait_ms(struct absences *l, int64_t job);
// How long the job has waited; the first call begins that. INT64_MAX: nobody remembers it.
int64_t absence_age_ms(struct absences *l, int64_t job);
// A number for a blob, never 0. Pure.
uint64_t absence_mark(const struct digest *d);
// A job that is remembered waits for that blob. absences_of takes such jobs; how many.
void absence_waits_for(struct absences *l, int64_t job, uint64_t mark);
size_t absences_of(struct absences *l, uint64_t mark, int64_t *out_jobs, size_t max);
void absence_end(struct absences *l, int64_t job);

#endif
