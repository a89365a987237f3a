// SPDX-License-Identifier: Apache-2.0
// Three trees merged; see document_merge.h.
#include "control/document_merge.h"

#include "base/err.h"
#include "control/document_text.h"

#include <string.h>

struct sides {
    const struct doc_node *base, *theirs, *ours;
};

// The members of a mapping or of a list by names that are being merged, in the order of `out`.
struct members {
    struct document_merge *m;
    const char *path;
    // NULL: of a mapping
    const char *key;
    struct doc_node *out, *last;
};

static int merge(struct document_merge *m, const char *path, const struct sides *s,
                 const struct doc_node **out);

static int tell(struct document_merge *m, enum document_side side, const char *path,
                const struct sides *s)
{
    if (!m->tell)
        return 0;
    return m->tell(m->ctx, side, path, s->base, s->theirs, s->ours);
}

// ---- by member ----

static const char *member_name(const struct members *x, const struct doc_node *v)
{
    if (x->key)
        return doc_get(v, x->key)->text;
    return v->key;
}

static const struct doc_node *member(const struct members *x, const struct doc_node *of,
                                     const char *name)
{
    if (x->key)
        return document_item(of, x->key, name);
    return doc_get(of, name);
}

static int add(struct members *x, const char *name, const struct doc_node *value)
{
    struct doc_node *copy = arena_copy(x->m->arena, value, sizeof *value);
    if (!copy)
        return ERR_NOMEM;
    copy->next = NULL;
    copy->key = x->key ? NULL : name;
    if (x->last)
        x->last->next = copy;
    else
        x->out->child = copy;
    x->last = copy;
    x->out->n++;
    return 0;
}

static int merge_member(struct members *x, const struct sides *s, const char *name)
{
    const struct sides below = {member(x, s->base, name), member(x, s->theirs, name),
                                member(x, s->ours, name)};
    const struct doc_node *value;
    const char *path = arena_printf(x->m->arena, "%s%s%s", x->path, *x->path ? "/" : "", name);
    if (!path)
        return ERR_NOMEM;
    int rc = merge(x->m, path, &below, &value);
    if (rc || !value)
        return rc;
    return add(x, name, value);
}

// Members that only theirs has, from *at to before `until` (NULL: to the end).
static int merge_theirs(struct members *x, const struct sides *s, const struct doc_node **at,
                        const struct doc_node *until)
{
    int rc = 0;
    for (; *at && *at != until && !rc; *at = (*at)->next)
        if (!member(x, s->ours, member_name(x, *at)))
            rc = merge_member(x, s, member_name(x, *at));
    return rc;
}

static bool comes_later(const struct doc_node *at, const struct doc_node *v)
{
    while (at && at != v)
        at = at->next;
    return at != NULL;
}

// In the order of ours; what only theirs has stands before what it stands before there.
static int merge_members(struct members *x, const struct sides *s)
{
    const struct doc_node *at = s->theirs->child;
    int rc = 0;
    for (const struct doc_node *v = s->ours->child; v && !rc; v = v->next) {
        const struct doc_node *same = member(x, s->theirs, member_name(x, v));
        if (same && comes_later(at, same))
            rc = merge_theirs(x, s, &at, same);
        if (!rc)
            rc = merge_member(x, s, member_name(x, v));
    }
    if (rc)
        return rc;
    return merge_theirs(x, s, &at, NULL);
}

static int by_member(struct document_merge *m, const char *path, const char *key,
                     const struct sides *s, const struct doc_node **out)
{
    struct doc_node *whole = arena_copy(m->arena, s->ours, sizeof *whole);
    if (!whole)
        return ERR_NOMEM;
    whole->child = NULL;
    whole->n = 0;
    struct members x = {.m = m, .path = path, .key = key, .out = whole};
    int rc = merge_members(&x, s);
    if (!rc)
        *out = whole;
    return rc;
}

// ---- whole ----

// By what the lists' items are told apart; NULL: they are merged whole. An empty list has no key.
static const char *common_key(const struct sides *s)
{
    const struct doc_node *lists[] = {s->base, s->theirs, s->ours};
    const char *common = NULL;
    for (size_t i = 0; i < 3; i++) {
        if (!lists[i] || lists[i]->kind != DOC_LIST)
            return NULL;
        if (!lists[i]->child)
            continue;
        const char *key = document_list_key(lists[i]);
        if (!key || (common && strcmp(common, key) != 0))
            return NULL;
        common = key;
    }
    return common;
}

static bool are_maps(const struct sides *s)
{
    const struct doc_node *all[] = {s->base, s->theirs, s->ours};
    for (size_t i = 0; i < 3; i++)
        if (!all[i] || all[i]->kind != DOC_MAP)
            return false;
    return true;
}

static int conflict(struct document_merge *m, const char *path, const struct sides *s,
                    const struct doc_node **out)
{
    m->n_conflicts++;
    int rc = tell(m, SIDE_CONFLICT, path, s);
    if (rc)
        return rc;
    *out = m->wins == WINS_FILE ? s->ours : s->theirs;
    return 0;
}

static int merge(struct document_merge *m, const char *path, const struct sides *s,
                 const struct doc_node **out)
{
    bool ours_changed = !document_equal(s->base, s->ours);
    bool theirs_changed = !document_equal(s->base, s->theirs);
    *out = s->theirs;
    if (!ours_changed && !theirs_changed)
        return 0;
    if (document_equal(s->theirs, s->ours))
        return 0;
    if (are_maps(s))
        return by_member(m, path, NULL, s, out);
    const char *key = common_key(s);
    if (key)
        return by_member(m, path, key, s, out);
    if (ours_changed && theirs_changed)
        return conflict(m, path, s, out);
    if (theirs_changed)
        return tell(m, SIDE_THEIRS, path, s);
    *out = s->ours;
    return tell(m, SIDE_OURS, path, s);
}

int document_merge(struct document_merge *m, const struct doc_node *base,
                   const struct doc_node *theirs, const struct doc_node *ours,
                   const struct doc_node **out)
{
    const struct sides s = {base, theirs, ours};
    return merge(m, "", &s, out);
}
