// SPDX-License-Identifier: Apache-2.0
// What a region holds of a repository, as text between regions. POST /replication/v1/holds asks
// with one line for each content, in any order, none twice:
//
//   blob sha256:<hex>
//   manifest sha256:<hex>
//
// and is answered with the lines of those that are held, in the order of the question, those of
// blobs with their size: "blob sha256:<hex> 1234". Pure; any thread.
#ifndef MERIDIAN_REPLICATION_HOLDING_H
#define MERIDIAN_REPLICATION_HOLDING_H

#include "base/bytes.h"
#include "content/source.h"

// of a question or an answer, for ELSEWHERE_ITEMS_MAX lines (content/elsewhere.h)
#define HOLDINGS_TEXT_MAX (512u << 10)

struct holding {
    enum content_kind kind;
    struct digest digest;
    bool has_size;
    uint64_t size;
};

void holding_format(const struct holding *h, struct buf *out);
// One line at *at, which moves behind it. ERR_INVAL: it is none.
int holding_parse(const char **at, const char *end, struct holding *out);

#endif
