// SPDX-License-Identifier: Apache-2.0
// Manifests in memory; see store/backend_manifests.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct m_manifest *manifest_at(struct tx *tx, int64_t repo, const struct digest *d)
{
    return row_find(tx, T_MANIFESTS, &(struct m_manifest){.repo = repo, .digest = *d});
}

static int visible(struct tx *tx, int64_t repo, const struct digest *d)
{
    const struct m_manifest *m = manifest_at(tx, repo, d);
    return m && m->live ? 0 : ERR_NOTFOUND;
}

// --- rows ---

void register_out(struct register_now *to, uint64_t stamp, const char *origin, uint64_t epoch)
{
    snprintf(to->origin, sizeof to->origin, "%s", origin);
    to->value = (struct register_value){.stamp = stamp, .origin = to->origin, .epoch = epoch};
}

static int size_of(struct tx *tx, int64_t repo, const struct digest *d, uint64_t *out_size)
{
    const struct m_manifest *m = manifest_at(tx, repo, d);
    if (!m)
        return ERR_NOTFOUND;
    *out_size = m->content.n;
    return 0;
}

// Maps of absent children are kept as text: a row has one struct bytes.
static void absent_out(const char *hex, struct manifest_now *out)
{
    out->n_absent = strlen(hex) / 2;
    for (size_t i = 0; i < out->n_absent; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        out->absent[i] = (uint8_t)byte;
    }
}

static int look(struct tx *tx, int64_t repo, const struct digest *d, struct manifest_now *out)
{
    const struct m_manifest *m = manifest_at(tx, repo, d);
    if (!m)
        return ERR_NOTFOUND;
    register_out(&out->value, m->stamp, m->origin, m->epoch);
    register_out(&out->gone, m->gone_stamp, m->gone_origin, m->gone_epoch);
    out->digest = out->value.value.digest = out->gone.value.digest = *d;
    out->gone.value.gone = true;
    absent_out(m->absent, out);
    snprintf(out->media_type, sizeof out->media_type, "%s", m->media_type);
    snprintf(out->by, sizeof out->by, "%s", m->by);
    out->killed = m->killed;
    out->size = m->content.n;
    out->here = m->content.n > 0;
    out->live = m->live;
    out->died_ms = m->died_ms;
    return 0;
}

static int save(struct tx *tx, int64_t repo, const struct manifest_now *m, struct bytes content)
{
    char hex[2 * ABSENT_MAX + 1] = "";
    const struct m_manifest *is = manifest_at(tx, repo, &m->digest);
    for (size_t i = 0; i < m->n_absent; i++)
        snprintf(hex + 2 * i, 3, "%02x", m->absent[i]);
    if (!content.n && is)
        content = is->content;
    return row_put(tx, T_MANIFESTS,
                   &(struct m_manifest){.repo = repo,
                                        .digest = m->digest,
                                        .media_type = m->media_type,
                                        .origin = m->value.origin,
                                        .gone_origin = m->gone.origin,
                                        .by = m->by,
                                        .absent = hex,
                                        .content = content,
                                        .stamp = m->value.value.stamp,
                                        .epoch = m->value.value.epoch,
                                        .gone_stamp = m->gone.value.stamp,
                                        .gone_epoch = m->gone.value.epoch,
                                        .killed = m->killed,
                                        .died_ms = m->died_ms,
                                        .live = m->live});
}

static int refs_remove(struct tx *tx, int64_t repo, const struct digest *d)
{
    for (size_t i = row_count(tx, T_REFS); i-- > 0;) {
        const struct m_ref *r = row_at(tx, T_REFS, i);
        if (r->repo != repo || !digest_equal(&r->parent, d))
            continue;
        int rc = row_remove_at(tx, T_REFS, i);
        if (rc)
            return rc;
    }
    return 0;
}

