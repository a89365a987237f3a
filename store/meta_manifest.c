// SPDX-License-Identifier: Apache-2.0
// A push of a manifest: checked, stored and announced in one transaction; see meta.h.
//
// Every push that is acknowledged mints a stamp, also when all is here as it says: a region that is
// cut off may have written something else meanwhile, and this push came later. Pushes that wait for
// the same commit share the entry. A tag that may only be created is different: when it shows this
// digest already, nothing is minted for it.
//
// What an own entry refers to is asserted before it by own entries under the same key, above what
// deleted it: a tag's manifest, an index's children, and theirs.
// So a region shows what it read here without waiting for what a third region said, and nothing
// that this region wrote hangs on the word of another one, whose key may be revoked. A push by tag
// of what this region has asserted writes the tag's entry alone; that entry says that its manifest
// is present, too.
#include "store/entry_kind.h"
#include "store/meta_merge.h"

#include "base/err.h"
#include "store/backend_tags.h"

#include <assert.h>
#include <string.h>

#define NESTED_MAX 64 // indexes in indexes

// A tag of the push, as it was found.
struct put_tag {
    const char *tag;
    // it shows a value, and which
    bool live;
    struct digest digest;
    uint64_t stamp;
    // that value was written here
    bool own;
    // may only be created
    bool create_only;
    uint64_t generation;
    // by a person
    uint64_t ended;
    // a new value must be above it
    uint64_t above;
    // it shows this digest, and takes no new value for that
    bool stays;
    // a lock of it has no meaning any more, and would get it back by the new value
    bool unlocks;
};

struct put {
    struct meta *m;
    const struct manifest_put *p;
    struct put_result *result;
    struct log_assertion by;
    // 0: no such repository yet
    int64_t repo;
    // what is there
    struct manifest_now manifest;
    struct put_tag tags[META_PUT_TAGS_MAX + 1];
    size_t n_tags;
    // children that are not here
    uint8_t absent[ABSENT_MAX];
    size_t n_absent;
};

static bool is_restore(const struct put *u)
{
    return u->p->content.n == 0;
}

// --- what is there ---

static bool only_created(const struct put *u, const char *tag)
{
    if (u->p->create_only)
        return true;
    return u->p->is_immutable && u->p->is_immutable(u->p->immutable_ctx, tag);
}

static int killed_of(struct tx *tx, const struct put *u, const struct digest *digest, uint64_t *out)
{
    struct manifest_now m;
    bool there;
    *out = u->manifest.killed;
    if (digest_equal(digest, &u->p->digest))
        return 0;
    int rc = manifest_read(tx, u->repo, digest, &m, &there);
    if (!rc)
        *out = m.killed;
    return rc;
}

// A tag that shows no value: it is not locked, and a create-only value must come after what ended
// it.
static int dead_tag_read(struct tx *tx, struct put *u, struct put_tag *t, const struct tag_now *now)
{
    struct lock_facts lock;
    uint64_t killed = 0;
    int rc = 0;
    if (register_has(&now->value.value))
        rc = killed_of(tx, u, &now->value.value.digest, &killed);
    if (!rc)
        rc = lock_read(tx, u->repo, &(struct subject){.tag = t->tag}, &lock);
    if (rc)
        return rc;
    uint64_t ended = tag_generation(&now->value.value, &now->gone.value, killed);
    t->generation = stamp_max(t->generation, ended);
    t->unlocks = (lock.write || lock.del) && lock_valid(&lock, now->ended);
    if (t->unlocks)
        t->above = stamp_max(t->above, lock.stamp);
    t->above = stamp_max(t->above, killed);
    return 0;
}

