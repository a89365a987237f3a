// SPDX-License-Identifier: Apache-2.0
// What one node saw of a fault drill; see drill_record.h.
#include "daemon/drill_record.h"

#include "base/err.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void drill_record_begin(struct drill_record *r, const struct health_drill *d, int64_t ttl_ms)
{
    *r = (struct drill_record){.one_registry = *d->label != 0,
                               .at_ms = d->at_ms,
                               .begun_ms = d->begun_ms,
                               .ttl_ms = ttl_ms,
                               .lag_entries = -1,
                               .lag_s = -1};
    memcpy(r->id, d->id, sizeof r->id);
    memcpy(r->region, d->region, sizeof r->region);
}

static void count(struct drill_record *r, const struct drill_counts *before,
                  const struct drill_counts *now, bool late, int64_t wall_ms)
{
    if (now->routed != before->routed) {
        r->n_there += now->routed - before->routed;
        r->last_there_ms = wall_ms;
    }
    for (size_t i = 0; i < TRAFFIC_CODES; i++) {
        uint64_t n = now->codes[i] - before->codes[i];
        r->codes[i] += n;
        if (late)
            r->n_late += n;
    }
}

bool drill_record_sample(struct drill_record *r, const struct health_drill *d,
                         const struct drill_counts *before, const struct drill_counts *now,
                         int64_t wall_ms, int64_t mono_ms)
{
    if (d->state == HEALTH_DRILL_RUNS) {
        // by the timer that ends it, which no jump of the wall clock moves
        int64_t elapsed_ms = d->for_ms - health_drill_left_ms(d, mono_ms);
        count(r, before, now, elapsed_ms > r->ttl_ms, wall_ms);
        return false;
    }
    bool ended = !r->ended_ms;
    if (ended)
        r->ended_ms = d->ended_ms;
    if (r->first_back_ms || now->routed == before->routed)
        return ended;
    r->first_back_ms = wall_ms;
    return true;
}

bool drill_record_open(const struct drill_record *r, const struct health_drill *d, int64_t wall_ms)
{
    if (!d)
        return false;
    if (d->state == HEALTH_DRILL_RUNS || !r->ended_ms)
        return true;
    return !r->first_back_ms && !r->one_registry && wall_ms - r->ended_ms < DRILL_RETURN_MS;
}

// ---- JSON ----

// Clocks of two nodes may differ by a little.
static int64_t not_less_than_0(int64_t ms)
{
    if (ms < 0)
        return 0;
    return ms;
}

// From the order to the last answer that led there, and at least until this node held the order.
static json_t *reroute_json(const struct drill_record *r)
{
    if (r->one_registry)
        return json_null();
    if (r->last_there_ms > r->begun_ms)
        return json_integer(not_less_than_0(r->last_there_ms - r->at_ms));
    return json_integer(not_less_than_0(r->begun_ms - r->at_ms));
}

static json_t *return_json(const struct drill_record *r)
{
    if (r->one_registry || !r->first_back_ms || !r->ended_ms)
        return json_null();
    return json_integer(not_less_than_0(r->first_back_ms - r->ended_ms));
}

static json_t *known_json(int64_t n)
{
    if (n < 0)
        return json_null();
    return json_integer(n);
}

static void code_name(size_t i, char out[8])
{
    if (traffic_code(i))
        snprintf(out, 8, "%u", traffic_code(i));
    else
        snprintf(out, 8, "other");
}

static json_t *codes_json(const struct drill_record *r, uint64_t *out_all)
{
    json_t *j = json_object();
    *out_all = 0;
    for (size_t i = 0; j && i < TRAFFIC_CODES; i++) {
        char name[8];
        code_name(i, name);
        *out_all += r->codes[i];
        if (r->codes[i])
            json_object_set_new(j, name, json_integer((json_int_t)r->codes[i]));
    }
    return j;
}

void *drill_record_json(const struct drill_record *r)
{
    uint64_t all;
    json_t *codes = codes_json(r, &all);
    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:o, "
                     "s:o, s:o}",
                     "id", r->id, "region", r->region, "oneRegistry", (int)r->one_registry, "at",
                     (json_int_t)r->at_ms, "begun", (json_int_t)r->begun_ms, "ended",
                     (json_int_t)r->ended_ms, "ttlMs", (json_int_t)r->ttl_ms, "ledThere",
                     (json_int_t)r->n_there, "lastThere", (json_int_t)r->last_there_ms, "firstBack",
                     (json_int_t)r->first_back_ms, "rerouteMs", reroute_json(r), "returnMs",
                     return_json(r), "requests", (json_int_t)all, "late", (json_int_t)r->n_late,
                     "codes", codes, "lagEntries", known_json(r->lag_entries), "lagSeconds",
                     known_json(r->lag_s));
}

static int64_t known_of(const json_t *j, const char *name)
{
    const json_t *v = json_object_get(j, name);
    if (json_is_integer(v))
        return json_integer_value(v);
    return -1;
}

int drill_record_parse(const void *json, struct drill_record *out)
{
    struct drill_record r = {0};
    const char *id, *region;
    int one;
    json_int_t at, begun, ended, ttl, there, last, back, late;
    json_t *codes;
    if (json_unpack((json_t *)json, "{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
                    "id", &id, "region", &region, "oneRegistry", &one, "at", &at, "begun", &begun,
                    "ended", &ended, "ttlMs", &ttl, "ledThere", &there, "lastThere", &last,
                    "firstBack", &back, "late", &late, "codes", &codes) ||
        strlen(id) >= sizeof r.id || strlen(region) >= sizeof r.region || !json_is_object(codes))
        return ERR_CORRUPT;
    memcpy(r.id, id, strlen(id));
    memcpy(r.region, region, strlen(region));
    r.one_registry = one;
    r.at_ms = at;
    r.begun_ms = begun;
    r.ended_ms = ended;
    r.ttl_ms = ttl;
    r.n_there = (uint64_t)there;
    r.last_there_ms = last;
    r.first_back_ms = back;
    r.n_late = (uint64_t)late;
    for (size_t i = 0; i < TRAFFIC_CODES; i++) {
        char name[8];
        code_name(i, name);
        r.codes[i] = (uint64_t)json_integer_value(json_object_get(codes, name));
    }
    r.lag_entries = known_of(json, "lagEntries");
    r.lag_s = known_of(json, "lagSeconds");
    *out = r;
    return 0;
}
