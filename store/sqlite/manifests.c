// SPDX-License-Identifier: Apache-2.0
// Manifests in SQLite: the tables `manifests`, `manifest_refs`, `untagged` and `attributes`. See
// store/backend_manifests.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"
#include "store/manifest.h"

#include <string.h>

static int sqlite_manifest_visible(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM manifests WHERE repo=?1 AND digest=?2 AND live=1", "id", repo,
                     digest);
}

static int content_is_here(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM manifests WHERE repo=?1 AND digest=?2 AND size>0", "id", repo,
                     digest);
}

static int blob_linked(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM links WHERE repo=?1 AND digest=?2", "id",
                     repo, digest);
}

int text_copy(sqlite3_stmt *st, int col, char *out, size_t size)
{
    const char *s = (const char *)sqlite3_column_text(st, col);
    if (!s || strlen(s) >= size)
        return ERR_CORRUPT;
    memcpy(out, s, strlen(s) + 1);
    return 0;
}

int register_row(sqlite3_stmt *st, int col, struct register_now *out)
{
    int rc = text_copy(st, col + 1, out->origin, sizeof out->origin);
    if (rc)
        return rc;
    out->value = (struct register_value){.stamp = (uint64_t)sqlite3_column_int64(st, col),
                                         .origin = out->origin,
                                         .epoch = (uint64_t)sqlite3_column_int64(st, col + 2)};
    return 0;
}

int digest_maybe(sqlite3_stmt *st, int col, struct digest *out)
{
    *out = (struct digest){0};
    if (sqlite3_column_bytes(st, col) < 2) // the algorithm alone
        return 0;
    return db_digest(st, col, out);
}

#define MANIFEST_COLUMNS                                                                          \
    "stamp,origin,epoch,gone_stamp,gone_origin,gone_epoch,media_type,by,absent,killed,size,live," \
    "died_ms"

static int manifest_now_read(sqlite3_stmt *st, struct manifest_now *out)
{
    int rc = register_row(st, 0, &out->value);
    if (!rc)
        rc = register_row(st, 3, &out->gone);
    if (!rc)
        rc = text_copy(st, 6, out->media_type, sizeof out->media_type);
    if (!rc)
        rc = text_copy(st, 7, out->by, sizeof out->by);
    if (rc)
        return rc;
    const void *absent = sqlite3_column_blob(st, 8);
    out->n_absent = (size_t)sqlite3_column_bytes(st, 8);
    if (out->n_absent > ABSENT_MAX)
        return ERR_CORRUPT;
    if (out->n_absent)
        memcpy(out->absent, absent, out->n_absent);
    out->value.value.digest = out->gone.value.digest = out->digest;
    out->gone.value.gone = true;
    out->killed = (uint64_t)sqlite3_column_int64(st, 9);
    out->size = (uint64_t)sqlite3_column_int64(st, 10);
    out->here = out->size > 0;
    out->live = sqlite3_column_int(st, 11);
    out->died_ms = sqlite3_column_int64(st, 12);
    return 0;
}

static int sqlite_manifest_look(struct tx *tx, int64_t repo, const struct digest *digest,
                                struct manifest_now *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT " MANIFEST_COLUMNS " FROM manifests WHERE repo=?1 AND digest=?2", "id",
                     repo, digest);
    if (rc)
        return rc;
    out->digest = *digest;
    rc = manifest_now_read(st, out);
    db_end(st);
    return rc;
}

static int sqlite_manifest_size(struct tx *tx, int64_t repo, const struct digest *digest,
                                uint64_t *out_size)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT size FROM manifests WHERE repo=?1 AND digest=?2", "id", repo, digest);
    if (rc)
        return rc;
    *out_size = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

