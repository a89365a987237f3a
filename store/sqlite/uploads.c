// SPDX-License-Identifier: Apache-2.0
// See store/backend_uploads.h.
#include "store/sqlite/sqlite_priv.h"

const struct upload_ops sqlite_upload_ops = {0};
