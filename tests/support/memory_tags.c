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

static int get(struct tx *tx, int64_t repo, const char *tag, struct register_now *out)
{
    const struct m_tag *t = tag_at(tx, repo, tag);
    if (!t)
        return ERR_NOTFOUND;
    snprintf(out->origin, sizeof out->origin, "%s", t->origin);
    out->value = (struct register_value){t->stamp, out->origin, t->epoch, t->digest};
    return 0;
}

static int set(struct tx *tx, int64_t repo, const char *tag, const struct register_value *v)
{
    return row_put(tx, T_TAGS,
                   &(struct m_tag){.repo = repo,
                                   .tag = tag,
                                   .origin = v->origin,
                                   .digest = v->digest,
                                   .stamp = v->stamp,
                                   .epoch = v->epoch});
}

static int remove_tag(struct tx *tx, int64_t repo, const char *tag)
{
    int rc = row_remove(tx, T_TAGS, &(struct m_tag){.repo = repo, .tag = tag});
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int history_add_row(struct tx *tx, int64_t repo, const char *tag,
                           const struct register_value *v)
{
    struct m_version row = {repo, tag, v->stamp, v->origin, v->digest, v->epoch};
    const struct m_version *is = row_find(tx, T_HISTORY, &row);
    if (is && is->epoch > row.epoch)
        return 0;
    return row_put(tx, T_HISTORY, &row);
}

static bool is_of(const struct m_version *v, int64_t repo, const char *tag)
{
    return v->repo == repo && strcmp(v->tag, tag) == 0;
}

static struct register_value value_of(const struct m_version *v)
{
    return (struct register_value){v->stamp, v->origin, v->epoch, v->digest};
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

static int list_tags(struct tx *tx, int64_t repo, const char *after, size_t max, struct arena *a,
                     const char ***out, size_t *out_n)
{
    size_t n = 0;
    const char **list = arena_array(a, row_count(tx, T_TAGS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_TAGS, struct m_tag, t)
    {
        if (n == max || t->repo != repo || strcmp(t->tag, after) <= 0)
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
        rc = text_out(a, sorted[i]->origin, &list[i].origin);
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
    .get = get,
    .set = set,
    .remove = remove_tag,
    .history_add = history_add_row,
    .history_trim = history_trim_rows,
    .history_clear = history_clear_rows,
    .list = list_tags,
    .history_list = history_list_rows,
};
