// SPDX-License-Identifier: Apache-2.0
// Asking the others: for their reports every few seconds, and for their places while this region writes
// and no majority is heard. A thread of its own. See fleet_priv.h.
#include "fleet/fleet_priv.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/thread.h"
#include "config/principals.h"
#include "control/feed.h"

#include <stdio.h>
#include <string.h>

#define REPORT_TIMEOUT_MS 2000
#define PLACE_TIMEOUT_MS 1500
#define PLACE_EVERY_MS 500
#define PLACE_BYTES 1024

// ---- places ----

static void places_take(struct fleet *fl, const struct fleet_answers *answers)
{
    struct control_place place;
    for (size_t i = 0; i < answers->n; i++) {
        const struct fleet_one_answer *a = &answers->list[i];
        if (a->err || a->status != 200)
            continue;
        json_t *doc = json_loadb(buf_cstr(&a->body), a->body.n, JSON_REJECT_DUPLICATES, NULL);
        if (fleet_place_read(doc, &place) == 0)
            fleet_heard(fl, a->region, &place);
        json_decref(doc);
    }
}

static void places_ask(struct fleet *fl)
{
    static const struct fleet_ask_limits limits = {.timeout_ms = PLACE_TIMEOUT_MS,
                                                   .max_bytes = PLACE_BYTES};
    char target[CONTROL_PLACE_TEXT_SIZE + 64], at[CONTROL_PLACE_TEXT_SIZE];
    struct heard_own own;
    struct fleet_answers *answers = NULL;
    fleet_own_get(fl, &own);
    snprintf(target, sizeof target, FLEET_PLACE_PATH "?at=%s",
             control_place_format(&own.place, at));
    struct topology *t = snapshot_get(fl->o.topology);
    int rc = ERR_NOTFOUND;
    if (t)
        rc = fleet_ask_all(&fl->caller, t, target, &limits, &answers);
    snapshot_unref(t);
    if (!rc)
        places_take(fl, answers);
    fleet_answers_free(answers);
    fleet_carrier_poke(fl);
}

static bool wants_places(struct fleet *fl)
{
    if (!fl->o.feed)
        return false;
    struct control_view v;
    control_feed_view(fl->o.feed, &v);
    bool wants = v.we_write && !v.confirmed;
    control_view_done(&v);
    return wants;
}

// ---- reports ----

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

void *fleet_control_json(struct fleet *fl)
{
    struct control_view v;
    char hex[2 * SHA256_BYTES + 1];
    control_feed_view(fl->o.feed, &v);
    hex_format(v.place.hash, sizeof v.place.hash, hex);
    json_t *doc = json_pack("{s:I, s:I, s:s, s:s, s:b, s:b, s:I, s:s?}", "epoch",
                            (json_int_t)v.place.epoch, "seq", (json_int_t)v.place.seq, "hash", hex,
                            "writer", v.writer, "writes", v.we_write, "confirmed", v.confirmed,
                            "staleMs", (json_int_t)fleet_stale_ms(fl), "alarm", v.alarm);
    control_view_done(&v);
    return doc;
}

void *fleet_report_json(struct fleet *fl)
{
    json_t *doc = fl->o.hooks.report(fl->o.hooks.ctx);
    if (!doc)
        return NULL;
    json_object_set_new(doc, "region", json_string(fl->o.region));
    json_object_set_new(doc, "stamp", json_string(fl->o.stamp));
    json_object_set_new(doc, "wallMs", json_integer((json_int_t)clock_wall_ms()));
    json_object_set_new(doc, "source", json_string(fl->o.feed ? "feed" : "files"));
    if (fl->o.feed)
        json_object_set_new(doc, "control", fleet_control_json(fl));
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

// Where the others stand: a region that nobody reads from may have more than we.
static void reported_places(struct fleet *fl)
{
    struct control_place place;
    json_t *all = fleet_heard_json(fl), *one;
    size_t i;
    json_array_foreach(all, i, one)
    {
        const char *region = json_string_value(json_object_get(one, "region"));
        bool reached = json_is_true(json_object_get(one, "reached"));
        if (i && region && reached &&
            fleet_place_read(json_object_get(one, "control"), &place) == 0)
            fleet_heard(fl, region, &place);
    }
    json_decref(all);
}

static void reports_turn(struct fleet *fl, unsigned timeout_ms)
{
    struct topology *t = snapshot_get(fl->o.topology);
    json_t *own = fleet_report_json(fl);
    int rc = ERR_NOMEM;
    if (t && own)
        rc = reports_round(&fl->reports, &fl->caller, t, own, timeout_ms);
    json_decref(own);
    snapshot_unref(t);
    if (!rc && fl->o.feed)
        reported_places(fl);
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

void fleet_hurry(struct fleet *fl)
{
    atomic_store(&fl->hurried, true);
}

// ---- the thread ----

void *fleet_watch_main(void *fleet)
{
    struct fleet *fl = fleet;
    int64_t reports_at = 0, asked_ms = 0;
    thread_step_back();
    for (;;) {
        bool places = wants_places(fl);
        if (places)
            places_ask(fl);
        if (clock_mono_ms() >= reports_at) {
            reports_turn(fl, REPORT_TIMEOUT_MS);
            asked_ms = clock_mono_ms();
            reports_at = asked_ms + fl->o.every_ms;
        }
        if (atomic_exchange(&fl->hurried, false) && reports_at > asked_ms + FLEET_HURRY_MS)
            reports_at = asked_ms + FLEET_HURRY_MS;
        int64_t ms = reports_at - clock_mono_ms();
        if (fl->o.feed && ms > FLEET_LOOK_MS)
            ms = FLEET_LOOK_MS;
        if (places && ms < PLACE_EVERY_MS)
            ms = PLACE_EVERY_MS;
        if (ms > 0 && fleet_pause(fl, ms))
            return NULL;
        if (atomic_load(&fl->stopping))
            return NULL;
    }
}
