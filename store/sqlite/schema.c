// SPDX-License-Identifier: Apache-2.0
// The tables, their version, and what is refused: a newer schema, another program's file, another
// region's. Called once, at open. A new version is a new row of `steps`; steps that were released
// never change.
//
// Digests are blobs: algorithm byte, then the digest; so their order is that of their bytes.
// Numbers that are unsigned elsewhere stay below 2^63. `part` is the feed's partition, always 0 on
// SQLite.
#include "store/sqlite/sqlite_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define APPLICATION_ID 0x4d52444e    // "MRDN"
#define QUICK_CHECK_MAX (64ll << 20) // larger files are not read through at every start

static const char *const steps[] = {
    // 1
    "CREATE TABLE state(key TEXT PRIMARY KEY, value INTEGER NOT NULL, text TEXT) WITHOUT ROWID;"
    "CREATE TABLE repositories(id INTEGER PRIMARY KEY, registry TEXT NOT NULL, name TEXT NOT NULL,"
    "  UNIQUE(registry,name));"
    // A register of presence: (stamp, origin, epoch) of the highest entry that asserts it.
    "CREATE TABLE manifests(id INTEGER PRIMARY KEY, repo INTEGER NOT NULL REFERENCES "
    "repositories(id),"
    "  digest BLOB NOT NULL, media_type TEXT NOT NULL, stamp INTEGER NOT NULL, origin TEXT NOT "
    "NULL,"
    "  epoch INTEGER NOT NULL, size INTEGER NOT NULL, content BLOB NOT NULL, UNIQUE(repo,digest));"
    "CREATE TABLE manifest_refs(repo INTEGER NOT NULL, parent BLOB NOT NULL, child BLOB NOT NULL,"
    "  kind INTEGER NOT NULL, PRIMARY KEY(repo,parent,child,kind)) WITHOUT ROWID;"
    "CREATE INDEX manifest_refs_child ON manifest_refs(repo,child,kind);"
    // The winner; every version that was applied, the winner too, is in tag_history.
    "CREATE TABLE tags(repo INTEGER NOT NULL REFERENCES repositories(id), tag TEXT NOT NULL, "
    "digest BLOB NOT NULL,"
    "  stamp INTEGER NOT NULL, origin TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY "
    "KEY(repo,tag)) WITHOUT ROWID;"
    "CREATE TABLE tag_history(repo INTEGER NOT NULL, tag TEXT NOT NULL, stamp INTEGER NOT NULL, "
    "origin TEXT NOT NULL,"
    "  digest BLOB NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY(repo,tag,stamp,origin,digest)) "
    "WITHOUT ROWID;"
    "CREATE TABLE links(repo INTEGER NOT NULL REFERENCES repositories(id), digest BLOB NOT NULL,"
    "  size INTEGER NOT NULL, added_ms INTEGER NOT NULL, PRIMARY KEY(repo,digest)) WITHOUT ROWID;"
    "CREATE INDEX links_digest ON links(digest);"
    "CREATE TABLE uploads(id TEXT PRIMARY KEY, registry TEXT NOT NULL, repository TEXT NOT NULL,"
    "  principal TEXT NOT NULL, size INTEGER NOT NULL, started_ms INTEGER NOT NULL, touched_ms "
    "INTEGER NOT NULL)"
    "  WITHOUT ROWID;"
    "CREATE INDEX uploads_touched ON uploads(touched_ms);"
    // The outbox and what was read of others. content: of entries not applied yet; afterwards the
    // manifest has it.
    "CREATE TABLE feed(id INTEGER PRIMARY KEY, origin TEXT NOT NULL, epoch INTEGER NOT NULL, part "
    "INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL, stamp INTEGER NOT NULL, restates INTEGER NOT NULL, kind INTEGER NOT "
    "NULL,"
    "  registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, digest BLOB NOT NULL,"
    "  media_type TEXT NOT NULL, size INTEGER NOT NULL, hash BLOB NOT NULL, key TEXT NOT NULL, sig "
    "BLOB NOT NULL,"
    "  content BLOB, UNIQUE(origin,part,epoch,seq));"
    "CREATE INDEX feed_restates ON feed(restates) WHERE restates>0;"
    "CREATE TABLE jobs(id INTEGER PRIMARY KEY REFERENCES feed(id), origin TEXT NOT NULL, epoch "
    "INTEGER NOT NULL,"
    "  part INTEGER NOT NULL, seq INTEGER NOT NULL, stamp INTEGER NOT NULL, registry TEXT NOT NULL,"
    "  repository TEXT NOT NULL, due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,"
    "  waiting INTEGER NOT NULL DEFAULT 0, error TEXT, failed_ms INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX jobs_due ON jobs(due_ms);"
    "CREATE INDEX jobs_registry ON jobs(registry,id,due_ms);"
    "CREATE INDEX jobs_registry_due ON jobs(registry,due_ms);"
    "CREATE INDEX jobs_origin ON jobs(origin,part,epoch,seq);"
    "CREATE INDEX jobs_waiting ON jobs(registry,repository) WHERE waiting=1;"
    "CREATE TABLE origins(origin TEXT NOT NULL, part INTEGER NOT NULL, epoch INTEGER NOT NULL, seq "
    "INTEGER NOT NULL,"
    "  hash BLOB NOT NULL, PRIMARY KEY(origin,part)) WITHOUT ROWID;",
    // 2: what the log holds of one register; a tag's history is bounded (META_HISTORY_MAX)
    "CREATE INDEX feed_register ON feed(registry,repository,kind,tag,digest);"
    "DELETE FROM tag_history WHERE (repo,tag,stamp,origin,digest) IN (SELECT "
    "repo,tag,stamp,origin,digest FROM"
    "  (SELECT *,row_number() OVER (PARTITION BY repo,tag ORDER BY stamp DESC,origin DESC,epoch "
    "DESC,digest DESC) AS n"
    "  FROM tag_history) WHERE n>100);",
    // 3: entries that became void, as they were signed; feed keys that are revoked after a place of
    // their feed, and up to where the log was swept for that (at_*), and whether the read mark was
    // set back
    "CREATE TABLE voided(id INTEGER PRIMARY KEY AUTOINCREMENT, reason TEXT NOT NULL, was TEXT NOT "
    "NULL,"
    "  at_ms INTEGER NOT NULL, origin TEXT NOT NULL, epoch INTEGER NOT NULL, part INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL, stamp INTEGER NOT NULL, restates INTEGER NOT NULL, kind INTEGER NOT "
    "NULL,"
    "  registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, digest BLOB NOT NULL,"
    "  media_type TEXT NOT NULL, size INTEGER NOT NULL, hash BLOB NOT NULL, key TEXT NOT NULL, sig "
    "BLOB NOT NULL,"
    "  content BLOB, UNIQUE(origin,part,epoch,seq,hash));"
    "CREATE INDEX voided_registry ON voided(registry,id);"
    "CREATE TABLE revoked(key TEXT PRIMARY KEY, origin TEXT NOT NULL, epoch INTEGER NOT NULL, seq "
    "INTEGER NOT NULL,"
    "  hash BLOB NOT NULL, at_epoch INTEGER NOT NULL, at_seq INTEGER NOT NULL, swept INTEGER NOT "
    "NULL,"
    "  rewound INTEGER NOT NULL) WITHOUT ROWID;",
    // 4: touched_ms of uploads, due_ms and failed_ms of jobs are of the monotonic clock from here
    // on (deadlines_begin)
    "ALTER TABLE uploads ADD COLUMN idle_ms INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX uploads_idle ON uploads(idle_ms);",
    // 5: tags in which a value of another region stood, on top of one of ours, until it was void
    "CREATE TABLE outdone(repo INTEGER NOT NULL, tag TEXT NOT NULL, stamp INTEGER NOT NULL, "
    "PRIMARY KEY(repo,tag))"
    "  WITHOUT ROWID;",
    // 6: how many uploads somebody has open
    "CREATE INDEX uploads_of ON uploads(registry,principal);",
    // 7: bytes of an upload that came and were not told yet; whose uploads were idle longest (that
    // difference does not change while they age); uploads that ended (run_ms: when, in time that
    // this region ran)
    "ALTER TABLE uploads ADD COLUMN received INTEGER NOT NULL DEFAULT 0;"
    "UPDATE uploads SET received=size;"
    "DROP INDEX uploads_of;"
    "CREATE INDEX uploads_oldest ON uploads(registry,principal,touched_ms-idle_ms,received);"
    "CREATE TABLE ended(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, registry TEXT NOT NULL,"
    "  repository TEXT NOT NULL, principal TEXT NOT NULL, digest BLOB NOT NULL, run_ms INTEGER NOT "
    "NULL);"
    "CREATE INDEX ended_of ON ended(registry,principal);"
    "CREATE INDEX ended_run ON ended(run_ms);",
    // 8: jobs whose content has no room: bytes that must fit; how bad a job's error is
    "ALTER TABLE jobs ADD COLUMN room INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE jobs ADD COLUMN grade INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX jobs_room ON jobs(room) WHERE room>0;"
    "CREATE INDEX jobs_parked ON jobs(registry,repository) WHERE room>0;"
    "CREATE INDEX jobs_parked_of ON jobs(origin,room) WHERE room>0;",
    // 9: jobs become tasks of kind 0; their id is their entry's, and the columns from `origin` on
    // are theirs alone. Tasks of other kinds have an id below 0 and a key.
    "CREATE TABLE tasks(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, key TEXT, registry TEXT NOT "
    "NULL,"
    "  due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, reason TEXT,"
    "  failed_ms INTEGER NOT NULL DEFAULT 0, revision INTEGER NOT NULL DEFAULT 0, payload TEXT,"
    "  origin TEXT, epoch INTEGER, part INTEGER, seq INTEGER, stamp INTEGER, repository TEXT,"
    "  waiting INTEGER NOT NULL DEFAULT 0, room INTEGER NOT NULL DEFAULT 0,"
    "  grade INTEGER NOT NULL DEFAULT 0,"
    "  CHECK((kind=0)=(id>0)), CHECK((kind=0)=(key IS NULL)), CHECK((kind=0)=(origin NOT NULL)));"
    "INSERT INTO "
    "tasks(id,kind,registry,due_ms,attempts,reason,failed_ms,origin,epoch,part,seq,stamp,"
    "  repository,waiting,room,grade) SELECT id,0,registry,due_ms,attempts,error,failed_ms,origin,"
    "  epoch,part,seq,stamp,repository,waiting,room,grade FROM jobs;"
    "DROP TABLE jobs;"
    "CREATE UNIQUE INDEX tasks_key ON tasks(kind,key) WHERE id<0;"
    "CREATE INDEX tasks_due ON tasks(kind,due_ms);"
    "CREATE INDEX tasks_registry ON tasks(kind,registry,id,due_ms);"
    "CREATE INDEX tasks_registry_due ON tasks(kind,registry,due_ms);"
    "CREATE INDEX tasks_origin ON tasks(origin,part,epoch,seq) WHERE origin IS NOT NULL;"
    "CREATE INDEX tasks_waiting ON tasks(registry,repository) WHERE waiting=1;"
    "CREATE INDEX tasks_room ON tasks(room) WHERE room>0;"
    "CREATE INDEX tasks_parked ON tasks(registry,repository) WHERE room>0;"
    "CREATE INDEX tasks_parked_of ON tasks(origin,room) WHERE room>0;",
    // 10: entries of version 2 with their bodies, which say all; the other new columns are copies of
    // what is searched for. kind 0: not known; its attribute is '' when it counts for nothing, and
    // it may freeze its repository
    "ALTER TABLE feed ADD COLUMN version INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE feed ADD COLUMN body BLOB;"
    "ALTER TABLE feed ADD COLUMN registry_seq INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE feed ADD COLUMN attribute TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE feed ADD COLUMN freezes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE feed ADD COLUMN create_only INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE feed ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE feed ADD COLUMN judged_stamp INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE feed ADD COLUMN judged_origin TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE feed ADD COLUMN judged_epoch INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX feed_chain ON feed(origin,registry,epoch,seq,registry_seq) WHERE version=2;"
    "CREATE INDEX feed_unknown ON feed(registry,origin,repository,attribute,freezes) WHERE kind=0;"
    "CREATE INDEX feed_unknown_ids ON feed(id) WHERE kind=0;"
    "CREATE INDEX feed_freezes ON feed(registry,repository) WHERE freezes=1;"
    "ALTER TABLE voided ADD COLUMN version INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE voided ADD COLUMN body BLOB;"
    "CREATE TABLE numbers(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;",
    // 11: links count the live manifests that refer to a blob (n); without any they are leases that
    // have lasted since since_ms of an opening of the database (era). reg: the registry, as the id
    // of its first repository. blobs: which generation of the bytes serves (its file's name carries
    // it, "" before there were generations), and whether they are live (0), condemned (1) or deleted
    // (2). Usage. In a released store all manifests are live, and manifest_refs are theirs alone;
    // kind 0 is a blob, and 1 a manifest.
    "ALTER TABLE repositories ADD COLUMN reg INTEGER NOT NULL DEFAULT 0;"
    "UPDATE repositories SET reg=m.id FROM (SELECT registry AS g,min(id) AS id FROM repositories"
    "  GROUP BY registry) AS m WHERE m.g=repositories.registry;"
    "ALTER TABLE links RENAME TO links_before;"
    "DROP INDEX links_digest;"
    "CREATE TABLE links(repo INTEGER NOT NULL REFERENCES repositories(id), digest BLOB NOT NULL,"
    "  reg INTEGER NOT NULL, size INTEGER NOT NULL, n INTEGER NOT NULL, era INTEGER NOT NULL,"
    "  since_ms INTEGER NOT NULL, peer TEXT NOT NULL, PRIMARY KEY(repo,digest)) WITHOUT ROWID;"
    "INSERT INTO links SELECT l.repo,l.digest,r.reg,l.size,(SELECT count(*) FROM manifest_refs x"
    "  WHERE x.repo=l.repo AND x.child=l.digest AND x.kind=0),0,0,'' FROM links_before l JOIN "
    "repositories r"
    "  ON r.id=l.repo ORDER BY l.repo,l.digest;"
    "DROP TABLE links_before;"
    "CREATE INDEX links_blob ON links(digest,reg);"
    "CREATE INDEX links_leases ON links(era,since_ms) WHERE n=0;"
    "CREATE TABLE blobs(digest BLOB PRIMARY KEY, size INTEGER NOT NULL, generation TEXT NOT NULL,"
    "  state INTEGER NOT NULL, era INTEGER NOT NULL, since_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO blobs SELECT digest,max(size),'',0,0,0 FROM links GROUP BY digest;"
    "CREATE INDEX blobs_state ON blobs(state,era,since_ms) WHERE state>0;"
    "CREATE TABLE repository_usage(repo INTEGER PRIMARY KEY, bytes INTEGER NOT NULL,"
    "  blobs INTEGER NOT NULL, manifests INTEGER NOT NULL, tags INTEGER NOT NULL);"
    "CREATE TABLE registry_usage(reg INTEGER PRIMARY KEY, bytes INTEGER NOT NULL,"
    "  blobs INTEGER NOT NULL, manifests INTEGER NOT NULL, tags INTEGER NOT NULL);"
    "INSERT INTO repository_usage SELECT r.id,"
    "  (SELECT coalesce(sum(size),0) FROM links WHERE repo=r.id)"
    "  +(SELECT coalesce(sum(size),0) FROM manifests WHERE repo=r.id),"
    "  (SELECT count(*) FROM links WHERE repo=r.id),"
    "  (SELECT count(*) FROM manifests WHERE repo=r.id),"
    "  (SELECT count(*) FROM tags WHERE repo=r.id) FROM repositories r;"
    "INSERT INTO registry_usage SELECT r.reg,"
    "  sum((SELECT coalesce(sum(size),0) FROM manifests WHERE repo=r.id)),0,"
    "  sum(u.manifests),sum(u.tags) FROM repositories r JOIN repository_usage u ON u.repo=r.id"
    "  GROUP BY r.reg;"
    "UPDATE registry_usage SET bytes=registry_usage.bytes+s.bytes,blobs=s.blobs FROM"
    "  (SELECT reg,sum(size) AS bytes,count(*) AS blobs FROM"
    "    (SELECT reg,max(size) AS size FROM links GROUP BY digest,reg) GROUP BY reg) AS s"
    "  WHERE s.reg=registry_usage.reg;",
    // 12: registers that say gone, apart from their highest value; what follows from them (live); a
    // manifest that is recorded without content has size 0; who wrote; children that an index marks
    // as absent; locks; when a tag left a manifest (wall)
    "ALTER TABLE manifests ADD COLUMN live INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE manifests ADD COLUMN gone_stamp INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE manifests ADD COLUMN gone_origin TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE manifests ADD COLUMN gone_epoch INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE manifests ADD COLUMN killed INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE manifests ADD COLUMN absent BLOB;"
    "ALTER TABLE manifests ADD COLUMN by TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE manifests ADD COLUMN died_ms INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX manifests_died ON manifests(died_ms) WHERE live=0 AND size>0;"
    "ALTER TABLE manifest_refs ADD COLUMN absent INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tags ADD COLUMN live INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE tags ADD COLUMN create_only INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tags ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tags ADD COLUMN by TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE tags ADD COLUMN gone_stamp INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tags ADD COLUMN gone_origin TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE tags ADD COLUMN gone_epoch INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tags ADD COLUMN gone_create_only INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tags ADD COLUMN gone_generation INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tags ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX tags_digest ON tags(repo,digest);"
    "ALTER TABLE tag_history ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tag_history ADD COLUMN create_only INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tag_history ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tag_history ADD COLUMN by TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE attributes(repo INTEGER NOT NULL, tag TEXT NOT NULL, digest BLOB NOT NULL,"
    "  attribute TEXT NOT NULL, stamp INTEGER NOT NULL, origin TEXT NOT NULL, epoch INTEGER NOT "
    "NULL,"
    "  flags INTEGER NOT NULL, by TEXT NOT NULL, PRIMARY KEY(repo,tag,digest,attribute)) WITHOUT "
    "ROWID;"
    // when tags moved before is not known: what has none now counts from the upgrade
    "CREATE TABLE untagged(repo INTEGER NOT NULL, digest BLOB NOT NULL, since_ms INTEGER NOT NULL,"
    "  PRIMARY KEY(repo,digest)) WITHOUT ROWID;"
    "INSERT INTO untagged SELECT m.repo,m.digest,CAST(strftime('%s','now') AS INTEGER)*1000 FROM"
    "  manifests m WHERE NOT EXISTS(SELECT 1 FROM tags t WHERE t.repo=m.repo AND"
    "  t.digest=m.digest);",
    // 13: when manifests were pulled last (wall), to the hour
    "CREATE TABLE pulled(repo INTEGER NOT NULL, digest BLOB NOT NULL, at_ms INTEGER NOT NULL,"
    "  PRIMARY KEY(repo,digest)) WITHOUT ROWID;",
    // 14: what one origin wrote, register by register, for its snapshots
    "CREATE INDEX feed_written ON feed(origin,registry,repository,kind,tag,digest);",
    // 15: entries that count for no register: 1, they came at or below the registry's floor; 2, what they
    // said was deleted, and they stay for their place
    "ALTER TABLE feed ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX feed_refused ON feed(registry,id) WHERE refused=1;",
    // 16: registers that show nothing
    "CREATE INDEX tags_dead ON tags(repo,tag) WHERE live=0;"
    "CREATE INDEX manifests_dead ON manifests(repo,digest) WHERE live=0;",
};
const int schema_version = (int)(sizeof steps / sizeof steps[0]);

