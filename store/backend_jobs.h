// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on entries that were read and are not applied yet (jobs), and those of them whose content has no roomn// (parked).
// See backend.h for what all operations keep to.
//
// Pattern: a member of the table, and an inline function that calls it, with the meaning of the
// operation, its order and its errors above the function (backend_state.h shows it).
// store/sqlite/jobs.c fills the table.
#ifndef MERIDIAN_STORE_BACKEND_JOBS_H
#define MERIDIAN_STORE_BACKEND_JOBS_H

#include "store/backend.h"

struct job_ops {
    // until the first operation is here
    int unused;
};

#endif
