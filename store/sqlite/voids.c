// SPDX-License-Identifier: Apache-2.0
// See store/backend_void.h.
#include "store/sqlite/sqlite_priv.h"

const struct void_ops sqlite_void_ops = {0};
