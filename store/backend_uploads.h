// SPDX-License-Identifier: Apache-2.0
// Operations of a backend on uploads that are under way, and those that ended.
// See backend.h for what all operations keep to.
//
// Pattern: a member of the table, and an inline function that calls it, with the meaning of the
// operation, its order and its errors above the function (backend_state.h shows it).
// store/sqlite/uploads.c fills the table.
#ifndef MERIDIAN_STORE_BACKEND_UPLOADS_H
#define MERIDIAN_STORE_BACKEND_UPLOADS_H

#include "store/backend.h"

struct upload_ops {
    // until the first operation is here
    int unused;
};

#endif
