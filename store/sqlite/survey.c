// SPDX-License-Identifier: Apache-2.0
// Searches of the log and the registers in SQLite. See store/backend_survey.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// Entries that count for their register.
#define COUNTS                                                                                  \
    "(f.restates=0 OR f.restates<f.stamp) AND f.refused=0 AND NOT EXISTS(SELECT 1 FROM tasks t" \
    " WHERE t.id=f.id)"
// FEED_COLUMNS without the content.
#define BARE_COLUMNS                                                                              \
    "f.id,f.origin,f.epoch,f.part,f.seq,f.stamp,f.restates,f.kind,f.registry,f.repository,f.tag," \
    "f.digest,f.media_type,f.size,f.hash,f.key,f.sig,NULL,f.version,f.body,f.refused"
#define REPOSITORY "(SELECT id FROM repositories WHERE registry=?1 AND name=?2)"

static bool id_in(const struct id_set *set, int64_t id)
{
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (set->ids[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < set->n && set->ids[low] == id;
}

// --- the log ---

static int sqlite_last_id(struct tx *tx, int64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT coalesce(max(id),0) FROM feed", "");
    if (rc)
        return rc;
    *out = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

// All rows of a statement over FEED_COLUMNS, at most max.
static int log_rows_read(struct db *d, sqlite3_stmt *st, size_t max, struct arena *a,
                         struct log_row **out, size_t *out_n)
{
    size_t n = 0, cap = 0;
    struct log_row *list = NULL;
    int rc;
    while ((rc = db_step(d, st)) == 1) {
        assert(n < max); // the statement has a LIMIT
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? feed_row(st, a, &list[n].entry) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        list[n++].id = sqlite3_column_int64(st, 0);
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_read_from(struct tx *tx, const char *origin, const struct feed_mark *from,
                            size_t max, struct arena *a, struct log_row **out, size_t *out_n)
{
    sqlite3_stmt *st;
    int rc =
        db_start(sqlite_tx_db(tx), &st,
                 "SELECT " BARE_COLUMNS
                 " FROM feed f WHERE f.origin=?1 AND f.part=?2 AND (f.epoch,f.seq)>=(?3,?4)"
                 " ORDER BY f.epoch,f.seq LIMIT ?5",
                 "siuui", origin, (int64_t)from->partition, from->epoch, from->seq, (int64_t)max);
    if (rc)
        return rc;
    return log_rows_read(sqlite_tx_db(tx), st, max, a, out, out_n);
}

static int sqlite_above(struct tx *tx, uint64_t stamp, struct arena *a, struct log_stretch **out,
                        size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    struct log_stretch *list = NULL;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT origin,part,epoch,min(seq) FROM feed WHERE stamp>?1 OR restates>?1"
                      " GROUP BY origin,part,epoch",
                      "u", stamp);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? db_text(st, 0, a, &list[n].origin) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        uint64_t epoch = (uint64_t)sqlite3_column_int64(st, 2);
        list[n].partition = (uint32_t)sqlite3_column_int(st, 1);
        list[n].after_epoch = epoch;
        list[n].after_seq = (uint64_t)sqlite3_column_int64(st, 3) - 1;
        list[n++].below_epoch = epoch + 1;
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int id_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

struct ids { // that grow
    struct arena *a;
    int64_t *list;
    size_t n, cap;
};

static int stretch_add(struct tx *tx, const struct log_stretch *s, struct ids *to)
{
    sqlite3_stmt *st;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT id FROM feed WHERE origin=?1 AND part=?2 AND (epoch,seq)>(?3,?4) AND"
                      " epoch<?5",
                      "siuuu", s->origin, (int64_t)s->partition, s->after_epoch, s->after_seq,
                      s->below_epoch);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        if (to->n == to->cap)
            to->list = db_grow(to->a, to->list, to->n, &to->cap, sizeof *to->list);
        if (!to->list) {
            db_end(st);
            return ERR_NOMEM;
        }
        to->list[to->n++] = sqlite3_column_int64(st, 0);
    }
    return rc;
}

static int sqlite_ids(struct tx *tx, const struct log_stretch *list, size_t n, struct arena *a,
                      struct id_set *out)
{
    struct ids ids = {.a = a};
    for (size_t i = 0; i < n; i++) {
        int rc = stretch_add(tx, &list[i], &ids);
        if (rc)
            return rc;
    }
    if (ids.n)
        qsort(ids.list, ids.n, sizeof *ids.list, id_order);
    *out = (struct id_set){ids.list, ids.n};
    return 0;
}

static int sqlite_head_without(struct tx *tx, const char *origin, const struct id_set *without,
                               struct feed_mark *out_mark, uint64_t *out_stamp)
{
    sqlite3_stmt *st;
    struct feed_mark mark;
    uint64_t highest = 0;
    bool found = false;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT epoch,part,seq,hash,stamp,id FROM feed WHERE origin=?1 AND part=0"
                      " ORDER BY epoch DESC,seq DESC",
                      "s", origin);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        uint64_t stamp = (uint64_t)sqlite3_column_int64(st, 4);
        if (id_in(without, sqlite3_column_int64(st, 5)))
            continue;
        if (stamp > highest)
            highest = stamp;
        if (found)
            continue;
        rc = mark_of_row(st, 0, &mark);
        if (rc) {
            db_end(st);
            return rc;
        }
        found = true;
    }
    if (rc)
        return rc;
    if (!found)
        return ERR_NOTFOUND;
    *out_mark = mark;
    *out_stamp = highest;
    return 0;
}

static int sqlite_restated(struct tx *tx, const struct feed_entry *e, int64_t up_to_id,
                           uint64_t from_epoch)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM feed WHERE restates=?1 AND restates>0 AND origin=?2 AND kind=?3"
                     " AND registry=?4 AND repository=?5 AND tag=?6 AND digest=?7 AND (id<=?8 OR"
                     " epoch>=?9)",
                     "usnsssdiu", entry_register_stamp(e), e->origin, (int)e->kind, e->registry,
                     e->repository, e->tag ? e->tag : "", &e->digest, up_to_id, from_epoch);
}

