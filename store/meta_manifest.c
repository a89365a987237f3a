// SPDX-License-Identifier: Apache-2.0
// A push of a manifest: checked, stored and announced in one transaction; see meta.h.
//
// A put by tag writes two entries, the manifest's presence and the tag. Where both are so already, nothing is written
// and the present stamp comes back: pushing an image again costs the other regions nothing.
#include "store/meta_priv.h"

#include "base/err.h"

#include <string.h>

struct put {
    const struct manifest_put *p;
    struct put_result *result;
    int64_t repo; // 0: no such repository yet
    // What is there
    bool visible, same_type, tagged;
    uint64_t presence_stamp, tag_stamp;
    struct digest tag_digest;
};

static int present_read(struct meta *m, struct put *u)
{
    const struct manifest_put *p = u->p;
    sqlite3_stmt *st;
    int rc = repo_find(&m->w, p->registry, p->repository, &u->repo);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    rc = db_find(&m->w, &st, "SELECT stamp,media_type FROM manifests WHERE repo=?1 AND digest=?2", "id", u->repo,
                 &p->digest);
    if (!rc) {
        const char *type = (const char *)sqlite3_column_text(st, 1);
        u->visible = true;
        u->presence_stamp = (uint64_t)sqlite3_column_int64(st, 0);
        u->same_type = type && strcmp(type, p->media_type) == 0;
        db_end(st);
    }
    if ((rc && rc != ERR_NOTFOUND) || !p->tag)
        return rc == ERR_NOTFOUND ? 0 : rc;
    rc = db_find(&m->w, &st, "SELECT digest,stamp FROM tags WHERE repo=?1 AND tag=?2", "is", u->repo, p->tag);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    u->tagged = true;
    u->tag_stamp = (uint64_t)sqlite3_column_int64(st, 1);
    rc = db_digest(st, 0, &u->tag_digest);
    db_end(st);
    return rc;
}

static struct feed_entry entry_of(const struct manifest_put *p, enum entry_kind kind)
{
    bool manifest = kind == ENTRY_MANIFEST;
    return (struct feed_entry){.kind = kind,
                               .registry = p->registry,
                               .repository = p->repository,
                               .tag = manifest ? "" : p->tag,
                               .digest = p->digest,
                               .media_type = manifest ? p->media_type : "",
                               .size = manifest ? p->content.n : 0};
}

static int put_write(struct meta *m, struct put *u)
{
    const struct manifest_put *p = u->p;
    struct feed_entry e = entry_of(p, ENTRY_MANIFEST);
    struct digest missing;
    int64_t id;
    int rc = repo_make(m, p->registry, p->repository, &u->repo);
    if (!rc)
        rc = feed_mint(m, u->presence_stamp, (struct bytes){0}, &e, &id);
    if (!rc)
        rc = merge_manifest(m, u->repo, &e, p->content, p->refs, p->n_refs, &missing);
    if (!rc && p->tag) {
        e = entry_of(p, ENTRY_TAG);
        rc = feed_mint(m, u->tag_stamp, (struct bytes){0}, &e, &id);
        if (!rc)
            rc = merge_tag(m, u->repo, &e, &missing);
    }
    if (!rc)
        u->result->stamp = e.stamp;
    return rc;
}

static int put_run(struct meta *m, void *arg)
{
    struct put *u = arg;
    const struct manifest_put *p = u->p;
    int rc = present_read(m, u);
    if (rc)
        return rc;
    if (p->if_match && !(u->tagged && digest_equal(&u->tag_digest, p->if_match)))
        return ERR_CONFLICT;
    u->result->created = !u->visible;
    bool same_tag = !p->tag || (u->tagged && digest_equal(&u->tag_digest, &p->digest));
    if (u->visible && u->same_type && same_tag) {
        u->result->stamp = p->tag ? u->tag_stamp : u->presence_stamp;
        return 0;
    }
    rc = refs_check(&m->w, u->repo, p->refs, p->n_refs, &u->result->missing);
    return rc ? rc : put_write(m, u);
}

int meta_manifest_put(struct meta *m, const struct manifest_put *p, struct put_result *out)
{
    struct digest d;
    if (!entry_repository_ok(p->repository) || !media_type_ok(p->media_type) || (p->tag && !entry_tag_ok(p->tag)) ||
        (p->if_match && !p->tag) || !p->content.n)
        return ERR_INVAL;
    int rc = digest_of((enum digest_alg)p->digest.alg, p->content.p, p->content.n, &d);
    if (!rc && !digest_equal(&d, &p->digest))
        rc = ERR_DIGEST;
    if (rc)
        return rc;
    struct put_result result = {0};
    struct put u = {.p = p, .result = &result};
    rc = writer_submit(m, put_run, &u, true);
    if (!rc)
        *out = result;
    else if (rc == ERR_NOTFOUND)
        out->missing = result.missing;
    return rc;
}
