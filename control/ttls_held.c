// SPDX-License-Identifier: Apache-2.0
// See ttls_held.h.
#include "control/ttls_held.h"

#include "base/err.h"
#include "config/topology_make.h"

struct held { // seconds that caches may hold a name, and that there is none
    uint32_t cached, negative;
};

static struct held held_by(const struct topology *t)
{
    return (struct held){ttls_cached_s(&t->ttl), t->ttl.negative};
}

// ERR_NOMEM; else *out, or it cannot be read and *out is as it was.
static int frame_held(struct bytes frame, struct held *out)
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
    *out = held_by(t);
    snapshot_unref(t);
    return 0;
}

int ttls_held_keep(const struct topology *before, struct bytes frame, uint64_t version,
                   struct arena *arena, struct control_record *out, bool *out_any)
{
    const struct held was = held_by(before);
    struct held now = was;
    const char *negative = "";
    *out_any = false;
    int rc = 0;
    if (frame.n)
        rc = frame_held(frame, &now);
    if (rc || (now.cached >= was.cached && now.negative >= was.negative))
        return rc;
    if (now.negative < was.negative)
        negative = arena_printf(arena, "\"negative\":%u,", (unsigned)was.negative);
    if (!negative)
        return ERR_NOMEM;
    *out = (struct control_record){
        .key = arena_printf(arena, TTLS_HELD_PREFIX "%llu", (unsigned long long)version),
        .value = arena_printf(arena, "{%s\"seconds\":%u}", negative, (unsigned)was.cached)};
    if (!out->key || !out->value)
        return ERR_NOMEM;
    *out_any = true;
    return 0;
}