// Most rows come in new and with their content.
static int sqlite_manifest_save(struct tx *tx, int64_t repo, const struct manifest_now *m,
                                struct bytes content)
{
    const struct register_value *v = &m->value.value, *g = &m->gone.value;
    const void *absent = NULL;
    if (m->n_absent)
        absent = m->absent;
    if (!content.n)
        return db_run(
            sqlite_write_db(tx),
            "INSERT INTO manifests(repo,digest,stamp,origin,epoch,gone_stamp,gone_origin,"
            "gone_epoch,media_type,by,absent,killed,live,died_ms,size,content)"
            " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,0,x'')"
            " ON CONFLICT(repo,digest) DO UPDATE SET stamp=?3,origin=?4,epoch=?5,gone_stamp=?6,"
            "gone_origin=?7,gone_epoch=?8,media_type=?9,by=?10,absent=?11,killed=?12,live=?13,"
            "died_ms=?14",
            "idusuususs"
            "buni",
            repo, &m->digest, v->stamp, v->origin, v->epoch, g->stamp, g->origin, g->epoch,
            m->media_type, m->by, absent, m->n_absent, m->killed, (int)m->live, m->died_ms);
    return db_run(sqlite_write_db(tx),
                  "INSERT INTO manifests(repo,digest,stamp,origin,epoch,gone_stamp,gone_origin,"
                  "gone_epoch,media_type,by,absent,killed,live,died_ms,size,content)"
                  " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)"
                  " ON CONFLICT(repo,digest) DO UPDATE SET stamp=?3,origin=?4,epoch=?5,"
                  "gone_stamp=?6,gone_origin=?7,gone_epoch=?8,media_type=?9,by=?10,absent=?11,"
                  "killed=?12,live=?13,died_ms=?14,size=?15,content=?16",
                  "idusuususs"
                  "buniub",
                  repo, &m->digest, v->stamp, v->origin, v->epoch, g->stamp, g->origin, g->epoch,
                  m->media_type, m->by, absent, m->n_absent, m->killed, (int)m->live, m->died_ms,
                  (uint64_t)content.n, (const void *)content.p, content.n);
}

static int refs_remove(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_run(sqlite_write_db(tx), "DELETE FROM manifest_refs WHERE repo=?1 AND parent=?2",
                  "id", repo, digest);
}

static int sqlite_manifest_empty(struct tx *tx, int64_t repo, const struct digest *digest)
{
    int rc = db_run(sqlite_write_db(tx),
                    "UPDATE manifests SET size=0,content=x'' WHERE repo=?1 AND digest=?2", "id",
                    repo, digest);
    if (rc)
        return rc;
    return refs_remove(tx, repo, digest);
}

static int sqlite_manifest_remove(struct tx *tx, int64_t repo, const struct digest *digest)
{
    int rc = db_run(sqlite_write_db(tx), "DELETE FROM manifests WHERE repo=?1 AND digest=?2", "id",
                    repo, digest);
    if (rc)
        return rc;
    return refs_remove(tx, repo, digest);
}

// --- what leads to it, and to what it leads ---

static int sqlite_manifest_led(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM tags WHERE repo=?1 AND digest=?2 AND live=1 LIMIT 1", "id",
                     repo, digest);
}

#define LIVE_PARENTS                                                          \
    "manifest_refs x JOIN manifests p ON p.repo=x.repo AND p.digest=x.parent" \
    " WHERE x.repo=?1 AND x.child=?2 AND x.kind=?3 AND x.absent=0 AND p.live=1"

static int sqlite_manifest_held(struct tx *tx, int64_t repo, const struct digest *digest)
{
    return db_exists(sqlite_tx_db(tx), "SELECT 1 FROM " LIVE_PARENTS " LIMIT 1", "idn", repo,
                     digest, (int)REF_MANIFEST);
}

static int digests_read(struct db *d, sqlite3_stmt *st, struct digest *list, size_t *out_n)
{
    size_t n = 0;
    int rc;
    while ((rc = db_step(d, st)) == 1) {
        rc = db_digest(st, 0, &list[n]);
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (!rc)
        *out_n = n;
    return rc;
}

static int sqlite_dead_parents(struct tx *tx, int64_t repo, const struct digest *child, size_t max,
                               struct arena *a, struct digest **out, size_t *out_n)
{
    sqlite3_stmt *st;
    struct digest *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT DISTINCT x.parent FROM manifest_refs x JOIN manifests p ON"
                      " p.repo=x.repo AND p.digest=x.parent WHERE x.repo=?1 AND x.child=?2 AND"
                      " p.live=0 AND p.size>0 ORDER BY x.parent LIMIT ?3",
                      "idi", repo, child, limit_of(max));
    if (!rc)
        rc = digests_read(sqlite_tx_db(tx), st, list, out_n);
    if (!rc)
        *out = list;
    return rc;
}

