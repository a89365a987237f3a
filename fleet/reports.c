// SPDX-License-Identifier: Apache-2.0
// Reports of all regions; see reports.h.
#include "fleet/reports.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/plain.h"

#include <stdio.h>
#include <string.h>

#define NO_REPORT "it gives no report: its release is older, or its fleet room does not run"

void reports_init(struct reports *r)
{
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
}

void reports_done(struct reports *r)
{
    for (size_t i = 0; i < r->n; i++)
        json_decref(r->list[i].doc);
    pthread_mutex_destroy(&r->lock);
}

// ---- one report ----

// What another region wrote is shown on terminals.
static json_t *plain_string(const json_t *v)
{
    size_t n = json_string_length(v);
    const char *text = json_string_value(v);
    char *copy = strndup(text, n);
    if (!copy)
        return NULL;
    text_plain(copy, n);
    json_t *out = json_stringn_nocheck(copy, n);
    free(copy);
    return out;
}

static json_t *plain_copy(const json_t *v, unsigned depth);

static json_t *plain_object(const json_t *v, unsigned depth)
{
    json_t *out = json_object();
    const char *key;
    json_t *one;
    json_object_foreach((json_t *)v, key, one)
    {
        bool good = text_is_plain(key, strlen(key));
        // NULL is refused by the setter
        if (out && (!good || json_object_set_new(out, key, plain_copy(one, depth + 1)))) {
            json_decref(out);
            out = NULL;
        }
    }
    return out;
}

static json_t *plain_array(const json_t *v, unsigned depth)
{
    json_t *out = json_array(), *one;
    size_t i;
    json_array_foreach(v, i, one)
    {
        if (out && json_array_append_new(out, plain_copy(one, depth + 1))) {
            json_decref(out);
            out = NULL;
        }
    }
    return out;
}

// NULL: deeper than a report is, or no memory.
static json_t *plain_copy(const json_t *v, unsigned depth)
{
    if (depth > REPORT_DEPTH_MAX)
        return NULL;
    if (json_is_string(v))
        return plain_string(v);
    if (json_is_object(v))
        return plain_object(v, depth);
    if (json_is_array(v))
        return plain_array(v, depth);
    return json_deep_copy(v);
}

static uint64_t version_of(const json_t *doc, const char *member)
{
    json_int_t n = json_integer_value(json_object_get(doc, member));
    if (n < 0)
        return 0;
    return (uint64_t)n;
}

static void drift_read(const json_t *doc, const char *region, struct drift_report *out)
{
    *out = (struct drift_report){.topology = version_of(doc, "topologyVersion"),
                                 .principals = version_of(doc, "principalsVersion")};
    snprintf(out->region, sizeof out->region, "%s", region);
    const char *source = json_string_value(json_object_get(doc, "source"));
    out->feed = source && strcmp(source, "feed") == 0;
    const char *hash = json_string_value(json_object_get(doc, "topologyHash"));
    if (!hash || strlen(hash) != 2 * sizeof out->hash ||
        hex_parse(hash, 2 * sizeof out->hash, out->hash, sizeof out->hash))
        memset(out->hash, 0, sizeof out->hash);
}

int report_parse(struct bytes text, const char *region, json_t **out_doc,
                 struct drift_report *out_drift)
{
    if (!text.n || text.n > REPORT_MAX_BYTES)
        return ERR_CORRUPT;
    json_t *doc = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    const char *of = json_string_value(json_object_get(doc, "region"));
    json_t *copy = NULL;
    if (json_is_object(doc) && of && strcmp(of, region) == 0)
        copy = plain_copy(doc, 0);
    json_decref(doc);
    if (!copy)
        return ERR_CORRUPT;
    drift_read(copy, region, out_drift);
    *out_doc = copy;
    return 0;
}

// ---- all of them ----

static struct report_kept *find(struct reports *r, const char *region)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->list[i].region, region) == 0)
            return &r->list[i];
    return NULL;
}