static int make_empty(struct tx *tx, int64_t repo, const struct digest *d)
{
    const struct m_manifest *is = manifest_at(tx, repo, d);
    if (!is)
        return 0;
    struct m_manifest m = *is;
    m.content = (struct bytes){0};
    int rc = row_put(tx, T_MANIFESTS, &m);
    return rc ? rc : refs_remove(tx, repo, d);
}

static int remove_row(struct tx *tx, int64_t repo, const struct digest *d)
{
    int rc = row_remove(tx, T_MANIFESTS, &(struct m_manifest){.repo = repo, .digest = *d});
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    return refs_remove(tx, repo, d);
}

// --- pulling ---

static int bytes_out(struct arena *a, struct bytes b, struct bytes *out)
{
    *out = (struct bytes){0};
    if (!b.n)
        return 0;
    void *copy = arena_copy(a, b.p, b.n);
    if (!copy)
        return ERR_NOMEM;
    *out = bytes_of(copy, b.n);
    return 0;
}

static const struct m_tag *live_tag_at(struct tx *tx, int64_t repo, const char *tag)
{
    const struct m_tag *t = row_find(tx, T_TAGS, &(struct m_tag){.repo = repo, .tag = tag});
    return t && t->live ? t : NULL;
}

static int get(struct tx *tx, const char *registry, const char *repository, const char *tag,
               const struct digest *d, struct arena *a, struct manifest_row *out)
{
    int64_t repo = repo_id(tx, registry, repository);
    const struct m_tag *t = tag ? live_tag_at(tx, repo, tag) : NULL;
    if (tag && !t)
        return ERR_NOTFOUND;
    const struct m_manifest *m = manifest_at(tx, repo, t ? &t->digest : d);
    if (!m || !m->live)
        return ERR_NOTFOUND;
    struct manifest_row r = {
        .digest = m->digest, .stamp = t ? t->stamp : m->stamp, .epoch = t ? t->epoch : m->epoch};
    int rc = text_out(a, m->media_type, &r.media_type);
    if (!rc)
        rc = text_out(a, t ? t->origin : m->origin, &r.origin);
    if (!rc)
        rc = bytes_out(a, m->content, &r.content);
    if (!rc)
        *out = r;
    return rc;
}

static int content(struct tx *tx, const char *registry, const char *repository,
                   const struct digest *d, struct arena *a, struct bytes *out)
{
    const struct m_manifest *m = manifest_at(tx, repo_id(tx, registry, repository), d);
    if (!m || !m->content.n)
        return ERR_NOTFOUND;
    return bytes_out(a, m->content, out);
}

// --- references ---

static int refs_put(struct tx *tx, int64_t repo, const struct digest *parent,
                    const struct manifest_ref *refs, size_t n, const uint8_t *absent,
                    size_t n_absent)
{
    int rc = 0;
    size_t child = 0;
    for (size_t i = 0; i < n; i++)
        child += refs[i].kind == REF_MANIFEST;
    for (size_t i = n; !rc && i > 0; i--) { // of a child's places the first one counts
        const struct manifest_ref *ref = &refs[i - 1];
        child -= ref->kind == REF_MANIFEST;
        bool marked = ref->kind == REF_MANIFEST && absent_has(absent, n_absent, child);
        rc = row_put(tx, T_REFS,
                     &(struct m_ref){repo, *parent, ref->digest, (int)ref->kind, marked});
    }
    return rc;
}

static bool blob_is_linked(struct tx *tx, int64_t repo, const struct digest *d)
{
    return row_find(tx, T_LINKS, &(struct m_link){.repo = repo, .digest = *d});
}

static bool child_is_there(struct tx *tx, int64_t repo, const struct digest *d, size_t at,
                           const struct refs_how *how)
{
    if (absent_has(how->absent, how->n_absent, at))
        return true;
    const struct m_manifest *m = manifest_at(tx, repo, d);
    if (how->recorded)
        return m && m->content.n;
    return m && m->live;
}

