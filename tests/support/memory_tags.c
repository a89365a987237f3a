// SPDX-License-Identifier: Apache-2.0
// Tags and their history in memory; see store/backend_tags.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef const struct m_version *version_ptr;

static const struct m_tag *tag_at(struct tx *tx, int64_t repo, const char *tag)
{
    return row_find(tx, T_TAGS, &(struct m_tag){.repo = repo, .tag = tag});
}

static int look(struct tx *tx, int64_t repo, const char *tag, struct tag_now *out)
{
    const struct m_tag *t = tag_at(tx, repo, tag);
    if (!t)
        return ERR_NOTFOUND;
    out->tag = tag;
    register_out(&out->value, t->stamp, t->origin, t->epoch);
    out->value.value.digest = t->digest;
    out->value.value.create_only = t->create_only;
    out->value.value.generation = t->generation;
    register_out(&out->gone, t->gone_stamp, t->gone_origin, t->gone_epoch);
    out->gone.value.gone = true;
    out->gone.value.create_only = t->gone_create_only;
    out->gone.value.generation = t->gone_generation;
    snprintf(out->by, sizeof out->by, "%s", t->by);
    out->ended = t->ended;
    out->live = t->live;
    return 0;
}

static int save(struct tx *tx, int64_t repo, const struct tag_now *t)
{
    const struct register_value *v = &t->value.value, *g = &t->gone.value;
    return row_put(tx, T_TAGS,
                   &(struct m_tag){.repo = repo,
                                   .tag = t->tag,
                                   .origin = v->origin,
                                   .gone_origin = g->origin,
                                   .by = t->by,
                                   .digest = v->digest,
                                   .stamp = v->stamp,
                                   .epoch = v->epoch,
                                   .generation = v->generation,
                                   .gone_stamp = g->stamp,
                                   .gone_epoch = g->epoch,
                                   .gone_generation = g->generation,
                                   .ended = t->ended,
                                   .create_only = v->create_only,
                                   .gone_create_only = g->create_only,
                                   .live = t->live});
}

