// SPDX-License-Identifier: Apache-2.0
// Names that are reserved with their registries' end; see topology_reserve.h.
#include "control/topology_reserve.h"

#include "base/clock.h"

int topology_reserve(const struct topology *t, const char *const *names, size_t n, int64_t now_ms,
                     struct buf *change)
{
    char since[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    clock_format_s(now_ms / 1000, since);
    clock_format_s(now_ms / 1000 + TOPOLOGY_RESERVE_DAYS * INT64_C(86400), until);
    if (n)
        buf_str(change, "reserve:\n");
    for (size_t i = 0; i < n; i++) {
        const struct registry *r = topology_registry(t, names[i]);
        buf_printf(change, "  - { name: \"%s\", ", names[i]);
        if (r && *r->owner)
            buf_printf(change, "owner: \"%s\", ", r->owner);
        buf_printf(change, "since: \"%s\", until: \"%s\" }\n", since, until);
    }
    return change->err;
}
