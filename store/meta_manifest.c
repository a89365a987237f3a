// SPDX-License-Identifier: Apache-2.0
// A push of a manifest: checked, stored and announced in one transaction; see meta.h.
//
// Every push that is acknowledged mints a stamp, also when all is here as it says: a region that is
// cut off may have written something else meanwhile, and this push came later. Pushes that wait for
// the same commit share the entry.
//
// What an own entry refers to is asserted before it by own entries under the same key: a tag's
// manifest, an index's children, and theirs.
// So a region shows what it read here without waiting for what a third region said, and nothing
// that this region wrote hangs on the word of another one, whose key may be revoked. A push by tag
// of what this region has asserted writes the tag's entry alone; that entry says that its manifest
// is present, too.
#include "store/entry_kind.h"
#include "store/meta_priv.h"

#include "base/err.h"

#include <string.h>

#define NESTED_MAX 64 // indexes in indexes

struct register_here { // what a register says now
    // own: this region wrote it
    bool there, own;
    uint64_t stamp;
};

struct put {
    struct meta *m;
    const struct manifest_put *p;
    struct put_result *result;
    // 0: no such repository yet
    int64_t repo;
    // What is there
    struct register_here presence, tag;
    bool same_type;
    struct digest tag_digest;
};

// Of a row whose columns 0 and 1 are stamp and origin.
static struct register_here register_read(struct tx *tx, sqlite3_stmt *st)
{
    const char *origin = (const char *)sqlite3_column_text(st, 1);
    return (struct register_here){.there = true,
                                  .own = origin && strcmp(origin, tx->region) == 0,
                                  .stamp = (uint64_t)sqlite3_column_int64(st, 0)};
}

static int presence_read(struct tx *tx, struct put *u)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT stamp,origin,media_type FROM manifests WHERE repo=?1 AND digest=?2",
                     "id", u->repo, &u->p->digest);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    const char *type = (const char *)sqlite3_column_text(st, 2);
    u->presence = register_read(tx, st);
    u->same_type = type && strcmp(type, u->p->media_type) == 0;
    db_end(st);
    return 0;
}

static int tag_read(struct tx *tx, struct put *u)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT stamp,origin,digest FROM tags WHERE repo=?1 AND tag=?2", "is", u->repo,
                     u->p->tag);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    u->tag = register_read(tx, st);
    rc = db_digest(st, 2, &u->tag_digest);
    db_end(st);
    return rc;
}

static int present_read(struct tx *tx, struct put *u)
{
    int rc = repo_find(tx, u->p->registry, u->p->repository, &u->repo);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    rc = presence_read(tx, u);
    if (!rc && u->p->tag)
        return tag_read(tx, u);
    return rc;
}

static struct feed_entry entry_of(const struct manifest_put *p, enum entry_kind kind)
{
    struct feed_entry e = {.kind = kind,
                           .registry = p->registry,
                           .repository = p->repository,
                           .tag = "",
                           .digest = p->digest,
                           .media_type = ""};
    if (entry_has(&e, ENTRY_HAS_TAG))
        e.tag = p->tag;
    if (entry_has(&e, ENTRY_HAS_CONTENT)) {
        e.media_type = p->media_type;
        e.size = p->content.n;
    }
    return e;
}

static int own_asserted(struct tx *tx, const struct put *u, bool *out)
{
    const struct manifest_put *p = u->p;
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT 1 FROM feed WHERE registry=?1 AND repository=?2 AND kind=?3 AND "
                     "tag='' AND digest=?4"
                     " AND origin=?5 AND key=?6 LIMIT 1",
                     "ssndss", p->registry, p->repository, (int)ENTRY_MANIFEST, &p->digest,
                     tx->region, u->m->o.key_id);
    *out = rc == 0;
    if (!rc)
        db_end(st);
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc;
}

struct child { // a manifest that is reached and that no own entry asserts
    struct digest digest;
    const char *media_type;
    uint64_t size, stamp;
};

// Those below `parent`, the innermost first; below one that an own entry asserts all are asserted.
static int children_find(struct tx *tx, struct put *u, const struct digest *parent, struct arena *a,
                         struct child **out, size_t *out_n)
{
    size_t n = 0, cap = 8;
    struct child *list = arena_array(a, cap, sizeof *list);
    sqlite3_stmt *st;
    int rc = ERR_NOMEM;
    if (list)
        rc = 0;
    if (!rc)
        rc = db_start(
            sqlite_tx_db(tx), &st,
            "WITH RECURSIVE below(d,depth) AS (SELECT ?2,0 UNION SELECT x.child,depth+1 FROM below"
            " JOIN manifest_refs x ON x.repo=?1 AND x.parent=d AND x.kind=?3 WHERE depth<?4 AND "
            "NOT EXISTS"
            " (SELECT 1 FROM feed f WHERE f.registry=?5 AND f.repository=?6 AND f.kind=?7 AND "
            "f.tag=''"
            "  AND f.digest=x.child AND f.origin=?8 AND f.key=?9))"
            " SELECT m.digest,m.media_type,m.size,m.stamp FROM below JOIN manifests m ON m.repo=?1 "
            "AND"
            " m.digest=d WHERE depth>0 GROUP BY d ORDER BY max(depth) DESC",
            "idnnssnss", u->repo, parent, (int)REF_MANIFEST, NESTED_MAX, u->p->registry,
            u->p->repository, (int)ENTRY_MANIFEST, tx->region, u->m->o.key_id);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        if (n == cap) { // the old array stays behind in the arena: at most as much again
            struct child *more = arena_array(a, cap * 2, sizeof *more);
            if (more)
                memcpy(more, list, n * sizeof *more);
            list = more;
            cap *= 2;
        }
        if (list)
            rc = db_digest(st, 0, &list[n].digest);
        else
            rc = ERR_NOMEM;
        if (!rc)
            rc = db_text(st, 1, a, &list[n].media_type);
        if (rc) {
            db_end(st);
            return rc;
        }
        list[n].size = (uint64_t)sqlite3_column_int64(st, 2);
        list[n++].stamp = (uint64_t)sqlite3_column_int64(st, 3);
    }
    *out = list;
    *out_n = n;
    return rc;
}

