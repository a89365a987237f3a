// SPDX-License-Identifier: Apache-2.0
// See ttls_held.h.
#include "control/ttls_held.h"

#include "base/err.h"
#include "config/topology_make.h"

// ERR_NOMEM; else *out_s, or it cannot be read and *out_s is as it was.
static int frame_cached_s(struct bytes frame, uint32_t *out_s)
{
    struct diag unheard;
    struct topology *t = NULL;
    diag_init(&unheard);
    int rc = topology_parse_frame((const char *)frame.p, frame.n, "", NULL, &unheard, &t);
    diag_done(&unheard);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc)
        return 0;
    *out_s = ttls_cached_s(&t->ttl);
    snapshot_unref(t);
    return 0;
}

int ttls_held_keep(const struct topology *before, struct bytes frame, uint64_t version,
                   struct arena *arena, struct control_record *out, bool *out_any)
{
    uint32_t was_s = ttls_cached_s(&before->ttl), now_s = was_s;
    *out_any = false;
    int rc = 0;
    if (frame.n)
        rc = frame_cached_s(frame, &now_s);
    if (rc || now_s >= was_s)
        return rc;
    *out = (struct control_record){
        .key = arena_printf(arena, TTLS_HELD_PREFIX "%llu", (unsigned long long)version),
        .value = arena_printf(arena, "{\"seconds\":%u}", (unsigned)was_s)};
    if (!out->key || !out->value)
        return ERR_NOMEM;
    *out_any = true;
    return 0;
}