// Under the lock: those that left the topology, or were forgotten, go, those that came are added.
static void members_update(struct reports *r, const struct fleet_caller *by,
                           const struct topology *t)
{
    for (size_t i = 0; i < r->n;) {
        const char *name = r->list[i].region;
        const struct region *at = topology_region(t, name);
        if (at && !at->sealed && strcmp(name, by->region) != 0) {
            i++;
            continue;
        }
        json_decref(r->list[i].doc);
        r->list[i] = r->list[--r->n];
    }
    for (size_t i = 0; i < t->n_regions; i++) {
        const char *name = t->regions[i].name;
        if (strcmp(name, by->region) == 0 || t->regions[i].sealed || find(r, name))
            continue;
        struct report_kept *k = &r->list[r->n++];
        *k = (struct report_kept){.why = "it was not asked yet"};
        snprintf(k->region, sizeof k->region, "%s", name);
    }
    drift_keep(&r->drift, t);
}

// Under the lock.
static void answer_take(struct reports *r, const struct fleet_one_answer *a, uint64_t round)
{
    struct report_kept *k = find(r, a->region);
    if (!k || k->round > round)
        return;
    k->round = round;
    json_t *doc = NULL;
    struct drift_report d;
    const struct bytes text = {(const uint8_t *)a->body.p, a->body.n};
    k->why[0] = 0;
    if (a->err)
        snprintf(k->why, sizeof k->why, "%s", a->why);
    else if (a->status == 404)
        snprintf(k->why, sizeof k->why, NO_REPORT);
    else if (a->status != 200)
        snprintf(k->why, sizeof k->why, "it answered with status %d", a->status);
    else if (report_parse(text, a->region, &doc, &d))
        snprintf(k->why, sizeof k->why, "what it says is not a report");
    if (!doc)
        return;
    json_decref(k->doc);
    k->doc = doc;
    k->heard_ms = clock_mono_ms();
    drift_note(&r->drift, &d, k->heard_ms);
}

// Under the lock.
static void own_take(struct reports *r, const char *region, const json_t *own, uint64_t round)
{
    struct drift_report mine;
    if (r->last_round > round)
        return;
    r->last_round = round;
    drift_read(own, region, &mine);
    drift_note(&r->drift, &mine, clock_mono_ms());
}

int reports_round(struct reports *r, const struct fleet_caller *by, const struct topology *t,
                  const json_t *own, uint32_t timeout_ms)
{
    const struct fleet_ask_limits limits = {.timeout_ms = timeout_ms,
                                            .max_bytes = REPORT_MAX_BYTES};
    struct fleet_answers *answers = NULL;
    pthread_mutex_lock(&r->lock);
    uint64_t round = ++r->n_rounds;
    pthread_mutex_unlock(&r->lock);
    int rc = fleet_ask_all(by, t, FLEET_REPORT_PATH, &limits, &answers);
    if (rc)
        return rc;
    pthread_mutex_lock(&r->lock);
    members_update(r, by, t);
    for (size_t i = 0; i < answers->n; i++)
        answer_take(r, &answers->list[i], round);
    own_take(r, by->region, own, round);
    drift_judge(&r->drift, clock_mono_ms());
    pthread_mutex_unlock(&r->lock);
    fleet_answers_free(answers);
    return 0;
}

// Under the lock.
static json_t *kept_json(const struct report_kept *k)
{
    json_t *one;
    if (k->doc)
        one = json_deep_copy(k->doc);
    else
        one = json_pack("{s:s}", "region", k->region);
    json_object_set_new(one, "reached", json_boolean(!k->why[0]));
    json_object_set_new(one, "why", k->why[0] ? json_string(k->why) : json_null());
    if (k->doc)
        json_object_set_new(one, "ageMs",
                            json_integer((json_int_t)(clock_mono_ms() - k->heard_ms)));
    return one;
}

json_t *reports_json(struct reports *r, const json_t *own)
{
    json_t *all = json_array(), *mine = json_deep_copy(own);
    json_object_set_new(mine, "reached", json_true());
    json_array_append_new(all, mine);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(all, kept_json(&r->list[i]));
    pthread_mutex_unlock(&r->lock);
    return all;
}