static int remove_tag(struct tx *tx, int64_t repo, const char *tag)
{
    int rc = row_remove(tx, T_TAGS, &(struct m_tag){.repo = repo, .tag = tag});
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static struct register_value value_of(const struct m_version *v)
{
    return (struct register_value){v->stamp, v->origin,      v->epoch,     v->digest,
                                   v->gone,  v->create_only, v->generation};
}

static int history_add_row(struct tx *tx, int64_t repo, const char *tag,
                           const struct register_value *v, const char *by)
{
    struct m_version row = {repo,     tag,           v->stamp, v->origin,      v->digest,
                            v->epoch, v->generation, v->gone,  v->create_only, by};
    const struct m_version *is = row_find(tx, T_HISTORY, &row);
    if (is) {
        struct register_value is_value = value_of(is);
        if (register_order(&is_value, v) >= 0)
            return 0;
    }
    return row_put(tx, T_HISTORY, &row);
}

static bool is_of(const struct m_version *v, int64_t repo, const char *tag)
{
    return v->repo == repo && strcmp(v->tag, tag) == 0;
}

static int highest_first(const void *pa, const void *pb)
{
    struct register_value a = value_of(*(const version_ptr *)pa),
                          b = value_of(*(const version_ptr *)pb);
    return register_order(&b, &a);
}

// The tag's versions, the highest first; freed by the caller.
static version_ptr *versions_sorted(struct tx *tx, int64_t repo, const char *tag, size_t *out_n)
{
    size_t n = 0;
    version_ptr *list = malloc((row_count(tx, T_HISTORY) + 1) * sizeof *list);
    EACH_ROW(tx, T_HISTORY, struct m_version, v)
    if (list && is_of(v, repo, tag))
        list[n++] = v;
    if (list)
        qsort(list, n, sizeof *list, highest_first);
    *out_n = n;
    return list;
}

static int history_trim_rows(struct tx *tx, int64_t repo, const char *tag, size_t keep)
{
    size_t n;
    int rc = 0;
    version_ptr *list = versions_sorted(tx, repo, tag, &n);
    if (!list)
        return ERR_NOMEM;
    // the last first: a row that goes is not looked at again
    for (size_t i = n; !rc && i > keep; i--)
        rc = row_remove(tx, T_HISTORY, list[i - 1]);
    free(list);
    return rc;
}

static int history_clear_rows(struct tx *tx, int64_t repo, const char *tag)
{
    return history_trim_rows(tx, repo, tag, 0);
}

// Names of the tags that fit, after `after`.
static int list_which(struct tx *tx, int64_t repo, const struct digest *d, bool live,
                      const char *after, size_t max, struct arena *a, const char ***out,
                      size_t *out_n)
{
    size_t n = 0;
    const char **list = arena_array(a, row_count(tx, T_TAGS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_TAGS, struct m_tag, t)
    {
        if (n == max || t->repo != repo || strcmp(t->tag, after) <= 0)
            continue;
        if ((live && !t->live) || (d && !digest_equal(d, &t->digest)))
            continue;
        int rc = text_out(a, t->tag, &list[n]);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int list_tags(struct tx *tx, int64_t repo, const char *after, size_t max, struct arena *a,
                     const char ***out, size_t *out_n)
{
    return list_which(tx, repo, NULL, true, after, max, a, out, out_n);
}

static int list_of(struct tx *tx, int64_t repo, const struct digest *d, const char *after,
                   size_t max, struct arena *a, const char ***out, size_t *out_n)
{
    return list_which(tx, repo, d, false, after, max, a, out, out_n);
}

static int list_live_of(struct tx *tx, int64_t repo, const struct digest *d, size_t max,
                        struct arena *a, const char ***out, size_t *out_n)
{
    return list_which(tx, repo, d, true, "", max, a, out, out_n);
}

static const struct m_manifest *manifest_of(struct tx *tx, const struct m_tag *t)
{
    return row_find(tx, T_MANIFESTS, &(struct m_manifest){.repo = t->repo, .digest = t->digest});
}

static int detail_out(struct tx *tx, const struct m_tag *t, struct arena *a, struct tag_detail *out)
{
    const struct m_manifest *m = manifest_of(tx, t);
    struct tag_detail d = {.digest = t->digest,
                           .size = m->content.n,
                           .stamp = t->stamp,
                           .epoch = t->epoch,
                           .create_only = t->create_only};
    int rc = text_out(a, t->tag, &d.tag);
    if (!rc)
        rc = text_out(a, m->media_type, &d.media_type);
    if (!rc)
        rc = text_out(a, t->origin, &d.origin);
    if (!rc)
        rc = text_out(a, t->by, &d.by);
    if (!rc)
        *out = d;
    return rc;
}

static int detail(struct tx *tx, int64_t repo, const char *tag, struct arena *a,
                  struct tag_detail *out)
{
    const struct m_tag *t = tag_at(tx, repo, tag);
    if (!t || !t->live)
        return ERR_NOTFOUND;
    return detail_out(tx, t, a, out);
}

static int details(struct tx *tx, int64_t repo, const char *after, size_t max, struct arena *a,
                   struct tag_detail **out, size_t *out_n)
{
    size_t n = 0;
    struct tag_detail *list = arena_array(a, row_count(tx, T_TAGS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_TAGS, struct m_tag, t)
    {
        if (n == max || t->repo != repo || !t->live || strcmp(t->tag, after) <= 0)
            continue;
        int rc = detail_out(tx, t, a, &list[n]);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static bool lives(struct tx *tx, const struct m_version *v)
{
    const struct m_manifest *m =
        row_find(tx, T_MANIFESTS, &(struct m_manifest){.repo = v->repo, .digest = v->digest});
    return m && m->live;
}

static int history_list_rows(struct tx *tx, const char *registry, const char *repository,
                             const char *tag, size_t max, struct arena *a, struct tag_version **out,
                             size_t *out_n)
{
    int64_t repo = repo_id(tx, registry, repository);
    size_t n;
    int rc = 0;
    if (!tag_at(tx, repo, tag))
        return ERR_NOTFOUND;
    version_ptr *sorted = versions_sorted(tx, repo, tag, &n);
    struct tag_version *list = arena_array(a, n + 1, sizeof *list);
    if (!sorted || !list)
        rc = ERR_NOMEM;
    if (n > max)
        n = max;
    for (size_t i = 0; !rc && i < n; i++) {
        list[i].digest = sorted[i]->digest;
        list[i].stamp = sorted[i]->stamp;
        list[i].epoch = sorted[i]->epoch;
        list[i].gone = sorted[i]->gone;
        list[i].create_only = sorted[i]->create_only;
        list[i].generation = sorted[i]->generation;
        list[i].here = lives(tx, sorted[i]);
        rc = text_out(a, sorted[i]->origin, &list[i].origin);
        if (!rc)
            rc = text_out(a, sorted[i]->by, &list[i].by);
    }
    free(sorted);
    if (rc)
        return rc;
    if (!n)
        return ERR_NOTFOUND;
    *out = list;
    *out_n = n;
    return 0;
}

const struct tag_ops memory_tag_ops = {
    .look = look,
    .save = save,
    .remove = remove_tag,
    .of = list_of,
    .live_of = list_live_of,
    .detail = detail,
    .details = details,
    .history_add = history_add_row,
    .history_trim = history_trim_rows,
    .history_clear = history_clear_rows,
    .list = list_tags,
    .history_list = history_list_rows,
};
