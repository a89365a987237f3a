// SPDX-License-Identifier: Apache-2.0
// What lives, kept in the rows: the rules of store/liveness.h, asked again where a register has
// changed. In a transaction of backend_write. See meta_priv.h.
//
// Invariants (design section 9)
//   2. What lives is here with its content, and so is all that it refers to, but for what its entry
//      marks as absent. So a change that makes something live whose content is not here is refused
//      (ERR_NOTFOUND), and its entry waits.
//   3. After each merge `live` is in every row what store/liveness.h says of the registers.
//   4. What comes to live does so before what dies: a manifest that both hold does not die between.
#include "store/meta_live.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/liveness.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TAGS_PAGE 100

// --- registers as rows ---

static void register_none(struct register_now *r)
{
    r->origin[0] = '\0';
    r->value = (struct register_value){.origin = r->origin};
}

void register_put(struct register_now *to, const struct register_value *v)
{
    struct register_value copy = *v;
    snprintf(to->origin, sizeof to->origin, "%s", v->origin);
    to->value = copy;
    to->value.origin = to->origin;
}

void manifest_none(struct manifest_now *m, const struct digest *digest)
{
    register_none(&m->value);
    register_none(&m->gone);
    m->digest = m->value.value.digest = m->gone.value.digest = *digest;
    m->gone.value.gone = true;
    m->n_absent = 0;
    m->media_type[0] = m->by[0] = '\0';
    m->killed = m->size = 0;
    m->here = m->live = false;
    m->died_ms = 0;
}

void tag_none(struct tag_now *t, const char *tag)
{
    t->tag = tag;
    register_none(&t->value);
    register_none(&t->gone);
    t->gone.value.gone = true;
    t->by[0] = '\0';
    t->ended = 0;
    t->live = false;
}

int manifest_read(struct tx *tx, int64_t repo, const struct digest *digest,
                  struct manifest_now *out, bool *out_there)
{
    int rc = manifest_look(tx, repo, digest, out);
    *out_there = rc == 0;
    if (rc == ERR_NOTFOUND)
        manifest_none(out, digest);
    return missing_ok(rc);
}

int tag_read(struct tx *tx, int64_t repo, const char *tag, struct tag_now *out, bool *out_there)
{
    int rc = tag_look(tx, repo, tag, out);
    *out_there = rc == 0;
    if (rc == ERR_NOTFOUND)
        tag_none(out, tag);
    return missing_ok(rc);
}

int lock_read(struct tx *tx, int64_t repo, const struct subject *s, struct lock_facts *out)
{
    struct lock_now l;
    *out = (struct lock_facts){0};
    int rc = lock_get(tx, repo, s, &l);
    if (rc)
        return missing_ok(rc);
    *out = (struct lock_facts){l.value.value.stamp, l.write, l.del};
    return 0;
}

// --- does it live? ---

bool manifest_asserted(const struct manifest_now *m)
{
    return register_stands(&m->value.value, &m->gone.value);
}

// The locks that may keep the tag are read only if it would die without them.
int tag_judge(struct tx *tx, int64_t repo, const struct tag_now *t, const struct manifest_now *m,
              bool *out)
{
    struct tag_facts f = {
        .value = &t->value.value, .gone = &t->gone.value, .ended = t->ended, .killed = m->killed};
    *out = tag_lives(&f);
    if (*out || !register_has(f.value))
        return 0;
    int rc = lock_read(tx, repo, &(struct subject){.tag = t->tag}, &f.lock);
    if (!rc)
        rc = lock_read(tx, repo, &(struct subject){"", m->digest}, &f.manifest_lock);
    if (!rc)
        *out = tag_lives(&f);
    return rc;
}

