// SPDX-License-Identifier: Apache-2.0
// Verdicts on disk; see health_state.h.
#include "health/state.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "health/priv.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define STATE_VERSION 2

static struct health_target *find(struct health_target *targets, size_t n, const char *region,
                                  const char *stamp)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(targets[i].region, region) && !strcmp(targets[i].stamp, stamp))
            return &targets[i];
    return NULL;
}

static int restore_one(json_t *j, const struct health_settings *s, int64_t wall_ms,
                       struct health_target *targets, size_t n)
{
    const char *region, *stamp, *force_text, *reason;
    int up, is_short = 0, damping = 0;
    json_int_t changed, held;
    enum health_force force;
    if (json_unpack(j, "{s:s, s:s, s:b, s:s, s:I, s:I, s:s, s?i, s?b}", "region", &region, "stamp",
                    &stamp, "up", &up, "force", &force_text, "changed_ms", &changed,
                    "held_until_ms", &held, "reason", &reason, "damping", &damping, "short",
                    &is_short) ||
        health_force_parse(force_text, &force) || damping < 0 || damping > UINT8_MAX)
        return ERR_CORRUPT;
    struct health_target *t = find(targets, n, region, stamp);
    if (!t)
        return 0; // no longer in the topology
    t->up = t->seen_up = up;
    t->is_short = is_short;
    t->force = force;
    t->changed_ms = changed;
    t->damping = (uint8_t)damping;
    int64_t latest = wall_ms + health_hold_down_ms(s, t);
    if (held > latest) // the clock was set back
        t->held_until_ms = latest;
    else
        t->held_until_ms = held;
    health_reason_set(t, reason);
    return 0;
}

// Forces of a file from before they were orders: each held only here, and when it was given is not
// known. Any order given since is later.
static void forces_of_before(const struct health_target *targets, size_t n, int64_t wall_ms,
                             struct health_orders *to)
{
    for (size_t i = 0; i < n; i++) {
        struct health_order x = {
            .kind = HEALTH_FORCED, .on = true, .force = targets[i].force, .at_ms = 1};
        memcpy(x.region, targets[i].region, sizeof x.region);
        if (x.force != HEALTH_AUTO)
            health_orders_merge(to, &x, wall_ms);
    }
}

static int restore_all(json_t *root, const struct health_settings *s, int64_t wall_ms,
                       struct health_target *targets, size_t n, struct health_saved *saved)
{
    int version;
    json_t *list, *j;
    json_int_t boot = 0;
    size_t i;
    if (json_unpack(root, "{s:i, s:o, s?I}", "version", &version, "targets", &list, "boot",
                    &boot) ||
        version < 1 || version > STATE_VERSION || !json_is_array(list) || boot < 0)
        return ERR_CORRUPT;
    json_array_foreach(list, i, j) if (restore_one(j, s, wall_ms, targets, n)) return ERR_CORRUPT;
    saved->boot = (uint64_t)boot;
    int rc = 0;
    if (version > 1)
        rc = health_orders_get(root, &saved->orders);
    if (!rc && !json_object_get(root, "forces"))
        forces_of_before(targets, n, wall_ms, &saved->orders);
    if (!rc)
        rc = health_drills_get(root, true, &saved->drills);
    if (!rc)
        health_drills_resume(&saved->drills, wall_ms, clock_mono_ms());
    return rc;
}

int health_state_load(const char *path, const struct health_settings *s, int64_t wall_ms,
                      struct health_target *targets, size_t n, struct health_saved *out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, HEALTH_STATE_MAX_BYTES);
    int rc = file_read(path, HEALTH_STATE_MAX_BYTES, &text);
    if (rc)
        return rc;
    AUTO_FREE struct health_target *copy = mem_zalloc_array(n, sizeof *copy);
    AUTO_FREE struct health_saved *saved = mem_zalloc(sizeof *saved);
    if (!copy || !saved)
        return ERR_NOMEM;
    memcpy(copy, targets, n * sizeof *copy);
    json_error_t e;
    json_t *root = json_loadb(buf_cstr(&text), text.n, JSON_REJECT_DUPLICATES, &e);
    if (root)
        rc = restore_all(root, s, wall_ms, copy, n, saved);
    else
        rc = ERR_CORRUPT;
    json_decref(root);
    if (rc)
        return rc;
    memcpy(targets, copy, n * sizeof *copy);
    *out = *saved;
    return 0;
}

static json_t *target_json(const struct health_target *t)
{
    return json_pack("{s:s, s:s, s:b, s:s, s:I, s:I, s:s, s:i, s:b}", "region", t->region, "stamp",
                     t->stamp, "up", (int)t->up, "force", health_force_names[t->force],
                     "changed_ms", (json_int_t)t->changed_ms, "held_until_ms",
                     (json_int_t)t->held_until_ms, "reason", t->reason, "damping", (int)t->damping,
                     "short", (int)t->is_short);
}

int health_state_save(const char *path, const struct health_target *targets, size_t n,
                      const struct health_saved *saved)
{
    json_t *list = json_array();
    int bad = !list;
    for (size_t i = 0; i < n && !bad; i++)
        bad = json_array_append_new(list, target_json(&targets[i]));
    json_t *root = NULL;
    if (!bad)
        root = json_pack("{s:i, s:O, s:I}", "version", STATE_VERSION, "targets", list, "boot",
                         (json_int_t)saved->boot);
    json_decref(list);
    AUTO_FREE char *text = NULL;
    if (root && !health_orders_put(&saved->orders, root) &&
        !health_drills_put(&saved->drills, true, clock_wall_ms(), clock_mono_ms(), root))
        text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (text)
        return file_write_atomic(path, text, strlen(text), 0600);
    return ERR_NOMEM;
}
