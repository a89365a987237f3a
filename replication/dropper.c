// SPDX-License-Identifier: Apache-2.0
// See dropper.h.
//
// Invariants (design section 9)
//   7. A floor is raised in the store before anything below it goes, and told to others when nothing
//      dead is left below it; tombstones go only below what every member has told.
#include "replication/dropper.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"
#include "replication/dropper_state.h"
#include "replication/replication_priv.h"
#include "replication/settle.h"
#include "replication/words.h"
#include "store/meta_drop.h"
#include "store/meta_floor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 64        // registers in one transaction
#define TRIM_MAX 500        // entries that one looks at, of those that were outdone
#define SAVED_KEEP_MS 60000 // what is kept for less begins anew with a restart
#define REST_MS 20          // between two of them, so that writers come first

// One registry.
struct row {
    char *key;
    struct settled values, tombstones;
    struct settle_steps kept;
    // tombstones went up to there, and what was outdone
    uint64_t ended, trimmed;
};

struct dropper {
    struct replicator *r;
    pthread_t thread;
    bool started;
    // of the thread alone
    struct row *rows;
    size_t n;
    // the steps of all as they were at the start; NULL: not read yet
    json_t *saved;
    // steps changed since they were written
    bool dirty;
    _Atomic uint64_t n_entries;
};

int dropper_new(struct replicator *r, struct dropper **out)
{
    struct dropper *d = mem_zalloc(sizeof *d);
    if (!d)
        return ERR_NOMEM;
    d->r = r;
    *out = d;
    return 0;
}

static void rows_free(struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(rows[i].key);
    free(rows);
}

void dropper_free(struct dropper *d)
{
    if (!d)
        return;
    rows_free(d->rows, d->n);
    json_decref(d->saved);
    free(d);
}

// --- one step ---

// *out_kept: something that should go could not yet.
static int sweep(struct dropper *d, const char *key, enum drop_step step, uint64_t upto,
                 bool *out_kept)
{
    const struct drop_ask ask = {.registry = key, .upto = upto, .step = step, .max = BATCH_MAX};
    struct drop_at at = {0};
    struct dropped one = {0};
    bool kept = false;
    while (!one.at_end) {
        int rc = meta_drop(d->r->o.meta, &ask, &at, &one);
        if (rc)
            return rc;
        kept = kept || one.kept;
        atomic_fetch_add(&d->n_entries, one.n_entries);
        if (one.n_entries)
            life_sleep(d->r->life, REST_MS);
        if (life_stopping(d->r->life))
            return ERR_CLOSED;
    }
    *out_kept = kept;
    return 0;
}

// 7
static int values_go(struct dropper *d, const char *key, uint64_t upto)
{
    struct meta_floor floor;
    bool kept;
    int rc = meta_floor_get(d->r->o.meta, key, &floor);
    if (rc || upto <= floor.cleared)
        return rc;
    rc = meta_floor_raise(d->r->o.meta, key, upto);
    if (!rc)
        rc = sweep(d, key, DROP_VALUES, upto, &kept);
    if (rc || kept)
        return rc;
    return meta_floor_clear(d->r->o.meta, key, upto);
}

static int tombstones_go(struct dropper *d, struct row *row, uint64_t upto)
{
    bool kept;
    if (upto <= row->ended)
        return 0;
    int rc = sweep(d, row->key, DROP_TOMBSTONES, upto, &kept);
    if (!rc && !kept)
        row->ended = upto;
    return rc;
}

static int origin_trim(struct dropper *d, const char *key, const char *origin, uint64_t upto)
{
    const struct trim_ask ask = {.registry = key, .origin = origin, .upto = upto, .max = TRIM_MAX};
    struct trim_at at = {0};
    struct dropped one = {0};
    while (!one.at_end) {
        int rc = meta_trim(d->r->o.meta, &ask, &at, &one);
        if (rc)
            return rc;
        atomic_fetch_add(&d->n_entries, one.n_entries);
        life_sleep(d->r->life, REST_MS);
        if (life_stopping(d->r->life))
            return ERR_CLOSED;
    }
    return 0;
}

static int outdone_go(struct dropper *d, const struct topology *t, struct row *row, uint64_t upto)
{
    int rc = 0;
    if (upto <= row->trimmed)
        return 0;
    for (size_t i = 0; !rc && i < t->n_regions; i++)
        rc = origin_trim(d, row->key, t->regions[i].name, upto);
    if (!rc)
        row->trimmed = upto;
    return rc;
}

// --- a registry ---

static struct settle_view view_of(const struct dropper *d, const struct horizon *everywhere)
{
    int64_t skew_ms = d->r->skew_ms;
    return (struct settle_view){.everywhere = everywhere->stamp,
                                .ahead = hlc_from_wall(clock_wall_ms() + 2 * skew_ms),
                                .mono_ms = clock_mono_ms(),
                                .lease_ms =
                                    2 * (int64_t)WORDS_LEASE_ROUNDS * d->r->o.words_every_ms};
}

static int64_t keep_ms(const struct dropper *d, const struct topology *t)
{
    if (d->r->o.drop_keep_ms)
        return d->r->o.drop_keep_ms;
    return (int64_t)t->replication.feed_keep_s * 1000;
}

