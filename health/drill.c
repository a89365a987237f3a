// SPDX-License-Identifier: Apache-2.0
// Fault drills as values; see drill.h.
#include "health/drill.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

static const char *const states[] = {[HEALTH_DRILL_RUNS] = "running",
                                     [HEALTH_DRILL_ENDED] = "ended",
                                     [HEALTH_DRILL_STOPPED] = "stopped",
                                     [HEALTH_DRILL_YIELDED] = "yielded",
                                     [HEALTH_DRILL_LATE] = "too late"};

const char *health_drill_state_name(enum health_drill_state s)
{
    return states[s];
}

struct health_drill *health_drills_find(struct health_drills *d, const char *id)
{
    for (size_t i = 0; i < d->n; i++)
        if (!strcmp(d->list[i].id, id))
            return &d->list[i];
    return NULL;
}

const struct health_drill *health_drills_running(const struct health_drills *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->list[i].state == HEALTH_DRILL_RUNS)
            return &d->list[i];
    return NULL;
}

int64_t health_drill_left_ms(const struct health_drill *x, int64_t mono_ms)
{
    if (x->state == HEALTH_DRILL_RUNS && mono_ms < x->end_mono_ms)
        return x->end_mono_ms - mono_ms;
    return 0;
}

int64_t health_drills_next_ms(const struct health_drills *d)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < d->n; i++)
        if (d->list[i].state == HEALTH_DRILL_RUNS && d->list[i].end_mono_ms < next)
            next = d->list[i].end_mono_ms;
    return next;
}

static void end(struct health_drill *x, enum health_drill_state how, int64_t wall_ms)
{
    x->state = how;
    x->ended_ms = wall_ms;
}

// Invariant 2.
static int64_t left_of(const struct health_drill *x, int64_t wall_ms)
{
    int64_t left = x->at_ms + x->for_ms - wall_ms;
    if (left > x->for_ms) // our clock is behind
        left = x->for_ms;
    if (x->left_ms >= 0 && x->left_ms < left)
        left = x->left_ms;
    return left;
}

// Nobody can run it any more: to forget it brings it back from nowhere.
static bool is_past(const struct health_drill *x, int64_t wall_ms)
{
    return x->at_ms + x->for_ms + HEALTH_SKEW_MS < wall_ms;
}

// A free place, or that of the drill that was given longest ago and does not run: first of those that
// run nowhere.
static struct health_drill *place(struct health_drills *d, int64_t wall_ms)
{
    struct health_drill *oldest = NULL, *past = NULL;
    if (d->n < HEALTH_DRILLS_MAX)
        return &d->list[d->n++];
    for (size_t i = 0; i < d->n; i++) {
        struct health_drill *x = &d->list[i];
        if (x->state == HEALTH_DRILL_RUNS)
            continue;
        if (!oldest || x->at_ms < oldest->at_ms)
            oldest = x;
        if (is_past(x, wall_ms) && (!past || x->at_ms < past->at_ms))
            past = x;
    }
    if (past)
        return past;
    return oldest;
}

static void begin(struct health_drill *x, int64_t wall_ms, int64_t mono_ms)
{
    int64_t left = left_of(x, wall_ms);
    x->begun_ms = x->ended_ms = 0;
    x->known = 0;
    if (x->stopped_ms)
        end(x, HEALTH_DRILL_STOPPED, wall_ms);
    else if (left <= 0)
        end(x, HEALTH_DRILL_LATE, wall_ms);
    else {
        x->state = HEALTH_DRILL_RUNS;
        x->begun_ms = wall_ms;
        x->end_mono_ms = mono_ms + left;
    }
    x->left_ms = -1;
}

// That it was stopped: of two words the earlier one, so that all come to the same.
static int stop(struct health_drill *mine, const struct health_drill *x, int64_t wall_ms)
{
    if (!x->stopped_ms || (mine->stopped_ms && mine->stopped_ms <= x->stopped_ms))
        return 0;
    mine->stopped_ms = x->stopped_ms;
    memcpy(mine->stopped_by, x->stopped_by, sizeof mine->stopped_by);
    if (mine->state == HEALTH_DRILL_RUNS)
        end(mine, HEALTH_DRILL_STOPPED, wall_ms);
    return 1;
}

