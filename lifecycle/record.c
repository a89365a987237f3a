// SPDX-License-Identifier: Apache-2.0
// Records of operations; see record.h.
#include "lifecycle/record.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

const char *record_text(const json_t *record, const char *key)
{
    const char *s = json_string_value(json_object_get(record, key));
    if (s)
        return s;
    return "";
}

const char *record_text_at(const json_t *list, size_t i)
{
    const char *s = json_string_value(json_array_get(list, i));
    if (s)
        return s;
    return "";
}

int64_t record_number(const json_t *record, const char *key)
{
    return json_integer_value(json_object_get(record, key));
}

bool record_ended(const json_t *record)
{
    const char *s = record_text(record, "state");
    return !strcmp(s, "Succeeded") || !strcmp(s, "Failed") || !strcmp(s, "Canceled");
}

bool record_whole(const json_t *record)
{
    return *record_text(record, "id") && *record_text(record, "verb") &&
           *record_text(record, "state") && json_is_string(json_object_get(record, "object")) &&
           json_is_array(json_object_get(record, "phases")) &&
           json_is_array(json_object_get(record, "locks"));
}

json_t *record_shown(const json_t *record)
{
    static const char *const inner[] = {"goal", "before", "turned", "locks", "arguments", "rights"};
    json_t *copy = json_deep_copy(record);
    for (size_t i = 0; copy && i < ARRAY_LEN(inner); i++)
        json_object_del(copy, inner[i]);
    return copy;
}

// ---- phases ----

static bool phase_is(const json_t *phase, const char *state)
{
    return !strcmp(record_text(phase, "state"), state);
}

json_t *record_running(const json_t *record)
{
    const json_t *phases = json_object_get(record, "phases");
    for (size_t i = json_array_size(phases); i-- > 0;)
        if (phase_is(json_array_get(phases, i), "running"))
            return json_array_get(phases, i);
    return NULL;
}

void record_end_running(json_t *record, const char *state, int64_t now_ms)
{
    const json_t *phases = json_object_get(record, "phases");
    for (size_t i = 0; i < json_array_size(phases); i++) {
        json_t *phase = json_array_get(phases, i);
        if (!phase_is(phase, "running"))
            continue;
        json_object_set_new(phase, "state", json_string(state));
        json_object_set_new(phase, "ended", json_integer(now_ms));
        json_object_del(phase, "waitsFor");
        json_object_del(phase, "lacks");
    }
}

static json_t *phase_new(const char *name, const char *state)
{
    return json_pack("{s:s, s:s}", "name", name, "state", state);
}

int record_expect(json_t *record, const char *name)
{
    if (json_array_append_new(json_object_get(record, "phases"), phase_new(name, "pending")))
        return ERR_NOMEM;
    return 0;
}

// Where the phase that starts has its place.
static json_t *phase_place(json_t *phases, const char *name)
{
    size_t first_pending = json_array_size(phases);
    for (size_t i = json_array_size(phases); i-- > 0;)
        if (phase_is(json_array_get(phases, i), "pending"))
            first_pending = i;
    json_t *next = json_array_get(phases, first_pending);
    if (next && !strcmp(record_text(next, "name"), name))
        return next;
    if (json_array_insert_new(phases, first_pending, phase_new(name, "pending")))
        return NULL;
    return json_array_get(phases, first_pending);
}

int record_start(json_t *record, const char *name, uint64_t version, int64_t now_ms)
{
    json_t *phase = phase_place(json_object_get(record, "phases"), name);
    if (!phase)
        return ERR_NOMEM;
    int rc = json_object_set_new(phase, "state", json_string("running"));
    rc |= json_object_set_new(phase, "started", json_integer(now_ms));
    if (version)
        rc |= json_object_set_new(phase, "version", json_integer((json_int_t)version));
    if (rc)
        return ERR_NOMEM;
    return 0;
}

static void drop_pending(json_t *phases)
{
    for (size_t i = json_array_size(phases); i-- > 0;)
        if (phase_is(json_array_get(phases, i), "pending"))
            json_array_remove(phases, i);
}

void record_turn(json_t *record, const char *why, int64_t now_ms)
{
    json_t *phases = json_object_get(record, "phases");
    const char *state = "done";
    if (!strcmp(why, "undo"))
        state = "failed";
    record_end_running(record, state, now_ms);
    drop_pending(phases);
    for (size_t i = 0; i < json_array_size(phases); i++)
        json_object_set_new(json_array_get(phases, i), "before", json_true());
    json_t *goal = json_incref(json_object_get(record, "goal"));
    json_object_set(record, "goal", json_object_get(record, "before"));
    json_object_set(record, "before", goal);
    json_decref(goal);
    json_object_set_new(record, "turned", json_string(why));
    json_object_set_new(record, "updated", json_integer(now_ms));
}

void record_end(json_t *record, const char *state, int64_t now_ms)
{
    json_t *phases = json_object_get(record, "phases");
    bool turned = *record_text(record, "turned") != 0;
    record_end_running(record, "done", now_ms);
    drop_pending(phases);
    for (size_t i = 0; turned && i < json_array_size(phases); i++) {
        json_t *phase = json_array_get(phases, i);
        if (!json_object_del(phase, "before") && phase_is(phase, "done"))
            json_object_set_new(phase, "state", json_string("undone"));
    }
    json_object_set_new(record, "state", json_string(state));
    json_object_set_new(record, "updated", json_integer(now_ms));
    json_object_del(record, "goal");
    json_object_del(record, "before");
}

void record_fail(json_t *record, const char *code, const char *message)
{
    json_object_set_new(record, "error", json_pack("{s:s, s:s}", "code", code, "message", message));
}

json_t *region_names(const struct topology *t, region_set set)
{
    json_t *names = json_array();
    for (size_t i = 0; names && i < t->n_regions; i++)
        if (set >> i & 1)
            json_array_append_new(names, json_string(t->regions[i].name));
    return names;
}