static int registry_look(struct dropper *d, const struct topology *t, const struct registry *reg,
                         struct row *row)
{
    struct horizon values, tombstones;
    words_horizon(d->r->words, t, reg, &values, &tombstones);
    struct settle_view v = view_of(d, &values);
    if (d->r->o.drop_settles_at_once) {
        v.ahead = 0;
        v.lease_ms = 0;
    }
    if (settle_keep(&row->kept, values.stamp, clock_wall_ms(), keep_ms(d, t), &v.reached) &&
        keep_ms(d, t) >= SAVED_KEEP_MS)
        d->dirty = true;
    uint64_t upto = settle_step(&row->values, &v);
    int rc = values_go(d, row->key, upto);
    if (!rc)
        rc = outdone_go(d, t, row, upto);
    v.reached = tombstones.stamp;
    if (!rc)
        rc = tombstones_go(d, row, settle_step(&row->tombstones, &v));
    return rc;
}

// --- a round ---

// The rows of the registries that this region holds, as they were; the topology keeps their order, but
// for those that came and went.
static struct row *row_find(struct dropper *d, const char *key, size_t *from)
{
    for (size_t i = 0; i < d->n; i++) {
        struct row *row = &d->rows[(*from + i) % d->n];
        if (row->key && strcmp(row->key, key) == 0) {
            *from = (size_t)(row - d->rows) + 1;
            return row;
        }
    }
    return NULL;
}

static int row_make(struct dropper *d, const char *key, size_t *from, struct row *out)
{
    struct row *was = row_find(d, key, from);
    if (was) {
        *out = *was;
        was->key = NULL;
        return 0;
    }
    *out = (struct row){.key = mem_strdup(key)};
    dropper_state_get(d->saved, key, &out->kept);
    return out->key ? 0 : ERR_NOMEM;
}

static int rows_make(struct dropper *d, const struct topology *t, const struct region *self)
{
    struct row *rows = mem_zalloc_array(t->n_registries + 1, sizeof *rows);
    struct catalogue_iter it = {0};
    size_t n = 0, from = 0;
    int rc = rows ? 0 : ERR_NOMEM;
    for (const struct registry *reg; !rc && (reg = topology_next(t, &it));) {
        if (!registry_replica(reg, self->index))
            continue;
        rc = row_make(d, reg->key, &from, &rows[n]);
        n += !rc;
    }
    if (!rows)
        return rc;
    rows_free(d->rows, d->n); // what is left of them is of registries that went
    d->rows = rows;
    d->n = n;
    return rc;
}

static int steps_save(struct dropper *d)
{
    json_t *all = json_object();
    int rc = all ? 0 : ERR_NOMEM;
    for (size_t i = 0; !rc && i < d->n; i++)
        rc = dropper_state_set(all, d->rows[i].key, &d->rows[i].kept);
    if (!rc)
        rc = dropper_state_save(d->r->o.state_dir, all);
    if (!rc)
        d->dirty = false;
    json_decref(all);
    return rc;
}

static int round_with(struct dropper *d, const struct topology *t, const struct region *self)
{
    int rc = d->saved ? 0 : dropper_state_load(d->r->o.state_dir, &d->saved), failed = 0;
    if (!rc)
        rc = rows_make(d, t, self);
    for (size_t i = 0; !rc && i < d->n && !life_stopping(d->r->life); i++) {
        const struct registry *reg = topology_registry_by_key(t, d->rows[i].key);
        int one = reg ? registry_look(d, t, reg, &d->rows[i]) : 0;
        if (one && one != ERR_CLOSED)
            failed = one; // another registry may fare better
    }
    if (!rc && d->dirty)
        rc = steps_save(d);
    return rc ? rc : failed;
}

static void round_make(struct dropper *d)
{
    static struct log_limit limit = LOG_LIMIT(600000);
    struct topology *t = snapshot_get(d->r->o.topology);
    const struct region *self = t ? topology_region(t, d->r->o.region) : NULL;
    int rc = self ? round_with(d, t, self) : 0;
    snapshot_unref(t);
    if (rc && !life_stopping(d->r->life))
        log_limited(
            &limit, LOG_WARN,
            "replication: what was deleted cannot be dropped for good: %s; it is tried again",
            err_text(rc));
}

// --- the thread ---

static void *dropper_main(void *arg)
{
    struct dropper *d = arg;
    pthread_setname_np(pthread_self(), "dropper");
    while (!life_stopping(d->r->life)) {
        life_sleep(d->r->life, d->r->o.drop_every_ms);
        if (!life_stopping(d->r->life))
            round_make(d);
    }
    return NULL;
}

int dropper_start(struct dropper *d)
{
    d->started = pthread_create(&d->thread, NULL, dropper_main, d) == 0;
    return d->started ? 0 : ERR_NOMEM;
}

void dropper_stop(struct dropper *d)
{
    if (!d || !d->started)
        return;
    assert(life_stopping(d->r->life));
    pthread_join(d->thread, NULL);
    d->started = false;
}

void dropper_metrics(struct dropper *d, struct buf *out)
{
    exposition_single(out, "meridian_replication_dropped_entries_total", "counter",
                      "Entries of what was deleted that left the log for good, since the start.",
                      (double)atomic_load(&d->n_entries));
}
