// SPDX-License-Identifier: Apache-2.0
// What fleet/peer_roll stands on where this region writes; see rolling_priv.h. On the pool of requests
// and the thread of rolling.c.
#include "daemon/rolling_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/feed.h"
#include "daemon/auditing.h"

#include <stdio.h>

#define PEM_BYTES (64u << 10)
#define WHY_BYTES 320 // of clock_ok

static int64_t dep_now(void *ctx)
{
    (void)ctx;
    return clock_wall_ms();
}

static int dep_writer(void *ctx, struct diag *diag)
{
    struct rolling *r = ctx;
    struct control_view v;
    char why[WHY_BYTES] = "";
    if (r->stopping)
        return ERR_BUSY;
    control_feed_view(r->app->feed, &v);
    int rc = 0;
    if (!v.we_write) {
        diag_add(diag, NULL, 0, "%s is not the writer, %s is", r->app->node->region, v.writer);
        rc = ERR_DENIED;
    } else if (!v.confirmed || !v.owned) {
        diag_add(diag, NULL, 0,
                 "the writer %s has not heard a majority of the regions yet: ask again", v.writer);
        rc = ERR_BUSY;
    } else if (r->o.clock_ok(r->o.ctx, why, sizeof why)) {
        diag_add(diag, NULL, 0,
                 "the clock of the writer %s is not compared yet, or is wrong: no certificate is "
                 "judged by it; %s",
                 v.writer, why);
        rc = ERR_BUSY;
    }
    control_view_done(&v);
    return rc;
}

static struct topology *dep_topology(void *ctx)
{
    const struct rolling *r = ctx;
    return snapshot_get(r->app->topology);
}

static int dep_record(void *ctx, const char *key, struct buf *out)
{
    const struct rolling *r = ctx;
    return control_feed_record(r->app->feed, key, out);
}

static int dep_append(void *ctx, const struct peer_change *c, struct diag *diag)
{
    const struct rolling *r = ctx;
    const struct control_record record = {c->record_key, c->record};
    const struct control_draft d = {.by = c->by,
                                    .expect_topology = c->expect_topology,
                                    .frame = c->frame,
                                    .records = &record,
                                    .n_records = 1};
    struct control_place place;
    int rc = control_feed_append(r->app->feed, &d, diag, &place);
    if (rc == ERR_EXISTS)
        return 0;
    return rc;
}

static int dep_ca(void *ctx, struct buf *out)
{
    const struct rolling *r = ctx;
    return file_read(r->app->node->ca_file, PEM_BYTES, out);
}

void rolling_note(void *ctx, const struct http_request *req, const char *region, const char *what,
                  const char *fingerprint, const char *why)
{
    const struct rolling *r = ctx;
    char detail[HOSTNAME_REGION_SIZE + 32];
    snprintf(detail, sizeof detail, "%s %s", region, what);
    struct audit_event e = {.what = "peer_certificate",
                            .outcome = why ? "refused" : "done",
                            .why = why,
                            .detail = detail,
                            .reference = fingerprint};
    auditing_note(r->app, req, &e);
    static struct log_limit lim = LOG_LIMIT(1000);
    if (why)
        log_limited(&lim, LOG_WARN, "fleet: the peer certificate of %s (%s): %s", region, what,
                    why);
    else
        log_info("fleet: the peer certificate of %s: %s %.16s", region, what,
                 fingerprint ? fingerprint : "");
}

int rolling_writer_new(struct rolling *r, struct peer_roll **out)
{
    const struct peer_roll_deps d = {.ctx = r,
                                     .now_ms = dep_now,
                                     .writer = dep_writer,
                                     .topology = dep_topology,
                                     .record = dep_record,
                                     .append = dep_append,
                                     .ca = dep_ca,
                                     .note = rolling_note};
    return peer_roll_new(&d, out);
}
