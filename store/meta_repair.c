// SPDX-License-Identifier: Apache-2.0
// Mends a store that holds stamps of the future: entries that an earlier version took from a region
// that lied, what was written on top of them here, or what our own clock gave out while it was
// wrong. See meta_void.h.
//
// All entries of the future are void (meta_void.c), in every region by the same rule; so once each
// region has been repaired, they agree. Entries of others need nothing more: their feeds still have
// them, and reading stops before them. Our own acknowledged writes must not be lost with them: the
// writes that still hold are announced again, in a new epoch (meta_again.c), and the void stretch
// of our log is remembered, so that peers that have read it are told, and none of it is recovered.
//
// Invariants (design section 9)
//   1. An own write that was acknowledged, and not replaced since, is in the log afterwards, with a
//      stamp of now.
//   8. Void places are not used again: the new epoch is past all that were used.
#include "store/meta_void.h"

#include "base/err.h"
#include "store/meta_again.h"
#include "store/meta_priv.h"
#include "store/meta_report.h"

#include <assert.h>
#include <string.h>

struct repair {
    struct meta *m;
    uint64_t limit;
    bool apply;
    struct arena *a;
    struct clock_repair *out;
};

struct future { // entries of the future
    // an arena for one run
    struct arena a;
    // stamps go up within an epoch: from its first entry of the future on, all are
    struct log_stretch *stretches;
    size_t n_stretches;
    struct id_set own, others, all;
    struct report report;
};

// --- which entries ---

// Of our own stretches, or of those of others.
static int ids_read(struct tx *tx, struct future *f, bool own, struct id_set *out)
{
    struct log_stretch *list = arena_array(&f->a, f->n_stretches + 1, sizeof *list);
    size_t n = 0;
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < f->n_stretches; i++) {
        bool is_own = strcmp(f->stretches[i].origin, tx->region) == 0;
        if (is_own == own)
            list[n++] = f->stretches[i];
    }
    return survey_ids(tx, list, n, &f->a, out);
}

static int future_find(struct tx *tx, uint64_t limit, struct future *f)
{
    int rc = survey_above(tx, limit, &f->a, &f->stretches, &f->n_stretches);
    if (rc)
        return rc;
    rc = ids_read(tx, f, true, &f->own);
    if (rc)
        return rc;
    rc = ids_read(tx, f, false, &f->others);
    if (rc)
        return rc;
    return survey_ids(tx, f->stretches, f->n_stretches, &f->a, &f->all);
}

// Registers that have such a stamp, also where the log does not say why.
static int registers_find(struct tx *tx, uint64_t limit, struct future *f,
                          struct register_name **out, size_t *out_n)
{
    return survey_registers_above(tx, limit, &f->a, out, out_n);
}

static int report_begin(struct tx *tx, uint64_t limit, struct future *f)
{
    struct register_name *names;
    size_t n;
    int rc = registers_find(tx, limit, f, &names, &n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        rc = report_add_register(tx, &f->report, &names[i]);
        if (rc)
            return rc;
    }
    return report_add(tx, &f->report, &f->all);
}

// --- our own log ---

// The clock goes back to our last good entry, and the log goes on from it.
static int own_go_back(struct tx *tx, const struct future *f)
{
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    own.last = (struct feed_mark){0};
    own.stamp = 0;
    rc = survey_head_without(tx, tx->region, &f->all, &own.last, &own.stamp);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    for (size_t i = 0; i < f->n_stretches; i++) {
        const struct log_stretch *s = &f->stretches[i];
        assert(strcmp(s->origin, tx->region) != 0 || s->after_epoch < own.epoch); // 8
    }
    return own_set(tx, &own);
}

static int own_repair(struct tx *tx, struct repair *r, const struct future *f)
{
    if (!f->own.n)
        return own_go_back(tx, f);
    // 8. Epochs are numbered by the wall clock, as all new ones.
    int rc = epoch_move(tx, (uint64_t)(clock_wall_ms() / 1000));
    if (rc)
        return rc;
    rc = own_go_back(tx, f);
    if (rc)
        return rc;
    return again_announce(tx, r->m, &f->own, &f->all, r->limit, &r->out->n_again);
}

