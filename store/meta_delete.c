// SPDX-License-Identifier: Apache-2.0
// Deletions by persons and rules; see meta_delete.h. Any thread; the rules run on the writer's.
//
// Invariants (design section 9)
//   3. A person's tombstone is minted above all that the person saw: the value, older tombstones,
//      the tags that lead to a manifest, and its locks. A rule's takes the place of what it judged.
#include "store/meta_delete.h"

#include "base/err.h"
#include "store/backend_tags.h"
#include "store/meta_merge.h"
#include "store/meta_unknown.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TAGS_PAGE 100

struct deletion {
    struct meta *m;
    const struct delete_request *r;
    struct arena *a;
    struct delete_result *result;
    int64_t repo;
    // the tombstone must be above it
    uint64_t above;
};

static const char *text_or_empty(const char *s)
{
    return s ? s : "";
}

// --- locks ---

// ERR_LOCKED: a delete lock of the subject is valid.
static int lock_ask(struct tx *tx, int64_t repo, const struct subject *s, uint64_t voids,
                    uint64_t *above)
{
    struct lock_facts lock;
    int rc = lock_read(tx, repo, s, &lock);
    if (rc)
        return rc;
    if (above)
        *above = stamp_max(*above, lock.stamp);
    return lock_keeps(&lock, voids) ? ERR_LOCKED : 0;
}

static int repository_open(struct tx *tx, const char *registry, const char *repository,
                           int64_t *out_repo)
{
    int rc = repo_find(tx, registry, repository, out_repo);
    if (rc)
        return rc;
    rc = repository_frozen(tx, registry, repository);
    if (rc)
        return rc;
    return lock_ask(tx, *out_repo, &(struct subject){.tag = ""}, 0, NULL);
}

static int tag_lock_ask(struct tx *tx, int64_t repo, const struct tag_now *t,
                        const struct manifest_now *m, uint64_t *above)
{
    return lock_ask(tx, repo, &(struct subject){.tag = t->tag}, stamp_max(t->ended, m->killed),
                    above);
}

static int manifest_lock_ask(struct tx *tx, int64_t repo, const struct manifest_now *m,
                             uint64_t *above)
{
    return lock_ask(tx, repo, &(struct subject){"", m->digest}, m->killed, above);
}

// --- what lives ---

static int live_tag_read(struct tx *tx, int64_t repo, const char *tag, struct tag_now *t,
                         struct manifest_now *m)
{
    int rc = tag_look(tx, repo, tag, t);
    if (rc)
        return rc;
    if (!t->live)
        return ERR_NOTFOUND;
    return manifest_look(tx, repo, &t->value.value.digest, m);
}

static int live_manifest_read(struct tx *tx, int64_t repo, const struct digest *digest,
                              struct manifest_now *m)
{
    int rc = manifest_look(tx, repo, digest, m);
    if (rc)
        return rc;
    return m->live ? 0 : ERR_NOTFOUND;
}

// --- a tag, by a person ---

