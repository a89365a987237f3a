// SPDX-License-Identifier: Apache-2.0
// What the daemon is told of the fleet: what is wrong, and the metrics. See fleet.h.
#include "fleet/fleet_priv.h"

#include "base/clock.h"
#include "base/exposition.h"
#include "control/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SILENT_ALARM_MS 15000 // no beat of the writer for so long

bool fleet_drift(struct fleet *fl, char *out, size_t cap)
{
    pthread_mutex_lock(&fl->reports.lock);
    bool drifts = drift_text(&fl->reports.drift, clock_mono_ms(), out, cap);
    pthread_mutex_unlock(&fl->reports.lock);
    return drifts;
}

// ---- alarms ----

struct facts { // as of now, copied
    int64_t unconfirmed_ms, stale_ms;
    // names a later place than ours: and could not be asked; and showed nothing; or empty
    char claimant[HOSTNAME_REGION_SIZE], doubted[HOSTNAME_REGION_SIZE];
    char why[256];
};

static void region_copy(const struct heard_region *x, char out[HOSTNAME_REGION_SIZE])
{
    if (x)
        memcpy(out, x->region, HOSTNAME_REGION_SIZE);
}

static void facts_get(struct fleet *fl, const struct control_view *v, struct facts *f)
{
    int64_t now = clock_mono_ms();
    *f = (struct facts){.stale_ms = fleet_stale_ms(fl)};
    pthread_mutex_lock(&fl->lock);
    const struct words *w = &fl->words;
    if (w->unconfirmed_ms)
        f->unconfirmed_ms = now - w->unconfirmed_ms;
    region_copy(heard_claims(&w->heard, &v->place, now, fl->o.silent_ms), f->claimant);
    region_copy(heard_doubted(&w->heard, &v->place, now, fl->o.silent_ms), f->doubted);
    memcpy(f->why, w->lane_why, sizeof f->why);
    pthread_mutex_unlock(&fl->lock);
}

// ". Last: why", where it is known why a region was not read.
static const char *last_why(const struct facts *f, char *text, size_t cap)
{
    *text = '\0';
    if (f->why[0])
        snprintf(text, cap, ". Last: %.120s", f->why);
    return text;
}

static void claimant_alarm(const struct facts *f, char *out, size_t cap)
{
    char why[160];
    snprintf(out, cap,
             "region %s says that it has later changes than this region, which writes the control "
             "feed, and cannot be asked for them: for %" PRId64
             " s no changes are taken, which might be written over those. See that its peer "
             "listener is reached from here; if you know that it has no more than this region, "
             "the root key's word ends this (meridian control confirm)%s",
             f->claimant, f->unconfirmed_ms / 1000, last_why(f, why, sizeof why));
}

static bool writer_alarm(const struct control_view *v, const struct facts *f, int64_t after_ms,
                         char *out, size_t cap)
{
    if (!v->we_write || f->unconfirmed_ms < after_ms)
        return false;
    if (f->claimant[0]) {
        claimant_alarm(f, out, cap);
        return true;
    }
    snprintf(out, cap,
             "this region writes the control feed, but has heard no majority of the regions for "
             "%" PRId64 " s: it takes no changes; bring the other regions back, or let another one "
             "take over with the root key (meridian control takeover)",
             f->unconfirmed_ms / 1000);
    return true;
}

static bool silence_alarm(const struct control_view *v, const struct facts *f, char *out,
                          size_t cap)
{
    if (v->we_write || f->stale_ms < SILENT_ALARM_MS)
        return false;
    char why[160];
    snprintf(
        out, cap,
        "no word of the writer region %s has come for %" PRId64 " s, directly or through "
        "another region: changes and revocations since then are not in force here; see that it "
        "runs and that its peer listener is reached from here%s",
        v->writer, f->stale_ms / 1000, last_why(f, why, sizeof why));
    return true;
}

static bool doubted_alarm(const struct facts *f, char *out, size_t cap)
{
    if (!f->doubted[0])
        return false;
    snprintf(out, cap,
             "region %s says that it has more of the control feed than this one, and shows "
             "nothing that can be taken: see its log, and whether it still is who it was",
             f->doubted);
    return true;
}

