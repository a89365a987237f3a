// SPDX-License-Identifier: Apache-2.0
// Void stretches of logs, as regions tell each other: which places of our own log are void
// (meta_place_void), and what another region says of its own (meta_void_origin). See meta_void.h.
#include "store/meta_void.h"

#include "base/err.h"
#include "store/meta_priv.h"
#include "store/meta_report.h"

#include <assert.h>
#include <string.h>

// --- our own log ---

static int place_void_read(struct tx *tx, const struct feed_mark *mark, struct feed_mark *out_after)
{
    char reason[VOID_REASON_SIZE];
    struct feed_mark place = *mark;
    place.partition = 0;
    int rc = void_reason(tx, tx->region, &place, reason);
    if (rc)
        return rc;
    if (strcmp(reason, VOID_MENDED) != 0)
        return ERR_NOTFOUND;
    rc = log_before(tx, tx->region, &place, out_after);
    return missing_ok(rc); // nothing before it may be left
}

int meta_place_void(struct meta *m, const struct feed_mark *mark, struct feed_mark *out_after,
                    uint64_t *out_below)
{
    struct tx *tx;
    struct feed_mark after = {0};
    if (mark->epoch >= INT64_MAX || mark->seq > INT64_MAX)
        return ERR_NOTFOUND;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = place_void_read(tx, mark, &after);
    tx_end(tx);
    if (rc)
        return rc;
    *out_after = after;
    *out_below = mark->epoch + 1;
    return 0;
}

// --- another region's ---

struct withdrawn {
    struct meta *m;
    const char *origin;
    const struct feed_mark *after;
    uint64_t below;
    struct arena *a;
    struct void_report *out;
};

// Own values of the future that stood below a tag's value which is void now had been replaced: the
// region that replaced them says so anew.
static int outdone_keep(struct tx *tx, const struct register_row *row, uint64_t limit)
{
    uint64_t before = 0;
    if (!register_is_tag(&row->name))
        return 0;
    int rc = survey_history_has(tx, &row->name, tx->region, limit);
    if (rc)
        return missing_ok(rc);
    rc = outdone_get(tx, &row->name, &before);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    return outdone_set(tx, &row->name, row->stamp > before ? row->stamp : before);
}

static int all_outdone_keep(struct tx *tx, const struct report *report, uint64_t limit)
{
    for (size_t i = 0; i < report->registers.n; i++) {
        int rc = outdone_keep(tx, &report->registers.rows[i], limit);
        if (rc)
            return rc;
    }
    return 0;
}

// The read mark goes back, if it lies in the stretch.
static int mark_go_back(struct tx *tx, const struct withdrawn *w)
{
    struct feed_mark at, to = *w->after;
    to.partition = 0;
    int rc = mark_get(tx, w->origin, 0, &at);
    if (rc)
        return missing_ok(rc);
    if (at.epoch >= w->below)
        return 0;
    if (to.seq == 0)
        return mark_remove(tx, w->origin, 0);
    if (feed_mark_order(&at, &to) <= 0)
        return 0;
    return mark_set(tx, w->origin, &to);
}

static int stretch_void(struct tx *tx, const struct withdrawn *w, struct arena *a,
                        struct report *report)
{
    struct log_stretch stretch = {.origin = w->origin,
                                  .after_epoch = w->after->epoch,
                                  .after_seq = w->after->seq,
                                  .below_epoch = w->below};
    struct id_set ids;
    assert(strcmp(w->origin, tx->region) != 0); // 8: own places are closed by a new epoch
    int rc = survey_ids(tx, &stretch, 1, a, &ids);
    if (rc)
        return rc;
    rc = report_add(tx, report, &ids);
    if (rc)
        return rc;
    rc = all_outdone_keep(tx, report, meta_stamp_limit(w->m));
    if (rc)
        return rc;
    rc = entries_void(tx, ids.ids, ids.n, VOID_WITHDRAWN);
    if (rc)
        return rc;
    rc = mark_go_back(tx, w);
    if (rc)
        return rc;
    return report_end(tx, report, w->a, w->out);
}

static int withdrawn_run(struct tx *tx, void *arg)
{
    struct arena a;
    struct report report;
    arena_init(&a, 0);
    report_init(&report, &a);
    int rc = stretch_void(tx, arg, &a, &report);
    report_done(&report);
    arena_done(&a);
    return rc;
}

int meta_void_origin(struct meta *m, const char *origin, const struct feed_mark *after,
                     uint64_t below, struct arena *a, struct void_report *out)
{
    if (strcmp(origin, m->o.region) == 0)
        return ERR_INVAL;
    if (after->epoch >= below || below > INT64_MAX || after->seq > INT64_MAX)
        return ERR_INVAL;
    struct void_report done;
    struct withdrawn w = {m, origin, after, below, a, &done};
    int rc = meta_write(m, withdrawn_run, &w, false);
    if (!rc)
        *out = done;
    return rc;
}