static int live_tag_read(struct tx *tx, struct put *u, struct put_tag *t)
{
    struct lock_facts lock;
    bool same = digest_equal(&t->digest, &u->p->digest);
    t->stays = same && t->create_only;
    if (!same && t->create_only) {
        u->result->exists = t->tag;
        return ERR_EXISTS;
    }
    int rc = lock_read(tx, u->repo, &(struct subject){.tag = t->tag}, &lock);
    if (rc || !lock.write)
        return rc;
    uint64_t killed;
    rc = killed_of(tx, u, &t->digest, &killed);
    if (rc || !lock_valid(&lock, stamp_max(killed, t->ended)))
        return rc;
    t->stays = same;
    if (same)
        return 0;
    u->result->locked = t->tag;
    return ERR_LOCKED;
}

static int tag_look_at(struct tx *tx, struct put *u, struct put_tag *t)
{
    struct tag_now now;
    bool there;
    int rc = tag_read(tx, u->repo, t->tag, &now, &there);
    // what ended its values may have been dropped here, and not everywhere
    if (!rc)
        rc = floor_highest(tx, u->p->registry, &t->generation);
    if (rc || !there)
        return rc;
    const struct register_value *v = &now.value.value;
    t->live = now.live;
    t->digest = v->digest;
    t->stamp = v->stamp;
    t->own = strcmp(v->origin, tx->region) == 0;
    t->ended = now.ended;
    t->above = stamp_max(v->stamp, stamp_max(now.gone.value.stamp, now.ended));
    if (t->live)
        return 0;
    return dead_tag_read(tx, u, t, &now);
}

static int tags_look(struct tx *tx, struct put *u)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < u->n_tags; i++)
        rc = tag_look_at(tx, u, &u->tags[i]);
    return rc;
}

static int tags_judge(struct tx *tx, struct put *u)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < u->n_tags; i++)
        if (u->tags[i].live)
            rc = live_tag_read(tx, u, &u->tags[i]);
    return rc;
}

static int repository_judge(struct tx *tx, struct put *u)
{
    struct lock_facts lock;
    int rc = lock_read(tx, u->repo, &(struct subject){.tag = ""}, &lock);
    if (rc || !lock.write)
        return rc;
    u->result->locked = "";
    return ERR_LOCKED;
}

static int present_read(struct tx *tx, struct put *u)
{
    bool there;
    int rc = repo_find(tx, u->p->registry, u->p->repository, &u->repo);
    if (rc == ERR_NOTFOUND) {
        manifest_none(&u->manifest, &u->p->digest);
        return 0;
    }
    if (rc)
        return rc;
    rc = manifest_read(tx, u->repo, &u->p->digest, &u->manifest, &there);
    if (rc)
        return rc;
    return tags_look(tx, u);
}

static bool marks_same(const struct put *u)
{
    return bytes_equal(bytes_of(u->absent, u->n_absent),
                       bytes_of(u->manifest.absent, u->manifest.n_absent));
}

static bool same_manifest(const struct put *u)
{
    if (!u->manifest.live)
        return false;
    if (is_restore(u))
        return true;
    return strcmp(u->manifest.media_type, u->p->media_type) == 0 && marks_same(u);
}

// A manifest with a write lock takes no other media type, and no other marks.
static int manifest_judge(struct tx *tx, struct put *u)
{
    struct lock_facts lock;
    if (!u->manifest.live || same_manifest(u))
        return 0;
    int rc = lock_read(tx, u->repo, &(struct subject){"", u->p->digest}, &lock);
    if (rc)
        return rc;
    if (!lock_refuses_writes(&lock, u->manifest.killed))
        return 0;
    u->result->locked = "";
    return ERR_LOCKED;
}

// --- entries ---

static struct feed_entry entry_of(const struct manifest_put *p, enum entry_kind kind)
{
    struct feed_entry e = {.kind = kind,
                           .registry = p->registry,
                           .repository = p->repository,
                           .tag = "",
                           .digest = p->digest,
                           .media_type = "",
                           .by = p->by};
    if (entry_has(&e, ENTRY_HAS_CONTENT)) {
        e.media_type = p->media_type;
        e.size = p->content.n;
    }
    return e;
}

