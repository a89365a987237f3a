// SPDX-License-Identifier: Apache-2.0
// One replica's home stamp rewritten: in the text of a document, in place, with everything else and
// its comments as it was; or as a change of registries (control/changer.h), where the document is
// not to be touched.
#ifndef MERIDIAN_CONFIG_REPLICA_ROW_H
#define MERIDIAN_CONFIG_REPLICA_ROW_H

#include "base/bytes.h"

#include <stdint.h>

struct replica_move {
    const char *registry, *region;
    // names
    const char *stamp, *was;
    int64_t since_s;
};

// ERR_NOTFOUND: the text has no such row that could be rewritten. What comes out is to be read and
// judged.
int replica_row_edit(const char *text, size_t n, const struct replica_move *m, struct buf *out);
#endif
