// SPDX-License-Identifier: Apache-2.0
// Floors, kept as numbers by name; see meta_floor.h.
//
// Invariants (design section 9)
//   7. A floor never goes down. A value whose register is not here and whose stamp lies at or below it
//      is never applied, whatever brought it.
#include "store/meta_floor.h"

#include "store/backend_chain.h"
#include "store/entry_kind.h"
#include "store/floor.h"
#include "store/liveness.h"
#include "store/meta_priv.h"
#include "store/register_set.h"

#include <stdio.h>

#define OWN "floor"
#define CLEARED "floor-cleared"
#define HEARD "floor-heard"
#define REFUSED "floor-refused"
#define ALL "" // registries

static int number_read(struct tx *tx, const char *what, const char *registry, uint64_t *out)
{
    char name[NUMBER_NAME_MAX + 1];
    uint64_t value = 0;
    snprintf(name, sizeof name, "%s:%s", what, registry);
    int rc = missing_ok(number_get(tx, name, &value));
    if (!rc)
        *out = value;
    return rc;
}

static int number_write(struct tx *tx, const char *what, const char *registry, uint64_t value)
{
    char name[NUMBER_NAME_MAX + 1];
    snprintf(name, sizeof name, "%s:%s", what, registry);
    return number_set(tx, name, value);
}

static int number_raise(struct tx *tx, const char *what, const char *registry, uint64_t value)
{
    uint64_t is;
    int rc = number_read(tx, what, registry, &is);
    if (rc || is >= value) // 7
        return rc;
    return number_write(tx, what, registry, value);
}

int floor_read(struct tx *tx, const char *registry, uint64_t *out)
{
    return number_read(tx, OWN, registry, out);
}

int floor_highest(struct tx *tx, const char *registry, uint64_t *out)
{
    uint64_t own, heard;
    int rc = number_read(tx, OWN, registry, &own);
    if (!rc)
        rc = number_read(tx, HEARD, registry, &heard);
    if (!rc)
        *out = own > heard ? own : heard;
    return rc;
}

// --- judging ---

static int is_absent(struct tx *tx, const struct feed_entry *e, bool *out)
{
    const struct register_name name = register_of(e);
    struct register_now now;
    int rc = register_now_read(tx, &name, &now);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = rc == ERR_NOTFOUND;
    return 0;
}

int floor_judge(struct tx *tx, const struct feed_entry *e, bool *out_refused)
{
    uint64_t own, heard;
    struct floor_value v = {.stamp = entry_register_stamp(e), .restates = e->restates > 0};
    *out_refused = false;
    if (entry_gone(e))
        return 0;
    int rc = number_read(tx, OWN, e->registry, &own);
    if (!rc)
        rc = number_read(tx, HEARD, e->registry, &heard);
    if (rc || v.stamp > stamp_max(own, heard))
        return rc; // the common case asks nothing more
    rc = is_absent(tx, e, &v.absent);
    if (!rc)
        *out_refused = floor_refuses(&v, own, heard);
    return rc;
}

static int refused_count(struct tx *tx, const char *registry)
{
    uint64_t n;
    int rc = number_read(tx, REFUSED, registry, &n);
    if (rc)
        return rc;
    return number_write(tx, REFUSED, registry, n + 1);
}

int floor_refuse(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    int rc = log_refuse(tx, id);
    if (!rc)
        rc = log_content_drop(tx, id);
    if (!rc)
        rc = refused_count(tx, e->registry);
    if (!rc)
        rc = refused_count(tx, ALL);
    return rc;
}

// --- for other rooms ---

int meta_floor_get(struct meta *m, const char *registry, struct meta_floor *out)
{
    struct meta_floor f = {0};
    struct tx *tx;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = number_read(tx, OWN, registry, &f.floor);
    if (!rc)
        rc = number_read(tx, CLEARED, registry, &f.cleared);
    if (!rc)
        rc = number_read(tx, HEARD, registry, &f.heard);
    if (!rc)
        rc = number_read(tx, REFUSED, registry, &f.n_refused);
    tx_end(tx);
    if (!rc)
        *out = f;
    return rc;
}

int meta_floor_cleared(struct meta *m, const char *registry, uint64_t *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = number_read(tx, CLEARED, registry, out);
    tx_end(tx);
    return rc;
}

struct raise {
    const char *what, *registry;
    uint64_t floor;
};

static int raise_run(struct tx *tx, void *arg)
{
    const struct raise *r = arg;
    return number_raise(tx, r->what, r->registry, r->floor);
}

int meta_floor_raise(struct meta *m, const char *registry, uint64_t floor)
{
    struct raise r = {OWN, registry, floor};
    return meta_write(m, raise_run, &r, false);
}

int meta_floor_clear(struct meta *m, const char *registry, uint64_t floor)
{
    struct raise r = {CLEARED, registry, floor};
    return meta_write(m, raise_run, &r, false);
}

int meta_floor_hear(struct meta *m, const char *registry, uint64_t floor)
{
    struct raise r = {HEARD, registry, floor};
    struct meta_floor is;
    int rc = meta_floor_get(m, registry, &is);
    if (rc || is.heard >= floor)
        return rc; // it is said again and again
    return meta_write(m, raise_run, &r, false);
}

int meta_floor_refused(struct meta *m, const char *registry, size_t max, struct arena *a,
                       struct feed_entry **out, size_t *out_n)
{
    struct tx *tx;
    struct log_row *rows = NULL;
    size_t n = 0;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = survey_refused(tx, registry, max, a, &rows, &n);
    tx_end(tx);
    if (rc)
        return rc;
    struct feed_entry *list = arena_array(a, n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        list[i] = rows[i].entry;
    *out = list;
    *out_n = n;
    return 0;
}