// An entry that asserts what is here, as it is.
static int assert_again(struct tx *tx, struct put *u, const struct digest *digest, uint64_t *out)
{
    struct manifest_now m;
    struct digest missing;
    int64_t id;
    int rc = manifest_look(tx, u->repo, digest, &m);
    if (rc)
        return rc;
    const struct manifest_put p = {.registry = u->p->registry,
                                   .repository = u->p->repository,
                                   .digest = *digest,
                                   .media_type = m.media_type,
                                   .by = u->p->by};
    struct feed_entry e = entry_of(&p, ENTRY_MANIFEST);
    uint64_t above = stamp_max(m.value.value.stamp, stamp_max(m.gone.value.stamp, m.killed));
    e.size = m.size;
    e.absent = bytes_of(m.absent, m.n_absent);
    rc = feed_mint(u->m, tx, above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    if (out)
        *out = e.stamp;
    return merge_manifest(tx, u->repo, &e, &(struct manifest_with){0}, &missing);
}

// --- what an own entry needs, asserted under the same key ---

static int children_assert(struct tx *tx, struct put *u)
{
    struct arena a;
    struct unasserted_row *list;
    size_t n;
    arena_init(&a, 0);
    int rc = unasserted_below(tx, u->repo, &u->p->digest, NESTED_MAX, &u->by, &a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = assert_again(tx, u, &list[i].digest, NULL);
    arena_done(&a);
    return rc;
}

static bool has_children(const struct put *u)
{
    for (size_t i = 0; i < u->p->n_refs; i++)
        if (u->p->refs[i].kind == REF_MANIFEST)
            return true;
    return is_restore(u);
}

// --- writing ---

// Readers of version 1 know sha256 alone: a manifest that refers to another digest would be one that
// they cannot understand.
static int refs_sayable(struct tx *tx, struct put *u)
{
    unsigned version = 2;
    bool plain = true;
    for (size_t i = 0; i < u->p->n_refs; i++)
        if (u->p->refs[i].digest.alg != DIGEST_SHA256)
            plain = false;
    if (plain)
        return 0;
    int rc = mint_version(u->m, tx, u->p->registry, &version);
    if (rc || version == 2)
        return rc;
    return ERR_BEHIND;
}

static int manifest_write(struct tx *tx, struct put *u)
{
    const struct manifest_put *p = u->p;
    const struct manifest_now *m = &u->manifest;
    const struct manifest_with with = {p->content, p->refs, p->n_refs};
    struct feed_entry e = entry_of(p, ENTRY_MANIFEST);
    struct digest missing;
    int64_t id;
    uint64_t above = stamp_max(m->value.value.stamp, stamp_max(m->gone.value.stamp, m->killed));
    e.absent = bytes_of(u->absent, u->n_absent);
    int rc = refs_sayable(tx, u);
    if (rc)
        return rc;
    rc = feed_mint(u->m, tx, above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    assert(e.stamp > above); // 9: a push wins over what it replaces
    u->result->stamp = e.stamp;
    return merge_manifest(tx, u->repo, &e, &with, &missing);
}

// What does not live is not locked: a lock from before is lifted.
static int manifest_unlock(struct tx *tx, struct put *u)
{
    struct lock_facts lock;
    struct digest missing;
    int64_t id;
    if (u->manifest.live)
        return 0;
    int rc = lock_read(tx, u->repo, &(struct subject){"", u->p->digest}, &lock);
    if (rc || !(lock.write || lock.del) || !lock_valid(&lock, u->manifest.killed))
        return rc;
    struct feed_entry e = entry_of(u->p, ENTRY_MANIFEST_LOCK);
    rc = feed_mint(u->m, tx, lock.stamp, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    return merge_lock(tx, u->repo, &e, &missing);
}

static int manifest_assert(struct tx *tx, struct put *u)
{
    int rc = manifest_unlock(tx, u);
    if (rc)
        return rc;
    if (is_restore(u))
        rc = assert_again(tx, u, &u->p->digest, &u->result->stamp);
    else
        rc = manifest_write(tx, u);
    if (rc || !has_children(u))
        return rc;
    return children_assert(tx, u);
}

static int tag_unlock(struct tx *tx, struct put *u, const struct put_tag *t)
{
    struct feed_entry e = entry_of(u->p, ENTRY_TAG_LOCK);
    struct digest missing;
    int64_t id;
    e.tag = t->tag;
    e.digest = (struct digest){0};
    int rc = feed_mint(u->m, tx, t->above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    return merge_lock(tx, u->repo, &e, &missing);
}

static int tag_write(struct tx *tx, struct put *u, const struct put_tag *t)
{
    struct feed_entry e = entry_of(u->p, ENTRY_TAG);
    struct digest missing;
    int64_t id;
    // not killed by what killed its manifest before
    uint64_t above = stamp_max(t->above, u->manifest.killed);
    e.tag = t->tag;
    e.create_only = t->create_only;
    if (t->create_only) { // it comes after all that it knows of: a floor may lie ahead of the clock
        e.generation = t->generation;
        above = stamp_max(above, t->generation);
    }
    int rc = 0;
    if (t->unlocks)
        rc = tag_unlock(tx, u, t);
    if (!rc)
        rc = feed_mint(u->m, tx, above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    assert(e.stamp > above); // 9
    u->result->stamp = e.stamp;
    return merge_tag(tx, u->repo, &e, &missing);
}

// Must this push write the manifest's entry? Not when it is by tag, and this region has asserted
// the manifest as it is before.
static int manifest_needed(struct tx *tx, struct put *u, bool *out)
{
    *out = true;
    if (!u->n_tags || !same_manifest(u))
        return 0;
    u->by.above = &u->manifest.gone.value;
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
        rc = manifest_assert(tx, u);
    for (size_t i = 0; !rc && i < u->n_tags; i++)
        if (!u->tags[i].stays)
            rc = tag_write(tx, u, &u->tags[i]);
    return rc;
}

// --- what needs no entry ---

// May what is there stand for this push? What waits for the same commit may: nobody has seen it
// yet, so the two pushes have no order. With a single replica nobody else can have written
// meanwhile.
static bool may_stand(const struct put *u, const struct own_head *own, uint64_t stamp, bool is_own)
{
    if (u->p->sole_replica)
        return true;
    return stamp > own->committed && is_own;
}

static bool tag_said(const struct put *u, const struct own_head *own, const struct put_tag *t)
{
    if (t->stays)
        return true;
    if (!t->live || !digest_equal(&t->digest, &u->p->digest))
        return false;
    if (t->create_only)
        return false;
    return may_stand(u, own, t->stamp, t->own);
}

// Is all as this push says, by entries that may stand for it?
static bool said_already(const struct tx *tx, const struct put *u, const struct own_head *own,
                         uint64_t *out_stamp)
{
    const struct register_value *v = &u->manifest.value.value;
    bool stay = u->n_tags > 0;
    for (size_t i = 0; i < u->n_tags; i++) {
        if (!tag_said(u, own, &u->tags[i]))
            return false;
        stay = stay && u->tags[i].stays;
        *out_stamp = u->tags[i].stamp;
    }
    if (stay)
        return true;
    if (!same_manifest(u) || !manifest_asserted(&u->manifest))
        return false;
    if (u->n_tags)
        return true;
    *out_stamp = v->stamp;
    return may_stand(u, own, v->stamp, strcmp(v->origin, tx->region) == 0);
}

static bool condition_holds(const struct put *u)
{
    const struct digest *want = u->p->if_match;
    if (!want)
        return true;
    return u->tags[0].live && digest_equal(&u->tags[0].digest, want);
}

// Marks the children that are not here.
static int absent_find(struct tx *tx, struct put *u)
{
    size_t child = 0;
    for (size_t i = 0; i < u->p->n_refs; i++) {
        if (u->p->refs[i].kind != REF_MANIFEST)
            continue;
        size_t at = child++;
        int rc = manifest_visible(tx, u->repo, &u->p->refs[i].digest);
        if (rc && rc != ERR_NOTFOUND)
            return rc;
        if (!rc)
            continue;
        if (u->n_absent <= at / 8) {
            memset(u->absent + u->n_absent, 0, at / 8 + 1 - u->n_absent);
            u->n_absent = at / 8 + 1;
        }
        u->absent[at / 8] |= (uint8_t)(1u << at % 8);
    }
    return 0;
}

static int put_judge(struct tx *tx, struct put *u)
{
    if (!condition_holds(u))
        return ERR_CONFLICT;
    int rc = repository_judge(tx, u);
    if (!rc)
        rc = tags_judge(tx, u);
    if (!rc && u->p->allow_absent)
        rc = absent_find(tx, u);
    if (!rc)
        rc = manifest_judge(tx, u);
    return rc;
}

static void tags_reset(struct put *u)
{
    const struct manifest_put *p = u->p;
    u->n_tags = 0;
    if (p->tag)
        u->tags[u->n_tags++] = (struct put_tag){.tag = p->tag};
    for (size_t i = 0; i < p->n_tags; i++)
        u->tags[u->n_tags++] = (struct put_tag){.tag = p->tags[i]};
    for (size_t i = 0; i < u->n_tags; i++)
        u->tags[i].create_only = only_created(u, u->tags[i].tag);
}

static int put_run(struct tx *tx, void *arg)
{
    struct put *u = arg;
    const struct manifest_put *p = u->p;
    struct own_head own;
    *u->result = (struct put_result){0};
    u->repo = 0;
    u->n_absent = 0;
    tags_reset(u);
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    rc = repository_frozen(tx, p->registry, p->repository);
    if (rc)
        return rc;
    rc = present_read(tx, u);
    if (rc)
        return rc;
    if (is_restore(u) && !u->manifest.live)
        return ERR_NOTFOUND;
    rc = put_judge(tx, u);
    if (rc)
        return rc;
    u->result->created = !u->manifest.live;
    if (said_already(tx, u, &own, &u->result->stamp)) {
        if (u->n_tags)
            return 0;
        return untagged_set(tx, u->repo, &p->digest, clock_wall_ms()); // rules count from now on
    }
    const struct refs_how how = {.absent = u->absent, .n_absent = u->n_absent};
    rc = refs_check(tx, u->repo, p->refs, p->n_refs, &how, &u->result->missing);
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

static bool tags_ok(const struct manifest_put *p)
{
    if (p->n_tags > META_PUT_TAGS_MAX)
        return false;
    for (size_t i = 0; i < p->n_tags; i++) {
        if (!entry_tag_ok(p->tags[i]) || (p->tag && strcmp(p->tag, p->tags[i]) == 0))
            return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(p->tags[k], p->tags[i]) == 0)
                return false;
    }
    return !p->tag || entry_tag_ok(p->tag);
}

static bool put_ok(const struct manifest_put *p)
{
    if (!entry_repository_ok(p->repository) || !media_type_ok(p->media_type))
        return false;
    if (!tags_ok(p))
        return false;
    if (p->if_match && !p->tag)
        return false;
    return p->content.n > 0;
}

static int put_do(struct meta *m, const struct manifest_put *p, struct put_result *out)
{
    struct put_result result = {0};
    struct put u;
    u.m = m;
    u.p = p;
    u.result = &result;
    u.by = (struct log_assertion){
        .registry = p->registry, .repository = p->repository, .key = m->o.key_id};
    int rc = meta_write(m, put_run, &u, true);
    if (!rc) {
        *out = result;
        return 0;
    }
    out->missing = result.missing;
    out->over = result.over;
    out->exists = result.exists;
    out->locked = result.locked;
    return rc;
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
    return put_do(m, p, out);
}

int meta_tag_put(struct meta *m, const struct tag_put *t, struct put_result *out)
{
    const struct manifest_put p = {.registry = t->registry,
                                   .repository = t->repository,
                                   .digest = t->digest,
                                   .tag = t->tag,
                                   .create_only = t->create_only,
                                   .by = t->by};
    if (!entry_repository_ok(t->repository) || !entry_tag_ok(t->tag))
        return ERR_INVAL;
    return put_do(m, &p, out);
}
