// SPDX-License-Identifier: Apache-2.0
// Registers made anew from the log, when entries that they may rest on are void (meta_void.c).
// Writer thread, inside its transaction. See meta_priv.h.
//
// Invariants (design section 9)
//   2. A tag falls back only to a manifest that is visible; a manifest goes only when no tag and no
//      index leads to it.
//   3. What a register becomes depends on the log alone, not on the order in which entries came or
//      were voided: of all that is left of it the highest wins. The log is never trimmed, so the
//      bound of a tag's history does not matter.
#include "store/meta_priv.h"

#include "base/err.h"

#include <string.h>

// Applied rows of the log that count.
#define COUNTS \
    "(f.restates=0 OR f.restates<f.stamp) AND NOT EXISTS(SELECT 1 FROM jobs j WHERE j.id=f.id)"

// --- a manifest's presence ---

static int reached(struct tx *tx, int64_t repo, const struct digest *digest)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT 1 FROM tags WHERE repo=?1 AND digest=?2 UNION ALL"
        " SELECT 1 FROM manifest_refs r JOIN manifests p ON p.repo=r.repo AND p.digest=r.parent"
        "  WHERE r.repo=?1 AND r.child=?2 AND r.kind=?3",
        "idn", repo, digest, (int)REF_MANIFEST);
    if (!rc)
        db_end(st);
    return rc;
}

static int unasserted(struct tx *tx, int64_t repo, const struct digest *digest)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT 1 FROM manifests WHERE repo=?1 AND digest=?2 AND stamp=0", "id", repo,
                     digest);
    if (!rc)
        db_end(st);
    return rc;
}

struct digests {
    struct arena *a;
    struct digest *list;
    size_t n, cap;
};

static int digests_add(struct digests *l, const struct digest *d)
{
    if (l->n == l->cap) { // the old array stays behind in the arena: at most as much again
        size_t cap = 16;
        if (l->cap)
            cap = 2 * l->cap;
        struct digest *more = arena_array(l->a, cap, sizeof *more);
        if (!more)
            return ERR_NOMEM;
        if (l->n)
            memcpy(more, l->list, l->n * sizeof *more);
        l->list = more;
        l->cap = cap;
    }
    l->list[l->n++] = *d;
    return 0;
}

static int children_add(struct tx *tx, int64_t repo, const struct digest *parent, struct digests *l)
{
    sqlite3_stmt *st;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT child FROM manifest_refs WHERE repo=?1 AND parent=?2 AND kind=?3",
                      "idn", repo, parent, (int)REF_MANIFEST);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        struct digest d;
        rc = db_digest(st, 0, &d);
        if (!rc)
            rc = digests_add(l, &d);
        if (rc)
            db_end(st);
    }
    return rc;
}

int presence_settle(struct tx *tx, int64_t repo, const struct digest *digest)
{
    int rc = unasserted(tx, repo, digest);
    if (rc) {
        if (rc == ERR_NOTFOUND) // as a rule
            return 0;
        return rc;
    }
    struct arena a;
    arena_init(&a, 0);
    struct digests l = {.a = &a};
    rc = digests_add(&l, digest);
    for (size_t i = 0; !rc && i < l.n; i++) {
        struct digest d = l.list[i];
        rc = unasserted(tx, repo, &d);
        bool may_go = rc == 0;
        if (may_go)
            rc = reached(tx, repo, &d);
        bool goes = may_go && rc == ERR_NOTFOUND;
        if (rc == ERR_NOTFOUND)
            rc = 0;
        if (!rc && goes)
            rc = children_add(tx, repo, &d, &l); // they may have hung on it alone
        if (!rc && goes)
            rc = manifest_remove(tx, repo, &d);
        if (!rc && goes)
            tx->notify = true;
    }
    arena_done(&a);
    return rc;
}

