// SPDX-License-Identifier: Apache-2.0
// What an entry does to the state, from whomever it comes: own writes, entries of peers and
// recovered ones all end here. Writer thread, inside its transaction. See meta_priv.h.
//
// Invariants (design section 9)
//   2. A manifest is put in only after its references were seen; a tag points only at a manifest
//      that is there.
//   3. Registers: the highest (stamp, origin, epoch, digest) wins (base/register.h), so the order
//      of arrival does not matter; of a manifest, whose digest is fixed, its media type stands in
//      the last place. A version that lost is in the history as if it had come first and been
//      replaced.
#include "store/kind_rules.h"
#include "store/meta_priv.h"

#include "base/err.h"
#include "base/register.h"

#include <string.h>

int refs_check(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
               struct digest *out_missing)
{
    for (size_t i = 0; i < n; i++) {
        int rc = 0;
        if (refs[i].kind == REF_BLOB)
            rc = blob_linked(tx, repo, &refs[i].digest);
        else if (refs[i].kind == REF_MANIFEST)
            rc = manifest_visible(tx, repo, &refs[i].digest);
        if (rc == ERR_NOTFOUND)
            *out_missing = refs[i].digest;
        if (rc)
            return rc;
    }
    return 0;
}

static int refs_insert(struct tx *tx, int64_t repo, const struct feed_entry *e,
                       const struct manifest_ref *refs, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        rc = db_run(
            sqlite_tx_db(tx),
            "INSERT OR IGNORE INTO manifest_refs(repo,parent,child,kind) VALUES(?1,?2,?3,?4)",
            "iddn", repo, &e->digest, &refs[i].digest, (int)refs[i].kind);
    return rc;
}

int merge_manifest(struct tx *tx, int64_t repo, const struct feed_entry *e, struct bytes content,
                   const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing)
{
    int rc = manifest_visible(tx, repo, &e->digest);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc == ERR_NOTFOUND) {
        if (!content.n)
            return ERR_INVAL;
        rc = refs_check(tx, repo, refs, n_refs, out_missing);
        if (!rc)
            rc = db_run(
                sqlite_tx_db(tx),
                "INSERT INTO manifests(repo,digest,media_type,stamp,origin,epoch,size,content)"
                " VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
                "idsusuub", repo, &e->digest, e->media_type, entry_register_stamp(e), e->origin,
                e->epoch, (uint64_t)content.n, (const void *)content.p, content.n);
    } else {
        rc =
            db_run(sqlite_tx_db(tx),
                   "UPDATE manifests SET media_type=?3,stamp=?4,origin=?5,epoch=?6"
                   " WHERE repo=?1 AND digest=?2 AND (?4,?5,?6,?3)>(stamp,origin,epoch,media_type)",
                   "idsusu", repo, &e->digest, e->media_type, entry_register_stamp(e), e->origin,
                   e->epoch);
    }
    if (!rc)
        rc = refs_insert(tx, repo, e, refs, n_refs);
    if (!rc)
        rc = jobs_wake_for(tx, e->registry, e->repository, &e->digest,
                           kinds_that_wait(KIND_WAITS_FOR_DIGEST));
    if (!rc)
        rc = parked_wake(tx, e->registry, e->repository);
    if (!rc)
        tx->notify = true;
    return rc;
}

struct tag_here {
    bool there;
    struct register_value value;
    char origin[HOSTNAME_REGION_SIZE];
};

static int tag_read(struct tx *tx, int64_t repo, const char *tag, struct tag_here *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT stamp,origin,epoch,digest FROM tags WHERE repo=?1 AND tag=?2", "is",
                     repo, tag);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    const char *origin = (const char *)sqlite3_column_text(st, 1);
    if (!origin || strlen(origin) >= sizeof out->origin) {
        db_end(st);
        return ERR_CORRUPT;
    }
    memcpy(out->origin, origin, strlen(origin) + 1);
    out->there = true;
    out->value = (struct register_value){.stamp = (uint64_t)sqlite3_column_int64(st, 0),
                                         .origin = out->origin,
                                         .epoch = (uint64_t)sqlite3_column_int64(st, 2)};
    rc = db_digest(st, 3, &out->value.digest);
    db_end(st);
    return rc;
}

// A restated version is the same version. Which ones stay does not depend on the order of arrival:
// one that is dropped has META_HISTORY_MAX above it for good.
static int history_add(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    int rc = db_run(
        sqlite_tx_db(tx),
        "INSERT INTO tag_history(repo,tag,stamp,origin,digest,epoch) VALUES(?1,?2,?3,?4,?5,?6)"
        " ON CONFLICT(repo,tag,stamp,origin,digest) DO UPDATE SET epoch=max(epoch,excluded.epoch)",
        "isusdu", repo, e->tag, entry_register_stamp(e), e->origin, &e->digest, e->epoch);
    if (rc)
        return rc;
    return db_run(sqlite_tx_db(tx),
                  "DELETE FROM tag_history WHERE repo=?1 AND tag=?2 AND " REGISTER_VALUE(
                      "") "<(SELECT stamp,origin,"
                          "epoch,digest FROM tag_history WHERE repo=?1 AND tag=?2 ORDER "
                          "BY " REGISTER_HIGHEST_FIRST("") " LIMIT 1 OFFSET ?3)",
                  "isn", repo, e->tag, META_HISTORY_MAX - 1);
}

int merge_tag(struct tx *tx, int64_t repo, const struct feed_entry *e, struct digest *out_missing)
{
    struct register_value v = {entry_register_stamp(e), e->origin, e->epoch, e->digest};
    struct tag_here here = {0};
    int rc = tag_read(tx, repo, e->tag, &here);
    bool wins = !rc && (!here.there || register_order(&v, &here.value) > 0);
    if (wins && (rc = manifest_visible(tx, repo, &e->digest)) == ERR_NOTFOUND)
        *out_missing = e->digest;
    if (!rc && wins)
        rc = db_run(
            sqlite_tx_db(tx),
            "INSERT INTO tags(repo,tag,digest,stamp,origin,epoch) VALUES(?1,?2,?3,?4,?5,?6)"
            " ON CONFLICT(repo,tag) DO UPDATE SET digest=excluded.digest,stamp=excluded.stamp,"
            "origin=excluded.origin,epoch=excluded.epoch",
            "isdusu", repo, e->tag, &e->digest, v.stamp, e->origin, e->epoch);
    if (!rc)
        rc = history_add(tx, repo, e);
    if (!rc && wins)
        rc = jobs_wake_tag(tx, e->registry, e->repository, e->tag);
    if (!rc && wins && here.there && !digest_equal(&here.value.digest, &e->digest))
        rc = presence_settle(tx, repo, &here.value.digest);
    if (!rc)
        tx->notify = true;
    return rc;
}
