// SPDX-License-Identifier: Apache-2.0
// Kept as numbers by name; see meta_kept.h, and meta_drop.h.
#include "store/meta_kept.h"

#include "store/backend_chain.h"
#include "store/meta_drop.h"

#include <stdio.h>
#include <string.h>

// "kept-epoch:eastus contoso@42"; of any registry "kept-epoch:eastus"
static void name_put(char out[NUMBER_NAME_MAX + 1], const char *what, const char *origin,
                     const char *registry)
{
    if (registry)
        snprintf(out, NUMBER_NAME_MAX + 1, "kept-%s:%s %s", what, origin, registry);
    else
        snprintf(out, NUMBER_NAME_MAX + 1, "kept-%s:%s", what, origin);
}

static int number_read(struct tx *tx, const char *what, const char *origin, const char *registry,
                       uint64_t *out)
{
    char name[NUMBER_NAME_MAX + 1];
    uint64_t value = 0;
    name_put(name, what, origin, registry);
    int rc = missing_ok(number_get(tx, name, &value));
    if (!rc)
        *out = value;
    return rc;
}

static int number_write(struct tx *tx, const char *what, const char *origin, const char *registry,
                        uint64_t value)
{
    char name[NUMBER_NAME_MAX + 1];
    name_put(name, what, origin, registry);
    return number_set(tx, name, value);
}

int kept_from(struct tx *tx, const char *origin, const char *registry, struct feed_mark *out)
{
    struct feed_mark mark = {0};
    int rc = number_read(tx, "epoch", origin, registry, &mark.epoch);
    if (!rc)
        rc = number_read(tx, "seq", origin, registry, &mark.seq);
    if (!rc)
        *out = mark;
    return rc;
}

// The highest place that came back as ended.
static int back_from(struct tx *tx, const char *origin, const char *registry, struct feed_mark *out)
{
    struct feed_mark mark = {0};
    int rc = number_read(tx, "back-epoch", origin, registry, &mark.epoch);
    if (!rc)
        rc = number_read(tx, "back-seq", origin, registry, &mark.seq);
    if (!rc)
        *out = mark;
    return rc;
}

// *out_higher: it was.
static int place_raise(struct tx *tx, const struct feed_entry *e, const char *registry,
                       bool *out_higher)
{
    struct feed_mark is;
    const struct feed_mark place = entry_mark(e);
    int rc = kept_from(tx, e->origin, registry, &is);
    if (rc)
        return rc;
    *out_higher = feed_mark_order(&place, &is) > 0;
    if (!*out_higher)
        return 0;
    rc = number_write(tx, "epoch", e->origin, registry, e->epoch);
    if (!rc)
        rc = number_write(tx, "seq", e->origin, registry, e->seq);
    return rc;
}

static int entry_end(struct tx *tx, int64_t id)
{
    int rc = log_content_drop(tx, id);
    return rc ? rc : log_end(tx, id);
}

// The one that stayed until now leaves the log. Its id may have been given to another entry meanwhile.
static int before_remove(struct tx *tx, const struct feed_entry *e, int64_t id)
{
    struct arena a;
    struct feed_entry is;
    arena_init(&a, 0);
    int rc = log_get(tx, id, &a, &is);
    bool same =
        !rc && is.ended && !strcmp(is.origin, e->origin) && !strcmp(is.registry, e->registry);
    arena_done(&a);
    if (rc || !same)
        return missing_ok(rc);
    return log_remove(tx, id);
}

int kept_drop(struct tx *tx, const struct feed_entry *e, int64_t id)
{
    bool of_any, higher = false;
    uint64_t before = 0;
    int rc = place_raise(tx, e, NULL, &of_any);
    if (!rc)
        rc = place_raise(tx, e, e->registry, &higher);
    if (rc)
        return rc;
    if (!higher)
        return log_remove(tx, id);
    rc = number_read(tx, "id", e->origin, e->registry, &before);
    if (!rc)
        rc = number_write(tx, "id", e->origin, e->registry, (uint64_t)id);
    if (!rc)
        rc = entry_end(tx, id);
    if (!rc && before)
        rc = before_remove(tx, e, (int64_t)before);
    return rc;
}

int kept_end(struct tx *tx, const struct feed_entry *e, int64_t id)
{
    struct feed_mark is;
    const struct feed_mark place = entry_mark(e);
    int rc = entry_end(tx, id);
    if (!rc)
        rc = back_from(tx, e->origin, e->registry, &is);
    if (rc || feed_mark_order(&place, &is) <= 0)
        return rc;
    rc = number_write(tx, "back-epoch", e->origin, e->registry, e->epoch);
    return rc ? rc : number_write(tx, "back-seq", e->origin, e->registry, e->seq);
}

static void higher_take(struct feed_mark *highest, const struct feed_mark *mark)
{
    if (feed_mark_order(mark, highest) > 0)
        *highest = *mark;
}

int meta_kept_from(struct meta *m, const char *origin, const char *const *registries, size_t n,
                   struct feed_mark *out)
{
    struct feed_mark highest = {0}, mark;
    struct tx *tx;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = kept_from(tx, origin, registries[i], &mark);
        if (!rc)
            higher_take(&highest, &mark);
        if (!rc)
            rc = back_from(tx, origin, registries[i], &mark);
        if (!rc)
            higher_take(&highest, &mark);
    }
    tx_end(tx);
    if (!rc)
        *out = highest;
    return rc;
}
