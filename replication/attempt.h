// SPDX-License-Identifier: Apache-2.0
// One try of a job, or of a mend: what is fetched and applied, what it was charged, how it failed.
// It belongs to the thread that makes the try; `bytes_left` alone may be read by others.
#ifndef MERIDIAN_REPLICATION_ATTEMPT_H
#define MERIDIAN_REPLICATION_ATTEMPT_H

#include "content/grade.h"
#include "store/meta.h"
#include "store/space.h"

struct replicator;

struct attempt {
    struct replicator *r;
    // Of a mend only the entry's origin, registry and repository are set.
    struct job job;
    // known to be missing still
    _Atomic uint64_t bytes_left;
    // for what it fetches
    struct space_charge charge;
    // bytes for which there was no room; 0: that was not it
    uint64_t lacks;
    // The mark (absence_mark) of a blob that a relay is to have soon, before any other region is asked;
    // 0: that is not what it waits for.
    uint64_t relayed;
    // the last error is our own disk's, whoever sent the bytes
    bool own_fault;
    // of the error that it ends with
    enum grade grade;
};

#endif