// --- what the log holds for one register ---

#define ENTRIES_OF                                                                              \
    "SELECT " BARE_COLUMNS " FROM feed f WHERE f.registry=?1 AND f.repository=?2 AND f.kind=?3" \
    " AND f.id>?4 AND " COUNTS

// Of a tag all digests count, of a manifest its own.
static int sqlite_entries_of(struct tx *tx, const struct register_name *name, enum entry_kind kind,
                             int64_t after_id, size_t max, struct arena *a, struct log_row **out,
                             size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc;
    if (name->digest.n)
        rc = db_start(d, &st, ENTRIES_OF " AND f.tag='' AND f.digest=?5 ORDER BY f.id LIMIT ?6",
                      "ssnidi", name->registry, name->repository, (int)kind, after_id,
                      &name->digest, (int64_t)max);
    else
        rc = db_start(d, &st, ENTRIES_OF " AND f.tag=?5 ORDER BY f.id LIMIT ?6", "ssnisi",
                      name->registry, name->repository, (int)kind, after_id, name->tag,
                      (int64_t)max);
    if (rc)
        return rc;
    return log_rows_read(d, st, max, a, out, out_n);
}

#define OPEN_OF                                                             \
    "SELECT 1 FROM feed f INDEXED BY feed_register WHERE f.registry=?1 AND" \
    " f.repository=?2 AND f.kind=?3 AND EXISTS(SELECT 1 FROM tasks t WHERE t.id=f.id)"

static int sqlite_open_of(struct tx *tx, const struct register_name *name, enum entry_kind kind)
{
    struct db *d = sqlite_tx_db(tx);
    if (name->digest.n)
        return db_exists(d, OPEN_OF " AND f.tag='' AND f.digest=?4 LIMIT 1", "ssnd", name->registry,
                         name->repository, (int)kind, &name->digest);
    return db_exists(d, OPEN_OF " AND f.tag=?4 LIMIT 1", "ssns", name->registry, name->repository,
                     (int)kind, name->tag);
}

static int sqlite_tag_prior(struct tx *tx, const struct register_name *tag, int64_t before_id,
                            const struct id_set *without, uint64_t *out_stamp)
{
    sqlite3_stmt *st;
    uint64_t highest = 0;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT f.id," FEED_REGISTER_STAMP " FROM feed f WHERE f.registry=?1 AND"
                      " f.repository=?2 AND f.kind IN (?3,?6) AND f.tag=?4 AND f.id<?5",
                      "ssnsin", tag->registry, tag->repository, (int)ENTRY_TAG, tag->tag, before_id,
                      (int)ENTRY_TAG_GONE);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        uint64_t stamp = (uint64_t)sqlite3_column_int64(st, 1);
        if (stamp > highest && !id_in(without, sqlite3_column_int64(st, 0)))
            highest = stamp;
    }
    if (!rc)
        *out_stamp = highest;
    return rc;
}

// --- the log, register by register ---