static int check(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
                 const struct refs_how *how, struct digest *out_missing)
{
    size_t child = 0;
    for (size_t i = 0; i < n; i++) {
        bool there = true;
        if (refs[i].kind == REF_BLOB)
            there = blob_is_linked(tx, repo, &refs[i].digest);
        else if (refs[i].kind == REF_MANIFEST)
            there = child_is_there(tx, repo, &refs[i].digest, child++, how);
        if (there)
            continue;
        *out_missing = refs[i].digest;
        return ERR_NOTFOUND;
    }
    return 0;
}

// --- what is below a manifest ---

struct below {
    struct tx *tx;
    int64_t repo;
    const struct log_assertion *by;
    struct arena *a;
    struct unasserted_row *list;
    int *depths;
    size_t n, cap;
};

static int below_add(struct below *b, const struct m_manifest *m, int depth)
{
    for (size_t i = 0; i < b->n; i++)
        if (digest_equal(&b->list[i].digest, &m->digest)) {
            if (b->depths[i] < depth)
                b->depths[i] = depth;
            return 0;
        }
    struct unasserted_row row = {.digest = m->digest, .size = m->content.n, .stamp = m->stamp};
    int rc = text_out(b->a, m->media_type, &row.media_type);
    if (rc)
        return rc;
    b->list[b->n] = row;
    b->depths[b->n++] = depth;
    return 0;
}

static int below_walk(struct below *b, const struct digest *parent, int depth, int max_depth)
{
    if (depth == max_depth)
        return 0;
    EACH_ROW(b->tx, T_REFS, struct m_ref, r)
    {
        if (r->repo != b->repo || r->kind != REF_MANIFEST || !digest_equal(&r->parent, parent))
            continue;
        const struct m_manifest *m = manifest_at(b->tx, b->repo, &r->child);
        if (r->absent || !m || !m->live)
            continue;
        struct register_value gone = {m->gone_stamp, m->gone_origin, m->gone_epoch, m->digest};
        struct log_assertion by = *b->by;
        by.above = &gone;
        if (log_own_asserts(b->tx, &by, &r->child) == 0)
            continue;
        int rc = below_add(b, m, depth + 1);
        if (!rc)
            rc = below_walk(b, &r->child, depth + 1, max_depth);
        if (rc)
            return rc;
    }
    return 0;
}

// The deepest first; few rows.
static void below_sort(struct below *b)
{
    for (size_t i = 1; i < b->n; i++)
        for (size_t j = i; j && b->depths[j] > b->depths[j - 1]; j--) {
            struct unasserted_row row = b->list[j];
            int depth = b->depths[j];
            b->list[j] = b->list[j - 1];
            b->depths[j] = b->depths[j - 1];
            b->list[j - 1] = row;
            b->depths[j - 1] = depth;
        }
}

static int unasserted(struct tx *tx, int64_t repo, const struct digest *parent, int max_depth,
                      const struct log_assertion *by, struct arena *a, struct unasserted_row **out,
                      size_t *out_n)
{
    size_t cap = row_count(tx, T_MANIFESTS) + 1;
    struct below b = {.tx = tx, .repo = repo, .by = by, .a = a};
    b.list = arena_array(a, cap, sizeof *b.list);
    b.depths = arena_array(a, cap, sizeof *b.depths);
    if (!b.list || !b.depths)
        return ERR_NOMEM;
    int rc = below_walk(&b, parent, 0, max_depth);
    if (rc)
        return rc;
    below_sort(&b);
    *out = b.list;
    *out_n = b.n;
    return 0;
}

// --- what leads to it, and to what it leads ---

static int led(struct tx *tx, int64_t repo, const struct digest *d)
{
    EACH_ROW(tx, T_TAGS, struct m_tag, t)
    if (t->repo == repo && t->live && digest_equal(&t->digest, d))
        return 0;
    return ERR_NOTFOUND;
}