int health_drills_merge(struct health_drills *d, const struct health_drill *x, int64_t wall_ms,
                        int64_t mono_ms)
{
    struct health_drill *mine = health_drills_find(d, x->id);
    if (mine)
        return stop(mine, x, wall_ms);
    if (x->at_ms > wall_ms + HEALTH_SKEW_MS)
        return ERR_RANGE;
    if (x->at_ms + x->for_ms + HEALTH_DRILL_KEPT_MS < wall_ms)
        return 0;
    mine = place(d, wall_ms);
    if (!mine)
        return ERR_NOSPACE;
    *mine = *x;
    begin(mine, wall_ms, mono_ms);
    return 1;
}

// ---- the end ----

// Invariant 5: did `y` stand when `x` was given?
static bool yields_to(const struct health_drill *x, const struct health_drill *y)
{
    bool before = y->at_ms < x->at_ms || (y->at_ms == x->at_ms && strcmp(y->id, x->id) < 0);
    bool over = y->stopped_ms && y->stopped_ms < x->at_ms;
    return before && x->at_ms <= y->at_ms + y->for_ms && !over;
}

static bool yields(const struct health_drills *d, const struct health_drill *x)
{
    for (size_t i = 0; i < d->n; i++)
        if (&d->list[i] != x && yields_to(x, &d->list[i]))
            return true;
    return false;
}

bool health_drills_turn(struct health_drills *d, int64_t wall_ms, int64_t mono_ms)
{
    bool ended = false;
    for (size_t i = 0; i < d->n; i++) {
        struct health_drill *x = &d->list[i];
        if (x->state != HEALTH_DRILL_RUNS)
            continue;
        if (mono_ms >= x->end_mono_ms)
            end(x, HEALTH_DRILL_ENDED, wall_ms);
        else if (yields(d, x))
            end(x, HEALTH_DRILL_YIELDED, wall_ms);
        ended |= x->state != HEALTH_DRILL_RUNS;
    }
    for (size_t i = 0; i < d->n;) {
        const struct health_drill *x = &d->list[i];
        bool old = x->at_ms + x->for_ms + HEALTH_DRILL_KEPT_MS < wall_ms;
        if (x->state != HEALTH_DRILL_RUNS && old)
            d->list[i] = d->list[--d->n];
        else
            i++;
    }
    return ended;
}

void health_drills_resume(struct health_drills *d, int64_t wall_ms, int64_t mono_ms)
{
    for (size_t i = 0; i < d->n; i++) {
        struct health_drill *x = &d->list[i];
        if (x->state != HEALTH_DRILL_RUNS)
            continue;
        int64_t left = left_of(x, wall_ms), until = x->ended_ms - wall_ms;
        if (until < left) // when it was to end, by the wall clock of then
            left = until;
        x->left_ms = -1;
        x->end_mono_ms = mono_ms + left;
        if (left <= 0)
            end(x, HEALTH_DRILL_ENDED, x->ended_ms);
        else
            x->ended_ms = 0;
    }
}

// ---- JSON ----

// Might somebody else still begin it, or run it?
static bool is_to_tell(const struct health_drill *x, int64_t wall_ms)
{
    if (x->state == HEALTH_DRILL_RUNS)
        return true;
    return x->stopped_ms && wall_ms <= x->at_ms + x->for_ms + HEALTH_SKEW_MS;
}

static json_t *drill_json(const struct health_drill *x, bool own, int64_t wall_ms, int64_t mono_ms)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "id", x->id, "region", x->region,
                          "label", x->label, "by", x->by, "at_ms", (json_int_t)x->at_ms, "for_ms",
                          (json_int_t)x->for_ms);
    int64_t left = health_drill_left_ms(x, mono_ms), ended = x->ended_ms;
    int bad = !j;
    if (x->state == HEALTH_DRILL_RUNS) {
        bad |= json_object_set_new(j, "left_ms", json_integer(left));
        ended = wall_ms + left;
    }
    if (x->stopped_ms) {
        bad |= json_object_set_new(j, "stopped_ms", json_integer(x->stopped_ms));
        bad |= json_object_set_new(j, "stopped_by", json_string(x->stopped_by));
    }
    if (own) {
        bad |= json_object_set_new(j, "state", json_string(states[x->state]));
        bad |= json_object_set_new(j, "begun_ms", json_integer(x->begun_ms));
        bad |= json_object_set_new(j, "ended_ms", json_integer(ended));
    }
    if (!bad)
        return j;
    json_decref(j);
    return NULL;
}