bool fleet_alarm(struct fleet *fl, char *out, size_t cap)
{
    struct control_view v;
    struct facts f;
    if (!fl->o.feed)
        return false;
    control_feed_view(fl->o.feed, &v);
    facts_get(fl, &v, &f);
    bool alarm = true;
    // no majority for two silences: one passes when a region is restarted
    int64_t after_ms = 2 * (int64_t)fl->o.silent_ms;
    if (v.alarm)
        snprintf(out, cap, "%s", v.alarm);
    else if (!writer_alarm(&v, &f, after_ms, out, cap) && !silence_alarm(&v, &f, out, cap))
        alarm = doubted_alarm(&f, out, cap);
    control_view_done(&v);
    return alarm;
}

// ---- metrics ----

static void put_versions(const struct drift *d, const char *family, const char *help,
                         bool principals, struct buf *out)
{
    exposition_family(out, family, "gauge", help);
    for (size_t i = 0; i < d->n; i++) {
        const struct drift_report *r = &d->nodes[i].report;
        uint64_t version = r->topology;
        if (principals)
            version = r->principals;
        exposition_begin(out, family);
        exposition_label(out, "region", r->region);
        exposition_value(out, (double)version);
    }
}

static void reports_metrics(struct reports *r, struct buf *out)
{
    pthread_mutex_lock(&r->lock);
    exposition_family(out, "meridian_fleet_report_up", "gauge",
                      "The region answered when it was asked for its report last.");
    for (size_t i = 0; i < r->n; i++) {
        exposition_begin(out, "meridian_fleet_report_up");
        exposition_label(out, "region", r->list[i].region);
        exposition_value(out, !r->list[i].why[0]);
    }
    put_versions(&r->drift, "meridian_fleet_topology_version",
                 "Version of the topology that a region said last that it has.", false, out);
    put_versions(&r->drift, "meridian_fleet_principals_version",
                 "Version of the principals that a region said last that it has; 0: none.", true,
                 out);
    exposition_single(out, "meridian_fleet_drift", "gauge",
                      "Regions whose topology, principals or source differ for too long.",
                      (double)drift_count(&r->drift, clock_mono_ms()));
    pthread_mutex_unlock(&r->lock);
}

static void stored_metrics(struct fleet *fl, struct buf *out)
{
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&fl->lock);
    const struct words *w = &fl->words;
    exposition_family(out, "meridian_control_stored_sequence", "gauge",
                      "Sequence of the control feed up to which a region says that it stored it.");
    for (size_t i = 0; i < w->heard.n; i++) {
        const struct heard_region *x = &w->heard.list[i];
        if (!x->said || now - x->heard_ms > fl->o.silent_ms)
            continue;
        exposition_begin(out, "meridian_control_stored_sequence");
        exposition_label(out, "region", x->region);
        exposition_value(out, (double)x->place.seq);
    }
    exposition_single(out, "meridian_control_taken_total", "counter",
                      "Entries of the control feed that were taken from other regions.",
                      (double)w->n_taken);
    exposition_single(out, "meridian_control_read_failures_total", "counter",
                      "Reads of the control feed from another region that failed.",
                      (double)w->n_lane_failures);
    pthread_mutex_unlock(&fl->lock);
}

static void control_metrics(struct fleet *fl, struct buf *out)
{
    struct control_view v;
    control_feed_view(fl->o.feed, &v);
    exposition_single(out, "meridian_control_epoch", "gauge",
                      "Epoch of the control feed that is in force.", (double)v.place.epoch);
    exposition_single(out, "meridian_control_sequence", "gauge",
                      "Sequence of the last entry that is stored here.", (double)v.place.seq);
    exposition_single(out, "meridian_control_writes", "gauge",
                      "This region is the writer of the control feed.", v.we_write);
    exposition_single(out, "meridian_control_confirmed", "gauge",
                      "It is, and a majority of the regions is heard.", v.we_write && v.confirmed);
    exposition_single(out, "meridian_control_void_entries", "gauge",
                      "Entries that a takeover made void here.", (double)v.n_void);
    exposition_single(out, "meridian_control_stale_seconds", "gauge",
                      "How long ago it was known last that what is in force is current.",
                      (double)fleet_stale_ms(fl) / 1000);
    control_view_done(&v);
    stored_metrics(fl, out);
}

void fleet_metrics(struct fleet *fl, struct buf *out)
{
    if (!fl)
        return;
    if (fl->o.feed)
        control_metrics(fl, out);
    reports_metrics(&fl->reports, out);
}
