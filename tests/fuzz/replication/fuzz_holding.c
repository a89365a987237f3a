// SPDX-License-Identifier: Apache-2.0
// Lines of what a region holds: whatever is read is written as it came, and reading always moves on.
#include "replication/holding.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    while (at < end) {
        struct holding h;
        const char *line = at;
        if (holding_parse(&at, end, &h))
            break;
        struct buf b;
        buf_init(&b, 0);
        holding_format(&h, &b);
        bool same = b.n == (size_t)(at - line) && memcmp(b.p, line, b.n) == 0;
        buf_done(&b);
        if (!same)
            abort();
    }
    return 0;
}
