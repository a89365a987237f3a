// SPDX-License-Identifier: Apache-2.0
// See store/backend_jobs.h.
#include "store/sqlite/sqlite_priv.h"

const struct job_ops sqlite_job_ops = {0};