// Does anything hold it? What is dear to know is asked last.
int manifest_hold_judge(struct tx *tx, int64_t repo, const struct manifest_now *m, bool *out)
{
    struct manifest_facts f = {
        .value = &m->value.value, .gone = &m->gone.value, .killed = m->killed};
    *out = true;
    if (manifest_wanted(&f))
        return 0;
    int rc = manifest_led(tx, repo, &m->digest);
    if (rc == ERR_NOTFOUND)
        rc = manifest_held(tx, repo, &m->digest);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = lock_read(tx, repo, &(struct subject){"", m->digest}, &f.lock);
    if (!rc)
        *out = manifest_wanted(&f);
    return rc;
}

// --- lists of manifests ---

struct digests {
    struct arena *a;
    struct digest *list;
    size_t n, cap;
};

static int digests_add(struct digests *l, const struct digest *d)
{
    if (l->n == l->cap) { // the old array stays behind in the arena: at most as much again
        size_t cap = l->cap ? 2 * l->cap : 8;
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

// --- to live ---

// Adds the children that must live with it and do not yet.
static int dead_children_add(struct tx *tx, int64_t repo, const struct digest *parent,
                             struct digests *l)
{
    struct child_row *rows;
    size_t n;
    int rc = manifest_children(tx, repo, parent, l->a, &rows, &n);
    for (size_t i = 0; !rc && i < n; i++)
        if (!rows[i].live)
            rc = digests_add(l, &rows[i].digest);
    return rc;
}

static int live_begin(struct tx *tx, int64_t repo, struct manifest_now *m,
                      struct digest *out_missing)
{
    assert(m->here && !m->live); // 2
    m->live = true;
    m->died_ms = 0;
    tx->notify = true;
    int rc = manifest_save(tx, repo, m, (struct bytes){0});
    if (rc)
        return rc;
    return links_manifest_live(tx, repo, &m->digest, out_missing);
}

static int raise_one(struct tx *tx, int64_t repo, const struct digest *digest, struct digests *l,
                     struct digest *out_missing)
{
    struct manifest_now m;
    bool there;
    int rc = manifest_read(tx, repo, digest, &m, &there);
    if (rc || m.live)
        return rc;
    if (!m.here) {
        *out_missing = *digest;
        return ERR_NOTFOUND;
    }
    rc = live_begin(tx, repo, &m, out_missing);
    if (rc)
        return rc;
    return dead_children_add(tx, repo, digest, l);
}

static int raise_all(struct tx *tx, int64_t repo, struct digests *l, struct digest *out_missing)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < l->n; i++) {
        struct digest d = l->list[i];
        rc = raise_one(tx, repo, &d, l, out_missing);
    }
    return rc;
}

int manifest_raise(struct tx *tx, int64_t repo, const struct digest *digest,
                   struct digest *out_missing)
{
    struct arena a;
    arena_init(&a, 0);
    struct digests l = {.a = &a};
    int rc = digests_add(&l, digest);
    if (!rc)
        rc = raise_all(tx, repo, &l, out_missing);
    arena_done(&a);
    return rc;
}

int children_raise(struct tx *tx, int64_t repo, const struct digest *parent,
                   struct digest *out_missing)
{
    struct arena a;
    arena_init(&a, 0);
    struct digests l = {.a = &a};
    int rc = dead_children_add(tx, repo, parent, &l);
    if (!rc)
        rc = raise_all(tx, repo, &l, out_missing);
    arena_done(&a);
    return rc;
}

// --- to die ---

static int live_end(struct tx *tx, int64_t repo, struct manifest_now *m, struct digests *l)
{
    struct child_row *rows;
    size_t n;
    m->live = false;
    m->died_ms = clock_wall_ms();
    int rc = manifest_save(tx, repo, m, (struct bytes){0});
    if (!rc)
        rc = links_manifest_dead(tx, repo, &m->digest);
    if (!rc)
        rc = manifest_children(tx, repo, &m->digest, l->a, &rows, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        if (!rows[i].live)
            continue;
        if (rows[i].asserted) // nothing held it but the index: its time begins now
            rc = untagged_set(tx, repo, &rows[i].digest, m->died_ms);
        else
            rc = digests_add(l, &rows[i].digest);
    }
    tx->notify = true;
    return rc;
}

