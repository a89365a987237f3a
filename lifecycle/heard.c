// SPDX-License-Identifier: Apache-2.0
// What a phase waits to hear: members of private endpoints, and a stamp that is to serve. See
// lifecycle_priv.h.
#include "base/err.h"
#include "lifecycle/lifecycle_priv.h"

#include <stdio.h>
#include <string.h>

// Members that nobody has heard by then are not where the document says.
#define MEMBERS_MAX_MS ((int64_t)2 * 60 * 1000)
// A stamp may take long to open a registry, and a secondary to transfer the zone (SOA refresh: an
// hour; but it is told).
#define WARM_MAX_MS ((int64_t)15 * 60 * 1000)
// One that has served, and does not any more: longer than a restart of its program takes.
#define STAMP_MAX_MS ((int64_t)10 * 1000)

// `*since_ms`: since when it is not heard; 0: it is.
static enum heard unheard_for(int64_t *since_ms, int64_t now_ms, int64_t longest_ms)
{
    if (!*since_ms || *since_ms > now_ms)
        *since_ms = now_ms;
    if (now_ms - *since_ms <= longest_ms)
        return HEARD_NOT_YET;
    *since_ms = 0;
    return HEARD_NEVER;
}

enum heard heard_members(const struct lifecycle *l, const struct topology *t, struct operation *o,
                         int64_t now_ms, char why[HEARD_WHY_SIZE])
{
    const struct lifecycle_deps *deps = &l->deps;
    json_t *phase = record_running(o->record);
    const json_t *names = json_object_get(phase, "members");
    struct lifecycle_unheard left = {0};
    for (size_t i = 0; i < json_array_size(names) && !left.n && deps->members_unheard; i++)
        deps->members_unheard(deps->ctx, t, record_text_at(names, i), &left);
    if (!left.n) {
        json_object_del(phase, "lacks");
        o->members_since_ms = 0;
        return HEARD;
    }
    json_object_set_new(phase, "lacks", json_string(left.what));
    snprintf(why, HEARD_WHY_SIZE,
             "for %d s nobody got the right answer at a private address that names are to lead to: "
             "%s",
             (int)(MEMBERS_MAX_MS / 1000), left.what);
    return unheard_for(&o->members_since_ms, now_ms, MEMBERS_MAX_MS);
}

static bool is_fit(const struct lifecycle *l, const struct topology *t, struct operation *o,
                   const json_t *phase, char why[HEARD_WHY_SIZE])
{
    const struct lifecycle_deps *deps = &l->deps;
    const json_t *goal = json_object_get(o->record, "goal");
    const struct lifecycle_move move = {record_text(goal, "registry"), record_text(goal, "region"),
                                        record_text(phase, "stamp")};
    if (!deps->stamps) {
        snprintf(why, HEARD_WHY_SIZE, "the writer's release cannot ask the stamps of a region");
        return false;
    }
    if (!deps->stamps->serves(deps->ctx, t, &move, why, HEARD_WHY_SIZE))
        return false;
    return !json_is_true(json_object_get(phase, "published")) ||
           deps->stamps->published(deps->ctx, t, &move, why, HEARD_WHY_SIZE);
}

enum heard heard_stamp(const struct lifecycle *l, const struct topology *t, struct operation *o,
                       int64_t now_ms, char why[HEARD_WHY_SIZE])
{
    json_t *phase = record_running(o->record);
    char lacks[HEARD_WHY_SIZE] = "";
    int64_t longest_ms = STAMP_MAX_MS;
    if (!*record_text(phase, "stamp") || is_fit(l, t, o, phase, lacks)) {
        json_object_del(phase, "lacks");
        o->stamp_since_ms = 0;
        return HEARD;
    }
    if (json_is_true(json_object_get(phase, "published")))
        longest_ms = WARM_MAX_MS;
    json_object_set_new(phase, "lacks", json_string(lacks));
    snprintf(why, HEARD_WHY_SIZE, "names cannot lead to stamp %.64s, for %d s now: %.400s",
             record_text(phase, "stamp"), (int)(longest_ms / 1000), lacks);
    return unheard_for(&o->stamp_since_ms, now_ms, longest_ms);
}
