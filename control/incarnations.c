// SPDX-License-Identifier: Apache-2.0
// The rules of incarnations; see incarnations.h.
#include "control/incarnations.h"

#include "base/arena.h"
#include "config/catalogue.h"
#include "config/document.h"

#include <string.h>

#define REFUSALS_TOLD 8

struct judging {
    const struct topology *before, *next;
    // the document, read again only when there is something to tell
    struct bytes text;
    struct arena arena;
    struct doc_node *root;
    struct diag *diag;
    size_t n;
};

static int line_of(struct judging *j, const char *registry)
{
    if (!j->root && j->text.n)
        (void)doc_parse((const char *)j->text.p, j->text.n, j->next->source, &j->arena, NULL,
                        &j->root);
    const struct doc_node *list = doc_get(j->root, "registries");
    for (const struct doc_node *row = list ? list->child : NULL; row; row = row->next) {
        const struct doc_node *name = doc_get(row, "name");
        bool is_it = name && name->kind == DOC_SCALAR && !strcmp(name->text, registry);
        if (is_it && doc_get(row, "incarnation"))
            return doc_key_line(row, "incarnation");
        if (is_it)
            return doc_key_line(row, "name");
    }
    return 0;
}

// `old`: NULL when it is not in force.
static void refuse(struct judging *j, const struct registry *r, const uint64_t *old)
{
    unsigned long long in_force = j->before->version;
    if (++j->n > REFUSALS_TOLD)
        return;
    int line = line_of(j, r->name);
    if (!old)
        diag_add(j->diag, j->next->source, line,
                 "registry %s: incarnation %llu: there is no such registry in version %llu, which "
                 "is in force; one that is created after it has a later version as its incarnation",
                 r->name, (unsigned long long)r->incarnation, in_force);
    else
        diag_add(j->diag, j->next->source, line,
                 "registry %s: its incarnation is %llu, not %llu: as long as it lives it keeps "
                 "that, or its images would be out of sight. One that was deleted and created "
                 "again since has an incarnation above %llu, the version in force",
                 r->name, (unsigned long long)*old, (unsigned long long)r->incarnation, in_force);
}

static const struct catalogue_registry *find(const struct topology *t, const struct registry *r)
{
    return catalogue_find_name(t->catalogue, r->name);
}

// One of the next version that has an incarnation.
static void judge_next(struct judging *j, const struct registry *r)
{
    const struct catalogue_registry *was = find(j->before, r);
    uint64_t old = 0;
    if (was)
        old = catalogue_incarnation(was);
    if ((was && old == r->incarnation) || r->incarnation > j->before->version)
        return;
    refuse(j, r, was ? &old : NULL);
}

// One in force that has an incarnation, where the next version may have none.
static void judge_before(struct judging *j, const struct registry *r)
{
    const struct catalogue_registry *is = find(j->next, r);
    struct registry_room room;
    struct registry lost;
    if (!is || catalogue_incarnation(is))
        return;
    catalogue_expand(is, &room, &lost);
    refuse(j, &lost, &r->incarnation);
}

static void judge_all(struct judging *j, const struct topology *t,
                      void (*one)(struct judging *j, const struct registry *r))
{
    struct catalogue_iter it = {0};
    for (const struct catalogue_registry *r; (r = catalogue_next(t->catalogue, &it));) {
        struct registry_room room;
        struct registry full;
        if (!(r->flags & CATALOGUE_INCARNATION))
            continue;
        catalogue_expand(r, &room, &full);
        one(j, &full);
    }
}

bool incarnations_may_follow(const struct topology *before, const struct topology *next,
                             struct bytes text, struct diag *diag)
{
    struct judging j = {.before = before, .next = next, .text = text, .diag = diag};
    arena_init(&j.arena, 0);
    judge_all(&j, next, judge_next);
    judge_all(&j, before, judge_before);
    arena_done(&j.arena);
    if (j.n > REFUSALS_TOLD)
        diag_add(diag, next->source, 0, "and so of %zu more registries", j.n - REFUSALS_TOLD);
    return !j.n;
}
