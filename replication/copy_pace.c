// SPDX-License-Identifier: Apache-2.0
// How fast the bytes of a copied upload have to come; see copy_pace.h.
#include "replication/copy_pace.h"

void copy_pace_known(struct copy_pace *p, int64_t grace_ms)
{
    if (p->known)
        return;
    p->known = true;
    p->grace_ms = grace_ms;
}

static bool known_is_slow(const struct copy_pace *p)
{
    int64_t due_ms = p->grace_ms + (int64_t)(p->known_bytes * 1000 / COPY_KNOWN_RATE);
    if (due_ms > COPY_KNOWN_MAX_MS)
        due_ms = COPY_KNOWN_MAX_MS;
    return p->known && p->known_waited_ms > due_ms;
}

bool copy_pace_is_slow(struct copy_pace *p, int64_t waited_ms, size_t n)
{
    p->waited_ms += waited_ms;
    p->bytes += n;
    if (p->known) {
        p->known_waited_ms += waited_ms;
        p->known_bytes += n;
    }
    if (known_is_slow(p))
        return true;
    if (p->waited_ms < COPY_LEAST_MS)
        return false;
    bool slow = p->bytes < COPY_LEAST_BYTES;
    p->waited_ms = 0;
    p->bytes = 0;
    return slow;
}