static int tag_mint(struct tx *tx, struct deletion *d)
{
    struct feed_entry e = {.kind = ENTRY_TAG_GONE,
                           .registry = d->r->registry,
                           .repository = d->r->repository,
                           .tag = d->r->tag,
                           .media_type = "",
                           .by = d->r->by};
    struct digest missing;
    int64_t id;
    int rc = feed_mint(d->m, tx, d->above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    assert(e.stamp > d->above); // 3
    d->result->stamp = e.stamp;
    return merge_tag(tx, d->repo, &e, &missing);
}

static int tag_delete_run(struct tx *tx, void *arg)
{
    struct deletion *d = arg;
    struct tag_now t;
    struct manifest_now m;
    *d->result = (struct delete_result){0};
    int rc = repository_open(tx, d->r->registry, d->r->repository, &d->repo);
    if (!rc)
        rc = live_tag_read(tx, d->repo, d->r->tag, &t, &m);
    if (rc)
        return rc;
    if (d->r->if_match && !digest_equal(d->r->if_match, &m.digest))
        return ERR_CONFLICT;
    d->above = stamp_max(t.value.value.stamp, t.gone.value.stamp);
    rc = tag_lock_ask(tx, d->repo, &t, &m, &d->above);
    if (rc)
        return rc;
    return tag_mint(tx, d);
}

int meta_tag_delete(struct meta *m, const struct delete_request *r, struct arena *a,
                    struct delete_result *out)
{
    struct delete_result result = {0};
    struct deletion d = {.m = m, .r = r, .a = a, .result = &result};
    if (!entry_repository_ok(r->repository) || !r->tag || !entry_tag_ok(r->tag))
        return ERR_INVAL;
    int rc = meta_write(m, tag_delete_run, &d, true);
    if (!rc)
        *out = result;
    return rc;
}

// --- a manifest, by a person ---

static int tag_goes(struct tx *tx, struct deletion *d, const char *tag,
                    const struct manifest_now *m)
{
    struct tag_now t;
    int rc = tag_look(tx, d->repo, tag, &t);
    if (rc || !t.live)
        return rc;
    d->above = stamp_max(d->above, t.value.value.stamp);
    rc = tag_lock_ask(tx, d->repo, &t, m, &d->above);
    if (rc || d->result->n_tags == DELETE_TAGS_MAX)
        return rc;
    const char *copy = arena_strdup(d->a, tag);
    if (!copy)
        return ERR_NOMEM;
    d->result->tags[d->result->n_tags++] = copy;
    return 0;
}

static int tags_go(struct tx *tx, struct deletion *d, const struct manifest_now *m)
{
    char after[ENTRY_TAG_SIZE] = "";
    size_t n = TAGS_PAGE;
    int rc = 0;
    while (!rc && n == TAGS_PAGE) {
        struct arena scratch;
        const char **tags;
        arena_init(&scratch, 0);
        rc = tags_of(tx, d->repo, &m->digest, after, TAGS_PAGE, &scratch, &tags, &n);
        for (size_t i = 0; !rc && i < n; i++)
            rc = tag_goes(tx, d, tags[i], m);
        if (!rc && n)
            snprintf(after, sizeof after, "%s", tags[n - 1]);
        arena_done(&scratch);
    }
    return rc;
}

static int parents_ask(struct tx *tx, struct deletion *d)
{
    int rc = manifest_parents(tx, d->repo, d->r->digest, DELETE_PARENTS_MAX, d->a,
                              &d->result->parents, &d->result->n_parents);
    if (rc)
        return rc;
    return d->result->n_parents ? ERR_CONFLICT : 0;
}

static int manifest_judge(struct tx *tx, struct deletion *d)
{
    struct manifest_now m;
    int rc = live_manifest_read(tx, d->repo, d->r->digest, &m);
    if (!rc)
        rc = parents_ask(tx, d);
    if (rc)
        return rc;
    d->above = stamp_max(m.value.value.stamp, stamp_max(m.gone.value.stamp, m.killed));
    rc = manifest_lock_ask(tx, d->repo, &m, &d->above);
    if (rc)
        return rc;
    return tags_go(tx, d, &m);
}

static int manifest_delete_run(struct tx *tx, void *arg)
{
    struct deletion *d = arg;
    struct digest missing;
    struct feed_entry e = {.kind = ENTRY_MANIFEST_GONE,
                           .registry = d->r->registry,
                           .repository = d->r->repository,
                           .tag = "",
                           .digest = *d->r->digest,
                           .media_type = "",
                           .by = d->r->by};
    int64_t id;
    *d->result = (struct delete_result){0};
    d->result->tags = arena_array(d->a, DELETE_TAGS_MAX, sizeof *d->result->tags);
    if (!d->result->tags)
        return ERR_NOMEM;
    int rc = repository_open(tx, d->r->registry, d->r->repository, &d->repo);
    if (!rc)
        rc = manifest_judge(tx, d);
    if (!rc)
        rc = feed_mint(d->m, tx, d->above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    assert(e.stamp > d->above); // 3
    d->result->stamp = e.stamp;
    rc = merge_manifest_gone(tx, d->repo, &e, &missing);
    assert(rc || manifest_visible(tx, d->repo, d->r->digest) == ERR_NOTFOUND); // 3
    return rc;
}

int meta_manifest_delete(struct meta *m, const struct delete_request *r, struct arena *a,
                         struct delete_result *out)
{
    struct delete_result result = {0};
    struct deletion d = {.m = m, .r = r, .a = a, .result = &result};
    if (!entry_repository_ok(r->repository) || !r->digest)
        return ERR_INVAL;
    int rc = meta_write(m, manifest_delete_run, &d, true);
    if (!rc || rc == ERR_CONFLICT)
        *out = result;
    return rc;
}

// --- by a rule ---

struct rule_deletion {
    struct meta *m;
    const struct rule_delete *r;
    uint64_t stamp;
    int64_t repo;
};

static bool is_judged(const struct rule_delete *r, const struct register_value *v)
{
    return v->stamp == r->stamp && v->epoch == r->epoch && strcmp(v->origin, r->origin) == 0;
}

static struct feed_entry rule_entry(const struct rule_delete *r)
{
    return (struct feed_entry){.registry = r->registry,
                               .repository = r->repository,
                               .tag = text_or_empty(r->tag),
                               .media_type = "",
                               .judged = true,
                               .judged_stamp = r->stamp,
                               .judged_origin = r->origin,
                               .judged_epoch = r->epoch,
                               .rule = r->rule};
}

static int rule_tag(struct tx *tx, struct rule_deletion *d)
{
    struct feed_entry e = rule_entry(d->r);
    struct tag_now t;
    struct manifest_now m;
    struct digest missing;
    int64_t id;
    int rc = live_tag_read(tx, d->repo, d->r->tag, &t, &m);
    if (rc)
        return rc;
    if (!is_judged(d->r, &t.value.value))
        return ERR_CONFLICT;
    rc = tag_lock_ask(tx, d->repo, &t, &m, NULL);
    if (rc)
        return rc;
    e.kind = ENTRY_TAG_GONE;
    rc = feed_mint(d->m, tx, d->r->stamp, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    d->stamp = e.stamp;
    return merge_tag(tx, d->repo, &e, &missing);
}

// ERR_CONFLICT: it is held by something that lives.
static int rule_held(struct tx *tx, const struct rule_deletion *d)
{
    struct arena a;
    struct manifest_detail detail;
    int rc = manifest_led(tx, d->repo, d->r->digest);
    if (rc == ERR_NOTFOUND)
        rc = manifest_held(tx, d->repo, d->r->digest);
    if (rc != ERR_NOTFOUND)
        return rc ? rc : ERR_CONFLICT;
    arena_init(&a, 0);
    rc = manifest_detail(tx, d->repo, d->r->digest, &a, &detail);
    if (!rc && detail.subject_live)
        rc = ERR_CONFLICT;
    arena_done(&a);
    return rc;
}

static int rule_manifest(struct tx *tx, struct rule_deletion *d)
{
    struct feed_entry e = rule_entry(d->r);
    struct manifest_now m;
    struct digest missing;
    int64_t id;
    int rc = live_manifest_read(tx, d->repo, d->r->digest, &m);
    if (rc)
        return rc;
    if (!is_judged(d->r, &m.value.value))
        return ERR_CONFLICT;
    rc = manifest_lock_ask(tx, d->repo, &m, NULL);
    if (!rc)
        rc = rule_held(tx, d);
    if (rc)
        return rc;
    e.kind = ENTRY_MANIFEST_GONE;
    e.digest = *d->r->digest;
    rc = feed_mint(d->m, tx, d->r->stamp, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    d->stamp = e.stamp;
    return merge_manifest_gone(tx, d->repo, &e, &missing);
}

static int rule_run(struct tx *tx, void *arg)
{
    struct rule_deletion *d = arg;
    int rc = repository_open(tx, d->r->registry, d->r->repository, &d->repo);
    if (rc)
        return rc;
    if (d->r->tag)
        return rule_tag(tx, d);
    return rule_manifest(tx, d);
}

int meta_rule_delete(struct meta *m, const struct rule_delete *r, uint64_t *out_stamp)
{
    struct rule_deletion d = {.m = m, .r = r};
    if (!entry_repository_ok(r->repository) || !r->tag == !r->digest)
        return ERR_INVAL;
    if (r->tag && !entry_tag_ok(r->tag))
        return ERR_INVAL;
    int rc = meta_write(m, rule_run, &d, true);
    if (!rc)
        *out_stamp = d.stamp;
    return rc;
}

// --- what is left of them ---

struct drop {
    int64_t before_ms;
    size_t max;
    size_t n;
    bool more;
};

int manifest_content_drop(struct tx *tx, int64_t repo, const struct digest *digest)
{
    struct manifest_now m;
    int rc = manifest_look(tx, repo, digest, &m);
    if (rc)
        return missing_ok(rc);
    assert(!m.live); // 2
    bool has_registers = register_has(&m.value.value) || register_has(&m.gone.value) || m.killed;
    if (!has_registers)
        return manifest_remove(tx, repo, digest);
    return manifest_empty(tx, repo, digest);
}

// In a frozen repository nothing goes: it is looked at again as late as if it had died now.
static int died_keep(struct tx *tx, const struct died_row *row)
{
    struct manifest_now m;
    int rc = manifest_look(tx, row->repo, &row->digest, &m);
    if (rc)
        return rc;
    m.died_ms = clock_wall_ms();
    return manifest_save(tx, row->repo, &m, (struct bytes){0});
}

static int died_drop(struct tx *tx, const struct died_row *row, size_t *n)
{
    int rc = repository_frozen(tx, row->registry, row->repository);
    if (rc == ERR_FROZEN)
        return died_keep(tx, row);
    if (rc)
        return rc;
    rc = pulled_remove(tx, row->repo, &row->digest);
    if (rc)
        return rc;
    ++*n;
    return manifest_content_drop(tx, row->repo, &row->digest);
}

static int drop_run(struct tx *tx, void *arg)
{
    struct drop *d = arg;
    struct arena a;
    struct died_row *rows;
    size_t n;
    d->n = 0;
    arena_init(&a, 0);
    int rc = manifests_died(tx, d->before_ms, d->max + 1, &a, &rows, &n);
    if (!rc)
        d->more = n > d->max;
    for (size_t i = 0; !rc && i < n && i < d->max; i++) {
        rc = died_drop(tx, &rows[i], &d->n);
    }
    arena_done(&a);
    return rc;
}

int meta_dead_content_drop(struct meta *m, int64_t died_before_ms, size_t max, size_t *out_n,
                           bool *out_more)
{
    struct drop d = {.before_ms = died_before_ms, .max = max};
    int rc = meta_write(m, drop_run, &d, false);
    if (rc)
        return rc;
    *out_n = d.n;
    *out_more = d.more;
    return 0;
}