static int children_assert(struct tx *tx, struct put *u, const struct digest *parent,
                           struct arena *a)
{
    struct child *list = NULL;
    size_t n = 0;
    int rc = children_find(tx, u, parent, a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        struct manifest_put child = {.registry = u->p->registry,
                                     .repository = u->p->repository,
                                     .digest = list[i].digest,
                                     .media_type = list[i].media_type};
        struct feed_entry e = entry_of(&child, ENTRY_MANIFEST);
        struct digest missing;
        int64_t id;
        e.size = list[i].size;
        rc = feed_mint(u->m, tx, list[i].stamp, (struct bytes){0}, &e, &id);
        if (!rc)
            rc = merge_manifest(tx, u->repo, &e, (struct bytes){0}, NULL, 0, &missing);
    }
    return rc;
}

static bool has_children(const struct manifest_put *p)
{
    for (size_t i = 0; i < p->n_refs; i++)
        if (p->refs[i].kind == REF_MANIFEST)
            return true;
    return false;
}

static int manifest_write(struct tx *tx, struct put *u)
{
    const struct manifest_put *p = u->p;
    struct feed_entry e = entry_of(p, ENTRY_MANIFEST);
    struct digest missing;
    int64_t id;
    struct arena a;
    int rc = feed_mint(u->m, tx, u->presence.stamp, (struct bytes){0}, &e, &id);
    if (!rc)
        rc = merge_manifest(tx, u->repo, &e, p->content, p->refs, p->n_refs, &missing);
    u->result->stamp = e.stamp;
    if (rc || !has_children(p))
        return rc;
    arena_init(&a, 0);
    rc = children_assert(tx, u, &p->digest, &a);
    arena_done(&a);
    return rc;
}

static int tag_write(struct tx *tx, struct put *u)
{
    struct feed_entry e = entry_of(u->p, ENTRY_TAG);
    struct digest missing;
    int64_t id;
    int rc = feed_mint(u->m, tx, u->tag.stamp, (struct bytes){0}, &e, &id);
    if (!rc)
        rc = merge_tag(tx, u->repo, &e, &missing);
    u->result->stamp = e.stamp;
    return rc;
}

static int put_write(struct tx *tx, struct put *u)
{
    const struct manifest_put *p = u->p;
    bool asserted = false;
    int rc = repo_make(tx, p->registry, p->repository, &u->repo);
    if (!rc && p->tag && u->presence.there && u->same_type)
        rc = own_asserted(tx, u, &asserted);
    if (!rc && !asserted)
        rc = manifest_write(tx, u);
    if (!rc && p->tag)
        return tag_write(tx, u);
    return rc;
}

// Is all as this push says, by an entry that may stand for it? One that waits for the same commit
// may: nobody has seen it yet, so the two pushes have no order. With a single replica nobody else
// can have written meanwhile.
static bool said_already(const struct put *u, const struct own_head *own)
{
    const struct manifest_put *p = u->p;
    const struct register_here *r;
    if (p->tag)
        r = &u->tag;
    else
        r = &u->presence;
    // stamp 0: nobody asserts it
    bool same = u->presence.there && u->presence.stamp && u->same_type && r->there;
    if (p->tag)
        same = same && digest_equal(&u->tag_digest, &p->digest);
    bool same_commit = r->own && r->stamp > own->committed;
    return same && (same_commit || p->sole_replica);
}

static int put_run(struct tx *tx, void *arg)
{
    struct put *u = arg;
    const struct manifest_put *p = u->p;
    struct own_head own;
    *u->result = (struct put_result){0};
    *u = (struct put){.m = u->m, .p = p, .result = u->result};
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    rc = present_read(tx, u);
    if (rc)
        return rc;
    if (p->if_match && !(u->tag.there && digest_equal(&u->tag_digest, p->if_match)))
        return ERR_CONFLICT;
    u->result->created = !u->presence.there;
    if (said_already(u, &own)) {
        if (p->tag)
            u->result->stamp = u->tag.stamp;
        else
            u->result->stamp = u->presence.stamp;
        return 0;
    }
    rc = refs_check(tx, u->repo, p->refs, p->n_refs, &u->result->missing);
    if (rc)
        return rc;
    return put_write(tx, u);
}

int meta_manifest_put(struct meta *m, const struct manifest_put *p, struct put_result *out)
{
    struct digest d;
    if (!entry_repository_ok(p->repository) || !media_type_ok(p->media_type) ||
        (p->tag && !entry_tag_ok(p->tag)) || (p->if_match && !p->tag) || !p->content.n)
        return ERR_INVAL;
    int rc = digest_of((enum digest_alg)p->digest.alg, p->content.p, p->content.n, &d);
    if (!rc && !digest_equal(&d, &p->digest))
        rc = ERR_DIGEST;
    if (rc)
        return rc;
    struct put_result result = {0};
    struct put u = {.m = m, .p = p, .result = &result};
    rc = meta_write(m, put_run, &u, true);
    if (!rc)
        *out = result;
    else if (rc == ERR_NOTFOUND)
        out->missing = result.missing;
    return rc;
}