static bool holds(struct tx *tx, const struct m_ref *r, int64_t repo, const struct digest *d)
{
    if (r->repo != repo || r->kind != REF_MANIFEST || r->absent || !digest_equal(&r->child, d))
        return false;
    return visible(tx, repo, &r->parent) == 0;
}

static int held(struct tx *tx, int64_t repo, const struct digest *d)
{
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    if (holds(tx, r, repo, d))
        return 0;
    return ERR_NOTFOUND;
}

// The table is sorted by parent.
static int parents(struct tx *tx, int64_t repo, const struct digest *d, size_t max, struct arena *a,
                   struct digest **out, size_t *out_n)
{
    size_t n = 0;
    struct digest *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    if (n < max && holds(tx, r, repo, d))
        list[n++] = r->parent;
    *out = list;
    *out_n = n;
    return 0;
}

// The table is sorted by parent.
static int dead_over(struct tx *tx, int64_t repo, const struct digest *child, size_t max,
                     struct arena *a, struct digest **out, size_t *out_n)
{
    size_t n = 0;
    struct digest *list = arena_array(a, max ? max : 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    {
        if (n == max || r->repo != repo || !digest_equal(&r->child, child))
            continue;
        const struct m_manifest *m = manifest_at(tx, repo, &r->parent);
        bool again = n && digest_equal(&list[n - 1], &r->parent);
        if (m && !m->live && m->content.n && !again)
            list[n++] = r->parent;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static bool is_asserted(const struct m_manifest *m)
{
    struct register_value v = {m->stamp, m->origin, m->epoch, m->digest},
                          g = {m->gone_stamp, m->gone_origin, m->gone_epoch, m->digest,
                               .gone = true};
    return register_order(&v, &g) > 0;
}

static int children(struct tx *tx, int64_t repo, const struct digest *d, struct arena *a,
                    struct child_row **out, size_t *out_n)
{
    size_t n = 0;
    struct child_row *list = arena_array(a, row_count(tx, T_REFS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    {
        if (r->repo != repo || r->kind != REF_MANIFEST || r->absent || !digest_equal(&r->parent, d))
            continue;
        const struct m_manifest *m = manifest_at(tx, repo, &r->child);
        list[n] = (struct child_row){.digest = r->child, .there = m != NULL};
        if (m) {
            list[n].here = m->content.n > 0;
            list[n].live = m->live;
            list[n].asserted = is_asserted(m);
        }
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int died_order(const void *pa, const void *pb)
{
    const struct died_row *a = pa, *b = pb;
    return (a->died_ms > b->died_ms) - (a->died_ms < b->died_ms);
}

static int died(struct tx *tx, int64_t before_ms, size_t max, struct arena *a,
                struct died_row **out, size_t *out_n)
{
    size_t n = 0;
    struct died_row *list = arena_array(a, row_count(tx, T_MANIFESTS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_MANIFESTS, struct m_manifest, m)
    {
        if (m->live || !m->content.n || m->died_ms > before_ms)
            continue;
        list[n] = (struct died_row){
            .repo = m->repo, .digest = m->digest, .died_ms = m->died_ms, .size = m->content.n};
        EACH_ROW(tx, T_REPOS, struct m_repo, r)
        if (r->id == m->repo) {
            int rc = text_out(a, r->registry, &list[n].registry);
            if (!rc)
                rc = text_out(a, r->name, &list[n].repository);
            if (rc)
                return rc;
        }
        n++;
    }
    qsort(list, n, sizeof *list, died_order);
    *out = list;
    *out_n = n < max ? n : max;
    return 0;
}

// --- what lists ask ---

static int untagged_put(struct tx *tx, int64_t repo, const struct digest *d, int64_t now_ms)
{
    return row_put(tx, T_UNTAGGED, &(struct m_untagged){repo, *d, now_ms});
}

static int detail_out(struct tx *tx, const struct m_manifest *m, struct arena *a,
                      struct manifest_detail *out)
{
    struct manifest_detail d = {
        .digest = m->digest, .size = m->content.n, .stamp = m->stamp, .epoch = m->epoch};
    const struct m_untagged *u =
        row_find(tx, T_UNTAGGED, &(struct m_untagged){.repo = m->repo, .digest = m->digest});
    if (u)
        d.untagged_ms = u->since_ms;
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    {
        if (r->repo != m->repo || r->kind != REF_SUBJECT || !digest_equal(&r->parent, &m->digest))
            continue;
        d.has_subject = true;
        d.subject = r->child;
        d.subject_live = visible(tx, m->repo, &r->child) == 0;
    }
    int rc = text_out(a, m->media_type, &d.media_type);
    if (!rc)
        rc = text_out(a, m->origin, &d.origin);
    if (!rc)
        rc = text_out(a, m->by, &d.by);
    if (!rc)
        *out = d;
    return rc;
}

static int details(struct tx *tx, int64_t repo, const struct digest *after, size_t max,
                   struct arena *a, struct manifest_detail **out, size_t *out_n)
{
    size_t n = 0;
    struct manifest_detail *list = arena_array(a, row_count(tx, T_MANIFESTS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_MANIFESTS, struct m_manifest, m)
    {
        if (n == max || m->repo != repo || !m->live || digest_cmp(&m->digest, after) <= 0)
            continue;
        int rc = detail_out(tx, m, a, &list[n]);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int detail(struct tx *tx, int64_t repo, const struct digest *d, struct arena *a,
                  struct manifest_detail *out)
{
    const struct m_manifest *m = manifest_at(tx, repo, d);
    if (!m || !m->live)
        return ERR_NOTFOUND;
    return detail_out(tx, m, a, out);
}

// --- locks ---

static int get_lock(struct tx *tx, int64_t repo, const struct subject *s, struct lock_now *out)
{
    const struct m_lock *l =
        row_find(tx, T_LOCKS, &(struct m_lock){.repo = repo, .tag = s->tag, .digest = s->digest});
    if (!l)
        return ERR_NOTFOUND;
    register_out(&out->value, l->stamp, l->origin, l->epoch);
    snprintf(out->by, sizeof out->by, "%s", l->by);
    out->write = l->write;
    out->del = l->del;
    return 0;
}

static int save_lock(struct tx *tx, int64_t repo, const struct subject *s, const struct lock_now *l)
{
    return row_put(tx, T_LOCKS,
                   &(struct m_lock){.repo = repo,
                                    .tag = s->tag,
                                    .digest = s->digest,
                                    .origin = l->value.origin,
                                    .by = l->by,
                                    .stamp = l->value.value.stamp,
                                    .epoch = l->value.value.epoch,
                                    .write = l->write,
                                    .del = l->del});
}

static int remove_lock(struct tx *tx, int64_t repo, const struct subject *s)
{
    int rc =
        row_remove(tx, T_LOCKS, &(struct m_lock){.repo = repo, .tag = s->tag, .digest = s->digest});
    return rc == ERR_NOTFOUND ? 0 : rc;
}

const struct manifest_ops memory_manifest_ops = {
    .manifest_visible = visible,
    .manifest_look = look,
    .manifest_size = size_of,
    .manifest_save = save,
    .manifest_empty = make_empty,
    .manifest_remove = remove_row,
    .manifest_get = get,
    .manifest_content = content,
    .refs_add = refs_put,
    .refs_check = check,
    .unasserted_below = unasserted,
    .manifest_led = led,
    .manifest_held = held,
    .manifest_parents = parents,
    .manifest_children = children,
    .manifests_died = died,
    .dead_parents = dead_over,
    .manifest_details = details,
    .manifest_detail = detail,
    .untagged_set = untagged_put,
    .lock_get = get_lock,
    .lock_save = save_lock,
    .lock_remove = remove_lock,
};