static int sqlite_repository_next(struct tx *tx, const char *origin, const char *registry,
                                  const char *after, struct arena *a, const char **out)
{
    sqlite3_stmt *st;
    int rc;
    if (after)
        rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT repository FROM feed INDEXED BY feed_written WHERE origin=?1 AND"
                     " registry=?2 AND repository>?3 ORDER BY repository LIMIT 1",
                     "sss", origin, registry, after);
    else
        rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT repository FROM feed INDEXED BY feed_written WHERE origin=?1 AND"
                     " registry=?2 ORDER BY repository LIMIT 1",
                     "ss", origin, registry);
    if (rc)
        return rc;
    rc = db_text(st, 0, a, out);
    db_end(st);
    return rc;
}

static int sqlite_count(struct tx *tx, const char *origin, const char *registry,
                        const struct feed_mark *upto, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT count(*) FROM feed INDEXED BY feed_written WHERE registry=?1 AND"
                     " origin=?2 AND part=0 AND (epoch,seq)<=(?3,?4)",
                     "ssuu", registry, origin, upto->epoch, upto->seq);
    if (rc)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_refused(struct tx *tx, const char *registry, size_t max, struct arena *a,
                          struct log_row **out, size_t *out_n)
{
    sqlite3_stmt *st;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT " BARE_COLUMNS " FROM feed f INDEXED BY feed_refused WHERE"
                      " f.registry=?1 AND f.refused=1 ORDER BY f.id DESC LIMIT ?2",
                      "si", registry, (int64_t)max);
    if (rc)
        return rc;
    return log_rows_read(sqlite_tx_db(tx), st, max, a, out, out_n);
}

// The digest as the row has it: one that is not said keeps its algorithm, by which rows are ordered.
static int digest_at(sqlite3_stmt *st, int col, struct digest *out)
{
    int rc = digest_maybe(st, col, out);
    const uint8_t *b = sqlite3_column_blob(st, col);
    if (!rc && !out->n && b)
        out->alg = b[0];
    return rc;
}

static int kind_rows_read(struct db *d, sqlite3_stmt *st, size_t max, struct arena *a,
                          struct log_row *list, size_t *out_n, struct kind_at *out_at)
{
    size_t n = 0;
    int rc;
    while ((rc = db_step(d, st)) == 1) {
        assert(n < max); // the statement has a LIMIT
        struct kind_at at = {.id = sqlite3_column_int64(st, 0)};
        list[n].id = at.id;
        rc = feed_row(st, a, &list[n].entry);
        if (!rc)
            rc = db_text(st, 10, a, &at.tag);
        if (!rc)
            rc = digest_at(st, 11, &at.digest);
        if (rc) {
            db_end(st);
            return rc;
        }
        *out_at = at;
        n++;
    }
    if (!rc)
        *out_n = n;
    return rc;
}

static int sqlite_kind_next(struct tx *tx, const struct kind_query *q, const struct kind_at *after,
                            size_t max, struct arena *a, struct log_row **out, size_t *out_n,
                            struct kind_at *out_at)
{
    struct db *d = sqlite_tx_db(tx);
    struct log_row *list = arena_array(a, max + 1, sizeof *list);
    struct kind_at at = *after;
    sqlite3_stmt *st;
    size_t n = 0;
    if (!list)
        return ERR_NOMEM;
    int rc =
        db_start(d, &st,
                 "SELECT " BARE_COLUMNS " FROM feed f INDEXED BY feed_written WHERE"
                 " f.registry=?1 AND f.repository=?2 AND f.kind=?3 AND (f.tag,f.digest,f.id)>"
                 "(?4,?5,?6) AND f.origin=?7 AND f.part=0 AND (f.epoch,f.seq)<=(?8,?9)"
                 " AND f.refused=0"
                 " ORDER BY f.tag,f.digest,f.id LIMIT ?10",
                 "ssnsdisuui", q->registry, q->repository, (int)q->kind, after->tag, &after->digest,
                 after->id, q->origin, q->upto.epoch, q->upto.seq, (int64_t)max);
    if (!rc)
        rc = kind_rows_read(d, st, max, a, list, &n, &at);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    *out_at = at;
    return 0;
}

// --- registers ---

static int name_of_row(sqlite3_stmt *st, struct arena *a, struct register_name *out)
{
    struct register_name r = {.lock = sqlite3_column_int(st, 4)};
    int rc = db_text(st, 0, a, &r.registry);
    if (!rc)
        rc = db_text(st, 1, a, &r.repository);
    if (!rc)
        rc = db_text(st, 2, a, &r.tag);
    if (!rc)
        rc = digest_maybe(st, 3, &r.digest);
    if (!rc)
        *out = r;
    return rc;
}