static int sqlite_manifest_parents(struct tx *tx, int64_t repo, const struct digest *digest,
                                   size_t max, struct arena *a, struct digest **out, size_t *out_n)
{
    sqlite3_stmt *st;
    struct digest *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT x.parent FROM " LIVE_PARENTS " ORDER BY x.parent LIMIT ?4", "idni",
                      repo, digest, (int)REF_MANIFEST, limit_of(max));
    if (!rc)
        rc = digests_read(sqlite_tx_db(tx), st, list, out_n);
    if (!rc)
        *out = list;
    return rc;
}

static int child_read(sqlite3_stmt *st, struct child_row *out)
{
    *out = (struct child_row){.there = sqlite3_column_type(st, 1) != SQLITE_NULL,
                              .here = sqlite3_column_int64(st, 1) > 0,
                              .live = sqlite3_column_int(st, 2),
                              .asserted = sqlite3_column_int(st, 3)};
    return db_digest(st, 0, &out->digest);
}

static int sqlite_manifest_children(struct tx *tx, int64_t repo, const struct digest *digest,
                                    struct arena *a, struct child_row **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    struct child_row *list = NULL;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT x.child,c.size,c.live,(c.stamp,c.origin,c.epoch)>(c.gone_stamp,"
                      "c.gone_origin,c.gone_epoch) FROM manifest_refs x LEFT JOIN manifests c ON"
                      " c.repo=x.repo AND c.digest=x.child WHERE x.repo=?1 AND x.parent=?2 AND"
                      " x.kind=?3 AND x.absent=0",
                      "idn", repo, digest, (int)REF_MANIFEST);
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? child_read(st, &list[n]) : ERR_NOMEM;
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

static int died_read(sqlite3_stmt *st, struct arena *a, struct died_row *out)
{
    int rc = db_digest(st, 0, &out->digest);
    if (rc)
        return rc;
    out->repo = sqlite3_column_int64(st, 1);
    out->died_ms = sqlite3_column_int64(st, 2);
    out->size = (uint64_t)sqlite3_column_int64(st, 5);
    rc = db_text(st, 3, a, &out->registry);
    if (rc)
        return rc;
    return db_text(st, 4, a, &out->repository);
}

static int sqlite_manifests_died(struct tx *tx, int64_t before_ms, size_t max, struct arena *a,
                                 struct died_row **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct died_row *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT m.digest,m.repo,m.died_ms,r.registry,r.name,m.size FROM manifests m "
                      "JOIN repositories r ON r.id=m.repo WHERE m.live=0 AND m.size>0 AND"
                      " m.died_ms<=?1 ORDER BY m.died_ms LIMIT ?2",
                      "ii", before_ms, limit_of(max));
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = died_read(st, a, &list[n]);
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

// --- pulling ---

int manifest_row_read(sqlite3_stmt *st, struct arena *a, struct manifest_row *out)
{
    struct manifest_row r = {.stamp = (uint64_t)sqlite3_column_int64(st, 3),
                             .epoch = (uint64_t)sqlite3_column_int64(st, 5)};
    int rc = db_digest(st, 0, &r.digest);
    if (rc)
        return rc;
    rc = db_text(st, 1, a, &r.media_type);
    if (rc)
        return rc;
    rc = db_text(st, 4, a, &r.origin);
    if (rc)
        return rc;
    rc = db_blob(st, 2, a, &r.content);
    if (rc)
        return rc;
    if (!r.media_type || !r.origin)
        return ERR_CORRUPT;
    *out = r;
    return 0;
}

static int sqlite_manifest_get(struct tx *tx, const char *registry, const char *repository,
                               const char *tag, const struct digest *digest, struct arena *a,
                               struct manifest_row *out)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    int rc;
    if (tag)
        rc = db_find(d, &st,
                     "SELECT m.digest,m.media_type,m.content,t.stamp,t.origin,t.epoch FROM "
                     "repositories r JOIN tags t ON t.repo=r.id"
                     " JOIN manifests m ON m.repo=r.id AND m.digest=t.digest"
                     " WHERE r.registry=?1 AND r.name=?2 AND t.tag=?3 AND t.live=1",
                     "sss", registry, repository, tag);
    else
        rc = db_find(
            d, &st,
            "SELECT m.digest,m.media_type,m.content,m.stamp,m.origin,m.epoch FROM repositories r"
            " JOIN manifests m ON m.repo=r.id WHERE r.registry=?1 AND r.name=?2 AND m.digest=?3"
            " AND m.live=1",
            "ssd", registry, repository, digest);
    if (rc)
        return rc;
    rc = manifest_row_read(st, a, out);
    db_end(st);
    return rc;
}

