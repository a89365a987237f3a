// SPDX-License-Identifier: Apache-2.0
// Reports: this node's own, the thread that asks for the others', and what the daemon is told of
// them.
#include "fleet/fleet_priv.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/exposition.h"
#include "base/thread.h"
#include "config/principals.h"

#include <string.h>

#define REPORT_TIMEOUT_MS 2000

// The content of a document that no change was made of since it was read: elsewhere the hash says
// how it came about, not what it is.
static void add_topology(const struct topology *t, json_t *doc)
{
    json_object_set_new(doc, "topologyVersion", json_integer((json_int_t)t->version));
    if (t->frame->base_version != t->version)
        return;
    char hex[2 * sizeof t->content_hash + 1];
    hex_format(t->content_hash, sizeof t->content_hash, hex);
    json_object_set_new(doc, "topologyHash", json_string(hex));
}

void *fleet_report_json(struct fleet *fl)
{
    json_t *doc = fl->o.hooks.report(fl->o.hooks.ctx);
    if (!doc)
        return NULL;
    json_object_set_new(doc, "region", json_string(fl->o.region));
    json_object_set_new(doc, "stamp", json_string(fl->o.stamp));
    json_object_set_new(doc, "wallMs", json_integer((json_int_t)clock_wall_ms()));
    json_object_set_new(doc, "source", json_string("files"));
    struct topology *t = snapshot_get(fl->o.topology);
    if (t)
        add_topology(t, doc);
    snapshot_unref(t);
    struct principals *p = snapshot_get(fl->o.principals);
    if (p)
        json_object_set_new(doc, "principalsVersion", json_integer((json_int_t)p->version));
    snapshot_unref(p);
    return doc;
}

static void reports_turn(struct fleet *fl, unsigned timeout_ms)
{
    struct topology *t = snapshot_get(fl->o.topology);
    json_t *own = fleet_report_json(fl);
    if (t && own)
        (void)reports_round(&fl->reports, &fl->caller, t, own, timeout_ms);
    json_decref(own);
    snapshot_unref(t);
}

void *fleet_watch_main(void *fleet)
{
    struct fleet *fl = fleet;
    thread_step_back();
    do
        reports_turn(fl, REPORT_TIMEOUT_MS);
    while (!fleet_rest(fl, fl->o.every_ms));
    return NULL;
}

void *fleet_all_json(struct fleet *fl, unsigned timeout_ms)
{
    reports_turn(fl, timeout_ms);
    return fleet_heard_json(fl);
}

void *fleet_heard_json(struct fleet *fl)
{
    json_t *own = fleet_report_json(fl);
    json_t *all = reports_json(&fl->reports, own);
    json_decref(own);
    return all;
}

bool fleet_drift(struct fleet *fl, char *out, size_t cap)
{
    pthread_mutex_lock(&fl->reports.lock);
    bool drifts = drift_text(&fl->reports.drift, clock_mono_ms(), out, cap);
    pthread_mutex_unlock(&fl->reports.lock);
    return drifts;
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

void fleet_metrics(struct fleet *fl, struct buf *out)
{
    if (!fl)
        return;
    struct reports *r = &fl->reports;
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