static int sqlite_registers_above(struct tx *tx, uint64_t stamp, struct arena *a,
                                  struct register_name **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    struct register_name *list = NULL;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT r.registry,r.name,x.tag,x.digest,x.lock FROM (SELECT repo,tag,"
                      "x'' AS digest,0 AS lock FROM tag_history WHERE stamp>?1 UNION SELECT repo,"
                      "tag,x'',0 FROM tags WHERE stamp>?1 OR gone_stamp>?1 UNION SELECT repo,'',"
                      "digest,0 FROM manifests WHERE stamp>?1 OR gone_stamp>?1 OR killed>?1 UNION"
                      " SELECT repo,tag,digest,1 FROM attributes WHERE stamp>?1) x"
                      " JOIN repositories r ON r.id=x.repo",
                      "u", stamp);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? name_of_row(st, a, &list[n]) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int names_read(struct db *d, sqlite3_stmt *st, size_t max, struct arena *a,
                      struct register_name **out, size_t *out_n)
{
    size_t n = 0;
    int rc;
    struct register_name *list = arena_array(a, max + 1, sizeof *list);
    if (!list) {
        db_end(st);
        return ERR_NOMEM;
    }
    while ((rc = db_step(d, st)) == 1) {
        assert(n < max); // the statement has a LIMIT
        rc = name_of_row(st, a, &list[n]);
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int sqlite_dead(struct tx *tx, const struct dead_query *q, size_t max, struct arena *a,
                       struct register_name **out, size_t *out_n)
{
    static const struct register_name first = {.repository = "", .tag = ""};
    const struct register_name *after = q->after ? q->after : &first;
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc;
    if (q->tags)
        rc = db_start(d, &st,
                      "SELECT r.registry,r.name,t.tag,x'',0 FROM repositories r CROSS JOIN tags t"
                      " INDEXED BY tags_dead ON t.repo=r.id WHERE r.registry=?1 AND r.name>=?2 AND"
                      " (r.name>?2 OR t.tag>?3) AND t.live=0 AND t.stamp<=?4 AND t.gone_stamp<=?4"
                      " ORDER BY r.name,t.tag LIMIT ?5",
                      "sssui", q->registry, after->repository, after->tag, q->upto, (int64_t)max);
    else
        rc = db_start(
            d, &st,
            "SELECT r.registry,r.name,'',m.digest,0 FROM repositories r CROSS JOIN"
            " manifests m INDEXED BY manifests_dead ON m.repo=r.id WHERE r.registry=?1 AND"
            " r.name>=?2 AND (r.name>?2 OR m.digest>?3) AND m.live=0 AND m.stamp<=?4 AND"
            " m.gone_stamp<=?4 ORDER BY r.name,m.digest LIMIT ?5",
            "ssdui", q->registry, after->repository, &after->digest, q->upto, (int64_t)max);
    if (rc)
        return rc;
    return names_read(d, st, max, a, out, out_n);
}

static int sqlite_history_highest(struct tx *tx, const struct register_name *tag, uint64_t at_most,
                                  uint64_t *out_stamp)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT coalesce(max(stamp),0) FROM tag_history WHERE repo=" REPOSITORY
                     " AND tag=?3 AND stamp<=?4",
                     "sssu", tag->registry, tag->repository, tag->tag, at_most);
    if (rc)
        return rc;
    *out_stamp = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_history_has(struct tx *tx, const struct register_name *tag, const char *origin,
                              uint64_t above_stamp)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM tag_history WHERE repo=" REPOSITORY
                     " AND tag=?3 AND origin=?4 AND stamp>?5 LIMIT 1",
                     "ssssu", tag->registry, tag->repository, tag->tag, origin, above_stamp);
}

const struct survey_ops sqlite_survey_ops = {
    .last_id = sqlite_last_id,
    .read_from = sqlite_read_from,
    .above = sqlite_above,
    .ids = sqlite_ids,
    .head_without = sqlite_head_without,
    .restated = sqlite_restated,
    .entries_of = sqlite_entries_of,
    .open_of = sqlite_open_of,
    .tag_prior = sqlite_tag_prior,
    .registers_above = sqlite_registers_above,
    .history_highest = sqlite_history_highest,
    .history_has = sqlite_history_has,
    .repository_next = sqlite_repository_next,
    .count = sqlite_count,
    .kind_next = sqlite_kind_next,
    .refused = sqlite_refused,
    .dead = sqlite_dead,
};