static int sqlite_manifest_content(struct tx *tx, const char *registry, const char *repository,
                                   const struct digest *d, struct arena *a, struct bytes *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT m.content FROM manifests m JOIN repositories r ON r.id=m.repo"
                     " WHERE r.registry=?1 AND r.name=?2 AND m.digest=?3 AND m.size>0",
                     "ssd", registry, repository, d);
    if (rc)
        return rc;
    rc = db_blob(st, 0, a, out);
    db_end(st);
    return rc;
}

// --- references ---

static int ref_add(struct tx *tx, int64_t repo, const struct digest *parent,
                   const struct manifest_ref *ref, bool absent)
{
    return db_run(sqlite_write_db(tx),
                  "INSERT INTO manifest_refs(repo,parent,child,kind,absent) VALUES(?1,?2,?3,?4,?5)"
                  " ON CONFLICT DO UPDATE SET absent=?5 WHERE absent<>?5",
                  "iddnn", repo, parent, &ref->digest, (int)ref->kind, (int)absent);
}

// From the last to the first, so that the first place of a child counts.
static int sqlite_refs_add(struct tx *tx, int64_t repo, const struct digest *parent,
                           const struct manifest_ref *refs, size_t n, const uint8_t *absent,
                           size_t n_absent)
{
    int rc = 0;
    size_t child = 0;
    for (size_t i = 0; i < n; i++)
        child += refs[i].kind == REF_MANIFEST;
    for (size_t i = n; !rc && i > 0; i--) {
        const struct manifest_ref *ref = &refs[i - 1];
        child -= ref->kind == REF_MANIFEST;
        bool is_absent = ref->kind == REF_MANIFEST && absent_has(absent, n_absent, child);
        rc = ref_add(tx, repo, parent, ref, is_absent);
    }
    return rc;
}

static int child_check(struct tx *tx, int64_t repo, const struct digest *child, size_t at,
                       const struct refs_how *how)
{
    if (absent_has(how->absent, how->n_absent, at))
        return 0;
    if (how->recorded)
        return content_is_here(tx, repo, child);
    return sqlite_manifest_visible(tx, repo, child);
}

static int sqlite_refs_check(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
                             const struct refs_how *how, struct digest *out_missing)
{
    size_t child = 0;
    for (size_t i = 0; i < n; i++) {
        int rc = 0;
        if (refs[i].kind == REF_BLOB)
            rc = blob_linked(tx, repo, &refs[i].digest);
        else if (refs[i].kind == REF_MANIFEST)
            rc = child_check(tx, repo, &refs[i].digest, child++, how);
        if (rc == ERR_NOTFOUND)
            *out_missing = refs[i].digest;
        if (rc)
            return rc;
    }
    return 0;
}

static int unasserted_read(sqlite3_stmt *st, struct arena *a, struct unasserted_row *out)
{
    int rc = db_digest(st, 0, &out->digest);
    if (rc)
        return rc;
    out->size = (uint64_t)sqlite3_column_int64(st, 2);
    out->stamp = (uint64_t)sqlite3_column_int64(st, 3);
    return db_text(st, 1, a, &out->media_type);
}

