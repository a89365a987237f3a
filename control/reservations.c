// SPDX-License-Identifier: Apache-2.0
// Whether reserved names stay; see reservations.h.
#include "control/reservations.h"

#include "base/arena.h"
#include "base/clock.h"
#include "config/catalogue.h"
#include "config/document.h"
#include "config/reserved.h"

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
    int64_t again_s;
};

static int line_of(struct judging *j, const char *list, const char *name)
{
    if (!j->root && j->text.n)
        (void)doc_parse((const char *)j->text.p, j->text.n, j->next->source, &j->arena, NULL,
                        &j->root);
    const struct doc_node *rows = doc_get(j->root, list);
    for (const struct doc_node *row = rows ? rows->child : NULL; row; row = row->next) {
        const struct doc_node *n = doc_get(row, "name");
        if (n && n->kind == DOC_SCALAR && !strcmp(n->text, name))
            return doc_key_line(row, "name");
    }
    return 0;
}

static const char *owner_of(const struct reserved_name *x)
{
    if (*x->owner)
        return x->owner;
    return "nobody named";
}

static bool counts(struct judging *j, const struct reserved_name *x)
{
    if (!j->again_s || x->until_s < j->again_s)
        j->again_s = x->until_s;
    return ++j->n <= REFUSALS_TOLD;
}

static void refuse_taken(struct judging *j, const struct reserved_name *x)
{
    char until[CLOCK_TEXT_SIZE];
    if (!counts(j, x))
        return;
    diag_add(
        j->diag, j->next->source, line_of(j, "registries", x->name),
        "registry %s: the name is reserved until %s for %s, in version %llu, which is in force: "
        "no other owner may have it before then",
        x->name, clock_format_s(x->until_s, until), owner_of(x),
        (unsigned long long)j->before->version);
}

static void refuse_gone(struct judging *j, const struct reserved_name *x)
{
    char until[CLOCK_TEXT_SIZE], since[CLOCK_TEXT_SIZE];
    if (!counts(j, x))
        return;
    diag_add(
        j->diag, j->next->source, line_of(j, "reserved", x->name),
        "reserved name %s: version %llu, which is in force, keeps it until %s for %s, and this "
        "one would give it to anybody. Add to `reserved`: { name: %s, owner: \"%s\", since: %s, "
        "until: %s, incarnation: %llu }; with an `until` that is past it is given up",
        x->name, (unsigned long long)j->before->version, clock_format_s(x->until_s, until),
        owner_of(x), x->name, x->owner, clock_format_s(x->since_s, since),
        clock_format_s(x->until_s, until), (unsigned long long)x->incarnation);
}

static bool is_kept(const struct topology *next, const struct reserved_name *x)
{
    const struct reserved_name *now = topology_reserved(next, x->name);
    return now && now->incarnation >= x->incarnation;
}

static void judge(struct judging *j, const struct reserved_name *x)
{
    const struct catalogue_registry *rec = catalogue_find_name(j->next->catalogue, x->name);
    struct registry_room room;
    struct registry r;
    if (!rec && !is_kept(j->next, x))
        refuse_gone(j, x);
    if (!rec)
        return;
    catalogue_expand(rec, &room, &r);
    if (strcmp(r.owner, x->owner) != 0)
        refuse_taken(j, x);
}

bool reservations_may_follow(const struct topology *before, const struct topology *next,
                             struct bytes text, int64_t now_s, struct diag *diag,
                             int64_t *out_again_s)
{
    struct judging j = {.before = before, .next = next, .text = text, .diag = diag};
    size_t n = topology_reserved_count(before);
    arena_init(&j.arena, 0);
    for (size_t i = 0; i < n && before->reserved != next->reserved; i++) {
        const struct reserved_name *x = topology_reserved_at(before, i);
        if (now_s < x->until_s)
            judge(&j, x);
    }
    arena_done(&j.arena);
    if (j.n > REFUSALS_TOLD)
        diag_add(diag, next->source, 0, "and so of %zu more reserved names", j.n - REFUSALS_TOLD);
    if (j.n)
        *out_again_s = j.again_s;
    return !j.n;
}
