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
#include "store/backend_tags.h"

#include <assert.h>
#include <string.h>

#define NESTED_MAX 64 // indexes in indexes

struct put {
    struct meta *m;
    const struct manifest_put *p;
    struct put_result *result;
    struct log_assertion by;
    // 0: no such repository yet
    int64_t repo;
    // what is there
    bool visible, tagged;
    struct register_now presence, tag;
    char media_type[MEDIA_TYPE_SIZE];
};

static int presence_read(struct tx *tx, struct put *u)
{
    int rc = presence_get(tx, u->repo, &u->p->digest, &u->presence, u->media_type);
    if (rc == ERR_NOTFOUND)
        return 0;
    u->visible = !rc;
    return rc;
}

static int tag_read(struct tx *tx, struct put *u)
{
    int rc = tag_get(tx, u->repo, u->p->tag, &u->tag);
    if (rc == ERR_NOTFOUND)
        return 0;
    u->tagged = !rc;
    return rc;
}

static int present_read(struct tx *tx, struct put *u)
{
    int rc = repo_find(tx, u->p->registry, u->p->repository, &u->repo);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return rc;
    rc = presence_read(tx, u);
    if (rc || !u->p->tag)
        return rc;
    return tag_read(tx, u);
}

static bool same_type(const struct put *u)
{
    return u->visible && strcmp(u->media_type, u->p->media_type) == 0;
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

// --- what an own entry needs, asserted under the same key ---

static int child_assert(struct tx *tx, struct put *u, const struct unasserted_row *row)
{
    const struct manifest_put child = {.registry = u->p->registry,
                                       .repository = u->p->repository,
                                       .digest = row->digest,
                                       .media_type = row->media_type};
    struct feed_entry e = entry_of(&child, ENTRY_MANIFEST);
    struct digest missing;
    int64_t id;
    e.size = row->size;
    int rc = feed_mint(u->m, tx, row->stamp, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    return merge_manifest(tx, u->repo, &e, (struct bytes){0}, NULL, 0, &missing);
}

static int children_assert_in(struct tx *tx, struct put *u, struct arena *a)
{
    struct unasserted_row *list;
    size_t n;
    int rc = unasserted_below(tx, u->repo, &u->p->digest, NESTED_MAX, &u->by, a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = child_assert(tx, u, &list[i]);
    return rc;
}

static bool has_children(const struct manifest_put *p)
{
    for (size_t i = 0; i < p->n_refs; i++)
        if (p->refs[i].kind == REF_MANIFEST)
            return true;
    return false;
}

static int children_assert(struct tx *tx, struct put *u)
{
    struct arena a;
    if (!has_children(u->p))
        return 0;
    arena_init(&a, 0);
    int rc = children_assert_in(tx, u, &a);
    arena_done(&a);
    return rc;
}

// --- writing ---

static int manifest_write(struct tx *tx, struct put *u)
{
    const struct manifest_put *p = u->p;
    struct feed_entry e = entry_of(p, ENTRY_MANIFEST);
    struct digest missing;
    int64_t id;
    uint64_t above = 0;
    if (u->visible)
        above = u->presence.value.stamp;
    int rc = feed_mint(u->m, tx, above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    assert(e.stamp > above); // 9: a push wins over what it replaces
    u->result->stamp = e.stamp;
    rc = merge_manifest(tx, u->repo, &e, p->content, p->refs, p->n_refs, &missing);
    if (rc)
        return rc;
    return children_assert(tx, u);
}

static int tag_write(struct tx *tx, struct put *u)
{
    struct feed_entry e = entry_of(u->p, ENTRY_TAG);
    struct digest missing;
    int64_t id;
    uint64_t above = 0;
    if (u->tagged)
        above = u->tag.value.stamp;
    int rc = feed_mint(u->m, tx, above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    assert(e.stamp > above); // 9
    u->result->stamp = e.stamp;
    return merge_tag(tx, u->repo, &e, &missing);
}

// Must this push write the manifest's entry? Not when it is by tag, and this region has asserted
// the manifest as it is before.
static int manifest_needed(struct tx *tx, const struct put *u, bool *out)
{
    *out = true;
    if (!u->p->tag || !same_type(u))
        return 0;
    int rc = log_own_asserts(tx, &u->by, &u->p->digest);
    if (rc == ERR_NOTFOUND)
        return 0;
    *out = false;
    return rc;
}

static int put_write(struct tx *tx, struct put *u)
{
    bool needed;
    int rc = repo_make(tx, u->p->registry, u->p->repository, &u->repo);
    if (rc)
        return rc;
    rc = manifest_needed(tx, u, &needed);
    if (rc)
        return rc;
    if (needed)
        rc = manifest_write(tx, u);
    if (rc || !u->p->tag)
        return rc;
    return tag_write(tx, u);
}

// --- what needs no entry ---

static bool all_as_said(const struct put *u)
{
    if (!same_type(u) || !u->presence.value.stamp) // stamp 0: nobody asserts it
        return false;
    if (!u->p->tag)
        return true;
    return u->tagged && digest_equal(&u->tag.value.digest, &u->p->digest);
}

// Is all as this push says, by an entry that may stand for it? One that waits for the same commit
// may: nobody has seen it yet, so the two pushes have no order. With a single replica nobody else
// can have written meanwhile.
static bool said_already(const struct tx *tx, const struct put *u, const struct own_head *own,
                         uint64_t *out_stamp)
{
    const struct register_value *r = &u->presence.value;
    if (!all_as_said(u))
        return false;
    if (u->p->tag)
        r = &u->tag.value;
    *out_stamp = r->stamp;
    if (u->p->sole_replica)
        return true;
    return r->stamp > own->committed && strcmp(r->origin, tx->region) == 0;
}

static bool condition_holds(const struct put *u)
{
    const struct digest *want = u->p->if_match;
    if (!want)
        return true;
    return u->tagged && digest_equal(&u->tag.value.digest, want);
}

static int put_run(struct tx *tx, void *arg)
{
    struct put *u = arg;
    const struct manifest_put *p = u->p;
    struct own_head own;
    *u->result = (struct put_result){0};
    u->repo = 0;
    u->visible = u->tagged = false;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    rc = repository_frozen(tx, p->registry, p->repository);
    if (rc)
        return rc;
    rc = present_read(tx, u);
    if (rc)
        return rc;
    if (!condition_holds(u))
        return ERR_CONFLICT;
    u->result->created = !u->visible;
    if (said_already(tx, u, &own, &u->result->stamp))
        return 0;
    rc = refs_check(tx, u->repo, p->refs, p->n_refs, &u->result->missing);
    if (rc)
        return rc;
    rc = put_write(tx, u);
    if (rc || !u->result->created)
        return rc;
    int64_t bytes = (int64_t)p->content.n;
    return quota_judge(tx, p->registry, p->repository, p->limits,
                       &(struct usage_delta){.bytes = bytes, .registry_bytes = bytes},
                       &u->result->over);
}

static bool put_ok(const struct manifest_put *p)
{
    if (!entry_repository_ok(p->repository) || !media_type_ok(p->media_type))
        return false;
    if (p->tag && !entry_tag_ok(p->tag))
        return false;
    if (p->if_match && !p->tag)
        return false;
    return p->content.n > 0;
}

int meta_manifest_put(struct meta *m, const struct manifest_put *p, struct put_result *out)
{
    struct digest d;
    if (!put_ok(p))
        return ERR_INVAL;
    int rc = digest_of((enum digest_alg)p->digest.alg, p->content.p, p->content.n, &d);
    if (rc)
        return rc;
    if (!digest_equal(&d, &p->digest))
        return ERR_DIGEST;
    struct put_result result = {0};
    struct put u = {
        .m = m, .p = p, .result = &result, .by = {p->registry, p->repository, m->o.key_id}};
    rc = meta_write(m, put_run, &u, true);
    if (!rc)
        *out = result;
    else if (rc == ERR_NOTFOUND)
        out->missing = result.missing;
    else if (rc == ERR_QUOTA)
        out->over = result.over;
    return rc;
}