static int sqlite_unasserted_below(struct tx *tx, int64_t repo, const struct digest *parent,
                                   int max_depth, const struct log_assertion *by, struct arena *a,
                                   struct unasserted_row **out, size_t *out_n)
{
    struct db *d = sqlite_tx_db(tx);
    struct unasserted_row *list = NULL;
    size_t n = 0, cap = 0;
    sqlite3_stmt *st;
    int rc = db_start(
        d, &st,
        "WITH RECURSIVE below(d,depth) AS (SELECT ?2,0 UNION SELECT x.child,depth+1 FROM below"
        " JOIN manifest_refs x ON x.repo=?1 AND x.parent=d AND x.kind=?3 AND x.absent=0"
        " JOIN manifests c ON c.repo=?1 AND c.digest=x.child AND c.live=1 WHERE depth<?4 AND"
        " NOT EXISTS (SELECT 1 FROM feed f WHERE f.registry=?5 AND f.repository=?6 AND f.kind=?7"
        "  AND f.tag='' AND f.digest=x.child AND f.origin=?8 AND f.key=?9 AND"
        "  (" FEED_REGISTER_STAMP ",f.origin,f.epoch)>(c.gone_stamp,c.gone_origin,c.gone_epoch)))"
        " SELECT m.digest,m.media_type,m.size,m.stamp FROM below JOIN manifests m ON m.repo=?1 "
        "AND"
        " m.digest=d WHERE depth>0 GROUP BY d ORDER BY max(depth) DESC",
        "idnnssnss", repo, parent, (int)REF_MANIFEST, max_depth, by->registry, by->repository,
        (int)ENTRY_MANIFEST, tx->region, by->key);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? unasserted_read(st, a, &list[n]) : ERR_NOMEM;
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

// --- what lists ask ---

static int sqlite_untagged_set(struct tx *tx, int64_t repo, const struct digest *digest,
                               int64_t now_ms)
{
    return db_run(sqlite_write_db(tx),
                  "INSERT INTO untagged(repo,digest,since_ms) VALUES(?1,?2,?3)"
                  " ON CONFLICT DO UPDATE SET since_ms=?3",
                  "idi", repo, digest, now_ms);
}

#define DETAILS                                                                              \
    "SELECT m.digest,m.media_type,m.size,m.stamp,m.origin,m.epoch,m.by,x.child,s.live,"      \
    "coalesce(u.since_ms,0) FROM manifests m LEFT JOIN manifest_refs x ON x.repo=m.repo AND" \
    " x.parent=m.digest AND x.kind=?3 LEFT JOIN manifests s ON s.repo=m.repo AND"            \
    " s.digest=x.child LEFT JOIN untagged u ON u.repo=m.repo AND u.digest=m.digest"          \
    " WHERE m.repo=?1 AND m.live=1"

static int detail_read(sqlite3_stmt *st, struct arena *a, struct manifest_detail *out)
{
    struct manifest_detail d = {.size = (uint64_t)sqlite3_column_int64(st, 2),
                                .stamp = (uint64_t)sqlite3_column_int64(st, 3),
                                .epoch = (uint64_t)sqlite3_column_int64(st, 5),
                                .untagged_ms = sqlite3_column_int64(st, 9)};
    int rc = db_digest(st, 0, &d.digest);
    if (!rc)
        rc = db_text(st, 1, a, &d.media_type);
    if (!rc)
        rc = db_text(st, 4, a, &d.origin);
    if (!rc)
        rc = db_text(st, 6, a, &d.by);
    if (!rc)
        rc = digest_maybe(st, 7, &d.subject);
    if (rc)
        return rc;
    d.has_subject = d.subject.n > 0;
    d.subject_live = sqlite3_column_int(st, 8);
    *out = d;
    return 0;
}

static int sqlite_manifest_details(struct tx *tx, int64_t repo, const struct digest *after,
                                   size_t max, struct arena *a, struct manifest_detail **out,
                                   size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0;
    struct manifest_detail *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = db_start(sqlite_tx_db(tx), &st, DETAILS " AND m.digest>?2 ORDER BY m.digest LIMIT ?4",
                      "idni", repo, after, (int)REF_SUBJECT, limit_of(max));
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = detail_read(st, a, &list[n]);
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

static int sqlite_manifest_detail(struct tx *tx, int64_t repo, const struct digest *digest,
                                  struct arena *a, struct manifest_detail *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, DETAILS " AND m.digest=?2", "idn", repo, digest,
                     (int)REF_SUBJECT);
    if (rc)
        return rc;
    rc = detail_read(st, a, out);
    db_end(st);
    return rc;
}

// --- locks ---

#define LOCKED "locked"
enum lock_flags { LOCK_WRITE = 1, LOCK_DELETE = 2 };

static int sqlite_lock_get(struct tx *tx, int64_t repo, const struct subject *s,
                           struct lock_now *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT stamp,origin,epoch,flags,by FROM attributes WHERE repo=?1 AND tag=?2"
                     " AND digest=?3 AND attribute='" LOCKED "'",
                     "isd", repo, s->tag, &s->digest);
    if (rc)
        return rc;
    rc = register_row(st, 0, &out->value);
    if (!rc)
        rc = text_copy(st, 4, out->by, sizeof out->by);
    out->write = sqlite3_column_int(st, 3) & LOCK_WRITE;
    out->del = sqlite3_column_int(st, 3) & LOCK_DELETE;
    db_end(st);
    return rc;
}