static int lower_one(struct tx *tx, int64_t repo, const struct digest *digest, struct digests *l)
{
    struct manifest_now m;
    bool lives;
    int rc = manifest_look(tx, repo, digest, &m);
    if (rc)
        return missing_ok(rc);
    if (!m.live)
        return 0;
    rc = manifest_hold_judge(tx, repo, &m, &lives);
    if (rc || lives)
        return rc;
    return live_end(tx, repo, &m, l);
}

int manifest_lower(struct tx *tx, int64_t repo, const struct digest *digest)
{
    struct arena a;
    arena_init(&a, 0);
    struct digests l = {.a = &a};
    int rc = digests_add(&l, digest);
    for (size_t i = 0; !rc && i < l.n; i++) {
        struct digest d = l.list[i];
        rc = lower_one(tx, repo, &d, &l);
    }
    arena_done(&a);
    return rc;
}

int manifest_settle(struct tx *tx, int64_t repo, const struct digest *digest,
                    struct digest *out_missing)
{
    struct manifest_now m;
    bool lives;
    int rc = manifest_look(tx, repo, digest, &m);
    if (rc)
        return missing_ok(rc);
    rc = manifest_hold_judge(tx, repo, &m, &lives);
    if (rc)
        return rc;
    if (lives)
        return manifest_raise(tx, repo, digest, out_missing);
    return manifest_lower(tx, repo, digest);
}

// --- tags ---

static int tag_left(struct tx *tx, int64_t repo, const struct digest *digest)
{
    int rc = untagged_set(tx, repo, digest, clock_wall_ms());
    if (rc)
        return rc;
    return manifest_lower(tx, repo, digest);
}

int tag_settle(struct tx *tx, int64_t repo, struct tag_now *t, const struct tag_now *was,
               struct digest *out_missing)
{
    struct manifest_now m;
    bool there, lived = was && was->live;
    int rc = manifest_read(tx, repo, &t->value.value.digest, &m, &there);
    if (!rc)
        rc = tag_judge(tx, repo, t, &m, &t->live);
    if (!rc)
        rc = tag_save(tx, repo, t);
    if (!rc && t->live && !m.live)
        rc = manifest_raise(tx, repo, &t->value.value.digest, out_missing); // 2, 4
    if (!rc && t->live != lived)
        rc = usage_tags(tx, repo, (int64_t)t->live - lived);
    if (rc || !lived)
        return rc;
    bool leads_on = t->live && digest_equal(&was->value.value.digest, &t->value.value.digest);
    if (leads_on)
        return 0;
    return tag_left(tx, repo, &was->value.value.digest);
}

int tag_settle_again(struct tx *tx, int64_t repo, const char *tag, struct digest *out_missing)
{
    struct tag_now was, t;
    int rc = tag_look(tx, repo, tag, &was);
    if (!rc)
        rc = tag_look(tx, repo, tag, &t);
    if (rc)
        return missing_ok(rc);
    return tag_settle(tx, repo, &t, &was, out_missing);
}

int tags_settle(struct tx *tx, int64_t repo, const struct digest *digest,
                struct digest *out_missing)
{
    char after[ENTRY_TAG_SIZE] = "";
    size_t n = TAGS_PAGE;
    int rc = 0;
    while (!rc && n == TAGS_PAGE) {
        struct arena a;
        const char **tags;
        arena_init(&a, 0);
        rc = tags_of(tx, repo, digest, after, TAGS_PAGE, &a, &tags, &n);
        for (size_t i = 0; !rc && i < n; i++)
            rc = tag_settle_again(tx, repo, tags[i], out_missing);
        if (!rc && n)
            snprintf(after, sizeof after, "%s", tags[n - 1]);
        arena_done(&a);
    }
    return rc;
}