int health_drills_put(const struct health_drills *d, bool own, int64_t wall_ms, int64_t mono_ms,
                      void *object)
{
    json_t *list = json_array();
    int bad = json_object_set_new(object, "drills", list);
    for (size_t i = 0; i < d->n && !bad; i++)
        if (own || is_to_tell(&d->list[i], wall_ms))
            bad = json_array_append_new(list, drill_json(&d->list[i], own, wall_ms, mono_ms));
    if (bad)
        return ERR_NOMEM;
    return 0;
}

static bool is_id(const char *id)
{
    return strlen(id) == HEALTH_DRILL_ID_SIZE - 1 &&
           strspn(id, "0123456789abcdef") == HEALTH_DRILL_ID_SIZE - 1;
}

static int parse_state(const json_t *j, struct health_drill *x)
{
    const char *state;
    json_int_t begun, ended;
    if (json_unpack((json_t *)j, "{s:s, s:I, s:I}", "state", &state, "begun_ms", &begun, "ended_ms",
                    &ended))
        return ERR_CORRUPT;
    size_t i = 0;
    while (i < ARRAY_LEN(states) && strcmp(states[i], state) != 0)
        i++;
    if (i == ARRAY_LEN(states) || begun < 0 || ended < 0)
        return ERR_CORRUPT;
    x->state = (enum health_drill_state)i;
    x->begun_ms = begun;
    x->ended_ms = ended;
    return 0;
}

static int parse_drill(const json_t *j, bool own, struct health_drill *x)
{
    static const json_int_t latest = (json_int_t)1 << 53;
    const char *id, *region, *label, *by, *stopped_by = "";
    json_int_t at, how_long, left = -1, stopped = 0;
    if (json_unpack((json_t *)j, "{s:s, s:s, s:s, s:s, s:I, s:I, s?I, s?I, s?s}", "id", &id,
                    "region", &region, "label", &label, "by", &by, "at_ms", &at, "for_ms",
                    &how_long, "left_ms", &left, "stopped_ms", &stopped, "stopped_by",
                    &stopped_by) ||
        !is_id(id) || !hostname_region_ok(region) || strlen(region) >= sizeof x->region ||
        strlen(label) >= sizeof x->label || (*label && !hostname_stamp_ok(label)) ||
        !health_by_ok(by) || at <= 0 || at > latest || how_long < HEALTH_DRILL_MIN_MS ||
        how_long > HEALTH_DRILL_MAX_MS || stopped < 0 || stopped > latest ||
        (stopped && !health_by_ok(stopped_by)))
        return ERR_CORRUPT;
    memcpy(x->id, id, strlen(id));
    memcpy(x->region, region, strlen(region));
    memcpy(x->label, label, strlen(label));
    memcpy(x->by, by, strlen(by));
    x->at_ms = at;
    x->for_ms = how_long;
    x->left_ms = left;
    x->stopped_ms = stopped;
    if (stopped)
        memcpy(x->stopped_by, stopped_by, strlen(stopped_by));
    if (own)
        return parse_state(j, x);
    return 0;
}

int health_drills_get(const void *object, bool own, struct health_drills *out)
{
    const json_t *list = json_object_get(object, "drills");
    AUTO_FREE struct health_drills *d = mem_zalloc(sizeof *d);
    if (!d)
        return ERR_NOMEM;
    if (list && (!json_is_array(list) || json_array_size(list) > HEALTH_DRILLS_MAX))
        return ERR_CORRUPT;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct health_drill x = {0};
        if (parse_drill(json_array_get(list, i), own, &x))
            return ERR_CORRUPT;
        if (!health_drills_find(d, x.id))
            d->list[d->n++] = x;
    }
    *out = *d;
    return 0;
}