static int sqlite_lock_save(struct tx *tx, int64_t repo, const struct subject *s,
                            const struct lock_now *l)
{
    const struct register_value *v = &l->value.value;
    int flags = 0;
    if (l->write)
        flags |= LOCK_WRITE;
    if (l->del)
        flags |= LOCK_DELETE;
    return db_run(sqlite_write_db(tx),
                  "INSERT INTO attributes(repo,tag,digest,attribute,stamp,origin,epoch,flags,by)"
                  " VALUES(?1,?2,?3,'" LOCKED "',?4,?5,?6,?7,?8) ON CONFLICT DO UPDATE SET"
                  " stamp=?4,origin=?5,epoch=?6,flags=?7,by=?8",
                  "isdusuns", repo, s->tag, &s->digest, v->stamp, v->origin, v->epoch, flags,
                  l->by);
}

static int sqlite_lock_remove(struct tx *tx, int64_t repo, const struct subject *s)
{
    return db_run(sqlite_write_db(tx),
                  "DELETE FROM attributes WHERE repo=?1 AND tag=?2 AND digest=?3 AND"
                  " attribute='" LOCKED "'",
                  "isd", repo, s->tag, &s->digest);
}

const struct manifest_ops sqlite_manifest_ops = {
    .manifest_visible = sqlite_manifest_visible,
    .manifest_look = sqlite_manifest_look,
    .manifest_size = sqlite_manifest_size,
    .manifest_save = sqlite_manifest_save,
    .manifest_empty = sqlite_manifest_empty,
    .manifest_remove = sqlite_manifest_remove,
    .manifest_get = sqlite_manifest_get,
    .manifest_content = sqlite_manifest_content,
    .refs_add = sqlite_refs_add,
    .refs_check = sqlite_refs_check,
    .unasserted_below = sqlite_unasserted_below,
    .manifest_led = sqlite_manifest_led,
    .manifest_held = sqlite_manifest_held,
    .manifest_parents = sqlite_manifest_parents,
    .manifest_children = sqlite_manifest_children,
    .manifests_died = sqlite_manifests_died,
    .dead_parents = sqlite_dead_parents,
    .manifest_details = sqlite_manifest_details,
    .manifest_detail = sqlite_manifest_detail,
    .untagged_set = sqlite_untagged_set,
    .lock_get = sqlite_lock_get,
    .lock_save = sqlite_lock_save,
    .lock_remove = sqlite_lock_remove,
};