// --- the marks of others ---

// The first stretch of a feed: they come by origin, partition, epoch.
static const struct log_stretch *first_of(const struct future *f, const struct read_mark *mark)
{
    for (size_t i = 0; i < f->n_stretches; i++) {
        const struct log_stretch *s = &f->stretches[i];
        if (s->partition == mark->mark.partition && strcmp(s->origin, mark->origin) == 0)
            return s;
    }
    return NULL;
}

// To the last entry before the first one of the future.
static int mark_go_back(struct tx *tx, const char *origin, const struct log_stretch *s)
{
    struct feed_mark to,
        first = {.epoch = s->after_epoch, .partition = s->partition, .seq = s->after_seq + 1};
    int rc = log_before(tx, origin, &first, &to);
    if (rc == ERR_NOTFOUND)
        return mark_remove(tx, origin, s->partition);
    if (rc)
        return rc;
    return mark_set(tx, origin, &to);
}

static int marks_go_back(struct tx *tx, struct future *f)
{
    struct read_mark *marks;
    size_t n;
    int rc = marks_list(tx, &f->a, &marks, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        const struct log_stretch *s = first_of(f, &marks[i]);
        if (s)
            rc = mark_go_back(tx, marks[i].origin, s);
    }
    return rc;
}

// --- all of it ---

// Registers that still have a stamp of the future, though the log has none, are made anew from it.
static int odd_remake(struct tx *tx, uint64_t limit, struct future *f)
{
    struct register_name *names;
    size_t n;
    int rc = registers_find(tx, limit, f, &names, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = register_remake(tx, &names[i]);
    return rc;
}

static int future_void(struct tx *tx, struct repair *r, struct future *f)
{
    int rc = marks_go_back(tx, f);
    if (rc)
        return rc;
    rc = entries_void(tx, f->others.ids, f->others.n, VOID_AHEAD);
    if (rc)
        return rc;
    rc = entries_void(tx, f->own.ids, f->own.n, VOID_MENDED);
    if (rc)
        return rc;
    return odd_remake(tx, r->limit, f);
}

static int repair(struct tx *tx, struct repair *r, struct future *f)
{
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    *r->out = (struct clock_repair){.clock_was = own.stamp};
    rc = future_find(tx, r->limit, f);
    if (rc)
        return rc;
    r->out->n_own = f->own.n;
    rc = report_begin(tx, r->limit, f);
    if (rc)
        return rc;
    if (f->own.n || own.stamp > r->limit)
        rc = own_repair(tx, r, f);
    if (rc)
        return rc;
    rc = future_void(tx, r, f);
    if (rc)
        return rc;
    rc = report_end(tx, &f->report, r->a, &r->out->voided);
    if (rc)
        return rc;
    rc = own_lock(tx, &own);
    if (rc)
        return rc;
    r->out->clock_is = own.stamp;
    r->out->epoch = own.epoch;
    return 0;
}

static int repair_run(struct tx *tx, void *arg)
{
    struct repair *r = arg;
    struct future f = {0};
    arena_init(&f.a, 0);
    report_init(&f.report, &f.a);
    int rc = repair(tx, r, &f);
    report_done(&f.report);
    arena_done(&f.a);
    if (!rc && !r->apply)
        return ERR_CANCELED; // which takes all of it back
    return rc;
}

int meta_repair_clock(struct meta *m, bool apply, struct arena *a, struct clock_repair *out)
{
    struct clock_repair done;
    struct repair r = {.m = m, .limit = meta_stamp_limit(m), .apply = apply, .a = a, .out = &done};
    int rc = meta_write(m, repair_run, &r, false);
    if (rc == ERR_CANCELED && !apply)
        rc = 0;
    if (!rc)
        *out = done;
    return rc;
}