static int pragma_int(struct db *d, const char *sql, int64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(d, &st, sql, "");
    if (rc)
        return rc;
    *out = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

int state_get(struct db *d, const char *key, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(d, &st, "SELECT value FROM state WHERE key=?1", "s", key);
    if (rc)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

int state_set(struct db *d, const char *key, uint64_t value)
{
    return db_run(d,
                  "INSERT INTO state(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET "
                  "value=excluded.value",
                  "su", key, value);
}

static int upgrade(struct db *d, int64_t from)
{
    int rc = db_exec(d, "BEGIN IMMEDIATE");
    for (int64_t v = from; !rc && v < schema_version; v++)
        rc = db_exec(d, steps[v]);
    char sql[96];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID,
             schema_version);
    if (!rc)
        rc = db_exec(d, sql);
    if (!rc)
        rc = db_exec(d, "COMMIT");
    if (rc)
        (void)db_exec(d, "ROLLBACK");
    return rc;
}

static int version_check(struct db *d, const char *path, struct diag *diag, int64_t *out_version)
{
    int64_t version = 0, app = 0, tables = 0;
    int rc = pragma_int(d, "PRAGMA user_version", &version);
    if (rc)
        return rc;
    rc = pragma_int(d, "PRAGMA application_id", &app);
    if (rc)
        return rc;
    rc = pragma_int(d, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc)
        return rc;
    bool fresh = version == 0 && app == 0 && tables == 0;
    if (!fresh && app != APPLICATION_ID) {
        diag_add(diag, path, 0, "is a database of another program; it is left alone");
        return ERR_CORRUPT;
    }
    if (version > schema_version) {
        diag_add(
            diag, path, 0,
            "has schema version %lld, this program knows up to %d: start the newer program again",
            (long long)version, schema_version);
        return ERR_VERSION;
    }
    *out_version = version;
    return 0;
}

int schema_is_ours(struct db *d)
{
    int64_t version = 0;
    int rc = pragma_int(d, "PRAGMA user_version", &version);
    if (rc || version == schema_version)
        return rc;
    return ERR_VERSION;
}

static int damage_check(struct db *d, const char *path, struct diag *diag)
{
    struct stat s;
    sqlite3_stmt *st;
    if (stat(path, &s) || s.st_size > QUICK_CHECK_MAX)
        return 0;
    int rc = db_find(d, &st, "PRAGMA quick_check(1)", "");
    if (rc)
        return rc;
    const char *text = (const char *)sqlite3_column_text(st, 0);
    if (text && strcmp(text, "ok") != 0) {
        diag_add(diag, path, 0,
                 "is damaged (%s): restore it from a backup, own entries come back from the peers",
                 text);
        rc = ERR_CORRUPT;
    }
    db_end(st);
    return rc;
}

static int region_check(struct db *d, const char *path, const char *region, struct diag *diag)
{
    int rc =
        db_run(d, "INSERT OR IGNORE INTO state(key,value,text) VALUES('region',0,?1)", "s", region);
    sqlite3_stmt *st;
    if (rc)
        return rc;
    rc = db_find(d, &st, "SELECT text FROM state WHERE key='region'", "");
    if (rc)
        return rc;
    const char *is = (const char *)sqlite3_column_text(st, 0);
    if (!is || strcmp(is, region) != 0) {
        diag_add(diag, path, 0, "belongs to region %s, not to %s: check the data directory",
                 is ? is : "?", region);
        rc = ERR_CONFLICT;
    }
    db_end(st);
    return rc;
}

// Times of another process's monotonic clock say nothing but how far they lie apart: all tasks are
// due, and an upload has been idle for as long as it was when another was touched last.
static int deadlines_begin(struct db *d)
{
    for (int kind = 0; kind < TASK_N_KINDS; kind++) {
        int rc =
            db_run(d, "UPDATE tasks SET due_ms=0,waiting=0,failed_ms=0 WHERE kind=?1 AND due_ms>0",
                   "n", kind);
        if (rc)
            return rc;
    }
    char sql[192]; // walks the uploads, which are bounded: not among the statements that are kept
    snprintf(sql, sizeof sql,
             "UPDATE uploads SET idle_ms=idle_ms+(SELECT max(touched_ms) FROM "
             "uploads)-touched_ms,touched_ms=%lld",
             (long long)clock_mono_ms());
    return db_exec(d, sql);
}

// Times of leases and of condemned blobs count anew: rows of an earlier era count from now.
static int era_begin(struct db *d, uint64_t *out_era)
{
    uint64_t era = 0;
    int rc = state_get(d, "era", &era);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    rc = state_set(d, "era", era + 1);
    if (!rc)
        *out_era = era + 1;
    return rc;
}

static int steps_open(struct db *d, const char *path, const char *region, struct diag *diag,
                      uint64_t *out_era)
{
    int64_t version = 0;
    int rc = version_check(d, path, diag, &version);
    if (rc)
        return rc;
    rc = damage_check(d, path, diag);
    if (rc)
        return rc;
    if (version < schema_version)
        rc = upgrade(d, version);
    if (rc)
        return rc;
    rc = region_check(d, path, region, diag);
    if (rc)
        return rc;
    rc = deadlines_begin(d);
    if (rc)
        return rc;
    return era_begin(d, out_era);
}

int schema_open(struct db *d, const char *path, const char *region, struct diag *diag,
                uint64_t *out_era)
{
    size_t said = diag_count(diag);
    int rc = steps_open(d, path, region, diag, out_era);
    if (rc && diag_count(diag) == said)
        diag_add(diag, path, 0, "%s (%s)", err_text(rc), sqlite3_errmsg(d->h));
    return rc;
}