int presence_remake(struct tx *tx, int64_t repo, const char *registry, const char *repository,
                    const struct digest *digest)
{
    // Without an assertion: no value, below all. It stays for as long as a tag or an index leads to
    // it.
    int rc = db_run(sqlite_tx_db(tx),
                    "UPDATE manifests SET stamp=0,origin='',epoch=0 WHERE repo=?1 AND digest=?2",
                    "id", repo, digest);
    if (!rc)
        rc = db_run(
            sqlite_tx_db(tx),
            "UPDATE manifests SET "
            "(stamp,origin,epoch,media_type)=(best.s,best.origin,best.epoch,best.media_type) FROM"
            " (SELECT " FEED_REGISTER_STAMP
            " AS s,f.origin,f.epoch,f.media_type FROM feed f WHERE f.registry=?3 AND"
            "  f.repository=?4 AND f.kind=?5 AND f.tag='' AND f.digest=?2 AND " COUNTS
            "  ORDER BY 1 DESC,2 DESC,3 DESC,4 DESC LIMIT 1) best WHERE repo=?1 AND digest=?2",
            "idssn", repo, digest, registry, repository, (int)ENTRY_MANIFEST);
    tx->notify = true;
    if (rc)
        return rc;
    return presence_settle(tx, repo, digest);
}

// --- a tag ---

static int history_remake(struct tx *tx, int64_t repo, const char *registry, const char *repository,
                          const char *tag)
{
    int rc = db_run(sqlite_tx_db(tx), "DELETE FROM tag_history WHERE repo=?1 AND tag=?2", "is",
                    repo, tag);
    if (rc)
        return rc;
    return db_run(sqlite_tx_db(tx),
                  "INSERT INTO tag_history(repo,tag,stamp,origin,digest,epoch)"
                  " SELECT ?1,?2," FEED_REGISTER_STAMP
                  " AS s,f.origin,f.digest,max(f.epoch) AS e FROM feed f WHERE"
                  "  f.registry=?3 AND f.repository=?4 AND f.kind=?5 AND f.tag=?2 AND " COUNTS
                  "  GROUP BY s,f.origin,f.digest ORDER BY s DESC,f.origin DESC,e DESC,f.digest "
                  "DESC LIMIT ?6",
                  "isssnn", repo, tag, registry, repository, (int)ENTRY_TAG, META_HISTORY_MAX);
}

// What lies above the value that is shown waits for its manifest, as when it was read.
static int jobs_remake(struct tx *tx, int64_t repo, const char *registry, const char *repository,
                       const char *tag)
{
    return db_run(
        sqlite_tx_db(tx),
        "INSERT OR IGNORE INTO jobs(id,origin,epoch,part,seq,stamp,registry,repository,due_ms)"
        " SELECT f.id,f.origin,f.epoch,f.part,f.seq,f.stamp,f.registry,f.repository,0 FROM feed f "
        "WHERE"
        "  f.registry=?3 AND f.repository=?4 AND f.kind=?5 AND f.tag=?2 AND " COUNTS
        "  AND NOT EXISTS(SELECT 1 FROM manifests n WHERE n.repo=?1 AND n.digest=f.digest)"
        "  AND NOT EXISTS(SELECT 1 FROM tags t WHERE t.repo=?1 AND t.tag=?2 AND " REGISTER_VALUE(
            "t.") "   >(" FEED_REGISTER_STAMP ",f.origin,f.epoch,f.digest))",
        "isssn", repo, tag, registry, repository, (int)ENTRY_TAG);
}

int tag_remake(struct tx *tx, int64_t repo, const char *registry, const char *repository,
               const char *tag)
{
    sqlite3_stmt *st;
    struct digest was = {0};
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT digest FROM tags WHERE repo=?1 AND tag=?2",
                     "is", repo, tag);
    if (!rc) {
        rc = db_digest(st, 0, &was);
        db_end(st);
    }
    if (!rc || rc == ERR_NOTFOUND)
        rc = history_remake(tx, repo, registry, repository, tag);
    if (!rc)
        rc = db_run(sqlite_tx_db(tx), "DELETE FROM tags WHERE repo=?1 AND tag=?2", "is", repo, tag);
    if (!rc) // 2
        rc = db_run(sqlite_tx_db(tx),
                    "INSERT INTO tags(repo,tag,digest,stamp,origin,epoch)"
                    " SELECT repo,tag,digest,stamp,origin,epoch FROM tag_history h WHERE repo=?1 "
                    "AND tag=?2 AND"
                    "  EXISTS(SELECT 1 FROM manifests n WHERE n.repo=?1 AND n.digest=h.digest)"
                    "  ORDER BY " REGISTER_HIGHEST_FIRST("") " LIMIT 1",
                    "is", repo, tag);
    if (!rc)
        rc = jobs_remake(tx, repo, registry, repository, tag);
    tx->notify = true;
    if (!rc && was.n)
        return presence_settle(tx, repo, &was);
    return rc;
}
