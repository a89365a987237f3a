// SPDX-License-Identifier: Apache-2.0
// Hooks of the SQLite backend for tests.
#ifndef MERIDIAN_STORE_SQLITE_TEST_H
#define MERIDIAN_STORE_SQLITE_TEST_H

#include "store/backend.h"

#include <stddef.h>

// How many writes wait for the writer thread.
size_t sqlite_n_queued(struct backend *b);

#endif
