// SPDX-License-Identifier: Apache-2.0
// What the daemon asks about clocks (replication.h), answered by the report of the clock watch. On
// any thread; nothing blocks.
#include "replication/replication.h"

#include "replication/clock_report.h"
#include "replication/replication_priv.h"

void *replication_clock_json(struct replicator *r)
{
    if (!r || !life_enter(r->life))
        return NULL;
    json_t *doc = clock_report_json(r->clocks);
    life_leave(r->life);
    return doc;
}

bool replication_clock_offset(struct replicator *r, const char *region, int64_t *out_offset_ms,
                              int64_t *out_error_ms)
{
    if (!r || !life_enter(r->life))
        return false;
    bool known = clock_report_offset(r->clocks, region, out_offset_ms, out_error_ms);
    life_leave(r->life);
    return known;
}

bool replication_clock_opinion(struct replicator *r, struct clock_opinion *out)
{
    if (!r || !life_enter(r->life))
        return false;
    clock_report_opinion(r->clocks, out);
    life_leave(r->life);
    return true;
}

void replication_clock_suspect(struct replicator *r, const char *region,
                               char out[CLOCK_SENTENCE_SIZE])
{
    if (!r || !life_enter(r->life)) {
        clock_suspect(&(struct clock_case){.n_members = 1}, CLOCK_FINE, region, out);
        return;
    }
    clock_report_suspect(r->clocks, region, out);
    life_leave(r->life);
}

bool replication_clock_vouched(struct replicator *r)
{
    if (!r || !life_enter(r->life))
        return false;
    bool vouched = clock_report_vouched(r->clocks);
    life_leave(r->life);
    return vouched;
}
