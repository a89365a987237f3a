// SPDX-License-Identifier: Apache-2.0
// Holds the tables of links, blobs and usage against what they derive from, in a database of SQLite.
#ifndef MERIDIAN_TESTS_LINKS_CHECK_H
#define MERIDIAN_TESTS_LINKS_CHECK_H

#include "base/mem.h"
#include "tests/support/check_main.h"

#include <sqlite3.h>

// Each counts rows that should not be.
static const char *const links_checks[] = {
    // a link counts the live manifests that refer to the blob
    "SELECT count(*) FROM links l WHERE n<>(SELECT count(*) FROM manifest_refs x JOIN manifests m "
    "ON"
    " m.repo=x.repo AND m.digest=x.parent AND m.live=1 WHERE x.repo=l.repo AND x.child=l.digest "
    "AND x.kind=0)",
    // what a manifest refers to is held
    "SELECT count(*) FROM manifest_refs x JOIN manifests m ON m.repo=x.repo AND m.digest=x.parent"
    " AND m.live=1 WHERE x.kind=0 AND NOT EXISTS(SELECT 1 FROM links WHERE repo=x.repo AND "
    "digest=x.child)",
    // what is held has a row, and is live
    "SELECT count(*) FROM links l WHERE NOT EXISTS(SELECT 1 FROM blobs WHERE digest=l.digest AND"
    " state=0 AND size=l.size)",
    // what nobody holds is not live
    "SELECT count(*) FROM blobs b WHERE state=0 AND NOT EXISTS(SELECT 1 FROM links WHERE"
    " digest=b.digest)",
    "SELECT count(*) FROM links l JOIN repositories r ON r.id=l.repo WHERE l.reg<>r.reg OR r.reg<>"
    "(SELECT min(id) FROM repositories WHERE registry=r.registry)",
    "SELECT count(*) FROM repositories r LEFT JOIN repository_usage u ON u.repo=r.id WHERE"
    " coalesce(u.blobs,0)<>(SELECT count(*) FROM links WHERE repo=r.id)"
    " OR coalesce(u.manifests,0)<>(SELECT count(*) FROM manifests WHERE repo=r.id AND live=1)"
    " OR coalesce(u.tags,0)<>(SELECT count(*) FROM tags WHERE repo=r.id AND live=1)"
    " OR coalesce(u.bytes,0)<>(SELECT coalesce(sum(size),0) FROM links WHERE repo=r.id)"
    "+(SELECT coalesce(sum(size),0) FROM manifests WHERE repo=r.id AND live=1)",
    "SELECT count(*) FROM (SELECT DISTINCT reg FROM repositories) g LEFT JOIN registry_usage u ON"
    " u.reg=g.reg WHERE coalesce(u.blobs,0)<>(SELECT count(DISTINCT digest) FROM links WHERE"
    " reg=g.reg) OR coalesce(u.manifests,0)<>(SELECT coalesce(sum(manifests),0) FROM "
    "repository_usage s JOIN repositories r ON r.id=s.repo WHERE r.reg=g.reg)"
    " OR coalesce(u.bytes,0)<>(SELECT coalesce(sum(size),0) FROM (SELECT DISTINCT digest,size FROM"
    " links WHERE reg=g.reg))+(SELECT coalesce(sum(m.size),0) FROM manifests m JOIN repositories r"
    " ON r.id=m.repo WHERE r.reg=g.reg AND m.live=1)",
};

static inline void links_check(const char *path)
{
    sqlite3 *h;
    ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
    for (size_t i = 0; i < ARRAY_LEN(links_checks); i++) {
        sqlite3_stmt *st;
        int rc = sqlite3_prepare_v2(h, links_checks[i], -1, &st, NULL);
        ck_assert_msg(rc == SQLITE_OK, "%s: %s", sqlite3_errmsg(h), links_checks[i]);
        ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
        ck_assert_msg(sqlite3_column_int64(st, 0) == 0, "%lld rows: %s",
                      (long long)sqlite3_column_int64(st, 0), links_checks[i]);
        sqlite3_finalize(st);
    }
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
}

#endif
